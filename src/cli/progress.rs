//! Progress on the terminal: a bar per file and one for all of a download. Without a terminal, one line per file.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};

use crate::model::LoadProgress;
use crate::model::hub::DownloadProgress;

/// Letters of a file's name beside its bar.
const NAME_WIDTH: usize = 32;

/// A download's progress on standard error.
pub(super) struct DownloadBars {
    bars: MultiProgress,
    total: ProgressBar,
    file: ProgressBar,
    is_terminal: bool,
}

impl DownloadBars {
    pub(super) fn new() -> Self {
        Self {
            bars: MultiProgress::new(),
            total: ProgressBar::hidden(),
            file: ProgressBar::hidden(),
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    fn bar(&self, name: &str, num_bytes: u64) -> ProgressBar {
        if !self.is_terminal {
            return ProgressBar::hidden();
        }
        let template = format!(
            "{{prefix:{NAME_WIDTH}}} {{bar:30}} {{bytes:>11}}/{{total_bytes:11}} {{bytes_per_sec:>12}} {{eta:>4}} {{msg}}"
        );
        let style =
            ProgressStyle::with_template(&template).expect("the template is valid").progress_chars("=> ");
        let bar = ProgressBar::new(num_bytes).with_style(style);
        let skipped = name.chars().count().saturating_sub(NAME_WIDTH);
        bar.set_prefix(name.chars().skip(skipped).collect::<String>());
        bar
    }
}

impl DownloadProgress for DownloadBars {
    fn begin(&mut self, num_files: usize, num_bytes: u64) {
        self.total.finish();
        self.total = self.bars.add(self.bar(&format!("{num_files} files in all"), num_bytes));
        if !self.is_terminal {
            tracing::info!(num_files, size = %HumanBytes(num_bytes), "downloading");
        }
    }

    fn begin_file(&mut self, name: &str, num_bytes: u64, num_present: u64) {
        self.file = self.bars.insert_before(&self.total, self.bar(name, num_bytes));
        self.file.set_position(num_present);
        self.file.reset_eta();
        self.total.inc(num_present);
        if !self.is_terminal {
            tracing::info!(file = name, size = %HumanBytes(num_bytes), present = %HumanBytes(num_present), "downloading");
        }
    }

    fn advance(&mut self, num_bytes: u64) {
        self.file.inc(num_bytes);
        self.total.inc(num_bytes);
        self.file.set_message("");
    }

    fn retry(&mut self, reason: &str, wait: Duration) {
        self.file.set_message(format!("{reason}; going on in {:.1} s", wait.as_secs_f32()));
        if !self.is_terminal {
            tracing::warn!(
                reason,
                wait_s = wait.as_secs_f32(),
                "the connection failed; the download goes on"
            );
        }
    }

    fn end_file(&mut self) {
        self.file.finish();
        if self.total.length() == Some(self.total.position()) {
            self.total.finish();
        }
    }
}

/// A bar while weights are loaded; it vanishes when dropped.
pub(super) struct LoadBar(ProgressBar);

impl LoadBar {
    pub(super) fn new(name: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{msg} {bar:30} {bytes:>11}/{total_bytes:11} {eta:>4}");
        let style = style.expect("the template is valid").progress_chars("=> ");
        Self(ProgressBar::new(0).with_style(style).with_message(format!("loading {name}")))
    }

    pub(super) fn show(&mut self, progress: LoadProgress) {
        self.0.set_length(progress.total_bytes);
        self.0.set_position(progress.done_bytes);
    }
}

impl Drop for LoadBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
