//! Thousands of seeds.

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scenario::Scenario;
use super::shrink;
use super::tally::Tally;
use super::tamper::Tamper;
use super::world;

const NUM_SEEDS: u64 = 10_000;

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")))
}

/// Runs a scenario; a panic of the product is a broken promise like any other.
pub(super) fn verdict(scenario: &Scenario, tamper: Option<Tamper>) -> Result<Tally, String> {
    let run = panic::catch_unwind(AssertUnwindSafe(|| world::run(scenario, tamper)));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(format!("the product panicked: {}", text.unwrap_or("?")))
    })
}

/// Runs seeds on all cores until ten are broken, and gives what happened in the others.
fn run_all(seeds: &Range<u64>) -> (Tally, Vec<(u64, String)>) {
    let next = AtomicU64::new(seeds.start);
    let all = Mutex::new((Tally::default(), Vec::new()));
    let body = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            let verdict = verdict(&Scenario::from_seed(seed), None);
            let (tally, broken) = &mut *all.lock().expect("nobody panics");
            match verdict {
                Ok(run) => tally.add(&run),
                Err(error) => broken.push((seed, error)),
            }
            if broken.len() >= 10 {
                return;
            }
        }
    };
    let num_threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..num_threads).for_each(|_| drop(scope.spawn(body))));
    let (tally, mut broken) = all.into_inner().expect("nobody panics");
    broken.sort();
    (tally, broken)
}

#[test]
fn every_seed_keeps_every_promise() {
    let seeds = match number_from_environment("MARU_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_from_environment("MARU_SIM_SEEDS").unwrap_or(NUM_SEEDS),
    };
    let (tally, broken) = run_all(&seeds);
    println!("{tally:#?}");
    if let Some((seed, error)) = broken.first() {
        let (smallest, why) =
            shrink::shrink(Scenario::from_seed(*seed), error.clone(), |s| verdict(s, None).err());
        panic!(
            "{} seeds are broken, such as {broken:?}\n\nseed {seed}: {error}\n\
             replay: MARU_SIM_SEED={seed} cargo test --lib simulation::seeds\n\
             shrunk to: {why}\n{smallest:#?}",
            broken.len()
        );
    }
    if seeds.end - seeds.start >= NUM_SEEDS {
        tally.check_it_is_broad();
    }
}
