//! What a sequence wants of the rows of its prompt besides K and V: scores of its tokens, or a hidden state.
//!
//! Every row is read once, in order of position, however the prompt is cut and whatever else happens to the sequence.
//! A row that is still to be read is computed, never taken from the prefix cache.

use std::ops::Range;

use super::planted::{Bug, planted};
use super::{NewSequence, Pooling, ScoredToken};
use crate::sampling::TokenLogprobs;

/// Scores are handed out in pieces of at least so many tokens, but for the last.
const MIN_PIECE: usize = 256;
/// A long prompt has longer pieces, so that few events lie in a reader's buffer whatever the length.
const MAX_PIECES: usize = 16;

/// What is read off the rows of a prompt.
#[derive(Debug)]
pub(super) struct Readout {
    kind: Kind,
    /// Rows of the prompt that are still to be read.
    open: Range<usize>,
}

#[derive(Debug)]
enum Kind {
    Nothing,
    Scores {
        /// How many of the most likely tokens stand beside each.
        num_top: u8,
        /// Scores that were not handed out yet.
        piece: Vec<ScoredToken>,
        piece_len: usize,
    },
    Pooled {
        /// Of the rows read so far, `[hidden]`; empty before the first.
        sums: Vec<f64>,
        num_read: usize,
    },
}

impl Readout {
    pub(super) fn new(new: &NewSequence) -> Self {
        let num_prompt = new.prompt.len();
        let pooled = Kind::Pooled { sums: Vec::new(), num_read: 0 };
        match (new.pooling, new.prompt_scores) {
            (Some(Pooling::Last), _) => Self { kind: pooled, open: num_prompt - 1..num_prompt },
            (Some(Pooling::Mean), _) => Self { kind: pooled, open: 0..num_prompt },
            (None, Some(num_top)) => {
                let kind = Kind::Scores { num_top, piece: Vec::new(), piece_len: piece_len(num_prompt) };
                // The last row is that of the first generated token.
                Self { kind, open: 0..num_prompt - 1 }
            }
            (None, None) => Self { kind: Kind::Nothing, open: 0..0 },
        }
    }

    /// Whether the hidden states of rows are wanted, and no logits.
    pub(super) fn is_pooled(&self) -> bool {
        matches!(self.kind, Kind::Pooled { .. })
    }

    /// How many of the most likely tokens stand beside each score, if there are any.
    pub(super) fn num_top(&self) -> Option<u8> {
        match self.kind {
            Kind::Scores { num_top, .. } => Some(num_top),
            _ => None,
        }
    }

    /// Position of the first row that is still to be read; none if there is none.
    pub(super) fn first_open(&self) -> Option<usize> {
        (!self.open.is_empty()).then_some(self.open.start)
    }

    /// Whether rows are still to be scored.
    pub(super) fn wants_scores(&self) -> bool {
        self.num_top().is_some() && !self.open.is_empty()
    }

    /// How many of these rows score a token.
    pub(super) fn num_scores(&self, rows: Range<usize>) -> usize {
        if self.num_top().is_some() { self.num_open(rows) } else { 0 }
    }

    /// Of how many of these rows the hidden state is read.
    pub(super) fn num_hidden(&self, rows: Range<usize>) -> usize {
        if self.is_pooled() { self.num_open(rows) } else { 0 }
    }

    fn num_open(&self, rows: Range<usize>) -> usize {
        rows.end.min(self.open.end).saturating_sub(rows.start.max(self.open.start))
    }

    /// Where rows from `start` on have to end if at most `max_scores` of them may score a token.
    pub(super) fn reach(&self, start: usize, max_scores: usize) -> usize {
        let end = start.max(self.open.start).saturating_add(max_scores);
        if self.wants_scores() && end < self.open.end { end } else { usize::MAX }
    }

    /// Enters the scores of the next rows of `prompt`; gives a piece when one is complete.
    pub(super) fn take_scores(
        &mut self,
        prompt: &[u32],
        scores: impl Iterator<Item = TokenLogprobs>,
    ) -> Option<Vec<ScoredToken>> {
        let Kind::Scores { piece, piece_len, .. } = &mut self.kind else { return None };
        for (row, logprobs) in self.open.clone().zip(scores) {
            piece.push(ScoredToken { token_id: prompt[row + 1], logprobs });
            self.open.start = row + 1;
        }
        let is_due = piece.len() >= *piece_len || self.open.is_empty();
        (is_due && !piece.is_empty()).then(|| std::mem::take(piece))
    }

    /// Enters the hidden state of the next row.
    pub(super) fn take_hidden(&mut self, row: &[f32]) {
        let Kind::Pooled { sums, num_read } = &mut self.kind else { return };
        if sums.is_empty() {
            sums.extend(row.iter().map(|&value| f64::from(value)));
        } else {
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        *num_read += 1;
        self.open.start += 1;
    }

    /// The mean of the rows, once all are read.
    pub(super) fn embedding(&self) -> Option<Vec<f32>> {
        let Kind::Pooled { sums, num_read } = &self.kind else { return None };
        let num_rows = *num_read as f64;
        self.open.is_empty().then(|| sums.iter().map(|sum| (sum / num_rows) as f32).collect())
    }

    /// The sequence has lost its blocks. What was read stays read.
    pub(super) fn lose_blocks(&mut self) {
        if planted(Bug::ScoresStartAgain) && self.num_top().is_some() {
            self.open.start = 0;
        }
        if let Kind::Pooled { sums, num_read } = &mut self.kind
            && planted(Bug::SumsAreForgotten)
        {
            sums.clear();
            *num_read = 0;
        }
    }
}

/// Length of the pieces of a prompt's scores.
fn piece_len(num_prompt: usize) -> usize {
    num_prompt.div_ceil(MAX_PIECES).max(MIN_PIECE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scoring(num_prompt: usize) -> (Vec<u32>, Readout) {
        let prompt: Vec<u32> = (0..num_prompt as u32).collect();
        let new = NewSequence { prompt_scores: Some(0), ..NewSequence::greedy(prompt.as_slice(), 1) };
        (prompt, Readout::new(&new))
    }

    fn score(logprob: f32) -> TokenLogprobs {
        TokenLogprobs { logprob, top: Vec::new() }
    }

    #[test]
    fn scores_come_in_order_in_few_pieces_however_they_are_computed() {
        for num_prompt in [1, 2, 256, 257, 258, 1_000, 30_000] {
            for step in [1, 7, 128] {
                let (prompt, mut readout) = scoring(num_prompt);
                let mut pieces = Vec::new();
                while let Some(first) = readout.first_open() {
                    let num_scores = readout.num_scores(first..first + step);
                    let scores = (0..num_scores).map(|row| score((first + row) as f32));
                    pieces.extend(readout.take_scores(&prompt, scores));
                }
                assert!(pieces.len() <= MAX_PIECES, "{} pieces of {num_prompt}", pieces.len());
                let all: Vec<ScoredToken> = pieces.concat();
                let expected = (1..num_prompt).map(|position| ScoredToken {
                    token_id: position as u32,
                    logprobs: score((position - 1) as f32),
                });
                assert_eq!(all, expected.collect::<Vec<_>>(), "{num_prompt} in steps of {step}");
            }
        }
    }

    #[test]
    fn rows_before_the_first_open_one_cost_no_scores() {
        let (prompt, mut readout) = scoring(10);
        readout.take_scores(&prompt, (0..4).map(|_| score(0.0)));
        assert_eq!(readout.num_scores(0..4), 0);
        assert_eq!(readout.num_scores(0..6), 2);
        assert_eq!(readout.num_scores(5..10), 4, "the last row is not the prompt's");
        assert_eq!(readout.reach(0, 3), 7);
        assert_eq!(readout.reach(0, 5), usize::MAX, "so many rows are all");
    }

    #[test]
    fn the_mean_is_summed_by_position() {
        let new = NewSequence { pooling: Some(Pooling::Mean), ..NewSequence::greedy([1, 2, 3], 0) };
        let mut readout = Readout::new(&new);
        for row in [[1.0, f32::MAX], [2.0, f32::MAX], [6.0, f32::MAX]] {
            assert_eq!(readout.embedding(), None);
            readout.take_hidden(&row);
        }
        assert_eq!(readout.embedding(), Some(vec![3.0, f32::MAX]), "f64 has room for the sum");
    }

    #[test]
    fn the_last_row_alone_is_the_embedding_as_it_came() {
        let new = NewSequence { pooling: Some(Pooling::Last), ..NewSequence::greedy([1, 2, 3], 0) };
        let mut readout = Readout::new(&new);
        assert_eq!((readout.num_hidden(0..2), readout.num_hidden(0..3), readout.num_hidden(2..3)), (0, 1, 1));
        readout.take_hidden(&[0.1, -0.0]);
        let values = readout.embedding().expect("the row was read");
        assert_eq!(
            values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(),
            [0.1_f32.to_bits(), (-0.0_f32).to_bits()]
        );
    }
}
