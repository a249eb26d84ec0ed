//! Every sampling parameter at several values, all in one batch, each with log probabilities or without.

use maru::engine::NewSequence;
use maru::model::{KvDtypeChoice, Runner};
use maru::sampling::{Penalties, SamplingParams, TokenSet};

use crate::dice::Dice;
use crate::drive::{Arrival, Settings, alone, run};
use crate::models::{EXAONE3_TIED, EXAONE4_HYBRID, EXAONE35, Setup};

/// One request per value of each parameter, the others drawn.
fn requests(dice: &mut Dice, vocab_size: usize) -> Vec<NewSequence> {
    let mut params = Vec::new();
    let mut drawn = |change: &dyn Fn(&mut SamplingParams)| {
        let mut drawn = SamplingParams {
            temperature: [0.0, 0.3, 0.8, 1.0, 1.7][dice.between(0, 4)],
            top_k: [0, 1, 3, 40, 1000][dice.between(0, 4)],
            top_p: [0.2, 0.9, 1.0][dice.between(0, 2)],
            seed: dice.next(),
            choice_index: dice.between(0, 3) as u32,
            logprobs: [None, Some(0), Some(1), Some(20)][dice.between(0, 3)],
            ..SamplingParams::greedy()
        };
        change(&mut drawn);
        params.push(drawn);
    };
    for temperature in [0.0, 1e-3, 0.5, 1.0, 2.0] {
        drawn(&|params| params.temperature = temperature);
    }
    for top_k in [0, 1, 2, 50, 100_000] {
        drawn(&|params| (params.temperature, params.top_k) = (1.0, top_k));
    }
    for top_p in [1e-3, 0.1, 0.5, 0.99, 1.0] {
        drawn(&|params| (params.temperature, params.top_k, params.top_p) = (1.0, 0, top_p));
    }
    for seed in [0, 1, u64::MAX] {
        drawn(&|params| (params.temperature, params.seed) = (1.0, seed));
    }
    for choice_index in [0, 1, 127] {
        drawn(&|params| (params.temperature, params.choice_index) = (1.0, choice_index));
    }
    for logprobs in [None, Some(0), Some(1), Some(20)] {
        drawn(&|params| params.logprobs = logprobs);
    }
    let near = (0..vocab_size as u32).step_by(3).collect::<Vec<_>>();
    drawn(&|params| (params.temperature, params.min_p) = (1.5, 0.05));
    drawn(&|params| params.penalties = Penalties { frequency: 0.7, presence: 0.3, repetition: 1.3 });
    drawn(&|params| params.penalties = Penalties { frequency: -0.5, ..Penalties::default() });
    drawn(&|params| params.penalties = Penalties { repetition: 0.8, ..Penalties::default() });
    drawn(&|params| params.bias = [(3, 4.0), (7, -100.0), (vocab_size as u32 - 1, 2.5)].into());
    drawn(&|params| params.allowed = Some(TokenSet::of(vocab_size, near.iter().copied()).into()));
    drawn(&|params| params.bad_words = near.iter().map(|&id| vec![id]).collect());
    drawn(&|params| params.min_tokens = 9);
    let request = |sampling| {
        let num_prompt = dice.between(1, 40);
        let prompt: Vec<u32> = (0..num_prompt).map(|_| dice.between(0, vocab_size - 1) as u32).collect();
        let num_stops = dice.between(0, 2);
        let stop_token_ids = (0..num_stops).map(|_| dice.between(0, vocab_size - 1) as u32).collect();
        NewSequence { sampling, stop_token_ids, ..NewSequence::greedy(prompt, dice.between(1, 20) as u32) }
    };
    params.into_iter().map(request).collect()
}

/// Runs one request per value of each parameter together.
///
/// # Errors
/// The first request whose answer is not the one that it gets alone.
pub(crate) fn check(runner: &mut dyn Runner, vocab_size: usize) -> Result<(), String> {
    let requests = requests(&mut Dice::new(3), vocab_size);
    let expected: Vec<_> = requests.iter().map(|request| alone(runner, request).answer).collect();
    let arrivals: Vec<_> = requests.iter().map(NewSequence::without_constraint).map(Arrival::first).collect();
    for max_num_batched_tokens in [64, 100, 512] {
        let settings = Settings { max_num_batched_tokens, ..Settings::together(runner) };
        let courses = run(runner, &settings, &arrivals).courses;
        for ((course, expected), request) in courses.iter().zip(&expected).zip(&requests) {
            let result = course.answer.must_equal(expected);
            result.map_err(|difference| format!("{:?}: {difference}", request.sampling))?;
            let with_logprobs = course.answer.logprobs.iter().filter(|logprobs| logprobs.is_some()).count();
            let expected = request.sampling.logprobs.map_or(0, |_| course.answer.tokens.len());
            assert_eq!(with_logprobs, expected, "{:?}", request.sampling);
        }
    }
    Ok(())
}

#[test]
fn no_sampling_parameter_lets_the_batch_through() {
    let models = [
        (EXAONE35, KvDtypeChoice::F32),
        (EXAONE3_TIED, KvDtypeChoice::Bf16),
        (EXAONE4_HYBRID, KvDtypeChoice::F32),
    ];
    for (checkpoint, kv) in models {
        for setup in Setup::all(checkpoint, kv) {
            let result = check(&mut *setup.load(), checkpoint.vocab_size);
            result.unwrap_or_else(|difference| panic!("{setup:?}: {difference}"));
        }
    }
}
