//! Takes a model's output apart while it streams: reasoning, content, tool calls.
//!
//! The result does not depend on how the text is cut into pieces, and only what may still become a mark (or a call, or
//! space beside a call) is held back. Nothing is lost but marks and the space around them:
//!
//! - newlines after the opening tag of the reasoning, before its closing tag and after it;
//! - space between a call and its tags, before the first call if no text came, and around calls if none follows;
//! - what a call holds beside name and arguments, and `;` between bare calls.
//!
//! A call that breaks, never closes or names no function is content, word for word. Once a call has been announced its
//! arguments follow as they come, even where they cease to be JSON; then only the closing tag ends them. Reasoning that
//! never closes stays reasoning.

use super::call::{CallReader, CallShape, CallStep};
use super::events::Events;
use super::{CallSyntax, FormatEvent, ParserOptions, ReasoningTags};

/// Takes one output apart.
#[derive(Debug, Clone)]
pub struct FormatParser {
    reasoning: Option<ReasoningTags>,
    calls: Option<CallSyntax>,
    /// Reasoning is told from content; otherwise it is content, tags included, and still hides what looks like a call.
    parse_reasoning: bool,
    state: State,
    /// The end of the text so far that may become a mark.
    pending: String,
    /// Space that goes out if text follows.
    space: String,
    /// Whether a call stands beside that space.
    call_in_space: bool,
    /// Whether any content has gone out.
    has_content: bool,
    /// Newlines at this place belong to a tag.
    trims: bool,
    /// A call without tags may begin here.
    may_begin: bool,
    /// A call ended without its closing tag, which may still come.
    unclosed: bool,
}

#[derive(Debug, Clone)]
enum State {
    /// Nothing but space so far.
    Start,
    Reasoning {
        /// Nothing but newlines so far, and the prompt opened the tag: the model may open it once more.
        may_open: bool,
    },
    Content,
    Call {
        reader: CallReader,
        /// Everything since the opening tag, until the call is announced.
        raw: String,
    },
    /// After a call's JSON, before its closing tag.
    Tail,
    /// In arguments of which the end cannot be told.
    Spoiled,
}

/// What a mark means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    OpenReasoning,
    CloseReasoning,
    OpenCall,
    CloseCall,
}

impl FormatParser {
    pub(super) fn new(reasoning: Option<ReasoningTags>, calls: CallSyntax, options: ParserOptions) -> Self {
        let state = match reasoning {
            None => State::Content,
            Some(_) if options.in_reasoning => State::Reasoning { may_open: true },
            Some(_) => State::Start,
        };
        Self {
            reasoning,
            calls: options.parse_tools.then_some(calls),
            parse_reasoning: options.parse_reasoning,
            state,
            pending: String::new(),
            space: String::new(),
            call_in_space: false,
            has_content: false,
            trims: options.in_reasoning && options.parse_reasoning && reasoning.is_some(),
            may_begin: true,
            unclosed: false,
        }
    }

    /// Takes the next piece of the output.
    pub fn push(&mut self, text: &str) -> Vec<FormatEvent> {
        let mut events = Events::default();
        for c in text.chars() {
            self.push_char(c, &mut events);
        }
        events.into_list()
    }

    /// The output ended: what was held back is what it looks like.
    pub fn finish(&mut self) -> Vec<FormatEvent> {
        let mut events = Events::default();
        for c in std::mem::take(&mut self.pending).chars() {
            self.text(c, &mut events);
        }
        match std::mem::replace(&mut self.state, State::Content) {
            State::Start | State::Content | State::Tail => {}
            State::Reasoning { .. } => {
                let space = std::mem::take(&mut self.space);
                self.reasoning_text(&space, &mut events);
            }
            State::Call { mut reader, .. } if reader.is_started() => {
                reader.finish(&mut events);
                events.call_ended();
                self.call_in_space = true;
            }
            State::Call { raw, .. } => self.content_text(&raw, &mut events),
            State::Spoiled => {
                events.call_ended();
                self.call_in_space = true;
            }
        }
        let space = std::mem::take(&mut self.space);
        if !self.call_in_space {
            events.content(&space);
        }
        events.into_list()
    }

    /// Whether what comes next is reasoning, as far as can be told.
    pub fn is_in_reasoning(&self) -> bool {
        matches!(self.state, State::Reasoning { .. })
    }

    /// Whether reasoning may still come.
    pub(super) fn may_reason(&self) -> bool {
        matches!(self.state, State::Start | State::Reasoning { .. })
    }

    /// The end of the text so far that may become a mark.
    pub(super) fn pending(&self) -> &str {
        &self.pending
    }

    /// Whether the reasoning so far ends with a newline, and has more than newlines.
    pub(super) fn is_at_line_start(&self) -> bool {
        self.is_in_reasoning() && self.pending.is_empty() && !self.space.is_empty()
    }

    fn push_char(&mut self, c: char, events: &mut Events) {
        if matches!(self.state, State::Call { .. }) || (self.pending.is_empty() && c != '<') {
            self.text(c, events);
            return;
        }
        self.pending.push(c);
        while let Some(first) = self.pending.chars().next() {
            let viable = self.marks().find(|(text, _)| text.starts_with(&self.pending));
            match viable {
                Some((text, mark)) if text.len() == self.pending.len() => {
                    self.pending.clear();
                    self.mark(text, mark, events);
                }
                Some(_) => return,
                None => {
                    self.pending.remove(0);
                    self.text(first, events);
                }
            }
        }
    }

    /// The marks that mean something here.
    fn marks(&self) -> impl Iterator<Item = (&'static str, Mark)> + use<> {
        let (starts, may_open, in_reasoning) = match self.state {
            State::Start => (true, true, false),
            State::Reasoning { may_open } => (false, may_open, true),
            _ => (false, false, false),
        };
        let tags = self.reasoning;
        let open_reasoning = tags.filter(|_| may_open).map(|tags| (tags.open, Mark::OpenReasoning));
        let close_reasoning =
            tags.filter(|_| starts || in_reasoning).map(|tags| (tags.close, Mark::CloseReasoning));
        let calls = self.calls.filter(|_| !in_reasoning);
        let may_close = matches!(self.state, State::Tail | State::Spoiled) || self.unclosed;
        let opens = !matches!(self.state, State::Spoiled);
        let open_call = calls.filter(|_| opens).map(|calls| (calls.open(), Mark::OpenCall));
        let close_call = calls.filter(|_| may_close).and_then(CallSyntax::close);
        let close_call = close_call.map(|text| (text, Mark::CloseCall));
        [open_reasoning, close_reasoning, open_call, close_call].into_iter().flatten()
    }

    fn mark(&mut self, text: &str, mark: Mark, events: &mut Events) {
        match mark {
            Mark::OpenReasoning | Mark::CloseReasoning => {
                let space = std::mem::take(&mut self.space);
                if !self.parse_reasoning {
                    self.has_content = true;
                    events.content(&space);
                    events.content(text);
                }
                self.trims = self.parse_reasoning;
                self.may_begin = true;
                self.state = match mark {
                    Mark::OpenReasoning => State::Reasoning { may_open: false },
                    _ => State::Content,
                };
            }
            Mark::OpenCall => {
                self.unclosed = false;
                let shape = self.calls.map_or(CallShape::Tagged, CallSyntax::shape);
                self.state = State::Call { reader: CallReader::new(shape), raw: text.to_owned() };
            }
            Mark::CloseCall => {
                if matches!(self.state, State::Spoiled) {
                    events.call_ended();
                    self.call_in_space = true;
                }
                self.unclosed = false;
                self.state = State::Content;
            }
        }
    }

    /// A character that belongs to no mark.
    fn text(&mut self, c: char, events: &mut Events) {
        match &mut self.state {
            State::Start if c.is_whitespace() => self.space.push(c),
            State::Start => {
                self.state = State::Content;
                self.trims = false;
                self.content(c, events);
            }
            State::Reasoning { .. } if !self.parse_reasoning => {
                self.state = State::Reasoning { may_open: false };
                events.content(c.encode_utf8(&mut [0; 4]));
                self.has_content = true;
            }
            State::Reasoning { .. } if matches!(c, '\n' | '\r') => {
                if !self.trims {
                    self.space.push(c);
                }
            }
            State::Reasoning { .. } => {
                self.state = State::Reasoning { may_open: false };
                self.trims = false;
                let space = std::mem::take(&mut self.space);
                self.reasoning_text(&space, events);
                self.reasoning_text(c.encode_utf8(&mut [0; 4]), events);
            }
            State::Content => self.content(c, events),
            State::Call { .. } => self.call(c, events),
            State::Tail if c.is_whitespace() => self.space.push(c),
            State::Tail => {
                self.unclosed = true;
                self.state = State::Content;
                self.content(c, events);
            }
            State::Spoiled => events.arguments(c.encode_utf8(&mut [0; 4])),
        }
    }

    fn reasoning_text(&mut self, text: &str, events: &mut Events) {
        if self.parse_reasoning {
            events.reasoning(text);
        } else {
            events.content(text);
        }
    }

    /// A character of the content.
    fn content(&mut self, c: char, events: &mut Events) {
        if self.trims && matches!(c, '\n' | '\r') {
            return;
        }
        self.trims = false;
        match self.calls {
            Some(_) if c.is_whitespace() => self.space.push(c),
            Some(CallSyntax::Bare) if self.may_begin && c == '{' => {
                let mut reader = CallReader::new(CallShape::Bare);
                reader.push(c, events);
                self.state = State::Call { reader, raw: String::from(c) };
            }
            Some(CallSyntax::Bare) if self.call_in_space && c == ';' => self.space.push(c),
            _ => self.content_text(c.encode_utf8(&mut [0; 4]), events),
        }
    }

    /// Content that goes out at once, after the space that stood before it.
    fn content_text(&mut self, text: &str, events: &mut Events) {
        let space = std::mem::take(&mut self.space);
        if self.has_content || !self.call_in_space {
            events.content(&space);
        }
        events.content(text);
        self.has_content = true;
        self.call_in_space = false;
        self.trims = false;
        self.may_begin = false;
    }

    fn call(&mut self, c: char, events: &mut Events) {
        let State::Call { reader, raw } = &mut self.state else { return };
        match reader.push(c, events) {
            CallStep::Inside if reader.is_started() => raw.clear(),
            CallStep::Inside => raw.push(c),
            CallStep::Done => {
                self.call_in_space = true;
                self.trims = false;
                self.may_begin = true;
                let closes = self.calls.and_then(CallSyntax::close).is_some();
                self.state = if closes { State::Tail } else { State::Content };
            }
            CallStep::Spoiled => self.state = State::Spoiled,
            CallStep::Broken => {
                let raw = std::mem::take(raw);
                if reader.is_started() {
                    events.call_ended();
                    self.call_in_space = true;
                    self.unclosed = true;
                    self.state = State::Content;
                } else {
                    self.state = State::Content;
                    self.content_text(&raw, events);
                }
                self.push_char(c, events);
            }
        }
    }
}
