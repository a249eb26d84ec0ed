//! From the wire to a [`GenerateRequest`]: all checks that need no model happen here.

use serde_json::{Map, Value};

use crate::api::auth::Caller;
use crate::api::config::ServerConfig;
use crate::api::error::{ApiError, shown};
use crate::api::fields::{Fields, string_at};
use crate::api::params::{self, Judge, Warning};
use crate::api::{cache_salt, limits, priority};
use crate::serving::{ChatMessage, ChatPrompt, GenerateRequest, PromptInput, SamplingOptions};

/// Temperatures below this choose the same token as 0, without its care for overflow.
const MIN_TEMPERATURE: f64 = 1e-5;

/// A checked request for a chat completion.
#[derive(Debug)]
pub(super) struct ChatRequest {
    /// The model that the client named.
    pub(super) model: String,
    /// What to generate.
    pub(super) generate: GenerateRequest,
    /// The field that set the token limit, if one did.
    pub(super) limit_param: &'static str,
    /// Whether the answer is to be streamed.
    pub(super) stream: bool,
    /// Whether a streamed answer ends with a usage chunk.
    pub(super) include_usage: bool,
    /// What was not honoured.
    pub(super) warnings: Vec<Warning>,
}

impl ChatRequest {
    /// Checks the members of a request of `caller`.
    pub(super) fn parse(
        members: Map<String, Value>,
        caller: Caller,
        config: &ServerConfig,
    ) -> Result<Self, ApiError> {
        if members.len() > limits::MAX_FIELDS {
            let message =
                format!("A request may have {} fields, but this has {}.", limits::MAX_FIELDS, members.len());
            return Err(ApiError::invalid_value("body", message));
        }
        let mut fields = Fields::of_request(members);
        let mut judge = Judge::new(config.strict_params);

        let model = fields.string("model", &limits::MODEL)?.ok_or_else(|| ApiError::missing("model"))?;
        let messages = messages(&mut fields, &mut judge)?;
        let sampling = sampling(&mut fields)?;
        let num_choices = num_choices(&mut fields)?;
        let (max_new_tokens, limit_param) = max_new_tokens(&mut fields)?;
        let stop = stop(&mut fields)?;
        let stream = fields.boolean("stream")?.unwrap_or(false);
        let include_usage = include_usage(&mut fields, &mut judge, stream)?;
        for limit in [&limits::FREQUENCY_PENALTY, &limits::PRESENCE_PENALTY] {
            fields.check_number(limit)?;
        }
        let priority = priority::take(&mut fields, &mut judge, config.allow_priority)?;
        let cache_salt = cache_salt::take(&mut fields, caller.divides_the_cache(config))?;
        judge.judge(params::CHAT_COMPLETIONS, fields.rest())?;

        let generate = GenerateRequest {
            prompt: PromptInput::Chat(ChatPrompt::new(messages)),
            sampling,
            num_choices,
            max_new_tokens,
            stop,
            tenant: caller.tenant,
            priority,
            cache_salt,
        };
        let warnings = judge.into_warnings();
        Ok(Self { model, generate, limit_param, stream, include_usage, warnings })
    }
}

fn sampling(fields: &mut Fields) -> Result<SamplingOptions, ApiError> {
    let temperature = fields.number(&limits::TEMPERATURE)?;
    let top_p = fields.number(&limits::TOP_P)?;
    let top_k = fields.integer(&limits::TOP_K)?;
    let seed = fields.integer(&limits::SEED)?;
    Ok(SamplingOptions {
        temperature: temperature.map(|value| if value < MIN_TEMPERATURE { 0.0 } else { value as f32 }),
        // No set of tokens has probability 0: the smallest that reaches any more is the most likely token.
        top_p: top_p.map(|value| (value as f32).max(f32::MIN_POSITIVE)),
        // OpenAI's cousins say -1 for "all tokens", we say 0.
        top_k: top_k.map(|value| u32::try_from(value).unwrap_or(0)),
        seed: seed.map(i64::cast_unsigned),
    })
}

fn num_choices(fields: &mut Fields) -> Result<u32, ApiError> {
    let given = fields.integer(&limits::NUM_CHOICES)?.unwrap_or(1);
    Ok(u32::try_from(given).expect("the limit keeps it between 1 and 128"))
}

/// The token limit and the field that set it: `max_completion_tokens` wins over its old name.
fn max_new_tokens(fields: &mut Fields) -> Result<(Option<u32>, &'static str), ApiError> {
    let new = fields.integer(&limits::MAX_COMPLETION_TOKENS)?;
    let old = fields.integer(&limits::MAX_TOKENS)?;
    let limit = if new.is_some() { limits::MAX_COMPLETION_TOKENS } else { limits::MAX_TOKENS };
    let given = new.or(old).map(|value| u32::try_from(value).expect("the limit is below 2^31"));
    Ok((given, limit.path))
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    match fields.take("stop") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![limits::STOP_STRING.check_text("stop", text)?]),
        Some(Value::Array(list)) => limits::STOP
            .check_items("stop", list)?
            .into_iter()
            .enumerate()
            .map(|(i, value)| string_at(&format!("stop[{i}]"), value, &limits::STOP_STRING))
            .collect(),
        Some(other) => Err(ApiError::invalid_type("stop", "a string or a list of strings", &other)),
    }
}

fn include_usage(fields: &mut Fields, judge: &mut Judge, stream: bool) -> Result<bool, ApiError> {
    let Some(value) = fields.take("stream_options") else { return Ok(false) };
    let mut options = Fields::of_object("stream_options", value)?;
    let include_usage = options.boolean("include_usage")?.unwrap_or(false);
    if !stream {
        let message = "'stream_options' may only be set when 'stream' is true.".to_owned();
        return Err(ApiError::invalid_value("stream_options", message));
    }
    judge.judge(params::STREAM_OPTIONS, options.rest())?;
    Ok(include_usage)
}

fn messages(fields: &mut Fields, judge: &mut Judge) -> Result<Vec<ChatMessage>, ApiError> {
    let list = match fields.take("messages") {
        None => return Err(ApiError::missing("messages")),
        Some(Value::Array(list)) => limits::MESSAGES.check_items("messages", list)?,
        Some(other) => return Err(ApiError::invalid_type("messages", "a list", &other)),
    };
    list.into_iter().enumerate().map(|(i, value)| message(&format!("messages[{i}]"), value, judge)).collect()
}

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    System,
    User,
    Assistant,
    Tool,
}

impl Role {
    fn parse(at: &str, value: Value) -> Result<Self, ApiError> {
        match value.as_str() {
            // `developer` is the newer name of `system`.
            Some("system" | "developer") => Ok(Self::System),
            Some("user") => Ok(Self::User),
            Some("assistant") => Ok(Self::Assistant),
            Some("tool") => Ok(Self::Tool),
            Some(other) => {
                let message = format!(
                    "'{at}' must be one of system, developer, user, assistant and tool, but it is '{}'.",
                    shown(other)
                );
                Err(ApiError::invalid_value(at, message))
            }
            None => Err(ApiError::invalid_type(at, "a string", &value)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

fn message(at: &str, value: Value, judge: &mut Judge) -> Result<ChatMessage, ApiError> {
    let mut fields = Fields::of_object(at, value)?;
    let role_at = fields.path("role");
    let role = fields.take("role").ok_or_else(|| ApiError::missing(&role_at))?;
    let role = Role::parse(&role_at, role)?;
    let content_at = fields.path("content");
    let content = fields.take("content");
    judge.judge(params::MESSAGE, fields.rest())?;
    let content = match content {
        Some(Value::String(text)) => limits::CONTENT.check_text(&content_at, text)?,
        Some(Value::Array(parts)) => joined_parts(&content_at, parts, judge)?,
        Some(other) => {
            return Err(ApiError::invalid_type(&content_at, "a string or a list of parts", &other));
        }
        // An answer of the model may have had no text.
        None if role == Role::Assistant => String::new(),
        None => return Err(ApiError::missing(&content_at)),
    };
    Ok(ChatMessage::new(role.name(), content))
}

fn joined_parts(at: &str, parts: Vec<Value>, judge: &mut Judge) -> Result<String, ApiError> {
    let parts = limits::CONTENT_PARTS.check_items(at, parts)?;
    let mut content = String::new();
    for (i, part) in parts.into_iter().enumerate() {
        content += &text_of_part(&format!("{at}[{i}]"), part, judge)?;
    }
    limits::CONTENT.check_text(at, content)
}

fn text_of_part(at: &str, part: Value, judge: &mut Judge) -> Result<String, ApiError> {
    let mut fields = Fields::of_object(at, part)?;
    let kind_at = fields.path("type");
    let kind = fields.take("type").ok_or_else(|| ApiError::missing(&kind_at))?;
    match kind.as_str() {
        Some("text") => {}
        Some(other) => {
            let message =
                format!("'{at}' is a part of type '{}', but the model reads text only.", shown(other));
            return Err(ApiError::invalid_value(at, message));
        }
        None => return Err(ApiError::invalid_type(&kind_at, "a string", &kind)),
    }
    let text_at = fields.path("text");
    let text = fields.string("text", &limits::CONTENT_TEXT)?.ok_or_else(|| ApiError::missing(&text_at))?;
    judge.judge(params::CONTENT_PART, fields.rest())?;
    Ok(text)
}
