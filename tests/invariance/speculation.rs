//! Guessed tokens change the number of steps and nothing else, and every guess is counted once, as right or as wrong.

use maru::engine::NewSequence;
use maru::model::{KvDtypeChoice, Runner};
use maru::sampling::SamplingParams;

use crate::dice::Dice;
use crate::drive::{Arrival, Settings, Tally, alone, run};
use crate::models::{DEMO, EXAONE3_TIED, EXAONE4_HYBRID, EXAONE35, Setup};

/// Prompts that repeat themselves, so that there is something to guess.
fn requests(vocab_size: usize) -> Vec<NewSequence> {
    let dice = &mut Dice::new(5);
    let request = |index: usize| {
        let period: Vec<u32> =
            (0..dice.between(2, 7)).map(|_| dice.between(0, vocab_size - 1) as u32).collect();
        let prompt: Vec<u32> = period.iter().copied().cycle().take(dice.between(8, 40)).collect();
        let temperature = if index.is_multiple_of(2) { 0.0 } else { 0.6 };
        let sampling =
            SamplingParams { temperature, seed: index as u64, logprobs: Some(2), ..SamplingParams::greedy() };
        NewSequence { sampling, ..NewSequence::greedy(prompt, dice.between(20, 60) as u32) }
    };
    (0..24).map(request).collect()
}

/// Runs the requests with up to 1, 4 and 16 guesses at a time, and counts guesses over all.
///
/// # Errors
/// The first request whose answer is not the one that it gets alone without guesses.
pub(crate) fn check(runner: &mut dyn Runner, vocab_size: usize) -> Result<Tally, String> {
    let requests = requests(vocab_size);
    let expected: Vec<_> = requests.iter().map(|request| alone(runner, request).answer).collect();
    let arrivals: Vec<_> = requests.iter().map(NewSequence::without_constraint).map(Arrival::first).collect();
    let mut in_all = Tally::default();
    for max_draft_tokens in [1, 4, 16] {
        let settings = Settings { max_draft_tokens, ..Settings::together(runner) };
        let run = run(runner, &settings, &arrivals);
        let (mut num_accepted, mut num_rejected) = (0, 0);
        for (course, expected) in run.courses.iter().zip(&expected) {
            course.answer.must_equal(expected)?;
            let [accepted, rejected] =
                [course.drafts.num_accepted, course.drafts.num_rejected].map(|count| count as usize);
            assert_eq!(accepted + rejected, course.num_drafts, "each guess is right or wrong");
            assert_eq!(
                course.answer.tokens.len(),
                course.num_sampling_parts + accepted,
                "a step gives a token and one more for each right guess"
            );
            num_accepted += accepted;
            num_rejected += rejected;
        }
        assert_eq!(run.tally.num_accepted_tokens, num_accepted);
        assert_eq!(run.tally.num_draft_tokens, num_accepted + num_rejected);
        in_all.num_accepted_tokens += num_accepted;
        in_all.num_draft_tokens += num_accepted + num_rejected;
    }
    Ok(in_all)
}

fn guesses_change_nothing(setup: &Setup) {
    let tally = check(&mut *setup.load(), setup.checkpoint.vocab_size);
    let Tally { num_draft_tokens, num_accepted_tokens, .. } =
        tally.unwrap_or_else(|difference| panic!("{setup:?}: {difference}"));
    println!("{setup:?}: {num_accepted_tokens} of {num_draft_tokens} guesses were right");
    assert!(num_accepted_tokens > 30 && num_draft_tokens - num_accepted_tokens > 30, "{setup:?}");
}

#[test]
fn the_output_is_the_same_with_guesses_and_without() {
    Setup::all(EXAONE35, KvDtypeChoice::F32).iter().for_each(guesses_change_nothing);
    Setup::all(EXAONE3_TIED, KvDtypeChoice::Bf16).iter().for_each(guesses_change_nothing);
    Setup::all(EXAONE4_HYBRID, KvDtypeChoice::F32).iter().for_each(guesses_change_nothing);
}

#[test]
fn the_demo_models_too() {
    guesses_change_nothing(&Setup::new(DEMO));
}
