//! Why the engine does not take a sequence.

/// A sequence was not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// As many sequences wait as may wait.
    #[error("the queue is full: {waiting} sequences are waiting (limit {max})")]
    QueueFull {
        /// Sequences waiting now.
        waiting: usize,
        /// Most that may wait.
        max: usize,
    },
    /// The prompt and the tokens to generate can never fit the KV pool or the context.
    #[error("the sequence needs {len} tokens, more than the {max} that fit")]
    PromptTooLong {
        /// Tokens needed.
        len: usize,
        /// Tokens that fit.
        max: usize,
    },
    /// The engine is draining or has stopped.
    #[error("the engine is shutting down")]
    ShuttingDown,
}
