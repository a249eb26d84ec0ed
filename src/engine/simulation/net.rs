//! Whether the net has holes: every planted bug must be seen by some seed.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::scenario::Scenario;
use super::seeds::verdict;
use super::tamper::Tamper;
use crate::engine::planted::{Bug, plant};

/// Seeds within which a bug must be seen.
const NUM_SEEDS: u64 = 10_000;

#[derive(Debug, Clone, Copy)]
enum Plant {
    /// In a part of the product.
    Within(Bug),
    /// Between the parts.
    Between(Tamper),
}

impl Plant {
    fn all() -> Vec<Self> {
        let within = Bug::ALL.into_iter().map(Self::Within);
        within.chain(Tamper::ALL.into_iter().map(Self::Between)).collect()
    }

    /// How a seed shows it.
    fn seen_by(self, seed: u64) -> Option<String> {
        let scenario = Scenario::from_seed(seed);
        let verdict = match self {
            Self::Within(bug) => plant(Some(bug), || verdict(&scenario, None)),
            Self::Between(tamper) => verdict(&scenario, Some(tamper)),
        };
        verdict.err()
    }

    /// The first seed that shows it, and how.
    fn first_seen(self) -> Option<(u64, String)> {
        (0..NUM_SEEDS).find_map(|seed| Some((seed, self.seen_by(seed)?)))
    }
}

/// Prints the table of `docs/simulation.md`.
#[test]
fn every_planted_bug_is_seen() {
    let plants = Plant::all();
    let next = AtomicUsize::new(0);
    let search = || {
        let mut rows = Vec::new();
        while let Some(plant) = plants.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = match plant {
                Plant::Within(bug) => format!("{bug:?}"),
                Plant::Between(tamper) => format!("{tamper:?} (between)"),
            };
            rows.push((name, plant.first_seen()));
        }
        rows
    };
    let rows: Vec<_> = std::thread::scope(|scope| {
        let threads = [scope.spawn(search), scope.spawn(search)];
        threads.into_iter().flat_map(|thread| thread.join().expect("panics are caught")).collect()
    });
    for (name, seen) in &rows {
        match seen {
            Some((seed, how)) => println!("| {name} | {} | {} |", seed + 1, how.lines().next().unwrap_or("")),
            None => println!("| {name} | not seen | |"),
        }
    }
    let unseen: Vec<_> = rows.iter().filter(|(_, seen)| seen.is_none()).map(|(name, _)| name).collect();
    assert!(unseen.is_empty(), "{NUM_SEEDS} seeds do not see {unseen:?}");
}
