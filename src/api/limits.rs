//! The limits table: every number, list and string that a request may carry, with its bounds.
//!
//! The checks of a request are made from these rows, and so are the boundary tests.

use super::error::{ApiError, shown};

/// A field of a request and its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Where the field stands, `[]` for each item of a list.
    pub path: &'static str,
    /// What it may hold.
    pub bound: Bound,
}

/// What a field may hold; both ends are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// A number.
    Number {
        /// Least value.
        min: f64,
        /// Greatest value.
        max: f64,
    },
    /// A whole number.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// The length of a list.
    Items {
        /// Fewest items.
        min: usize,
        /// Most items.
        max: usize,
    },
    /// The length of a string in bytes of UTF-8.
    Bytes {
        /// Fewest bytes.
        min: usize,
        /// Most bytes.
        max: usize,
    },
    /// The length of a string in characters.
    Chars {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
}

/// Most members of the request's object.
pub const MAX_FIELDS: usize = 256;

const fn number(path: &'static str, min: f64, max: f64) -> Limit {
    Limit { path, bound: Bound::Number { min, max } }
}

const fn integer(path: &'static str, min: i64, max: i64) -> Limit {
    Limit { path, bound: Bound::Integer { min, max } }
}

const fn items(path: &'static str, min: usize, max: usize) -> Limit {
    Limit { path, bound: Bound::Items { min, max } }
}

const fn bytes(path: &'static str, min: usize, max: usize) -> Limit {
    Limit { path, bound: Bound::Bytes { min, max } }
}

const fn chars(path: &'static str, min: usize, max: usize) -> Limit {
    Limit { path, bound: Bound::Chars { min, max } }
}

pub(super) const MODEL: Limit = bytes("model", 1, 256);
pub(super) const MESSAGES: Limit = items("messages", 1, 4096);
pub(super) const CONTENT: Limit = bytes("messages[].content", 0, 2 << 20);
pub(super) const CONTENT_PARTS: Limit = items("messages[].content[]", 1, 1024);
pub(super) const CONTENT_TEXT: Limit = bytes("messages[].content[].text", 0, 2 << 20);
pub(super) const TEMPERATURE: Limit = number("temperature", 0.0, 2.0);
pub(super) const TOP_P: Limit = number("top_p", 0.0, 1.0);
pub(super) const TOP_K: Limit = integer("top_k", -1, 1 << 20);
pub(super) const SEED: Limit = integer("seed", i64::MIN, i64::MAX);
/// The configuration may set a lower bound, `serving.max_choices`.
pub(super) const NUM_CHOICES: Limit = integer("n", 1, 128);
pub(super) const STOP: Limit = items("stop", 0, 16);
pub(super) const STOP_STRING: Limit = bytes("stop[]", 1, 256);
pub(super) const MAX_COMPLETION_TOKENS: Limit = integer("max_completion_tokens", 1, i32::MAX as i64);
pub(super) const MAX_TOKENS: Limit = integer("max_tokens", 1, i32::MAX as i64);
pub(super) const FREQUENCY_PENALTY: Limit = number("frequency_penalty", -2.0, 2.0);
pub(super) const PRESENCE_PENALTY: Limit = number("presence_penalty", -2.0, 2.0);
pub(super) const MIN_P: Limit = number("min_p", 0.0, 1.0);
/// 1 changes nothing; vLLM and its cousins take any positive number.
pub(super) const REPETITION_PENALTY: Limit = number("repetition_penalty", 0.01, 100.0);
/// OpenAI's bound on a bias, and far more entries than it takes.
pub(super) const LOGIT_BIAS: Limit = items("logit_bias", 0, 1024);
pub(super) const LOGIT_BIAS_VALUE: Limit = number("logit_bias.*", -100.0, 100.0);
pub(super) const TOP_LOGPROBS: Limit = integer("top_logprobs", 0, 20);
pub(super) const PROMPT_LOGPROBS: Limit = integer("prompt_logprobs", 0, 20);
pub(super) const MIN_TOKENS: Limit = integer("min_tokens", 0, i32::MAX as i64);
pub(super) const STOP_TOKEN_IDS: Limit = items("stop_token_ids", 0, 128);
pub(super) const ALLOWED_TOKEN_IDS: Limit = items("allowed_token_ids", 1, 1 << 16);
pub(super) const BAD_WORDS: Limit = items("bad_words", 0, 128);
pub(super) const BAD_WORD: Limit = bytes("bad_words[]", 1, 256);
pub(super) const TRUNCATE_PROMPT_TOKENS: Limit = integer("truncate_prompt_tokens", -1, i32::MAX as i64);
pub(super) const THINKING_TOKEN_BUDGET: Limit = integer("thinking_token_budget", 0, i32::MAX as i64);
pub(super) const BEST_OF: Limit = integer("best_of", 1, 128);
pub(super) const PREDICTION: Limit = bytes("prediction.content", 0, 2 << 20);
/// OpenAI's bound.
pub(super) const TOOLS: Limit = items("tools", 0, 128);
pub(super) const TOOL_NAME: Limit = bytes("tools[].function.name", 1, 64);
pub(super) const TOOL_DESCRIPTION: Limit = bytes("tools[].function.description", 0, 16 << 10);
pub(super) const TOOL_CALLS: Limit = items("messages[].tool_calls", 0, 128);
pub(super) const TOOL_CALL_ID: Limit = bytes("messages[].tool_call_id", 1, 256);
pub(super) const ARGUMENTS: Limit = bytes("messages[].tool_calls[].function.arguments", 0, 1 << 20);
pub(super) const MESSAGE_NAME: Limit = bytes("messages[].name", 1, 256);
pub(super) const REASONING: Limit = bytes("messages[].reasoning_content", 0, 2 << 20);
pub(super) const TEMPLATE_KWARG: Limit = bytes("chat_template_kwargs.*", 0, 256);
pub(super) const LABEL: Limit = chars("user", 0, 512);
/// OpenAI's bounds.
pub(super) const METADATA: Limit = items("metadata", 0, 16);
pub(super) const METADATA_KEY: Limit = chars("metadata.*", 1, 64);
pub(super) const METADATA_VALUE: Limit = chars("metadata.*", 0, 512);
pub(super) const SCHEMA_NAME: Limit = bytes("response_format.json_schema.name", 1, 64);
pub(super) const REGEX: Limit = bytes("structured_outputs.regex", 1, 64 << 10);
pub(super) const GRAMMAR: Limit = bytes("structured_outputs.grammar", 1, 256 << 10);
pub(super) const CHOICES: Limit = items("structured_outputs.choice", 1, 4096);
pub(super) const CHOICE: Limit = bytes("structured_outputs.choice[]", 1, 4096);
/// A smaller number goes first, as in vLLM.
pub(super) const PRIORITY: Limit = integer("priority", -100, 100);
/// vLLM refuses an empty one too.
pub(super) const CACHE_SALT: Limit = bytes("cache_salt", 1, 256);
/// OpenAI's bound.
pub(super) const PROMPT_CACHE_KEY: Limit = chars("prompt_cache_key", 0, 64);
/// Those of the conversation before count too.
pub(super) const ITEMS: Limit = items("input", 1, 4096);
pub(super) const ITEM_TEXT: Limit = bytes("input[].content", 0, 2 << 20);
pub(super) const ITEM_PARTS: Limit = items("input[].content[]", 0, 1024);
pub(super) const ITEM_ID: Limit = bytes("input[].id", 1, 256);
pub(super) const INSTRUCTIONS: Limit = bytes("instructions", 0, 2 << 20);
pub(super) const MAX_OUTPUT_TOKENS: Limit = integer("max_output_tokens", 1, i32::MAX as i64);
pub(super) const MAX_TOOL_CALLS: Limit = integer("max_tool_calls", 1, i32::MAX as i64);
pub(super) const PREVIOUS_RESPONSE_ID: Limit = bytes("previous_response_id", 1, 256);
pub(super) const INCLUDE: Limit = items("include", 0, 32);
pub(super) const INCLUDED: Limit = bytes("include[]", 1, 256);
/// OpenAI's bounds on a page of items.
pub(super) const PAGE_LIMIT: Limit = integer("limit", 1, 100);
/// Anthropic's range is narrower than OpenAI's.
pub(super) const MESSAGES_TEMPERATURE: Limit = number("temperature", 0.0, 1.0);
pub(super) const STOP_SEQUENCES: Limit = items("stop_sequences", 0, 16);
pub(super) const STOP_SEQUENCE: Limit = bytes("stop_sequences[]", 1, 256);
pub(super) const SYSTEM: Limit = bytes("system", 0, 2 << 20);
pub(super) const BLOCKS: Limit = items("messages[].content[]", 0, 1024);
pub(super) const BUDGET_TOKENS: Limit = integer("thinking.budget_tokens", 1, i32::MAX as i64);
pub(super) const USER_ID: Limit = chars("metadata.user_id", 0, 512);
pub(super) const SIGNATURE: Limit = bytes("messages[].content[].signature", 0, 64 << 10);

pub(super) const PROMPT: Limit = bytes("prompt", 1, 4 << 20);
pub(super) const PROMPTS: Limit = items("prompt[]", 1, 512);
/// Far more than any context holds.
pub(super) const PROMPT_TOKENS: Limit = items("prompt[][]", 1, 1 << 20);
/// 0 generates nothing: only the prompt is read.
pub(super) const COMPLETION_MAX_COMPLETION_TOKENS: Limit =
    integer("max_completion_tokens", 0, i32::MAX as i64);
pub(super) const COMPLETION_MAX_TOKENS: Limit = integer("max_tokens", 0, i32::MAX as i64);
/// OpenAI takes 5 at most, its cousins 20.
pub(super) const LOGPROBS: Limit = integer("logprobs", 0, 20);
pub(super) const TOKENIZE_PROMPT: Limit = bytes("prompt", 0, 4 << 20);
pub(super) const TOKENS: Limit = items("tokens", 0, 1 << 20);
pub(super) const EMBEDDING_INPUT: Limit = bytes("input", 1, 4 << 20);
/// OpenAI's bound.
pub(super) const INPUTS: Limit = items("input[]", 1, 2048);
pub(super) const INPUT_TOKENS: Limit = items("input[][]", 1, 1 << 20);
pub(super) const TEXT_INPUTS: Limit = bytes("inputs", 1, 4 << 20);
pub(super) const MAX_NEW_TOKENS: Limit = integer("parameters.max_new_tokens", 1, i32::MAX as i64);
pub(super) const TOP_N_TOKENS: Limit = integer("parameters.top_n_tokens", 0, 20);
pub(super) const TRUNCATE: Limit = integer("parameters.truncate", 1, i32::MAX as i64);
/// Most choices of all prompts of a request together.
pub(super) const MAX_SEQUENCES: usize = 1024;

/// The bounds of `POST /v1/chat/completions`.
pub const CHAT_COMPLETIONS: &[Limit] = &[
    MODEL,
    MESSAGES,
    CONTENT,
    CONTENT_PARTS,
    CONTENT_TEXT,
    TEMPERATURE,
    TOP_P,
    TOP_K,
    SEED,
    NUM_CHOICES,
    STOP,
    STOP_STRING,
    MAX_COMPLETION_TOKENS,
    MAX_TOKENS,
    FREQUENCY_PENALTY,
    PRESENCE_PENALTY,
    MIN_P,
    REPETITION_PENALTY,
    LOGIT_BIAS,
    TOP_LOGPROBS,
    PROMPT_LOGPROBS,
    MIN_TOKENS,
    STOP_TOKEN_IDS,
    ALLOWED_TOKEN_IDS,
    BAD_WORDS,
    BAD_WORD,
    TRUNCATE_PROMPT_TOKENS,
    THINKING_TOKEN_BUDGET,
    PREDICTION,
    TOOLS,
    TOOL_NAME,
    TOOL_DESCRIPTION,
    TOOL_CALLS,
    TOOL_CALL_ID,
    ARGUMENTS,
    MESSAGE_NAME,
    REASONING,
    TEMPLATE_KWARG,
    METADATA,
    METADATA_VALUE,
    SCHEMA_NAME,
    REGEX,
    GRAMMAR,
    CHOICES,
    CHOICE,
    PRIORITY,
    CACHE_SALT,
    PROMPT_CACHE_KEY,
];

/// The bounds of `POST /v1/responses` that other endpoints do not have.
pub const RESPONSES: &[Limit] = &[
    ITEMS,
    ITEM_TEXT,
    ITEM_PARTS,
    ITEM_ID,
    INSTRUCTIONS,
    MAX_OUTPUT_TOKENS,
    MAX_TOOL_CALLS,
    PREVIOUS_RESPONSE_ID,
    INCLUDE,
    INCLUDED,
];

/// The bounds of `POST /v1/messages` that other endpoints do not have, or have wider.
pub const MESSAGES_API: &[Limit] =
    &[MESSAGES_TEMPERATURE, STOP_SEQUENCES, STOP_SEQUENCE, SYSTEM, BLOCKS, BUDGET_TOKENS, USER_ID, SIGNATURE];

/// The bounds of `POST /v1/completions`.
pub const COMPLETIONS: &[Limit] = &[
    MODEL,
    PROMPT,
    PROMPTS,
    PROMPT_TOKENS,
    TEMPERATURE,
    TOP_P,
    TOP_K,
    SEED,
    NUM_CHOICES,
    BEST_OF,
    STOP,
    STOP_STRING,
    COMPLETION_MAX_COMPLETION_TOKENS,
    COMPLETION_MAX_TOKENS,
    FREQUENCY_PENALTY,
    PRESENCE_PENALTY,
    MIN_P,
    REPETITION_PENALTY,
    LOGIT_BIAS,
    LOGPROBS,
    PROMPT_LOGPROBS,
    MIN_TOKENS,
    STOP_TOKEN_IDS,
    ALLOWED_TOKEN_IDS,
    BAD_WORDS,
    BAD_WORD,
    TRUNCATE_PROMPT_TOKENS,
    METADATA,
    METADATA_VALUE,
    SCHEMA_NAME,
    REGEX,
    GRAMMAR,
    CHOICES,
    CHOICE,
    PRIORITY,
    CACHE_SALT,
    PROMPT_CACHE_KEY,
];

/// The bounds of `POST /tokenize`, with those of a conversation.
pub const TOKENIZE: &[Limit] = &[MODEL, TOKENIZE_PROMPT];

/// The bounds of `POST /detokenize`.
pub const DETOKENIZE: &[Limit] = &[MODEL, TOKENS];

/// The bounds of `POST /v1/embeddings`.
pub const EMBEDDINGS: &[Limit] = &[
    MODEL,
    EMBEDDING_INPUT,
    INPUTS,
    INPUT_TOKENS,
    TRUNCATE_PROMPT_TOKENS,
    PRIORITY,
    CACHE_SALT,
    PROMPT_CACHE_KEY,
];

/// The bounds of `POST /generate` and `POST /generate_stream`; those of the sampler are the same as elsewhere.
pub const TEXT_GENERATION: &[Limit] = &[TEXT_INPUTS, MAX_NEW_TOKENS, TOP_N_TOKENS, TRUNCATE];

impl Limit {
    /// Passes a number that is within the bounds.
    pub(super) fn check_number(&self, value: f64) -> Result<f64, ApiError> {
        self.check_number_at(self.path, value)
    }

    /// Passes a number that is within the bounds; `at` is where it stands.
    pub(super) fn check_number_at(&self, at: &str, value: f64) -> Result<f64, ApiError> {
        let Bound::Number { min, max } = self.bound else { panic!("{} is not a number", self.path) };
        if (min..=max).contains(&value) { Ok(value) } else { Err(self.outside(at, min, max, value)) }
    }

    /// Passes a whole number that is within the bounds; `value` is wide enough for all that JSON gives.
    pub(super) fn check_integer(&self, value: i128) -> Result<i64, ApiError> {
        self.check_integer_at(self.path, value)
    }

    /// Passes a whole number that is within the bounds; `at` is where it stands.
    pub(super) fn check_integer_at(&self, at: &str, value: i128) -> Result<i64, ApiError> {
        let Bound::Integer { min, max } = self.bound else { panic!("{} is not an integer", self.path) };
        i64::try_from(value)
            .ok()
            .filter(|value| (min..=max).contains(value))
            .ok_or_else(|| self.outside(at, min, max, value))
    }

    /// Passes a list of an allowed length; `at` is where it stands.
    pub(super) fn check_items<T>(&self, at: &str, list: Vec<T>) -> Result<Vec<T>, ApiError> {
        self.check_count(at, list.len())?;
        Ok(list)
    }

    /// Passes an object of an allowed number of members; `at` is where it stands.
    pub(super) fn check_count(&self, at: &str, count: usize) -> Result<(), ApiError> {
        let Bound::Items { min, max } = self.bound else { panic!("{} is not a list", self.path) };
        if (min..=max).contains(&count) {
            return Ok(());
        }
        let message = format!("'{at}' must have {min} to {max} items, but it has {count}.");
        Err(ApiError::invalid_value(at, message))
    }

    /// Passes a string of an allowed length; `at` is where it stands.
    pub(super) fn check_text(&self, at: &str, text: String) -> Result<String, ApiError> {
        let (min, max, length, unit) = match self.bound {
            Bound::Bytes { min, max } => (min, max, text.len(), "bytes"),
            Bound::Chars { min, max } => (min, max, text.chars().count(), "characters"),
            _ => panic!("{} is not a string", self.path),
        };
        if (min..=max).contains(&length) {
            return Ok(text);
        }
        let message = format!("'{at}' must have {min} to {max} {unit}, but it has {length}.");
        Err(ApiError::invalid_value(at, message))
    }

    fn outside(
        &self,
        at: &str,
        min: impl std::fmt::Display,
        max: impl std::fmt::Display,
        value: impl std::fmt::Display,
    ) -> ApiError {
        let value = shown(&value.to_string());
        ApiError::invalid_value(at, format!("'{at}' must be between {min} and {max}, but it is {value}."))
    }
}
