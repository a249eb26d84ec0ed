//! Guesses what comes next: what followed the last few tokens when they stood in the sequence before.
//!
//! This is the n-gram variant of speculative decoding (Saxena, "Prompt Lookup Decoding", 2023). How many tokens are
//! guessed adapts to how many guesses were right. A text that the client expects goes before the sequence's own.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::SpeculationConfig;
use super::prediction::Prediction;

/// After this many useless guesses in a row the longest pause is reached.
const MAX_MISSES: u32 = 5;

/// The memory of one sequence.
#[derive(Debug)]
pub(super) struct PromptLookup {
    config: SpeculationConfig,
    /// What the client expects, if anything.
    prediction: Option<Prediction>,
    /// Where each run of tokens ended last, by a hash of its length and tokens.
    ends: HashMap<u64, u32, BuildHasherDefault<Identity>>,
    /// Tokens that have been entered.
    num_known: usize,
    /// Where the longest run that ends the sequence ended before.
    last_end: Option<usize>,
    /// Tokens to guess next time.
    num_wanted: usize,
    /// Useless guesses in a row.
    num_misses: u32,
    /// Steps without a guess that are left.
    pause: u32,
}

impl PromptLookup {
    pub(super) fn new(config: SpeculationConfig) -> Self {
        Self {
            config,
            prediction: None,
            ends: HashMap::default(),
            num_known: 0,
            last_end: None,
            num_wanted: config.max_draft_tokens.min(2),
            num_misses: 0,
            pause: 0,
        }
    }

    /// The same with a text that the output is expected to repeat.
    pub(super) fn expecting(self, prediction: Arc<[u32]>) -> Self {
        let prediction = (!prediction.is_empty()).then(|| Prediction::new(prediction));
        Self { prediction, ..self }
    }

    /// Most tokens guessed at a time.
    pub(super) fn max_draft_tokens(&self) -> usize {
        self.config.max_draft_tokens
    }

    /// Guesses up to `max_tokens` tokens that follow `tokens`, the whole sequence, of which the first `num_prompt` are
    /// the prompt.
    pub(super) fn guess(&mut self, tokens: &[u32], num_prompt: usize, max_tokens: usize) -> Vec<u32> {
        self.learn(tokens);
        if self.pause > 0 {
            self.pause -= 1;
            return Vec::new();
        }
        if let Some(prediction) = &mut self.prediction {
            prediction.follow(&tokens[num_prompt..], self.config.min_ngram, self.config.max_ngram);
            let rest = prediction.rest();
            if !rest.is_empty() {
                return rest[..rest.len().min(self.num_wanted).min(max_tokens)].to_vec();
            }
        }
        let Some(start) = self.last_end else { return Vec::new() };
        let end = tokens.len().min(start + self.num_wanted.min(max_tokens));
        tokens[start..end].to_vec()
    }

    /// Enters the tokens that are new.
    fn learn(&mut self, tokens: &[u32]) {
        while self.num_known < tokens.len() {
            self.num_known += 1;
            let known = &tokens[..self.num_known];
            self.last_end = None;
            for length in (self.config.min_ngram..=self.config.max_ngram.min(known.len())).rev() {
                let run = &known[known.len() - length..];
                let before = self.ends.insert(hash(run), self.num_known as u32);
                let end = before.map(|end| end as usize);
                // Hashes may collide.
                let is_same = |end: &usize| *end >= length && tokens[*end - length..*end] == *run;
                self.last_end = self.last_end.or(end.filter(is_same));
            }
        }
    }

    /// Learns how many of `num_guessed` guesses were right.
    pub(super) fn judge(&mut self, num_guessed: usize, num_right: usize) {
        if num_right == 0 {
            self.num_misses = (self.num_misses + 1).min(MAX_MISSES);
            self.pause = (1 << self.num_misses) - 2;
            self.num_wanted = 1;
        } else {
            self.num_misses = 0;
            let wanted = if num_right == num_guessed { 2 * num_guessed } else { num_right + 1 };
            self.num_wanted = wanted.max(1);
        }
        self.num_wanted = self.num_wanted.min(self.config.max_draft_tokens);
    }
}

/// A hash of a run of tokens; its quality matters for speed only.
fn hash(run: &[u32]) -> u64 {
    let start = run.len() as u64;
    let mixed = run.iter().fold(start, |hash, &token_id| {
        (hash ^ u64::from(token_id)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    mixed ^ mixed >> 32
}

/// Takes a hash for its own hash.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(max_draft_tokens: usize) -> PromptLookup {
        let mut lookup =
            PromptLookup::new(SpeculationConfig { max_draft_tokens, max_ngram: 3, min_ngram: 2 });
        lookup.num_wanted = max_draft_tokens;
        lookup
    }

    #[test]
    fn what_followed_the_last_tokens_before_is_guessed() {
        assert_eq!(lookup(4).guess(&[1, 2, 3, 4, 5, 1, 2], 0, 9), [3, 4, 5, 1]);
        assert_eq!(lookup(4).guess(&[1, 2, 3, 4, 5, 1, 2], 0, 2), [3, 4]);
        assert_eq!(lookup(4).guess(&[1, 2, 3, 1, 2], 0, 9), [3, 1, 2]);
    }

    #[test]
    fn nothing_is_guessed_after_tokens_that_are_new() {
        assert!(lookup(4).guess(&[1, 2, 3, 4, 2], 0, 9).is_empty());
        assert!(lookup(4).guess(&[1], 0, 9).is_empty());
        assert!(lookup(4).guess(&[], 0, 9).is_empty());
    }

    #[test]
    fn the_longest_run_wins_and_among_equals_the_last() {
        let longest = [9, 1, 2, 7, 7, 1, 2, 8, 8, 9, 1, 2];
        assert_eq!(lookup(1).guess(&longest, 0, 9), [7]);
        assert_eq!(lookup(1).guess(&[1, 2, 7, 1, 2, 8, 1, 2], 0, 9), [8]);
    }

    #[test]
    fn what_is_learnt_step_by_step_is_what_is_learnt_at_once() {
        let tokens: Vec<u32> = (0..200).map(|i| (i * i) % 7).collect();
        let mut stepwise = lookup(4);
        for end in 1..tokens.len() {
            assert_eq!(stepwise.guess(&tokens[..end], 0, 9), lookup(4).guess(&tokens[..end], 0, 9), "{end}");
        }
    }

    #[test]
    fn wrong_guesses_make_it_cautious_and_right_ones_bold() {
        let tokens = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2];
        let mut lookup = lookup(8);
        lookup.judge(8, 0);
        assert_eq!(lookup.guess(&tokens, 0, 9), [3], "the first miss costs no pause");
        lookup.judge(1, 0);
        assert!(lookup.guess(&tokens, 0, 9).is_empty());
        assert!(lookup.guess(&tokens, 0, 9).is_empty());
        assert_eq!(lookup.guess(&tokens, 0, 9), [3]);
        lookup.judge(1, 1);
        assert_eq!(lookup.guess(&tokens, 0, 9), [3, 4]);
        lookup.judge(2, 2);
        assert_eq!(lookup.guess(&tokens, 0, 9), [3, 4, 5, 6]);
        lookup.judge(4, 1);
        assert_eq!(lookup.guess(&tokens, 0, 9), [3, 4]);
    }

    #[test]
    fn what_is_expected_goes_before_what_was_seen() {
        let mut lookup = lookup(2).expecting([7, 8, 9, 7].into());
        let mut tokens = vec![1, 2, 3, 1, 2];
        assert_eq!(lookup.guess(&tokens, 5, 9), [7, 8], "the output begins as expected");
        assert_eq!(lookup.guess(&tokens, 5, 1), [7]);
        tokens.push(7);
        assert_eq!(lookup.guess(&tokens, 5, 9), [8, 9]);
        tokens.extend([1, 2]);
        assert_eq!(lookup.guess(&tokens, 5, 9), [7, 1], "it left the text, so its own counts");
        tokens.extend([8, 9]);
        assert_eq!(lookup.guess(&tokens, 5, 9), [7]);
    }
}
