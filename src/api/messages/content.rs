//! The conversation of a request: messages of text and typed blocks, and the system's text.

use std::collections::HashSet;

use serde_json::Value;

use crate::api::error::{ApiError, shown};
use crate::api::fields::Fields;
use crate::api::limits;
use crate::api::params::{self, Judge};
use crate::api::request::messages::not_text;
use crate::api::wording::{because, said};
use crate::serving::{ChatMessage, ToolCall};

/// What stands between two blocks of text.
const SEPARATOR: &str = "\n";

/// Takes `system` and `messages`.
///
/// # Errors
/// A value of the wrong type or out of its bounds, a block that the model cannot read, the result of a call that nobody
/// made, and what the judge does not let pass.
pub(super) fn take(fields: &mut Fields, judge: &mut Judge) -> Result<Vec<ChatMessage>, ApiError> {
    let mut conversation = Conversation::default();
    if let Some(system) = fields.take("system") {
        let text = text("system", system, &limits::SYSTEM, judge)?;
        if !text.is_empty() {
            conversation.messages.push(ChatMessage::new("system", text));
        }
    }
    let list = fields.list("messages", &limits::MESSAGES)?.ok_or_else(|| ApiError::missing("messages"))?;
    for (i, value) in list.into_iter().enumerate() {
        conversation.take(&format!("messages[{i}]"), value, judge)?;
    }
    Ok(conversation.messages)
}

/// A text at `at`: a string, or blocks of text.
fn text(at: &str, value: Value, limit: &limits::Limit, judge: &mut Judge) -> Result<String, ApiError> {
    let blocks = match value {
        Value::String(text) => return limit.check_text(at, text),
        Value::Array(blocks) => limits::BLOCKS.check_items(at, blocks)?,
        other => return Err(ApiError::invalid_type(at, "a string or a list of blocks", &other)),
    };
    let mut texts = Vec::with_capacity(blocks.len());
    for (i, value) in blocks.into_iter().enumerate() {
        let mut block = Block::open(format!("{at}[{i}]"), value)?;
        match block.kind.as_str() {
            "text" => texts.push(block.text("text", limit)?),
            other => return Err(not_text(&block.at, other)),
        }
        block.close(judge)?;
    }
    limit.check_text(at, texts.join(SEPARATOR))
}

/// A block whose members are being read.
struct Block {
    at: String,
    kind: String,
    fields: Fields,
}

impl Block {
    fn open(at: String, value: Value) -> Result<Self, ApiError> {
        let mut fields = Fields::of_object(&at, value)?;
        let kind_at = fields.path("type");
        match fields.take("type") {
            Some(Value::String(kind)) => Ok(Self { at, kind, fields }),
            Some(other) => Err(ApiError::invalid_type(&kind_at, "a string", &other)),
            None => Err(ApiError::missing(&kind_at)),
        }
    }

    /// Takes a string that must be there.
    fn text(&mut self, name: &str, limit: &limits::Limit) -> Result<String, ApiError> {
        let at = self.fields.path(name);
        self.fields.string(name, limit)?.ok_or_else(|| ApiError::missing(&at))
    }

    fn close(self, judge: &mut Judge) -> Result<(), ApiError> {
        judge.judge(params::BLOCK, self.fields.rest())
    }
}

/// The messages so far, as a chat template wants them.
#[derive(Debug, Default)]
struct Conversation {
    messages: Vec<ChatMessage>,
    /// Calls that were made.
    called: HashSet<String>,
}

impl Conversation {
    fn take(&mut self, at: &str, value: Value, judge: &mut Judge) -> Result<(), ApiError> {
        let mut fields = Fields::of_object(at, value)?;
        let role_at = fields.path("role");
        let role = fields.take("role").ok_or_else(|| ApiError::missing(&role_at))?;
        let content_at = fields.path("content");
        let content = fields.take("content").ok_or_else(|| ApiError::missing(&content_at))?;
        judge.judge(params::BLOCK, fields.rest())?;
        match role.as_str() {
            Some("user") => self.take_user(&content_at, content, judge),
            Some("assistant") => self.take_assistant(&content_at, content, judge),
            Some("system") => {
                let text = text(&content_at, content, &limits::CONTENT, judge)?;
                self.messages.push(ChatMessage::new("system", text));
                Ok(())
            }
            Some(other) => {
                let message = said!(
                    "'{role_at}' must be one of user, assistant and system, but it is '{}'.",
                    "'{role_at}' 값은 user, assistant, system 중 하나여야 하지만, 받은 값은 '{}'입니다.",
                    shown(other)
                );
                Err(ApiError::invalid_value(&role_at, message))
            }
            None => Err(ApiError::invalid_type(&role_at, "a string", &role)),
        }
    }

    /// Results of calls become messages of their own; the texts between them are messages of the user.
    fn take_user(&mut self, at: &str, content: Value, judge: &mut Judge) -> Result<(), ApiError> {
        let Value::Array(blocks) = content else {
            let text = text(at, content, &limits::CONTENT, judge)?;
            self.messages.push(ChatMessage::new("user", text));
            return Ok(());
        };
        let blocks = limits::BLOCKS.check_items(at, blocks)?;
        let mut texts = Vec::new();
        for (i, value) in blocks.into_iter().enumerate() {
            let mut block = Block::open(format!("{at}[{i}]"), value)?;
            match block.kind.as_str() {
                "text" => texts.push(block.text("text", &limits::CONTENT)?),
                "tool_result" => {
                    self.say("user", &mut texts);
                    self.take_result(&mut block, judge)?;
                }
                other => return Err(not_text(&block.at, other)),
            }
            block.close(judge)?;
        }
        self.say("user", &mut texts);
        Ok(())
    }

    fn say(&mut self, role: &str, texts: &mut Vec<String>) {
        if !texts.is_empty() {
            self.messages.push(ChatMessage::new(role, texts.join(SEPARATOR)));
            texts.clear();
        }
    }

    fn take_result(&mut self, block: &mut Block, judge: &mut Judge) -> Result<(), ApiError> {
        let id_at = block.fields.path("tool_use_id");
        let id = block.text("tool_use_id", &limits::TOOL_CALL_ID)?;
        if !self.called.contains(&id) {
            let message = said!(
                "'{id_at}' is '{}', but no message before calls a tool so.",
                "'{id_at}' 값이 '{}'이지만, 앞선 메시지에 그런 도구 호출이 없습니다.",
                shown(&id)
            );
            return Err(ApiError::invalid_value(&id_at, message));
        }
        let content_at = block.fields.path("content");
        let content = block.fields.take("content");
        let content = content.map_or(Ok(String::new()), |c| text(&content_at, c, &limits::CONTENT, judge))?;
        // Chat templates know no results that are errors.
        let is_error = block.fields.boolean("is_error")?.unwrap_or(false);
        let content = if is_error { format!("Error: {content}") } else { content };
        let mut message = ChatMessage::new("tool", content);
        message.tool_call_id = Some(id);
        self.messages.push(message);
        Ok(())
    }

    fn take_assistant(&mut self, at: &str, content: Value, judge: &mut Judge) -> Result<(), ApiError> {
        let Value::Array(blocks) = content else {
            let text = text(at, content, &limits::CONTENT, judge)?;
            self.messages.push(ChatMessage::new("assistant", text));
            return Ok(());
        };
        let blocks = limits::BLOCKS.check_items(at, blocks)?;
        let (mut texts, mut thoughts) = (Vec::new(), Vec::new());
        let mut message = ChatMessage::new("assistant", "");
        for (i, value) in blocks.into_iter().enumerate() {
            let mut block = Block::open(format!("{at}[{i}]"), value)?;
            match block.kind.as_str() {
                "text" => texts.push(block.text("text", &limits::CONTENT)?),
                "thinking" => {
                    thoughts.push(block.text("thinking", &limits::REASONING)?);
                    block.fields.string("signature", &limits::SIGNATURE)?;
                }
                "redacted_thinking" => {
                    drop(block.fields.take("data"));
                    let reason =
                        because("only who redacted it can read it", "가린 쪽만 읽을 수 있는 값입니다");
                    judge.ignore(&block.at, reason)?;
                }
                "tool_use" => {
                    let call = call(&mut block)?;
                    self.called.insert(call.id.clone());
                    message.tool_calls.push(call);
                }
                other => return Err(not_text(&block.at, other)),
            }
            block.close(judge)?;
        }
        message.content = texts.join(SEPARATOR);
        thoughts.retain(|thought| !thought.is_empty());
        message.reasoning = Some(thoughts.join(SEPARATOR)).filter(|thought| !thought.is_empty());
        self.messages.push(message);
        Ok(())
    }
}

fn call(block: &mut Block) -> Result<ToolCall, ApiError> {
    let id = block.text("id", &limits::TOOL_CALL_ID)?;
    let name = block.text("name", &limits::TOOL_NAME)?;
    let at = block.fields.path("input");
    let input = block.fields.members("input")?.ok_or_else(|| ApiError::missing(&at))?;
    let arguments = limits::ARGUMENTS.check_text(&at, Value::from(input).to_string())?;
    Ok(ToolCall { id, name, arguments })
}
