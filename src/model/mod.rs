//! One decoder for all families, driven by a spec, over a backend.

mod batch;
mod error;
mod runner;
pub mod weights;

pub use batch::{BlockTables, ForwardBatch};
pub use error::{LoadError, ModelError};
pub use runner::{KvCapacity, Logits, Runner};
