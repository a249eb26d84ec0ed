//! Between text and token ids: tokenizer, detokenizer, chat template, stop strings.

mod model;
mod template;
mod tokenizer;

pub use model::{GenerationDefaults, TextError, TextModel};
pub use template::ChatMessage;
