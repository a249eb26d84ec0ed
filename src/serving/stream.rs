//! One choice on its way from token events to deltas: detokenizer, stop strings, grapheme borders, usage and times.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::engine::{FinishReason, TokenEvent, TokenStream};
use crate::telemetry::Metrics;
use crate::text::{Detokenizer, GraphemeBuffer, StopScanner};

use super::{ChoiceUsage, DeltaKind, OutputFinish};

/// The output of one choice. Dropped before its end, its sequence is given up.
#[derive(Debug)]
pub(super) struct Choice {
    /// `None` once the choice has ended.
    events: Option<TokenStream>,
    text: TextPipeline,
    usage: ChoiceUsage,
    clock: Clock,
}

impl Choice {
    pub(super) fn new(
        events: TokenStream,
        detokenizer: Detokenizer,
        stops: StopScanner,
        clock: Clock,
    ) -> Self {
        let text = TextPipeline { detokenizer, stops, graphemes: GraphemeBuffer::default() };
        Self { events: Some(events), text, usage: ChoiceUsage::default(), clock }
    }

    /// The events still to come; `None` once the choice has ended.
    pub(super) fn events(&mut self) -> Option<&mut TokenStream> {
        self.events.as_mut()
    }

    /// Whether the choice was scheduled or has ended.
    pub(super) fn has_started(&self) -> bool {
        self.clock.scheduled.is_some() || self.events.is_none()
    }

    /// Takes an event and adds what it means to `deltas`.
    pub(super) fn take(&mut self, event: TokenEvent, deltas: &mut VecDeque<DeltaKind>) {
        match event {
            TokenEvent::Scheduled { num_cached_tokens } => {
                // A sequence that was preempted is scheduled again; it started only once.
                if self.clock.scheduled.is_none() {
                    self.clock.mark_scheduled();
                    self.usage.num_cached_tokens = num_cached_tokens;
                    deltas.push_back(DeltaKind::Started);
                }
            }
            TokenEvent::Token { token_id, .. } => {
                self.usage.num_output_tokens += 1;
                self.clock.mark_token();
                let piece = self.text.push(token_id);
                emit(piece.text, deltas);
                if piece.stopped {
                    self.finish(OutputFinish::Stop, deltas);
                }
            }
            TokenEvent::Finished { reason, drafts } => {
                self.usage.drafts = drafts;
                let reason = match reason {
                    FinishReason::StopToken { .. } => {
                        self.usage.num_output_tokens += 1;
                        self.clock.mark_token();
                        OutputFinish::Stop
                    }
                    FinishReason::Length => OutputFinish::Length,
                };
                let rest = self.text.finish();
                emit(rest.text, deltas);
                self.finish(if rest.stopped { OutputFinish::Stop } else { reason }, deltas);
            }
            TokenEvent::Failed { error } => {
                emit(self.text.finish().text, deltas);
                self.events = None;
                deltas.push_back(DeltaKind::Failed(error));
            }
        }
    }

    fn finish(&mut self, reason: OutputFinish, deltas: &mut VecDeque<DeltaKind>) {
        if let Some(events) = self.events.take() {
            // After a stop string the sequence still runs: nobody left, but no more is wanted.
            events.finish();
        }
        self.clock.mark_finished(reason, self.usage);
        deltas.push_back(DeltaKind::Finished { reason, usage: self.usage });
    }
}

fn emit(text: String, deltas: &mut VecDeque<DeltaKind>) {
    if !text.is_empty() {
        deltas.push_back(DeltaKind::Text(text));
    }
}

/// Tokens to text that may be shown.
#[derive(Debug)]
struct TextPipeline {
    detokenizer: Detokenizer,
    stops: StopScanner,
    graphemes: GraphemeBuffer,
}

/// New text of a choice.
struct Piece {
    text: String,
    /// Whether a stop string ended the text; nothing is held back then.
    stopped: bool,
}

impl TextPipeline {
    fn push(&mut self, token_id: u32) -> Piece {
        let scan = self.stops.push(&self.detokenizer.push(token_id));
        let mut text = self.graphemes.push(&scan.text);
        if scan.stopped {
            text += &self.graphemes.finish();
        }
        Piece { text, stopped: scan.stopped }
    }

    fn finish(&mut self) -> Piece {
        let scan = self.stops.push(&self.detokenizer.finish());
        let mut text = self.graphemes.push(&scan.text);
        if !scan.stopped {
            text += &self.graphemes.push(&self.stops.finish());
        }
        Piece { text: text + &self.graphemes.finish(), stopped: scan.stopped }
    }
}

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

    fn mark_scheduled(&mut self) {
        let now = Instant::now();
        self.metrics.request_queue_time.observe((now - self.arrival).as_secs_f64());
        self.scheduled = Some(now);
    }

    fn mark_token(&mut self) {
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

    fn mark_finished(&self, reason: OutputFinish, usage: ChoiceUsage) {
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
        };
        metrics.request_success.with_label_values(&[label]).inc();
    }
}
