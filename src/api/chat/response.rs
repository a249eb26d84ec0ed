//! From output to the wire: `chat.completion` and `chat.completion.chunk`, as the official SDKs' types have them.

use std::sync::Arc;

use serde::Serialize;

use crate::api::access_log::AccessRecord;
use crate::api::params::Warning;
use crate::api::sse::{DONE, RenderEvents, push_event};
use crate::serving::{ChoiceOutput, ChoiceUsage, DeltaKind, OutputDelta, OutputFinish};

const ROLE: &str = "assistant";

/// What is the same in all parts of one answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) fingerprint: String,
    /// The tier in which the request is served.
    pub(super) service_tier: &'static str,
    pub(super) num_prompt_tokens: u64,
    pub(super) warnings: Vec<Warning>,
}

/// A whole answer.
#[derive(Debug, Serialize)]
pub(super) struct Completion {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    choices: Vec<Choice>,
    usage: Usage,
    service_tier: &'static str,
    system_fingerprint: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: u32,
    message: Message,
    /// Always null, but present, as the SDKs' types want it.
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Message {
    role: &'static str,
    content: String,
    /// Always null, but present, as the SDKs' types want it.
    refusal: Option<()>,
    annotations: [(); 0],
}

/// Tokens of a request.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    audio_tokens: u64,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

impl Usage {
    fn of_prompt(num_tokens: u64) -> Self {
        Self { prompt_tokens: num_tokens, total_tokens: num_tokens, ..Self::default() }
    }

    /// Adds a choice. The prompt is counted once, and what the first choice found cached is what the request did:
    /// the others find what the first one computed.
    fn add(&mut self, choice: u32, usage: ChoiceUsage) {
        let output = u64::from(usage.num_output_tokens);
        self.completion_tokens += output;
        self.total_tokens += output;
        let details = &mut self.completion_tokens_details;
        details.accepted_prediction_tokens += u64::from(usage.drafts.num_accepted);
        details.rejected_prediction_tokens += u64::from(usage.drafts.num_rejected);
        if choice == 0 {
            self.prompt_tokens_details.cached_tokens = usage.num_cached_tokens.into();
        }
    }
}

fn finish_reason(reason: OutputFinish) -> &'static str {
    match reason {
        OutputFinish::Stop => "stop",
        OutputFinish::Length => "length",
    }
}

impl Completion {
    /// The whole answer of a request.
    pub(super) fn new(answer: Answer, outputs: Vec<ChoiceOutput>) -> Self {
        let mut usage = Usage::of_prompt(answer.num_prompt_tokens);
        for output in &outputs {
            usage.add(output.choice, output.usage);
        }
        let choices = outputs
            .into_iter()
            .map(|output| Choice {
                index: output.choice,
                message: Message { role: ROLE, content: output.text, refusal: None, annotations: [] },
                logprobs: None,
                finish_reason: finish_reason(output.reason),
            })
            .collect();
        Self {
            id: answer.id,
            object: "chat.completion",
            created: answer.created,
            model: answer.model,
            choices,
            usage,
            service_tier: answer.service_tier,
            system_fingerprint: answer.fingerprint,
            warnings: answer.warnings,
        }
    }
}

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
    /// Absent unless asked for; then null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
    #[serde(skip_serializing_if = "<[Warning]>::is_empty")]
    warnings: &'a [Warning],
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

/// Renders a generation as chunks: a role-only chunk per choice in order, text, one finish chunk per choice, the usage
/// chunk if asked for, the end marker.
#[derive(Debug)]
pub(super) struct ChunkRenderer {
    answer: Answer,
    num_choices: u32,
    num_open: u32,
    include_usage: bool,
    usage: Usage,
    record: Arc<AccessRecord>,
}

impl ChunkRenderer {
    /// A renderer for an answer of `num_choices` choices.
    pub(super) fn new(
        answer: Answer,
        num_choices: u32,
        include_usage: bool,
        record: Arc<AccessRecord>,
    ) -> Self {
        let usage = Usage::of_prompt(answer.num_prompt_tokens);
        Self { answer, num_choices, num_open: num_choices, include_usage, usage, record }
    }

    fn push(
        &self,
        events: &mut String,
        choices: &[ChunkChoice<'_>],
        usage: Option<Usage>,
        warnings: &[Warning],
    ) {
        let chunk = Chunk {
            id: &self.answer.id,
            object: "chat.completion.chunk",
            created: self.answer.created,
            model: &self.answer.model,
            service_tier: self.answer.service_tier,
            system_fingerprint: &self.answer.fingerprint,
            choices,
            usage: self.include_usage.then_some(usage),
            warnings,
        };
        push_event(events, &chunk);
    }

    fn push_choice(
        &self,
        events: &mut String,
        index: u32,
        delta: Delta<'_>,
        finish_reason: Option<&'static str>,
    ) {
        let is_last = finish_reason.is_some() && self.num_open == 0 && !self.include_usage;
        let warnings = if is_last { self.answer.warnings.as_slice() } else { &[] };
        self.push(events, &[ChunkChoice { index, delta, logprobs: None, finish_reason }], None, warnings);
    }
}

impl RenderEvents for ChunkRenderer {
    fn begin(&mut self, events: &mut String) {
        for index in 0..self.num_choices {
            self.push_choice(events, index, Delta { role: Some(ROLE), content: Some("") }, None);
        }
    }

    fn delta(&mut self, delta: OutputDelta, events: &mut String) {
        match delta.kind {
            DeltaKind::Text(text) => {
                let content = Delta { content: Some(&text), ..Delta::default() };
                self.push_choice(events, delta.choice, content, None);
            }
            DeltaKind::Finished { reason, usage } => {
                self.num_open -= 1;
                self.usage.add(delta.choice, usage);
                self.record.add_output_tokens(usage.num_output_tokens.into());
                self.push_choice(events, delta.choice, Delta::default(), Some(finish_reason(reason)));
            }
            // The role-only chunks went out at the beginning; faults are the stream's to tell.
            DeltaKind::Started | DeltaKind::Failed(_) => {}
        }
    }

    fn end(&mut self, events: &mut String) {
        if self.include_usage {
            self.push(events, &[], Some(self.usage), &self.answer.warnings);
        }
        events.push_str(DONE);
    }
}
