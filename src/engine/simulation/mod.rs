//! The scheduler, the KV books, the batch builder and the sampler around a fake runner, run thousands of times from
//! seeds, with every promise checked at every step. `docs/simulation.md` says what is simulated and what is checked.

/// A broken promise, in words.
type Checked = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}

mod books;
mod contents;
mod dice;
mod ledger;
mod net;
mod oracle;
mod outcome_checks;
mod plan_checks;
pub(in crate::engine) mod rule;
mod scenario;
mod seeds;
mod shrink;
mod tally;
mod tamper;
mod tracked;
mod world;
