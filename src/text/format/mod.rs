//! What a model's output is made of: reasoning, content and tool calls.
//!
//! Which tags a model uses is read from its chat template and its vocabulary, so nobody has to name a parser. This is
//! the one place of the text floor that knows the habits of model families:
//!
//! | syntax | who writes it |
//! |---|---|
//! | `<think>`..`</think>` | EXAONE 4, K-EXAONE, Qwen3, DeepSeek and what is distilled from it |
//! | `<thought>`..`</thought>` | EXAONE Deep |
//! | `<tool_call>{"name": .., "arguments": {..}}</tool_call>` | EXAONE 4, K-EXAONE, Hermes, Qwen 2.5 and 3; and models that never learnt one, which are told to |
//! | `{"name": .., "parameters": {..}}`, after `<\|python_tag\|>` or alone | Llama 3 |

mod call;
mod events;
mod grammar;
mod guard;
mod loops;
mod parser;

pub use events::FormatEvent;
pub use guard::ReasoningLimits;
pub use loops::LoopDetector;
pub use parser::FormatParser;

use super::Tokenizer;
use call::CallShape;

const THINK: ReasoningTags = ReasoningTags { open: "<think>", close: "</think>", closing: "\n</think>\n\n" };
const THOUGHT: ReasoningTags =
    ReasoningTags { open: "<thought>", close: "</thought>", closing: "\n</thought>\n\n" };
const OPEN_CALL: &str = "<tool_call>";
const CLOSE_CALL: &str = "</tool_call>";
const PYTHON_TAG: &str = "<|python_tag|>";

/// The tags of a model's reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ReasoningTags {
    open: &'static str,
    close: &'static str,
    /// The closing tag with the newlines that models write around it.
    closing: &'static str,
}

/// How a model writes a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallSyntax {
    /// A JSON object inside tags.
    Tagged,
    /// A JSON object that stands alone, or after a tag that nothing closes.
    Bare,
}

impl CallSyntax {
    fn open(self) -> &'static str {
        match self {
            Self::Tagged => OPEN_CALL,
            Self::Bare => PYTHON_TAG,
        }
    }

    fn close(self) -> Option<&'static str> {
        (self == Self::Tagged).then_some(CLOSE_CALL)
    }

    fn shape(self) -> CallShape {
        match self {
            Self::Tagged => CallShape::Tagged,
            Self::Bare => CallShape::Bare,
        }
    }

    /// The key of the arguments.
    fn arguments(self) -> &'static str {
        match self {
            Self::Tagged => "arguments",
            Self::Bare => "parameters",
        }
    }
}

/// Which tools a model may call in its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// None.
    None,
    /// Those that it wants to call, if any.
    #[default]
    Auto,
    /// At least one.
    Required,
    /// This one, once.
    Named(String),
    /// Some of them only.
    Allowed {
        /// Their names.
        names: Vec<String>,
        /// Whether at least one must be called.
        required: bool,
    },
}

/// How a parser reads an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParserOptions {
    /// The prompt ends inside the reasoning: see [`OutputFormat::starts_in_reasoning`].
    pub in_reasoning: bool,
    /// Tell reasoning from content; otherwise all of it is content, tags included.
    pub parse_reasoning: bool,
    /// Look for tool calls; otherwise they are content.
    pub parse_tools: bool,
}

/// What a model's output is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFormat {
    reasoning: Option<ReasoningTags>,
    calls: CallSyntax,
    has_native_tools: bool,
    /// Marks that are special tokens, with their ids.
    special: Vec<(&'static str, u32)>,
}

impl OutputFormat {
    /// Reads the format from the source of the model's chat template and from its vocabulary.
    pub fn detect(template: Option<&str>, tokenizer: &Tokenizer) -> Self {
        let source = template.unwrap_or_default();
        let in_template = [THINK, THOUGHT].into_iter().find(|tags| source.contains(tags.close));
        let in_template =
            in_template.or_else(|| [THINK, THOUGHT].into_iter().find(|tags| source.contains(tags.open)));
        let in_vocabulary = || {
            let holds = |tag| tokenizer.token_to_id(tag).is_some();
            [THINK, THOUGHT].into_iter().find(|tags| holds(tags.open) && holds(tags.close))
        };
        let shows_tools = source.contains("tools");
        // Calls written as tags inside tags are not read here: such a model is told the other syntax.
        let shows_tags = source.contains(OPEN_CALL) && !source.contains("<function=");
        let shows_bare = source.contains("\"parameters\"") && source.contains("\"name\"");
        let (calls, has_native_tools) = match shows_tools {
            true if shows_tags => (CallSyntax::Tagged, true),
            true if shows_bare => (CallSyntax::Bare, true),
            _ => (CallSyntax::Tagged, false),
        };
        let mut format = Self {
            reasoning: in_template.or_else(in_vocabulary),
            calls,
            has_native_tools,
            special: Vec::new(),
        };
        let special = tokenizer.special_tokens();
        for mark in format.all_marks() {
            let token = special.iter().find(|token| token.text == mark);
            format.special.extend(token.map(|token| (mark, token.id)));
        }
        format
    }

    /// The tags around the reasoning, if the model reasons.
    pub fn reasoning_tags(&self) -> Option<(&str, &str)> {
        self.reasoning.map(|tags| (tags.open, tags.close))
    }

    /// Whether the chat template itself tells the model of tools, in the syntax that [`Self::parser`] reads. If not,
    /// the prompt must: a call is `<tool_call>{"name": .., "arguments": {..}}</tool_call>`.
    pub fn has_native_tools(&self) -> bool {
        self.has_native_tools
    }

    /// Whether the output that follows this prompt begins inside the reasoning: the prompt ends with the opening tag.
    pub fn starts_in_reasoning(&self, rendered_prompt: &str) -> bool {
        self.reasoning.is_some_and(|tags| rendered_prompt.trim_end().ends_with(tags.open))
    }

    /// The text that closes open reasoning, for a model that may not go on with it.
    pub fn closing(&self) -> Option<&str> {
        self.reasoning.map(|tags| tags.closing)
    }

    /// A parser at the start of an output.
    pub fn parser(&self, options: ParserOptions) -> FormatParser {
        FormatParser::new(self.reasoning, self.calls, options)
    }

    /// Strings that the parser must see even where they are special tokens.
    pub fn marks(&self) -> Vec<String> {
        self.all_marks().into_iter().map(str::to_owned).collect()
    }

    fn all_marks(&self) -> Vec<&'static str> {
        let tags = self.reasoning.map(|tags| [tags.open, tags.close]);
        let mut marks: Vec<&str> = tags.into_iter().flatten().collect();
        marks.push(self.calls.open());
        marks.extend(self.calls.close());
        marks
    }

    /// The id of a mark that is a special token.
    fn special_id(&self, mark: &str) -> Option<u32> {
        self.special.iter().find(|(text, _)| *text == mark).map(|&(_, id)| id)
    }
}

#[cfg(test)]
mod grammar_tests;
#[cfg(test)]
mod guard_tests;
#[cfg(test)]
mod tests;
