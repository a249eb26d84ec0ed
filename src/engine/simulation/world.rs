//! The simulated world: the product's scheduler, batch builder and sampler around a fake runner, with every
//! invariant checked at every step. The checks know only what was submitted and what can be seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use super::Checked;
use super::contents::{Contents, Name};
use super::ledger::Ledger;
use super::oracle;
use super::scenario::{Arrival, Fate, Scenario};
use super::tally::Tally;
use super::tamper::Tamper;
use super::tracked::Tracked;
use crate::engine::sequence::Stage;
use crate::engine::{
    AdmissionError, BatchBuilder, FakeRunner, Scheduler, SequenceError, SequenceId, StepOutcome, StepPlan,
    StepResults,
};
use crate::model::{ForwardBatch, ForwardOutput, Runner};
use crate::sampling::{Row, SampleError, SampledToken, Sampler, TokenLogprobs};

pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) scheduler: Scheduler,
    builder: BatchBuilder,
    pub(super) runner: FakeRunner,
    pub(super) contents: Contents,
    pub(super) ledger: Ledger,
    sampler: Sampler,
    pub(super) tamper: Option<Tamper>,
    pub(super) step: usize,
    /// The last to be given up while events were handed out.
    pub(super) given_up: Option<SequenceId>,
    pub(super) prefill_limit: usize,
    pub(super) open: BTreeMap<SequenceId, Tracked>,
    /// Beginnings that end with a block and were computed.
    pub(super) computed: BTreeSet<Name>,
    /// Whether a fault has made the cache forget.
    pub(super) was_disturbed: bool,
    pub(super) tally: Tally,
}

/// Runs a scenario to its end.
pub(super) fn run(scenario: &Scenario, tamper: Option<Tamper>) -> Result<Tally, String> {
    let mut world = World::new(scenario.clone(), tamper);
    let mut arrivals: Vec<(SequenceId, Arrival)> =
        (0..).map(SequenceId).zip(scenario.arrivals.clone()).collect();
    let work: usize = scenario.arrivals.iter().map(|arrival| arrival.sequence.max_tokens()).sum();
    let last_arrival = scenario.arrivals.last().map_or(0, |arrival| arrival.step);
    while !arrivals.is_empty() || world.scheduler.has_work() || !world.open.is_empty() {
        let step = world.step;
        ensure!(step <= last_arrival + 2 * work, "step {step}: no end in sight");
        let due: Vec<_> = arrivals.extract_if(.., |(_, arrival)| arrival.step <= step).collect();
        for (id, arrival) in due {
            world.arrive(id, arrival).map_err(|error| format!("step {step}: {error}"))?;
        }
        world.turn().map_err(|error| format!("step {step}: {error}"))?;
        world.step += 1;
    }
    world.check_idle()?;
    world.tally.steps = world.step;
    world.tally.max_steps_per_work = world.step.saturating_sub(last_arrival) * 1000 / work.max(1);
    Ok(world.tally)
}

impl World {
    fn new(scenario: Scenario, tamper: Option<Tamper>) -> Self {
        let mut engine = scenario.engine.clone();
        match tamper {
            Some(Tamper::OneTokenTooMany) => engine.limits.max_num_batched_tokens += 1,
            Some(Tamper::OneSequenceTooMany) => {
                let limits = &mut engine.limits;
                limits.max_num_seqs += 1;
                limits.max_num_batched_tokens = limits.max_num_batched_tokens.max(limits.max_num_seqs);
            }
            Some(Tamper::OneBlockTooMany) => engine.capacity.num_blocks += 1,
            _ => {}
        }
        let (capacity, groups) = (scenario.engine.capacity, &scenario.engine.groups);
        Self {
            scheduler: Scheduler::new(engine),
            builder: BatchBuilder::new(),
            runner: FakeRunner::with_groups(capacity, groups.clone(), scenario.vocab_size),
            contents: Contents::new(capacity, groups),
            ledger: Ledger::default(),
            sampler: Sampler::new(),
            tamper,
            step: 0,
            given_up: None,
            prefill_limit: usize::MAX,
            open: BTreeMap::new(),
            computed: BTreeSet::new(),
            was_disturbed: false,
            tally: Tally::default(),
            scenario,
        }
    }

    pub(super) fn has(&self, tamper: Tamper) -> bool {
        self.tamper == Some(tamper)
    }

    fn arrive(&mut self, id: SequenceId, arrival: Arrival) -> Checked {
        let Arrival { sequence, fate, .. } = arrival;
        if self.scenario.drains_at.is_some_and(|step| self.step >= step) {
            self.tally.turned_away += 1;
            return Ok(());
        }
        let mut handed_over = sequence.without_constraint();
        if self.has(Tamper::StopTokenIgnored) {
            handed_over.stop_token_ids = [].into();
        }
        if self.has(Tamper::OneTokenTooLong) {
            handed_over.max_new_tokens += 1;
        }
        // The last generated token is not fed back.
        let num_tokens = sequence.max_tokens() - usize::from(sequence.generates());
        let needed = self.most_held(num_tokens);
        let num_blocks = self.scenario.engine.capacity.num_blocks as usize;
        match self.scheduler.add(id, handed_over) {
            Ok(()) => {
                ensure!(needed <= num_blocks, "{id:?} was taken though it can never fit");
                let expected =
                    oracle::expect(&sequence, &self.scenario.engine.groups, self.scenario.vocab_size);
                self.ledger.enter(sequence.tenant);
                self.open.insert(id, Tracked::new(sequence, expected, fate, self.step));
            }
            Err(error) => {
                ensure!(
                    error == AdmissionError::NeverFits { needed, num_blocks },
                    "{id:?} was refused: {error}"
                );
                self.tally.refused += 1;
            }
        }
        Ok(())
    }

    /// Blocks that a sequence of so many tokens holds at most: all, or a window and a step and a block's beginning.
    fn most_held(&self, num_tokens: usize) -> usize {
        let size = self.scenario.engine.capacity.block_size as usize;
        let step = self.scenario.engine.limits.max_num_batched_tokens;
        let all = num_tokens.div_ceil(size);
        let of_group = |window: Option<u32>| {
            window.map_or(all, |window| all.min((window as usize - 1 + step).div_ceil(size) + 1))
        };
        self.scenario.engine.groups.iter().map(|group| of_group(group.window)).sum()
    }

    /// One turn of the loop: aborts, a step, its events; then everything is checked.
    fn turn(&mut self) -> Checked {
        let mut limits = self.scenario.prefill_limits.iter().filter(|&&(step, _)| step == self.step);
        if let Some(&(_, max_tokens)) = limits.next_back() {
            self.scheduler.limit_prefill(max_tokens);
            self.prefill_limit = max_tokens.max(1);
        }
        self.abort_those_who_leave()?;
        if !self.scheduler.has_work() {
            return self.check_books();
        }
        let before = self.stand();
        let plan = self.scheduler.schedule();
        self.check_plan(&before, &plan)?;
        let mut batch = self.builder.build(&plan, &self.scheduler).clone();
        if let Some(tamper) = self.tamper {
            tamper.spoil_batch(&mut batch, self.scenario.engine.capacity);
        }
        self.check_writes(&before, &plan, &batch)?;
        let failing = self.scenario.failing_steps.contains(&self.step);
        let outcome = if failing { self.fail(&plan, &batch) } else { self.compute(&plan, &batch)? };
        self.check_outcome(&plan, outcome, failing)?;
        self.check_books()?;
        self.spoil_the_rest();
        Ok(())
    }

    fn abort_those_who_leave(&mut self) -> Checked {
        let leaves = |(&id, tracked): (&SequenceId, &Tracked)| {
            let sequence = self.scheduler.sequence(id)?;
            let stage = sequence.stage;
            let leaves = match tracked.fate {
                Fate::Stays | Fate::ReadsTooSlowly(_) => false,
                Fate::LeavesAfterSteps(steps) => self.step >= tracked.arrived + steps,
                Fate::LeavesAtComputed(tokens) => sequence.num_computed() >= tokens,
                Fate::LeavesAfterTokens(tokens) => tracked.tokens.len() >= tokens,
                Fate::LeavesWhenParked => matches!(stage, Stage::Admitted { awaits: Some(_) }),
                Fate::LeavesWhenPreempted => stage == Stage::Waiting && tracked.was_preempted,
            };
            leaves.then_some(id)
        };
        let leaving: Vec<_> = self.open.iter().filter_map(leaves).collect();
        leaving.into_iter().try_for_each(|id| self.abort(id))
    }

    pub(super) fn abort(&mut self, id: SequenceId) -> Checked {
        let tracked = self.open.remove(&id).expect("it is open");
        self.ledger.leave(tracked.sequence.tenant);
        match self.scheduler.sequence(id).map(|sequence| sequence.stage) {
            Some(Stage::Waiting) if tracked.was_preempted => self.tally.aborted_preempted += 1,
            Some(Stage::Waiting) => self.tally.aborted_queued += 1,
            Some(Stage::Admitted { .. }) => self.tally.aborted_parked += 1,
            _ => self.tally.aborted_running += 1,
        }
        if self.has(Tamper::AbortIsLost) {
            return Ok(());
        }
        ensure!(self.scheduler.abort(id).is_some(), "{id:?} was unknown at its abort");
        ensure!(self.scheduler.abort(id).is_none(), "{id:?} was there after its abort");
        Ok(())
    }

    /// The forward pass fails half way: whatever it was to write cannot be trusted.
    fn fail(&mut self, plan: &StepPlan, batch: &ForwardBatch) -> StepOutcome {
        let size = self.scenario.engine.capacity.block_size;
        for copy in &batch.block_copies {
            self.spoil(copy.to, 0);
        }
        for slot in batch.kv.iter().flat_map(|kv| &kv.slot_mapping) {
            self.spoil(slot / size, (slot % size) as usize);
        }
        self.was_disturbed = true;
        let error = SequenceError::Model("planned".to_owned());
        for part in &plan.scheduled {
            if let Some(tracked) = self.open.get_mut(&part.id) {
                tracked.disturbed = Some((error.clone(), tracked.tokens.len()));
            }
        }
        if self.has(Tamper::FailureIsSwallowed) {
            return self.scheduler.commit(plan, vec![Ok(0.into()); plan.num_samples()]);
        }
        self.scheduler.fail_step(plan, &error)
    }

    fn compute(&mut self, plan: &StepPlan, batch: &ForwardBatch) -> Result<StepOutcome, String> {
        let ForwardOutput { logits, hidden } =
            self.runner.forward(batch).map_err(|error| error.to_string())?;
        self.check_contents(plan, batch)?;
        ensure!(logits.num_rows() == plan.num_logits(), "{} rows of logits came", logits.num_rows());
        ensure!(hidden.num_rows() == plan.num_hidden(), "{} hidden states came", hidden.num_rows());
        let hit = |(step, _): &&(usize, usize)| *step == self.step;
        let num_rows = plan.num_logits();
        let nan_rows: BTreeSet<usize> = self
            .scenario
            .nan_steps
            .iter()
            .filter(hit)
            .filter_map(|(_, row)| row.checked_rem(num_rows))
            .collect();
        let row_of_logits = |row: usize| {
            let mut logits = logits.row(row).to_vec();
            if nan_rows.contains(&row) {
                logits[row % self.scenario.vocab_size] = f32::NAN;
            }
            logits
        };
        let mut sampled: Vec<Result<SampledToken, SampleError>> = Vec::new();
        let mut scores: Vec<Result<TokenLogprobs, SampleError>> = Vec::new();
        for part in &plan.scheduled {
            let sequence = self.scheduler.scheduled(part);
            let first_row = sampled.len() + scores.len();
            for position in part.score_positions() {
                let logits = row_of_logits(sampled.len() + scores.len());
                let num_top = sequence.prompt_scores().ok_or("scores that nobody wants")?;
                scores.push(self.sampler.score(&logits, sequence.token(position), num_top));
            }
            let first_sample = sampled.len() + scores.len();
            for mut position in part.sample_positions() {
                let row = sampled.len() + scores.len();
                if self.has(Tamper::DrawDependsOnTheBatch) {
                    position += row;
                }
                let logits = row_of_logits(row);
                let result = self.sampler.sample(&Row::new(&logits, sequence.sampling(), position as u64));
                let is_invalid = nan_rows.contains(&row);
                ensure!(result.is_err() == is_invalid, "{:?} got {result:?}", part.id);
                let ignored = self.has(Tamper::NanIsIgnored);
                let result = if ignored { Ok(result.unwrap_or(0.into())) } else { result };
                sampled.push(result);
            }
            let drafts = sequence.drafts.clone();
            let Some(tracked) = self.open.get_mut(&part.id) else { continue };
            tracked.num_read += part.num_scores + part.num_hidden;
            let num_telling = if part.num_samples == 0 { 0 } else { tracked.num_telling(&drafts) };
            if nan_rows.range(first_row..first_sample).next().is_some() {
                tracked.disturbed = Some((SequenceError::InvalidLogits, tracked.tokens.len()));
            } else if let Some(row) = (0..num_telling).find(|row| nan_rows.contains(&(first_sample + row))) {
                tracked.disturbed = Some((SequenceError::InvalidLogits, tracked.tokens.len() + row));
            }
        }
        if self.has(Tamper::RowsAreMixedUp) {
            sampled.reverse();
        }
        if self.has(Tamper::ScoresAreMixedUp) {
            scores.reverse();
        }
        let counts = self.expected_counts(plan);
        let distrusted = self.blocks_of_the_disturbed(plan);
        let outcome = self.scheduler.commit(plan, StepResults { sampled, scores, hidden });
        distrusted.into_iter().for_each(|block| self.spoil(block, 0));
        counts.check(&outcome)?;
        Ok(outcome)
    }
}
