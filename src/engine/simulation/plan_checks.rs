//! The checks of a plan, before it is computed: limits, turns, progress, admissions, and where it writes.

use std::collections::BTreeSet;

use super::Checked;
use super::contents;
use super::ledger::Waiting;
use super::world::World;
use crate::engine::kv::BlockId;
use crate::engine::sequence::Stage;
use crate::engine::{ScheduledSequence, SequenceId, StepPlan};
use crate::model::ForwardBatch;

/// What stood before the step was planned.
#[derive(Debug)]
pub(super) struct Before {
    running: Vec<Standing>,
    waiting: Vec<Waiting>,
    /// Tokens that the prefix cache offered of each block.
    num_known: Vec<usize>,
}

/// A running sequence.
#[derive(Debug)]
struct Standing {
    id: SequenceId,
    /// Whether a single token is left to compute.
    is_single: bool,
    is_parked: bool,
    /// Its blocks, by group.
    places: Vec<Vec<BlockId>>,
}

impl World {
    pub(super) fn stand(&self) -> Before {
        let kv = self.scheduler.kv();
        let running = self.scheduler.running().map(|sequence| Standing {
            id: sequence.id(),
            is_single: sequence.stage == Stage::Computing && sequence.num_uncomputed() == 1,
            is_parked: matches!(sequence.stage, Stage::Admitted { .. }),
            places: sequence.blocks().tables().iter().map(|table| table.places().to_vec()).collect(),
        });
        Before {
            running: running.collect(),
            waiting: self.who_waits(),
            num_known: (0..self.scenario.engine.capacity.num_blocks)
                .map(|block| kv.num_known_tokens(BlockId(block)))
                .collect(),
        }
    }

    fn who_waits(&self) -> Vec<Waiting> {
        let known = |id| self.open.get(&id).map(|tracked| tracked.waiting(id));
        self.scheduler.waiting().filter_map(|sequence| known(sequence.id())).collect()
    }

    pub(super) fn check_plan(&mut self, before: &Before, plan: &StepPlan) -> Checked {
        let limits = self.scenario.engine.limits;
        let num_running = self.scheduler.running().len();
        ensure!(num_running <= limits.max_num_seqs, "{num_running} sequences run");
        ensure!(plan.num_tokens() <= limits.max_num_batched_tokens, "{} tokens in a step", plan.num_tokens());
        ensure!(plan.num_tokens() > 0, "an empty step though there is work");
        let most = self.scenario.engine.max_scored_rows;
        ensure!(plan.num_scores() <= most, "{} rows are scored in a step", plan.num_scores());
        let planned: BTreeSet<_> = plan.scheduled.iter().map(|part| part.id).collect();
        ensure!(planned.len() == plan.scheduled.len(), "a sequence is twice in a step");
        for part in &plan.scheduled {
            self.check_part(part)?;
        }
        self.check_outputs_advance(before, plan, &planned)?;
        let fresh = self.fresh_blocks(before, plan);
        self.tally.evictions += fresh.iter().filter(|&&block| before.num_known[block as usize] > 0).count();
        self.check_turns(before, plan)?;
        self.check_guesses_cost_nothing(before, plan)?;
        self.check_nothing_is_computed_twice(before, plan)?;
        for admission in &plan.admitted {
            let part = plan.scheduled.iter().find(|part| part.id == admission.id);
            let part = part.ok_or(format!("{:?} is announced and computes nothing", admission.id))?;
            ensure!(admission.num_cached == part.start, "{admission:?}, but it starts at {}", part.start);
            self.check_admission(admission.id, admission.num_prompt, admission.num_cached)?;
        }
        for part in &plan.scheduled {
            let was_announced = self.open.get(&part.id).is_some_and(|tracked| tracked.was_announced);
            ensure!(was_announced, "{:?} computes and was not announced", part.id);
        }
        self.tally.parked_steps += before.running.iter().filter(|standing| standing.is_parked).count();
        Ok(())
    }

    fn check_part(&self, part: &ScheduledSequence) -> Checked {
        let sequence = self.scheduler.scheduled(part);
        ensure!(part.start == sequence.num_computed(), "{:?} skips or repeats tokens", part.id);
        ensure!(part.num_tokens > 0, "{:?} does nothing in a step", part.id);
        let end = part.start + part.num_tokens;
        let is_pooled = self.open.get(&part.id).is_some_and(|tracked| tracked.sequence.pooling.is_some());
        let num_samples = match end.checked_sub(sequence.num_tokens()) {
            Some(num_drafts) if !is_pooled => num_drafts + 1,
            _ => 0,
        };
        ensure!(part.num_samples == num_samples, "{:?} samples {} rows: {part:?}", part.id, part.num_samples);
        let most = self.scenario.engine.speculation.max_draft_tokens;
        ensure!(part.num_drafts() <= most, "{:?} has {} guesses", part.id, part.num_drafts());
        ensure!(end <= sequence.max_computed(), "{:?} computes more than it can need", part.id);
        Ok(())
    }

    /// Running outputs advance or give up their blocks, and prompts beside them have their limit.
    fn check_outputs_advance(
        &self,
        before: &Before,
        plan: &StepPlan,
        planned: &BTreeSet<SequenceId>,
    ) -> Checked {
        let mut outputs_advance = false;
        for standing in before.running.iter().filter(|standing| standing.is_single) {
            let is_planned = planned.contains(&standing.id);
            let was_preempted = plan.preempted.contains(&standing.id);
            outputs_advance |= is_planned && !was_preempted;
            ensure!(is_planned || was_preempted, "{:?} was left out of a step", standing.id);
        }
        let is_output = |id| {
            before.running.iter().any(|standing| standing.id == id && standing.is_single)
                && !plan.preempted.contains(&id)
        };
        let prompts = plan.scheduled.iter().filter(|part| !is_output(part.id));
        let num_prefill: usize = prompts.map(|part| part.num_tokens).sum();
        ensure!(
            !outputs_advance || num_prefill <= self.prefill_limit,
            "{num_prefill} prompt tokens beside outputs, at most {} may be",
            self.prefill_limit
        );
        Ok(())
    }

    /// Nobody loses blocks in a step in which another took some for its guesses, unless somebody else was let in.
    fn check_guesses_cost_nothing(&self, before: &Before, plan: &StepPlan) -> Checked {
        let size = self.scenario.engine.capacity.block_size as usize;
        let ran = |id| before.running.iter().any(|standing| standing.id == id);
        let is_closed = self.scheduler.running().all(|sequence| ran(sequence.id()));
        for part in plan.scheduled.iter().filter(|part| part.num_drafts() > 0) {
            let standing = before.running.iter().find(|standing| standing.id == part.id);
            let num_places = standing.map_or(0, |standing| standing.places[0].len());
            let num_needed = (part.start / size + 1).max(num_places);
            let num_held = self.scheduler.scheduled(part).blocks().tables()[0].places().len();
            let is_greedy = num_held > num_needed && is_closed && !plan.preempted.is_empty();
            ensure!(!is_greedy, "{:?} guesses, and {:?} lost their blocks", part.id, plan.preempted);
        }
        Ok(())
    }

    /// Who begins does not compute a block that another is about to complete in the same step.
    fn check_nothing_is_computed_twice(&self, before: &Before, plan: &StepPlan) -> Checked {
        if self.scenario.engine.prefix_cache.is_none() {
            return Ok(());
        }
        let size = self.scenario.engine.capacity.block_size as usize;
        let began = |id| {
            let standing = before.running.iter().find(|standing| standing.id == id);
            standing.is_none_or(|standing| standing.is_parked) || plan.preempted.contains(&id)
        };
        for (turn, part) in plan.scheduled.iter().enumerate().filter(|(_, part)| began(part.id)) {
            let Some(tracked) = self.open.get(&part.id).filter(|tracked| !tracked.wants_all_rows()) else {
                continue;
            };
            let num_known = self.scheduler.scheduled(part).num_tokens();
            let end = ((part.start / size + 1) * size).min(num_known);
            let is_whole = end.is_multiple_of(size);
            for other in plan.scheduled[..turn].iter().filter(|other| began(other.id) && other.num_tokens > 1)
            {
                let Some(neighbour) = self.open.get(&other.id) else { continue };
                let num_others = self.scheduler.scheduled(other).num_tokens();
                let computes = other.start / size <= part.start / size
                    && num_others >= end
                    && (is_whole || num_others == end)
                    && neighbour.names[end - 1] == tracked.names[end - 1];
                ensure!(!computes || num_known == 1, "{:?} computes what {:?} computes", part.id, other.id);
            }
        }
        Ok(())
    }

    /// Who left the queue was due.
    fn check_turns(&mut self, before: &Before, plan: &StepPlan) -> Checked {
        let after = self.who_waits();
        let ran = |id| before.running.iter().any(|s| s.id == id) && !plan.preempted.contains(&id);
        let taken: Vec<_> = self.scheduler.running().filter(|sequence| !ran(sequence.id())).collect();
        self.tally.overdue += taken.iter().filter(|sequence| sequence.is_overdue).count();
        let ids: Vec<SequenceId> = taken.iter().map(|sequence| sequence.id()).collect();
        let of = |id: &SequenceId| self.open.get(id).map(|tracked| tracked.waiting(*id));
        let admitted: Vec<Waiting> = ids.iter().filter_map(of).collect();
        // With windows the scheduler can only guess what a sequence will hold.
        let makes_way = admitted.iter().any(|w| !plan.preempted.contains(&w.id))
            && self.scenario.engine.groups.iter().all(|group| group.window.is_none());
        for id in &plan.preempted {
            self.tally.needless_yields += usize::from(makes_way && ids.contains(id));
            let is_open = self.open.contains_key(id);
            ensure!(is_open, "{id:?} lost its blocks after its end");
            let lost = of(id).expect("it is open");
            let gives_way = |w: &&Waiting| w.priority < lost.priority || w.tenant != lost.tenant;
            self.tally.yields += usize::from(admitted.iter().any(|w| gives_way(&w)));
        }
        self.tally.preemptions += plan.preempted.len();
        self.ledger.check_turns(&before.waiting, &after, &admitted, &plan.preempted)?;
        for id in &plan.preempted {
            let tracked = self.open.get_mut(id).expect("it is open");
            tracked.was_preempted = true;
            let is_reading = tracked.wants_all_rows() && tracked.num_read > 0 && tracked.tokens.is_empty();
            self.tally.interrupted_readouts += usize::from(is_reading);
        }
        for id in ids {
            let Some(tracked) = self.open.get_mut(&id) else { continue };
            if !std::mem::replace(&mut tracked.was_taken, true) {
                self.ledger.charge_prompt(tracked.sequence.tenant, tracked.sequence.prompt.len());
            }
        }
        Ok(())
    }

    /// A sequence is announced once, with what the prefix cache really had.
    fn check_admission(&mut self, id: SequenceId, num_prompt: usize, num_cached: usize) -> Checked {
        let tracked = self.open.get_mut(&id).ok_or(format!("{id:?} runs after its end"))?;
        ensure!(!tracked.was_announced, "{id:?} was announced twice");
        tracked.was_announced = true;
        let prompt = &tracked.sequence.prompt;
        ensure!(num_prompt == prompt.len(), "{id:?} has a prompt of {num_prompt} tokens");
        let all_rows = tracked.wants_all_rows();
        ensure!(!all_rows || num_cached == 0, "{id:?} reads all rows, of which it computes not all");
        ensure!(num_cached < num_prompt, "{id:?} has computed nothing");
        let has_cache = self.scenario.engine.prefix_cache.is_some();
        ensure!(has_cache || num_cached == 0, "{id:?} found {num_cached} tokens without a cache");
        self.tally.prompt_tokens += num_prompt;
        self.tally.cached_tokens += num_cached;
        if has_cache && !all_rows && self.tally.evictions == 0 && !self.was_disturbed {
            let size = self.scenario.engine.capacity.block_size as usize;
            let ends = (size..num_prompt).step_by(size);
            let num_there =
                ends.take_while(|end| self.computed.contains(&tracked.names[end - 1])).count() * size;
            ensure!(
                num_cached >= num_there,
                "{id:?} found {num_cached} tokens of {num_there} that are there"
            );
        }
        Ok(())
    }

    /// Blocks that were taken for this step, not found in the prefix cache.
    fn fresh_blocks(&self, before: &Before, plan: &StepPlan) -> Vec<u32> {
        let size = self.scenario.engine.capacity.block_size as usize;
        let mut fresh = Vec::new();
        for part in &plan.scheduled {
            let held = before.running.iter().find(|standing| standing.id == part.id);
            // One that waited for a neighbour looks for its beginning anew.
            let held = held.filter(|standing| !standing.is_parked && !plan.preempted.contains(&part.id));
            for (group, table) in self.scheduler.scheduled(part).blocks().tables().iter().enumerate() {
                let was_there = |index: usize| held.and_then(|standing| standing.places[group].get(index));
                let places = table.places().iter().enumerate().skip(part.start / size);
                let is_new = places.filter(|(index, block)| was_there(*index) != Some(block));
                fresh.extend(is_new.map(|(_, block)| block.0));
            }
        }
        fresh
    }

    /// Every slot is written once, by the only owner of its block, where the cache offers nothing; the same of what
    /// is copied to. Spoils the blocks that are new, so that only what is copied or written can be read.
    pub(super) fn check_writes(&mut self, before: &Before, plan: &StepPlan, batch: &ForwardBatch) -> Checked {
        let size = self.scenario.engine.capacity.block_size;
        let kv = self.scheduler.kv();
        let mut slots = BTreeSet::new();
        for (seq, part) in plan.scheduled.iter().enumerate() {
            let rows = batch.query_start[seq] as usize..batch.query_start[seq + 1] as usize;
            for (group, table) in self.scheduler.scheduled(part).blocks().tables().iter().enumerate() {
                for &slot in &batch.kv[group].slot_mapping[rows.clone()] {
                    let block = BlockId(slot / size);
                    ensure!(slots.insert(slot), "slot {slot} is written twice");
                    ensure!(table.held().contains(&block), "{:?} writes to {block:?}, not its own", part.id);
                    let owners = kv.pool().ref_count(block);
                    ensure!(owners == 1, "{:?} writes to {block:?} of {owners} owners", part.id);
                    let num_known = kv.num_known_tokens(block);
                    let is_offered = ((slot % size) as usize) < num_known;
                    ensure!(
                        !is_offered,
                        "{:?} writes to {block:?}, the cache offers {num_known} of it",
                        part.id
                    );
                }
            }
        }
        let num_blocks = self.scenario.engine.capacity.num_blocks;
        let fresh = self.fresh_blocks(before, plan);
        for copy in &batch.block_copies {
            ensure!(copy.from < num_blocks && copy.to < num_blocks, "{copy:?} is out of range");
            ensure!(fresh.contains(&copy.to), "{copy:?} overwrites what is not new");
        }
        self.tally.part_copies += batch.block_copies.len();
        // A block that is copied from may be new itself: it is overwritten after that.
        let is_read = |block: &u32| batch.block_copies.iter().any(|copy| copy.from == *block);
        fresh.iter().filter(|block| !is_read(block)).for_each(|&block| self.spoil(block, 0));
        Ok(())
    }

    /// What the step reads lies where it is looked for. Enters what it writes.
    pub(super) fn check_contents(&mut self, plan: &StepPlan, batch: &ForwardBatch) -> Checked {
        self.contents.copy_blocks(batch);
        for (seq, part) in plan.scheduled.iter().enumerate() {
            let tracked = self.open.get(&part.id).ok_or(format!("{:?} runs after its end", part.id))?;
            let read = self.contents.check_reads(batch, seq, &tracked.names);
            read.map_err(|error| format!("{:?}: {error}", part.id))?;
            let parent = match part.start.checked_sub(1) {
                None => contents::root(&tracked.sequence.cache_salt),
                Some(last) => tracked.names[last],
            };
            self.contents.write(batch, seq, parent);
        }
        Ok(())
    }
}
