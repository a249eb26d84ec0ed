//! The command line, the configuration and the hub, seen from outside.

mod batch;
mod bench;
mod bench_stand_in;
mod config;
// Planned faults are part of debug builds alone.
#[cfg(debug_assertions)]
mod faults;
mod hub;
mod hub_stand_in;
mod models;
mod program;
