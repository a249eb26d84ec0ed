//! What form an output must have, before it is compiled.

use serde_json::Value;

/// The form that an output must have.
#[derive(Debug, Clone, PartialEq)]
pub enum GrammarSpec {
    /// A JSON value that a JSON Schema accepts.
    JsonSchema {
        /// The schema.
        schema: Value,
    },
    /// Any JSON object.
    JsonObject,
    /// A text that a regular expression matches from its first to its last character.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A text that a context-free grammar in Lark's notation derives.
    Lark(String),
}
