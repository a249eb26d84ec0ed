//! Who goes first: the scheduler's choices, apart from its books.

use std::collections::VecDeque;

use super::EngineConfig;
use super::sequence::Sequence;

/// Limits of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepLimits {
    /// Most sequences that run at the same time.
    pub max_num_seqs: usize,
    /// Most tokens computed in one step, at least `max_num_seqs`.
    pub max_num_batched_tokens: usize,
}

impl From<&EngineConfig> for StepLimits {
    fn from(config: &EngineConfig) -> Self {
        Self { max_num_seqs: config.max_num_seqs, max_num_batched_tokens: config.max_num_batched_tokens }
    }
}

/// The tokens that a step may still compute.
#[derive(Debug)]
pub(super) struct TokenBudget(usize);

impl TokenBudget {
    pub(super) fn new(limits: StepLimits) -> Self {
        Self(limits.max_num_batched_tokens)
    }

    /// Takes as much of `wanted` as is left.
    pub(super) fn take(&mut self, wanted: usize) -> usize {
        let taken = wanted.min(self.0);
        self.0 -= taken;
        taken
    }

    pub(super) fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

/// The order in which running sequences draw on the budget, as indices: those that need a single token first, so
/// that a long prompt never delays running outputs, then those with more to compute; each group in the order of
/// admission, so that the oldest prompt is the next to be done.
pub(super) fn turns(running: &[Sequence]) -> impl Iterator<Item = usize> {
    let indices_where = move |single: bool| {
        running
            .iter()
            .enumerate()
            .filter(move |(_, sequence)| (sequence.num_uncomputed() == 1) == single)
            .map(|(index, _)| index)
    };
    indices_where(true).chain(indices_where(false))
}

/// The waiting sequence that is admitted next, as an index: strictly the first to come. One that does not fit yet
/// is not overtaken, so that a large sequence is never starved by small ones.
pub(super) fn next_to_admit(waiting: &VecDeque<Sequence>) -> Option<usize> {
    (!waiting.is_empty()).then_some(0)
}
