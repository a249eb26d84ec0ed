//! The life of one request: from a prompt to a stream of deltas, without wire types or status codes.

mod choice;
mod clock;
mod config;
mod embed;
mod error;
mod forms;
mod generation;
mod generation_set;
mod generator;
mod output;
mod pipeline;
mod prepare;
mod request;
mod tokens;

pub use config::ServingConfig;
pub use error::{Congestion, GenerateError, RequestError};
pub use generation::Generation;
pub use generation_set::GenerationSet;
pub use generator::Generator;
pub use output::{
    ChoiceOutput, ChoiceUsage, DeltaKind, GenerationOutput, OutputDelta, OutputFinish, OutputToken,
    RankedToken, StopCause,
};
pub use request::{
    EmbedRequest, Embedding, EndOptions, FormRequest, GenerateRequest, PromptInput, ReasoningOptions,
    RenderedPrompt, ReportOptions, SamplingOptions,
};

pub use crate::engine::{DraftCounts, EnginePulse, Overload, Pooling, Priority, SequenceError, TenantId};
pub use crate::sampling::GrammarSpec;
pub use crate::text::{
    ChatMessage, ChatPrompt, Detokenizer, GenerationDefaults, Language, ToolCall, ToolChoice, ToolDefinition,
};

#[cfg(test)]
mod tests;
