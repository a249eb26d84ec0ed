//! The product's scheduler, batch builder, runner and sampler in a loop without a thread: the same input gives the same
//! steps, and every row of logits that gives a token is seen.

use std::hash::{DefaultHasher, Hash, Hasher};

use maru::engine::kv::HashKey;
use maru::engine::{
    BatchBuilder, DraftCounts, FinishReason, NewSequence, Scheduler, SchedulerConfig, ScoredToken,
    SequenceId, SpeculationConfig, StepLimits, StepPlan, StepSampler, TokenEvent,
};
use maru::model::{KvCapacity, Logits, Runner};
use maru::sampling::TokenLogprobs;

use crate::rule::Rule;

/// More steps than any run takes.
const MAX_STEPS: usize = 100_000;

/// How the scheduler is set.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) max_num_seqs: usize,
    pub(crate) max_num_batched_tokens: usize,
    /// Prompt tokens of a step in which outputs advance too.
    pub(crate) max_prefill_tokens: usize,
    /// Blocks of the pool that are used.
    pub(crate) num_blocks: u32,
    pub(crate) prefix_cache: bool,
    /// Guesses at a time; 0 for none.
    pub(crate) max_draft_tokens: usize,
}

impl Settings {
    /// One sequence at a time, its prompt in one piece, without prefix cache and guesses.
    pub(crate) fn alone(runner: &dyn Runner) -> Self {
        Self {
            max_num_seqs: 1,
            max_num_batched_tokens: 4096,
            max_prefill_tokens: usize::MAX,
            num_blocks: runner.kv_capacity().num_blocks,
            prefix_cache: false,
            max_draft_tokens: 0,
        }
    }

    /// Up to 64 sequences at a time in the whole pool.
    pub(crate) fn together(runner: &dyn Runner) -> Self {
        Self { max_num_seqs: 64, max_num_batched_tokens: 256, ..Self::alone(runner) }
    }

    fn scheduler(&self, runner: &dyn Runner) -> Scheduler {
        let limits = StepLimits {
            max_num_seqs: self.max_num_seqs,
            max_num_batched_tokens: self.max_num_batched_tokens,
        };
        let capacity = KvCapacity { num_blocks: self.num_blocks, ..runner.kv_capacity() };
        let mut scheduler = Scheduler::new(SchedulerConfig {
            groups: runner.kv_groups(),
            prefix_cache: self.prefix_cache.then_some(HashKey([7; 16])),
            speculation: SpeculationConfig {
                max_draft_tokens: self.max_draft_tokens,
                max_ngram: 3,
                min_ngram: 1,
            },
            ..SchedulerConfig::new(limits, capacity)
        });
        scheduler.limit_prefill(self.max_prefill_tokens);
        scheduler
    }
}

/// Blocks that a request holds at full length: in layers with a window those in the window.
pub(crate) fn blocks_held(runner: &dyn Runner, request: &NewSequence) -> u32 {
    let block_size = runner.kv_capacity().block_size;
    let num_tokens = request.prompt.len() as u32 + request.max_new_tokens - 1;
    let all = num_tokens.div_ceil(block_size);
    let of_group = |window: Option<u32>| window.map_or(all, |len| all.min(len.div_ceil(block_size) + 1));
    runner.kv_groups().iter().map(|group| of_group(group.window)).sum()
}

/// A sequence, the step in which it comes, and the one in which it is aborted, if it is.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) step: usize,
    pub(crate) sequence: NewSequence,
    /// What its constraint is made of, if it has one.
    pub(crate) rule: Option<Rule>,
    pub(crate) leaves: Option<usize>,
}

impl Arrival {
    pub(crate) fn first(sequence: NewSequence) -> Self {
        Self { step: 0, sequence, rule: None, leaves: None }
    }
}

/// All that must not depend on the company.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) tokens: Vec<u32>,
    /// A hash of the bits of each row of logits that gave a token, a stop token included.
    pub(crate) rows: Vec<u64>,
    pub(crate) logprobs: Vec<Option<LogprobBits>>,
    /// Of the prompt's tokens from the second on, with the tokens.
    pub(crate) scores: Vec<(u32, LogprobBits)>,
    /// Bits of the pooled hidden state.
    pub(crate) embedding: Vec<u32>,
    pub(crate) ending: Option<FinishReason>,
}

impl Answer {
    /// Where it differs from what it should be.
    ///
    /// # Errors
    /// The first difference in words.
    pub(crate) fn must_equal(&self, expected: &Self) -> Result<(), String> {
        if self.tokens != expected.tokens {
            return Err(format!("tokens differ at output {}", common(&self.tokens, &expected.tokens)));
        }
        if self.rows != expected.rows {
            return Err(format!("logits differ at output {}", common(&self.rows, &expected.rows)));
        }
        if self.logprobs != expected.logprobs {
            return Err(format!("logprobs differ at output {}", common(&self.logprobs, &expected.logprobs)));
        }
        if self.scores != expected.scores {
            return Err(format!("scores differ at {}", common(&self.scores, &expected.scores)));
        }
        if self.embedding != expected.embedding {
            return Err(format!("embeddings differ at {}", common(&self.embedding, &expected.embedding)));
        }
        if self.ending != expected.ending {
            return Err(format!("it ends with {:?}, alone {:?}", self.ending, expected.ending));
        }
        Ok(())
    }
}

fn common<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Log probabilities as bits, so that equal means equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogprobBits {
    logprob: u32,
    top: Vec<(u32, u32)>,
}

impl From<&TokenLogprobs> for LogprobBits {
    fn from(logprobs: &TokenLogprobs) -> Self {
        let top = logprobs.top.iter().map(|&(id, logprob)| (id, logprob.to_bits())).collect();
        Self { logprob: logprobs.logprob.to_bits(), top }
    }
}

/// What became of a sequence, and what happened to it on the way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    pub(crate) answer: Answer,
    pub(crate) num_cached: usize,
    pub(crate) drafts: DraftCounts,
    pub(crate) num_preemptions: usize,
    /// Steps that computed a part of it, and those that gave tokens.
    pub(crate) num_parts: usize,
    pub(crate) num_sampling_parts: usize,
    /// Guesses that were computed.
    pub(crate) num_drafts: usize,
    /// Most sequences in a step with it, itself included.
    pub(crate) max_batch: usize,
}

/// What happened in all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) num_preemptions: usize,
    pub(crate) num_block_copies: usize,
    pub(crate) num_draft_tokens: usize,
    pub(crate) num_accepted_tokens: usize,
}

/// A run: one course per arrival.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) courses: Vec<Course>,
    pub(crate) tally: Tally,
}

/// Runs until all have ended.
pub(crate) fn run(runner: &mut dyn Runner, settings: &Settings, arrivals: &[Arrival]) -> Run {
    run_until(runner, settings, arrivals, None)
}

/// Runs a sequence alone.
pub(crate) fn alone(runner: &mut dyn Runner, sequence: &NewSequence) -> Course {
    let settings = Settings::alone(runner);
    run(runner, &settings, &[Arrival::first(sequence.without_constraint())]).courses.remove(0)
}

/// Runs until all have ended, or the one that is watched. Arrivals come in the order of their steps.
pub(crate) fn run_until(
    runner: &mut dyn Runner,
    settings: &Settings,
    arrivals: &[Arrival],
    watched: Option<usize>,
) -> Run {
    let mut drive = Drive {
        scheduler: settings.scheduler(runner),
        runner,
        builder: BatchBuilder::new(),
        sampler: StepSampler::new(),
        run: Run { courses: vec![Course::default(); arrivals.len()], tally: Tally::default() },
    };
    let mut num_arrived = 0;
    for step in 0..MAX_STEPS {
        while let Some(arrival) = arrivals.get(num_arrived).filter(|arrival| arrival.step <= step) {
            let id = SequenceId(num_arrived as u64);
            let constraint = arrival.rule.map(Rule::start);
            let sequence = NewSequence { constraint, ..arrival.sequence.without_constraint() };
            drive.scheduler.add(id, sequence).expect("every sequence alone fits the pool");
            num_arrived += 1;
        }
        for (index, arrival) in arrivals[..num_arrived].iter().enumerate() {
            if arrival.leaves == Some(step) {
                drive.scheduler.abort(SequenceId(index as u64));
            }
        }
        if drive.scheduler.has_work() {
            drive.step();
        } else if num_arrived == arrivals.len() {
            assert_eq!(drive.scheduler.kv().pool().num_used(), 0, "an idle engine holds no block");
            return drive.run;
        }
        if watched.is_some_and(|index| drive.run.courses[index].answer.ending.is_some()) {
            return drive.run;
        }
    }
    panic!("no end after {MAX_STEPS} steps");
}

struct Drive<'a> {
    scheduler: Scheduler,
    runner: &'a mut dyn Runner,
    builder: BatchBuilder,
    sampler: StepSampler,
    run: Run,
}

impl Drive<'_> {
    fn step(&mut self) {
        let plan = self.scheduler.schedule();
        assert!(plan.num_tokens() > 0, "every step advances somebody");
        let batch = self.builder.build(&plan, &self.scheduler);
        self.sampler.prepare(&plan, &mut self.scheduler);
        let output = self.runner.forward(batch).expect("the batch is right");
        assert_eq!(
            (output.logits.num_rows(), output.hidden.num_rows()),
            (plan.num_logits(), plan.num_hidden())
        );
        self.note(&plan);
        let mut rows = hashes(&plan, &output.logits);
        let results = self.sampler.read(&plan, &mut self.scheduler, output);
        let outcome = self.scheduler.commit(&plan, results);
        self.run.tally.num_draft_tokens += outcome.num_draft_tokens;
        self.run.tally.num_accepted_tokens += outcome.num_accepted_tokens;
        for (SequenceId(id), event) in outcome.events {
            let course = &mut self.run.courses[id as usize];
            let mut take_row = || {
                let place = rows.iter().position(|&(of, _)| of == id);
                rows.remove(place.expect("every token comes from a row of its sequence")).1
            };
            match event {
                TokenEvent::Scheduled { .. } => unreachable!("the plan tells of admissions"),
                TokenEvent::PromptScores { scores } => {
                    let bits = |score: ScoredToken| (score.token_id, LogprobBits::from(&score.logprobs));
                    course.answer.scores.extend(scores.into_iter().map(bits));
                }
                TokenEvent::Embedding { values } => {
                    course.answer.embedding.extend(values.iter().map(|value| value.to_bits()));
                }
                TokenEvent::Token { token_id, logprobs } => {
                    course.answer.tokens.push(token_id);
                    course.answer.rows.push(take_row());
                    course.answer.logprobs.push(logprobs.as_deref().map(LogprobBits::from));
                }
                TokenEvent::Finished { reason, drafts } => {
                    if matches!(reason, FinishReason::StopToken { .. }) {
                        course.answer.rows.push(take_row());
                    }
                    course.answer.ending = Some(reason);
                    course.drafts = drafts;
                }
                TokenEvent::Failed { error } => panic!("sequence {id} failed: {error}"),
            }
        }
    }

    fn note(&mut self, plan: &StepPlan) {
        let Run { courses, tally } = &mut self.run;
        tally.num_preemptions += plan.preempted.len();
        tally.num_block_copies += plan.block_copies.len();
        for id in &plan.preempted {
            courses[id.0 as usize].num_preemptions += 1;
        }
        for admission in &plan.admitted {
            courses[admission.id.0 as usize].num_cached = admission.num_cached;
        }
        for part in &plan.scheduled {
            let course = &mut courses[part.id.0 as usize];
            course.num_parts += 1;
            course.num_sampling_parts += usize::from(part.num_samples > 0);
            course.num_drafts += part.num_drafts();
            course.max_batch = course.max_batch.max(plan.scheduled.len());
        }
    }
}

/// The sequence and the hash of each row of logits that gives a token.
fn hashes(plan: &StepPlan, logits: &Logits) -> Vec<(u64, u64)> {
    let mut rows = (0..logits.num_rows()).map(|row| logits.row(row));
    let mut hashes = Vec::new();
    for part in &plan.scheduled {
        rows.by_ref().take(part.num_scores).for_each(drop);
        hashes.extend(rows.by_ref().take(part.num_samples).map(|row| (part.id.0, hash(row))));
    }
    hashes
}

fn hash(row: &[f32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.iter().for_each(|logit| logit.to_bits().hash(&mut hasher));
    hasher.finish()
}
