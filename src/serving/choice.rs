//! One choice on its way from token events to deltas: the text's pipeline, the tokens to tell, usage and times.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use super::clock::Clock;
use super::pipeline::{Piece, TextPipeline};
use super::{ChoiceUsage, DeltaKind, OutputDelta, OutputFinish, OutputToken, RankedToken, StopCause};
use crate::engine::{FinishReason, SequenceError, TokenEvent, TokenStream};
use crate::sampling::TokenLogprobs;
use crate::text::Tokenizer;

/// The output of one choice. Dropped before its end, its sequence is given up.
#[derive(Debug)]
pub(super) struct Choice {
    index: u32,
    /// `None` once the choice has ended.
    events: Option<TokenStream>,
    has_started: bool,
    text: TextPipeline,
    /// Stop tokens that the client named: the only ones that an answer names.
    named_stops: Arc<[u32]>,
    /// Whether no output at all is wanted.
    is_mute: bool,
    teller: Option<TokenTeller>,
    /// Tokens that no delta was given yet.
    untold: Vec<OutputToken>,
    prompt: Option<PromptScores>,
    usage: ChoiceUsage,
    clock: Clock,
}

/// What a choice does with its tokens.
pub(super) struct ChoiceParts {
    pub(super) index: u32,
    pub(super) events: TokenStream,
    pub(super) text: TextPipeline,
    pub(super) named_stops: Arc<[u32]>,
    pub(super) is_mute: bool,
    pub(super) teller: Option<TokenTeller>,
    pub(super) prompt: Option<PromptScores>,
    pub(super) clock: Clock,
}

/// Log probabilities of the prompt on their way.
#[derive(Debug)]
pub(super) struct PromptScores {
    teller: TokenTeller,
    tokens: Vec<OutputToken>,
    /// Tokens of the prompt.
    num_tokens: usize,
}

impl PromptScores {
    /// Of a prompt, whose first token follows nothing and so has no probability.
    pub(super) fn new(teller: TokenTeller, prompt: &[u32]) -> Self {
        let first = teller.token(prompt[0], None);
        Self { teller, tokens: vec![first], num_tokens: prompt.len() }
    }

    fn is_complete(&self) -> bool {
        self.tokens.len() == self.num_tokens
    }
}

/// Tells tokens with their bytes.
#[derive(Debug, Clone)]
pub(super) struct TokenTeller {
    tokenizer: Arc<Tokenizer>,
}

impl TokenTeller {
    pub(super) fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer }
    }

    fn bytes(&self, token_id: u32) -> Arc<[u8]> {
        self.tokenizer.token_bytes(token_id).unwrap_or_default().into()
    }

    pub(super) fn token(&self, token_id: u32, logprobs: Option<TokenLogprobs>) -> OutputToken {
        let bytes = self.bytes(token_id);
        let Some(TokenLogprobs { logprob, top }) = logprobs else {
            return OutputToken { token_id, bytes, logprob: None, top: Vec::new() };
        };
        let ranked = |(token_id, logprob)| RankedToken { token_id, bytes: self.bytes(token_id), logprob };
        OutputToken { token_id, bytes, logprob: Some(logprob), top: top.into_iter().map(ranked).collect() }
    }
}

impl Choice {
    pub(super) fn new(parts: ChoiceParts) -> Self {
        let ChoiceParts { index, events, text, named_stops, is_mute, teller, prompt, clock } = parts;
        Self {
            index,
            events: Some(events),
            has_started: false,
            text,
            named_stops,
            is_mute,
            teller,
            untold: Vec::new(),
            prompt,
            usage: ChoiceUsage::default(),
            clock,
        }
    }

    /// The events still to come; `None` once the choice has ended.
    pub(super) fn events(&mut self) -> Option<&mut TokenStream> {
        self.events.as_mut()
    }

    /// Whether the choice has begun to tell or has ended.
    pub(super) fn has_started(&self) -> bool {
        self.has_started || self.events.is_none()
    }

    /// Takes an event and adds what it means to `deltas`.
    pub(super) fn take(&mut self, event: TokenEvent, deltas: &mut VecDeque<OutputDelta>) {
        match event {
            TokenEvent::Scheduled { num_cached_tokens } => {
                // A sequence that was preempted is scheduled again; it started only once.
                if self.clock.mark_scheduled() {
                    self.usage.num_cached_tokens = num_cached_tokens;
                    self.start_when_scored(deltas);
                }
            }
            TokenEvent::PromptScores { scores } => {
                if let Some(PromptScores { teller, tokens, .. }) = &mut self.prompt {
                    tokens.extend(
                        scores.into_iter().map(|score| teller.token(score.token_id, Some(score.logprobs))),
                    );
                }
                self.start_when_scored(deltas);
            }
            // Nobody asks a generation for an embedding.
            TokenEvent::Embedding { .. } => {}
            TokenEvent::Token { token_id, logprobs } => self.take_token(token_id, logprobs, deltas),
            TokenEvent::Finished { reason, drafts } => {
                self.usage.drafts = drafts;
                self.take_end(reason, deltas);
            }
            TokenEvent::Failed { error } => {
                let Some(rest) = self.text_after(TextPipeline::finish, deltas) else { return };
                self.tell(rest, deltas);
                self.events = None;
                self.push(DeltaKind::Failed(error), deltas);
            }
        }
    }

    fn start_when_scored(&mut self, deltas: &mut VecDeque<OutputDelta>) {
        if self.has_started || self.prompt.as_ref().is_some_and(|prompt| !prompt.is_complete()) {
            return;
        }
        self.has_started = true;
        let prompt = self.prompt.take().map(|prompt| prompt.tokens.into());
        self.push(DeltaKind::Started { prompt }, deltas);
    }

    fn take_token(
        &mut self,
        token_id: u32,
        logprobs: Option<Box<TokenLogprobs>>,
        deltas: &mut VecDeque<OutputDelta>,
    ) {
        if self.is_mute {
            return;
        }
        self.usage.num_output_tokens += 1;
        self.clock.mark_token();
        self.untold
            .extend(self.teller.as_ref().map(|teller| teller.token(token_id, logprobs.map(|boxed| *boxed))));
        let was_in_reasoning = self.text.is_in_reasoning();
        let Some(piece) = self.text_after(|text| text.push(token_id), deltas) else { return };
        // Reasoning stands before everything else, its tags are part of it, and a tag may span several tokens.
        if was_in_reasoning || self.text.is_in_reasoning() {
            self.usage.num_reasoning_tokens = self.usage.num_output_tokens;
        }
        let stop = piece.stop.clone();
        self.tell(piece, deltas);
        if let Some(stop) = stop {
            self.finish(OutputFinish::Stop, Some(StopCause::String(stop)), deltas);
        }
    }

    fn take_end(&mut self, reason: FinishReason, deltas: &mut VecDeque<OutputDelta>) {
        if self.is_mute {
            self.finish(OutputFinish::Length, None, deltas);
            return;
        }
        let mut cause = None;
        let mut piece = Piece::default();
        let reason = match reason {
            FinishReason::StopToken { token_id } => {
                self.usage.num_output_tokens += 1;
                self.clock.mark_token();
                // How likely the end was is not told: it is no part of the answer.
                self.untold.extend(self.teller.as_ref().map(|teller| teller.token(token_id, None)));
                cause = self.named_stops.contains(&token_id).then_some(StopCause::Token(token_id));
                if cause.is_some() && self.text.shows_stops() {
                    let Some(last) = self.text_after(|text| text.push(token_id), deltas) else { return };
                    piece = last;
                }
                OutputFinish::Stop
            }
            FinishReason::Length => OutputFinish::Length,
            FinishReason::Complete | FinishReason::Pooled => OutputFinish::Stop,
        };
        let Some(rest) = self.text_after(TextPipeline::finish, deltas) else { return };
        piece.append(rest);
        let stop = piece.stop.clone().map(StopCause::String);
        self.tell(piece, deltas);
        let reason = if stop.is_some() { OutputFinish::Stop } else { reason };
        self.finish(reason, stop.or(cause), deltas);
    }

    /// What `work` makes of the text so far. If it panics, this choice fails and no other: a connection may carry many.
    fn text_after(
        &mut self,
        work: impl FnOnce(&mut TextPipeline) -> Piece,
        deltas: &mut VecDeque<OutputDelta>,
    ) -> Option<Piece> {
        // The text is not used again after a panic.
        let piece = panic::catch_unwind(AssertUnwindSafe(|| work(&mut self.text))).ok();
        if piece.is_none() {
            let error = SequenceError::ReaderFailed;
            self.clock.count_failure(&error);
            if let Some(events) = self.events.take() {
                // Nobody left: the engine is to forget the sequence without counting that.
                events.finish();
            }
            self.push(DeltaKind::Failed(error), deltas);
        }
        piece
    }

    /// Adds the deltas of a piece of text. The tokens that it came from go with the first of them.
    fn tell(&mut self, piece: Piece, deltas: &mut VecDeque<OutputDelta>) {
        for kind in piece.kinds {
            self.push(kind, deltas);
        }
    }

    fn push(&mut self, kind: DeltaKind, deltas: &mut VecDeque<OutputDelta>) {
        let tokens = match kind {
            DeltaKind::Started { .. } | DeltaKind::Finished { .. } | DeltaKind::Failed(_) => Vec::new(),
            _ => std::mem::take(&mut self.untold),
        };
        deltas.push_back(OutputDelta { choice: self.index, kind, tokens });
    }

    fn finish(&mut self, reason: OutputFinish, stop: Option<StopCause>, deltas: &mut VecDeque<OutputDelta>) {
        if let Some(events) = self.events.take() {
            // After a stop string the sequence still runs: nobody left, but no more is wanted.
            events.finish();
        }
        self.start_when_scored(deltas);
        if !self.untold.is_empty() {
            self.push(DeltaKind::Tokens, deltas);
        }
        let calls = reason == OutputFinish::Stop && self.text.has_calls();
        let reason = if calls { OutputFinish::ToolCalls } else { reason };
        self.clock.mark_finished(reason, self.usage);
        self.push(DeltaKind::Finished { reason, stop, usage: self.usage }, deltas);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use tokio::sync::mpsc;

    use super::*;
    use crate::engine::{Command, EngineHandle, EngineLimits, EnginePulse, NewSequence};
    use crate::telemetry::{CacheInfo, Metrics};
    use crate::text::{ParserOptions, StopStrings, TextModel};

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
            let parser = model.format().parser(ParserOptions {
                in_reasoning: false,
                parse_reasoning: false,
                parse_tools: false,
            });
            let stops = StopStrings::new(&[]).scanner();
            Choice::new(ChoiceParts {
                index: 0,
                events,
                text: TextPipeline::new(model.detokenizer(true), parser, stops, false),
                named_stops: Arc::default(),
                is_mute: false,
                teller: None,
                prompt: None,
                clock: Clock::new(Arc::clone(&metrics), Instant::now()),
            })
        };
        let (mut hit, mut spared) = (choice(), choice());
        hit.text.panics_at = Some(42);
        let mut deltas = VecDeque::new();
        for token_id in [41, 42] {
            hit.take(TokenEvent::Token { token_id, logprobs: None }, &mut deltas);
        }
        assert_eq!(
            deltas.back().map(|delta| &delta.kind),
            Some(&DeltaKind::Failed(SequenceError::ReaderFailed))
        );
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
