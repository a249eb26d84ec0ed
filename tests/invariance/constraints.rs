//! Requests whose output is held to a form, in a pool of a quarter of what they need, with guesses and a prefix cache:
//! each says what it says alone.

use maru::engine::FinishReason;
use maru::model::{KvDtypeChoice, Runner};

use crate::drive::{Arrival, Settings, Tally, run};
use crate::models::{DEMO, EXAONE3_TIED, EXAONE35, Setup};
use crate::pressure;
use crate::rule::Rule;

fn arrivals(runner: &dyn Runner, vocab_size: usize) -> (Vec<Arrival>, u32) {
    let requests = pressure::requests(vocab_size);
    let num_blocks = pressure::quarter_of_demand(&requests, runner);
    let arrive = |(seed, sequence): (u64, _)| {
        // Some end by their form, some by their length, some have none.
        let num_tokens = [30, 50, 100][seed as usize % 3];
        let rule = Rule { seed, vocab_size: vocab_size as u32, num_tokens };
        Arrival { rule: (seed % 5 != 0).then_some(rule), ..Arrival::first(sequence) }
    };
    ((0..).zip(requests).map(arrive).collect(), num_blocks)
}

/// Runs the requests in a scarce pool without guesses and with up to 1 and 6 at a time.
///
/// # Errors
/// The first request whose answer is not the one that it gets alone without guesses.
pub(crate) fn check(runner: &mut dyn Runner, vocab_size: usize) -> Result<Tally, String> {
    let (arrivals, num_blocks) = arrivals(runner, vocab_size);
    let alone = Settings::alone(runner);
    let answer_of =
        |arrival: &Arrival| run(runner, &alone, std::slice::from_ref(arrival)).courses.remove(0).answer;
    let expected: Vec<_> = arrivals.iter().map(answer_of).collect();
    let num_complete = expected.iter().filter(|answer| answer.ending == Some(FinishReason::Complete)).count();
    assert!((10..60).contains(&num_complete), "{num_complete} of {}", expected.len());
    let mut in_all = Tally::default();
    for max_draft_tokens in [0, 1, 6] {
        let settings =
            Settings { num_blocks, max_draft_tokens, prefix_cache: true, ..Settings::together(runner) };
        let run = run(runner, &settings, &arrivals);
        for (index, (course, expected)) in run.courses.iter().zip(&expected).enumerate() {
            let result = course.answer.must_equal(expected);
            result.map_err(|difference| format!("request {index}, {settings:?}: {difference}"))?;
        }
        in_all.num_preemptions += run.tally.num_preemptions;
        in_all.num_accepted_tokens += run.tally.num_accepted_tokens;
    }
    Ok(in_all)
}

#[test]
fn a_form_is_kept_in_company_as_alone() {
    let models = [(EXAONE35, KvDtypeChoice::F32), (EXAONE3_TIED, KvDtypeChoice::Bf16)];
    let mut setups: Vec<Setup> =
        models.into_iter().flat_map(|(checkpoint, dtype)| Setup::all(checkpoint, dtype)).collect();
    setups.push(Setup::new(DEMO));
    for setup in setups {
        let tally = check(&mut *setup.load(), setup.checkpoint.vocab_size);
        let tally = tally.unwrap_or_else(|difference| panic!("{setup:?}: {difference}"));
        println!("{setup:?}: {tally:?}");
        assert!(tally.num_preemptions > 20 && tally.num_accepted_tokens > 100, "{setup:?}: {tally:?}");
    }
}
