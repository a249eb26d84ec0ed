//! What can go wrong while a model is loaded and while it runs.

use std::path::PathBuf;

/// A model could not be loaded. Every variant names the file, and the tensor where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file could not be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
}

/// A forward pass failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The batch does not fit the model: an id, position or slot is out of range.
    #[error("invalid batch: {0}")]
    InvalidBatch(String),
    /// A backend failed while it ran the named operation.
    #[error("{op}: {reason}")]
    Backend {
        /// The operation of the step.
        op: &'static str,
        /// The backend's reason.
        reason: String,
    },
}
