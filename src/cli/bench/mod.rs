//! `maru bench`: a load generator for servers over HTTP and for the engine alone, with the same loads and figures.
//!
//! | part | what it is for |
//! |---|---|
//! | `args`, `extra` | flags, and JSON among them |
//! | `serve`, `engine` | the two commands: find the target, run the sweep, report |
//! | `sweep`, `driver`, `load` | which requests are sent when, whatever the target is |
//! | `target` | the seam between the load and what it is put on |
//! | `chat_target`, `chat`, `http`, `sse`, `wire`, `prompts` | a server as a target |
//! | `engine_target` | the engine as a target |
//! | `record`, `summary`, `percentiles`, `slo` | from times to figures |
//! | `report`, `table`, `plot` | figures as JSON, text and SVG |

mod args;
mod chat;
mod chat_target;
mod dice;
mod driver;
#[cfg(test)]
mod driver_tests;
mod engine;
mod engine_target;
mod extra;
mod http;
mod length;
mod load;
mod percentiles;
mod plot;
mod prompts;
mod record;
mod report;
mod serve;
mod slo;
mod sse;
mod summary;
#[cfg(test)]
mod summary_tests;
mod sweep;
mod table;
mod target;
mod wire;

use clap::Subcommand;

use args::{EngineBenchArgs, ServeBenchArgs};

/// What is measured.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum BenchCommand {
    Serve(Box<ServeBenchArgs>),
    Engine(Box<EngineBenchArgs>),
}

/// Runs a benchmark and reports on standard output.
pub(super) fn run(command: &BenchCommand) -> anyhow::Result<()> {
    match command {
        BenchCommand::Serve(args) => serve::run(args),
        BenchCommand::Engine(args) => engine::run(args),
    }
}
