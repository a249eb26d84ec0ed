//! The neutral stream of output that every API renders in its own way.

use crate::engine::{DraftCounts, SequenceError};

/// A new piece of one choice's output.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputDelta {
    /// Which choice.
    pub choice: u32,
    /// What is new.
    pub kind: DeltaKind,
}

/// What is new in a choice. Per choice: one `Started`, any number of `Text`, then one `Finished` or `Failed`.
#[derive(Debug, Clone, PartialEq)]
pub enum DeltaKind {
    /// The sequence was scheduled for the first time.
    Started,
    /// More text, ending on a grapheme border.
    Text(String),
    /// The choice is complete.
    Finished {
        /// Why.
        reason: OutputFinish,
        /// What it cost.
        usage: ChoiceUsage,
    },
    /// The choice was ended by a fault.
    Failed(SequenceError),
}

/// Why a choice is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFinish {
    /// A stop token or stop string.
    Stop,
    /// The token limit.
    Length,
}

/// Tokens of one choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChoiceUsage {
    /// Prompt tokens found in the prefix cache.
    pub num_cached_tokens: u32,
    /// Tokens generated, the stop token included.
    pub num_output_tokens: u32,
    /// How guesses ahead of the model fared; none are known of a choice that a stop string ended.
    pub drafts: DraftCounts,
}
