//! Flags of the benchmarks.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::dice::Purpose;
use super::driver::{LongPrompt, Plan};
use super::extra::{ExtraBody, Schema};
use super::length::Length;
use super::load::{Arrivals, Extent, Load};
use super::slo::{Slo, duration};
use crate::cli::ModelArgs;

/// Loads where no flag names any.
const DEFAULT_CONCURRENCY: [u32; 3] = [1, 4, 16];
/// Time per load where no flag names any.
const DEFAULT_DURATION: Duration = Duration::from_secs(15);
/// Most streams of a closed loop.
const MAX_STREAMS: i64 = 10_000;

/// Load an OpenAI-compatible server and report its latencies and throughput
///
/// Without flags: the server on http://127.0.0.1:8000 and the first model that it lists, 15 s each with 1, 4 and 16
/// streams, prompts and answers of 128 tokens. docs/benchmarking.md says what each figure means.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeBenchArgs {
    /// Address of the server, with or without /v1
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", help_heading = "Server")]
    pub(super) url: String,
    /// Model to ask for [default: the first that the server lists]
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    pub(super) model: Option<String>,
    /// API key of the server. Other users of the machine can see flags: prefer the environment [env: MARU_API_KEY]
    #[arg(long, value_name = "KEY", help_heading = "Server")]
    pub(super) api_key: Option<String>,
    /// Ask for answers of full length; servers that do not know `ignore_eos` may refuse it
    #[arg(long, help_heading = "Requests")]
    pub(super) ignore_eos: bool,
    /// JSONL with a `prompt` or `messages` in each line, and `max_tokens` if wanted; taken in turn
    #[arg(long, value_name = "FILE", help_heading = "Requests", conflicts_with_all = ["prompt_tokens", "shared_prefix_tokens"])]
    pub(super) prompts: Option<PathBuf>,
    /// Members to add to the body of each request, such as {"top_k": 50} or a response_format; @FILE for one with them
    #[arg(long, value_name = "JSON|@FILE", help_heading = "Requests")]
    pub(super) extra_body: Option<ExtraBody>,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

/// Load the engine itself, without HTTP and text, and report the same figures
#[derive(Debug, Clone, Args)]
pub(crate) struct EngineBenchArgs {
    /// Repeat the loads of a report that `bench serve --json` wrote, with the lengths that it found, and compare
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Requests",
        conflicts_with_all = ["concurrency", "rate", "prompt_tokens", "output_tokens", "shared_prefix_tokens", "turns"]
    )]
    pub(super) lengths_from: Option<PathBuf>,
    /// Hold every answer to a JSON Schema; an answer that is complete ends, whatever its length was to be
    #[arg(long, value_name = "JSON|@FILE", help_heading = "Requests")]
    pub(super) json_schema: Option<Schema>,
    #[command(flatten)]
    pub(super) load: LoadArgs,
    #[command(flatten)]
    pub(super) model: ModelArgs,
}

/// What is put on, and what is made of it.
#[derive(Debug, Clone, Args)]
pub(super) struct LoadArgs {
    /// Streams that ask one request after the other; several numbers are run in turn [default: 1,4,16]
    #[arg(long, value_name = "N,...", value_delimiter = ',', help_heading = "Load", conflicts_with = "rate",
          value_parser = clap::value_parser!(u32).range(1..=MAX_STREAMS))]
    pub(super) concurrency: Vec<u32>,
    /// Requests (with --turns: conversations) per second that arrive, whether the server keeps up or not; several
    /// numbers are run in turn
    #[arg(long, value_name = "PER_S,...", value_delimiter = ',', help_heading = "Load", value_parser = rate)]
    pub(super) rate: Vec<f64>,
    /// How the arrivals of --rate are spaced
    #[arg(long, value_name = "SPACING", default_value = "poisson", help_heading = "Load")]
    pub(super) arrivals: Arrivals,
    /// Time per load [default: 15s]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Load", conflicts_with = "num_requests")]
    pub(super) duration: Option<Duration>,
    /// Requests per load, instead of a time
    #[arg(long, value_name = "N", help_heading = "Load", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) num_requests: Option<u32>,
    /// Requests before each load that are not counted
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = "Load")]
    pub(super) warm_up: u32,
    /// Send one prompt of N tokens at time T of each load, and report what it does to the others, such as 8000@5s
    #[arg(long, value_name = "N@T", value_parser = long_prompt, help_heading = "Load")]
    pub(super) long_prompt: Option<LongPrompt>,
    /// Most requests at once; those beyond wait in the client, which counts
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = "Load",
          value_parser = clap::value_parser!(u32).range(1..=MAX_STREAMS))]
    pub(super) max_in_flight: u32,
    /// Longest time for an answer; then it counts as failed
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = duration, help_heading = "Load")]
    pub(super) timeout: Duration,
    /// Length of prompts: 128, uniform:64..256, normal:MEAN,DEVIATION or lognormal:MEAN,DEVIATION
    #[arg(long, value_name = "LENGTH", default_value = "128", help_heading = "Requests")]
    pub(super) prompt_tokens: Length,
    /// Longest answers, in the same forms
    #[arg(long, value_name = "LENGTH", default_value = "128", help_heading = "Requests")]
    pub(super) output_tokens: Length,
    /// Tokens at the beginning of every prompt that are the same in all, besides those of --prompt-tokens
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Requests")]
    pub(super) shared_prefix_tokens: u32,
    /// Questions of each conversation; each continues with the answers before it
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Requests", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) turns: u32,
    /// 0 for greedy; higher is more varied, up to 2
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = crate::cli::args::temperature, help_heading = "Requests")]
    pub(super) temperature: f32,
    /// Repeat the same prompts, lengths and arrivals [default: new ones each time, which no prefix cache knows]
    #[arg(long, value_name = "N", help_heading = "Requests")]
    pub(super) seed: Option<u64>,
    /// Bounds for goodput: any of ttft, itl, tpot and e2e, such as ttft=500ms,itl=50ms,e2e=10s
    #[arg(long, value_name = "BOUNDS", help_heading = "Report")]
    pub(super) slo: Option<Slo>,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(super) json: Option<PathBuf>,
    /// Draw latency and throughput against load
    #[arg(long, value_name = "FILE.svg", help_heading = "Report", value_parser = svg_file)]
    pub(super) plot: Option<PathBuf>,
}

impl LoadArgs {
    /// The loads of the sweep.
    pub(super) fn loads(&self) -> Vec<Load> {
        if !self.rate.is_empty() {
            return self.rate.iter().copied().map(Load::Rate).collect();
        }
        let streams = if self.concurrency.is_empty() { &DEFAULT_CONCURRENCY[..] } else { &self.concurrency };
        streams.iter().copied().map(Load::Concurrency).collect()
    }

    /// How long each load lasts.
    pub(super) fn extent(&self) -> Extent {
        match self.num_requests {
            Some(count) => Extent::Requests(count),
            None => Extent::Time(self.duration.unwrap_or(DEFAULT_DURATION)),
        }
    }

    /// The seed that was given, else one that was not used before.
    pub(super) fn seed_or_new(&self) -> u64 {
        self.seed.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // Short enough to be typed again.
            u64::try_from(now.as_millis() % 1_000_000_000).unwrap_or_default()
        })
    }

    /// The plan of one load.
    pub(super) fn plan(&self, point: u32, load: Load, seed: u64) -> Plan {
        let streams = match load {
            Load::Concurrency(streams) => streams,
            Load::Rate(_) => 1,
        };
        Plan {
            point,
            purpose: Purpose::Measured,
            load,
            arrivals: self.arrivals,
            extent: self.extent(),
            num_turns: self.turns,
            timeout: self.timeout,
            // A closed loop has all its streams, and the long prompt beside them.
            max_in_flight: self.max_in_flight.max(streams + 1) as usize,
            long_prompt: self.long_prompt,
            seed,
        }
    }
}

impl FromStr for LongPrompt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('@').and_then(|(tokens, at)| {
            let num_tokens = tokens.parse().ok().filter(|tokens| *tokens > 0)?;
            Some(Self { num_tokens, at: duration(at).ok()? })
        });
        parts.ok_or_else(|| "expected TOKENS@TIME such as 8000@5s".to_owned())
    }
}

fn long_prompt(text: &str) -> Result<LongPrompt, String> {
    text.parse()
}

fn rate(text: &str) -> Result<f64, String> {
    const MAX_RATE: f64 = 100_000.0;
    let rate = text.parse().ok().filter(|rate| *rate > 0.0 && *rate <= MAX_RATE);
    rate.ok_or_else(|| "expected requests per second, such as 2 or 0.5".to_owned())
}

fn svg_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_svg = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
    if is_svg { Ok(path) } else { Err("the plot is an SVG: expected a name that ends in .svg".to_owned()) }
}
