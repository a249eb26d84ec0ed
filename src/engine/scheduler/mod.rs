//! The scheduler: a pure, synchronous state machine over integers. No clock, randomness, channel or tensor.
//!
//! A step is `schedule` (who computes how many tokens), the forward pass and sampling by the caller, then `commit`
//! (or `fail_step`). Sequences are added and aborted between steps.
//!
//! Running sequences stand in the order of their ranks: overdue, urgent, first to come. Blocks are taken when they are
//! needed. If none is free, the last in that order loses its own and waits again; what it had computed stays in the
//! prefix cache as long as nobody overwrites it, the rest is computed again. The first in the order never loses its
//! blocks, and any sequence alone fits, so there is always one that advances.

mod commit;
mod plan;

use std::collections::HashMap;
use std::sync::Arc;

use super::kv::{HashKey, InFlight, KvBlocks};
use super::planted::{Bug, planted};
use super::policy::StepLimits;
use super::prompt_lookup::PromptLookup;
use super::sequence::{Phase, Sequence, Stage};
use super::step::{ScheduledSequence, StepPlan};
use super::tenants::Tenants;
use super::wait_queue::WaitQueue;
use super::{AdmissionError, NewSequence, SequenceId, SpeculationConfig};
use crate::model::{KvCapacity, KvGroup};

/// Most rows of a step that score tokens of prompts, over all sequences. Each takes a row of logits in f32 and a softmax
/// over the whole vocabulary on the engine's thread: at 102,400 tokens that many rows are 50 MiB.
pub const MAX_SCORED_ROWS: usize = 128;

/// What a scheduler is made of.
#[derive(Debug, Clone)]
pub struct SchedulerConfig {
    /// Limits of a step.
    pub limits: StepLimits,
    /// Size of the KV pool.
    pub capacity: KvCapacity,
    /// Groups of layers with block tables of their own, at least one.
    pub groups: Vec<KvGroup>,
    /// The prefix cache's secret; none turns it off.
    pub prefix_cache: Option<HashKey>,
    /// Guessing ahead.
    pub speculation: SpeculationConfig,
    /// Most rows of a step that score tokens of prompts, at least one.
    pub max_scored_rows: usize,
}

impl SchedulerConfig {
    /// A scheduler for layers that see everything, without prefix cache and guesses.
    pub fn new(limits: StepLimits, capacity: KvCapacity) -> Self {
        let groups = vec![KvGroup { window: None }];
        Self {
            limits,
            capacity,
            groups,
            prefix_cache: None,
            speculation: SpeculationConfig::default(),
            max_scored_rows: MAX_SCORED_ROWS,
        }
    }
}

/// What becomes of the contents of a sequence's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// The prefix cache may find them.
    All,
    /// They cannot be trusted.
    Nothing,
}

/// Queue, running set and KV books.
#[derive(Debug)]
pub struct Scheduler {
    limits: StepLimits,
    speculation: SpeculationConfig,
    max_scored_rows: usize,
    /// Most prompt tokens of a step in which outputs advance too.
    max_prefill_tokens: usize,
    kv: KvBlocks,
    in_flight: InFlight,
    tenants: Tenants,
    waiting: WaitQueue,
    /// All sequences; a slot is kept until the sequence has ended.
    sequences: Vec<Option<Sequence>>,
    vacant: Vec<usize>,
    slots: HashMap<SequenceId, usize>,
    /// Slots in the order of rank.
    running: Vec<usize>,
    step_is_open: bool,
}

impl Scheduler {
    /// An idle scheduler over a free pool.
    ///
    /// # Panics
    /// If a limit is 0 or a step cannot take one token of every running sequence; `EngineConfig::faults` names
    /// these.
    pub fn new(config: SchedulerConfig) -> Self {
        let SchedulerConfig { limits, capacity, groups, prefix_cache, speculation, max_scored_rows } = config;
        assert!(limits.max_num_seqs > 0 && limits.max_num_batched_tokens >= limits.max_num_seqs);
        assert!(max_scored_rows > 0);
        Self {
            limits,
            speculation,
            max_scored_rows,
            max_prefill_tokens: usize::MAX,
            kv: KvBlocks::new(capacity, groups, limits.max_num_batched_tokens, prefix_cache),
            in_flight: InFlight::default(),
            tenants: Tenants::default(),
            waiting: WaitQueue::default(),
            sequences: Vec::new(),
            vacant: Vec::new(),
            slots: HashMap::new(),
            running: Vec::new(),
            step_is_open: false,
        }
    }

    /// From now on a step in which outputs advance computes at most this many prompt tokens, at least one.
    pub fn limit_prefill(&mut self, max_tokens: usize) {
        self.max_prefill_tokens = max_tokens.max(1);
    }

    /// The longest sequence of at most `limit` tokens that can ever run.
    pub fn longest(&self, limit: usize) -> usize {
        self.kv.longest(limit)
    }

    /// Queues a sequence.
    ///
    /// # Errors
    /// [`AdmissionError`] if it has nothing to compute or can never fit the pool.
    pub fn add(&mut self, id: SequenceId, new: NewSequence) -> Result<(), AdmissionError> {
        let is_read = new.prompt_scores.is_some() || new.pooling.is_some();
        if new.prompt.is_empty() || !(new.generates() || is_read) {
            return Err(AdmissionError::NothingToDo);
        }
        if new.prompt_scores.is_some() && new.pooling.is_some() {
            return Err(AdmissionError::ScoresAndPooling);
        }
        let blocks = self.kv.sequence(&new.cache_salt);
        let prediction = Arc::clone(&new.prediction);
        let mut sequence = Sequence::new(id, new, blocks);
        let needed = self.kv.most_held(sequence.max_computed());
        if needed > self.kv.pool().num_total() {
            let num_blocks = self.kv.pool().num_total();
            return Err(AdmissionError::NeverFits { needed, num_blocks });
        }
        if self.speculation.max_draft_tokens > 0 && sequence.generates() {
            sequence.lookup = Some(PromptLookup::new(self.speculation).expecting(prediction));
        }
        debug_assert!(!self.slots.contains_key(&id), "{id:?} is in the engine already");
        self.tenants.enter(sequence.tenant());
        self.waiting.insert(id, sequence.priority(), sequence.tenant());
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.sequences.push(None);
            self.sequences.len() - 1
        });
        self.slots.insert(id, slot);
        self.sequences[slot] = Some(sequence);
        Ok(())
    }

    /// Forgets a sequence and frees its blocks. Says in which phase it was, `None` if it had ended before.
    pub fn abort(&mut self, id: SequenceId) -> Option<Phase> {
        assert!(!self.step_is_open, "sequences are aborted between steps");
        let slot = *self.slots.get(&id)?;
        let phase = self.at(slot).phase();
        match phase {
            Phase::Queued => self.waiting.remove(id),
            Phase::Prefill if planted(Bug::AbortKeepsBlocks) => {
                self.running.retain(|&other| other != slot);
                self.tenants.stop(self.at(slot).tenant());
            }
            Phase::Prefill | Phase::Decode => self.stop(slot, Keep::All),
        }
        self.forget(slot);
        self.check_books();
        Some(phase)
    }

    fn grow(&mut self, slot: usize, num_tokens: usize) -> bool {
        let sequence = self.sequences[slot].as_mut().expect("the slot is taken");
        self.kv.grow_to(&mut sequence.blocks, num_tokens)
    }

    /// Takes a running sequence's blocks away; it waits again, in its old place.
    fn preempt(&mut self, slot: usize, plan: &mut StepPlan) {
        self.stop(slot, Keep::All);
        let sequence = self.sequences[slot].as_mut().expect("the slot is taken");
        if !planted(Bug::PreemptionKeepsComputed) {
            sequence.num_computed = 0;
        }
        if planted(Bug::PreemptionForgetsOutput) {
            sequence.forget_output();
        }
        sequence.readout.lose_blocks();
        sequence.stage = Stage::Waiting;
        sequence.is_overdue = false;
        self.waiting.insert(sequence.id(), sequence.priority(), sequence.tenant());
        plan.preempted.push(sequence.id());
    }

    /// Removes a sequence from the running ones and takes its blocks back.
    fn stop(&mut self, slot: usize, keep: Keep) {
        let rank = self.at(slot).rank();
        let place = self.running.partition_point(|&other| self.at(other).rank() < rank);
        assert_eq!(self.running.remove(place), slot, "running sequences stand in the order of rank");
        let sequence = self.sequences[slot].as_mut().expect("the slot is taken");
        self.in_flight.leave(sequence.id(), sequence.claims.drain(..));
        self.tenants.stop(sequence.tenant());
        sequence.drafts.clear();
        let num_computed = sequence.num_computed;
        let (tokens, blocks) = sequence.tokens_and_blocks();
        match keep {
            Keep::All => self.kv.release(blocks, tokens, num_computed),
            Keep::Nothing => self.kv.discard(blocks),
        }
    }

    /// Forgets a sequence that neither waits nor runs.
    fn forget(&mut self, slot: usize) {
        let sequence = self.sequences[slot].take().expect("the slot is taken");
        self.slots.remove(&sequence.id());
        self.tenants.leave(sequence.tenant());
        self.vacant.push(slot);
    }

    pub(super) fn at_mut(&mut self, slot: usize) -> &mut Sequence {
        self.sequences[slot].as_mut().expect("the slot is taken")
    }

    fn at(&self, slot: usize) -> &Sequence {
        self.sequences[slot].as_ref().expect("the slot is taken")
    }

    /// In debug builds: what the tables hold is what the pool has lent, and everybody stands where he should.
    fn check_books(&self) {
        debug_assert_eq!(
            self.kv.pool().num_references(),
            self.running().map(|sequence| sequence.blocks().num_held()).sum::<usize>(),
            "a block has as many owners as tables that list it"
        );
        debug_assert!(
            self.running().is_sorted_by_key(Sequence::rank),
            "who keeps blocks longest stands first"
        );
        debug_assert_eq!(
            self.slots.len(),
            self.running.len() + self.waiting.len(),
            "everybody waits or runs"
        );
        debug_assert!(
            !self.running.is_empty() || self.in_flight.is_empty(),
            "an idle engine computes no block"
        );
    }

    /// Whether a sequence waits or runs.
    pub fn has_work(&self) -> bool {
        !self.slots.is_empty()
    }

    /// The sequence of a part of the open step.
    pub fn scheduled(&self, part: &ScheduledSequence) -> &Sequence {
        self.at(part.slot)
    }

    /// The same for who chooses its tokens.
    pub(super) fn scheduled_mut(&mut self, part: &ScheduledSequence) -> &mut Sequence {
        self.at_mut(part.slot)
    }

    /// A sequence that waits or runs.
    pub fn sequence(&self, id: SequenceId) -> Option<&Sequence> {
        self.slots.get(&id).map(|&slot| self.at(slot))
    }

    /// Running sequences; the first keeps its blocks longest.
    pub fn running(&self) -> impl DoubleEndedIterator<Item = &Sequence> + ExactSizeIterator + Clone {
        self.running.iter().map(|&slot| self.at(slot))
    }

    /// Waiting sequences in order of arrival, those that lost their blocks among them.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &Sequence> {
        self.waiting.ids().map(|id| self.at(self.slots[&id]))
    }

    /// The KV books.
    pub fn kv(&self) -> &KvBlocks {
        &self.kv
    }
}

#[cfg(test)]
mod tests;
