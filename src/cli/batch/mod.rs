//! `maru batch`: answers a file of requests in the form of OpenAI's Batch API, with the model in this process.
//!
//! Every request goes through the server's own routes, so that endpoints, checks and errors are the same as over HTTP.
//! Nothing is held that grows with the file but a digest of each `custom_id`.
//!
//! | part | what it is for |
//! |---|---|
//! | `lines`, `item` | the input: bounded lines, and the requests in them |
//! | `check` | a look at all of it before a model is loaded |
//! | `record`, `results` | the output: its lines, its files, and what earlier runs left there |
//! | `drive`, `meter` | many requests at a time, and how far they are |

mod check;
mod drive;
mod item;
mod lines;
mod meter;
mod record;
mod results;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use self::check::Requests;
use self::drive::{Course, drive};
use self::meter::Meter;
use self::results::{Results, is_same};
use super::{ModelArgs, RUNTIME_END, connection_runtime, load, locate};
use crate::app::InProcess;
use crate::config::{Environment, Origin, Setting, Sources};
use crate::telemetry::set_up_logs;

/// Most requests of a file: a digest of each id is kept, some thirty bytes.
const MAX_REQUESTS: usize = 10_000_000;
/// Most requests at once.
const MAX_CONCURRENCY: i64 = 65_536;
/// Room on a line for what is not the body.
const ENVELOPE_BYTES: usize = 64 << 10;
/// Seconds that a request may take: nobody's connection waits for it.
const REQUEST_SECONDS: f64 = 86_400.0;
/// Milliseconds that it may wait for its turn; some hours.
const QUEUE_MILLISECONDS: u64 = 1 << 24;

/// Answer a file of requests in OpenAI's batch format, then exit
///
/// Each line of INPUT is an object with `custom_id`, `method` ("POST"), `url` (such as /v1/chat/completions) and `body`.
/// Results are written as they are ready, in their own order: match them by `custom_id`. Exit code 0 if every request
/// was answered, 1 if some failed, 130 after Ctrl-C. docs/batch.md has an example.
#[derive(Debug, Clone, Args)]
pub(super) struct BatchArgs {
    /// JSONL file with a request on each line; - for standard input
    pub(super) input: PathBuf,
    /// File for the answers; - for standard output
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: PathBuf,
    /// File for the requests that failed; may be the same as --output [default: --output with .errors.jsonl; with -, the
    /// same]
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Go on with files that an earlier run has left, and leave out what stands there
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Begin anew if the files exist
    #[arg(long)]
    overwrite: bool,
    /// Begin without looking through INPUT first; bad lines then go to the errors
    #[arg(long)]
    no_check: bool,
    /// Most requests at the same time [default: engine.max_num_seqs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_CONCURRENCY))]
    concurrency: Option<u32>,
    /// Name that the requests call the model by [default: its own]
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    served_model_name: Option<String>,
    #[command(flatten)]
    model: ModelArgs,
}

/// What is done with files that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Refuse,
    Overwrite,
    Resume,
}

impl BatchArgs {
    fn existing(&self) -> Existing {
        match (self.resume, self.overwrite) {
            (true, _) => Existing::Resume,
            (_, true) => Existing::Overwrite,
            _ => Existing::Refuse,
        }
    }

    /// The file for failures.
    fn errors(&self) -> PathBuf {
        match &self.errors {
            Some(errors) => errors.clone(),
            None if is_standard(&self.output) => self.output.clone(),
            None => {
                let name = self.output.to_string_lossy();
                PathBuf::from(format!("{}.errors.jsonl", name.strip_suffix(".jsonl").unwrap_or(&name)))
            }
        }
    }

    fn sources(&self) -> Sources {
        let name = self.served_model_name.clone();
        let name = name.map(|name| {
            Setting::typed("source.served_model_name", name, Origin::Flag("--served-model-name".to_owned()))
        });
        Sources {
            presets: vec![
                Setting::typed("log.level", "warn", Origin::Command),
                Setting::typed("engine.max_queue_time_ms", QUEUE_MILLISECONDS, Origin::Command),
                Setting::typed("server.request_timeout_s", REQUEST_SECONDS, Origin::Command),
            ],
            file: self.model.config_file(),
            environment: Environment::of_process(),
            flags: self.model.settings_below(name.into_iter().collect()),
        }
    }

    /// # Errors
    /// If the input would be written over, or there is nothing to go on with.
    fn check_paths(&self, errors: &Path) -> anyhow::Result<()> {
        let places = [("--output", self.output.as_path()), ("--errors", errors)];
        for (flag, path) in places {
            if !is_standard(path) && !is_standard(&self.input) && is_same(&self.input, path) {
                bail!("{flag} names the input, {}", path.display());
            }
            if self.resume && is_standard(path) {
                bail!("--resume goes on with files; {flag} names standard output");
            }
        }
        Ok(())
    }
}

/// Whether `-` stands for a standard stream.
fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Answers the file and returns the exit code.
pub(super) fn run(args: &BatchArgs) -> anyhow::Result<u8> {
    let errors = args.errors();
    args.check_paths(&errors)?;
    let sources = args.sources();
    let config = sources.load()?;
    set_up_logs(&config.log);
    let max_line_bytes = config.server.max_body_bytes + ENVELOPE_BYTES;
    let (mut results, done) = Results::open(&args.output, &errors, args.existing())?;
    let is_checked = !args.no_check && !is_standard(&args.input);
    let count = || check::count_requests(&args.input, max_line_bytes, &done);
    let requests = is_checked.then(count).transpose()?;
    if let Some(Requests { num_left: 0, num_failed }) = requests {
        results.begin()?;
        eprintln!("maru: nothing is left to do; {num_failed} requests have failed");
        return Ok(u8::from(num_failed > 0));
    }
    let total = requests.map(|requests| requests.num_left);
    let concurrency = args.concurrency.map_or(config.engine.max_num_seqs, |count| count as usize);

    let located = locate(&config, &sources.environment)?;
    let service = load(&config, &located)?;
    results.begin()?;
    let mut meter = Meter::new(total, Arc::clone(&service.metrics));
    let runtime = connection_runtime(config.server.io_threads)?;
    let course = runtime.block_on(async {
        let server = InProcess::open(service, &config.server);
        let driving = drive(args, max_line_bytes, done, concurrency, &server, &mut results, &mut meter);
        let course = driving.await;
        if !course.as_ref().is_ok_and(|course| course.is_cut) {
            server.close().await;
        }
        course
    });
    runtime.shutdown_timeout(RUNTIME_END);
    let summary = meter.finish();
    let course = course?;
    eprintln!("maru: {summary}");
    Ok(report(args, &errors, &meter, &course))
}

/// Says what has to be said about the end, and returns the exit code.
fn report(args: &BatchArgs, errors: &Path, meter: &Meter, course: &Course) -> u8 {
    let before = course.num_answered_before + course.num_failed_before;
    if before > 0 {
        eprintln!("maru: {before} were done before, of which {} failed", course.num_failed_before);
    }
    let num_failed = meter.num_failed + course.num_failed_before;
    if num_failed > 0 && !is_standard(errors) {
        eprintln!("maru: what failed stands in {}", errors.display());
    }
    if let Some(reason) = &course.first_failure {
        eprintln!("maru: the first failure: {reason}");
    }
    match course.signal {
        Some(signal) => {
            if is_standard(&args.output) {
                eprintln!("maru: stopped before the end of the input");
            } else {
                eprintln!(
                    "maru: stopped before the end of the input; the same command with --resume goes on"
                );
            }
            u8::try_from(128 + signal).unwrap_or(1)
        }
        None => u8::from(num_failed > 0),
    }
}
