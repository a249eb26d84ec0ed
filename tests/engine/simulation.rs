//! Thousands of seeded runs of the scheduler, each checked at every step (see `world`).

use maru::engine::{SequenceId, StepLimits};
use maru::model::KvCapacity;

use crate::scenario::{Arrival, Fate, Scenario};
use crate::world::{self, Tally};

const NUM_SEEDS: u64 = 3_000;

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")))
}

fn run_seed(seed: u64) -> Tally {
    let scenario = Scenario::from_seed(seed);
    let run = std::panic::catch_unwind(|| world::run(&scenario, None));
    let verdict = run.unwrap_or_else(|_| Err("an assertion of the product failed, see above".to_owned()));
    verdict.unwrap_or_else(|broken| {
        panic!("seed {seed}: {broken}\nreplay: MARU_SIM_SEED={seed} cargo test --test engine simulation\n{scenario:#?}")
    })
}

#[test]
fn every_seed_keeps_every_promise() {
    let seeds = match number_from_environment("MARU_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_from_environment("MARU_SIM_SEEDS").unwrap_or(NUM_SEEDS),
    };
    let is_broad = seeds.end - seeds.start >= NUM_SEEDS;
    let mut all = Tally::default();
    for seed in seeds {
        let tally = run_seed(seed);
        all.refused += tally.refused;
        all.finished += tally.finished;
        all.aborted += tally.aborted;
        all.failed += tally.failed;
        all.steps += tally.steps;
    }
    all.outputs.clear();
    println!("{all:?}");
    // The scenarios must really hold what they are for.
    let rarest = all.refused.min(all.aborted).min(all.failed);
    assert!(!is_broad || (rarest > 500 && all.finished > 10_000), "{all:?}");
}

/// The same sequence through the same engine, without neighbours and in one piece.
fn alone(arrival: &Arrival, capacity: KvCapacity) -> Vec<u32> {
    let scenario = Scenario {
        limits: StepLimits { max_num_seqs: 1, max_num_batched_tokens: 1_000 },
        capacity,
        arrivals: vec![Arrival { step: 0, fate: Fate::Stays, ..arrival.clone() }],
        failing_steps: Vec::new(),
        nan_steps: Vec::new(),
    };
    let mut tally = world::run(&scenario, None).expect("a sequence alone breaks no promise");
    tally.outputs.remove(&SequenceId(0)).expect("it finished")
}

#[test]
fn batched_equals_alone_and_chunked_equals_whole() {
    for seed in 0..200 {
        let scenario = Scenario::from_seed(seed);
        for (id, tokens) in run_seed(seed).outputs {
            let arrival = &scenario.arrivals[id.0 as usize];
            assert_eq!(tokens, alone(arrival, scenario.capacity), "seed {seed}, {id:?}");
        }
    }
}
