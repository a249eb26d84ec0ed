//! A streamed response: typed events with numbers, as the official SDKs' stream helpers want them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::draft::Draft;
use super::object::{Answer, Status};
use crate::api::access_log::AccessRecord;
use crate::api::answer::blocks::{Block, BlockKind, Step};
use crate::api::error::ApiError;
use crate::api::sse::{RenderEvents, push_named_event};
use crate::serving::{DeltaKind, OutputDelta, OutputToken};

/// Renders a generation as the events of a response.
pub(super) struct EventRenderer {
    draft: Draft,
    /// Events so far; each bears its number.
    num_events: u64,
    record: Arc<AccessRecord>,
}

impl EventRenderer {
    /// A renderer of what becomes of `draft`.
    pub(super) fn new(draft: Draft, record: Arc<AccessRecord>) -> Self {
        Self { draft, num_events: 0, record }
    }

    /// Adds an event with these members beside its type and number.
    fn push(&mut self, events: &mut String, kind: &str, mut members: Value) {
        let object = members.as_object_mut().expect("the members of an event are an object");
        object.insert("type".to_owned(), kind.into());
        object.insert("sequence_number".to_owned(), self.num_events.into());
        self.num_events += 1;
        push_named_event(events, kind, &members);
    }

    fn block(&self, index: usize) -> (&Block, String) {
        let block = &self.draft.blocks.all()[index];
        (block, self.draft.answer.item_id(index, &block.kind))
    }

    fn open(&mut self, index: usize, events: &mut String) {
        let (block, id) = self.block(index);
        let item = self.draft.answer.item(index, block, Status::InProgress);
        let has_part = !matches!(block.kind, BlockKind::Call { .. });
        let part = self.draft.answer.part(&block.kind, "", &[]);
        self.push(events, "response.output_item.added", json!({ "output_index": index, "item": item }));
        if has_part {
            let members = json!({ "item_id": id, "output_index": index, "content_index": 0, "part": part });
            self.push(events, "response.content_part.added", members);
        }
    }

    fn grow(&mut self, index: usize, text: &str, tokens: &[OutputToken], events: &mut String) {
        let (block, id) = self.block(index);
        let (kind, members) = match block.kind {
            BlockKind::Reasoning => (
                "response.reasoning_text.delta",
                json!({ "item_id": id, "output_index": index, "content_index": 0, "delta": text }),
            ),
            BlockKind::Text => {
                let logprobs = self.draft.answer.logprobs(tokens);
                let members = json!({
                    "item_id": id, "output_index": index, "content_index": 0, "delta": text,
                    "logprobs": logprobs,
                });
                ("response.output_text.delta", members)
            }
            BlockKind::Call { .. } => (
                "response.function_call_arguments.delta",
                json!({ "item_id": id, "output_index": index, "delta": text }),
            ),
        };
        self.push(events, kind, members);
    }

    fn close(&mut self, index: usize, events: &mut String) {
        let (block, id) = self.block(index);
        let answer = &self.draft.answer;
        let part = answer.part(&block.kind, &block.text, &block.tokens);
        let item = answer.item(index, block, Answer::item_status(block));
        let text = &block.text;
        let (kind, members) = match &block.kind {
            BlockKind::Reasoning => (
                "response.reasoning_text.done",
                json!({ "item_id": id, "output_index": index, "content_index": 0, "text": text }),
            ),
            BlockKind::Text => {
                let logprobs = answer.logprobs(&block.tokens);
                let members = json!({
                    "item_id": id, "output_index": index, "content_index": 0, "text": text,
                    "logprobs": logprobs,
                });
                ("response.output_text.done", members)
            }
            BlockKind::Call { name, .. } => (
                "response.function_call_arguments.done",
                json!({ "item_id": id, "output_index": index, "name": name, "arguments": text }),
            ),
        };
        let has_part = !matches!(block.kind, BlockKind::Call { .. });
        self.push(events, kind, members);
        if has_part {
            let members = json!({ "item_id": id, "output_index": index, "content_index": 0, "part": part });
            self.push(events, "response.content_part.done", members);
        }
        self.push(events, "response.output_item.done", json!({ "output_index": index, "item": item }));
    }
}

impl RenderEvents for EventRenderer {
    fn begin(&mut self, events: &mut String) {
        for kind in ["response.created", "response.in_progress"] {
            let response = self.draft.so_far();
            self.push(events, kind, json!({ "response": response }));
        }
    }

    fn delta(&mut self, delta: OutputDelta, events: &mut String) {
        if let DeltaKind::Finished { usage, .. } = &delta.kind {
            self.record.add_output_tokens(usage.num_output_tokens.into());
        }
        for step in self.draft.take(delta) {
            match step {
                Step::Opened(index) => self.open(index, events),
                Step::Grew { index, text, tokens } => self.grow(index, &text, &tokens, events),
                Step::Closed(index) => self.close(index, events),
            }
        }
    }

    fn end(&mut self, events: &mut String) {
        let (status, response) = self.draft.finish();
        let kind = if status == Status::Completed { "response.completed" } else { "response.incomplete" };
        self.push(events, kind, json!({ "response": response }));
    }

    fn fail(&mut self, error: &ApiError, events: &mut String) {
        let response = self.draft.failed(error);
        self.push(events, "response.failed", json!({ "response": response }));
    }
}
