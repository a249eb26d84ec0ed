//! A whole answer: `text_completion`, as the official SDKs' types have it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::logprobs::{Offsets, TextLogprobs, of_prompt};
use super::request::Show;
use crate::api::answer::best::best;
use crate::api::answer::head::AnswerHead;
use crate::api::answer::logprobs::prompt_logprobs;
use crate::api::answer::stop_reason::StopReason;
use crate::api::answer::usage::Usage;
use crate::api::params::Warning;
use crate::serving::{ChoiceOutput, GenerationOutput, Generator, OutputFinish, OutputToken};

/// What is known of an answer before its first token.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: AnswerHead,
    pub(super) show: Show,
    /// Of each prompt.
    pub(super) prompts: Vec<AnsweredPrompt>,
    /// Choices that are shown of each prompt.
    pub(super) num_shown: u32,
    /// The client's labels.
    pub(super) metadata: Map<String, Value>,
    /// Knows the tokens.
    pub(super) generator: Generator,
}

/// A prompt that is being answered.
#[derive(Debug)]
pub(super) struct AnsweredPrompt {
    pub(super) token_ids: Arc<[u32]>,
    /// What its choices begin with: nothing, unless the prompt is to be shown.
    pub(super) echoed: String,
}

/// Why a choice is complete, in OpenAI's words.
pub(super) fn finish_reason(reason: OutputFinish) -> &'static str {
    match reason {
        OutputFinish::Length => "length",
        OutputFinish::Stop | OutputFinish::ToolCalls => "stop",
    }
}

/// What is told of a prompt's log probabilities, beside the choices that show the prompt.
pub(super) fn prompt_scores(tokens: Option<&[OutputToken]>, show: Show) -> Option<Value> {
    let (num_top, tokens) = show.prompt_logprobs.zip(tokens)?;
    let cut = |token: &OutputToken| {
        let mut token = token.clone();
        token.top.truncate(num_top.into());
        token
    };
    Some(prompt_logprobs(&tokens.iter().map(cut).collect::<Vec<_>>()))
}

impl Answer {
    /// What is told of the tokens of a prompt, where it is shown with them.
    pub(super) fn echoed_logprobs(
        &self,
        prompt: &AnsweredPrompt,
        tokens: Option<&[OutputToken]>,
    ) -> Option<TextLogprobs> {
        let tokens = tokens.filter(|_| self.show.echo && self.show.logprobs.is_some())?;
        Some(of_prompt(&self.generator, tokens, &prompt.echoed, self.show))
    }

    /// Where the tokens of a choice of a prompt stand.
    pub(super) fn offsets(&self, prompt: &AnsweredPrompt) -> Offsets {
        Offsets::after(&self.generator, &prompt.echoed, self.show)
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: u32,
    text: String,
    /// Null, but present, unless asked for, as the SDKs' types want it.
    logprobs: Option<TextLogprobs>,
    finish_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_logprobs: Option<Value>,
}

impl Completion {
    /// The whole answer of a request whose prompts gave `outputs`.
    pub(super) fn new(answer: Answer, outputs: Vec<GenerationOutput>) -> Self {
        let mut usage = Usage::default();
        let mut choices = Vec::new();
        for (prompt, output) in answer.prompts.iter().zip(outputs) {
            let mut used = Usage::of_prompt(prompt.token_ids.len() as u64);
            for choice in &output.choices {
                used.add(choice.choice, choice.usage);
            }
            usage.add_prompt(&used);
            let GenerationOutput { choices: made, prompt: scores } = output;
            let num_shown = answer.num_shown as usize;
            let chosen = if made.len() > num_shown { best(made, num_shown) } else { made };
            for choice in chosen {
                let index = u32::try_from(choices.len()).expect("the choices of a request are few");
                choices.push(Choice::new(index, &answer, prompt, choice, scores.as_deref()));
            }
        }
        let Answer { head, metadata, .. } = answer;
        Self {
            id: head.id,
            object: "text_completion",
            created: head.created,
            model: head.model,
            choices,
            usage,
            service_tier: head.service_tier,
            system_fingerprint: head.fingerprint,
            metadata,
            warnings: head.warnings,
        }
    }
}

impl Choice {
    fn new(
        index: u32,
        answer: &Answer,
        prompt: &AnsweredPrompt,
        output: ChoiceOutput,
        scores: Option<&[OutputToken]>,
    ) -> Self {
        let show = answer.show;
        let logprobs = show.logprobs.map(|_| {
            let mut told = answer.echoed_logprobs(prompt, scores).unwrap_or_default();
            told.append(answer.offsets(prompt).tell(&output.tokens, show));
            told
        });
        Self {
            index,
            text: format!("{}{}", prompt.echoed, output.text),
            logprobs,
            finish_reason: finish_reason(output.reason),
            stop_reason: output.stop.map(StopReason::from),
            token_ids: show.token_ids.then(|| output.tokens.iter().map(|token| token.token_id).collect()),
            prompt_token_ids: show.token_ids.then(|| prompt.token_ids.to_vec()),
            prompt_logprobs: prompt_scores(scores, show),
        }
    }
}
