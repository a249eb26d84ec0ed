//! What is done to a row's logits before a token is drawn: bias, penalties, masks.

use super::{Row, SamplingParams, TokenSet};

/// A logit that masks its token.
const MASKED: f32 = f32::NEG_INFINITY;
/// Tokens in a word of a set.
const WORD_BITS: usize = u32::BITS as usize;

/// Changes rows in memory that it keeps from row to row.
#[derive(Debug, Default)]
pub(super) struct Adjuster {
    logits: Vec<f32>,
    /// For each token that stands in `touched`: one more than the times that it stands in the output.
    counts: Vec<u32>,
    touched: Vec<u32>,
}

impl Row<'_> {
    /// Whether the token is drawn from the logits as they came.
    pub(super) fn is_plain(&self) -> bool {
        let SamplingParams { penalties, bias, allowed, bad_words, .. } = self.params;
        penalties.is_none()
            && bias.is_empty()
            && allowed.is_none()
            && bad_words.is_empty()
            && self.mask.is_none()
            && !self.must_go_on()
    }

    /// Tokens of the output before it.
    fn num_output(&self) -> usize {
        self.output.len() + self.guessed.len()
    }

    /// Whether the output is still too short to stop.
    fn must_go_on(&self) -> bool {
        self.num_output() < self.params.min_tokens as usize
    }

    fn output(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.output.iter().chain(self.guessed).copied()
    }
}

impl Adjuster {
    /// The logits of a row as they are after bias, repetition, frequency and presence penalty and masks in this order.
    pub(super) fn adjust(&mut self, row: &Row<'_>) -> &[f32] {
        let params = row.params;
        // Neither bias nor penalty raises a masked logit, so a mask may come first: it costs nothing beside the copy.
        match row.mask.or(params.allowed.as_deref()) {
            Some(set) => self.copy_kept(row.logits, set),
            None => {
                self.logits.clear();
                self.logits.extend_from_slice(row.logits);
            }
        }
        for &(token_id, bias) in params.bias.iter() {
            self.change(token_id, |logit| logit + bias);
        }
        if !params.penalties.is_none() {
            self.penalise(row);
        }
        for word in params.bad_words.iter() {
            if let Some((&last, before)) = word.split_last() {
                let comes = before.len() <= row.num_output()
                    && row.output().rev().zip(before.iter().rev()).all(|(a, &b)| a == b);
                if comes {
                    self.change(last, |_| MASKED);
                }
            }
        }
        if row.must_go_on() {
            for &token_id in row.stop_token_ids {
                self.change(token_id, |_| MASKED);
            }
        }
        if let (Some(_), Some(allowed)) = (row.mask, &params.allowed) {
            self.keep(allowed);
        }
        &self.logits
    }

    /// Changes a token's logit; a token that the model does not know has none.
    fn change(&mut self, token_id: u32, change: impl FnOnce(f32) -> f32) {
        if let Some(logit) = self.logits.get_mut(token_id as usize) {
            *logit = change(*logit);
        }
    }

    /// Makes tokens less likely, or more, that were there before.
    fn penalise(&mut self, row: &Row<'_>) {
        let penalties = row.params.penalties;
        if penalties.repetition != 1.0 {
            row.prompt.iter().for_each(|&token_id| self.count(token_id, 0));
        }
        row.output().for_each(|token_id| self.count(token_id, 1));
        for token_id in self.touched.drain(..) {
            let logit = &mut self.logits[token_id as usize];
            let num_times = std::mem::take(&mut self.counts[token_id as usize]) - 1;
            let factor = penalties.repetition;
            *logit = if *logit > 0.0 { *logit / factor } else { *logit * factor };
            if num_times > 0 {
                *logit -= penalties.frequency * num_times as f32;
                *logit -= penalties.presence;
            }
        }
    }

    /// Notes that a token was there before, `times` times in the output.
    fn count(&mut self, token_id: u32, times: u32) {
        if self.counts.len() < self.logits.len() {
            self.counts.resize(self.logits.len(), 0);
        }
        // A token that the model gives no logit has nothing to be changed.
        if token_id as usize >= self.logits.len() {
            return;
        }
        let count = &mut self.counts[token_id as usize];
        if *count == 0 {
            *count = 1;
            self.touched.push(token_id);
        }
        *count += times;
    }

    /// Takes over a row, but for what a set does not have.
    fn copy_kept(&mut self, row: &[f32], set: &TokenSet) {
        self.logits.resize(row.len(), MASKED);
        let mut words = set.words().iter().copied().chain(std::iter::repeat(0));
        let (from, from_rest) = row.as_chunks::<WORD_BITS>();
        let (to, to_rest) = self.logits.as_chunks_mut::<WORD_BITS>();
        for ((to, from), word) in to.iter_mut().zip(from).zip(words.by_ref()) {
            match word {
                u32::MAX => *to = *from,
                0 => to.fill(MASKED),
                // A comparison for each logit and no jump, so that a register holds several.
                _ => (0..WORD_BITS).for_each(|bit| {
                    to[bit] = if word & 1 << bit == 0 { MASKED } else { from[bit] };
                }),
            }
        }
        let word = words.next().unwrap_or(0);
        for (bit, (to, &from)) in to_rest.iter_mut().zip(from_rest).enumerate() {
            *to = if word & 1 << bit == 0 { MASKED } else { from };
        }
    }

    /// Masks what a set does not have.
    fn keep(&mut self, set: &TokenSet) {
        for (logits, index) in self.logits.chunks_mut(WORD_BITS).zip(0..) {
            let word = set.words().get(index).copied().unwrap_or(0);
            for (bit, logit) in logits.iter_mut().enumerate() {
                *logit = if word & 1 << bit == 0 { MASKED } else { *logit };
            }
        }
    }
}

#[cfg(test)]
#[path = "adjust_tests.rs"]
mod tests;
