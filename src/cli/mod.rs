//! The commands of `maru`: what they take, and what they do with it.

mod answer;
mod args;
mod banner;
mod batch;
mod bench;
mod chat;
mod generate;
mod health;
mod progress;
mod show_config;

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::api::ApiKeys;
use crate::app::{self, End, Located, Service};
use crate::config::{Config, Environment, Origin, Setting, Sources};
use crate::telemetry::{LogFormat, set_up_logs};
use banner::Banner;
use progress::{DownloadBars, LoadBar};

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
    Batch(Box<batch::BatchArgs>),
    /// Measure a server or the engine under load
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Print the configuration that `serve` with the same flags would use, with where each value comes from
    Config(ServeArgs),
    /// Ask the server that runs with the same flags how it is; exit code 0 if it is healthy
    Health(ServeArgs),
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

/// Time that work off the runtime may take after the end.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// Runs the command and returns the process's exit code: 0 if all went well, 1 for an error, 2 for wrong usage, 128 and
/// the signal's number if a second signal cut the server short or any stopped a batch.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve(&args),
        Command::Chat(args) => chat(&args).map(|()| 0),
        Command::Generate(args) => generate(&args).map(|()| 0),
        Command::Batch(args) => batch::run(&args),
        Command::Bench(command) => bench::run(&command).map(|()| 0),
        Command::Config(args) => show_config(&args).map(|()| 0),
        Command::Health(args) => health(&args).map(|()| 0),
    };
    result.map_or_else(
        |error| {
            eprintln!("maru: {error:#}");
            ExitCode::FAILURE
        },
        ExitCode::from,
    )
}

impl ServeArgs {
    fn sources(&self) -> Sources {
        let flags = self.model.settings_below(self.server.settings());
        Sources {
            file: self.model.config_file(),
            environment: Environment::of_process(),
            flags,
            ..Sources::default()
        }
    }
}

fn show_config(args: &ServeArgs) -> anyhow::Result<()> {
    let sources = args.sources();
    show_config::write(&sources.load()?, &sources.settings()?, &mut std::io::stdout().lock())?;
    Ok(())
}

fn health(args: &ServeArgs) -> anyhow::Result<()> {
    health::check(&args.sources().load()?.server)
}

fn serve(args: &ServeArgs) -> anyhow::Result<u8> {
    let begun = Instant::now();
    let sources = args.sources();
    let config = sources.load()?;
    set_up_logs(&config.log);
    tracing::info!(settings = show_config::differences(&config), "configuration");
    let keys = ApiKeys::load(&config.server)?;
    let needs_key = !keys.is_empty();
    let runtime = connection_runtime(config.server.io_threads)?;
    runtime.block_on(app::ensure_port_is_free(&config.server))?;
    let located = locate(&config, &sources.environment)?;
    let service = load(&config, &located)?;
    let announce = |service: &Service, address: SocketAddr| {
        let model = &service.description;
        let (name, root) = (service.model.id.as_str(), service.model.root.as_str());
        let start_time = begun.elapsed();
        if config.log.format == LogFormat::Json {
            tracing::info!(model = name, %address, description = %model, ?start_time, "serving");
        } else {
            let max_num_seqs = config.engine.max_num_seqs;
            let banner = Banner { name, root, address, model, max_num_seqs, needs_key, start_time };
            // A server goes on serving if nobody reads what it says.
            let _ = writeln!(std::io::stdout(), "{banner}");
        }
        if !needs_key && !address.ip().is_loopback() {
            tracing::warn!("no API key is set: whoever reaches this address may use the server");
        }
    };
    let end = runtime.block_on(app::serve(service, keys, &config.server, announce))?;
    runtime.shutdown_timeout(RUNTIME_END);
    match &end {
        End::Drained(outcome) => tracing::info!(?outcome, "stopped"),
        End::Aborted { signal } => tracing::warn!(signal, "cut short by a second signal"),
        End::EngineDied(died) => anyhow::bail!("{died}"),
    }
    Ok(end.exit_code())
}

/// Threads that serve connections.
fn connection_runtime(num_threads: usize) -> anyhow::Result<Runtime> {
    let num_threads = match num_threads {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get).div_ceil(4),
        num_threads => num_threads,
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(num_threads).enable_all().build().context("the threads that serve connections")
}

fn chat(args: &ChatArgs) -> anyhow::Result<()> {
    let (config, located) = prepare(&args.model)?;
    let service = load(&config, &located)?;
    let runtime = Runtime::new()?;
    let result = chat::run(args, &located.name, &service.generator, &runtime);
    runtime.shutdown_timeout(RUNTIME_END);
    result
}

fn generate(args: &GenerateArgs) -> anyhow::Result<()> {
    let prompt = args.read_prompt()?;
    let samples = args.samples()?;
    let (config, located) = prepare(&args.model)?;
    let service = load(&config, &located)?;
    let runtime = Runtime::new()?;
    let result = runtime.block_on(generate::run(args, &prompt, samples, &service.generator));
    runtime.shutdown_timeout(RUNTIME_END);
    result
}

/// The configuration of a command that talks on the terminal itself: its log tells of trouble only.
fn prepare(args: &ModelArgs) -> anyhow::Result<(Config, Located)> {
    let sources = Sources {
        presets: vec![Setting::typed("log.level", "warn", Origin::Command)],
        file: args.config_file(),
        environment: Environment::of_process(),
        flags: args.settings(),
    };
    let config = sources.load()?;
    set_up_logs(&config.log);
    let located = locate(&config, &sources.environment)?;
    Ok((config, located))
}

fn locate(config: &Config, environment: &Environment) -> anyhow::Result<Located> {
    app::locate(&config.source, environment.hub(config.source.offline), &mut DownloadBars::new())
}

fn load(config: &Config, located: &Located) -> anyhow::Result<Service> {
    let mut bar = LoadBar::new(&located.name);
    Service::start(config, located, &mut |progress| bar.show(progress))
}
