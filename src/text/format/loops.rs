//! Notices an output that repeats itself.

/// The longest repeated part that is noticed, in tokens.
const MAX_PERIOD: usize = 256;
/// Tokens that must repeat what stood one period earlier. Even the longest part then stands there three times.
const MIN_REPEATED: u32 = 512;

/// Watches the tokens of one output for a part of at most 256 tokens that comes again and again, until 512 tokens in a
/// row have been nothing but its repetition. A token costs one comparison for each possible period; the memory is
/// fixed.
#[derive(Debug, Clone)]
pub struct LoopDetector {
    /// The last tokens; token number `n` stands at `n % MAX_PERIOD`.
    recent: Box<[u32; MAX_PERIOD]>,
    num_tokens: usize,
    /// For each period (less one), how many of the last tokens in a row equal the token one period earlier.
    repeated: Box<[u32; MAX_PERIOD]>,
}

impl Default for LoopDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl LoopDetector {
    /// A detector at the start of an output.
    pub fn new() -> Self {
        Self { recent: Box::new([0; MAX_PERIOD]), num_tokens: 0, repeated: Box::new([0; MAX_PERIOD]) }
    }

    /// Takes the next token; whether the output is now in a loop.
    pub fn push(&mut self, token_id: u32) -> bool {
        let at = self.num_tokens % MAX_PERIOD;
        let num_periods = self.num_tokens.min(MAX_PERIOD);
        // One period back from here, two back, and so on: first down to the ring's start, then down from its end.
        let earlier = self.recent[..at].iter().rev().chain(self.recent[at..].iter().rev());
        let mut loops = false;
        for (count, &token) in self.repeated.iter_mut().zip(earlier).take(num_periods) {
            *count = if token == token_id { count.saturating_add(1) } else { 0 };
            loops |= *count >= MIN_REPEATED;
        }
        self.recent[at] = token_id;
        self.num_tokens += 1;
        loops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many tokens the detector speaks, if it does.
    fn noticed(tokens: impl Iterator<Item = u32>) -> Option<usize> {
        let mut detector = LoopDetector::new();
        tokens.map(|token| detector.push(token)).position(|loops| loops).map(|at| at + 1)
    }

    /// Tokens without any order.
    fn noise(seed: u32) -> impl Iterator<Item = u32> {
        (0u32..)
            .map(move |at| (at ^ seed).wrapping_mul(0x9e37_79b9).rotate_left(15).wrapping_mul(0x85eb_ca6b))
    }

    #[test]
    fn a_loop_is_noticed_when_512_tokens_repeat_whatever_its_period() {
        for period in [1, 2, 3, 50, 255, 256] {
            let part: Vec<u32> = noise(7).take(period).collect();
            let tokens = noise(1).take(1000).chain(part.into_iter().cycle()).take(10_000);
            assert_eq!(noticed(tokens), Some(1000 + period + 512), "period {period}");
        }
    }

    #[test]
    fn a_part_that_is_too_long_is_no_loop() {
        let part: Vec<u32> = noise(7).take(257).collect();
        assert_eq!(noticed(part.into_iter().cycle().take(20_000)), None);
    }

    #[test]
    fn text_that_never_repeats_and_short_repetitions_are_no_loop() {
        assert_eq!(noticed(noise(3).take(50_000)), None);
        let stutter = |at: u32| if at % 500 < 499 { 5 } else { at };
        assert_eq!(noticed((0..50_000).map(stutter)), None);
    }

    #[test]
    fn a_loop_is_noticed_at_the_start_of_an_output_too() {
        assert_eq!(noticed(std::iter::repeat_n(0, 1000)), Some(513));
    }
}
