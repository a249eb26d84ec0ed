//! What the world knows of one sequence: what was submitted, what must come out, and what has happened to it.

use super::contents::{self, Name};
use super::ledger::Waiting;
use super::oracle::Expected;
use super::scenario::Fate;
use crate::engine::{DraftCounts, FinishReason, NewSequence, Pooling, SequenceError, SequenceId};

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) sequence: NewSequence,
    pub(super) expected: Expected,
    pub(super) fate: Fate,
    pub(super) arrived: usize,
    /// Whether it left the queue for the first time.
    pub(super) was_taken: bool,
    /// Whether the engine has said that it computes.
    pub(super) was_announced: bool,
    pub(super) was_preempted: bool,
    /// What came out.
    pub(super) tokens: Vec<u32>,
    pub(super) num_scores: usize,
    /// Rows of its prompt that were scored or summed.
    pub(super) num_read: usize,
    pub(super) has_embedding: bool,
    pub(super) drafts: DraftCounts,
    /// Names of the beginnings of prompt and expected output.
    pub(super) names: Vec<Name>,
    /// What ends it before its time, and after how many tokens, if that happened in this step.
    pub(super) disturbed: Option<(SequenceError, usize)>,
}

impl Tracked {
    pub(super) fn new(sequence: NewSequence, expected: Expected, fate: Fate, arrived: usize) -> Self {
        let known: Vec<u32> = sequence.prompt.iter().chain(&expected.tokens).copied().collect();
        Self {
            names: contents::names(&sequence.cache_salt, &known),
            sequence,
            expected,
            fate,
            arrived,
            was_taken: false,
            was_announced: false,
            was_preempted: false,
            tokens: Vec::new(),
            num_scores: 0,
            num_read: 0,
            has_embedding: false,
            drafts: DraftCounts::default(),
            disturbed: None,
        }
    }

    pub(super) fn waiting(&self, id: SequenceId) -> Waiting {
        Waiting { id, tenant: self.sequence.tenant, priority: self.sequence.priority }
    }

    /// Whether all rows of its prompt are to be computed, whatever the prefix cache has.
    pub(super) fn wants_all_rows(&self) -> bool {
        self.sequence.prompt_scores.is_some() || self.sequence.pooling == Some(Pooling::Mean)
    }

    /// The tokens that the next rows must give, a token that stops it last.
    pub(super) fn to_come(&self) -> impl Iterator<Item = u32> + '_ {
        let stop = match self.expected.reason {
            FinishReason::StopToken { token_id } => Some(token_id),
            _ => None,
        };
        self.expected.tokens[self.tokens.len()..].iter().copied().chain(stop)
    }

    /// How many of these guesses are right.
    pub(super) fn num_right(&self, drafts: &[u32]) -> usize {
        self.to_come().zip(drafts).take_while(|(token, draft)| token == *draft).count()
    }

    /// Rows of a part with these guesses that count: those after a wrong guess do not.
    pub(super) fn num_telling(&self, drafts: &[u32]) -> usize {
        (self.num_right(drafts) + 1).min(self.to_come().count())
    }
}
