//! A whole answer: `chat.completion`, as the official SDKs' types have it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::request::Show;
use crate::api::answer::head::AnswerHead;
use crate::api::answer::logprobs::{ChatLogprobs, prompt_logprobs};
use crate::api::answer::stop_reason::StopReason;
use crate::api::answer::usage::Usage;
use crate::api::params::Warning;
use crate::serving::{ChoiceOutput, GenerationOutput, OutputFinish, ToolCall};

pub(super) const ROLE: &str = "assistant";

/// What is known of an answer before its first token.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: AnswerHead,
    pub(super) prompt_token_ids: Arc<[u32]>,
    pub(super) show: Show,
    /// What the answer begins with: the message that it continues, where that is to be repeated.
    pub(super) echoed: Option<String>,
    /// Whether the client chose the tool by its name.
    pub(super) is_named: bool,
    /// The client's labels.
    pub(super) metadata: Map<String, Value>,
}

impl Answer {
    /// Why a choice is complete, in OpenAI's words. An answer that had to call one function ends as any other does.
    pub(super) fn finish_reason(&self, reason: OutputFinish) -> &'static str {
        match reason {
            OutputFinish::Stop => "stop",
            OutputFinish::Length => "length",
            OutputFinish::ToolCalls if self.show.legacy_call => "function_call",
            OutputFinish::ToolCalls if self.is_named => "stop",
            OutputFinish::ToolCalls => "tool_calls",
        }
    }
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
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_logprobs: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: u32,
    message: Message,
    /// Null, but present, unless asked for, as the SDKs' types want it.
    logprobs: Option<ChatLogprobs>,
    finish_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<Vec<u32>>,
}

#[derive(Debug, Serialize)]
struct Message {
    role: &'static str,
    content: Option<String>,
    /// Always null, but present, as the SDKs' types want it.
    refusal: Option<()>,
    annotations: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Function>,
}

#[derive(Debug, Serialize)]
struct Call {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function,
}

#[derive(Debug, Serialize)]
struct Function {
    name: String,
    arguments: String,
}

impl From<ToolCall> for Call {
    fn from(ToolCall { id, name, arguments }: ToolCall) -> Self {
        Self { id, kind: "function", function: Function { name, arguments } }
    }
}

impl Message {
    fn new(answer: &Answer, output: &mut ChoiceOutput) -> Self {
        let text = match &answer.echoed {
            Some(echoed) => format!("{echoed}{}", output.text),
            None => std::mem::take(&mut output.text),
        };
        let reasoning = std::mem::take(&mut output.reasoning);
        let reasoning = Some(reasoning).filter(|text| answer.show.reasoning && !text.is_empty());
        let mut calls = std::mem::take(&mut output.tool_calls);
        // What there is none of is null where calls take its place, as OpenAI has it.
        let content = Some(text).filter(|text| !text.is_empty() || calls.is_empty());
        let function_call = match answer.show.legacy_call && !calls.is_empty() {
            true => {
                let ToolCall { name, arguments, .. } = calls.swap_remove(0);
                calls.clear();
                Some(Function { name, arguments })
            }
            false => None,
        };
        Self {
            role: ROLE,
            content,
            refusal: None,
            annotations: [],
            reasoning_content: reasoning.clone(),
            reasoning,
            tool_calls: calls.into_iter().map(Call::from).collect(),
            function_call,
        }
    }
}

impl Completion {
    /// The whole answer of a request.
    pub(super) fn new(answer: Answer, output: GenerationOutput) -> Self {
        let mut usage = Usage::of_prompt(answer.prompt_token_ids.len() as u64);
        for choice in &output.choices {
            usage.add(choice.choice, choice.usage);
        }
        let show = answer.show;
        let choice = |mut output: ChoiceOutput| Choice {
            index: output.choice,
            message: Message::new(&answer, &mut output),
            logprobs: show.logprobs.then(|| ChatLogprobs::of(&output.tokens, show.tokens_as_ids)),
            finish_reason: answer.finish_reason(output.reason),
            stop_reason: output.stop.map(StopReason::from),
            token_ids: show.token_ids.then(|| output.tokens.iter().map(|token| token.token_id).collect()),
        };
        let choices = output.choices.into_iter().map(choice).collect();
        let Answer { head, prompt_token_ids, metadata, .. } = answer;
        Self {
            id: head.id,
            object: "chat.completion",
            created: head.created,
            model: head.model,
            choices,
            usage,
            service_tier: head.service_tier,
            system_fingerprint: head.fingerprint,
            metadata,
            prompt_logprobs: output.prompt.map(|tokens| prompt_logprobs(&tokens)),
            prompt_token_ids: show.token_ids.then(|| prompt_token_ids.to_vec()),
            warnings: head.warnings,
        }
    }
}
