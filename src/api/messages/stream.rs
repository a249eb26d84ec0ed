//! A streamed message: the events of Anthropic's API, as its official SDK wants them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::error;
use super::response::Answer;
use crate::api::access_log::AccessRecord;
use crate::api::answer::blocks::{BlockKind, Blocks, Step};
use crate::api::error::ApiError;
use crate::api::request_id::RequestId;
use crate::api::sse::{RenderEvents, push_named_event};
use crate::serving::{DeltaKind, OutputDelta};

/// What fills a silence: an event of its own, which the official SDK leaves out.
const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

/// Renders a generation as the events of a message.
pub(super) struct EventRenderer {
    answer: Answer,
    blocks: Blocks,
    record: Arc<AccessRecord>,
    request_id: RequestId,
}

impl EventRenderer {
    /// A renderer of an answer to this request.
    pub(super) fn new(answer: Answer, record: Arc<AccessRecord>, request_id: RequestId) -> Self {
        Self { answer, blocks: Blocks::new(true), record, request_id }
    }

    fn push_delta(index: usize, delta: &Value, events: &mut String) {
        let kind = "content_block_delta";
        push_named_event(events, kind, &json!({ "type": kind, "index": index, "delta": delta }));
    }

    fn step(&self, step: Step, events: &mut String) {
        match step {
            Step::Opened(index) => {
                let (kind, block) =
                    ("content_block_start", self.answer.empty_block(&self.blocks.all()[index]));
                push_named_event(
                    events,
                    kind,
                    &json!({ "type": kind, "index": index, "content_block": block }),
                );
            }
            Step::Grew { index, text, .. } => {
                let delta = match self.blocks.all()[index].kind {
                    BlockKind::Reasoning if !self.answer.shows_thinking => return,
                    BlockKind::Reasoning => json!({ "type": "thinking_delta", "thinking": text }),
                    BlockKind::Text => json!({ "type": "text_delta", "text": text }),
                    BlockKind::Call { .. } => json!({ "type": "input_json_delta", "partial_json": text }),
                };
                Self::push_delta(index, &delta, events);
            }
            Step::Closed(index) => {
                if self.blocks.all()[index].kind == BlockKind::Reasoning {
                    let signature = self.answer.signature(index);
                    let delta = json!({ "type": "signature_delta", "signature": signature });
                    Self::push_delta(index, &delta, events);
                }
                let kind = "content_block_stop";
                push_named_event(events, kind, &json!({ "type": kind, "index": index }));
            }
        }
    }
}

impl RenderEvents for EventRenderer {
    fn begin(&mut self, events: &mut String) {
        let kind = "message_start";
        let message = self.answer.beginning();
        push_named_event(events, kind, &json!({ "type": kind, "message": message }));
        events.push_str(PING);
    }

    fn delta(&mut self, delta: OutputDelta, events: &mut String) {
        if let DeltaKind::Finished { usage, .. } = &delta.kind {
            self.record.add_output_tokens(usage.num_output_tokens.into());
        }
        for step in self.blocks.take(delta) {
            self.step(step, events);
        }
    }

    fn end(&mut self, events: &mut String) {
        if let Some(ending) = self.blocks.ending() {
            let (reason, sequence) = self.answer.stop(ending);
            let kind = "message_delta";
            let mut event = json!({
                "type": kind,
                "delta": { "stop_reason": reason, "stop_sequence": sequence },
                "usage": self.answer.usage(&ending.usage),
            });
            self.answer.warn(&mut event);
            push_named_event(events, kind, &event);
        }
        push_named_event(events, "message_stop", &json!({ "type": "message_stop" }));
    }

    fn fail(&mut self, error: &ApiError, events: &mut String) {
        push_named_event(events, "error", &error::body(error, &self.request_id.0));
    }

    fn ping(&self) -> &'static str {
        PING
    }
}
