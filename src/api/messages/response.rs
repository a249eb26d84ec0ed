//! The message object and what it is made of, as the official SDK's types have it.

use serde_json::{Value, json};

use crate::api::answer::blocks::{Block, BlockKind, Blocks, Ending};
use crate::api::answer::head::AnswerHead;
use crate::serving::{ChoiceUsage, OutputFinish, StopCause};

/// What is known of an answer before its first token.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: AnswerHead,
    pub(super) num_prompt_tokens: u64,
    /// Whether the text of the model's thinking is shown.
    pub(super) shows_thinking: bool,
    /// Whether less output fits the context than was asked for.
    pub(super) is_clamped: bool,
}

impl Answer {
    /// A message without content, as a stream begins with it.
    pub(super) fn beginning(&self) -> Value {
        self.object(Vec::new(), Value::Null, Value::Null, &ChoiceUsage::default())
    }

    /// The whole message.
    pub(super) fn whole(&self, blocks: &Blocks) -> Value {
        let content =
            blocks.all().iter().enumerate().map(|(index, block)| self.block(index, block)).collect();
        let mut object = match blocks.ending() {
            Some(ending) => {
                let (reason, sequence) = self.stop(ending);
                self.object(content, reason, sequence, &ending.usage)
            }
            None => self.object(content, Value::Null, Value::Null, &ChoiceUsage::default()),
        };
        self.warn(&mut object);
        object
    }

    /// Adds what was not honoured, if anything was not.
    pub(super) fn warn(&self, object: &mut Value) {
        let warnings = &self.head.warnings;
        if let Some(members) = object.as_object_mut().filter(|_| !warnings.is_empty()) {
            members.insert("warnings".to_owned(), json!(warnings));
        }
    }

    fn object(&self, content: Vec<Value>, reason: Value, sequence: Value, usage: &ChoiceUsage) -> Value {
        json!({
            "id": self.head.id,
            "type": "message",
            "role": "assistant",
            "model": self.head.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": sequence,
            "usage": self.usage(usage),
        })
    }

    /// Why the answer is complete, and the stop sequence that ended it.
    pub(super) fn stop(&self, ending: &Ending) -> (Value, Value) {
        let reason = match (ending.reason, &ending.stop) {
            (OutputFinish::Length, _) if self.is_clamped => "model_context_window_exceeded",
            (OutputFinish::Length, _) => "max_tokens",
            (OutputFinish::ToolCalls, _) => "tool_use",
            (OutputFinish::Stop, Some(StopCause::String(text))) => {
                return ("stop_sequence".into(), json!(text));
            }
            (OutputFinish::Stop, _) => "end_turn",
        };
        (reason.into(), Value::Null)
    }

    /// What was used: tokens that were found in the cache are told apart from the others.
    pub(super) fn usage(&self, usage: &ChoiceUsage) -> Value {
        let cached = u64::from(usage.num_cached_tokens);
        json!({
            "input_tokens": self.num_prompt_tokens.saturating_sub(cached),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": cached,
            "output_tokens": usage.num_output_tokens,
            "output_tokens_details": { "thinking_tokens": usage.num_reasoning_tokens },
            "service_tier": "standard",
        })
    }

    /// What vouches for a block of thinking when it comes back. Nothing is checked then, but clients drop a block that
    /// has none.
    pub(super) fn signature(&self, index: usize) -> String {
        format!("{}-{index}", self.head.id)
    }

    /// A block as it begins, without what comes piece by piece.
    pub(super) fn empty_block(&self, block: &Block) -> Value {
        match &block.kind {
            BlockKind::Reasoning => json!({ "type": "thinking", "thinking": "", "signature": "" }),
            BlockKind::Text => json!({ "type": "text", "text": "" }),
            BlockKind::Call { id, name } => {
                json!({ "type": "tool_use", "id": id, "name": name, "input": {} })
            }
        }
    }

    fn block(&self, index: usize, block: &Block) -> Value {
        let text = &block.text;
        match &block.kind {
            BlockKind::Reasoning => {
                let thinking = if self.shows_thinking { text.as_str() } else { "" };
                json!({ "type": "thinking", "thinking": thinking, "signature": self.signature(index) })
            }
            BlockKind::Text => json!({ "type": "text", "text": text }),
            BlockKind::Call { id, name } => {
                // Arguments that were cut off are no object; the stop reason tells of that.
                let input = serde_json::from_str(text).ok().filter(Value::is_object);
                let input = input.unwrap_or_else(|| json!({}));
                json!({ "type": "tool_use", "id": id, "name": name, "input": input })
            }
        }
    }
}
