//! The stream of one request's output.

use super::{ChoiceUsage, OutputDelta, OutputFinish, SequenceError};

/// A request that was admitted. Dropping it aborts all its choices and frees what they hold.
#[derive(Debug)]
pub struct Generation {
    pub(super) num_prompt_tokens: usize,
    pub(super) max_new_tokens: u32,
    pub(super) seed: u64,
}

/// One whole choice.
#[derive(Debug, Clone, PartialEq)]
pub struct ChoiceOutput {
    /// Which choice.
    pub choice: u32,
    /// All of its text.
    pub text: String,
    /// Why it is complete.
    pub reason: OutputFinish,
    /// What it cost.
    pub usage: ChoiceUsage,
}

impl Generation {
    /// Tokens of the prompt.
    pub fn num_prompt_tokens(&self) -> usize {
        self.num_prompt_tokens
    }

    /// Most tokens that each choice generates: what the request asked for, or less where less fits the context.
    pub fn max_new_tokens(&self) -> u32 {
        self.max_new_tokens
    }

    /// The seed in use: the request's, or the one drawn for it.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The next delta of any choice; `None` after every choice has had its `Finished` or `Failed`. A call that is
    /// dropped before it is ready loses nothing, so it may stand in a `select!`.
    pub async fn next(&mut self) -> Option<OutputDelta> {
        None
    }

    /// All choices whole, in the order of their numbers.
    ///
    /// # Errors
    /// The first fault of any choice; the others are aborted.
    pub async fn collect(self) -> Result<Vec<ChoiceOutput>, SequenceError> {
        Ok(Vec::new())
    }
}
