//! The engine: a scheduler, the KV books and the one thread that drives a runner. It handles token ids, never text.

mod command;
mod error;
mod handle;
mod pulse;

pub use command::{Command, QueuedSequence, SequenceId};
pub use error::SubmitError;
pub use handle::{
    EngineHandle, EngineLimits, FinishReason, NewSequence, SequenceError, TokenEvent, TokenStream,
};
pub use pulse::{EnginePulse, QueueTicket};
