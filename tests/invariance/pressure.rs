//! 64 requests at once in a KV pool of a quarter of what they need: sequences lose their blocks, come back, and say
//! what they would have said undisturbed.

use maru::engine::NewSequence;
use maru::model::{KvDtypeChoice, Runner};
use maru::sampling::SamplingParams;

use crate::dice::Dice;
use crate::drive::{Answer, Arrival, Settings, Tally, alone, blocks_held, run};
use crate::models::{DEMO, EXAONE3_TIED, EXAONE4_HYBRID, EXAONE35, Setup};

const NUM_REQUESTS: usize = 64;
const MIN_PREEMPTIONS: usize = 20;
/// In layers with a window sequences grow in the one group that sees all.
const MIN_PREEMPTIONS_WITH_WINDOWS: usize = 10;

/// Requests whose outputs are longer than their prompts, so that they are admitted with few blocks and grow.
pub(crate) fn requests(vocab_size: usize) -> Vec<NewSequence> {
    let dice = &mut Dice::new(64);
    let request = |index: usize| {
        let num_prompt = dice.between(4, 20);
        let prompt: Vec<u32> = (0..num_prompt).map(|_| dice.between(0, vocab_size - 1) as u32).collect();
        let temperature = [0.0, 0.8, 1.2][index % 3];
        let logprobs = [None, Some(0), Some(4)][dice.between(0, 2)];
        let sampling =
            SamplingParams { temperature, seed: index as u64, logprobs, ..SamplingParams::greedy() };
        NewSequence { sampling, ..NewSequence::greedy(prompt, dice.between(40, 72) as u32) }
    };
    (0..NUM_REQUESTS).map(request).collect()
}

/// A quarter of the blocks that the requests hold at full length.
pub(crate) fn quarter_of_demand(requests: &[NewSequence], runner: &dyn Runner) -> u32 {
    requests.iter().map(|request| blocks_held(runner, request)).sum::<u32>() / 4
}

/// What each request says alone.
pub(crate) fn alone_each(runner: &mut dyn Runner, requests: &[NewSequence]) -> Vec<Answer> {
    requests.iter().map(|request| alone(runner, request).answer).collect()
}

/// Runs all requests at once in a scarce pool, with what `change` makes of the settings.
///
/// # Errors
/// The first request whose answer differs from `expected`.
pub(crate) fn check(
    runner: &mut dyn Runner,
    requests: &[NewSequence],
    expected: &[Answer],
    change: impl FnOnce(&mut Settings),
) -> Result<Tally, String> {
    let mut settings = Settings::together(runner);
    settings.num_blocks = quarter_of_demand(requests, runner);
    change(&mut settings);
    let arrivals: Vec<Arrival> =
        requests.iter().map(NewSequence::without_constraint).map(Arrival::first).collect();
    let run = run(runner, &settings, &arrivals);
    for (index, (course, expected)) in run.courses.iter().zip(expected).enumerate() {
        let result = course.answer.must_equal(expected);
        result.map_err(|difference| format!("request {index}, {settings:?}: {difference}"))?;
    }
    Ok(run.tally)
}

fn sixty_four_requests_say_what_they_say_alone(setups: &[Setup], min_preemptions: usize) {
    let mut known: Option<Vec<Answer>> = None;
    for setup in setups {
        let mut runner = setup.load();
        let requests = requests(setup.checkpoint.vocab_size);
        let expected = known.get_or_insert_with(|| alone_each(&mut *runner, &requests));
        for (prefix_cache, max_draft_tokens) in [(false, 0), (true, 0), (true, 3)] {
            let tally = check(&mut *runner, &requests, expected, |settings| {
                settings.prefix_cache = prefix_cache;
                settings.max_draft_tokens = max_draft_tokens;
            });
            let tally = tally.unwrap_or_else(|difference| panic!("{setup:?}: {difference}"));
            println!("{setup:?}, cache {prefix_cache}, guesses {max_draft_tokens}: {tally:?}");
            assert!(tally.num_preemptions >= min_preemptions, "{setup:?}: {tally:?}");
        }
    }
}

#[test]
fn a_quarter_of_the_blocks_changes_no_bit_of_the_f32_checkpoint() {
    sixty_four_requests_say_what_they_say_alone(&Setup::all(EXAONE35, KvDtypeChoice::F32), MIN_PREEMPTIONS);
}

#[test]
fn nor_of_the_tied_one_with_a_bf16_cache() {
    sixty_four_requests_say_what_they_say_alone(
        &Setup::all(EXAONE3_TIED, KvDtypeChoice::Bf16),
        MIN_PREEMPTIONS,
    );
}

#[test]
fn nor_of_layers_that_see_a_window() {
    sixty_four_requests_say_what_they_say_alone(
        &Setup::all(EXAONE4_HYBRID, KvDtypeChoice::F32),
        MIN_PREEMPTIONS_WITH_WINDOWS,
    );
}

#[test]
fn nor_of_the_demo_model() {
    sixty_four_requests_say_what_they_say_alone(&[Setup::new(DEMO)], MIN_PREEMPTIONS);
}
