//! The `maru` binary.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    maru::cli::run(maru::cli::Cli::parse())
}
