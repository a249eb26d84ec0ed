//! What ended a choice, beside its reason.

use serde::Serialize;

use crate::serving::StopCause;

/// What the client asked to stop at, as vLLM tells it: a string or a token id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(in crate::api) enum StopReason {
    String(String),
    Token(u32),
}

impl From<StopCause> for StopReason {
    fn from(cause: StopCause) -> Self {
        match cause {
            StopCause::String(text) => Self::String(text),
            StopCause::Token(token_id) => Self::Token(token_id),
        }
    }
}
