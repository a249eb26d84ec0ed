//! The simulated world: the product's scheduler, batch builder and sampler around a fake runner, with every
//! invariant checked at every step. The checks know only what was submitted and what can be seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use super::Checked;
use super::contents::{Contents, Name};
use super::ledger::Ledger;
use super::oracle;
use super::rule::Rule;
use super::scenario::{Arrival, Fate, Scenario};
use super::tally::Tally;
use super::tamper::Tamper;
use super::tracked::Tracked;
use crate::engine::sequence::Stage;
use crate::engine::{
    AdmissionError, BatchBuilder, FakeRunner, Scheduler, SequenceError, SequenceId, StepOutcome, StepPlan,
    StepSampler,
};
use crate::model::{ForwardBatch, ForwardOutput, Logits, Runner};
use crate::sampling::SampleError;

pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) scheduler: Scheduler,
    builder: BatchBuilder,
    pub(super) runner: FakeRunner,
    pub(super) contents: Contents,
    pub(super) ledger: Ledger,
    sampler: StepSampler,
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
            sampler: StepSampler::new(),
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
        let Arrival { sequence, rule, fate, .. } = arrival;
        if self.scenario.drains_at.is_some_and(|step| self.step >= step) {
            self.tally.turned_away += 1;
            return Ok(());
        }
        let mut handed_over = sequence.without_constraint();
        handed_over.constraint = rule.map(Rule::start);
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
                    oracle::expect(&sequence, rule, &self.scenario.engine.groups, self.scenario.vocab_size);
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
        self.sampler.prepare(plan, &mut self.scheduler);
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
        let logits = with_nans(&logits, &nan_rows);
        let output = ForwardOutput { logits, hidden };
        let mut results = match self.has(Tamper::DrawDependsOnTheBatch) {
            true => self.sampler.read(&moved(plan), &mut self.scheduler, output),
            false => self.sampler.read(plan, &mut self.scheduler, output),
        };
        let (mut first_row, mut first_sample) = (0, 0);
        for part in &plan.scheduled {
            let scored = first_row..first_row + part.num_scores;
            let rows = scored.end..scored.end + part.num_samples;
            let samples = first_sample..first_sample + part.num_samples;
            (first_row, first_sample) = (rows.end, samples.end);
            let Some(tracked) = self.open.get_mut(&part.id) else { continue };
            tracked.num_read += part.num_scores + part.num_hidden;
            let num_telling = match part.num_samples {
                0 => 0,
                _ => tracked.num_telling(&self.scheduler.scheduled(part).drafts),
            };
            let nan_row = rows.clone().take(num_telling).find(|row| nan_rows.contains(row));
            for (row, sample) in rows.clone().zip(samples) {
                let result = &results.sampled[sample];
                let is_reached =
                    row < rows.start + num_telling && nan_row.is_none_or(|nan_row| row <= nan_row);
                let is_right = match result {
                    Ok(_) => is_reached && nan_row != Some(row),
                    Err(SampleError::Invalid) => nan_row == Some(row),
                    Err(error) => *error == SampleError::NotReached && !is_reached,
                };
                ensure!(
                    is_right || self.tamper.is_some(),
                    "{:?} got {result:?} in row {row} of {rows:?}",
                    part.id
                );
            }
            if nan_rows.range(scored).next().is_some() {
                tracked.disturbed = Some((SequenceError::InvalidLogits, tracked.tokens.len()));
            } else if let Some(row) = nan_row {
                let num_before = tracked.tokens.len() + row - rows.start;
                tracked.disturbed = Some((SequenceError::InvalidLogits, num_before));
            }
            if let Some(row) = nan_row {
                let num_before = tracked.tokens.len() + row - rows.start;
                tracked.disturbed = Some((SequenceError::InvalidLogits, num_before));
            }
        }
        if self.has(Tamper::NanIsIgnored) {
            results.sampled.iter_mut().for_each(|result| *result = Ok(result.clone().unwrap_or(0.into())));
        }
        if self.has(Tamper::RowsAreMixedUp) {
            results.sampled.reverse();
        }
        if self.has(Tamper::ScoresAreMixedUp) {
            results.scores.reverse();
        }
        let counts = self.expected_counts(plan);
        let distrusted = self.blocks_of_the_disturbed(plan);
        let outcome = self.scheduler.commit(plan, results);
        distrusted.into_iter().for_each(|block| self.spoil(block, 0));
        counts.check(&outcome)?;
        Ok(outcome)
    }
}

/// The same logits, but for a NaN in each of these rows.
fn with_nans(logits: &Logits, rows: &BTreeSet<usize>) -> Logits {
    let vocab_size = logits.vocab_size();
    let mut data: Vec<f32> = (0..logits.num_rows()).flat_map(|row| logits.row(row)).copied().collect();
    rows.iter().for_each(|row| data[row * vocab_size + row % vocab_size] = f32::NAN);
    Logits::new(data, vocab_size)
}

/// The same rows, but every part further on by its place in the batch.
fn moved(plan: &StepPlan) -> StepPlan {
    let mut scheduled = plan.scheduled.clone();
    scheduled.iter_mut().enumerate().for_each(|(place, part)| part.start += place);
    StepPlan { scheduled, ..StepPlan::default() }
}
