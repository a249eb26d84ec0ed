//! One choice on its way from token events to deltas: detokenizer, stop strings, grapheme borders, usage and times.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Instant;

use crate::engine::{FinishReason, SequenceError, TokenEvent, TokenStream};
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
        let text = TextPipeline {
            detokenizer,
            stops,
            graphemes: GraphemeBuffer::default(),
            #[cfg(test)]
            panics_at: None,
        };
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
                let Some(piece) = self.text_after(|text| text.push(token_id), deltas) else { return };
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
                    FinishReason::Complete => OutputFinish::Stop,
                    FinishReason::Length => OutputFinish::Length,
                };
                let Some(rest) = self.text_after(TextPipeline::finish, deltas) else { return };
                emit(rest.text, deltas);
                self.finish(if rest.stopped { OutputFinish::Stop } else { reason }, deltas);
            }
            TokenEvent::Failed { error } => {
                let Some(rest) = self.text_after(TextPipeline::finish, deltas) else { return };
                emit(rest.text, deltas);
                self.events = None;
                deltas.push_back(DeltaKind::Failed(error));
            }
        }
    }

    /// What `work` makes of the text so far. If it panics, this choice fails and no other: a connection may carry many.
    fn text_after(
        &mut self,
        work: impl FnOnce(&mut TextPipeline) -> Piece,
        deltas: &mut VecDeque<DeltaKind>,
    ) -> Option<Piece> {
        // The text is not used again after a panic.
        let piece = panic::catch_unwind(AssertUnwindSafe(|| work(&mut self.text))).ok();
        if piece.is_none() {
            let error = SequenceError::ReaderFailed;
            self.clock.metrics.failed.with_label_values(&[error.label()]).inc();
            if let Some(events) = self.events.take() {
                // Nobody left: the engine is to forget the sequence without counting that.
                events.finish();
            }
            deltas.push_back(DeltaKind::Failed(error));
        }
        piece
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
    /// A token at which a test wants a panic.
    #[cfg(test)]
    panics_at: Option<u32>,
}

/// New text of a choice.
#[derive(Debug)]
struct Piece {
    text: String,
    /// Whether a stop string ended the text; nothing is held back then.
    stopped: bool,
}

impl TextPipeline {
    fn push(&mut self, token_id: u32) -> Piece {
        #[cfg(test)]
        assert_ne!(self.panics_at, Some(token_id), "planned panic");
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::sync::mpsc;

    use super::*;
    use crate::engine::{Command, EngineHandle, EngineLimits, EnginePulse, NewSequence};
    use crate::telemetry::CacheInfo;
    use crate::text::{StopStrings, TextModel};

    #[test]
    fn a_panic_over_the_text_fails_its_choice_and_ends_the_sequence() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer");
        let model = TextModel::open(&folder).expect("the fixture loads");
        let cache = CacheInfo { block_size: 16, num_blocks: 64 };
        let metrics = Arc::new(Metrics::new("fake", cache).expect("valid names"));
        let limits = EngineLimits { max_model_len: 512, max_waiting: 8, max_buffered_events: 16 };
        let (commands, mut receiver) = mpsc::channel(8);
        let engine = EngineHandle::new(commands, Arc::new(EnginePulse::new(64)), limits);
        let choice = || {
            let events = engine.submit(NewSequence::greedy([1], 9)).expect("room");
            let clock = Clock::new(Arc::clone(&metrics), Instant::now());
            Choice::new(events, model.detokenizer(), StopStrings::new(&[]).scanner(), clock)
        };
        let (mut hit, mut spared) = (choice(), choice());
        hit.text.panics_at = Some(42);
        let mut deltas = VecDeque::new();
        for token_id in [41, 42] {
            hit.take(TokenEvent::Token { token_id, logprobs: None }, &mut deltas);
        }
        assert_eq!(deltas.back(), Some(&DeltaKind::Failed(SequenceError::ReaderFailed)));
        assert!(hit.events().is_none() && hit.has_started(), "it has ended");
        let commands: Vec<_> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
        let [Command::Submit(first), Command::Submit(_), Command::Abort(aborted)] = &commands[..] else {
            panic!("{commands:?}")
        };
        assert_eq!(*aborted, first.id);
        assert!(first.satisfied.load(std::sync::atomic::Ordering::Relaxed), "no client has left");
        assert_eq!(metrics.failed.with_label_values(&["reader_failed"]).get(), 1);

        deltas.clear();
        spared.take(TokenEvent::Token { token_id: 42, logprobs: None }, &mut deltas);
        assert!(spared.events().is_some());
    }
}
