//! What a chat template turns into a prompt: messages, tools, and how the prompt is to end.

use serde_json::{Map, Value};

/// One message of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChatMessage {
    /// `system` (or `developer`, which means the same), `user`, `assistant` or `tool`.
    pub role: String,
    /// The text; parts of a content list are joined.
    pub content: String,
    /// What the assistant thought before it answered, where the client sends it back.
    pub reasoning: Option<String>,
    /// The calls that the assistant made, in order.
    pub tool_calls: Vec<ToolCall>,
    /// The call that a message of the role `tool` answers.
    pub tool_call_id: Option<String>,
    /// Who speaks, or the tool that answers.
    pub name: Option<String>,
}

impl ChatMessage {
    /// A message of this role with this text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), ..Self::default() }
    }
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// What its result refers to.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments, as JSON text.
    pub arguments: String,
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolDefinition {
    /// What it is called by.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// The JSON Schema of its arguments, an object.
    pub parameters: Value,
    /// Whether a call's arguments must follow the schema.
    pub strict: bool,
}

/// A conversation and how it is put to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatPrompt {
    /// The messages, oldest first.
    pub messages: Vec<ChatMessage>,
    /// The tools that the model is shown.
    pub tools: Vec<ToolDefinition>,
    /// Further variables for the chat template.
    pub template_kwargs: Map<String, Value>,
    /// Whether the prompt ends with the beginning of the assistant's next message.
    pub add_generation_prompt: bool,
    /// Whether the prompt ends inside the last message, which the model then continues.
    pub continue_final_message: bool,
}

impl ChatPrompt {
    /// A conversation without tools that the assistant answers next.
    pub fn new(messages: Vec<ChatMessage>) -> Self {
        Self {
            messages,
            tools: Vec::new(),
            template_kwargs: Map::new(),
            add_generation_prompt: true,
            continue_final_message: false,
        }
    }

    /// Bytes of text in messages and tools, as far as clients write it.
    pub fn num_bytes(&self) -> usize {
        let of_call = |call: &ToolCall| call.name.len() + call.arguments.len();
        let of_message = |message: &ChatMessage| {
            message.role.len()
                + message.content.len()
                + message.reasoning.as_ref().map_or(0, String::len)
                + message.tool_calls.iter().map(of_call).sum::<usize>()
        };
        let of_tool = |tool: &ToolDefinition| {
            let description = tool.description.as_ref().map_or(0, String::len);
            tool.name.len() + description + tool.parameters.to_string().len()
        };
        self.messages.iter().map(of_message).sum::<usize>() + self.tools.iter().map(of_tool).sum::<usize>()
    }
}

/// A conversation as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedChat {
    /// The tokens.
    pub token_ids: Vec<u32>,
    /// The text that they were made of.
    pub text: String,
}
