//! The engine: a scheduler, the KV books and the one thread that drives a runner. It handles token ids, never text.
//!
//! | part | what it is for |
//! |---|---|
//! | [`Engine`], [`EngineThread`] | starting and ending the thread |
//! | [`EngineHandle`], [`TokenStream`], [`EnginePulse`] | the engine as the rest of the process sees it |
//! | [`Scheduler`] | a pure state machine: who computes how many tokens in a step |
//! | [`kv`] | which block of the KV pool belongs to whom |
//! | [`BatchBuilder`] | from a step's plan to the forward pass's input |
//! | [`StepSampler`] | from the forward pass's logits to tokens, under each sequence's constraint |
//! | `admission` | how long a new sequence would wait |
//! | `pacer` | how many prompt tokens a step may compute while outputs run |
//! | [`FakeRunner`] | a runner without a model |

mod admission;
mod batch_builder;
mod command;
mod config;
mod error;
#[cfg(debug_assertions)]
mod failpoints;
mod fake_runner;
mod guide;
mod handle;
mod inbox;
pub mod kv;
mod masks;
mod meter;
mod pacer;
mod planted;
mod policy;
mod prediction;
mod prompt_lookup;
mod pulse;
mod reader;
mod readers;
mod readout;
mod run_loop;
mod scheduler;
mod sequence;
#[cfg(test)]
mod simulation;
mod step;
mod step_sampler;
mod tenants;
mod thread;
mod wait_queue;

pub use admission::{QueueLimits, Speed};
pub use batch_builder::BatchBuilder;
pub use command::{Command, QueuedSequence, SequenceId};
pub use config::{EngineConfig, SpeculationConfig};
pub use error::{AdmissionError, EngineDied, Overload, StartError, SubmitError};
#[cfg(debug_assertions)]
pub use failpoints::Failpoints;
pub use fake_runner::FakeRunner;
pub use handle::{
    DraftCounts, EngineHandle, EngineLimits, FinishReason, NewSequence, Pooling, Priority, ScoredToken,
    SequenceError, TenantId, TokenEvent, TokenStream,
};
pub use policy::StepLimits;
pub use pulse::{EnginePulse, QueueTicket};
pub use scheduler::{MAX_SCORED_ROWS, Scheduler, SchedulerConfig};
pub use sequence::{Phase, Sequence};
pub use step::{Admission, ScheduledSequence, StepOutcome, StepPlan, StepResults};
pub use step_sampler::StepSampler;
pub use thread::{Engine, EngineThread};
