//! When things happened to a choice, for the metrics.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::{ChoiceUsage, OutputFinish, SequenceError};
use crate::telemetry::Metrics;

/// When things happened to a choice; each is observed once.
pub(super) struct Clock {
    metrics: Arc<Metrics>,
    arrival: Instant,
    scheduled: Option<Instant>,
    first_token: Option<Instant>,
    last_token: Option<Instant>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("arrival", &self.arrival).finish_non_exhaustive()
    }
}

impl Clock {
    pub(super) fn new(metrics: Arc<Metrics>, arrival: Instant) -> Self {
        Self { metrics, arrival, scheduled: None, first_token: None, last_token: None }
    }

    /// Notes that the sequence runs; says whether this is the first time.
    pub(super) fn mark_scheduled(&mut self) -> bool {
        if self.scheduled.is_some() {
            return false;
        }
        let now = Instant::now();
        self.metrics.request_queue_time.observe((now - self.arrival).as_secs_f64());
        self.scheduled = Some(now);
        true
    }

    /// Counts a choice that failed on this side.
    pub(super) fn count_failure(&self, error: &SequenceError) {
        self.metrics.failed.with_label_values(&[error.label()]).inc();
    }

    pub(super) fn mark_token(&mut self) {
        let now = Instant::now();
        match self.last_token {
            Some(last) => self.metrics.inter_token_latency.observe((now - last).as_secs_f64()),
            None => {
                self.metrics.time_to_first_token.observe((now - self.arrival).as_secs_f64());
                let scheduled = self.scheduled.unwrap_or(self.arrival);
                self.metrics.request_prefill_time.observe((now - scheduled).as_secs_f64());
                self.first_token = Some(now);
            }
        }
        self.last_token = Some(now);
    }

    pub(super) fn mark_finished(&self, reason: OutputFinish, usage: ChoiceUsage) {
        let metrics = &self.metrics;
        metrics.e2e_request_latency.observe(self.arrival.elapsed().as_secs_f64());
        if let (Some(first), Some(last)) = (self.first_token, self.last_token) {
            let scheduled = self.scheduled.unwrap_or(self.arrival);
            metrics.request_decode_time.observe((last - first).as_secs_f64());
            metrics.request_inference_time.observe((last - scheduled).as_secs_f64());
        }
        metrics.request_generation_tokens.observe(f64::from(usage.num_output_tokens));
        let label = match reason {
            OutputFinish::Stop => "stop",
            OutputFinish::Length => "length",
            OutputFinish::ToolCalls => "tool_calls",
        };
        metrics.request_success.with_label_values(&[label]).inc();
    }
}
