//! What a chat template does with tools, and tools in words for a template that does nothing with them.
//!
//! Some models' templates know no tools. Then the tools are described in the system message, calls in the history are
//! written the way the description asks for, and results become messages of the user unless the template has a turn
//! for them. What a template does is found out by rendering short conversations when the model is loaded.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::chat_variables::{self, Wishes, arguments, tool_value};
use super::python_json::dumps;
use super::template::ChatTemplate;
use super::{ChatMessage, ChatPrompt, Tokenizer, ToolCall, ToolDefinition};

/// What a template does with a conversation that has tools in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ToolSupport {
    /// It shows the model the tools.
    shows_tools: bool,
    /// It shows calls in the history.
    shows_calls: bool,
    /// It shows calls only in a message whose content is `none`.
    no_content_is_none: bool,
    /// It has a turn for results.
    has_tool_turn: bool,
    /// It shows a system message.
    has_system_turn: bool,
}

/// Words that no template writes of its own accord.
const WORD: &str = "zqprobe";
const OTHER_WORD: &str = "zqother";
/// Some templates take ids of nine letters and digits only.
const CALL_ID: &str = "call00000";

impl ToolSupport {
    /// Finds out what a template does. `constant` holds the variables of the model.
    pub(super) fn probe(
        template: &ChatTemplate,
        tokenizer: &Tokenizer,
        constant: &Map<String, Value>,
        end_of_turn: Option<&str>,
    ) -> Self {
        let probe = Probe { template, constant };
        let has_system_turn = probe.shows(&[message("system", WORD), message("user", "a")], &[], false);
        let tool = ToolDefinition {
            name: WORD.to_owned(),
            description: Some("a".to_owned()),
            parameters: json!({"type": "object", "properties": {}}),
            strict: false,
        };
        let tools = [tool];
        let alone = [message("user", "a")];
        let instructed = [message("system", "a"), message("user", "a")];
        let shows_tools = template.reads("tools")
            && (probe.shows(&alone, &tools, false)
                || probe.shows(&instructed, &tools, false)
                // It wants something else of a conversation; then what it reads has to do.
                || (probe.rendered(&alone, &tools, false).is_none()
                    && probe.rendered(&instructed, &tools, false).is_none()));
        let call = ToolCall { id: CALL_ID.to_owned(), name: WORD.to_owned(), arguments: "{}".to_owned() };
        let result = ChatMessage {
            tool_call_id: Some(CALL_ID.to_owned()),
            name: Some("a".to_owned()),
            ..message("tool", OTHER_WORD)
        };
        let called = [
            message("user", "a"),
            ChatMessage { tool_calls: vec![call], ..message("assistant", "") },
            result.clone(),
        ];
        let shows_text_and_calls = probe.shows(&called, &tools, false);
        let no_content_is_none = !shows_text_and_calls && probe.shows(&called, &tools, true);
        let is_refused = || [false, true].iter().all(|&none| probe.rendered(&called, &tools, none).is_none());
        let shows_calls = shows_text_and_calls
            || no_content_is_none
            || (template.source().contains("tool_calls") && is_refused());
        let told = [message("user", "a"), message("assistant", WORD), result];
        let as_told = probe.rendered(&told, &[], false);
        let as_called = probe.rendered(&called, &tools, no_content_is_none);
        let is_tool_turn =
            |text: Option<String>| text.is_some_and(|text| is_turn_of_its_own(&text, tokenizer, end_of_turn));
        Self {
            shows_tools,
            shows_calls,
            no_content_is_none,
            has_tool_turn: is_tool_turn(as_told) || is_tool_turn(as_called),
            has_system_turn,
        }
    }

    /// Whether the content of a message of calls only has to be `none`.
    pub(super) fn no_content_is_none(self) -> bool {
        self.no_content_is_none
    }

    /// The conversation in a form that the template shows whole.
    pub(super) fn spell<'a>(&self, chat: &'a ChatPrompt) -> Cow<'a, ChatPrompt> {
        let describes = !self.shows_tools && !chat.tools.is_empty();
        let writes_calls =
            !self.shows_calls && chat.messages.iter().any(|message| !message.tool_calls.is_empty());
        let turns_results = !self.has_tool_turn && chat.messages.iter().any(|m| m.role == "tool");
        if !(describes || writes_calls || turns_results) {
            return Cow::Borrowed(chat);
        }
        let mut spelled = chat.clone();
        if writes_calls {
            spelled.messages.iter_mut().for_each(write_calls);
        }
        if turns_results {
            spelled.messages = turn_results(spelled.messages);
        }
        if describes {
            let description = description(&chat.tools);
            spelled.tools.clear();
            self.prepend(&mut spelled.messages, description);
        }
        Cow::Owned(spelled)
    }

    /// Puts the description behind the system text, or before the first question where no system message is shown.
    fn prepend(&self, messages: &mut Vec<ChatMessage>, description: String) {
        let is_system = |message: &ChatMessage| ["system", "developer"].contains(&message.role.as_str());
        match messages.first_mut() {
            Some(first) if is_system(first) && !first.content.is_empty() => {
                first.content = format!("{}\n\n{description}", first.content);
            }
            Some(first) if is_system(first) => first.content = description,
            Some(first) if !self.has_system_turn && first.role == "user" => {
                first.content = format!("{description}\n\n{}", first.content);
            }
            _ => messages.insert(0, ChatMessage::new("system", description)),
        }
    }
}

fn message(role: &str, content: &str) -> ChatMessage {
    ChatMessage::new(role, content)
}

struct Probe<'a> {
    template: &'a ChatTemplate,
    constant: &'a Map<String, Value>,
}

impl Probe<'_> {
    fn rendered(&self, messages: &[ChatMessage], tools: &[ToolDefinition], none: bool) -> Option<String> {
        let chat = ChatPrompt { tools: tools.to_vec(), ..ChatPrompt::new(messages.to_vec()) };
        let wishes = Wishes { no_content_is_none: none };
        let variables =
            chat_variables::variables(self.constant, &chat, wishes, "", &mut |_, text| text.to_owned());
        self.template.render(&variables).ok()
    }

    fn shows(&self, messages: &[ChatMessage], tools: &[ToolDefinition], none: bool) -> bool {
        let with = self.rendered(messages, tools, none);
        let count = |text: &str| text.matches(WORD).count();
        let shown = with.as_deref().map_or(0, count);
        // A name that the tools show is no sign that calls are shown.
        let by_tools = match messages.iter().any(|message| !message.tool_calls.is_empty()) {
            true => self.rendered(&messages[..1], tools, none).as_deref().map_or(0, count),
            false => 0,
        };
        shown > by_tools
    }
}

/// Whether the result stands in a turn that a control string of the tokenizer begins, other than the one that ended
/// the turn before: a template that writes `[|` and the role and `|]` whatever the role is says nothing to a model
/// without such a token.
fn is_turn_of_its_own(text: &str, tokenizer: &Tokenizer, end_of_turn: Option<&str>) -> bool {
    let Some(result) = text.rfind(OTHER_WORD) else { return false };
    let before = &text[..result];
    let special = tokenizer.special_tokens().iter();
    let last = special
        .filter_map(|token| before.rfind(&token.text).map(|at| (at + token.text.len(), token.text.as_str())))
        .max();
    match last {
        Some((_, token)) => end_of_turn != Some(token),
        // Such a template does without control strings altogether.
        None => true,
    }
}

/// What the model is told about its tools.
fn description(tools: &[ToolDefinition]) -> String {
    let mut text = "You can use the tools listed here as JSON, one on each line:\n".to_owned();
    for tool in tools {
        text.push_str(&dumps(&tool_value(tool, &mut |_, text| text.to_owned())["function"]));
        text.push('\n');
    }
    text.push_str(
        "\nTo use a tool, answer with its name and its arguments in exactly this form, one line for each use:\n\
         <tool_call>{\"name\": \"tool name\", \"arguments\": {\"argument name\": \"value\"}}</tool_call>\n\
         You will then be given the results. When no tool is needed, answer in plain words.",
    );
    text
}

/// Writes a message's calls behind its text.
fn write_calls(message: &mut ChatMessage) {
    for call in std::mem::take(&mut message.tool_calls) {
        if !message.content.is_empty() {
            message.content.push('\n');
        }
        let name = dumps(&call.name.as_str().into());
        let arguments = dumps(&arguments(&call));
        let written = format!("<tool_call>{{\"name\": {name}, \"arguments\": {arguments}}}</tool_call>");
        message.content.push_str(&written);
    }
}

/// Makes results messages of the user, those in a row one message.
fn turn_results(messages: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let mut turned: Vec<ChatMessage> = Vec::with_capacity(messages.len());
    let mut after_result = false;
    for message in messages {
        let is_result = message.role == "tool";
        if !is_result {
            turned.push(message);
        } else {
            let response = format!("<tool_response>{}</tool_response>", message.content);
            match turned.last_mut().filter(|_| after_result) {
                Some(last) => last.content = format!("{}\n{response}", last.content),
                None => turned.push(ChatMessage::new("user", response)),
            }
        }
        after_result = is_result;
    }
    turned
}

#[cfg(test)]
mod tests;
