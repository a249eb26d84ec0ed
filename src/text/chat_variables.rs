//! A conversation as the variables that chat templates read, in the form that they were written for.

use serde_json::{Map, Value, json};

use super::{ChatMessage, ChatPrompt, ToolCall, ToolDefinition};

/// Names that a client cannot give to variables of its own: those that the server sets, and what templates call.
const RESERVED: [&str; 13] = [
    "messages",
    "tools",
    "add_generation_prompt",
    "continue_final_message",
    "bos_token",
    "eos_token",
    "unk_token",
    "pad_token",
    "raise_exception",
    "namespace",
    "range",
    "dict",
    "cycler",
];

/// Where a client's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// An assistant's words or thoughts, out of which templates take the reasoning by its tags.
    Answer,
    /// Anywhere else.
    Elsewhere,
}

/// Writes one text of the client; called for all of them in the same order each time.
pub(super) type TextWriter<'a> = dyn FnMut(Place, &str) -> String + 'a;

/// How a template wants a conversation beside what all of them agree on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes {
    /// The content of a message of calls only is `none` rather than an empty text.
    pub(super) no_content_is_none: bool,
}

/// All variables of a conversation, each text of the client as `write` gives it. `constant` holds those of the model;
/// `open_end` is added to the last message.
pub(super) fn variables(
    constant: &Map<String, Value>,
    chat: &ChatPrompt,
    wishes: Wishes,
    open_end: &str,
    write: &mut TextWriter<'_>,
) -> Map<String, Value> {
    // What the library that templates are written for always sets, nothing in it if there is nothing.
    let mut variables = Map::from_iter(["tools", "documents"].map(|name| (name.to_owned(), Value::Null)));
    for (name, value) in &chat.template_kwargs {
        if !RESERVED.contains(&name.as_str()) {
            variables.insert(name.clone(), copy(value, write));
        }
    }
    for (name, value) in constant {
        variables.insert(name.clone(), value.clone());
    }
    variables.insert("add_generation_prompt".to_owned(), chat.add_generation_prompt.into());
    let mut messages: Vec<Value> = Vec::with_capacity(chat.messages.len());
    for (index, message) in chat.messages.iter().enumerate() {
        let end = if index + 1 == chat.messages.len() { open_end } else { "" };
        messages.push(message_value(&chat.messages[..index], message, wishes, end, write));
    }
    variables.insert("messages".to_owned(), messages.into());
    if !chat.tools.is_empty() {
        let tools: Vec<Value> = chat.tools.iter().map(|tool| tool_value(tool, write)).collect();
        variables.insert("tools".to_owned(), tools.into());
    }
    variables
}

fn message_value(
    before: &[ChatMessage],
    message: &ChatMessage,
    wishes: Wishes,
    end: &str,
    write: &mut TextWriter<'_>,
) -> Value {
    let role = template_role(&message.role).unwrap_or(&message.role);
    let place = if role == "assistant" { Place::Answer } else { Place::Elsewhere };
    let mut value = Map::new();
    value.insert("role".to_owned(), role.into());
    let is_none = wishes.no_content_is_none && message.content.is_empty() && !message.tool_calls.is_empty();
    let content = if is_none { Value::Null } else { (write(place, &message.content) + end).into() };
    value.insert("content".to_owned(), content);
    if let Some(reasoning) = &message.reasoning {
        value.insert("reasoning_content".to_owned(), write(place, reasoning).into());
    }
    if !message.tool_calls.is_empty() {
        let calls: Vec<Value> = message.tool_calls.iter().map(|call| call_value(call, write)).collect();
        value.insert("tool_calls".to_owned(), calls.into());
    }
    if let Some(id) = &message.tool_call_id {
        value.insert("tool_call_id".to_owned(), write(Place::Elsewhere, id).into());
    }
    if let Some(name) = message.name.as_deref().or_else(|| answered_tool(before, message)) {
        value.insert("name".to_owned(), write(Place::Elsewhere, name).into());
    }
    value.into()
}

/// The tool whose result a message is, by the call that it names: some templates write it.
fn answered_tool<'a>(before: &'a [ChatMessage], message: &ChatMessage) -> Option<&'a str> {
    let id = message.tool_call_id.as_ref().filter(|_| message.role == "tool")?;
    let calls = before.iter().rev().flat_map(|earlier| &earlier.tool_calls);
    calls.into_iter().find(|call| call.id == *id).map(|call| call.name.as_str())
}

fn call_value(call: &ToolCall, write: &mut TextWriter<'_>) -> Value {
    json!({
        "id": write(Place::Elsewhere, &call.id),
        "type": "function",
        "function": {
            "name": write(Place::Elsewhere, &call.name),
            "arguments": copy(&arguments(call), write),
        },
    })
}

/// The arguments of a call: an object if they are one, else the text as it stands.
pub(super) fn arguments(call: &ToolCall) -> Value {
    match serde_json::from_str(&call.arguments) {
        Ok(Value::Object(arguments)) => Value::Object(arguments),
        _ => call.arguments.as_str().into(),
    }
}

/// A tool as the model is shown it.
pub(super) fn tool_value(tool: &ToolDefinition, write: &mut TextWriter<'_>) -> Value {
    let mut function = Map::new();
    function.insert("name".to_owned(), write(Place::Elsewhere, &tool.name).into());
    if let Some(description) = &tool.description {
        function.insert("description".to_owned(), write(Place::Elsewhere, description).into());
    }
    if !tool.parameters.is_null() {
        function.insert("parameters".to_owned(), copy(&tool.parameters, write));
    }
    json!({"type": "function", "function": function})
}

/// JSON of the client; names in it are texts like any other.
fn copy(value: &Value, write: &mut TextWriter<'_>) -> Value {
    match value {
        Value::String(text) => write(Place::Elsewhere, text).into(),
        Value::Array(items) => items.iter().map(|item| copy(item, write)).collect(),
        Value::Object(pairs) => {
            let pairs = pairs.iter().map(|(name, item)| (write(Place::Elsewhere, name), copy(item, write)));
            Value::Object(pairs.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// The roles that a conversation may have, and the role that a template sees.
const ROLES: [(&str, &str); 5] = [
    ("system", "system"),
    ("developer", "system"),
    ("user", "user"),
    ("assistant", "assistant"),
    ("tool", "tool"),
];

/// The role that a template sees, if it is one.
pub(super) fn template_role(role: &str) -> Option<&'static str> {
    ROLES.iter().find(|(known, _)| *known == role).map(|&(_, seen)| seen)
}
