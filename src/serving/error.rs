//! Why a request is not served.

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
    /// Too many requests wait.
    #[error("{waiting} requests are waiting (limit {max})")]
    Busy {
        /// Requests waiting.
        waiting: usize,
        /// Most that may wait.
        max: usize,
    },
    /// The engine has more work than it can do in time.
    #[error("{reason}")]
    Overloaded {
        /// What is full, with the numbers.
        reason: String,
        /// When another try has a chance.
        retry_after_ms: u64,
    },
    /// The server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}
