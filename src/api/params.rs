//! What becomes of parameters that are not honoured: never silence.
//!
//! A value that asks for nothing is accepted. Any other is either named in the answer (`x-maru-ignored-params` and
//! `warnings`), where an answer without it still means the same, or refused, where it would not. Under
//! `server.strict_params` all of them are refused.

mod reasons;

use serde::Serialize;
use serde_json::Value;

use self::reasons as why;
use super::error::{ApiError, shown};
use super::wording::{Reader, Reason, Wording, said};

/// Something that the client should know about an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Warning {
    code: &'static str,
    param: String,
    message: String,
}

impl Warning {
    /// `param` was not honoured.
    fn ignored(param: &str, reason: &Wording, reader: Reader) -> Self {
        let param = shown(param);
        let (reason, reason_ko) = (reason.as_str(), reason.korean());
        let message =
            said!("'{param}' was ignored: {reason}.", "'{param}' 매개변수를 무시했습니다. {reason_ko}.");
        Self { code: "ignored_parameter", param, message: message.told_to(reader).into() }
    }

    /// `param` was honoured as far as the context allows.
    pub(super) fn clamped(param: &'static str, asked: u64, given: u64, reader: Reader) -> Self {
        let message = said!(
            "'{param}' is {asked}, but the context leaves room for {given} tokens.",
            "'{param}' 값({asked})이 컨텍스트에 남은 자리({given}토큰)보다 커서 그만큼만 적용했습니다."
        );
        Self { code: "clamped_parameter", param: param.to_owned(), message: message.told_to(reader).into() }
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
    reason: Reason,
}

/// What becomes of a value that asks for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    /// The answer still means the same without it: name it.
    Ignore,
    /// It does not: refuse.
    Refuse,
}

impl Policy {
    /// Why it is not honoured, in English.
    pub(super) fn reason(&self) -> &'static str {
        self.reason.english()
    }

    /// What becomes of a value that asks for something, in a word.
    pub(super) fn verdict(&self) -> &'static str {
        match self.otherwise {
            Otherwise::Ignore => "ignored",
            Otherwise::Refuse => "refused",
        }
    }
}

const fn ignore(name: &'static str, neutral: fn(&Value) -> bool, reason: Reason) -> Policy {
    Policy { name, neutral, otherwise: Otherwise::Ignore, reason }
}

const fn refuse(name: &'static str, neutral: fn(&Value) -> bool, reason: Reason) -> Policy {
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

/// Parameters of `POST /v1/chat/completions` that are not honoured: OpenAI's, then vLLM's.
pub(super) const CHAT_COMPLETIONS: &[Policy] = &[
    ignore("verbosity", |value| is_one_of(value, &["medium"]), why::NO_VERBOSITY),
    ignore("store", is_false, why::CHATS_NOT_STORED),
    ignore("prompt_cache_retention", never, why::NO_CACHE_CONTROL),
    ignore("prompt_cache_options", is_empty, why::NO_CACHE_CONTROL),
    refuse("modalities", |value| value == &serde_json::json!(["text"]), why::TEXT_ONLY),
    refuse("audio", never, why::TEXT_ONLY),
    refuse("web_search_options", never, why::NO_WEB_SEARCH),
    ignore("moderation", never, why::NO_MODERATION),
    refuse("best_of", is_one, why::ONLY_N),
    refuse("use_beam_search", is_false, why::NO_BEAM_SEARCH),
    ignore("length_penalty", is_one, why::NO_BEAM_SEARCH),
    ignore("spaces_between_special_tokens", is_bool, why::TOKENS_AS_THEY_ARE),
    refuse("documents", is_empty, why::NO_TEMPLATE_CONTROL),
    refuse("chat_template", never, why::NO_TEMPLATE_CONTROL),
    refuse("structural_tag", never, why::TAGS_OF_TOOLS),
    ignore("guided_decoding_backend", any, why::NO_BACKENDS),
    ignore("guided_whitespace_pattern", any, why::NO_BACKENDS),
    ignore("request_id", never, why::IN_A_HEADER),
    ignore("mm_processor_kwargs", is_empty, why::TEXT_ONLY),
    ignore("kv_transfer_params", is_empty, why::ONE_PLACE),
    ignore("vllm_xargs", is_empty, why::ANOTHER_SERVERS),
    ignore("repetition_detection", never, why::REPETITION),
];

/// Parameters of `POST /v1/completions` that are not honoured: OpenAI's, then vLLM's.
pub(super) const COMPLETIONS: &[Policy] = &[
    refuse("suffix", is_empty, why::NO_GAPS),
    ignore("store", is_false, why::COMPLETIONS_NOT_STORED),
    ignore("prompt_cache_retention", never, why::NO_CACHE_CONTROL),
    ignore("prompt_cache_options", is_empty, why::NO_CACHE_CONTROL),
    refuse("prompt_embeds", never, why::TEXT_ONLY),
    refuse("use_beam_search", is_false, why::NO_BEAM_SEARCH),
    ignore("length_penalty", is_one, why::NO_BEAM_SEARCH),
    ignore("spaces_between_special_tokens", is_bool, why::TOKENS_AS_THEY_ARE),
    refuse("structural_tag", never, why::TAGS_OF_TOOLS),
    ignore("guided_decoding_backend", any, why::NO_BACKENDS),
    ignore("guided_whitespace_pattern", any, why::NO_BACKENDS),
    ignore("request_id", never, why::IN_A_HEADER),
    ignore("kv_transfer_params", is_empty, why::ONE_PLACE),
    ignore("vllm_xargs", is_empty, why::ANOTHER_SERVERS),
];

/// Parameters of `POST /tokenize` that are not honoured where a text is given.
pub(super) const TOKENIZE: &[Policy] = &[];

/// Parameters of `POST /tokenize` that are not honoured where messages are given.
pub(super) const TOKENIZE_CHAT: &[Policy] = &[
    refuse("prompt", never, why::MESSAGES_OR_PROMPT),
    refuse("chat_template", never, why::NO_TEMPLATE_CONTROL),
    ignore("mm_processor_kwargs", is_empty, why::TEXT_ONLY),
];

/// Parameters of `POST /detokenize` that are not honoured.
pub(super) const DETOKENIZE: &[Policy] = &[];

/// Parameters of `POST /v1/embeddings` that are not honoured.
pub(super) const EMBEDDINGS: &[Policy] = &[
    refuse("dimensions", never, why::ONE_LENGTH),
    refuse("normalize", |value| value == &Value::Bool(true), why::UNIT_VECTORS),
    refuse("input_type", never, why::NO_INPUT_TYPES),
    refuse("messages", never, why::NO_CONVERSATIONS),
    ignore("request_id", never, why::IN_A_HEADER),
];

/// Parameters of `POST /generate` and `POST /generate_stream`, beside `parameters`, that are not honoured.
pub(super) const TEXT_GENERATION: &[Policy] = &[refuse("stream", is_false, why::OTHER_ROUTE)];

/// Members of their `parameters` that are not honoured.
pub(super) const TEXT_PARAMETERS: &[Policy] = &[
    refuse("typical_p", is_one, why::NOT_BY_TYPICALITY),
    refuse("watermark", is_false, why::NO_WATERMARK),
    refuse("adapter_id", never, why::NO_ADAPTERS),
];

/// Members of `stream_options` that are not honoured.
pub(super) const STREAM_OPTIONS: &[Policy] = &[ignore("include_obfuscation", is_false, why::NOT_PADDED)];

/// Members of a message that are not honoured.
pub(super) const MESSAGE: &[Policy] = &[
    refuse("tool_calls", is_empty, why::CALLS_OF_ASSISTANTS),
    refuse("function_call", never, why::CALLS_OF_ASSISTANTS),
    ignore("tool_call_id", never, why::NOT_SHOWN),
    ignore("refusal", is_empty, why::NOT_SHOWN),
    ignore("annotations", is_empty, why::NOT_SHOWN),
    refuse("audio", never, why::TEXT_ONLY),
    ignore("reasoning", is_empty, why::NOT_SHOWN),
    ignore("reasoning_content", is_empty, why::NOT_SHOWN),
];

/// Members of a part of a message's content that are not honoured.
pub(super) const CONTENT_PART: &[Policy] = &[
    ignore("cache_control", never, why::NO_CACHE_CONTROL),
    ignore("prompt_cache_breakpoint", never, why::NO_CACHE_CONTROL),
    ignore("annotations", is_empty, why::NOT_SHOWN),
    ignore("logprobs", is_empty, why::NOT_SHOWN),
];

/// Members of a tool, beside its function, that are not honoured.
pub(super) const TOOL: &[Policy] = &[ignore("cache_control", never, why::NO_CACHE_CONTROL)];

/// Members of a function that are not honoured.
pub(super) const FUNCTION: &[Policy] = &[];

/// Members of a call that are not honoured; in answers calls are numbered, and clients send them back so.
pub(super) const TOOL_CALL: &[Policy] = &[ignore("index", any, why::NOT_SHOWN)];

/// Members of `response_format` that are not honoured.
pub(super) const RESPONSE_FORMAT: &[Policy] = &[ignore("json_schema", any, why::OF_JSON_SCHEMA)];

/// Members of `response_format.json_schema` that are not honoured.
pub(super) const JSON_SCHEMA: &[Policy] = &[];

/// Members of `structured_outputs` that are not honoured.
pub(super) const STRUCTURED_OUTPUTS: &[Policy] = &[
    refuse("structural_tag", never, why::TAGS_OF_TOOLS),
    ignore("disable_any_whitespace", is_bool, why::NO_BACKENDS),
    ignore("disable_additional_properties", is_false, why::SAY_IN_SCHEMA),
    ignore("disable_fallback", is_bool, why::NO_BACKENDS),
    ignore("whitespace_pattern", never, why::NO_BACKENDS),
];

/// Parameters of `POST /v1/responses` that are not honoured: OpenAI's, then vLLM's and those of chat completions.
pub(super) const RESPONSES: &[Policy] = &[
    refuse("background", is_false, why::NO_BACKGROUND),
    ignore("background_options", is_empty, why::NO_BACKGROUND),
    refuse("conversation", never, why::NO_ITEMS),
    refuse("prompt", never, why::NO_PROMPT_TEMPLATES),
    refuse("truncation", |value| is_one_of(value, &["disabled"]), why::SEND_FEWER),
    ignore("context_management", is_empty, why::NOT_SHORTENED),
    ignore("prompt_cache_retention", never, why::NO_CACHE_CONTROL),
    ignore("prompt_cache_options", is_empty, why::NO_CACHE_CONTROL),
    ignore("moderation", never, why::NO_MODERATION),
    ignore("access_programs", is_empty, why::NONE_HERE),
    refuse("image", is_empty, why::TEXT_ONLY),
    refuse("modalities", |value| value == &serde_json::json!(["text"]), why::TEXT_ONLY),
    refuse("n", is_one, why::ONE_RESPONSE),
    refuse("messages", never, why::CALLED_INPUT),
    refuse("max_tokens", never, why::CALLED_MAX_OUTPUT_TOKENS),
    refuse("max_completion_tokens", never, why::CALLED_MAX_OUTPUT_TOKENS),
    refuse("logprobs", is_false, why::LOGPROBS_BY_INCLUDE),
    refuse("functions", is_empty, why::CALLED_TOOLS),
    refuse("prompt_logprobs", never, why::NOT_TOLD),
    refuse("return_token_ids", is_false, why::NOT_TOLD),
    refuse("use_beam_search", is_false, why::NO_BEAM_SEARCH),
    refuse("chat_template", never, why::NO_TEMPLATE_CONTROL),
    refuse("documents", is_empty, why::NO_TEMPLATE_CONTROL),
    ignore("guided_decoding_backend", any, why::NO_BACKENDS),
    ignore("guided_whitespace_pattern", any, why::NO_BACKENDS),
    ignore("spaces_between_special_tokens", is_bool, why::TOKENS_AS_THEY_ARE),
    ignore("request_id", never, why::IN_A_HEADER),
];

/// Members of an item of `input` that are not honoured: what answers carry comes back with their items.
pub(super) const ITEM: &[Policy] = &[
    ignore("status", any, why::NOT_SHOWN),
    ignore("phase", any, why::NOT_SHOWN),
    ignore("encrypted_content", is_empty, why::ENCRYPTED),
];

/// Members of `text` that are not honoured.
pub(super) const TEXT: &[Policy] =
    &[ignore("verbosity", |value| is_one_of(value, &["medium"]), why::NO_VERBOSITY)];

/// Members of `text.format` that are not honoured.
pub(super) const TEXT_FORMAT: &[Policy] = &[];

/// Members of `reasoning` that are not honoured.
pub(super) const REASONING: &[Policy] = &[
    ignore("summary", never, why::NO_SUMMARY),
    ignore("generate_summary", never, why::NO_SUMMARY),
    ignore("context", |value| is_one_of(value, &["auto"]), why::BY_TEMPLATE),
    ignore("mode", |value| is_one_of(value, &["standard"]), why::ONE_MODE),
];

/// Parameters of `POST /v1/messages` that are not honoured.
pub(super) const MESSAGES_API: &[Policy] = &[
    ignore("service_tier", |value| is_one_of(value, &["auto", "standard_only"]), why::NO_TIER),
    // What a prompt begins with is always cached.
    ignore("cache_control", any, why::NO_CACHE_CONTROL),
    ignore("context_management", is_empty, why::NOT_SHORTENED),
    ignore("inference_geo", never, why::ONE_REGION),
    ignore("speed", |value| is_one_of(value, &["standard"]), why::ONE_SPEED),
    ignore("diagnostics", is_empty, why::NONE_HERE),
    ignore("user_profile_id", never, why::NO_PROFILES),
    ignore("workspace_id", never, why::NO_WORKSPACES),
    refuse("container", never, why::NO_CODE),
    refuse("mcp_servers", is_empty, why::NO_OTHER_SERVERS),
    refuse("max_completion_tokens", never, why::CALLED_MAX_TOKENS),
    refuse("stop", is_empty, why::CALLED_STOP_SEQUENCES),
    refuse("n", is_one, why::ONE_MESSAGE),
    refuse("response_format", never, why::CALLED_OUTPUT_CONFIG),
];

/// Members of a message or of a block of one that are not honoured.
pub(super) const BLOCK: &[Policy] = &[
    ignore("cache_control", any, why::NO_CACHE_CONTROL),
    ignore("citations", is_empty, why::NOT_SHOWN),
    ignore("caller", any, why::NOT_SHOWN),
    ignore("toolset_name", never, why::NOT_SHOWN),
];

/// Members of a tool that are not honoured.
pub(super) const MESSAGES_TOOL: &[Policy] = &[
    ignore("cache_control", any, why::NO_CACHE_CONTROL),
    ignore("defer_loading", is_false, why::EVERY_TOOL),
    ignore("eager_input_streaming", is_bool, why::AS_THEY_COME),
    ignore("input_examples", is_empty, why::NOT_SHOWN),
    ignore("allowed_callers", |value| value == &serde_json::json!(["direct"]), why::ONLY_THE_MODEL),
];

/// Members of `tool_choice`, `thinking`, `metadata` and `output_config` that are not honoured.
pub(super) const MESSAGES_OPTION: &[Policy] = &[];

/// Most parameters that one answer names as ignored.
const MAX_WARNINGS: usize = 32;

/// Judges the parameters of one request and gathers what the client should know.
#[derive(Debug)]
pub(super) struct Judge {
    strict: bool,
    reader: Reader,
    warnings: Vec<Warning>,
}

impl Judge {
    /// A judge that refuses, if `strict`, what it would else ignore, and warns `reader`.
    pub(super) fn new(strict: bool, reader: Reader) -> Self {
        Self { strict, reader, warnings: Vec::new() }
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
                    return Err(ApiError::unsupported_parameter(&path, *reason));
                }
                Some(policy) => self.ignore(&path, policy.reason)?,
                None => self.ignore(&path, why::UNKNOWN)?,
            }
        }
        Ok(())
    }

    /// Notes that the value at `path` is not honoured, or refuses it.
    pub(super) fn ignore(&mut self, path: &str, reason: impl Into<Wording>) -> Result<(), ApiError> {
        if self.strict {
            return Err(ApiError::unsupported_parameter(&shown(path), reason));
        }
        let warning = Warning::ignored(&without_indices(path), &reason.into(), self.reader);
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
