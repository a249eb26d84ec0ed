//! Thousands of seeds.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};

use super::scenario::Scenario;
use super::tally::Tally;
use super::tamper::Tamper;
use super::world;

const NUM_SEEDS: u64 = 10_000;

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")))
}

/// Runs a scenario; a panic of the product is a broken promise like any other.
fn verdict(scenario: &Scenario, tamper: Option<Tamper>) -> Result<Tally, String> {
    let run = panic::catch_unwind(AssertUnwindSafe(|| world::run(scenario, tamper)));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(format!("the product panicked: {}", text.unwrap_or("?")))
    })
}

#[test]
fn every_seed_keeps_every_promise() {
    let seeds = match number_from_environment("MARU_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_from_environment("MARU_SIM_SEEDS").unwrap_or(NUM_SEEDS),
    };
    let next = AtomicU64::new(seeds.start);
    let num_threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let body = || {
        let mut all = Tally::default();
        let mut broken = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) || broken.len() >= 10 {
                return (all, broken);
            }
            match verdict(&Scenario::from_seed(seed), None) {
                Ok(tally) => all.add(&tally),
                Err(error) => broken.push((seed, error)),
            }
        }
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..num_threads).map(|_| scope.spawn(body)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it catches panics")).collect()
    });
    let mut all = Tally::default();
    let mut broken = Vec::new();
    for (tally, errors) in results {
        all.add(&tally);
        broken.extend(errors);
    }
    println!("{all:#?}");
    broken.sort();
    assert!(broken.is_empty(), "{broken:#?}");
}
