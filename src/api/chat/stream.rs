//! A streamed answer: `chat.completion.chunk`s, as the official SDKs' stream helpers want them.

use std::sync::Arc;

use serde::Serialize;

use super::response::{Answer, ROLE};
use crate::api::access_log::AccessRecord;
use crate::api::answer::logprobs::{ChatLogprobs, prompt_logprobs};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<&'a [u32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_logprobs: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "<[Warning]>::is_empty")]
    warnings: &'a [Warning],
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<Vec<u32>>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallDelta<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionDelta<'a>>,
}

/// A piece of a call. Id, type and name come once: the SDKs join what they get of them.
#[derive(Serialize)]
struct CallDelta<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionDelta<'a>,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl<'a> Delta<'a> {
    fn content(text: &'a str) -> Self {
        Self { content: Some(text), ..Self::default() }
    }

    fn reasoning(text: &'a str) -> Self {
        Self { reasoning_content: Some(text), reasoning: Some(text), ..Self::default() }
    }

    /// A piece of a call; the older way knows only one.
    fn call(legacy: bool, call: CallDelta<'a>) -> Self {
        if legacy {
            Self { function_call: Some(call.function), ..Self::default() }
        } else {
            Self { tool_calls: Some([call]), ..Self::default() }
        }
    }
}

/// Renders a generation as chunks: a role-only chunk per choice in order, what is new, one finish chunk per choice, the
/// usage chunk if asked for, the end marker.
#[derive(Debug)]
pub(super) struct ChunkRenderer {
    answer: Answer,
    num_choices: u32,
    num_open: u32,
    stream: StreamOptions,
    usage: Usage,
    /// Output tokens told so far, where usage is told throughout.
    num_told: u64,
    record: Arc<AccessRecord>,
}

impl ChunkRenderer {
    /// A renderer for an answer of `num_choices` choices.
    pub(super) fn new(
        answer: Answer,
        num_choices: u32,
        stream: StreamOptions,
        record: Arc<AccessRecord>,
    ) -> Self {
        let usage = Usage::of_prompt(answer.prompt_token_ids.len() as u64);
        Self { answer, num_choices, num_open: num_choices, stream, usage, num_told: 0, record }
    }

    fn chunk<'a>(&'a self, choices: &'a [ChunkChoice<'a>]) -> Chunk<'a> {
        let head = &self.answer.head;
        let so_far = self.stream.continuous_usage.then(|| {
            let completion_tokens = self.usage.completion_tokens.max(self.num_told);
            let total_tokens = self.usage.prompt_tokens + completion_tokens;
            Usage { completion_tokens, total_tokens, ..self.usage }
        });
        Chunk {
            id: &head.id,
            object: "chat.completion.chunk",
            created: head.created,
            model: &head.model,
            service_tier: head.service_tier,
            system_fingerprint: &head.fingerprint,
            choices,
            usage: self.stream.include_usage.then_some(so_far),
            prompt_token_ids: None,
            prompt_logprobs: None,
            warnings: &[],
        }
    }

    fn choice<'a>(&self, index: u32, delta: Delta<'a>, tokens: &[OutputToken]) -> ChunkChoice<'a> {
        let show = self.answer.show;
        let told = |_: &&[OutputToken]| !tokens.is_empty();
        let some = Some(tokens).filter(told);
        ChunkChoice {
            index,
            delta,
            logprobs: some
                .filter(|_| show.logprobs)
                .map(|tokens| ChatLogprobs::of(tokens, show.tokens_as_ids)),
            finish_reason: None,
            stop_reason: None,
            token_ids: some
                .filter(|_| show.token_ids)
                .map(|tokens| tokens.iter().map(|token| token.token_id).collect()),
        }
    }

    fn push_delta(&mut self, events: &mut String, index: u32, delta: Delta<'_>, tokens: &[OutputToken]) {
        let choice = self.choice(index, delta, tokens);
        push_event(events, &self.chunk(&[choice]));
    }
}

impl RenderEvents for ChunkRenderer {
    fn begin(&mut self, events: &mut String) {
        for index in 0..self.num_choices {
            let choice = self.choice(index, Delta { role: Some(ROLE), ..Delta::content("") }, &[]);
            let ids = (index == 0 && self.answer.show.token_ids).then_some(&*self.answer.prompt_token_ids);
            push_event(events, &Chunk { prompt_token_ids: ids, ..self.chunk(&[choice]) });
            if let Some(echoed) = &self.answer.echoed {
                push_event(events, &self.chunk(&[self.choice(index, Delta::content(echoed), &[])]));
            }
        }
    }

    fn delta(&mut self, delta: OutputDelta, events: &mut String) {
        let OutputDelta { choice, kind, tokens } = delta;
        self.num_told += tokens.len() as u64;
        let (shows_reasoning, legacy) = (self.answer.show.reasoning, self.answer.show.legacy_call);
        match kind {
            DeltaKind::Started { prompt: Some(prompt) } => {
                let scores = Some(prompt_logprobs(&prompt));
                push_event(events, &Chunk { prompt_logprobs: scores, ..self.chunk(&[]) });
            }
            DeltaKind::Text(text) => self.push_delta(events, choice, Delta::content(&text), &tokens),
            DeltaKind::Reasoning(text) if shows_reasoning => {
                self.push_delta(events, choice, Delta::reasoning(&text), &tokens);
            }
            DeltaKind::ToolCall { index, id, name } => {
                let function = FunctionDelta { name: Some(&name), arguments: "" };
                let call = CallDelta { index, id: Some(&id), kind: Some("function"), function };
                self.push_delta(events, choice, Delta::call(legacy, call), &tokens);
            }
            DeltaKind::ToolArguments { index, text } => {
                let function = FunctionDelta { name: None, arguments: &text };
                let call = CallDelta { index, id: None, kind: None, function };
                self.push_delta(events, choice, Delta::call(legacy, call), &tokens);
            }
            DeltaKind::Tokens | DeltaKind::Reasoning(_) => {
                if !tokens.is_empty() {
                    self.push_delta(events, choice, Delta::default(), &tokens);
                }
            }
            DeltaKind::Finished { reason, stop, usage } => {
                self.num_open -= 1;
                self.usage.add(choice, usage);
                self.record.add_output_tokens(usage.num_output_tokens.into());
                let last = ChunkChoice {
                    finish_reason: Some(self.answer.finish_reason(reason)),
                    stop_reason: stop.map(StopReason::from),
                    ..self.choice(choice, Delta::default(), &[])
                };
                let is_last = self.num_open == 0 && !self.stream.include_usage;
                let warnings = if is_last { self.answer.head.warnings.as_slice() } else { &[] };
                push_event(events, &Chunk { warnings, ..self.chunk(&[last]) });
            }
            // The role-only chunks went out at the beginning; faults are the stream's to tell.
            DeltaKind::Started { prompt: None } | DeltaKind::Failed(_) => {}
        }
    }

    fn end(&mut self, events: &mut String) {
        if self.stream.include_usage {
            let warnings = self.answer.head.warnings.as_slice();
            push_event(events, &Chunk { usage: Some(Some(self.usage)), warnings, ..self.chunk(&[]) });
        }
        events.push_str(DONE);
    }
}
