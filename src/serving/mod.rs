//! The life of one request: from a prompt to a stream of deltas, without wire types or status codes.

mod config;
mod error;
mod generation;
mod generator;
mod output;
mod prepare;
mod request;
mod stream;

pub use config::ServingConfig;
pub use error::{Congestion, GenerateError, RequestError};
pub use generation::{ChoiceOutput, Generation};
pub use generator::Generator;
pub use output::{ChoiceUsage, DeltaKind, OutputDelta, OutputFinish};
pub use request::{GenerateRequest, PromptInput, SamplingOptions};

pub use crate::engine::{DraftCounts, EnginePulse, Overload, Priority, SequenceError, TenantId};
pub use crate::text::{ChatMessage, ChatPrompt, GenerationDefaults, ToolCall, ToolDefinition};

#[cfg(test)]
mod tests;
