//! Settings: defaults, below a file, below the environment, below flags; merged as one tree, checked whole, then fixed.
//!
//! Each module owns its part of the tree; this one puts the parts together and knows where each value came from.

mod environment;
mod layers;
mod origin;
mod source;

pub use environment::Environment;
pub use layers::{Fault, Faults, Settings, entries, keys, resolve};
pub use origin::{Origin, Setting};
pub use source::SourceConfig;
