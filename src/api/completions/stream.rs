//! A streamed answer: `text_completion`s with a piece of a choice each.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::logprobs::{Offsets, TextLogprobs};
use super::response::{Answer, finish_reason, prompt_scores};
use crate::api::access_log::AccessRecord;
use crate::api::answer::stop_reason::StopReason;
use crate::api::answer::usage::Usage;
use crate::api::params::Warning;
use crate::api::request::stream::StreamOptions;
use crate::api::sse::{DONE, RenderEvents, push_event};
use crate::serving::{DeltaKind, OutputDelta, OutputToken};

/// One event of a streamed answer.
#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    service_tier: &'static str,
    system_fingerprint: &'a str,
    choices: &'a [ChunkChoice<'a>],
    /// Absent unless asked for; then null in all chunks but the last, or in none if it is told throughout.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
    #[serde(skip_serializing_if = "<[Warning]>::is_empty")]
    warnings: &'a [Warning],
}

#[derive(Default, Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    text: &'a str,
    logprobs: Option<TextLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<&'a [u32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_logprobs: Option<Value>,
}

/// Renders the generations of a request's prompts as chunks: what is new, one finish chunk per choice, the usage chunk
/// if asked for, the end marker.
#[derive(Debug)]
pub(super) struct ChunkRenderer {
    answer: Answer,
    /// Of each choice, prompt by prompt.
    offsets: Vec<Offsets>,
    /// Of each prompt, once known: its tokens with their log probabilities.
    scores: Vec<Option<Arc<[OutputToken]>>>,
    num_open: usize,
    stream: StreamOptions,
    usage: Usage,
    /// Output tokens told so far, where usage is told throughout.
    num_told: u64,
    record: Arc<AccessRecord>,
}

impl ChunkRenderer {
    /// A renderer for an answer that shows all choices that are made.
    pub(super) fn new(answer: Answer, stream: StreamOptions, record: Arc<AccessRecord>) -> Self {
        let num_shown = answer.num_shown as usize;
        let mut usage = Usage::default();
        let mut offsets = Vec::new();
        for prompt in &answer.prompts {
            usage.add_prompt(&Usage::of_prompt(prompt.token_ids.len() as u64));
            offsets.extend((0..num_shown).map(|_| answer.offsets(prompt)));
        }
        let (num_open, scores) = (offsets.len(), vec![None; answer.prompts.len()]);
        Self { answer, offsets, scores, num_open, stream, usage, num_told: 0, record }
    }

    fn push(&self, events: &mut String, choices: &[ChunkChoice<'_>], usage: Option<Usage>, is_last: bool) {
        let head = &self.answer.head;
        push_event(
            events,
            &Chunk {
                id: &head.id,
                object: "text_completion",
                created: head.created,
                model: &head.model,
                service_tier: head.service_tier,
                system_fingerprint: &head.fingerprint,
                choices,
                usage: self.stream.include_usage.then_some(usage),
                warnings: if is_last { &head.warnings } else { &[] },
            },
        );
    }

    /// What was used so far, where that is told throughout.
    fn so_far(&self) -> Option<Usage> {
        self.stream.continuous_usage.then(|| {
            let completion_tokens = self.usage.completion_tokens.max(self.num_told);
            let total_tokens = self.usage.prompt_tokens + completion_tokens;
            Usage { completion_tokens, total_tokens, ..self.usage }
        })
    }

    fn begin_choice(&mut self, index: u32, scores: Option<Arc<[OutputToken]>>, events: &mut String) {
        let number = (index / self.answer.num_shown) as usize;
        if scores.is_some() {
            self.scores[number] = scores;
        }
        let (show, prompt) = (self.answer.show, &self.answer.prompts[number]);
        if !show.echo && !show.token_ids && show.prompt_logprobs.is_none() {
            return;
        }
        let scores = self.scores[number].as_deref();
        let choice = ChunkChoice {
            index,
            text: &prompt.echoed,
            logprobs: self.answer.echoed_logprobs(prompt, scores),
            prompt_token_ids: show.token_ids.then_some(&*prompt.token_ids),
            prompt_logprobs: prompt_scores(scores, show),
            ..ChunkChoice::default()
        };
        self.push(events, &[choice], self.so_far(), false);
    }

    fn push_text(&mut self, index: u32, text: &str, tokens: &[OutputToken], events: &mut String) {
        let show = self.answer.show;
        let told = show.logprobs.map(|_| self.offsets[index as usize].tell(tokens, show));
        let logprobs = told.filter(|told| !told.is_empty());
        let token_ids = (show.token_ids && !tokens.is_empty())
            .then(|| tokens.iter().map(|token| token.token_id).collect::<Vec<_>>());
        if text.is_empty() && logprobs.is_none() && token_ids.is_none() {
            return;
        }
        let choice = ChunkChoice { index, text, logprobs, token_ids, ..ChunkChoice::default() };
        self.push(events, &[choice], self.so_far(), false);
    }
}

impl RenderEvents for ChunkRenderer {
    fn begin(&mut self, _: &mut String) {}

    fn delta(&mut self, delta: OutputDelta, events: &mut String) {
        let OutputDelta { choice: index, kind, tokens } = delta;
        self.num_told += tokens.len() as u64;
        match kind {
            DeltaKind::Started { prompt } => self.begin_choice(index, prompt, events),
            DeltaKind::Text(text) | DeltaKind::Reasoning(text) => {
                self.push_text(index, &text, &tokens, events);
            }
            DeltaKind::Tokens => self.push_text(index, "", &tokens, events),
            DeltaKind::Finished { reason, stop, usage } => {
                self.num_open -= 1;
                let mut used = Usage::default();
                used.add(index % self.answer.num_shown, usage);
                self.usage.add_prompt(&used);
                self.record.add_output_tokens(usage.num_output_tokens.into());
                let choice = ChunkChoice {
                    index,
                    finish_reason: Some(finish_reason(reason)),
                    stop_reason: stop.map(StopReason::from),
                    ..ChunkChoice::default()
                };
                let is_last = self.num_open == 0 && !self.stream.include_usage;
                self.push(events, &[choice], self.so_far(), is_last);
            }
            // A text has no calls, and faults are the stream's to tell.
            DeltaKind::ToolCall { .. } | DeltaKind::ToolArguments { .. } | DeltaKind::Failed(_) => {}
        }
    }

    fn end(&mut self, events: &mut String) {
        if self.stream.include_usage {
            self.push(events, &[], Some(self.usage), true);
        }
        events.push_str(DONE);
    }
}
