//! The simulated world: the product's scheduler, batch builder and sampler around a fake runner, with every
//! invariant checked at every step. The checks know only what was submitted and what can be seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use maru::engine::{
    AdmissionError, BatchBuilder, FakeRunner, NewSequence, Scheduler, SequenceError, SequenceId, StepOutcome,
    StepPlan, TokenEvent,
};
use maru::model::{ForwardBatch, Runner};
use maru::sampling::{SampleError, Sampler};

use crate::oracle::{self, Expected};
use crate::planted::Bug;
use crate::scenario::{Arrival, Fate, Scenario, VOCAB_SIZE};

/// A broken promise, in words.
pub(crate) type Checked = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}

/// What the world knows of a sequence that the engine took.
#[derive(Debug)]
struct Tracked {
    sequence: NewSequence,
    expected: Expected,
    fate: Fate,
    arrived: usize,
    admitted: bool,
    tokens: Vec<u32>,
    /// What may end it before its time, if that happened in this step.
    disturbed: Option<SequenceError>,
}

impl Tracked {
    fn max_computed(&self) -> usize {
        self.sequence.prompt.len() + self.sequence.max_new_tokens as usize - 1
    }
}

/// How the sequences of a run ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) refused: usize,
    pub(crate) finished: usize,
    pub(crate) aborted: usize,
    pub(crate) failed: usize,
    pub(crate) steps: usize,
    pub(crate) outputs: BTreeMap<SequenceId, Vec<u32>>,
}

pub(crate) struct World {
    scenario: Scenario,
    scheduler: Scheduler,
    builder: BatchBuilder,
    runner: FakeRunner,
    sampler: Sampler,
    bug: Option<Bug>,
    step: usize,
    open: BTreeMap<SequenceId, Tracked>,
    last_admitted: Option<SequenceId>,
    tally: Tally,
}

/// Runs a scenario to its end.
pub(crate) fn run(scenario: &Scenario, bug: Option<Bug>) -> Result<Tally, String> {
    let mut world = World::new(scenario.clone(), bug);
    let mut arrivals: Vec<(SequenceId, Arrival)> =
        (0..).map(SequenceId).zip(scenario.arrivals.clone()).collect();
    let work: usize =
        scenario.arrivals.iter().map(|a| a.sequence.prompt.len() + a.sequence.max_new_tokens as usize).sum();
    let last_arrival = scenario.arrivals.last().map_or(0, |arrival| arrival.step);
    while !arrivals.is_empty() || world.scheduler.has_work() || !world.open.is_empty() {
        let step = world.step;
        // Every step computes at least one token of somebody.
        ensure!(step <= last_arrival + work, "step {step}: no end in sight");
        let mut due: Vec<_> = arrivals.extract_if(.., |(_, arrival)| arrival.step <= step).collect();
        if bug == Some(Bug::LastComesFirst) {
            due.reverse();
        }
        for (id, arrival) in due {
            world.arrive(id, arrival).map_err(|error| format!("step {step}: {error}"))?;
        }
        world.turn().map_err(|error| format!("step {step}: {error}"))?;
        world.step += 1;
    }
    world.check_idle()?;
    world.tally.steps = world.step;
    Ok(world.tally)
}

impl World {
    fn new(scenario: Scenario, bug: Option<Bug>) -> Self {
        let mut limits = scenario.limits;
        let mut capacity = scenario.capacity;
        match bug {
            Some(Bug::OneTokenTooMany) => limits.max_num_batched_tokens += 1,
            Some(Bug::OneSequenceTooMany) => {
                limits.max_num_seqs += 1;
                limits.max_num_batched_tokens = limits.max_num_batched_tokens.max(limits.max_num_seqs);
            }
            Some(Bug::OneBlockTooMany) => capacity.num_blocks += 1,
            _ => {}
        }
        Self {
            scheduler: Scheduler::new(limits, capacity),
            builder: BatchBuilder::new(),
            runner: FakeRunner::new(scenario.capacity, VOCAB_SIZE),
            sampler: Sampler::new(),
            bug,
            step: 0,
            open: BTreeMap::new(),
            last_admitted: None,
            tally: Tally::default(),
            scenario,
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn arrive(&mut self, id: SequenceId, arrival: Arrival) -> Checked {
        let Arrival { sequence, fate, .. } = arrival;
        let mut handed_over = sequence.clone();
        if self.has(Bug::StopTokenIgnored) {
            handed_over.stop_token_ids = [].into();
        }
        if self.has(Bug::OneTokenTooLong) {
            handed_over.max_new_tokens += 1;
        }
        let needed = sequence.prompt.len() + sequence.max_new_tokens as usize - 1;
        let max = self.scenario.capacity.num_tokens() as usize;
        match self.scheduler.add(id, handed_over) {
            Ok(()) => {
                ensure!(needed <= max, "{id:?} was taken though it can never fit");
                let expected = oracle::expect(&sequence, VOCAB_SIZE);
                let (arrived, admitted, tokens) = (self.step, false, Vec::new());
                let tracked =
                    Tracked { sequence, expected, fate, arrived, admitted, tokens, disturbed: None };
                self.open.insert(id, tracked);
            }
            Err(error) => {
                ensure!(error == AdmissionError::NeverFits { needed, max }, "{id:?} was refused: {error}");
                self.tally.refused += 1;
            }
        }
        Ok(())
    }

    /// One turn of the loop: aborts, a step, its events; then everything is checked.
    fn turn(&mut self) -> Checked {
        self.abort_those_who_leave()?;
        if !self.scheduler.has_work() {
            return self.check_books();
        }
        let urgent = self.who_must_advance();
        let mut plan = self.scheduler.schedule();
        self.check_plan(&plan, &urgent)?;
        let mut batch = self.builder.build(&plan, &self.scheduler).clone();
        if let Some(bug) = self.bug {
            bug.spoil_batch(&mut batch, self.scenario.capacity);
        }
        self.check_writes(&plan, &batch)?;
        let failing = self.scenario.failing_steps.contains(&self.step);
        let outcome = if failing { self.fail(&plan) } else { self.compute(&mut plan, &batch)? };
        self.check_outcome(&plan, outcome, failing)?;
        self.check_books()?;
        self.poison_free_blocks();
        Ok(())
    }

    fn abort_those_who_leave(&mut self) -> Checked {
        let leaves = |(&id, tracked): (&SequenceId, &Tracked)| {
            let computed = self.scheduler.sequence(id).map_or(0, |sequence| sequence.num_computed());
            let leaves = match tracked.fate {
                Fate::Stays => false,
                Fate::LeavesAfterSteps(steps) => self.step >= tracked.arrived + steps,
                Fate::LeavesAtComputed(tokens) => computed >= tokens,
                Fate::LeavesAfterTokens(tokens) => tracked.tokens.len() >= tokens,
            };
            leaves.then_some(id)
        };
        let leaving: Vec<_> = self.open.iter().filter_map(leaves).collect();
        for id in leaving {
            self.open.remove(&id);
            self.tally.aborted += 1;
            if self.has(Bug::AbortIsLost) {
                continue;
            }
            ensure!(self.scheduler.abort(id).is_some(), "{id:?} was unknown at its abort");
            ensure!(self.scheduler.abort(id).is_none(), "{id:?} was there after its abort");
        }
        Ok(())
    }

    /// Those who may not be left out of the next step: running outputs, and the oldest unfinished prompt.
    fn who_must_advance(&self) -> Vec<SequenceId> {
        let running = self.scheduler.running();
        let singles = running.iter().filter(|sequence| sequence.num_uncomputed() == 1);
        let oldest = running.iter().find(|sequence| sequence.num_uncomputed() > 1);
        singles.chain(oldest).map(|sequence| sequence.id()).collect()
    }

    fn check_plan(&mut self, plan: &StepPlan, urgent: &[SequenceId]) -> Checked {
        let limits = self.scenario.limits;
        let running = self.scheduler.running();
        ensure!(running.len() <= limits.max_num_seqs, "{} sequences run", running.len());
        ensure!(plan.num_tokens() <= limits.max_num_batched_tokens, "{} tokens in a step", plan.num_tokens());
        ensure!(plan.num_tokens() > 0, "an empty step though there is work");
        let planned: BTreeSet<_> = plan.scheduled.iter().map(|part| part.id).collect();
        ensure!(planned.len() == plan.scheduled.len(), "a sequence is twice in a step");
        for id in urgent {
            ensure!(planned.contains(id), "{id:?} was left out of a step");
        }
        for part in &plan.scheduled {
            let sequence = self.scheduler.scheduled(part);
            ensure!(part.start == sequence.num_computed(), "{:?} skips or repeats tokens", part.id);
            ensure!(part.num_tokens > 0, "{:?} does nothing in a step", part.id);
            let reaches_end = part.start + part.num_tokens == sequence.num_tokens();
            ensure!(part.samples == reaches_end, "{:?} samples in the middle or not at the end", part.id);
        }
        for admission in &plan.admitted {
            let id = admission.id;
            ensure!(self.last_admitted < Some(id), "{id:?} was overtaken in the queue");
            self.last_admitted = Some(id);
            let tracked = self.open.get_mut(&id).ok_or(format!("{id:?} runs after its end"))?;
            ensure!(!tracked.admitted, "{id:?} was admitted twice");
            tracked.admitted = true;
        }
        self.check_nothing_waits_for_no_reason(plan)
    }

    /// The first in the queue waits only for a place, for tokens or for blocks.
    fn check_nothing_waits_for_no_reason(&self, plan: &StepPlan) -> Checked {
        let Some(first) = self.scheduler.waiting().next() else { return Ok(()) };
        let limits = self.scenario.limits;
        let size = self.scenario.capacity.block_size as usize;
        let blocks =
            |id: SequenceId| self.open.get(&id).map_or(0, |tracked| tracked.max_computed().div_ceil(size));
        let taken: usize = self.scheduler.running().iter().map(|sequence| blocks(sequence.id())).sum();
        let no_blocks = taken + blocks(first.id()) > self.scenario.capacity.num_blocks as usize;
        let no_place = self.scheduler.running().len() >= limits.max_num_seqs;
        let no_tokens = plan.num_tokens() >= limits.max_num_batched_tokens;
        ensure!(no_blocks || no_place || no_tokens, "{:?} waits for nothing", first.id());
        Ok(())
    }

    /// Every slot is written once, and only in a block of which the writer is the only owner.
    fn check_writes(&self, plan: &StepPlan, batch: &ForwardBatch) -> Checked {
        let size = self.scenario.capacity.block_size;
        let mut slots = BTreeSet::new();
        let mut writers = BTreeMap::new();
        for (seq, part) in plan.scheduled.iter().enumerate() {
            let rows = batch.query_start[seq] as usize..batch.query_start[seq + 1] as usize;
            for &slot in &batch.kv[0].slot_mapping[rows] {
                ensure!(slots.insert(slot), "slot {slot} is written twice in a step");
                let block = slot / size;
                let writer = *writers.entry(block).or_insert(part.id);
                ensure!(writer == part.id, "block {block} is written by {writer:?} and {:?}", part.id);
                let table = self.scheduler.scheduled(part).blocks().blocks();
                ensure!(
                    table.iter().any(|id| id.0 == block),
                    "{:?} writes to block {block}, not its own",
                    part.id
                );
            }
        }
        Ok(())
    }

    fn fail(&mut self, plan: &StepPlan) -> StepOutcome {
        let error = SequenceError::Model("planned".to_owned());
        for part in &plan.scheduled {
            if let Some(tracked) = self.open.get_mut(&part.id) {
                tracked.disturbed = Some(error.clone());
            }
        }
        if self.has(Bug::FailureIsSwallowed) {
            let sampled = vec![Ok(0); plan.sampling().count()];
            return self.scheduler.commit(plan, &sampled);
        }
        self.scheduler.fail_step(plan, &error)
    }

    fn compute(&mut self, plan: &mut StepPlan, batch: &ForwardBatch) -> Result<StepOutcome, String> {
        let logits = self.runner.forward(batch).map_err(|error| error.to_string())?;
        let mut sampled = Vec::new();
        for (row, part) in plan.sampling().enumerate() {
            let sequence = self.scheduler.scheduled(part);
            let mut position = sequence.num_tokens() as u64;
            if self.has(Bug::DrawDependsOnTheBatch) {
                position += row as u64;
            }
            let mut logits = logits.row(row).to_vec();
            let hit = |&(step, target): &(usize, usize)| {
                step == self.step && target % batch.sample_rows.len() == row
            };
            let is_invalid = self.scenario.nan_steps.iter().any(hit);
            if is_invalid {
                logits[row % VOCAB_SIZE] = f32::NAN;
                if let Some(tracked) = self.open.get_mut(&part.id) {
                    tracked.disturbed = Some(SequenceError::InvalidLogits);
                }
            }
            let result = self.sampler.sample(&logits, sequence.sampling(), position).map(|t| t.token_id);
            ensure!(
                result.is_err() == is_invalid && result != Err(SampleError::NoCandidate),
                "{:?} got {result:?}",
                part.id
            );
            sampled.push(if self.has(Bug::NanIsIgnored) { Ok(result.unwrap_or(0)) } else { result });
        }
        if self.has(Bug::RowsAreMixedUp) {
            sampled.reverse();
        }
        Ok(self.scheduler.commit(plan, &sampled))
    }

    fn check_outcome(&mut self, plan: &StepPlan, mut outcome: StepOutcome, failing: bool) -> Checked {
        if let Some(bug) = self.bug {
            bug.spoil_events(&mut outcome.events, self.step);
        }
        let before: BTreeMap<_, _> =
            self.open.iter().map(|(&id, tracked)| (id, tracked.tokens.len())).collect();
        let samples_first = |id: &SequenceId| before.get(id) == Some(&0);
        let prompts = plan.sampling().filter(|part| samples_first(&part.id) && !failing);
        let num_prompt: usize = prompts.map(|part| part.start + part.num_tokens).sum();
        ensure!(
            outcome.num_prompt_tokens == num_prompt,
            "{} prompt tokens are counted",
            outcome.num_prompt_tokens
        );
        let mut generated = 0;
        for (id, event) in outcome.events {
            let tracked =
                self.open.get_mut(&id).ok_or(format!("{id:?} has an event after its end: {event:?}"))?;
            ensure!(tracked.admitted, "{id:?} has an event before it was scheduled");
            match event {
                TokenEvent::Scheduled { .. } => return Err(format!("{id:?} was announced by a commit")),
                TokenEvent::Token { token_id, .. } => {
                    ensure!(tracked.disturbed.is_none(), "{id:?} has a token out of a fault");
                    let wanted = tracked.expected.tokens.get(tracked.tokens.len());
                    ensure!(
                        wanted == Some(&token_id),
                        "{id:?} has {token_id}, alone it would have {wanted:?}"
                    );
                    tracked.tokens.push(token_id);
                    generated += 1;
                }
                TokenEvent::Finished { reason, .. } => {
                    ensure!(tracked.tokens == tracked.expected.tokens, "{id:?} ended too early");
                    ensure!(reason == tracked.expected.reason, "{id:?} ended for {reason:?}");
                    generated += usize::from(reason != maru::engine::FinishReason::Length);
                    let tracked = self.open.remove(&id).expect("it was just there");
                    self.tally.outputs.insert(id, tracked.tokens);
                    self.tally.finished += 1;
                }
                TokenEvent::Failed { error } => {
                    ensure!(tracked.disturbed.as_ref() == Some(&error), "{id:?} failed: {error}");
                    self.open.remove(&id);
                    self.tally.failed += 1;
                }
            }
        }
        ensure!(
            outcome.num_generated_tokens == generated,
            "{} tokens are counted",
            outcome.num_generated_tokens
        );
        for part in plan.sampling() {
            let Some(tracked) = self.open.get(&part.id) else { continue };
            ensure!(tracked.disturbed.is_none(), "{:?} outlived a fault", part.id);
            ensure!(
                before.get(&part.id).is_some_and(|&n| n < tracked.tokens.len()),
                "{:?} lost a token",
                part.id
            );
            let is_complete = tracked.tokens.len() == tracked.sequence.max_new_tokens as usize;
            ensure!(!is_complete, "{:?} has all its tokens and no end", part.id);
        }
        Ok(())
    }

    /// Blocks: free and used make the whole, owners are counted, sequences known are those open.
    fn check_books(&self) -> Checked {
        let pool = self.scheduler.pool();
        let total = self.scenario.capacity.num_blocks as usize;
        let free: BTreeSet<_> = pool.free_blocks().collect();
        ensure!(free.len() == pool.num_free(), "a block is twice on the free list");
        let mut owners = BTreeMap::<_, u32>::new();
        for sequence in self.scheduler.running() {
            let blocks = sequence.blocks().blocks();
            let needed = sequence.num_computed().div_ceil(self.scenario.capacity.block_size as usize);
            ensure!(blocks.len() >= needed, "{:?} has computed more than it has blocks", sequence.id());
            for &block in blocks {
                *owners.entry(block).or_default() += 1;
            }
        }
        ensure!(free.len() + owners.len() == total, "{} free, {} used of {total}", free.len(), owners.len());
        for (&block, &count) in &owners {
            ensure!(!free.contains(&block), "{block:?} is free and owned");
            ensure!(pool.ref_count(block) == count, "{block:?} has {count} owners, books say otherwise");
            ensure!(count == 1, "{block:?} is shared without a prefix cache");
        }
        let known: BTreeSet<_> =
            self.scheduler.running().iter().chain(self.scheduler.waiting()).map(|s| s.id()).collect();
        let open: BTreeSet<_> = self.open.keys().copied().collect();
        ensure!(known == open, "the scheduler has {known:?}, open are {open:?}");
        Ok(())
    }

    /// What nobody owns must not be read any more.
    fn poison_free_blocks(&mut self) {
        for block in self.scheduler.pool().free_blocks() {
            self.runner.poison_block(block.0);
        }
        if self.has(Bug::BlockIsFreedEarly)
            && let Some(block) = self.scheduler.running().first().and_then(|s| s.blocks().blocks().first())
        {
            self.runner.poison_block(block.0);
        }
    }

    fn check_idle(&self) -> Checked {
        let pool = self.scheduler.pool();
        ensure!(
            pool.num_free() == pool.num_total(),
            "{} blocks are used though all is done",
            pool.num_used()
        );
        let Tally { refused, finished, aborted, failed, .. } = self.tally;
        let all = self.scenario.arrivals.len();
        ensure!(
            refused + finished + aborted + failed == all,
            "the ends do not add up to {all}: {:?}",
            self.tally
        );
        Ok(())
    }
}
