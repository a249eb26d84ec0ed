//! What a benchmark hands over: the table, and the files that were asked for.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;

use super::args::LoadArgs;
use super::load::Extent;
use super::summary::PointReport;
use super::{plot, table};

/// Everything that is reported; `--json` writes it as it stands.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `maru bench serve` or `maru bench engine`.
    pub(super) tool: &'static str,
    /// Version of the tool.
    pub(super) version: &'static str,
    /// What was measured.
    pub(super) target: TargetReport,
    /// What was asked of it.
    pub(super) settings: Settings,
    /// The figures, load after load.
    pub(super) points: Vec<PointReport>,
    /// The same loads over HTTP, if a report of them was given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) compared: Vec<Comparison>,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct TargetReport {
    /// The model's name.
    pub(super) model: String,
    /// Address of the server, if there is one.
    pub(super) url: Option<String>,
}

/// What was asked of the target.
#[derive(Debug, Serialize)]
pub(super) struct Settings {
    /// Repeats the run.
    pub(super) seed: u64,
    /// File that prompts or lengths were taken from; then the flags for lengths say nothing.
    pub(super) lengths_from: Option<String>,
    /// Lengths of prompts.
    pub(super) prompt_tokens: String,
    /// Longest answers.
    pub(super) output_tokens: String,
    /// Tokens that all prompts share, besides those.
    pub(super) shared_prefix_tokens: u32,
    /// Questions of each conversation.
    pub(super) turns: u32,
    /// Sampling temperature.
    pub(super) temperature: f32,
    /// Whether answers were to go on past their end.
    pub(super) ignore_eos: bool,
    /// What was added to the body of each request.
    pub(super) extra_body: Option<Value>,
    /// What the engine's answers were held to.
    pub(super) json_schema: Option<Value>,
    /// How the arrivals of an open loop were spaced; none for a closed loop.
    pub(super) arrivals: Option<String>,
    /// Seconds of each load, if it was limited by time.
    pub(super) duration_s: Option<f64>,
    /// Requests of each load, if it was limited by them.
    pub(super) num_requests: Option<u32>,
    /// Uncounted requests before each load.
    pub(super) warm_up: u32,
}

/// One load over HTTP beside the same load on the engine.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Comparison {
    /// The load, in words.
    pub(super) load: String,
    /// The other report's output tokens per second.
    pub(super) http_output_tokens_per_s: f64,
    /// This report's.
    pub(super) engine_output_tokens_per_s: f64,
    /// The first over the second.
    pub(super) ratio: f64,
}

impl Settings {
    /// The settings that the flags stand for.
    pub(super) fn of(args: &LoadArgs, seed: u64) -> Self {
        let (duration_s, num_requests) = match args.extent() {
            Extent::Time(time) => (Some(time.as_secs_f64()), None),
            Extent::Requests(count) => (None, Some(count)),
        };
        Self {
            seed,
            lengths_from: None,
            prompt_tokens: args.prompt_tokens.to_string(),
            output_tokens: args.output_tokens.to_string(),
            shared_prefix_tokens: args.shared_prefix_tokens,
            turns: args.turns,
            temperature: args.temperature,
            ignore_eos: false,
            extra_body: None,
            json_schema: None,
            arrivals: (!args.rate.is_empty()).then(|| format!("{:?}", args.arrivals).to_lowercase()),
            duration_s,
            num_requests,
            warm_up: args.warm_up,
        }
    }

    /// What the requests had besides, in short.
    fn extra(&self) -> String {
        match (&self.extra_body, &self.json_schema) {
            (Some(Value::Object(members)), _) => {
                let names: Vec<&str> = members.keys().map(String::as_str).collect();
                format!(" · with {}", names.join(", "))
            }
            (_, Some(_)) => " · held to a schema".to_owned(),
            _ => String::new(),
        }
    }
}

impl Report {
    /// One line that says what was measured with what.
    pub(super) fn headline(&self) -> String {
        let Settings { seed, prompt_tokens, output_tokens, turns, temperature, .. } = &self.settings;
        let place =
            self.target.url.as_ref().map_or_else(|| ", engine alone".to_owned(), |url| format!(" at {url}"));
        let turns = if *turns > 1 { format!(" · {turns} turns") } else { String::new() };
        let prefix = match self.settings.shared_prefix_tokens {
            0 => String::new(),
            count => format!(" after {count} shared ones"),
        };
        let lengths = match &self.settings.lengths_from {
            Some(source) => format!("prompts and lengths of {source}"),
            None => format!("prompts of {prompt_tokens} tokens{prefix}, answers of up to {output_tokens}"),
        };
        let extra = self.settings.extra();
        let model = &self.target.model;
        format!("{model}{place} · {lengths}{turns}{extra} · temperature {temperature} · seed {seed}")
    }

    /// Prints the table and writes the files that the flags name.
    ///
    /// # Errors
    /// If a file cannot be written, or not one request was answered.
    pub(super) fn publish(&self, args: &LoadArgs) -> anyhow::Result<()> {
        let mut output = std::io::stdout().lock();
        write!(output, "{}\n\n{}", self.headline(), table::table(&self.points))?;
        for comparison in &self.compared {
            writeln!(
                output,
                "{}: over HTTP {:.1} of the engine's {:.1} output tokens/s: {:.1} %",
                comparison.load,
                comparison.http_output_tokens_per_s,
                comparison.engine_output_tokens_per_s,
                100.0 * comparison.ratio
            )?;
        }
        if let Some(path) = &args.json {
            write_file(path, &(serde_json::to_string(self)? + "\n"))?;
        }
        if let Some(path) = &args.plot {
            write_file(path, &plot::svg(&self.headline(), &self.points))?;
        }
        if self.points.iter().all(|point| point.requests.completed == 0) {
            bail!("not one request was answered");
        }
        Ok(())
    }
}

fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())?;
    eprintln!("maru: wrote {}", path.display());
    Ok(())
}
