//! What a client asks for, free of any wire format.

use std::sync::Arc;

use crate::engine::{Pooling, Priority, TenantId};
use crate::sampling::GrammarSpec;
use crate::text::{ChatMessage, ChatPrompt, Language, ToolChoice};

/// A request for generated text, checked as far as that is possible without the model.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// What to continue.
    pub prompt: PromptInput,
    /// Keep only so many tokens of the prompt, the last ones; all when absent.
    pub truncate_prompt_tokens: Option<usize>,
    /// Sampling settings that the client named; the model's defaults fill the rest.
    pub sampling: SamplingOptions,
    /// Number of choices, at least one.
    pub num_choices: u32,
    /// Where and how the output ends.
    pub end: EndOptions,
    /// What is told of the tokens, beside their text.
    pub report: ReportOptions,
    /// A form that the output must have.
    pub grammar: Option<FormRequest>,
    /// Whether and which tools may be called.
    pub tool_choice: ToolChoice,
    /// Whether an answer may hold several calls.
    pub parallel_tool_calls: bool,
    /// What becomes of the model's reasoning.
    pub reasoning: ReasoningOptions,
    /// The language that the output is held to.
    pub language: Option<Language>,
    /// What the client expects the output to be, to be checked many tokens at a time.
    pub prediction: Option<String>,
    /// Who asks; the engine is shared fairly between tenants.
    pub tenant: TenantId,
    /// How urgent it is.
    pub priority: Priority,
    /// Only requests with the same salt share cached prefixes.
    pub cache_salt: Arc<[u8]>,
}

impl GenerateRequest {
    /// A request of nobody in particular for one choice that is as long as fits.
    pub fn new(prompt: PromptInput) -> Self {
        Self {
            prompt,
            truncate_prompt_tokens: None,
            sampling: SamplingOptions::default(),
            num_choices: 1,
            end: EndOptions::default(),
            report: ReportOptions::default(),
            grammar: None,
            tool_choice: ToolChoice::Auto,
            parallel_tool_calls: true,
            reasoning: ReasoningOptions::default(),
            language: None,
            prediction: None,
            tenant: TenantId::default(),
            priority: Priority::default(),
            cache_salt: Arc::default(),
        }
    }
}

/// The prompt in the form the client gave.
#[derive(Debug, Clone, PartialEq)]
pub enum PromptInput {
    /// Messages for the model's chat template, with their tools.
    Chat(ChatPrompt),
    /// Text to continue as it stands.
    Text {
        /// The text.
        text: String,
        /// Whether the tokenizer puts around it what it puts around a text, such as a token that begins it.
        add_special_tokens: bool,
    },
    /// Token ids to continue as they stand.
    Tokens(Vec<u32>),
}

impl PromptInput {
    /// A conversation without tools.
    pub fn chat(messages: Vec<ChatMessage>) -> Self {
        Self::Chat(ChatPrompt::new(messages))
    }

    /// A text with what the tokenizer puts around it.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), add_special_tokens: true }
    }
}

/// Sampling settings as the client named them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SamplingOptions {
    /// Softmax temperature, 0 for greedy.
    pub temperature: Option<f32>,
    /// Probability mass to keep.
    pub top_p: Option<f32>,
    /// Number of tokens to keep; 0 keeps all.
    pub top_k: Option<u32>,
    /// Share of the most likely token's probability below which a token is cut.
    pub min_p: Option<f32>,
    /// Seed; drawn at random when absent.
    pub seed: Option<u64>,
    /// Taken from a token's logit for each time it came.
    pub frequency_penalty: Option<f32>,
    /// Taken from a token's logit if it came.
    pub presence_penalty: Option<f32>,
    /// Divides the logit of a token that prompt or output hold; 1 changes nothing.
    pub repetition_penalty: Option<f32>,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Only these tokens may come.
    pub allowed_token_ids: Option<Vec<u32>>,
    /// Texts that must not come.
    pub bad_words: Vec<String>,
}

/// Where and how the output ends.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EndOptions {
    /// Most tokens to generate, none at all if 0; as many as fit when absent.
    pub max_new_tokens: Option<u32>,
    /// The output does not end before it has so many tokens.
    pub min_tokens: u32,
    /// Whether the model's own stop tokens do not end the output.
    pub ignore_eos: bool,
    /// Strings that end the output.
    pub stop: Vec<String>,
    /// Tokens that end the output beside the model's own.
    pub stop_token_ids: Vec<u32>,
    /// Whether the string or token that ended the output is part of it.
    pub include_stop: bool,
}

/// What is told of the tokens, beside their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportOptions {
    /// Whether each output token is named.
    pub tokens: bool,
    /// Each output token's log probability, with so many of the most likely tokens.
    pub logprobs: Option<u8>,
    /// The same of each prompt token but the first.
    pub prompt_logprobs: Option<u8>,
    /// Whether special tokens have no text.
    pub skip_special_tokens: bool,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self { tokens: false, logprobs: None, prompt_logprobs: None, skip_special_tokens: true }
    }
}

/// A form that the output must have, and the field that asked for it.
#[derive(Debug, Clone, PartialEq)]
pub struct FormRequest {
    /// The form.
    pub spec: GrammarSpec,
    /// Path of the field, as the client spells it.
    pub param: String,
}

/// What becomes of the model's reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasoningOptions {
    /// Whether it is told apart from the answer.
    pub parse: bool,
    /// Most tokens of it; then it is closed.
    pub max_tokens: Option<u32>,
}

impl Default for ReasoningOptions {
    fn default() -> Self {
        Self { parse: true, max_tokens: None }
    }
}

/// A prompt as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedPrompt {
    /// Its tokens.
    pub token_ids: Vec<u32>,
    /// The text that the chat template made of a conversation.
    pub text: Option<String>,
}

/// A request for the vector that stands for a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedRequest {
    /// What it is to stand for.
    pub prompt: PromptInput,
    /// Keep only so many tokens of the prompt, the last ones; all when absent.
    pub truncate_prompt_tokens: Option<usize>,
    /// Which hidden states it is made of.
    pub pooling: Pooling,
    /// Who asks; the engine is shared fairly between tenants.
    pub tenant: TenantId,
    /// How urgent it is.
    pub priority: Priority,
    /// Only requests with the same salt share cached prefixes.
    pub cache_salt: Arc<[u8]>,
}

/// The vector that stands for a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// As the model has it, of no particular length.
    pub values: Vec<f32>,
    /// Tokens of the prompt.
    pub num_prompt_tokens: usize,
}
