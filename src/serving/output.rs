//! The neutral stream of output that every API renders in its own way.

use std::sync::Arc;

use crate::engine::{DraftCounts, SequenceError};
use crate::text::ToolCall;

/// A new piece of one choice's output.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputDelta {
    /// Which choice.
    pub choice: u32,
    /// What is new.
    pub kind: DeltaKind,
    /// The tokens that it came from, if the request wants them told: each token of a choice comes with one delta.
    pub tokens: Vec<OutputToken>,
}

/// What is new in a choice. Per choice: one `Started`, any number of others, then one `Finished` or `Failed`.
#[derive(Debug, Clone, PartialEq)]
pub enum DeltaKind {
    /// The sequence was scheduled for the first time, and what is to be told of its prompt is known.
    Started {
        /// The prompt's tokens with their log probabilities, if the request wants them: of the first choice only.
        prompt: Option<Arc<[OutputToken]>>,
    },
    /// More of the model's reasoning, ending on a grapheme border.
    Reasoning(String),
    /// More text, ending on a grapheme border.
    Text(String),
    /// A call of a tool begins.
    ToolCall {
        /// Which call of the choice.
        index: u32,
        /// Its id.
        id: String,
        /// Name of the tool.
        name: String,
    },
    /// More of a call's arguments.
    ToolArguments {
        /// Which call of the choice.
        index: u32,
        /// A piece of JSON.
        text: String,
    },
    /// No new text, but tokens that have none.
    Tokens,
    /// The choice is complete.
    Finished {
        /// Why.
        reason: OutputFinish,
        /// What the client asked to stop at, if that was met.
        stop: Option<StopCause>,
        /// What it cost.
        usage: ChoiceUsage,
    },
    /// The choice was ended by a fault.
    Failed(SequenceError),
}

/// A token of an output or of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputToken {
    /// The token.
    pub token_id: u32,
    /// What it stands for; a character may be spread over several tokens.
    pub bytes: Arc<[u8]>,
    /// Natural logarithm of its probability under the model, if that was asked for and is known.
    pub logprob: Option<f32>,
    /// The most likely tokens in its place, most likely first.
    pub top: Vec<RankedToken>,
}

/// A token that might have come.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedToken {
    /// The token.
    pub token_id: u32,
    /// What it stands for.
    pub bytes: Arc<[u8]>,
    /// Natural logarithm of its probability under the model.
    pub logprob: f32,
}

/// Why a choice is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFinish {
    /// A stop token or stop string, or the end of a form.
    Stop,
    /// The token limit.
    Length,
    /// The model waits for the results of its calls.
    ToolCalls,
}

/// What the client asked to stop at, and was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopCause {
    /// A stop string.
    String(String),
    /// A stop token that is not the model's own.
    Token(u32),
}

/// Tokens of one choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChoiceUsage {
    /// Prompt tokens found in the prefix cache.
    pub num_cached_tokens: u32,
    /// Tokens generated, the stop token included.
    pub num_output_tokens: u32,
    /// Those of them that were reasoning, its tags included.
    pub num_reasoning_tokens: u32,
    /// How guesses ahead of the model fared; none are known of a choice that a stop string ended.
    pub drafts: DraftCounts,
}

/// All choices whole.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationOutput {
    /// In the order of their numbers.
    pub choices: Vec<ChoiceOutput>,
    /// The prompt's tokens with their log probabilities, if the request wants them.
    pub prompt: Option<Arc<[OutputToken]>>,
}

impl GenerationOutput {
    /// Of `num_choices` choices that have not begun.
    pub(super) fn new(num_choices: u32) -> Self {
        Self { choices: (0..num_choices).map(ChoiceOutput::new).collect(), prompt: None }
    }

    /// Takes a delta of any choice.
    pub(super) fn take(&mut self, delta: OutputDelta) -> Result<(), SequenceError> {
        let OutputDelta { choice, kind, tokens } = delta;
        if let DeltaKind::Started { prompt: Some(scored) } = &kind {
            self.prompt = Some(Arc::clone(scored));
        }
        let output = &mut self.choices[choice as usize];
        output.tokens.extend(tokens);
        output.take(kind)
    }
}

/// One whole choice.
#[derive(Debug, Clone, PartialEq)]
pub struct ChoiceOutput {
    /// Which choice.
    pub choice: u32,
    /// The model's reasoning.
    pub reasoning: String,
    /// All of its text.
    pub text: String,
    /// Its calls of tools, in order.
    pub tool_calls: Vec<ToolCall>,
    /// Its tokens, if the request wanted them told.
    pub tokens: Vec<OutputToken>,
    /// Why it is complete.
    pub reason: OutputFinish,
    /// What the client asked to stop at, if that was met.
    pub stop: Option<StopCause>,
    /// What it cost.
    pub usage: ChoiceUsage,
}

impl ChoiceOutput {
    pub(super) fn new(choice: u32) -> Self {
        Self {
            choice,
            reasoning: String::new(),
            text: String::new(),
            tool_calls: Vec::new(),
            tokens: Vec::new(),
            reason: OutputFinish::Stop,
            stop: None,
            usage: ChoiceUsage::default(),
        }
    }

    /// Takes a delta of this choice.
    fn take(&mut self, kind: DeltaKind) -> Result<(), SequenceError> {
        match kind {
            DeltaKind::Started { .. } | DeltaKind::Tokens => {}
            DeltaKind::Reasoning(piece) => self.reasoning.push_str(&piece),
            DeltaKind::Text(piece) => self.text.push_str(&piece),
            DeltaKind::ToolCall { id, name, .. } => {
                self.tool_calls.push(ToolCall { id, name, arguments: String::new() });
            }
            DeltaKind::ToolArguments { index, text } => {
                self.tool_calls[index as usize].arguments.push_str(&text);
            }
            DeltaKind::Finished { reason, stop, usage } => {
                (self.reason, self.stop, self.usage) = (reason, stop, usage);
            }
            DeltaKind::Failed(error) => return Err(error),
        }
        Ok(())
    }
}
