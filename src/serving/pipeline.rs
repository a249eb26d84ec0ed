//! Tokens to text that may be shown: detokenizer, format, stop strings, grapheme borders.

use crate::text::{Detokenizer, FormatEvent, FormatParser, GraphemeBuffer, StopScanner};

use super::DeltaKind;

/// Tokens of one choice on their way to text.
#[derive(Debug)]
pub(super) struct TextPipeline {
    detokenizer: Detokenizer,
    parser: FormatParser,
    /// Stop strings are looked for in the answer's text only, never in reasoning or in calls.
    stops: StopScanner,
    include_stop: bool,
    text: GraphemeBuffer,
    reasoning: GraphemeBuffer,
    num_calls: u32,
    /// A token at which a test wants a panic.
    #[cfg(test)]
    pub(super) panics_at: Option<u32>,
}

/// New output of a choice.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) kinds: Vec<DeltaKind>,
    /// The stop string that ended the text; nothing is held back then.
    pub(super) stop: Option<String>,
}

impl Piece {
    /// Adds what came after it.
    pub(super) fn append(&mut self, mut later: Self) {
        if self.stop.is_none() {
            self.kinds.append(&mut later.kinds);
            self.stop = later.stop;
        }
    }

    fn text(&mut self, text: String) {
        if !text.is_empty() {
            self.kinds.push(DeltaKind::Text(text));
        }
    }

    fn reasoning(&mut self, text: String) {
        if !text.is_empty() {
            self.kinds.push(DeltaKind::Reasoning(text));
        }
    }
}

impl TextPipeline {
    pub(super) fn new(
        detokenizer: Detokenizer,
        parser: FormatParser,
        stops: StopScanner,
        include_stop: bool,
    ) -> Self {
        Self {
            detokenizer,
            parser,
            stops,
            include_stop,
            text: GraphemeBuffer::default(),
            reasoning: GraphemeBuffer::default(),
            num_calls: 0,
            #[cfg(test)]
            panics_at: None,
        }
    }

    /// Whether the next token is reasoning, as far as is known.
    pub(super) fn is_in_reasoning(&self) -> bool {
        self.parser.is_in_reasoning()
    }

    /// Whether a call has begun.
    pub(super) fn has_calls(&self) -> bool {
        self.num_calls > 0
    }

    /// Whether what ends the output is part of it.
    pub(super) fn shows_stops(&self) -> bool {
        self.include_stop
    }

    /// Takes the next token.
    pub(super) fn push(&mut self, token_id: u32) -> Piece {
        #[cfg(test)]
        assert_ne!(self.panics_at, Some(token_id), "planned panic");
        let text = self.detokenizer.push(token_id);
        let events = self.parser.push(&text);
        self.take(events)
    }

    /// Ends the text.
    pub(super) fn finish(&mut self) -> Piece {
        let text = self.detokenizer.finish();
        let mut events = self.parser.push(&text);
        events.extend(self.parser.finish());
        let mut piece = self.take(events);
        if piece.stop.is_none() {
            self.flush(&mut piece);
        }
        piece
    }

    fn take(&mut self, events: Vec<FormatEvent>) -> Piece {
        let mut piece = Piece::default();
        for event in events {
            match event {
                FormatEvent::Reasoning(text) => piece.reasoning(self.reasoning.push(&text)),
                FormatEvent::Content(text) => self.take_content(&text, &mut piece),
                FormatEvent::CallStarted { name } => {
                    self.flush(&mut piece);
                    let id = format!("call_{}", &uuid::Uuid::new_v4().simple().to_string()[..24]);
                    piece.kinds.push(DeltaKind::ToolCall { index: self.num_calls, id, name });
                    self.num_calls += 1;
                }
                FormatEvent::CallArguments(text) => {
                    let index =
                        self.num_calls.checked_sub(1).expect("arguments follow the start of their call");
                    piece.kinds.push(DeltaKind::ToolArguments { index, text });
                }
                FormatEvent::CallEnded => {}
            }
            if piece.stop.is_some() {
                break;
            }
        }
        piece
    }

    fn take_content(&mut self, text: &str, piece: &mut Piece) {
        piece.reasoning(self.reasoning.finish());
        let scan = self.stops.push(text);
        let mut shown = self.text.push(&scan.text);
        if let Some(stop) = scan.stop {
            if self.include_stop {
                shown += &self.text.push(&stop);
            }
            shown += &self.text.finish();
            piece.stop = Some(stop);
        }
        piece.text(shown);
    }

    /// Gives out what is held back.
    fn flush(&mut self, piece: &mut Piece) {
        piece.reasoning(self.reasoning.finish());
        let held = self.stops.finish();
        let shown = self.text.push(&held) + &self.text.finish();
        piece.text(shown);
    }
}
