//! Why the engine does not take a sequence, does not start, or ended.

/// A sequence was not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// There is more work than the engine can do in time.
    #[error("{reason}")]
    Overloaded {
        /// What is full.
        reason: Overload,
        /// When another try has a chance.
        retry_after_ms: u64,
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

/// Why a sequence is refused for now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Overload {
    /// As many sequences wait as may wait.
    #[error("the queue is full: {waiting} sequences are waiting (limit {max})")]
    QueueFull {
        /// Sequences waiting now.
        waiting: usize,
        /// Most that may wait.
        max: usize,
    },
    /// The waiting sequences would hold more tokens than may wait.
    #[error("the queue is full: {waiting} tokens are waiting, this request has {asked} (limit {max})")]
    QueuedTokens {
        /// Tokens waiting now.
        waiting: usize,
        /// Tokens of this sequence.
        asked: usize,
        /// Most that may wait.
        max: usize,
    },
    /// At the measured speed the sequence would wait for longer than it may.
    #[error("the queue is too long: the wait would be about {expected_ms} ms (limit {max_ms} ms)")]
    ExpectedWait {
        /// Expected wait.
        expected_ms: u64,
        /// Longest wait allowed.
        max_ms: u64,
    },
}

/// The scheduler cannot take a sequence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// The prompt is empty or no token may be generated.
    #[error("the sequence has an empty prompt or nothing to generate")]
    NothingToDo,
    /// A sequence that generates nothing has no scores either.
    #[error("prompt scores and pooling do not go together")]
    ScoresAndPooling,
    /// Even the empty pool could not hold it.
    #[error("the sequence needs {needed} blocks of the KV cache, which has {num_blocks}")]
    NeverFits {
        /// Blocks that it would hold.
        needed: usize,
        /// Blocks of the whole pool.
        num_blocks: usize,
    },
}

/// The engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings that cannot work, with their reasons.
    #[error("invalid engine settings: {}", faults.iter().map(|(key, why)| format!("{key} {why}")).collect::<Vec<_>>().join("; "))]
    InvalidConfig {
        /// Key and reason of each.
        faults: Vec<(&'static str, String)>,
    },
    /// The runner has no room for a single token.
    #[error("the KV cache has {num_blocks} blocks of {block_size} tokens: there must be at least one")]
    NoKvCache {
        /// Blocks in the pool.
        num_blocks: u32,
        /// Tokens per block.
        block_size: u32,
    },
    /// The operating system gave no thread.
    #[error("the engine's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The engine's thread panicked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the engine died: {reason}")]
pub struct EngineDied {
    /// The panic's message.
    pub reason: String,
}
