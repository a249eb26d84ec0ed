//! One decoder for all families, driven by a spec, over a backend.
//!
//! [`load_model`] reads a model's files ([`ModelSource`]), makes a [`DecoderSpec`](spec::DecoderSpec)
//! of its `config.json`, packs the weights for the backend that [`ModelConfig`] names, allocates
//! the KV cache and returns a [`Runner`]. Who runs what and when is the engine's business.

mod available_memory;
mod backend;
mod batch;
mod config;
mod decoder;
mod error;
mod families;
mod kv_cache;
mod kv_groups;
mod load;
mod model_runner;
mod registry;
mod runner;
mod source;
pub mod spec;
#[cfg(test)]
mod test_support;
mod weights;

pub use backend::KvDtype;
pub use batch::{BatchLimits, BlockCopy, BlockTables, ForwardBatch, KvGroupBatch};
pub use config::{BackendChoice, ByteSize, IsaChoice, KvDtypeChoice, ModelConfig};
pub use decoder::LoadProgress;
pub use error::{LoadError, ModelError};
pub use kv_cache::{KvSizing, StepBounds};
pub use load::{LoadedModel, ModelDescription, load_model};
pub use runner::{ForwardOutput, HiddenStates, KvCapacity, KvGroup, Logits, Runner};
pub use source::{EmbeddedFile, MAX_TEXT_FILE_BYTES, ModelSource};
pub use weights::{WeightFormat, hub};
