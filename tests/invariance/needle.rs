//! One request, hundreds of times among random traffic: batches of 1 to 64 sequences, pieces of 1 to 512 tokens, prefix
//! cache, guesses and a scarce pool on and off, neighbours that come, share its prompt, are more urgent and leave.

use maru::engine::{NewSequence, Priority, TenantId};
use maru::model::{KvDtypeChoice, Runner};
use maru::sampling::SamplingParams;

use crate::dice::Dice;
use crate::drive::{Answer, Arrival, Course, Settings, alone, blocks_held, run_until};
use crate::models::{DEMO, EXAONE3_TIED, EXAONE4_FULL, EXAONE4_HYBRID, EXAONE35, Setup};

const DEFAULT_RUNS: usize = 500;
const NUM_NEEDLE_TOKENS: usize = 24;
/// One run in so many is without SIMD.
const SCALAR_EVERY: usize = 20;

/// How often the needle met what could change it.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) num_runs: usize,
    cut: usize,
    cached: usize,
    preempted: usize,
    guessed: usize,
    /// Runs by the largest batch that it was part of: 1, 2 to 15, 16 to 63, 64.
    batches: [usize; 4],
}

impl Met {
    fn add(&mut self, course: &Course) {
        self.num_runs += 1;
        let num_prompt_parts = course.num_parts - course.num_sampling_parts;
        self.cut += usize::from(num_prompt_parts > 0);
        self.cached += usize::from(course.num_cached > 0);
        self.preempted += usize::from(course.num_preemptions > 0);
        self.guessed += usize::from(course.num_drafts > 0);
        let kind = match course.max_batch {
            0..=1 => 0,
            2..=15 => 1,
            16..=63 => 2,
            _ => 3,
        };
        self.batches[kind] += 1;
    }
}

/// The request: a prompt that repeats itself in part, so that something can be guessed, and warm sampling.
fn needle(vocab_size: usize) -> NewSequence {
    let prompt: Vec<u32> = (0..70).map(|i| (7 + (i % 23) * (i % 23) * 5) % vocab_size as u32).collect();
    let sampling = SamplingParams {
        temperature: 0.7,
        top_k: 40,
        top_p: 0.95,
        seed: 20_251_123,
        choice_index: 1,
        logprobs: Some(5),
        ..SamplingParams::greedy()
    };
    NewSequence { sampling, ..NewSequence::greedy(prompt, NUM_NEEDLE_TOKENS as u32) }
}

/// How many others there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Few,
    Some,
    /// As many as can run with the needle, all at once and for long.
    Crowd,
}

/// A neighbour; some begin as the needle does.
fn neighbour(dice: &mut Dice, company: Company, needle: &NewSequence, vocab_size: usize) -> NewSequence {
    let mut prompt = Vec::new();
    if dice.chance(40) {
        prompt.extend_from_slice(&needle.prompt[..dice.between(1, needle.prompt.len())]);
    }
    let num_own = if dice.chance(4) { dice.between(64, 370) } else { dice.between(1, 16) };
    prompt.extend((0..num_own).map(|_| dice.between(0, vocab_size - 1) as u32));
    let temperature = [0.0, 0.5, 1.5][dice.between(0, 2)];
    let (num_output, num_stops) = match company {
        Company::Few | Company::Some => (dice.between(1, 48), 1),
        Company::Crowd => (dice.between(32, 64), 0),
    };
    NewSequence {
        sampling: SamplingParams { temperature, seed: dice.next(), ..SamplingParams::greedy() },
        stop_token_ids: (0..num_stops).map(|_| dice.between(0, vocab_size - 1) as u32).collect(),
        tenant: TenantId(dice.between(0, 2) as u64),
        priority: Priority(dice.between(0, 2) as i8 - 1),
        ..NewSequence::greedy(prompt, num_output as u32)
    }
}

/// The needle as somebody else's and more or less urgent: that changes its turn, not its output.
fn disguised(dice: &mut Dice, needle: &NewSequence) -> NewSequence {
    let tenant = TenantId(dice.between(0, 2) as u64);
    NewSequence { tenant, priority: Priority(dice.between(0, 2) as i8 - 1), ..needle.without_constraint() }
}

/// A number from 1 to `2^max_exponent`, small ones as likely as large ones.
fn spread(dice: &mut Dice, max_exponent: usize) -> usize {
    let top = 1 << dice.between(0, max_exponent);
    dice.between(top / 2 + 1, top)
}

fn settings(dice: &mut Dice, company: Company, runner: &dyn Runner, arrivals: &[Arrival]) -> Settings {
    let (max_num_seqs, max_prefill_tokens, max_num_batched_tokens) = match company {
        Company::Few | Company::Some => (spread(dice, 6), spread(dice, 9), spread(dice, 9)),
        Company::Crowd => (64, 512, dice.between(128, 512)),
    };
    let demand: u32 = arrivals.iter().map(|arrival| blocks_held(runner, &arrival.sequence)).sum();
    let num_blocks = match dice.chance(60) {
        true => (demand / dice.between(2, 8) as u32).max(most_blocks(runner, arrivals)),
        false => runner.kv_capacity().num_blocks,
    };
    Settings {
        max_num_seqs,
        max_num_batched_tokens: max_num_batched_tokens.max(max_num_seqs),
        max_prefill_tokens,
        num_blocks,
        prefix_cache: dice.chance(50),
        max_draft_tokens: [0, 4][dice.between(0, 1)],
    }
}

/// Blocks with which any of the sequences fits, however large its steps are.
fn most_blocks(runner: &dyn Runner, arrivals: &[Arrival]) -> u32 {
    let num_tokens =
        |arrival: &Arrival| arrival.sequence.prompt.len() as u32 + arrival.sequence.max_new_tokens;
    let longest = arrivals.iter().map(num_tokens).max().expect("the needle arrives");
    longest.div_ceil(runner.kv_capacity().block_size) * runner.kv_groups().len() as u32
}

fn one_run(runner: &mut dyn Runner, seed: u64, needle: &NewSequence, vocab_size: usize) -> Course {
    let dice = &mut Dice::new(seed);
    let (company, num_neighbours) = match dice.between(0, 4) {
        0 | 1 => (Company::Few, dice.between(0, 7)),
        2 | 3 => (Company::Some, dice.between(8, 24)),
        _ => (Company::Crowd, 63),
    };
    let mut step = 0;
    let mut arrivals = Vec::new();
    // Late as a rule: who came last is the first to lose its blocks.
    let place = dice.between(0, num_neighbours).max(dice.between(0, num_neighbours));
    for index in 0..=num_neighbours {
        let is_needle = index == place;
        let mut leaves = None;
        if company != Company::Crowd {
            step += if dice.chance(75) { 0 } else { dice.between(1, 3) };
            leaves = (!is_needle && dice.chance(10)).then(|| step + dice.between(1, 12));
        }
        let sequence = match is_needle {
            true => disguised(dice, needle),
            false => neighbour(dice, company, needle, vocab_size),
        };
        arrivals.push(Arrival { step, leaves, ..Arrival::first(sequence) });
    }
    let settings = settings(dice, company, runner, &arrivals);
    run_until(runner, &settings, &arrivals, Some(place)).courses.swap_remove(place)
}

/// Runs the needle `num_runs` times on the models in turn.
///
/// # Errors
/// The seed of the first run whose answer is not the one of the needle alone, and the difference.
pub(crate) fn check(setups: &[Setup], num_runs: usize) -> Result<Met, String> {
    let mut setups = setups.to_vec();
    setups.push(setups[0].scalar());
    let mut runners: Vec<_> = setups.iter().map(Setup::load).collect();
    let vocab_size = setups[0].checkpoint.vocab_size;
    let needle = needle(vocab_size);
    let expected: Answer = alone(&mut *runners[0], &needle).answer;
    assert_eq!(expected.tokens.len(), NUM_NEEDLE_TOKENS);
    let mut met = Met::default();
    for seed in 0..num_runs {
        let which = match seed % SCALAR_EVERY {
            0 => setups.len() - 1,
            _ => seed % (setups.len() - 1),
        };
        let course = one_run(&mut *runners[which], seed as u64, &needle, vocab_size);
        let result = course.answer.must_equal(&expected);
        result.map_err(|difference| format!("run {seed} on {:?}: {difference}", setups[which]))?;
        met.add(&course);
    }
    Ok(met)
}

fn num_runs() -> usize {
    let runs = std::env::var("MARU_INVARIANCE_RUNS").ok();
    runs.map_or(DEFAULT_RUNS, |runs| runs.parse().expect("MARU_INVARIANCE_RUNS is a number"))
}

#[test]
fn one_request_has_one_output_in_500_runs_among_random_traffic() {
    let met = check(&Setup::all(EXAONE35, KvDtypeChoice::F32), num_runs()).unwrap();
    println!("{met:?}");
    // What the runs were made of: each way of disturbing the needle in at least one run of twenty.
    let Met { num_runs, cut, cached, preempted, guessed, batches } = met;
    for count in [cut, cached, preempted, guessed].into_iter().chain(batches) {
        assert!(count * 20 >= num_runs, "{count} of {num_runs}");
    }
}

#[test]
fn a_bf16_cache_and_the_other_generations_change_nothing_about_that() {
    let num_runs = num_runs() / 5;
    check(&Setup::all(EXAONE35, KvDtypeChoice::Bf16), num_runs).unwrap();
    check(&Setup::all(EXAONE3_TIED, KvDtypeChoice::F32), num_runs).unwrap();
    check(&Setup::all(EXAONE4_FULL, KvDtypeChoice::Bf16), num_runs).unwrap();
}

#[test]
fn nor_do_layers_that_see_a_window() {
    let met = check(&Setup::all(EXAONE4_HYBRID, KvDtypeChoice::F32), num_runs() / 5).unwrap();
    assert!(met.cached > 0, "{met:?}");
}

#[test]
fn nor_does_the_demo_model() {
    check(&[Setup::new(DEMO)], num_runs() / 50).unwrap();
}
