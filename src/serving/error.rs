//! Why a request is not served.

use crate::engine::{Overload, SequenceError};

/// A request that can never be served as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{param}: {reason}")]
pub struct RequestError {
    /// The field at fault, as the client spells it.
    pub param: String,
    /// What is wrong with it, for a person.
    pub reason: String,
}

/// A request was not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The request is at fault.
    #[error(transparent)]
    Invalid(#[from] RequestError),
    /// The prompt leaves no room for output.
    #[error("the prompt has {num_prompt_tokens} tokens, the context holds {max_model_len}")]
    ContextLengthExceeded {
        /// Tokens of the prompt.
        num_prompt_tokens: usize,
        /// Tokens that the model's context holds.
        max_model_len: usize,
    },
    /// There is more work than can be done in time.
    #[error("{reason}")]
    Overloaded {
        /// What is full.
        reason: Congestion,
        /// When another try has a chance.
        retry_after_ms: u64,
    },
    /// A sequence of the request failed.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// The server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

/// What there is too much of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Congestion {
    /// Prompts that are to be rendered and tokenised.
    #[error("{waiting} prompts are being prepared (limit {max})")]
    Preparation {
        /// Prompts that are being prepared or wait to be.
        waiting: usize,
        /// Most that may.
        max: usize,
    },
    /// Sequences in front of the engine.
    #[error(transparent)]
    Queue(#[from] Overload),
}

impl Congestion {
    /// The reason as a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Preparation { .. } => "preparing",
            Self::Queue(Overload::QueueFull { .. }) => "queue_full",
            Self::Queue(Overload::QueuedTokens { .. }) => "queue_tokens",
            Self::Queue(Overload::ExpectedWait { .. }) => "queue_wait",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_congestion_has_a_label_of_its_own() {
        let congestions = [
            Congestion::Preparation { waiting: 1, max: 1 },
            Overload::QueueFull { waiting: 1, max: 1 }.into(),
            Overload::QueuedTokens { waiting: 1, asked: 1, max: 1 }.into(),
            Overload::ExpectedWait { expected_ms: 1, max_ms: 1 }.into(),
        ];
        let labels = congestions.each_ref().map(Congestion::label);
        assert_eq!(labels, ["preparing", "queue_full", "queue_tokens", "queue_wait"]);
    }
}
