//! Between text and token ids: tokenizer, detokenizer, chat template, output format, stop strings.

mod chat_variables;
mod conversation;
mod detokenizer;
mod format;
mod fragments;
mod grammar;
mod graphemes;
mod model;
mod patterns;
mod prompt;
mod python_json;
mod stop_strings;
mod template;
#[cfg(test)]
mod test_support;
mod tokenizer;
mod tool_support;

pub use conversation::{ChatMessage, ChatPrompt, EncodedChat, ToolCall, ToolDefinition};
pub use detokenizer::{Detokenizer, ShownTokens};
pub use format::{
    FormatEvent, FormatParser, LoopDetector, OutputFormat, ParserOptions, ReasoningLimits, ToolChoice,
};
pub use grammar::{
    CompiledGrammar, GrammarCompiler, GrammarError, Language, LanguageLock, MAX_GRAMMAR_BYTES, language_set,
};
pub use graphemes::GraphemeBuffer;
pub use model::{GenerationDefaults, TEXT_FILES, TextError, TextModel};
pub use prompt::PromptError;
pub use stop_strings::{MAX_STOP_STRING_BYTES, MAX_STOP_STRINGS, StopScan, StopScanner, StopStrings};
pub use template::TemplateError;
pub use tokenizer::{SpecialText, SpecialToken, Tokenizer};
