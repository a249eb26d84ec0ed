//! What can go wrong while a model is loaded and while it runs.

use std::path::PathBuf;

/// A model could not be loaded. Every variant names the file, and the key or tensor where there
/// is one.
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
    /// The folder holds no weights that Maru reads.
    #[error("{path}: {reason}", path = path.display())]
    UnsupportedFormat {
        /// The folder or file.
        path: PathBuf,
        /// What was found, and what is needed.
        reason: String,
    },
    /// A file is not what its name says.
    #[error("{path}: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A value of `config.json` is missing, contradictory or not supported.
    #[error("{path}: {key}: {reason}", path = path.display())]
    Config {
        /// The configuration file.
        path: PathBuf,
        /// The key, with dots for nesting.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model is of a family that Maru does not know.
    #[error("{path}: {found} is not supported; supported are {supported}", path = path.display())]
    UnsupportedModel {
        /// The configuration file.
        path: PathBuf,
        /// What the file says it is.
        found: String,
        /// The families that are supported.
        supported: String,
    },
    /// A tensor that the model needs is in no file.
    #[error("{path}: tensor {tensor} is missing", path = path.display())]
    MissingTensor {
        /// The weight file or the index.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor does not fit the model.
    #[error("{path}: tensor {tensor}: {reason}", path = path.display())]
    Tensor {
        /// The file that holds the tensor.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting does not fit the model or the machine.
    #[error("model.{key}: {reason}")]
    Setting {
        /// The key below `[model]`.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The KV pool would not hold a single sequence of the largest length.
    #[error(
        "the KV cache has room for {max_tokens} tokens in {memory} bytes ({bytes_per_token} bytes per token), \
         but one sequence may have {max_model_len}: set model.max_model_len to at most {max_tokens}, \
         or model.kv_cache_memory to at least {needed}"
    )]
    KvCacheTooSmall {
        /// Bytes that may be used.
        memory: u64,
        /// Bytes of one token's keys and values in all layers.
        bytes_per_token: u64,
        /// Tokens that fit.
        max_tokens: u64,
        /// Tokens of the longest sequence.
        max_model_len: u32,
        /// Bytes that the longest sequence needs.
        needed: u64,
    },
    /// A backend refused the weights or the memory.
    #[error("{backend} backend: {reason}")]
    Backend {
        /// The backend.
        backend: &'static str,
        /// Its reason.
        reason: String,
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
