//! What a parser gives: pieces of reasoning, content and calls, neighbours of one kind joined.

/// A piece of a model's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatEvent {
    /// More of the reasoning.
    Reasoning(String),
    /// More of the answer's text.
    Content(String),
    /// A tool call begins; later events belong to it until it ends.
    CallStarted {
        /// The whole name of the function.
        name: String,
    },
    /// More of the call's arguments, as JSON text.
    CallArguments(String),
    /// The call has ended.
    CallEnded,
}

/// Events of one push.
#[derive(Debug, Default)]
pub(super) struct Events {
    list: Vec<FormatEvent>,
}

impl Events {
    pub(super) fn into_list(self) -> Vec<FormatEvent> {
        self.list
    }

    pub(super) fn reasoning(&mut self, text: &str) {
        match self.list.last_mut() {
            _ if text.is_empty() => {}
            Some(FormatEvent::Reasoning(last)) => last.push_str(text),
            _ => self.list.push(FormatEvent::Reasoning(text.to_owned())),
        }
    }

    pub(super) fn content(&mut self, text: &str) {
        match self.list.last_mut() {
            _ if text.is_empty() => {}
            Some(FormatEvent::Content(last)) => last.push_str(text),
            _ => self.list.push(FormatEvent::Content(text.to_owned())),
        }
    }

    pub(super) fn call_started(&mut self, name: String) {
        self.list.push(FormatEvent::CallStarted { name });
    }

    pub(super) fn arguments(&mut self, text: &str) {
        match self.list.last_mut() {
            _ if text.is_empty() => {}
            Some(FormatEvent::CallArguments(last)) => last.push_str(text),
            _ => self.list.push(FormatEvent::CallArguments(text.to_owned())),
        }
    }

    pub(super) fn call_ended(&mut self) {
        self.list.push(FormatEvent::CallEnded);
    }
}
