//! Who computes how many tokens in the next step.

use std::collections::HashSet;

use super::Scheduler;
use crate::engine::SequenceId;
use crate::engine::kv::{BlockId, BlockTable};
use crate::engine::planted::{Bug, planted};
use crate::engine::policy::{self, TokenBudget};
use crate::engine::sequence::{Sequence, Stage};
use crate::engine::step::{Admission, ScheduledSequence, StepPlan};
use crate::engine::wait_queue::Next;

/// One in so many blocks of the pool is left to running outputs when a sequence is admitted.
const WATERMARK: usize = 8;

/// Whether a sequence waits for blocks that others are computing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    ForNeighbours,
    None,
}

impl Scheduler {
    /// Plans a step and takes the blocks that it writes to. The plan is empty only if nothing waits or runs.
    pub fn schedule(&mut self) -> StepPlan {
        assert!(!self.step_is_open, "the last step was not committed");
        self.step_is_open = true;
        let mut budget = TokenBudget::new(self.limits, self.max_scored_rows);
        let mut plan = StepPlan::default();
        self.yield_to_next(&mut plan);
        self.plan_outputs(&mut plan, &mut budget);
        if !plan.scheduled.is_empty() {
            budget.limit_prefill(self.max_prefill_tokens);
        }
        self.admit();
        self.plan_prompts(&mut plan, &mut budget);
        if let (true, Some(&first)) = (plan.scheduled.is_empty(), self.running.first()) {
            // Everybody waits for a neighbour's blocks or for free ones: the first needs to wait for nobody.
            self.plan_prompt(first, Patience::None, usize::MAX, &mut plan, &mut budget);
        }
        self.check_books();
        plan
    }

    /// Who is next in the queue but finds no room may push others out, as few as the policy allows that give it room;
    /// none if all of them would not.
    fn yield_to_next(&mut self, plan: &mut StepPlan) {
        let Some(Next { id, is_overdue: false }) = self.waiting.next(&self.tenants) else { return };
        let candidate = self.slots[&id];
        self.name(candidate);
        if self.running.is_empty() || self.has_room_for(candidate) {
            return;
        }
        let candidate = self.at(candidate);
        let yielding = policy::who_yields(candidate, self.running(), &self.tenants);
        if yielding.is_empty() {
            return;
        }
        let mut room = self.room();
        let mut freed = HashSet::new();
        for (index, sequence) in yielding.iter().enumerate() {
            let held = sequence.blocks().tables().iter().flat_map(BlockTable::held);
            freed.extend(held.copied().filter(|block| self.kv.pool().ref_count(*block) == 1));
            room.leave(sequence, self);
            if self.needs_at_most(candidate, room.num_left(freed.len(), self), &freed) {
                let ids: Vec<SequenceId> = yielding[..=index].iter().map(|sequence| sequence.id()).collect();
                ids.into_iter().for_each(|id| self.preempt(self.slots[&id], plan));
                return;
            }
        }
    }

    /// Running outputs advance by a token each, in the order of rank, and check their guesses.
    fn plan_outputs(&mut self, plan: &mut StepPlan, budget: &mut TokenBudget) {
        let mut turn = 0;
        let mut num_spare = self.blocks_to_spare();
        while let Some(&slot) = self.running.get(turn) {
            if !self.at(slot).is_decoding() {
                turn += 1;
                continue;
            }
            let start = self.at(slot).num_computed();
            if !self.make_room(slot, start + 1, plan) {
                continue;
            }
            turn += 1;
            // A token is left for each of the others, unfinished prompts included, and for who may come next.
            let has_place = self.waiting.len() > 0 && self.running.len() < self.limits.max_num_seqs;
            let num_others = self.running.len() - plan.scheduled.len() - 1 + usize::from(has_place);
            let max_drafts = budget.num_left().saturating_sub(1 + num_others);
            let num_drafts = self.guess(slot, max_drafts, &mut num_spare);
            let num_tokens = 1 + num_drafts;
            budget.take(num_tokens);
            plan.scheduled.push(self.part(slot, num_tokens));
        }
    }

    /// The next `num_tokens` tokens of a sequence, guesses included, and what is wanted of their rows.
    fn part(&self, slot: usize, num_tokens: usize) -> ScheduledSequence {
        let sequence = self.at(slot);
        let start = sequence.num_computed();
        let end = start + num_tokens;
        let num_telling = (end + 1).saturating_sub(sequence.num_tokens());
        ScheduledSequence {
            id: sequence.id(),
            slot,
            start,
            num_tokens,
            num_samples: if sequence.readout.is_pooled() { 0 } else { num_telling },
            num_scores: sequence.readout.num_scores(start..end),
            num_hidden: sequence.readout.num_hidden(start..end),
            completes: num_telling > 0,
        }
    }

    /// Takes blocks until `num_tokens` tokens of a sequence fit, from the last in the order of rank if need be. Says
    /// `false` if it was the last itself and has lost its own.
    fn make_room(&mut self, slot: usize, num_tokens: usize, plan: &mut StepPlan) -> bool {
        while !self.grow(slot, num_tokens) {
            let last = match planted(Bug::FirstIsPreempted) {
                true => self.running[0],
                false => *self.running.last().expect("the sequence itself runs"),
            };
            self.preempt(last, plan);
            if last == slot {
                return false;
            }
        }
        true
    }

    /// Guesses for a running output, where that takes neither a token nor a block from others.
    fn guess(&mut self, slot: usize, max_tokens: usize, num_spare: &mut usize) -> usize {
        if self.speculation.max_draft_tokens == 0 || max_tokens == 0 || !self.at(slot).generates() {
            return 0;
        }
        let (size, num_groups) = (self.kv.block_size() as usize, self.kv.groups().len());
        let sequence = self.sequences[slot].as_mut().expect("the slot is taken");
        let num_places = sequence.blocks.num_places();
        let reach = (num_places + *num_spare / num_groups) * size;
        sequence.guess(max_tokens.min(reach - sequence.num_computed - 1));
        let num_drafts = sequence.drafts.len();
        let num_tokens = sequence.num_computed + 1 + num_drafts;
        assert!(self.grow(slot, num_tokens), "the guesses fit into what is free");
        *num_spare -= (self.at(slot).blocks.num_places() - num_places) * num_groups;
        num_drafts
    }

    /// Free blocks for which nobody waits, and which no running sequence needs for the tokens that it knows.
    fn blocks_to_spare(&self) -> usize {
        if self.speculation.max_draft_tokens == 0 || self.waiting.len() > 0 {
            return 0;
        }
        let needed = |sequence: &Sequence| match sequence.is_decoding() {
            true => self.kv.groups().len(),
            false => self.num_promised(sequence),
        };
        let num_needed = if planted(Bug::GuessesTakeAll) { 0 } else { self.running().map(needed).sum() };
        self.kv.pool().num_free().saturating_sub(num_needed)
    }

    /// Unfinished prompts advance as far as the budget goes.
    fn plan_prompts(&mut self, plan: &mut StepPlan, budget: &mut TokenBudget) {
        if plan.scheduled.len() == self.running.len() {
            return;
        }
        let unfinished = self.running.iter().copied().filter(|&slot| !self.at(slot).is_decoding());
        let mut turns: Vec<usize> = unfinished.collect();
        turns.sort_by_cached_key(|&slot| policy::prefill_turn(self.at(slot), &self.tenants));
        let Some((&first, others)) = turns.split_first() else { return };
        let passing = policy::who_passes(self.at(first), others.iter().map(|&slot| self.at(slot)));
        let passing: Vec<usize> = passing.iter().map(|sequence| self.slots[&sequence.id()]).collect();
        let share = if passing.is_empty() { usize::MAX } else { budget.num_prefill_left().div_ceil(2) };
        self.plan_prompt(first, Patience::ForNeighbours, share, plan, budget);
        for slot in passing {
            self.plan_prompt(slot, Patience::ForNeighbours, usize::MAX, plan, budget);
        }
        for slot in turns {
            match plan.scheduled.iter().position(|part| part.slot == slot) {
                Some(index) => self.extend_part(&mut plan.scheduled[index], budget),
                None => self.plan_prompt(slot, Patience::ForNeighbours, usize::MAX, plan, budget),
            }
        }
    }

    /// An unfinished prompt that got a share of the budget takes what others left of it, as far as blocks are free.
    fn extend_part(&mut self, part: &mut ScheduledSequence, budget: &mut TokenBudget) {
        let sequence = self.at(part.slot);
        let planned = part.start + part.num_tokens;
        let end = self.kv.reach(sequence.blocks()).min(planned + budget.num_prefill_left());
        let end = end.min(sequence.num_tokens());
        let end = end.min(sequence.readout.reach(part.start, part.num_scores + budget.num_scores_left()));
        assert!(self.grow(part.slot, end), "so much can be reached");
        budget.take_prefill(end - planned);
        let extended = self.part(part.slot, end - part.start);
        budget.take_scores(extended.num_scores - part.num_scores);
        *part = extended;
    }

    /// A running sequence with more than a token to compute advances by at most `max_tokens`, unless it waits for a
    /// neighbour or for blocks.
    fn plan_prompt(
        &mut self,
        slot: usize,
        patience: Patience,
        max_tokens: usize,
        plan: &mut StepPlan,
        budget: &mut TokenBudget,
    ) {
        let num_left = budget.num_prefill_left().min(max_tokens);
        // Who comes later in turn may have lost its blocks in the meantime.
        let is_waiting = self.at(slot).stage == Stage::Waiting;
        let max_scores = budget.num_scores_left();
        let is_held_up = max_scores == 0 && self.at(slot).readout.wants_scores();
        if is_waiting || num_left == 0 || is_held_up || !self.adopt_prefix(slot, patience, plan) {
            return;
        }
        let sequence = self.at(slot);
        let start = sequence.num_computed();
        let num_wanted = sequence.num_uncomputed().min(num_left);
        let num_wanted = num_wanted.min(sequence.readout.reach(start, max_scores) - start);
        let num_tokens = self.make_some_room(slot, num_wanted, plan);
        if num_tokens == 0 {
            return;
        }
        budget.take_prefill(num_tokens);
        self.begin(slot, plan);
        if planted(Bug::OfferedTooEarly) {
            let sequence = self.sequences[slot].as_mut().expect("the slot is taken");
            let (tokens, blocks) = sequence.tokens_and_blocks();
            self.kv.computed(blocks, tokens, start + num_tokens, false);
        }
        let part = self.part(slot, num_tokens);
        budget.take_scores(part.num_scores);
        plan.scheduled.push(part);
    }

    /// A sequence that has computed nothing yet takes over what the prefix cache has of it. Says `false` if a
    /// neighbour is computing the next block of it, so that waiting saves the work.
    fn adopt_prefix(&mut self, slot: usize, patience: Patience, plan: &mut StepPlan) -> bool {
        let sequence = self.sequences[slot].as_mut().expect("the slot is taken");
        let Stage::Admitted { awaits } = sequence.stage else { return true };
        let max_cached = sequence.max_cached();
        // Who computes its rows in any case has nothing to wait for.
        let takes_all = max_cached + 1 == sequence.num_tokens();
        let is_patient = patience == Patience::ForNeighbours && takes_all && sequence.num_tokens() > 1;
        let id = sequence.id();
        if is_patient && awaits.is_some_and(|key| self.in_flight.other(key, id).is_some()) {
            return false;
        }
        let max_tokens = max_cached + usize::from(planted(Bug::NothingIsLeftToCompute));
        let (tokens, blocks) = sequence.tokens_and_blocks();
        let prefix = self.kv.find_prefix(blocks, tokens, max_tokens);
        let num_computed = self.kv.adopt(blocks, tokens, prefix);
        let tail = self.kv.tail_key(blocks, tokens);
        let next = blocks.keys_from(prefix.num_blocks).first().copied().or(tail);
        sequence.num_computed = num_computed;
        if let Some(key) = next.filter(|&key| is_patient && self.in_flight.other(key, id).is_some()) {
            sequence.stage = Stage::Admitted { awaits: Some(key) };
            return false;
        }
        let (tokens, blocks) = sequence.tokens_and_blocks();
        let (num_copied, copies) = self.kv.copy_part(blocks, tokens, max_tokens);
        plan.block_copies.extend(copies);
        sequence.num_computed += num_copied;
        true
    }

    /// Takes blocks for up to `num_wanted` tokens more and says for how many there were some. Only if there is none
    /// for a single token, those behind the sequence in the order of rank lose theirs, unless the step needs them.
    fn make_some_room(&mut self, slot: usize, num_wanted: usize, plan: &mut StepPlan) -> usize {
        loop {
            let sequence = self.at(slot);
            let start = sequence.num_computed();
            let end = self.kv.reach(sequence.blocks()).min(start + num_wanted);
            if end > start {
                assert!(self.grow(slot, end), "so much can be reached");
                return end - start;
            }
            let is_behind = |other: &usize| self.at(*other).rank() > sequence.rank();
            let is_free = |other: &usize| plan.scheduled.iter().all(|part| part.slot != *other);
            match self.running.iter().rev().copied().find(|other| is_behind(other) && is_free(other)) {
                Some(last) => self.preempt(last, plan),
                None => return 0,
            }
        }
    }

    /// A sequence starts to compute: neighbours may wait for its blocks, and its reader learns of it once.
    fn begin(&mut self, slot: usize, plan: &mut StepPlan) {
        let sequence = self.sequences[slot].as_mut().expect("the slot is taken");
        if sequence.stage == Stage::Computing {
            return;
        }
        sequence.stage = Stage::Computing;
        if sequence.num_uncomputed() > 1 {
            let (tokens, blocks) = sequence.tokens_and_blocks();
            let tail = self.kv.tail_key(blocks, tokens);
            let num_blocks = sequence.num_computed / self.kv.block_size() as usize;
            sequence.claims = sequence.blocks().keys_from(num_blocks).iter().copied().chain(tail).collect();
            self.in_flight.enter(sequence.id(), sequence.claims.iter().copied());
        }
        if sequence.num_cached.is_none() {
            let num_cached = sequence.num_computed * if planted(Bug::CachedCountsTwice) { 2 } else { 1 };
            sequence.num_cached = Some(num_cached);
            let (id, num_prompt) = (sequence.id(), sequence.num_prompt());
            plan.admitted.push(Admission { id, num_prompt, num_cached });
        }
    }

    /// Waiting sequences start to run while there is room. Who is next is not overtaken by who would fit, so that a
    /// large sequence is never starved by small ones.
    fn admit(&mut self) {
        while let Some(next) = self.waiting.next(&self.tenants) {
            let slot = self.slots[&next.id];
            self.name(slot);
            if !self.running.is_empty() && !self.has_room_for(slot) {
                return;
            }
            self.waiting.admit(next);
            let sequence = self.sequences[slot].as_mut().expect("the slot is taken");
            sequence.stage = Stage::Admitted { awaits: None };
            sequence.is_overdue = next.is_overdue;
            let tenant = sequence.tenant();
            self.tenants.begin(tenant);
            if !std::mem::replace(&mut sequence.is_charged, true) {
                self.tenants.charge(tenant, sequence.num_prompt(), 0);
            }
            let rank = sequence.rank();
            let place = self.running.partition_point(|&other| self.at(other).rank() < rank);
            self.running.insert(place, slot);
        }
    }

    /// Names a waiting sequence's blocks, so that they can be looked for.
    fn name(&mut self, slot: usize) {
        let sequence = self.sequences[slot].as_mut().expect("the slot is taken");
        let (tokens, blocks) = sequence.tokens_and_blocks();
        self.kv.name(blocks, tokens);
    }

    /// Whether a waiting sequence may run now, beside what those that run still need for their known tokens.
    fn has_room_for(&self, slot: usize) -> bool {
        let is_full = self.running.len() >= self.limits.max_num_seqs;
        !is_full && self.needs_at_most(self.at(slot), self.room().num_left(0, self), &HashSet::new())
    }

    /// Whether a waiting sequence takes at most `num_left` free blocks for its known tokens; those that others hold
    /// cost nothing unless these have `freed` them. It needs a place first: without one `num_left` is none.
    fn needs_at_most(&self, sequence: &Sequence, num_left: Option<usize>, freed: &HashSet<BlockId>) -> bool {
        let Some(num_left) = num_left else { return false };
        let at_most = self.kv.most_held(sequence.num_tokens());
        at_most <= num_left || {
            let (tokens, blocks) = (sequence.tokens(), sequence.blocks());
            let prefix = self.kv.find_prefix(blocks, tokens, sequence.max_cached());
            let found = self.kv.blocks_of(blocks, tokens, prefix);
            let is_held = |block: &BlockId| self.kv.pool().ref_count(*block) > 0 && !freed.contains(block);
            at_most.saturating_sub(found.filter(is_held).count()) <= num_left
        }
    }

    /// What the running sequences leave.
    fn room(&self) -> Room {
        let mut room = Room { num_running: 0, num_promised: 0 };
        self.running().for_each(|sequence| room.enter(sequence, self));
        room
    }

    /// Blocks that a running sequence has yet to take for its known tokens, if its prompt is unfinished.
    fn num_promised(&self, sequence: &Sequence) -> usize {
        match sequence.is_decoding() {
            true => 0,
            false => self.kv.most_held(sequence.num_tokens()).saturating_sub(sequence.blocks().num_held()),
        }
    }
}

/// What running sequences take of places and free blocks.
#[derive(Debug)]
struct Room {
    num_running: usize,
    /// Blocks that unfinished prompts have yet to take.
    num_promised: usize,
}

impl Room {
    fn enter(&mut self, sequence: &Sequence, scheduler: &Scheduler) {
        self.num_running += 1;
        self.num_promised += scheduler.num_promised(sequence);
    }

    fn leave(&mut self, sequence: &Sequence, scheduler: &Scheduler) {
        self.num_running -= 1;
        self.num_promised -= scheduler.num_promised(sequence);
    }

    /// Blocks for one more sequence if `num_freed` are freed, with a few left to the outputs of the others; none
    /// without a place for it.
    fn num_left(&self, num_freed: usize, scheduler: &Scheduler) -> Option<usize> {
        let kv = &scheduler.kv;
        let for_outputs = (self.num_running * kv.groups().len()).min(kv.pool().num_total() / WATERMARK);
        let num_free = kv.pool().num_free() + num_freed;
        (self.num_running < scheduler.limits.max_num_seqs)
            .then(|| num_free.saturating_sub(self.num_promised + for_outputs))
    }
}
