//! The messages of a conversation.

use serde_json::Value;

use crate::api::error::{ApiError, shown};
use crate::api::fields::Fields;
use crate::api::limits;
use crate::api::params::{self, Judge};
use crate::api::wording::said;
use crate::serving::{ChatMessage, ToolCall};

/// Takes `messages`.
///
/// # Errors
/// A value of the wrong type or out of its bounds, and what the judge does not let pass.
pub(in crate::api) fn take(fields: &mut Fields, judge: &mut Judge) -> Result<Vec<ChatMessage>, ApiError> {
    let list = fields.list("messages", &limits::MESSAGES)?.ok_or_else(|| ApiError::missing("messages"))?;
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
            // `function` is the older name of `tool`.
            Some("tool" | "function") => Ok(Self::Tool),
            Some(other) => {
                let message = said!(
                    "'{at}' must be one of system, developer, user, assistant and tool, but it is '{}'.",
                    "'{at}' 값은 system, developer, user, assistant, tool 중 하나여야 하지만, 받은 값은 '{}'입니다.",
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
    let content = content(&mut fields, judge)?;
    let mut message = ChatMessage::new(role.name(), "");
    if role == Role::Assistant {
        message.tool_calls = tool_calls(&mut fields, judge)?;
        message.reasoning = reasoning(&mut fields)?;
    }
    if role == Role::Tool {
        message.tool_call_id = fields.string("tool_call_id", &limits::TOOL_CALL_ID)?;
    }
    message.name = fields.string("name", &limits::MESSAGE_NAME)?;
    message.content = match content {
        Some(text) => text,
        // An answer of the model may have had no text.
        None if role == Role::Assistant => String::new(),
        None => return Err(ApiError::missing(&fields.path("content"))),
    };
    judge.judge(params::MESSAGE, fields.rest())?;
    Ok(message)
}

/// Takes `content`: a string, or parts whose texts are joined.
fn content(fields: &mut Fields, judge: &mut Judge) -> Result<Option<String>, ApiError> {
    let at = fields.path("content");
    match fields.take("content") {
        None => Ok(None),
        Some(Value::String(text)) => limits::CONTENT.check_text(&at, text).map(Some),
        Some(Value::Array(parts)) => joined_parts(&at, parts, judge).map(Some),
        Some(other) => Err(ApiError::invalid_type(&at, "a string or a list of parts", &other)),
    }
}

/// The texts of content parts at `at`, joined.
///
/// # Errors
/// A part that is not text: the model reads nothing else.
pub(in crate::api) fn joined_parts(
    at: &str,
    parts: Vec<Value>,
    judge: &mut Judge,
) -> Result<String, ApiError> {
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
    let member = match kind.as_str() {
        Some("text" | "input_text" | "output_text") => "text",
        Some("refusal") => "refusal",
        Some(other) => return Err(not_text(at, other)),
        None => return Err(ApiError::invalid_type(&kind_at, "a string", &kind)),
    };
    let text_at = fields.path(member);
    let text = fields.string(member, &limits::CONTENT_TEXT)?.ok_or_else(|| ApiError::missing(&text_at))?;
    judge.judge(params::CONTENT_PART, fields.rest())?;
    Ok(text)
}

/// 400: a part of this kind is not text.
pub(in crate::api) fn not_text(at: &str, kind: &str) -> ApiError {
    let message = said!(
        "'{at}' is a part of type '{}', but the model reads text only.",
        "'{at}' 파트의 형식은 '{}'이지만, 이 모델은 텍스트만 읽습니다.",
        shown(kind)
    );
    ApiError::invalid_value(at, message)
}

/// Takes the calls that an assistant made: `tool_calls`, or the older `function_call`.
fn tool_calls(fields: &mut Fields, judge: &mut Judge) -> Result<Vec<ToolCall>, ApiError> {
    let at = fields.path("tool_calls");
    let list = fields.list("tool_calls", &limits::TOOL_CALLS)?.unwrap_or_default();
    let mut calls = Vec::with_capacity(list.len());
    for (i, value) in list.into_iter().enumerate() {
        let mut call = Fields::of_object(&format!("{at}[{i}]"), value)?;
        let id = call.string("id", &limits::TOOL_CALL_ID)?.unwrap_or_default();
        let function_at = call.path("function");
        drop(call.take("type"));
        let mut function = call.object("function")?.ok_or_else(|| ApiError::missing(&function_at))?;
        calls.push(called(&mut function, id)?);
        judge.judge(params::TOOL_CALL, call.rest())?;
    }
    if let Some(mut function) = fields.object("function_call")? {
        calls.push(called(&mut function, String::new())?);
    }
    Ok(calls)
}

/// A call from its `name` and `arguments`.
fn called(function: &mut Fields, id: String) -> Result<ToolCall, ApiError> {
    let name_at = function.path("name");
    let name = function.string("name", &limits::TOOL_NAME)?.ok_or_else(|| ApiError::missing(&name_at))?;
    let at = function.path("arguments");
    let arguments = match function.take("arguments") {
        None => "{}".to_owned(),
        // Some clients send them parsed.
        Some(Value::Object(members)) => Value::from(members).to_string(),
        Some(Value::String(text)) if text.is_empty() => "{}".to_owned(),
        Some(Value::String(text)) => text,
        Some(other) => return Err(ApiError::invalid_type(&at, "a string of JSON", &other)),
    };
    Ok(ToolCall { id, name, arguments: limits::ARGUMENTS.check_text(&at, arguments)? })
}

/// Takes what an assistant thought, under either name.
fn reasoning(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let content = fields.string("reasoning_content", &limits::REASONING)?;
    let plain = fields.string("reasoning", &limits::REASONING)?;
    Ok(content.or(plain).filter(|text| !text.is_empty()))
}
