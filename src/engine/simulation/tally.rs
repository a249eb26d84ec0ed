//! What the runs really held: a simulation in which nothing happens finds nothing.

/// How the sequences of a run ended, and what happened on the way.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) refused: usize,
    pub(super) turned_away: usize,
    pub(super) finished: usize,
    /// Those of them whose constraint let nothing follow.
    pub(super) completed: usize,
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
    /// Who made way for another and had its place back in the same step.
    pub(super) needless_yields: usize,
    pub(super) overdue: usize,
    pub(super) drafts: usize,
    pub(super) accepted_drafts: usize,
    /// Places that windows had left behind, summed over sequences and steps.
    pub(super) dropped_places: usize,
    pub(super) evictions: usize,
    /// Prompt tokens that were scored.
    pub(super) scores: usize,
    pub(super) embeddings: usize,
    /// Scored or averaged prompts that lost their blocks half way.
    pub(super) interrupted_readouts: usize,
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
        sum!(refused turned_away finished completed failed aborted_queued aborted_preempted aborted_parked aborted_running);
        sum!(steps prompt_tokens cached_tokens part_copies shared_blocks parked_steps preemptions yields needless_yields overdue);
        sum!(drafts accepted_drafts dropped_places evictions scores embeddings interrupted_readouts);
        self.max_steps_per_work = self.max_steps_per_work.max(other.max_steps_per_work);
    }

    /// Checks that the runs of the usual number of seeds really held what they are for.
    pub(super) fn check_it_is_broad(&self) {
        macro_rules! at_least {
            ($($field:ident $least:literal)+) => {
                $(assert!(self.$field >= $least, "only {} {}", self.$field, stringify!($field));)+
            };
        }
        at_least! {
            finished 50_000  completed 3_000  failed 2_000  refused 1_000  turned_away 1_000
            aborted_queued 500  aborted_preempted 200  aborted_parked 50  aborted_running 3_000
            cached_tokens 100_000  part_copies 10_000  shared_blocks 30_000  parked_steps 1_000
            preemptions 5_000  yields 2_000  overdue 300  evictions 100_000
            drafts 30_000  accepted_drafts 8_000  dropped_places 50_000
            scores 50_000  embeddings 3_000  interrupted_readouts 100
        }
        assert!(self.needless_yields * 100 < self.yields, "{} needless yields", self.needless_yields);
    }
}
