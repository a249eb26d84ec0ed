//! Prompts that are scored and prompts that are pooled: the same scores and the same hidden states in company, in
//! pieces, beside a filled prefix cache and after a loss of blocks as alone.

use maru::engine::{FinishReason, NewSequence, Pooling, Priority};
use maru::model::{KvDtypeChoice, Runner};

use crate::dice::Dice;
use crate::drive::{Answer, Arrival, Settings, alone, blocks_held, run};
use crate::models::{DEMO, EXAONE3_TIED, EXAONE4_HYBRID, EXAONE35, Setup};

const NUM_REQUESTS: usize = 40;

/// Requests of every kind, several of which begin alike.
fn requests(vocab_size: usize) -> Vec<NewSequence> {
    let dice = &mut Dice::new(21);
    let mut tokens = |num_tokens: usize| -> Vec<u32> {
        (0..num_tokens).map(|_| dice.between(0, vocab_size - 1) as u32).collect()
    };
    let beginning = tokens(30);
    let request = |index: usize| {
        let mut prompt = if index.is_multiple_of(3) { beginning.clone() } else { Vec::new() };
        prompt.extend(tokens(1 + index * 7 % 40));
        let plain = NewSequence::greedy(prompt, 1 + index as u32 % 30);
        match index % 5 {
            0 => NewSequence { prompt_scores: Some(0), ..plain },
            1 => NewSequence { prompt_scores: Some(5), ..plain },
            2 => NewSequence { pooling: Some(Pooling::Last), ..plain },
            3 => NewSequence { pooling: Some(Pooling::Mean), ..plain },
            // More urgent: these take the blocks of the others.
            _ => NewSequence { priority: Priority(-1), max_new_tokens: 30, ..plain },
        }
    };
    (0..NUM_REQUESTS).map(request).collect()
}

/// Whether there is all that was asked for.
fn check_is_whole(request: &NewSequence, answer: &Answer) {
    let num_scores = request.prompt_scores.map_or(0, |_| request.prompt.len() - 1);
    assert_eq!(answer.scores.len(), num_scores);
    let scored = answer.scores.iter().map(|(token_id, _)| token_id);
    assert!(scored.eq(request.prompt.iter().skip(1).take(num_scores)), "scores are of the prompt's tokens");
    assert_eq!(answer.embedding.is_empty(), request.pooling.is_none());
    assert_eq!(answer.ending == Some(FinishReason::Pooled), request.pooling.is_some());
    assert_eq!(answer.tokens.is_empty(), request.pooling.is_some());
}

/// Runs requests of every kind together in three ways. Gives how many that were scored or pooled lost blocks in the last.
///
/// # Errors
/// The first request whose answer is not the one that it gets alone.
pub(crate) fn check(runner: &mut dyn Runner, vocab_size: usize) -> Result<usize, String> {
    let requests = requests(vocab_size);
    let expected: Vec<Answer> = requests.iter().map(|request| alone(runner, request).answer).collect();
    for (request, answer) in requests.iter().zip(&expected) {
        check_is_whole(request, answer);
    }
    let arrive = |(index, request): (usize, &NewSequence)| Arrival {
        step: index / 2,
        ..Arrival::first(request.without_constraint())
    };
    let arrivals: Vec<Arrival> = requests.iter().enumerate().map(arrive).collect();
    let demand: u32 = requests.iter().map(|request| blocks_held(runner, request)).sum();
    let most = requests.iter().map(|request| blocks_held(runner, request)).max().expect("there are some");
    let together = Settings::together(runner);
    let cached = Settings { prefix_cache: true, ..together.clone() };
    let scarce = Settings {
        num_blocks: (demand / 10).max(2 * most),
        max_num_seqs: 32,
        max_num_batched_tokens: 40,
        max_prefill_tokens: 9,
        max_draft_tokens: 3,
        ..cached.clone()
    };
    let mut num_interrupted = 0;
    for settings in [together, cached, scarce] {
        let run = run(runner, &settings, &arrivals);
        for (index, (course, expected)) in run.courses.iter().zip(&expected).enumerate() {
            let result = course.answer.must_equal(expected);
            result.map_err(|difference| format!("request {index}, {settings:?}: {difference}"))?;
        }
        let is_read = |request: &NewSequence| request.prompt_scores.is_some() || request.pooling.is_some();
        let pairs = requests.iter().zip(&run.courses).filter(|(request, _)| is_read(request));
        num_interrupted = pairs.filter(|(_, course)| course.num_preemptions > 0).count();
    }
    Ok(num_interrupted)
}

#[test]
fn scores_and_hidden_states_are_those_that_a_prompt_has_alone() {
    let models = [
        (EXAONE35, KvDtypeChoice::F32),
        (EXAONE3_TIED, KvDtypeChoice::Bf16),
        (EXAONE4_HYBRID, KvDtypeChoice::F32),
    ];
    for (checkpoint, kv) in models {
        for setup in Setup::all(checkpoint, kv) {
            let num_interrupted = check(&mut *setup.load(), checkpoint.vocab_size);
            let num_interrupted =
                num_interrupted.unwrap_or_else(|difference| panic!("{setup:?}: {difference}"));
            println!("{setup:?}: {num_interrupted} were interrupted");
            assert!(num_interrupted >= 1, "{setup:?}: {num_interrupted} were interrupted");
        }
    }
}

#[test]
fn those_of_the_demo_model_too() {
    check(&mut *Setup::new(DEMO).load(), DEMO.vocab_size).unwrap_or_else(|difference| panic!("{difference}"));
}
