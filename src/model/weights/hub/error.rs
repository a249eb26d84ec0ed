//! Why a model cannot be had from the hub.

use std::io;
use std::path::PathBuf;

/// Why a model cannot be had from the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The name is not `OWNER/NAME`.
    #[error("`{0}` is not a model on the hub: expected OWNER/NAME")]
    InvalidId(String),
    /// The revision cannot be part of an address or a path.
    #[error("`{0}` is not a revision: expected a branch, a tag or a commit")]
    InvalidRevision(String),
    /// Offline, and the cache lacks a file.
    #[error(
        "{repo} at {revision}: {file} is not in the cache ({cache}); start once without --offline to fetch it",
        cache = cache_dir.display()
    )]
    NotCached {
        /// The repository.
        repo: String,
        /// The revision asked for.
        revision: String,
        /// The missing file.
        file: String,
        /// The cache that was searched.
        cache_dir: PathBuf,
    },
    /// 401, or 404 without a token: absent, private or gated, and the hub does not say which.
    #[error(
        "{repo}: the hub refuses access ({status}); check the name, and for a gated or private model set HF_TOKEN"
    )]
    Unauthorized {
        /// The repository.
        repo: String,
        /// The hub's status.
        status: u16,
    },
    /// 403: the token is known and may not read this model.
    #[error("{repo}: this token has no access; ask for it on the model's page, {endpoint}/{repo}")]
    Forbidden {
        /// The repository.
        repo: String,
        /// The hub.
        endpoint: String,
    },
    /// 404 of the repository or revision.
    #[error("{repo}: the hub has no such model or no revision `{revision}`")]
    NotFound {
        /// The repository.
        repo: String,
        /// The revision asked for.
        revision: String,
    },
    /// The repository lacks a file that every model has.
    #[error("{repo} has no {file}; Maru reads safetensors models with a tokenizer.json")]
    MissingFile {
        /// The repository.
        repo: String,
        /// What it lacks.
        file: String,
    },
    /// A file of the repository names another that cannot be one of its shards.
    #[error("{repo}: {file} names `{shard}`, which is not a file of this repository")]
    ForeignShard {
        /// The repository.
        repo: String,
        /// The index.
        file: String,
        /// What it names.
        shard: String,
    },
    /// An answer that the hub does not give.
    #[error("{url}: unexpected answer: {reason}")]
    Protocol {
        /// What was asked.
        url: String,
        /// What is odd about the answer.
        reason: String,
    },
    /// The hub was not reached, or the connection broke too often.
    #[error("{url}: {reason} (what has arrived is kept; start again to go on)")]
    Unreachable {
        /// What was asked.
        url: String,
        /// The last failure.
        reason: String,
    },
    /// What arrived is not what the hub announced.
    #[error("{file}: the downloaded file does not match its checksum and was removed; start again")]
    Corrupt {
        /// The file.
        file: String,
    },
    /// The cache cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}
