//! The response object, as the official SDKs' types have it.

use serde_json::{Map, Value, json};

use super::items::Item;
use super::request::Show;
use crate::api::answer::blocks::{Block, BlockKind, Blocks, Ending};
use crate::api::answer::head::AnswerHead;
use crate::api::answer::logprobs::response_logprobs;
use crate::api::error::ApiError;
use crate::serving::{OutputFinish, OutputToken};

/// How far an answer, or an item of it, has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

impl Status {
    /// Of an answer that ended.
    pub(super) fn of(ending: &Ending) -> Self {
        if ending.reason == OutputFinish::Length { Self::Incomplete } else { Self::Completed }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// What is known of an answer before its first token.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: AnswerHead,
    pub(super) show: Show,
    pub(super) num_prompt_tokens: u64,
    /// What it repeats of the request.
    pub(super) settings: Map<String, Value>,
}

impl Answer {
    /// The id of the item of a block: that of the answer, which nobody else has, with the block's number.
    pub(super) fn item_id(&self, index: usize, kind: &BlockKind) -> String {
        let prefix = match kind {
            BlockKind::Reasoning => "rs",
            BlockKind::Text => "msg",
            BlockKind::Call { .. } => "fc",
        };
        let own = self.head.id.strip_prefix("resp_").unwrap_or(&self.head.id);
        format!("{prefix}_{own}_{index}")
    }

    /// The item of a block, empty if it has only begun.
    pub(super) fn item(&self, index: usize, block: &Block, status: Status) -> Value {
        let id = self.item_id(index, &block.kind);
        let status_name = status.name();
        let parts = || match status {
            Status::InProgress => json!([]),
            _ => json!([self.part(&block.kind, &block.text, &block.tokens)]),
        };
        match &block.kind {
            BlockKind::Reasoning => json!({
                "id": id, "type": "reasoning", "summary": [], "content": parts(), "status": status_name,
            }),
            BlockKind::Text => json!({
                "id": id, "type": "message", "role": "assistant", "status": status_name, "content": parts(),
            }),
            BlockKind::Call { id: call_id, name } => {
                let arguments = if status == Status::InProgress { "" } else { &block.text };
                json!({
                    "id": id, "type": "function_call", "call_id": call_id, "name": name,
                    "arguments": arguments, "status": status_name,
                })
            }
        }
    }

    /// The one part of a message or of reasoning.
    pub(super) fn part(&self, kind: &BlockKind, text: &str, tokens: &[OutputToken]) -> Value {
        match kind {
            BlockKind::Reasoning => json!({ "type": "reasoning_text", "text": text }),
            _ => json!({
                "type": "output_text", "text": text, "annotations": [], "logprobs": self.logprobs(tokens),
            }),
        }
    }

    /// How likely these tokens were: none, unless the request asks for it.
    pub(super) fn logprobs(&self, tokens: &[OutputToken]) -> Value {
        if self.show.logprobs { response_logprobs(tokens) } else { json!([]) }
    }

    /// The status of a block's item once the block has ended.
    pub(super) fn item_status(block: &Block) -> Status {
        if block.is_complete { Status::Completed } else { Status::Incomplete }
    }

    /// The items of the answer, for requests that build on it.
    pub(super) fn items(&self, blocks: &Blocks) -> Vec<Item> {
        let item = |(index, block): (usize, &Block)| Item::of_block(self.item_id(index, &block.kind), block);
        blocks.all().iter().enumerate().map(item).collect()
    }

    /// The whole object. `now` is when it was finished, in seconds since 1970.
    pub(super) fn object(
        &self,
        status: Status,
        blocks: &Blocks,
        now: u64,
        error: Option<&ApiError>,
    ) -> Value {
        let head = &self.head;
        let output: Vec<Value> = match status {
            Status::InProgress => Vec::new(),
            _ => {
                blocks.all().iter().enumerate().map(|(i, b)| self.item(i, b, Self::item_status(b))).collect()
            }
        };
        let mut object = json!({
            "id": head.id,
            "object": "response",
            "created_at": head.created,
            "status": status.name(),
            "error": error.map(error_of),
            "incomplete_details": null,
            "model": head.model,
            "output": output,
            "service_tier": head.service_tier,
        });
        let members = object.as_object_mut().expect("an object");
        members.extend(self.settings.clone());
        if status == Status::Completed {
            members.insert("completed_at".to_owned(), now.into());
        }
        if status == Status::Incomplete {
            members.insert("incomplete_details".to_owned(), json!({ "reason": "max_output_tokens" }));
        }
        members.insert("usage".to_owned(), blocks.ending().map_or(Value::Null, |ending| self.usage(ending)));
        if status != Status::InProgress && !head.warnings.is_empty() {
            members.insert("warnings".to_owned(), json!(head.warnings));
        }
        object
    }

    fn usage(&self, ending: &Ending) -> Value {
        let usage = &ending.usage;
        let (input, output) = (self.num_prompt_tokens, u64::from(usage.num_output_tokens));
        json!({
            "input_tokens": input,
            "input_tokens_details": {
                "cached_tokens": usage.num_cached_tokens,
                // Writing to the cache costs nothing, so it is not counted.
                "cache_write_tokens": 0,
            },
            "output_tokens": output,
            "output_tokens_details": { "reasoning_tokens": usage.num_reasoning_tokens },
            "total_tokens": input + output,
        })
    }
}

/// An error as the object has it, where only few codes are known.
fn error_of(error: &ApiError) -> Value {
    let code = match error.code() {
        Some("rate_limit_exceeded") => "rate_limit_exceeded",
        _ => "server_error",
    };
    json!({ "code": code, "message": error.message() })
}
