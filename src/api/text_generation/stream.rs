//! A streamed answer: an event per token; the last one has the whole text.

use std::sync::Arc;

use serde::Serialize;

use super::response::{Answer, Teller, Token, finish_reason};
use crate::api::access_log::AccessRecord;
use crate::api::sse::{RenderEvents, push_event};
use crate::serving::{DeltaKind, OutputDelta};

#[derive(Debug, Serialize)]
struct TokenEvent<'a> {
    /// From 1.
    index: u32,
    token: &'a Token,
    #[serde(skip_serializing_if = "<[Token]>::is_empty")]
    top_tokens: &'a [Token],
    generated_text: Option<&'a str>,
    details: Option<Details>,
}

#[derive(Debug, Serialize)]
struct Details {
    finish_reason: &'static str,
    generated_tokens: u32,
    seed: Option<u64>,
    input_length: usize,
}

/// A token that waits to be told.
#[derive(Debug)]
struct Held {
    token: Token,
    top: Vec<Token>,
}

/// Renders a generation of one choice as an event per token. The last token of an output is told with its end, so each
/// waits for the next one or the end.
#[derive(Debug)]
pub(super) struct TokenRenderer {
    answer: Answer,
    teller: Teller,
    text: String,
    held: Option<Held>,
    num_told: u32,
    record: Arc<AccessRecord>,
}

impl TokenRenderer {
    /// A renderer for this answer.
    pub(super) fn new(answer: Answer, record: Arc<AccessRecord>) -> Self {
        let teller = Teller::new(&answer.generator);
        let text = answer.inputs.clone();
        Self { answer, teller, text, held: None, num_told: 0, record }
    }

    /// Tells the token that waits.
    fn tell(&mut self, events: &mut String, details: Option<Details>, is_last: bool) {
        let Some(Held { token, top }) = self.held.take() else { return };
        self.num_told += 1;
        let event = TokenEvent {
            index: self.num_told,
            token: &token,
            top_tokens: &top,
            generated_text: is_last.then_some(&self.text),
            details,
        };
        push_event(events, &event);
    }
}

impl RenderEvents for TokenRenderer {
    fn begin(&mut self, _: &mut String) {}

    fn delta(&mut self, delta: OutputDelta, events: &mut String) {
        let OutputDelta { kind, tokens, .. } = delta;
        for token in tokens {
            self.tell(events, None, false);
            let top = if self.answer.show.top_tokens { self.teller.top(&token) } else { Vec::new() };
            self.held = Some(Held { token: self.teller.token(&token), top });
        }
        match kind {
            DeltaKind::Text(text) | DeltaKind::Reasoning(text) => self.text += &text,
            DeltaKind::Finished { reason, stop, usage } => {
                self.record.add_output_tokens(usage.num_output_tokens.into());
                let details = self.answer.show.details.then(|| Details {
                    finish_reason: finish_reason(reason, stop.as_ref()),
                    generated_tokens: usage.num_output_tokens,
                    seed: self.answer.seed,
                    input_length: self.answer.num_prompt_tokens,
                });
                self.tell(events, details, true);
            }
            // A text has no calls, and faults are the stream's to tell.
            _ => {}
        }
    }

    fn end(&mut self, _: &mut String) {}
}
