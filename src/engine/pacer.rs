//! How many prompt tokens a step may compute while outputs run, so that these stay fluent: arithmetic on measured step
//! times, without a clock of its own.
//!
//! A step of `rows` sampled rows and `n` prompt tokens takes about `D(rows) + P n`. The pacer learns both from finished
//! steps and allows the `n` for which that is `max_slowdown * D`:
//!
//! * `D`, the time of a step without prompt tokens, per power of two of rows. Where prompts follow each other without
//!   a gap, one step in [`PROBE_EVERY`] computes a single prompt token to measure it again. Rows that were never seen
//!   borrow from the nearest number below, or a proportional part from the nearest above: both are too small rather
//!   than too large.
//! * `P`, the time per prompt token, from the steps that had some. It grows with the context and shrinks with `n` where
//!   a step has fixed costs; as it is measured at the `n` in use, the allowance settles where a step takes the time
//!   it may.
//!
//! Both are medians of the last [`NUM_RECENT`] measurements, so that a hiccup changes nothing; `P` is the lesser of the
//! last two if that is more, so that a growing context shows at once. The allowance at most
//! doubles from what was tried of late, and it begins with [`START_TOKENS`]: a step of unknown cost must not stall the
//! outputs.
//!
//! The least allowance is one token. That starves no prompt: prompts have `1 - 1 / max_slowdown` of the time by
//! construction, however slow a token is.

use std::time::Duration;

/// Prompt tokens of a step while nothing is known.
const START_TOKENS: usize = 8;
/// Measurements that are remembered; odd, so that there is one in the middle.
const NUM_RECENT: usize = 5;
/// Of so many steps with prompt tokens in a row, one shows how long a step takes without.
const PROBE_EVERY: u32 = 32;

/// A finished step.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepTime {
    /// Rows that were sampled.
    pub(super) num_rows: usize,
    /// Tokens computed besides those.
    pub(super) num_prompt_tokens: usize,
    /// How long it took.
    pub(super) elapsed: Duration,
}

/// Learns from steps and paces the prompts.
#[derive(Debug)]
pub(super) struct Pacer {
    max_slowdown: f64,
    /// Seconds of a step without prompt tokens; entry `i` is for `2^i..2^(i+1)` rows.
    decode_s: [Recent; usize::BITS as usize],
    /// Seconds per prompt token.
    prompt_token_s: Recent,
    /// Prompt tokens per step, as tried of late.
    tried: Recent,
    num_rows: usize,
    /// Steps with prompt tokens since one showed how long a step takes without.
    num_unprobed: u32,
}

impl Pacer {
    /// A pacer that lets a step take `max_slowdown` times as long as one without prompt tokens.
    pub(super) fn new(max_slowdown: f64) -> Self {
        Self {
            max_slowdown,
            decode_s: [Recent::default(); usize::BITS as usize],
            prompt_token_s: Recent::default(),
            tried: Recent::default(),
            num_rows: 1,
            num_unprobed: 0,
        }
    }

    /// Learns from a finished step.
    pub(super) fn observe(&mut self, step: StepTime) {
        let StepTime { num_rows, num_prompt_tokens, elapsed } = step;
        let seconds = elapsed.as_secs_f64();
        if num_rows > 0 {
            self.num_rows = num_rows;
        }
        if num_rows > 0 && num_prompt_tokens <= 1 {
            let of_prompt = self.prompt_token_s.median().unwrap_or(0.0) * num_prompt_tokens as f64;
            self.decode_s[num_rows.ilog2() as usize].push((seconds - of_prompt).max(0.0));
            self.num_unprobed = 0;
        } else if num_prompt_tokens > 1 {
            let without = if num_rows > 0 { self.decode_s(num_rows).unwrap_or(0.0) } else { 0.0 };
            self.prompt_token_s.push((seconds - without).max(0.0) / num_prompt_tokens as f64);
            self.tried.push(num_prompt_tokens as f64);
            self.num_unprobed += 1;
        }
    }

    /// Prompt tokens that the next step may compute if outputs advance in it; at least one.
    pub(super) fn allowance(&self) -> usize {
        if self.num_unprobed >= PROBE_EVERY {
            return 1;
        }
        let most = self.tried.max().map_or(START_TOKENS, |tried| START_TOKENS.max(2 * tried as usize));
        let token_s = self.prompt_token_s.median().zip(self.prompt_token_s.lesser_of_last_two());
        let token_s = token_s.map(|(median, latest)| median.max(latest));
        let known = self.decode_s(self.num_rows).zip(token_s);
        let Some((decode_s, token_s)) = known else { return START_TOKENS };
        // A token that takes no time makes this infinite or not a number; both become `most`.
        let allowed = (self.max_slowdown - 1.0) * decode_s / token_s;
        if allowed < most as f64 { (allowed as usize).max(1) } else { most }
    }

    /// Seconds of a step of so many rows without prompt tokens.
    fn decode_s(&self, num_rows: usize) -> Option<f64> {
        let index = num_rows.max(1).ilog2() as usize;
        let (upto, above) = self.decode_s.split_at(index + 1);
        let below = upto.iter().rev().find_map(Recent::median);
        below.or_else(|| {
            let part = |(distance, recent): (i32, &Recent)| Some(recent.median()? * 0.5_f64.powi(distance));
            (1..).zip(above).find_map(part)
        })
    }
}

/// The last few measurements.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    values: [f64; NUM_RECENT],
    num_pushed: usize,
}

impl Recent {
    fn push(&mut self, value: f64) {
        self.values[self.num_pushed % NUM_RECENT] = value;
        self.num_pushed += 1;
    }

    fn values(&self) -> &[f64] {
        &self.values[..self.num_pushed.min(NUM_RECENT)]
    }

    /// The middle one, of an even number the larger of the two; `None` if there is none.
    fn median(&self) -> Option<f64> {
        let mut sorted = self.values;
        let sorted = &mut sorted[..self.values().len()];
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    fn lesser_of_last_two(&self) -> Option<f64> {
        let back = |steps: usize| Some(self.values[self.num_pushed.checked_sub(steps)? % NUM_RECENT]);
        back(1).zip(back(2)).map_or_else(|| back(1), |(last, before)| Some(last.min(before)))
    }

    fn max(&self) -> Option<f64> {
        self.values().iter().copied().reduce(f64::max)
    }
}

#[cfg(test)]
#[path = "pacer_tests.rs"]
mod tests;
