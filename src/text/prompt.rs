//! From a conversation to token ids, with control strings of the client kept apart from those of the template.
//!
//! A chat template writes control strings such as an end-of-turn mark, which must become control tokens; the same
//! strings inside a message, a tool's description or a call's arguments are something that a client wrote and must
//! stay text, or that client could forge turns. After rendering the two look alike. So where a text of the client
//! holds a control string, that part is put between two marks (characters that occur nowhere in the conversation)
//! before rendering; afterwards the text between marks is tokenised with special tokens off. Marks are only trusted if
//! the rendering without them gives the same text, so a template that works on a control string is noticed. One such
//! use is legitimate: templates take the reasoning out of earlier assistant turns by its tags. Tags on which a template
//! works in assistant messages are therefore left to it.
//!
//! A control string can also come about where a text of the client meets one of the template, say a name between
//! `<|` and `|>`. So the parts of a text that may join in such a way are marked too, and stay text if what came out
//! there is a control string. If a template rewrites these parts, the control strings are compared with those that
//! come out when the parts are blanked. A conversation without anything of the kind is rendered and tokenised as it stands.

use std::collections::HashSet;
use std::ops::Range;

use serde_json::{Map, Value};

use super::chat_variables::{self, Place, Wishes, template_role};
use super::fragments::merge;
use super::template::{ChatTemplate, TemplateError};
use super::tool_support::ToolSupport;
use super::{ChatPrompt, EncodedChat, SpecialText, Tokenizer};

/// Most kinds of control strings in assistant messages whose treatment by the template is looked into.
const MAX_TRIED_TAGS: usize = 8;
/// What follows the place where an open message is cut off: gone if the template trims the message.
const AFTER_CUT: &str = " ";

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
    /// The last message cannot be continued.
    #[error("the last message cannot be continued: {reason}")]
    Continuation {
        /// Why, for a person.
        reason: &'static str,
    },
    /// The template gave no prompt.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A text of the client holds a control string in a place that the template rewrites.
    #[error(
        "a text of the request holds a control string of the model, or a part of one, where the chat template does not \
         pass text on unchanged"
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

/// A template, the tokenizer that its output is for, and the template's variables beside the conversation.
pub(super) struct Renderer<'a> {
    pub(super) template: &'a ChatTemplate,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) variables: &'a Map<String, Value>,
    pub(super) tools: &'a ToolSupport,
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
        for (index, message) in chat.messages.iter().enumerate() {
            if template_role(&message.role).is_none() {
                return Err(PromptError::Role { index, role: message.role.clone() });
            }
        }
        check_continuation(chat)?;
        let spelled = self.tools.spell(chat);
        let marking = Marking::new(self, &spelled)?;
        let segments = marking.segments()?;
        match &marking.open_end {
            Some(end) => end.cut(segments, &spelled),
            None => Ok(segments),
        }
    }
}

fn check_continuation(chat: &ChatPrompt) -> Result<(), PromptError> {
    let fault = |reason| Err(PromptError::Continuation { reason });
    match chat.messages.last() {
        _ if !chat.continue_final_message => Ok(()),
        _ if chat.add_generation_prompt => fault("the prompt is to begin a new message after it"),
        Some(last) if last.role == "assistant" && last.tool_calls.is_empty() => Ok(()),
        Some(last) if last.role == "assistant" => fault("it calls tools"),
        _ => fault("it is not the assistant's"),
    }
}

/// The open end of a message that the model is to continue.
struct OpenEnd {
    /// A character that stands where the message ends.
    mark: char,
    /// What is added to the message.
    added: String,
}

impl OpenEnd {
    fn new(mark: char) -> Self {
        Self { mark, added: format!("{mark}{AFTER_CUT}") }
    }

    /// The prompt up to the end of the last message.
    fn cut(&self, mut segments: Vec<Segment>, chat: &ChatPrompt) -> Result<Vec<Segment>, PromptError> {
        let fault = |reason| PromptError::Continuation { reason };
        let marks = segments.iter().map(|segment| segment.text.matches(self.mark).count()).sum::<usize>();
        let at = segments.iter().position(|segment| segment.text.contains(self.mark));
        let (1, Some(at)) = (marks, at) else {
            return Err(fault("the chat template does not show it once"));
        };
        segments.truncate(at + 1);
        let last = &mut segments[at].text;
        let (before, after) = last.split_once(self.mark).unwrap_or((last, ""));
        let is_trimmed = !after.starts_with(AFTER_CUT);
        *last = if is_trimmed { before.trim_end() } else { before }.to_owned();
        let text: String = segments.iter().map(|segment| segment.text.as_str()).collect();
        let written = chat.messages.last().map_or("", |message| message.content.as_str()).trim();
        // Reasoning may be gone from its beginning.
        if !text.trim_end().ends_with(written.lines().next_back().unwrap_or_default()) {
            return Err(fault("the chat template rewrites it"));
        }
        segments.retain(|segment| !segment.text.is_empty());
        Ok(segments)
    }
}

/// A text of the client and the parts of it that are marked.
struct Leaf {
    text: String,
    place: Place,
    spans: Vec<Range<usize>>,
}

/// The work on one conversation.
struct Marking<'a> {
    renderer: &'a Renderer<'a>,
    chat: &'a ChatPrompt,
    open_end: Option<OpenEnd>,
    /// Every text of the client with its control strings, in the order in which they are written.
    leaves: Vec<Leaf>,
    /// The conversation rendered as it stands.
    unmarked: String,
    marks: Marks,
}

impl<'a> Marking<'a> {
    fn new(renderer: &'a Renderer<'a>, chat: &'a ChatPrompt) -> Result<Self, PromptError> {
        let mut leaves = Vec::new();
        renderer.variables(chat, "", &mut |place, text| {
            let spans = renderer.tokenizer.control_spans(text);
            leaves.push(Leaf { text: text.to_owned(), place, spans });
            String::new()
        });
        let texts = || leaves.iter().map(|leaf| leaf.text.as_str()).chain([renderer.template.source()]);
        let marks = Marks::absent_from(texts()).ok_or(PromptError::ControlString)?;
        let open_end = chat.continue_final_message.then(|| OpenEnd::new(marks.end));
        let mut marking = Self { renderer, chat, open_end, leaves, unmarked: String::new(), marks };
        marking.unmarked = marking.rendered(&mut |_, text| text.to_owned())?;
        Ok(marking)
    }

    fn rendered(&self, write: &mut dyn FnMut(Place, &str) -> String) -> Result<String, PromptError> {
        let end = self.open_end.as_ref().map_or("", |end| &end.added);
        let variables = self.renderer.variables(self.chat, end, write);
        Ok(self.renderer.template.render(&variables)?)
    }

    /// The rendering with these parts of the leaves marked, if the marks changed nothing.
    fn attempt(&self, spans: &[Vec<Range<usize>>]) -> Result<Option<Vec<Segment>>, PromptError> {
        let mut next = spans.iter();
        let rendered = self.rendered(&mut |_, text| {
            self.marks.mark(text, next.next().expect("the texts come in the same order each time"))
        })?;
        let same = |segments: &Vec<Segment>| {
            segments.iter().map(|segment| segment.text.as_str()).collect::<String>() == self.unmarked
        };
        Ok(self.marks.split(&rendered).filter(same))
    }

    fn segments(&self) -> Result<Vec<Segment>, PromptError> {
        let mut spans: Vec<Vec<Range<usize>>> = self.leaves.iter().map(|leaf| leaf.spans.clone()).collect();
        let segments = if spans.iter().all(Vec::is_empty) {
            vec![Segment { text: self.unmarked.clone(), special: SpecialText::Control }]
        } else {
            self.settle(&mut spans)?
        };
        let fragments = self.renderer.tokenizer.control_fragments();
        let mut has_edges = false;
        for (leaf, spans) in self.leaves.iter().zip(&mut spans) {
            let edges = fragments.edges(&leaf.text);
            if !edges.is_empty() {
                has_edges = true;
                spans.extend(edges);
                spans.sort_unstable_by_key(|span| span.start);
                *spans = merge(std::mem::take(spans));
            }
        }
        if !has_edges {
            return Ok(segments);
        }
        if let Some(marked) = self.attempt(&spans)? {
            return Ok(self.keep_plain_what_is_control(marked));
        }
        let mut next = spans.iter();
        let blank = self.rendered(&mut |_, text| {
            self.marks.blank(text, next.next().expect("the texts come in the same order each time"))
        })?;
        let blank = [Segment { text: blank, special: SpecialText::Control }];
        if self.control_strings(&blank) == self.control_strings(&segments) {
            Ok(segments)
        } else {
            Err(PromptError::ControlString)
        }
    }

    /// Marks the control strings of the client as far as the template lets them be.
    fn settle(&self, spans: &mut [Vec<Range<usize>>]) -> Result<Vec<Segment>, PromptError> {
        if let Some(segments) = self.attempt(spans)? {
            return Ok(segments);
        }
        for tag in self.tags_of_assistants()? {
            let holds_tag = |leaf: &Leaf, span: &Range<usize>| {
                leaf.place == Place::Answer && leaf.text[span.clone()].contains(tag)
            };
            let mut only_tag = spans.to_vec();
            for (leaf, spans) in self.leaves.iter().zip(&mut only_tag) {
                spans.retain(|span| holds_tag(leaf, span));
            }
            if self.attempt(&only_tag)?.is_none() {
                for (leaf, spans) in self.leaves.iter().zip(spans.iter_mut()) {
                    spans.retain(|span| !holds_tag(leaf, span));
                }
            }
        }
        self.attempt(spans)?.ok_or(PromptError::ControlString)
    }

    /// The distinct control strings in assistant messages.
    fn tags_of_assistants(&self) -> Result<Vec<&str>, PromptError> {
        let answers: Vec<&Leaf> = self.leaves.iter().filter(|leaf| leaf.place == Place::Answer).collect();
        let is_used = |tag: &&str| {
            answers.iter().any(|leaf| leaf.spans.iter().any(|span| leaf.text[span.clone()].contains(tag)))
        };
        let special = self.renderer.tokenizer.special_tokens().iter();
        let tags: Vec<&str> = special.map(|token| token.text.as_str()).filter(is_used).collect();
        if tags.len() > MAX_TRIED_TAGS { Err(PromptError::ControlString) } else { Ok(tags) }
    }

    /// Marked parts that have no share in a control string are tokenised together with what is around them.
    fn keep_plain_what_is_control(&self, segments: Vec<Segment>) -> Vec<Segment> {
        let control = self.renderer.tokenizer.control_spans(&self.unmarked);
        let mut kept: Vec<Segment> = Vec::with_capacity(segments.len());
        let mut start = 0;
        for mut segment in segments {
            let end = start + segment.text.len();
            let next = control.partition_point(|span| span.end <= start);
            if control.get(next).is_none_or(|span| span.start >= end) {
                segment.special = SpecialText::Control;
            }
            start = end;
            match kept.last_mut() {
                Some(last) if last.special == segment.special && segment.special == SpecialText::Control => {
                    last.text.push_str(&segment.text);
                }
                _ => kept.push(segment),
            }
        }
        kept
    }

    /// The control strings of a prompt, in order.
    fn control_strings<'s>(&self, segments: &'s [Segment]) -> Vec<&'s str> {
        let read = segments.iter().filter(|segment| segment.special == SpecialText::Control);
        read.flat_map(|segment| {
            let spans = self.renderer.tokenizer.control_spans(&segment.text);
            spans.into_iter().map(|span| &segment.text[span])
        })
        .collect()
    }
}

impl Renderer<'_> {
    fn variables(
        &self,
        chat: &ChatPrompt,
        open_end: &str,
        write: &mut dyn FnMut(Place, &str) -> String,
    ) -> Map<String, Value> {
        let wishes = Wishes { no_content_is_none: self.tools.no_content_is_none() };
        chat_variables::variables(self.variables, chat, wishes, open_end, write)
    }
}

/// Characters that occur nowhere in a conversation.
struct Marks {
    /// Stands before text that is no control string.
    open: char,
    /// Stands after it.
    close: char,
    /// Stands where an open message ends.
    end: char,
}

impl Marks {
    /// Three characters of the private-use planes that none of the texts holds; `None` only if they hold nearly all.
    fn absent_from<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Self> {
        const PRIVATE: Range<u32> = 0xf_0000..0xf_fffe;
        let used: HashSet<u32> =
            texts.flat_map(str::chars).map(u32::from).filter(|code| PRIVATE.contains(code)).collect();
        let mut free = PRIVATE.filter(|code| !used.contains(code)).filter_map(char::from_u32);
        Some(Self { open: free.next()?, close: free.next()?, end: free.next()? })
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

    /// The text with other characters in these places, as many as there were.
    fn blank(&self, text: &str, spans: &[Range<usize>]) -> String {
        let mut blanked = String::with_capacity(text.len());
        let mut done = 0;
        for span in spans {
            blanked.push_str(&text[done..span.start]);
            blanked.extend(text[span.clone()].chars().map(|_| self.open));
            done = span.end;
        }
        blanked + &text[done..]
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
