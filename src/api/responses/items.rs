//! The items of a conversation: what clients send, what is kept, and what the chat template gets to see.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::answer::blocks::{Block, BlockKind};
use crate::api::error::{ApiError, shown};
use crate::api::fields::Fields;
use crate::api::limits;
use crate::api::params::{self, Judge};
use crate::api::request::messages::joined_parts;
use crate::serving::{ChatMessage, ToolCall};

/// An item of a conversation, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    id: String,
    part: Part,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Message { role: &'static str, text: String },
    Reasoning(String),
    Call(ToolCall),
    CallOutput { call_id: String, output: String },
}

impl Item {
    /// An item of a finished answer.
    pub(super) fn of_block(id: String, block: &Block) -> Self {
        let text = block.text.clone();
        let part = match &block.kind {
            BlockKind::Reasoning => Part::Reasoning(text),
            BlockKind::Text => Part::Message { role: "assistant", text },
            BlockKind::Call { id, name } => {
                Part::Call(ToolCall { id: id.clone(), name: name.clone(), arguments: text })
            }
        };
        Self { id, part }
    }

    /// What a later request may call it by.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Bytes that it takes, about.
    pub(super) fn num_bytes(&self) -> usize {
        let texts = match &self.part {
            Part::Message { text, .. } | Part::Reasoning(text) => text.len(),
            Part::Call(call) => call.id.len() + call.name.len() + call.arguments.len(),
            Part::CallOutput { call_id, output } => call_id.len() + output.len(),
        };
        texts + self.id.len() + size_of::<Self>()
    }

    /// The item as clients see it.
    pub(super) fn to_wire(&self) -> Value {
        let id = &self.id;
        match &self.part {
            Part::Message { role: "assistant", text } => {
                let part = json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] });
                json!({
                    "id": id, "type": "message", "role": "assistant", "status": "completed", "content": [part],
                })
            }
            Part::Message { role, text } => json!({
                "id": id, "type": "message", "role": role, "status": "completed",
                "content": [{ "type": "input_text", "text": text }],
            }),
            Part::Reasoning(text) => json!({
                "id": id, "type": "reasoning", "summary": [], "status": "completed",
                "content": [{ "type": "reasoning_text", "text": text }],
            }),
            Part::Call(call) => json!({
                "id": id, "type": "function_call", "call_id": call.id, "name": call.name,
                "arguments": call.arguments, "status": "completed",
            }),
            Part::CallOutput { call_id, output } => json!({
                "id": id, "type": "function_call_output", "call_id": call_id, "output": output,
                "status": "completed",
            }),
        }
    }
}

/// What new items need of the server.
pub(super) struct ItemSource<'a> {
    /// Makes an id.
    pub(super) new_id: &'a dyn Fn() -> String,
    /// Finds a stored item by its id.
    pub(super) stored: &'a dyn Fn(&str) -> Option<Arc<Item>>,
}

/// Takes `input`: a text, or items.
///
/// # Errors
/// A value of the wrong type or out of its bounds, an item that is none, and what the judge does not let pass.
pub(super) fn take(
    fields: &mut Fields,
    judge: &mut Judge,
    source: &ItemSource<'_>,
) -> Result<Vec<Arc<Item>>, ApiError> {
    match fields.take("input") {
        None => Err(ApiError::missing("input")),
        Some(Value::String(text)) => {
            let text = limits::ITEM_TEXT.check_text("input", text)?;
            let id = format!("msg_{}", (source.new_id)());
            Ok(vec![Arc::new(Item { id, part: Part::Message { role: "user", text } })])
        }
        Some(Value::Array(list)) => {
            let list = limits::ITEMS.check_items("input", list)?;
            let read = |(i, value)| item(&format!("input[{i}]"), value, judge, source);
            list.into_iter().enumerate().map(read).collect()
        }
        Some(other) => Err(ApiError::invalid_type("input", "a string or a list of items", &other)),
    }
}

fn item(at: &str, value: Value, judge: &mut Judge, source: &ItemSource<'_>) -> Result<Arc<Item>, ApiError> {
    let mut fields = Fields::of_object(at, value)?;
    let kind_at = fields.path("type");
    let kind = match fields.take("type") {
        None => "message".to_owned(),
        Some(Value::String(kind)) => kind,
        Some(other) => return Err(ApiError::invalid_type(&kind_at, "a string", &other)),
    };
    let given_id = fields.string("id", &limits::ITEM_ID)?;
    let (prefix, part) = match kind.as_str() {
        "message" => ("msg", message(&mut fields, judge)?),
        "reasoning" => ("rs", Part::Reasoning(reasoning(&mut fields, judge)?)),
        "function_call" => ("fc", Part::Call(call(&mut fields)?)),
        "function_call_output" => ("fco", call_output(&mut fields, judge)?),
        "item_reference" => {
            let id = given_id.ok_or_else(|| ApiError::missing(&fields.path("id")))?;
            judge.judge(params::ITEM, fields.rest())?;
            return (source.stored)(&id).ok_or_else(|| {
                let message = format!("'{at}' refers to the item '{}', which is not stored.", shown(&id));
                ApiError::invalid_value(at, message)
            });
        }
        other => {
            let message = format!(
                "'{kind_at}' is '{}', but the server knows message, reasoning, function_call, \
                 function_call_output and item_reference only.",
                shown(other)
            );
            return Err(ApiError::invalid_value(&kind_at, message));
        }
    };
    judge.judge(params::ITEM, fields.rest())?;
    let id = given_id.unwrap_or_else(|| format!("{prefix}_{}", (source.new_id)()));
    Ok(Arc::new(Item { id, part }))
}

fn message(fields: &mut Fields, judge: &mut Judge) -> Result<Part, ApiError> {
    let role_at = fields.path("role");
    let role = fields.take("role").ok_or_else(|| ApiError::missing(&role_at))?;
    let role = match role.as_str() {
        Some("user") => "user",
        Some("assistant") => "assistant",
        Some("system") => "system",
        Some("developer") => "developer",
        Some(other) => {
            let message = format!(
                "'{role_at}' must be one of user, assistant, system and developer, but it is '{}'.",
                shown(other)
            );
            return Err(ApiError::invalid_value(&role_at, message));
        }
        None => return Err(ApiError::invalid_type(&role_at, "a string", &role)),
    };
    let text = text(fields, "content", judge)?;
    Ok(Part::Message { role, text })
}

/// A member that is a string, or parts whose texts are joined.
fn text(fields: &mut Fields, name: &str, judge: &mut Judge) -> Result<String, ApiError> {
    let at = fields.path(name);
    match fields.take(name) {
        None => Err(ApiError::missing(&at)),
        Some(Value::String(text)) => limits::ITEM_TEXT.check_text(&at, text),
        Some(Value::Array(parts)) => joined_parts(&at, parts, judge),
        Some(other) => Err(ApiError::invalid_type(&at, "a string or a list of parts", &other)),
    }
}

/// What the model thought: its own words, or a summary of them where there are none.
fn reasoning(fields: &mut Fields, judge: &mut Judge) -> Result<String, ApiError> {
    let mut texts = ["content", "summary"].into_iter().map(|name| {
        let at = fields.path(name);
        let parts = fields.list(name, &limits::ITEM_PARTS)?.unwrap_or_default();
        let mut joined = String::new();
        for (i, part) in parts.into_iter().enumerate() {
            let mut part = Fields::of_object(&format!("{at}[{i}]"), part)?;
            drop(part.take("type"));
            let text_at = part.path("text");
            let text = part.string("text", &limits::REASONING)?;
            joined += &text.ok_or_else(|| ApiError::missing(&text_at))?;
            judge.judge(params::CONTENT_PART, part.rest())?;
        }
        limits::REASONING.check_text(&at, joined)
    });
    let content = texts.next().expect("there are two")?;
    let summary = texts.next().expect("there are two")?;
    Ok(if content.is_empty() { summary } else { content })
}

fn call(fields: &mut Fields) -> Result<ToolCall, ApiError> {
    let mut required = |name: &str, limit: &limits::Limit| {
        let at = fields.path(name);
        fields.string(name, limit)?.ok_or_else(|| ApiError::missing(&at))
    };
    let id = required("call_id", &limits::TOOL_CALL_ID)?;
    let name = required("name", &limits::TOOL_NAME)?;
    let arguments = required("arguments", &limits::ARGUMENTS)?;
    Ok(ToolCall { id, name, arguments })
}

fn call_output(fields: &mut Fields, judge: &mut Judge) -> Result<Part, ApiError> {
    let id_at = fields.path("call_id");
    let call_id = fields.string("call_id", &limits::TOOL_CALL_ID)?;
    let call_id = call_id.ok_or_else(|| ApiError::missing(&id_at))?;
    let output = text(fields, "output", judge)?;
    Ok(Part::CallOutput { call_id, output })
}

/// The conversation that `instructions` and items make. What the assistant thought, said and called between two
/// messages of others is one message of its.
///
/// # Errors
/// 400 for the output of a call that nobody made.
pub(super) fn messages(
    instructions: Option<String>,
    items: &[Arc<Item>],
) -> Result<Vec<ChatMessage>, ApiError> {
    let mut messages: Vec<ChatMessage> = Vec::with_capacity(items.len() + 1);
    let mut called: HashSet<&str> = HashSet::new();
    messages.extend(instructions.map(|text| ChatMessage::new("system", text)));
    for (index, item) in items.iter().enumerate() {
        match &item.part {
            Part::Message { role: "assistant", text } => {
                match messages.last_mut().filter(|last| is_thought_only(last)) {
                    Some(thought) => thought.content.clone_from(text),
                    None => messages.push(ChatMessage::new("assistant", text)),
                }
            }
            Part::Message { role, text } => {
                let is_system = matches!(*role, "system" | "developer");
                match messages.first_mut().filter(|_| is_system && index == 0) {
                    // Many templates know one message of the system, the first.
                    Some(instructions) => {
                        instructions.content += "\n\n";
                        instructions.content += text;
                    }
                    None => messages.push(ChatMessage::new(if is_system { "system" } else { *role }, text)),
                }
            }
            Part::Reasoning(text) => {
                let mut thought = ChatMessage::new("assistant", "");
                thought.reasoning = Some(text.clone()).filter(|text| !text.is_empty());
                messages.push(thought);
            }
            Part::Call(call) => {
                called.insert(&call.id);
                match messages.last_mut().filter(|last| last.role == "assistant") {
                    Some(last) => last.tool_calls.push(call.clone()),
                    None => {
                        let mut message = ChatMessage::new("assistant", "");
                        message.tool_calls.push(call.clone());
                        messages.push(message);
                    }
                }
            }
            Part::CallOutput { call_id, output } => {
                if !called.contains(call_id.as_str()) {
                    let message =
                        format!("'input' has the output of a call '{}' that nobody made.", shown(call_id));
                    return Err(ApiError::invalid_value("input", message));
                }
                let mut message = ChatMessage::new("tool", output);
                message.tool_call_id = Some(call_id.clone());
                messages.push(message);
            }
        }
    }
    Ok(messages)
}

fn is_thought_only(message: &ChatMessage) -> bool {
    message.role == "assistant" && message.content.is_empty() && message.tool_calls.is_empty()
}
