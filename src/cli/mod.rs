//! The commands of `maru`: what they take, and what they do with it.

mod args;
mod progress;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use args::{ModelArgs, SamplingArgs, ServerArgs};

/// An OpenAI-compatible inference server for EXAONE language models.
///
/// Without a command it serves; without a model it serves a small demo model that is part of the program.
#[derive(Debug, Parser)]
#[command(name = "maru", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a model over HTTP (the default)
    Serve(ServeArgs),
    /// Talk to a model in the terminal
    Chat(ChatArgs),
    /// Continue a prompt, then exit
    Generate(GenerateArgs),
    /// Print the configuration that `serve` with the same flags would use, with where each value comes from
    Config(ServeArgs),
}

#[derive(Debug, Clone, clap::Args)]
struct ServeArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct ChatArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// System message to begin with
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    sampling: SamplingArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct GenerateArgs {
    /// Text to continue; read from standard input when absent
    prompt: Option<String>,
    /// Put the prompt through the model's chat template as a message of the user
    #[arg(long)]
    chat: bool,
    /// Sample instead of taking the likeliest token each time; implied by --temperature, --top-k and --top-p
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    do_sample: Option<bool>,
    /// Print the prompt before its continuation
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    return_full_text: Option<bool>,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    model: ModelArgs,
}
