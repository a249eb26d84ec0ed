//! What the runs really held: a simulation in which nothing happens finds nothing.

/// How the sequences of a run ended, and what happened on the way.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) refused: usize,
    pub(super) turned_away: usize,
    pub(super) finished: usize,
    pub(super) failed: usize,
    pub(super) aborted_queued: usize,
    pub(super) aborted_preempted: usize,
    pub(super) aborted_parked: usize,
    pub(super) aborted_running: usize,
    pub(super) steps: usize,
    pub(super) prompt_tokens: usize,
    pub(super) cached_tokens: usize,
    pub(super) part_copies: usize,
    pub(super) shared_blocks: usize,
    pub(super) parked_steps: usize,
    pub(super) preemptions: usize,
    pub(super) yields: usize,
    pub(super) overdue: usize,
    pub(super) drafts: usize,
    pub(super) accepted_drafts: usize,
    pub(super) dropped_blocks: usize,
    pub(super) evictions: usize,
    /// Most steps of a run in thousandths of the tokens that it had to compute and generate.
    pub(super) max_steps_per_work: usize,
}

impl Tally {
    pub(super) fn aborted(&self) -> usize {
        self.aborted_queued + self.aborted_preempted + self.aborted_parked + self.aborted_running
    }

    /// Enters another run.
    pub(super) fn add(&mut self, other: &Self) {
        macro_rules! sum {
            ($($field:ident)+) => { $(self.$field += other.$field;)+ };
        }
        sum!(refused turned_away finished failed aborted_queued aborted_preempted aborted_parked aborted_running);
        sum!(steps prompt_tokens cached_tokens part_copies shared_blocks parked_steps preemptions yields overdue);
        sum!(drafts accepted_drafts dropped_blocks evictions);
        self.max_steps_per_work = self.max_steps_per_work.max(other.max_steps_per_work);
    }
}
