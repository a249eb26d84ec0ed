//! How far a batch is: a bar on a terminal, else a line every so often.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::telemetry::Metrics;

/// Time between two looks.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Counts of a running batch.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) num_answered: u64,
    pub(super) num_failed: u64,
    /// Requests to send, if they were counted.
    total: Option<u64>,
    begun: Instant,
    told: Instant,
    metrics: Arc<Metrics>,
    bar: ProgressBar,
    is_terminal: bool,
}

impl Meter {
    pub(super) fn new(total: Option<u64>, metrics: Arc<Metrics>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let template = match total {
            Some(_) => "{bar:30} {pos}/{len} {msg}, {eta} left",
            None => "{spinner} {pos} {msg}",
        };
        let bar = if is_terminal { ProgressBar::new(total.unwrap_or(0)) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template(template).expect("the template is valid");
        let bar = bar.with_style(style.progress_chars("=> "));
        let now = Instant::now();
        Self { num_answered: 0, num_failed: 0, total, begun: now, told: now, metrics, bar, is_terminal }
    }

    /// Says that requests are sent from now on.
    pub(super) fn begin(&mut self, concurrency: usize) {
        let requests = self.total.map_or_else(|| "requests".to_owned(), |total| format!("{total} requests"));
        self.say(&format!("answering {requests}, up to {concurrency} at the same time"));
        self.begun = Instant::now();
    }

    /// Shows how far it is.
    pub(super) fn tick(&mut self) {
        let num_done = self.num_answered + self.num_failed;
        if self.is_terminal {
            self.bar.set_message(format!("done, {} failed, {:.0} tokens/s", self.num_failed, self.speed()));
            self.bar.set_position(num_done);
            self.bar.tick();
        } else if self.told.elapsed() >= LINE_INTERVAL {
            self.told = Instant::now();
            let of = self.total.map_or_else(String::new, |total| format!(" of {total}"));
            let left =
                self.time_left().map_or_else(String::new, |left| format!(", {} left", HumanDuration(left)));
            let (failed, speed) = (self.num_failed, self.speed());
            eprintln!("maru: {num_done}{of} done, {failed} failed, {speed:.0} tokens/s{left}");
        }
    }

    /// Says something beside the bar.
    pub(super) fn say(&self, message: &str) {
        self.bar.suspend(|| eprintln!("maru: {message}"));
    }

    /// What was done in all; the bar vanishes.
    pub(super) fn finish(&self) -> String {
        self.bar.finish_and_clear();
        let (answered, failed) = (self.num_answered, self.num_failed);
        let (tokens, speed) = (self.metrics.generation_tokens.get(), self.speed());
        let seconds = self.begun.elapsed().as_secs_f64();
        format!(
            "{answered} answered, {failed} failed; {tokens} tokens generated in {seconds:.1} s, {speed:.0} tokens/s"
        )
    }

    /// Tokens generated per second since the beginning.
    fn speed(&self) -> f64 {
        self.metrics.generation_tokens.get() as f64 / self.begun.elapsed().as_secs_f64().max(f64::EPSILON)
    }

    fn time_left(&self) -> Option<Duration> {
        let num_done = self.num_answered + self.num_failed;
        let num_left = self.total?.saturating_sub(num_done);
        let seconds = self.begun.elapsed().as_secs_f64() / num_done as f64 * num_left as f64;
        Duration::try_from_secs_f64(seconds).ok()
    }
}
