//! The scheduler: a pure, synchronous state machine over integers. No clock, randomness, channel or tensor.
//!
//! A step is `schedule` (who computes how many tokens), the forward pass and sampling by the caller, then `commit`
//! (or `fail_step`). Sequences are added and aborted between steps.
//!
//! Admission promises a sequence every block that it can ever need, and takes each when it is reached. So a running
//! sequence never runs dry, and the pool shows what is really held.

use std::collections::VecDeque;

use super::kv::{BlockPool, BlockTable};
use super::policy::{self, StepLimits, TokenBudget};
use super::sequence::{Phase, Sequence};
use super::{AdmissionError, FinishReason, NewSequence, SequenceError, SequenceId, TokenEvent};
use crate::model::KvCapacity;
use crate::sampling::SampleError;

/// Queue, running set and KV books.
#[derive(Debug)]
pub struct Scheduler {
    limits: StepLimits,
    block_size: u32,
    pool: BlockPool,
    /// Blocks promised to running sequences and not taken yet.
    num_promised: usize,
    /// In order of arrival.
    waiting: VecDeque<Sequence>,
    /// In order of admission.
    running: Vec<Sequence>,
    step_is_open: bool,
    /// Most prompt tokens of a step in which outputs advance too.
    max_prefill_tokens: usize,
}

/// One sequence's part of a step: its tokens `start..start + num_tokens` are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduledSequence {
    /// The sequence.
    pub id: SequenceId,
    /// Its index among the running sequences, valid until the step is committed.
    pub index: usize,
    /// Position of the first token.
    pub start: usize,
    /// Number of tokens, at least one.
    pub num_tokens: usize,
    /// Whether this reaches the last known token, so that the step gives the next one.
    pub samples: bool,
}

/// What one step computes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StepPlan {
    /// The parts, in the order of the batch.
    pub scheduled: Vec<ScheduledSequence>,
    /// Sequences that run for the first time, with the prompt tokens found in the prefix cache.
    pub admitted: Vec<Admission>,
}

impl StepPlan {
    /// Tokens that the step computes.
    pub fn num_tokens(&self) -> usize {
        self.scheduled.iter().map(|part| part.num_tokens).sum()
    }

    /// The parts that give a token, in the order of `ForwardBatch::sample_rows`.
    pub fn sampling(&self) -> impl Iterator<Item = &ScheduledSequence> {
        self.scheduled.iter().filter(|part| part.samples)
    }
}

/// A sequence that left the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// The sequence.
    pub id: SequenceId,
    /// Tokens of its prompt.
    pub num_prompt: usize,
    /// Those of them whose K and V were found in the prefix cache.
    pub num_cached: usize,
}

/// What a step led to.
#[derive(Debug, Default, PartialEq)]
pub struct StepOutcome {
    /// Events in order; a sequence's last is `Finished` or `Failed`.
    pub events: Vec<(SequenceId, TokenEvent)>,
    /// Prompt tokens of the sequences whose prompt was completed.
    pub num_prompt_tokens: usize,
    /// Tokens sampled, stop tokens included.
    pub num_generated_tokens: usize,
}

impl Scheduler {
    /// An idle scheduler over a free pool.
    ///
    /// # Panics
    /// If a limit is 0 or a step cannot take one token of every running sequence; `EngineConfig::faults` names
    /// these.
    pub fn new(limits: StepLimits, capacity: KvCapacity) -> Self {
        assert!(limits.max_num_seqs > 0 && limits.max_num_batched_tokens >= limits.max_num_seqs);
        Self {
            limits,
            block_size: capacity.block_size,
            pool: BlockPool::new(capacity.num_blocks),
            num_promised: 0,
            waiting: VecDeque::new(),
            running: Vec::new(),
            step_is_open: false,
            max_prefill_tokens: usize::MAX,
        }
    }

    /// From now on a step in which outputs advance computes at most this many prompt tokens, at least one.
    pub fn limit_prefill(&mut self, max_tokens: usize) {
        self.max_prefill_tokens = max_tokens.max(1);
    }

    /// Queues a sequence.
    ///
    /// # Errors
    /// [`AdmissionError`] if it has nothing to compute or can never fit the pool.
    pub fn add(&mut self, id: SequenceId, new: NewSequence) -> Result<(), AdmissionError> {
        if new.prompt.is_empty() || new.max_new_tokens == 0 {
            return Err(AdmissionError::NothingToDo);
        }
        let sequence = Sequence::new(id, new, self.block_size);
        let max = self.pool.num_total() * self.block_size as usize;
        if sequence.max_computed() > max {
            return Err(AdmissionError::NeverFits { needed: sequence.max_computed(), max });
        }
        debug_assert!(self.sequence(id).is_none(), "{id:?} is in the engine already");
        self.waiting.push_back(sequence);
        Ok(())
    }

    /// Forgets a sequence and frees its blocks. Says in which phase it was, `None` if it had ended before.
    pub fn abort(&mut self, id: SequenceId) -> Option<Phase> {
        assert!(!self.step_is_open, "sequences are aborted between steps");
        if let Some(index) = self.running.iter().position(|sequence| sequence.id() == id) {
            let sequence = self.running.remove(index);
            let phase = if sequence.num_output() == 0 { Phase::Prefill } else { Phase::Decode };
            self.release(sequence);
            self.check_books();
            return Some(phase);
        }
        let index = self.waiting.iter().position(|sequence| sequence.id() == id)?;
        self.waiting.remove(index);
        Some(Phase::Queued)
    }

    /// Plans a step and takes the blocks that it writes to. The plan is empty only if nothing waits or runs.
    pub fn schedule(&mut self) -> StepPlan {
        assert!(!self.step_is_open, "the last step was not committed");
        self.step_is_open = true;
        let mut budget = TokenBudget::new(self.limits);
        let mut plan = StepPlan::default();
        let turns: Vec<usize> = policy::turns(&self.running).collect();
        for index in turns {
            if budget.is_spent() {
                break;
            }
            plan.scheduled.push(self.advance(index, &mut budget));
        }
        while !budget.is_spent() {
            let Some(admission) = self.admit() else { break };
            plan.admitted.push(admission);
            plan.scheduled.push(self.advance(self.running.len() - 1, &mut budget));
        }
        self.check_books();
        plan
    }

    /// Moves the next waiting sequence to the running ones if there is room for all that it can ever need.
    fn admit(&mut self) -> Option<Admission> {
        if self.running.len() == self.limits.max_num_seqs {
            return None;
        }
        let next = policy::next_to_admit(&self.waiting)?;
        let needed = self.blocks_promised_to(&self.waiting[next]);
        if needed > self.pool.num_free() - self.num_promised {
            return None;
        }
        let sequence = self.waiting.remove(next).expect("the policy names a waiting sequence");
        self.num_promised += needed;
        let admission = Admission { id: sequence.id(), num_prompt: sequence.num_prompt(), num_cached: 0 };
        self.running.push(sequence);
        Some(admission)
    }

    /// Gives the running sequence at `index` its share of the budget and the blocks for it.
    fn advance(&mut self, index: usize, budget: &mut TokenBudget) -> ScheduledSequence {
        let sequence = &mut self.running[index];
        let start = sequence.num_computed;
        let num_tokens = budget.take(sequence.num_uncomputed());
        let taken = sequence
            .blocks
            .grow_to(start + num_tokens, &mut self.pool)
            .expect("the blocks were promised at admission");
        self.num_promised -= taken;
        let samples = num_tokens == sequence.num_uncomputed();
        ScheduledSequence { id: sequence.id(), index, start, num_tokens, samples }
    }

    /// Enters what the step computed. `sampled` has one result per part that samples, in the plan's order.
    ///
    /// # Panics
    /// If `plan` is not the open step's or `sampled` does not match it.
    pub fn commit(&mut self, plan: &StepPlan, sampled: &[Result<u32, SampleError>]) -> StepOutcome {
        self.close_step();
        assert_eq!(plan.sampling().count(), sampled.len(), "every part that samples has one result");
        let mut sampled = sampled.iter();
        let mut outcome = StepOutcome::default();
        let mut ended = Vec::new();
        for part in &plan.scheduled {
            let sequence = &mut self.running[part.index];
            assert_eq!(sequence.id(), part.id, "the plan is the open step's");
            sequence.num_computed = part.start + part.num_tokens;
            if !part.samples {
                continue;
            }
            if sequence.num_output() == 0 {
                outcome.num_prompt_tokens += sequence.num_prompt();
            }
            let ending = match *sampled.next().expect("the counts are equal") {
                Err(_) => Some(TokenEvent::Failed { error: SequenceError::InvalidLogits }),
                Ok(token_id) => {
                    outcome.num_generated_tokens += 1;
                    if sequence.stops_at(token_id) {
                        Some(TokenEvent::finished(FinishReason::StopToken { token_id }))
                    } else {
                        outcome.events.push((part.id, TokenEvent::Token { token_id, logprobs: None }));
                        let is_last = sequence.push(token_id);
                        is_last.then_some(TokenEvent::finished(FinishReason::Length))
                    }
                }
            };
            if let Some(event) = ending {
                outcome.events.push((part.id, event));
                ended.push(part.index);
            }
        }
        self.end(ended);
        outcome
    }

    /// Ends every sequence of a step whose forward pass failed.
    pub fn fail_step(&mut self, plan: &StepPlan, error: &SequenceError) -> StepOutcome {
        self.close_step();
        self.end(plan.scheduled.iter().map(|part| part.index).collect());
        let failed = |part: &ScheduledSequence| (part.id, TokenEvent::Failed { error: error.clone() });
        StepOutcome { events: plan.scheduled.iter().map(failed).collect(), ..StepOutcome::default() }
    }

    fn close_step(&mut self) {
        assert!(self.step_is_open, "a step is entered once");
        self.step_is_open = false;
    }

    /// Removes the running sequences at these indices; the others keep their order.
    fn end(&mut self, mut indices: Vec<usize>) {
        if indices.is_empty() {
            return;
        }
        indices.sort_unstable();
        let mut ending = indices.into_iter().peekable();
        let mut kept = Vec::with_capacity(self.running.len());
        for (index, sequence) in std::mem::take(&mut self.running).into_iter().enumerate() {
            if ending.next_if_eq(&index).is_some() {
                self.release(sequence);
            } else {
                kept.push(sequence);
            }
        }
        self.running = kept;
        self.check_books();
    }

    /// Frees the blocks of a sequence that was running, and those that it was promised.
    fn release(&mut self, mut sequence: Sequence) {
        self.num_promised -= self.blocks_promised_to(&sequence);
        sequence.blocks.release_to(&mut self.pool);
    }

    /// Blocks that a sequence can still need beyond those that it holds.
    fn blocks_promised_to(&self, sequence: &Sequence) -> usize {
        let most = BlockTable::blocks_for(sequence.max_computed(), self.block_size);
        most - sequence.blocks().blocks().len()
    }

    /// In debug builds: every block is free or owned by a running table, and what was promised is there.
    fn check_books(&self) {
        debug_assert!(self.num_promised <= self.pool.num_free(), "more blocks are promised than free");
        debug_assert_eq!(
            self.num_promised,
            self.running.iter().map(|sequence| self.blocks_promised_to(sequence)).sum::<usize>(),
            "the promises add up"
        );
        debug_assert_eq!(
            self.pool.num_used(),
            self.running.iter().map(|sequence| sequence.blocks().blocks().len()).sum::<usize>(),
            "a block is used if and only if one table lists it"
        );
    }

    /// Whether a sequence waits or runs.
    pub fn has_work(&self) -> bool {
        !self.waiting.is_empty() || !self.running.is_empty()
    }

    /// The sequence of a part of the open step.
    pub fn scheduled(&self, part: &ScheduledSequence) -> &Sequence {
        &self.running[part.index]
    }

    /// A sequence that waits or runs.
    pub fn sequence(&self, id: SequenceId) -> Option<&Sequence> {
        self.running.iter().chain(&self.waiting).find(|sequence| sequence.id() == id)
    }

    /// Running sequences in order of admission.
    pub fn running(&self) -> &[Sequence] {
        &self.running
    }

    /// Waiting sequences in order of arrival.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &Sequence> {
        self.waiting.iter()
    }

    /// The KV books.
    pub fn pool(&self) -> &BlockPool {
        &self.pool
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
