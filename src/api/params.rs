//! What becomes of parameters that are not honoured: never silence.
//!
//! A value that asks for nothing is accepted. Any other is either named in the answer (`x-maru-ignored-params` and
//! `warnings`), where an answer without it still means the same, or refused, where it would not. Under
//! `server.strict_params` all of them are refused.

use serde::Serialize;
use serde_json::Value;

use super::error::{ApiError, shown};

/// Something that the client should know about an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Warning {
    code: &'static str,
    param: String,
    message: String,
}

impl Warning {
    /// `param` was not honoured.
    fn ignored(param: &str, reason: &str) -> Self {
        let param = shown(param);
        let message = format!("'{param}' was ignored: {reason}.");
        Self { code: "ignored_parameter", param, message }
    }

    /// `param` was honoured as far as the context allows.
    pub(super) fn clamped(param: &'static str, asked: u64, given: u64) -> Self {
        let message = format!("'{param}' is {asked}, but the context leaves room for {given} tokens.");
        Self { code: "clamped_parameter", param: param.to_owned(), message }
    }

    /// The parameter, if it was ignored.
    pub(super) fn ignored_param(&self) -> Option<&str> {
        (self.code == "ignored_parameter").then_some(self.param.as_str())
    }
}

/// What becomes of a parameter that is not honoured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// Its name in the request.
    pub(super) name: &'static str,
    /// Whether a value asks for nothing.
    neutral: fn(&Value) -> bool,
    otherwise: Otherwise,
    /// Why it is not honoured.
    reason: &'static str,
}

/// What becomes of a value that asks for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    /// The answer still means the same without it: name it.
    Ignore,
    /// It does not: refuse.
    Refuse,
}

const fn ignore(name: &'static str, neutral: fn(&Value) -> bool, reason: &'static str) -> Policy {
    Policy { name, neutral, otherwise: Otherwise::Ignore, reason }
}

const fn refuse(name: &'static str, neutral: fn(&Value) -> bool, reason: &'static str) -> Policy {
    Policy { name, neutral, otherwise: Otherwise::Refuse, reason }
}

fn never(_: &Value) -> bool {
    false
}

fn any(_: &Value) -> bool {
    true
}

fn is_false(value: &Value) -> bool {
    value == &Value::Bool(false)
}

fn is_bool(value: &Value) -> bool {
    value.is_boolean()
}

fn is_one(value: &Value) -> bool {
    value.as_f64() == Some(1.0)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn is_one_of(value: &Value, texts: &[&str]) -> bool {
    value.as_str().is_some_and(|text| texts.contains(&text))
}

const NO_TEXT_ONLY: &str = "the model takes and gives text only";
const NO_CACHE_CONTROL: &str = "requests do not choose what is cached, nor for how long";
const NO_TEMPLATE_CONTROL: &str = "the chat template is the model's own";
const NO_BACKENDS: &str = "there is one way of holding an output to a form";
const NOT_SHOWN: &str = "the chat template does not show it";

/// Parameters of `POST /v1/chat/completions` that are not honoured: OpenAI's, then vLLM's.
pub(super) const CHAT_COMPLETIONS: &[Policy] = &[
    ignore("verbosity", |value| is_one_of(value, &["medium"]), "the model knows no verbosity"),
    ignore("store", is_false, "chat completions are not stored"),
    ignore("prompt_cache_retention", never, NO_CACHE_CONTROL),
    ignore("prompt_cache_options", is_empty, NO_CACHE_CONTROL),
    refuse("modalities", |value| value == &serde_json::json!(["text"]), NO_TEXT_ONLY),
    refuse("audio", never, NO_TEXT_ONLY),
    refuse("web_search_options", never, "the server does not search the web"),
    ignore("moderation", never, "answers are not moderated"),
    refuse("best_of", is_one, "only 'n' choices are made"),
    refuse("use_beam_search", is_false, "beam search is not implemented"),
    ignore("length_penalty", is_one, "beam search is not implemented"),
    ignore("spaces_between_special_tokens", is_bool, "tokens are shown as they are"),
    refuse("documents", is_empty, NO_TEMPLATE_CONTROL),
    refuse("chat_template", never, NO_TEMPLATE_CONTROL),
    refuse("structural_tag", never, "only tools have structural tags"),
    ignore("guided_decoding_backend", any, NO_BACKENDS),
    ignore("guided_whitespace_pattern", any, NO_BACKENDS),
    ignore("request_id", never, "send it as the header 'x-request-id'"),
    ignore("mm_processor_kwargs", is_empty, NO_TEXT_ONLY),
    ignore("kv_transfer_params", is_empty, "prefill and decode happen in one place"),
    ignore("vllm_xargs", is_empty, "they are another server's"),
    ignore("repetition_detection", never, "only reasoning that repeats itself is ended, and that always"),
];

/// Parameters of `POST /v1/completions` that are not honoured: OpenAI's, then vLLM's.
pub(super) const COMPLETIONS: &[Policy] = &[
    refuse("suffix", is_empty, "the model continues a text, it does not fill gaps"),
    ignore("store", is_false, "completions are not stored"),
    ignore("prompt_cache_retention", never, NO_CACHE_CONTROL),
    ignore("prompt_cache_options", is_empty, NO_CACHE_CONTROL),
    refuse("prompt_embeds", never, NO_TEXT_ONLY),
    refuse("use_beam_search", is_false, "beam search is not implemented"),
    ignore("length_penalty", is_one, "beam search is not implemented"),
    ignore("spaces_between_special_tokens", is_bool, "tokens are shown as they are"),
    refuse("structural_tag", never, "only tools have structural tags"),
    ignore("guided_decoding_backend", any, NO_BACKENDS),
    ignore("guided_whitespace_pattern", any, NO_BACKENDS),
    ignore("request_id", never, "send it as the header 'x-request-id'"),
    ignore("kv_transfer_params", is_empty, "prefill and decode happen in one place"),
    ignore("vllm_xargs", is_empty, "they are another server's"),
];

/// Parameters of `POST /tokenize` that are not honoured where a text is given.
pub(super) const TOKENIZE: &[Policy] = &[];

/// Parameters of `POST /tokenize` that are not honoured where messages are given.
pub(super) const TOKENIZE_CHAT: &[Policy] = &[
    refuse("prompt", never, "a request has messages or a prompt"),
    refuse("chat_template", never, NO_TEMPLATE_CONTROL),
    ignore("mm_processor_kwargs", is_empty, NO_TEXT_ONLY),
];

/// Parameters of `POST /detokenize` that are not honoured.
pub(super) const DETOKENIZE: &[Policy] = &[];

/// Parameters of `POST /v1/embeddings` that are not honoured.
pub(super) const EMBEDDINGS: &[Policy] = &[
    refuse("dimensions", never, "the model's vectors have one length and no shorter ones inside"),
    refuse("normalize", |value| value == &Value::Bool(true), "vectors have length 1"),
    refuse("input_type", never, "the model makes no difference between questions and documents"),
    refuse("messages", never, "texts and token ids are embedded; render a conversation first"),
    ignore("request_id", never, "send it as the header 'x-request-id'"),
];

/// Parameters of `POST /generate` and `POST /generate_stream`, beside `parameters`, that are not honoured.
pub(super) const TEXT_GENERATION: &[Policy] =
    &[refuse("stream", is_false, "ask at '/generate_stream' for a stream")];

/// Members of their `parameters` that are not honoured.
pub(super) const TEXT_PARAMETERS: &[Policy] = &[
    refuse("typical_p", is_one, "tokens are not chosen for how typical they are"),
    refuse("watermark", is_false, "outputs bear no mark"),
    refuse("adapter_id", never, "the model has no adapters"),
];

/// Members of `stream_options` that are not honoured.
pub(super) const STREAM_OPTIONS: &[Policy] =
    &[ignore("include_obfuscation", is_false, "chunks are not padded")];

/// Members of a message that are not honoured.
pub(super) const MESSAGE: &[Policy] = &[
    refuse("tool_calls", is_empty, "only an assistant calls tools"),
    refuse("function_call", never, "only an assistant calls tools"),
    ignore("tool_call_id", never, NOT_SHOWN),
    ignore("refusal", is_empty, NOT_SHOWN),
    ignore("annotations", is_empty, NOT_SHOWN),
    refuse("audio", never, NO_TEXT_ONLY),
    ignore("reasoning", is_empty, NOT_SHOWN),
    ignore("reasoning_content", is_empty, NOT_SHOWN),
];

/// Members of a part of a message's content that are not honoured.
pub(super) const CONTENT_PART: &[Policy] = &[
    ignore("cache_control", never, NO_CACHE_CONTROL),
    ignore("prompt_cache_breakpoint", never, NO_CACHE_CONTROL),
    ignore("annotations", is_empty, NOT_SHOWN),
    ignore("logprobs", is_empty, NOT_SHOWN),
];

/// Members of a tool, beside its function, that are not honoured.
pub(super) const TOOL: &[Policy] = &[ignore("cache_control", never, NO_CACHE_CONTROL)];

/// Members of a function that are not honoured.
pub(super) const FUNCTION: &[Policy] = &[];

/// Members of a call that are not honoured; in answers calls are numbered, and clients send them back so.
pub(super) const TOOL_CALL: &[Policy] = &[ignore("index", any, NOT_SHOWN)];

/// Members of `response_format` that are not honoured.
pub(super) const RESPONSE_FORMAT: &[Policy] =
    &[ignore("json_schema", any, "it belongs to the type 'json_schema'")];

/// Members of `response_format.json_schema` that are not honoured.
pub(super) const JSON_SCHEMA: &[Policy] = &[];

/// Members of `structured_outputs` that are not honoured.
pub(super) const STRUCTURED_OUTPUTS: &[Policy] = &[
    refuse("structural_tag", never, "only tools have structural tags"),
    ignore("disable_any_whitespace", is_bool, NO_BACKENDS),
    ignore("disable_additional_properties", is_false, "say so in the schema"),
    ignore("disable_fallback", is_bool, NO_BACKENDS),
    ignore("whitespace_pattern", never, NO_BACKENDS),
];

const NO_ITEMS: &str = "a conversation is 'input' and 'previous_response_id' here";
const NO_BACKGROUND: &str = "answers are not made in the background";

/// Parameters of `POST /v1/responses` that are not honoured: OpenAI's, then vLLM's and those of chat completions.
pub(super) const RESPONSES: &[Policy] = &[
    refuse("background", is_false, NO_BACKGROUND),
    ignore("background_options", is_empty, NO_BACKGROUND),
    refuse("conversation", never, NO_ITEMS),
    refuse("prompt", never, "the server keeps no prompt templates"),
    refuse(
        "truncation",
        |value| is_one_of(value, &["disabled"]),
        "conversations are not shortened; send fewer items",
    ),
    ignore("context_management", is_empty, "conversations are not shortened"),
    ignore("prompt_cache_retention", never, NO_CACHE_CONTROL),
    ignore("prompt_cache_options", is_empty, NO_CACHE_CONTROL),
    ignore("moderation", never, "answers are not moderated"),
    ignore("access_programs", is_empty, "there are none"),
    refuse("image", is_empty, NO_TEXT_ONLY),
    refuse("modalities", |value| value == &serde_json::json!(["text"]), NO_TEXT_ONLY),
    refuse("n", is_one, "a response is one answer"),
    refuse("messages", never, "they are called 'input' here"),
    refuse("max_tokens", never, "it is called 'max_output_tokens' here"),
    refuse("max_completion_tokens", never, "it is called 'max_output_tokens' here"),
    refuse("logprobs", is_false, "name 'message.output_text.logprobs' in 'include'"),
    refuse("functions", is_empty, "they are called 'tools' here"),
    refuse("prompt_logprobs", never, "responses do not tell them"),
    refuse("return_token_ids", is_false, "responses do not tell them"),
    refuse("use_beam_search", is_false, "beam search is not implemented"),
    refuse("chat_template", never, NO_TEMPLATE_CONTROL),
    refuse("documents", is_empty, NO_TEMPLATE_CONTROL),
    ignore("guided_decoding_backend", any, NO_BACKENDS),
    ignore("guided_whitespace_pattern", any, NO_BACKENDS),
    ignore("spaces_between_special_tokens", is_bool, "tokens are shown as they are"),
    ignore("request_id", never, "send it as the header 'x-request-id'"),
];

/// Members of an item of `input` that are not honoured: what answers carry comes back with their items.
pub(super) const ITEM: &[Policy] = &[
    ignore("status", any, NOT_SHOWN),
    ignore("phase", any, NOT_SHOWN),
    ignore("encrypted_content", is_empty, "only who encrypted it can read it"),
];

/// Members of `text` that are not honoured.
pub(super) const TEXT: &[Policy] =
    &[ignore("verbosity", |value| is_one_of(value, &["medium"]), "the model knows no verbosity")];

/// Members of `text.format` that are not honoured.
pub(super) const TEXT_FORMAT: &[Policy] = &[];

/// Members of `reasoning` that are not honoured.
pub(super) const REASONING: &[Policy] = &[
    ignore("summary", never, "reasoning is shown as it is, not in a summary"),
    ignore("generate_summary", never, "reasoning is shown as it is, not in a summary"),
    ignore("context", |value| is_one_of(value, &["auto"]), "the chat template says what of it is shown"),
    ignore("mode", |value| is_one_of(value, &["standard"]), "there is one mode"),
];

/// Parameters of `POST /v1/messages` that are not honoured.
pub(super) const MESSAGES_API: &[Policy] = &[
    ignore(
        "service_tier",
        |value| is_one_of(value, &["auto", "standard_only"]),
        "there is no such tier here",
    ),
    // What a prompt begins with is always cached.
    ignore("cache_control", any, NO_CACHE_CONTROL),
    ignore("context_management", is_empty, "conversations are not shortened"),
    ignore("inference_geo", never, "the server runs where it runs"),
    ignore("speed", |value| is_one_of(value, &["standard"]), "there is one speed"),
    ignore("diagnostics", is_empty, "there are none"),
    ignore("user_profile_id", never, "there are no profiles"),
    ignore("workspace_id", never, "there are no workspaces"),
    refuse("container", never, "the server runs no code"),
    refuse("mcp_servers", is_empty, "the server calls no other servers"),
    refuse("max_completion_tokens", never, "it is called 'max_tokens' here"),
    refuse("stop", is_empty, "they are called 'stop_sequences' here"),
    refuse("n", is_one, "a message is one answer"),
    refuse("response_format", never, "it is called 'output_config.format' here"),
];

/// Members of a message or of a block of one that are not honoured.
pub(super) const BLOCK: &[Policy] = &[
    ignore("cache_control", any, NO_CACHE_CONTROL),
    ignore("citations", is_empty, NOT_SHOWN),
    ignore("caller", any, NOT_SHOWN),
    ignore("toolset_name", never, NOT_SHOWN),
];

/// Members of a tool that are not honoured.
pub(super) const MESSAGES_TOOL: &[Policy] = &[
    ignore("cache_control", any, NO_CACHE_CONTROL),
    ignore("defer_loading", is_false, "every tool is shown"),
    ignore("eager_input_streaming", is_bool, "inputs are streamed as they come"),
    ignore("input_examples", is_empty, NOT_SHOWN),
    ignore("allowed_callers", |value| value == &serde_json::json!(["direct"]), "only the model calls tools"),
];

/// Members of `tool_choice`, `thinking`, `metadata` and `output_config` that are not honoured.
pub(super) const MESSAGES_OPTION: &[Policy] = &[];

/// Most parameters that one answer names as ignored.
const MAX_WARNINGS: usize = 32;

/// Judges the parameters of one request and gathers what the client should know.
#[derive(Debug)]
pub(super) struct Judge {
    strict: bool,
    warnings: Vec<Warning>,
}

impl Judge {
    /// A judge that refuses, if `strict`, what it would else ignore.
    pub(super) fn new(strict: bool) -> Self {
        Self { strict, warnings: Vec::new() }
    }

    /// Judges what a part of the request has left: name, path and value of each member.
    pub(super) fn judge(
        &mut self,
        table: &[Policy],
        rest: impl Iterator<Item = (String, String, Value)>,
    ) -> Result<(), ApiError> {
        for (name, path, value) in rest {
            match table.iter().find(|policy| policy.name == name) {
                Some(policy) if (policy.neutral)(&value) => {}
                Some(Policy { otherwise: Otherwise::Refuse, reason, .. }) => {
                    return Err(ApiError::unsupported_parameter(&path, reason));
                }
                Some(policy) => self.ignore(&path, policy.reason)?,
                None => self.ignore(&path, "the server does not know it")?,
            }
        }
        Ok(())
    }

    /// Notes that the value at `path` is not honoured, or refuses it.
    pub(super) fn ignore(&mut self, path: &str, reason: &str) -> Result<(), ApiError> {
        if self.strict {
            return Err(ApiError::unsupported_parameter(&shown(path), reason));
        }
        let warning = Warning::ignored(&without_indices(path), reason);
        if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
        Ok(())
    }

    /// What was ignored.
    pub(super) fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }
}

/// A path with `[]` for each index, so that a field is named once and not once per message.
fn without_indices(path: &str) -> String {
    let mut inside = false;
    let keep = |c: &char| {
        inside = *c == '[' || (inside && c.is_ascii_digit());
        !(inside && c.is_ascii_digit())
    };
    path.chars().filter(keep).collect()
}
