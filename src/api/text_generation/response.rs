//! A whole answer, and the parts that a stream shares with it.

use serde::Serialize;

use super::request::Show;
use crate::api::answer::best::best;
use crate::api::answer::logprobs::finite;
use crate::api::params::Warning;
use crate::serving::{
    ChoiceOutput, Detokenizer, GenerationOutput, Generator, OutputFinish, OutputToken, StopCause,
};

/// What is known of an answer before its first token.
#[derive(Debug)]
pub(super) struct Answer {
    /// What the answer begins with: nothing, unless the prompt is to be shown.
    pub(super) inputs: String,
    pub(super) num_prompt_tokens: usize,
    /// The seed, if chance plays a part.
    pub(super) seed: Option<u64>,
    pub(super) show: Show,
    /// Knows the tokens.
    pub(super) generator: Generator,
    pub(super) warnings: Vec<Warning>,
}

/// Why an output ended.
pub(super) fn finish_reason(reason: OutputFinish, stop: Option<&StopCause>) -> &'static str {
    match (reason, stop) {
        (OutputFinish::Length, _) => "length",
        (_, Some(StopCause::String(_))) => "stop_sequence",
        _ => "eos_token",
    }
}

/// A token of an output.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Token {
    id: u32,
    /// What it adds to the text: nothing, if it ends in the middle of a character.
    text: String,
    /// Null for a stop token, whose probability is not known.
    logprob: Option<f32>,
    special: bool,
}

/// Tells the tokens of one output in order.
#[derive(Debug)]
pub(super) struct Teller {
    generator: Generator,
    detokenizer: Detokenizer,
}

impl Teller {
    pub(super) fn new(generator: &Generator) -> Self {
        Self { generator: generator.clone(), detokenizer: generator.detokenizer(false) }
    }

    pub(super) fn token(&mut self, token: &OutputToken) -> Token {
        let text = self.detokenizer.push(token.token_id);
        self.made(token.token_id, text, token.logprob)
    }

    /// The most likely tokens in a token's place.
    pub(super) fn top(&self, token: &OutputToken) -> Vec<Token> {
        let told = |entry: &crate::serving::RankedToken| {
            let text = String::from_utf8_lossy(&entry.bytes).into_owned();
            self.made(entry.token_id, text, Some(entry.logprob))
        };
        token.top.iter().map(told).collect()
    }

    fn made(&self, id: u32, text: String, logprob: Option<f32>) -> Token {
        let special = self.generator.special_token(id).is_some();
        Token { id, text, logprob: logprob.map(finite), special }
    }
}

/// A token of a prompt; the first has no probability.
#[derive(Debug, Clone, Serialize)]
struct PrefillToken {
    id: u32,
    text: String,
    logprob: Option<f32>,
}

/// A whole answer.
#[derive(Debug, Serialize)]
pub(super) struct Generated {
    generated_text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct Details {
    #[serde(flatten)]
    sequence: Sequence,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    best_of_sequences: Vec<OtherSequence>,
}

/// An output that was not the best.
#[derive(Debug, Serialize)]
struct OtherSequence {
    generated_text: String,
    #[serde(flatten)]
    sequence: Sequence,
}

#[derive(Debug, Serialize)]
struct Sequence {
    finish_reason: &'static str,
    generated_tokens: u32,
    seed: Option<u64>,
    prefill: Vec<PrefillToken>,
    tokens: Vec<Token>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    top_tokens: Vec<Vec<Token>>,
}

impl Generated {
    /// The whole answer of a request.
    pub(super) fn new(answer: Answer, output: GenerationOutput) -> Self {
        let GenerationOutput { choices, prompt } = output;
        let prefill: Vec<PrefillToken> = prompt
            .iter()
            .flat_map(|tokens| tokens.iter())
            .map(|token| PrefillToken {
                id: token.token_id,
                text: String::from_utf8_lossy(&token.bytes).into_owned(),
                logprob: token.logprob.map(finite),
            })
            .collect();
        let count = choices.len();
        // All of them, best first.
        let mut sequences = best(choices, count).into_iter().map(|choice| answer.sequence(choice, &prefill));
        let OtherSequence { generated_text, sequence } =
            sequences.next().expect("a request has at least one choice");
        let best_of_sequences = sequences.collect();
        let details = answer.show.details.then_some(Details { sequence, best_of_sequences });
        Self { generated_text, details, warnings: answer.warnings }
    }
}

impl Answer {
    fn sequence(&self, choice: ChoiceOutput, prefill: &[PrefillToken]) -> OtherSequence {
        let mut teller = Teller::new(&self.generator);
        let tops =
            self.show.top_tokens.then(|| choice.tokens.iter().map(|token| teller.top(token)).collect());
        OtherSequence {
            generated_text: format!("{}{}", self.inputs, choice.text),
            sequence: Sequence {
                finish_reason: finish_reason(choice.reason, choice.stop.as_ref()),
                generated_tokens: choice.usage.num_output_tokens,
                seed: self.seed,
                prefill: prefill.to_vec(),
                tokens: choice.tokens.iter().map(|token| teller.token(token)).collect(),
                top_tokens: tops.unwrap_or_default(),
            },
        }
    }
}
