//! Prompts whose beginning was computed before: the same bits as from cold, and exactly as many tokens from the cache
//! as there are to find.

use maru::engine::NewSequence;
use maru::model::{KvDtypeChoice, Runner};
use maru::sampling::SamplingParams;

use crate::dice::Dice;
use crate::drive::{Arrival, Settings, alone, run};
use crate::models::{DEMO, EXAONE3_TIED, EXAONE4_HYBRID, EXAONE35, Setup};

const NUM_OUTPUT: u32 = 9;
/// More steps than a request takes, so that it has ended when the next one comes.
const PATIENCE: usize = 200;

fn request(prompt: &[u32], seed: u64) -> NewSequence {
    let sampling = SamplingParams { temperature: 0.8, seed, logprobs: Some(3), ..SamplingParams::greedy() };
    NewSequence { sampling, ..NewSequence::greedy(prompt, NUM_OUTPUT) }
}

/// Requests one after the other, each with the tokens that the cache must have of it.
type Conversation = Vec<(NewSequence, usize)>;

/// Conversations that begin with a prompt of `num_prompt` tokens, at least two.
fn conversations(runner: &mut dyn Runner, num_prompt: usize, vocab_size: usize) -> [Conversation; 4] {
    let dice = &mut Dice::new(num_prompt as u64);
    let mut ids =
        |count: usize| -> Vec<u32> { (0..count).map(|_| dice.between(0, vocab_size - 1) as u32).collect() };
    let prompt = ids(num_prompt);
    let first = request(&prompt, 1);
    // All but the last token: its logits are needed.
    let again = vec![
        (first.without_constraint(), 0),
        (first.without_constraint(), num_prompt - 1),
        (request(&prompt, 2), num_prompt - 1),
    ];
    // The first half, then something else from the very next token on.
    let num_shared = num_prompt / 2;
    let mut half = prompt[..num_shared].to_vec();
    half.push((prompt[num_shared] + 1) % vocab_size as u32);
    half.extend(ids(10));
    let half = vec![(first.without_constraint(), 0), (request(&half, 2), num_shared)];
    // Each turn is all that was said before and a few tokens more. The last token of an answer was never computed.
    let mut turns = vec![(first.without_constraint(), 0)];
    let mut said = [&*prompt, &alone(runner, &first).answer.tokens].concat();
    for turn in 0..4 {
        let num_known = said.len() - 1;
        said.extend(ids(5 + turn));
        let next = request(&said, turn as u64);
        turns.push((next.without_constraint(), num_known));
        said.extend(alone(runner, &next).answer.tokens);
    }
    // What is not shared: another first token, and the same tokens under another salt.
    let stranger = [vec![(prompt[0] + 1) % vocab_size as u32], ids(num_prompt)].concat();
    let salted = NewSequence { cache_salt: b"another".as_slice().into(), ..first.without_constraint() };
    let strangers = vec![(first, 0), (request(&stranger, 1), 0), (salted, 0)];
    [again, half, turns, strangers]
}

/// Runs conversations over prompts of several lengths.
///
/// # Errors
/// The first request whose answer is not the one that it gets from cold, or of which more or less was cached.
pub(crate) fn check(runner: &mut dyn Runner, vocab_size: usize) -> Result<(), String> {
    for num_prompt in [2, 3, 15, 16, 17, 31, 32, 33, 64, 100] {
        for (kind, requests) in conversations(runner, num_prompt, vocab_size).iter().enumerate() {
            for max_num_batched_tokens in [8, 512] {
                let mut settings = Settings::alone(runner);
                (settings.prefix_cache, settings.max_num_batched_tokens) = (true, max_num_batched_tokens);
                let name = format!("conversation {kind} over a prompt of {num_prompt} tokens");
                talk(runner, &settings, requests).map_err(|difference| format!("{name}, {difference}"))?;
            }
        }
    }
    Ok(())
}

fn talk(runner: &mut dyn Runner, settings: &Settings, requests: &Conversation) -> Result<(), String> {
    let arrive = |(index, (request, _)): (usize, &(NewSequence, usize))| Arrival {
        step: index * PATIENCE,
        ..Arrival::first(request.without_constraint())
    };
    let arrivals: Vec<_> = requests.iter().enumerate().map(arrive).collect();
    let courses = run(runner, settings, &arrivals).courses;
    for (index, (course, (request, num_cached))) in courses.iter().zip(requests).enumerate() {
        let result = course.answer.must_equal(&alone(runner, request).answer);
        result.map_err(|difference| format!("request {index}: {difference}"))?;
        if course.num_cached != *num_cached {
            return Err(format!(
                "request {index}: {} tokens were cached, not {num_cached}",
                course.num_cached
            ));
        }
    }
    Ok(())
}

fn warm_is_cold(setup: &Setup) {
    let result = check(&mut *setup.load(), setup.checkpoint.vocab_size);
    result.unwrap_or_else(|difference| panic!("{setup:?}: {difference}"));
}

#[test]
fn a_cached_beginning_changes_no_bit_and_is_counted_to_the_token() {
    Setup::all(EXAONE35, KvDtypeChoice::F32).iter().for_each(warm_is_cold);
    Setup::all(EXAONE3_TIED, KvDtypeChoice::Bf16).iter().for_each(warm_is_cold);
    Setup::all(EXAONE4_HYBRID, KvDtypeChoice::F32).iter().for_each(warm_is_cold);
}

#[test]
fn nor_does_it_with_the_demo_model() {
    warm_is_cold(&Setup::new(DEMO));
}
