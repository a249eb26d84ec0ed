//! Prompts without a conversation: a text, token ids, or a list of either.

use serde_json::Value;

use super::sampling::token_list;
use crate::api::error::ApiError;
use crate::api::fields::{Fields, string_at};
use crate::api::limits::Limit;
use crate::serving::PromptInput;

/// The prompts of a request.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::api) struct Prompts {
    /// In order, at least one.
    pub(in crate::api) inputs: Vec<PromptInput>,
    /// The field in which they stood.
    field: &'static str,
    /// Whether they came as a list.
    is_list: bool,
}

/// The bounds of a field that holds prompts; its name is that of the text.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct PromptLimits {
    /// Length of a text.
    pub(in crate::api) text: Limit,
    /// Number of prompts.
    pub(in crate::api) list: Limit,
    /// Number of tokens of a prompt.
    pub(in crate::api) tokens: Limit,
}

impl Prompts {
    /// Takes the field that holds the prompts.
    ///
    /// # Errors
    /// A value of the wrong type or out of its bounds, or no value.
    pub(in crate::api) fn take(
        fields: &mut Fields,
        limits: PromptLimits,
        add_special_tokens: bool,
    ) -> Result<Self, ApiError> {
        let field = limits.text.path;
        let value = fields.take(field).ok_or_else(|| ApiError::missing(field))?;
        let is_list = value.as_array().is_some_and(|list| !list.first().is_some_and(Value::is_number));
        let inputs = match value {
            Value::Array(list) if is_list => {
                let list = limits.list.check_items(field, list)?;
                let read = |(i, value)| limits.prompt(&format!("{field}[{i}]"), value, add_special_tokens);
                list.into_iter().enumerate().map(read).collect::<Result<_, _>>()?
            }
            other => vec![limits.prompt(field, other, add_special_tokens)?],
        };
        Ok(Self { inputs, field, is_list })
    }

    /// Where the prompt of this number stood in the request.
    pub(in crate::api) fn name(&self, number: usize) -> String {
        if self.is_list { format!("{}[{number}]", self.field) } else { self.field.to_owned() }
    }
}

impl PromptLimits {
    /// The one prompt at `at`.
    fn prompt(&self, at: &str, value: Value, add_special_tokens: bool) -> Result<PromptInput, ApiError> {
        match value {
            Value::Array(list) => {
                self.tokens.check_count(at, list.len())?;
                token_list(at, &list).map(PromptInput::Tokens)
            }
            Value::String(_) => {
                let text = string_at(at, value, &self.text)?;
                Ok(PromptInput::Text { text, add_special_tokens })
            }
            other => Err(ApiError::invalid_type(at, "a string or a list of token ids", &other)),
        }
    }
}
