//! From a conversation to token ids, with control strings in messages kept apart from those of the template.
//!
//! A chat template writes control strings such as an end-of-turn mark, which must become control tokens; the same
//! strings inside a message are something that a person wrote and must stay text, or that person could forge turns.
//! After rendering the two look alike. So where a message holds a control string, that part is put between two marks
//! (characters that occur nowhere in the conversation) before rendering; afterwards the text between marks is
//! tokenised with special tokens off. Marks are only trusted if the rendering without them gives the same text, so a
//! template that works on a message's control strings is noticed. One such use is legitimate: templates take the
//! reasoning out of earlier assistant turns by its tags. Tags on which a template works in assistant messages are
//! therefore left to it. A conversation without control strings is rendered and tokenised as it stands.

use std::ops::Range;

use serde_json::{Value, json};

use super::template::{ChatTemplate, TemplateError};
use super::{ChatMessage, ChatPrompt, EncodedChat, SpecialText, Tokenizer};

/// Most kinds of control strings in assistant messages whose treatment by the template is looked into.
const MAX_TRIED_TAGS: usize = 8;
/// The roles that a conversation may have, and the role that a template sees.
const ROLES: [(&str, &str); 5] = [
    ("system", "system"),
    ("developer", "system"),
    ("user", "user"),
    ("assistant", "assistant"),
    ("tool", "tool"),
];

/// A conversation gave no prompt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// The model has no chat template.
    #[error("the model has no chat template, so it takes text only")]
    NoTemplate,
    /// A message has a role that no chat template knows.
    #[error("message {index} has the role {role:?}; roles are system, developer, user, assistant and tool")]
    Role {
        /// Which message, counted from 0.
        index: usize,
        /// Its role.
        role: String,
    },
    /// The template gave no prompt.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A message holds a control string in a place that the template rewrites.
    #[error(
        "a message holds a control string of the model where the chat template does not pass text on unchanged"
    )]
    ControlString,
    /// The tokenizer failed.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
}

/// A part of a rendered prompt and how its control strings are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) text: String,
    pub(super) special: SpecialText,
}

/// A template, the tokenizer that its output is for, and the template's variables beside the messages.
pub(super) struct Renderer<'a> {
    pub(super) template: &'a ChatTemplate,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) variables: &'a serde_json::Map<String, Value>,
}

impl Renderer<'_> {
    /// Text and token ids of a conversation.
    pub(super) fn encode(&self, chat: &ChatPrompt) -> Result<EncodedChat, PromptError> {
        let mut encoded = EncodedChat { token_ids: Vec::new(), text: String::new() };
        for segment in self.render(chat)? {
            let part = self.tokenizer.encode(&segment.text, segment.special, false);
            encoded.token_ids.extend(part.map_err(PromptError::Tokenizer)?);
            encoded.text.push_str(&segment.text);
        }
        Ok(encoded)
    }

    /// The rendered conversation in parts.
    pub(super) fn render(&self, chat: &ChatPrompt) -> Result<Vec<Segment>, PromptError> {
        let messages = &chat.messages;
        let roles = messages.iter().enumerate().map(template_role).collect::<Result<Vec<_>, _>>()?;
        let contents: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
        let conversation = Conversation { roles, contents };
        let unmarked = self.render_texts(&conversation.roles, &conversation.contents)?;
        let spans: Vec<Vec<Range<usize>>> =
            conversation.contents.iter().map(|content| self.tokenizer.control_spans(content)).collect();
        if spans.iter().all(Vec::is_empty) {
            return Ok(vec![Segment { text: unmarked, special: SpecialText::Control }]);
        }
        self.render_marked(&conversation, spans, &unmarked)
    }

    fn render_marked(
        &self,
        conversation: &Conversation<'_>,
        mut spans: Vec<Vec<Range<usize>>>,
        unmarked: &str,
    ) -> Result<Vec<Segment>, PromptError> {
        let texts = conversation.contents.iter().copied().chain([unmarked]);
        let marks = Marks::absent_from(texts).ok_or(PromptError::ControlString)?;
        let attempt = |spans: &[Vec<Range<usize>>]| -> Result<Option<Vec<Segment>>, PromptError> {
            let marked: Vec<String> = conversation
                .contents
                .iter()
                .zip(spans)
                .map(|(text, spans)| marks.mark(text, spans))
                .collect();
            let marked: Vec<&str> = marked.iter().map(String::as_str).collect();
            let rendered = self.render_texts(&conversation.roles, &marked)?;
            let segments = marks.split(&rendered);
            let same = |segments: &Vec<Segment>| {
                segments.iter().map(|segment| segment.text.as_str()).collect::<String>() == unmarked
            };
            Ok(segments.filter(same))
        };
        if let Some(segments) = attempt(&spans)? {
            return Ok(segments);
        }
        for tag in self.tags_of_assistants(conversation, &spans)? {
            let holds_tag = |index: usize, span: &Range<usize>| {
                conversation.roles[index] == "assistant"
                    && conversation.contents[index][span.clone()].contains(tag)
            };
            let mut only_tag = spans.clone();
            for (index, spans) in only_tag.iter_mut().enumerate() {
                spans.retain(|span| holds_tag(index, span));
            }
            if attempt(&only_tag)?.is_none() {
                for (index, spans) in spans.iter_mut().enumerate() {
                    spans.retain(|span| !holds_tag(index, span));
                }
            }
        }
        attempt(&spans)?.ok_or(PromptError::ControlString)
    }

    /// The distinct control strings in assistant messages.
    fn tags_of_assistants(
        &self,
        conversation: &Conversation<'_>,
        spans: &[Vec<Range<usize>>],
    ) -> Result<Vec<&str>, PromptError> {
        let is_used = |tag: &&str| {
            conversation.contents.iter().zip(&conversation.roles).zip(spans).any(
                |((content, role), spans)| {
                    *role == "assistant" && spans.iter().any(|span| content[span.clone()].contains(tag))
                },
            )
        };
        let tags: Vec<&str> =
            self.tokenizer.special_tokens().iter().map(|t| t.text.as_str()).filter(is_used).collect();
        if tags.len() > MAX_TRIED_TAGS { Err(PromptError::ControlString) } else { Ok(tags) }
    }

    fn render_texts(&self, roles: &[&str], contents: &[&str]) -> Result<String, PromptError> {
        let messages: Vec<Value> = roles
            .iter()
            .zip(contents)
            .map(|(role, content)| json!({"role": role, "content": content}))
            .collect();
        let mut variables = self.variables.clone();
        variables.insert("messages".to_owned(), messages.into());
        Ok(self.template.render(&variables)?)
    }
}

struct Conversation<'a> {
    roles: Vec<&'static str>,
    contents: Vec<&'a str>,
}

fn template_role((index, message): (usize, &ChatMessage)) -> Result<&'static str, PromptError> {
    let known = ROLES.iter().find(|(role, _)| *role == message.role);
    known.map(|&(_, seen)| seen).ok_or_else(|| PromptError::Role { index, role: message.role.clone() })
}

/// Two characters that stand before and after text that is no control string.
struct Marks {
    open: char,
    close: char,
}

impl Marks {
    /// Two characters of the private-use planes that none of the texts holds; `None` only if they hold all but one.
    fn absent_from<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Self> {
        const PRIVATE: Range<u32> = 0xf_0000..0xf_fffe;
        let mut used = vec![false; PRIVATE.len()];
        for character in texts.flat_map(str::chars) {
            if PRIVATE.contains(&u32::from(character)) {
                used[(u32::from(character) - PRIVATE.start) as usize] = true;
            }
        }
        let mut free =
            PRIVATE.zip(used).filter(|(_, used)| !used).filter_map(|(code, _)| char::from_u32(code));
        Some(Self { open: free.next()?, close: free.next()? })
    }

    fn mark(&self, text: &str, spans: &[Range<usize>]) -> String {
        let mut marked = String::with_capacity(text.len() + 8 * spans.len());
        let mut done = 0;
        for span in spans {
            marked.push_str(&text[done..span.start]);
            marked.push(self.open);
            marked.push_str(&text[span.clone()]);
            marked.push(self.close);
            done = span.end;
        }
        marked + &text[done..]
    }

    /// The parts of a marked text, marks removed; `None` unless every opening mark is followed by a closing one.
    fn split(&self, marked: &str) -> Option<Vec<Segment>> {
        let mut segments = Vec::new();
        let mut keep = |text: &str, special| {
            if !text.is_empty() {
                segments.push(Segment { text: text.to_owned(), special });
            }
        };
        let mut rest = marked;
        while let Some(at) = rest.find([self.open, self.close]) {
            let (before, after) = rest.split_at(at);
            let inside = after.strip_prefix(self.open)?;
            let (plain, after) = inside.split_once(self.close)?;
            if plain.contains(self.open) {
                return None;
            }
            keep(before, SpecialText::Control);
            keep(plain, SpecialText::Plain);
            rest = after;
        }
        keep(rest, SpecialText::Control);
        Some(segments)
    }
}

#[cfg(test)]
mod tests;
