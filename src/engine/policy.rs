//! Who goes first and who gives way: the scheduler's choices, apart from its books.

use super::EngineConfig;
use super::planted::{Bug, planted};
use super::sequence::Sequence;
use super::tenants::Tenants;

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
pub(super) struct TokenBudget {
    num_left: usize,
    /// Of these, tokens of prompts.
    num_prefill_left: usize,
    /// Rows that score tokens of prompts.
    num_scores_left: usize,
}

impl TokenBudget {
    pub(super) fn new(limits: StepLimits, max_scored_rows: usize) -> Self {
        let num_left = limits.max_num_batched_tokens;
        Self { num_left, num_prefill_left: num_left, num_scores_left: max_scored_rows }
    }

    /// Outputs advance in this step: prompts get at most `max_tokens`.
    pub(super) fn limit_prefill(&mut self, max_tokens: usize) {
        if !planted(Bug::PrefillIsUnlimited) {
            self.num_prefill_left = self.num_prefill_left.min(max_tokens);
        }
    }

    pub(super) fn take(&mut self, num_tokens: usize) {
        self.num_left -= num_tokens;
    }

    pub(super) fn take_prefill(&mut self, num_tokens: usize) {
        self.take(num_tokens);
        self.num_prefill_left -= num_tokens;
    }

    pub(super) fn take_scores(&mut self, num_rows: usize) {
        if !planted(Bug::ScoresAreUnlimited) {
            self.num_scores_left -= num_rows;
        }
    }

    pub(super) fn num_scores_left(&self) -> usize {
        self.num_scores_left
    }

    pub(super) fn num_left(&self) -> usize {
        self.num_left
    }

    pub(super) fn num_prefill_left(&self) -> usize {
        self.num_prefill_left.min(self.num_left)
    }
}

/// The key by which unfinished prompts draw on a step's budget: the overdue and the more urgent first, then those of
/// the tenant that has had least, then who came first.
pub(super) fn prefill_turn(sequence: &Sequence, tenants: &Tenants) -> impl Ord + use<> {
    let (is_not_overdue, priority, id) = sequence.rank();
    (is_not_overdue, priority, tenants.service(sequence.tenant()), id)
}

/// Unfinished prompts that may use half of what `first`, whose turn it is, would get: those as urgent of which
/// less than half as much is left, the shortest first. So a long prompt makes short ones wait for a step or two, not
/// until it is done, and is delayed by them to twice its time at most.
pub(super) fn who_passes<'a>(
    first: &Sequence,
    others: impl Iterator<Item = &'a Sequence>,
) -> Vec<&'a Sequence> {
    let class = |sequence: &Sequence| (sequence.is_overdue, sequence.priority());
    let is_short = |sequence: &&Sequence| 2 * sequence.num_uncomputed() < first.num_uncomputed();
    let mut passing: Vec<_> =
        others.filter(|sequence| class(sequence) == class(first)).filter(is_short).collect();
    passing.sort_by_key(|sequence| (sequence.num_uncomputed(), sequence.id()));
    passing
}

/// Whom `candidate` may push out, one after the other until it has room: first the less urgent, the last of them
/// first. If none of its tenant's sequences runs, also the last to come of whichever tenant has most running, as long
/// as that leaves it one and the candidate is still next with that one in the queue. Who was admitted because it had
/// waited too long stays.
pub(super) fn who_yields<'a>(
    candidate: &Sequence,
    running: impl DoubleEndedIterator<Item = &'a Sequence> + Clone,
    tenants: &Tenants,
) -> Vec<&'a Sequence> {
    let may_yield = |sequence: &&Sequence| !sequence.is_overdue;
    let less_urgent = |sequence: &&Sequence| sequence.priority() > candidate.priority();
    let mut yielding: Vec<&Sequence> = running.clone().rev().filter(may_yield).filter(less_urgent).collect();
    if tenants.num_running(candidate.tenant()) > 0 {
        return yielding;
    }
    let turn = |sequence: &Sequence| (tenants.service(sequence.tenant()), sequence.id());
    let comes_later = |sequence: &&Sequence| turn(sequence) > turn(candidate);
    let is_equal = |sequence: &&Sequence| sequence.priority() == candidate.priority();
    let mut equals: Vec<&Sequence> = running.filter(may_yield).filter(is_equal).filter(comes_later).collect();
    let mut num_running: std::collections::BTreeMap<_, usize> = std::collections::BTreeMap::new();
    for sequence in &equals {
        *num_running.entry(sequence.tenant()).or_default() += 1;
    }
    while let Some((&tenant, count)) =
        num_running.iter_mut().max_by_key(|(tenant, count)| (**count, **tenant))
    {
        if *count < 2 {
            break;
        }
        *count -= 1;
        let last = equals.iter().rposition(|sequence| sequence.tenant() == tenant);
        yielding.push(equals.remove(last.expect("it was counted")));
    }
    yielding
}
