//! The engine without a model: a seeded simulation of the scheduler, and the thread with its channels.
//!
//! A failing seed prints itself and is replayed alone with `MARU_SIM_SEED=<seed> cargo test --test engine simulation`.
//! `MARU_SIM_SEEDS=<count>` runs more seeds than the default.

mod dice;
mod oracle;
mod planted;
mod rig;
mod scenario;
mod simulation;
mod threaded;
mod world;
