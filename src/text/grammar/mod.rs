//! Grammars that an output is held to: JSON Schema, regular expressions, lists of choices, and context-free grammars
//! in Lark's notation, compiled for the vocabulary of one model and walked token by token.
//!
//! # What comes out
//! JSON has its keys in the schema's order, no whitespace but at most one space after `,` and `:`, and characters as
//! themselves: of the escapes only `\" \\ \b \f \n \r \t`. A schema is checked before it is compiled
//! (see `schema`): a keyword either is enforced, or says nothing about validity, or is refused by name.
//!
//! # Special tokens in a Lark text
//! Text of a grammar (`"..."`, `/.../`, strings of JSON) never produces a special token, however it is spelled. A Lark
//! text names special tokens outside of quotes: `<name>` if the token's whole text has that form and holds neither
//! whitespace nor further angle brackets (`<tool_call>`, `<|tool|>`), and `<[123]>` by id for any token, such as one
//! spelled `[|tool|]`. A token that the vocabulary adds without marking it special is text like any other, and is
//! written in quotes.

mod cache;
mod compiler;
mod error;
mod language;
mod lark;
mod schema;
mod state;
mod vocabulary;

pub use compiler::{CompiledGrammar, GrammarCompiler, MAX_GRAMMAR_BYTES};
pub use error::GrammarError;
pub use language::{Language, LanguageLock, language_set};

#[cfg(test)]
mod tests;
