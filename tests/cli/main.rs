//! The command line, the configuration and the hub, seen from outside.

mod bench;
mod bench_stand_in;
mod config;
mod hub;
mod hub_stand_in;
mod models;
mod program;
