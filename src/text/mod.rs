//! Between text and token ids: tokenizer, detokenizer, chat template, stop strings.

mod template;

pub use template::ChatMessage;
