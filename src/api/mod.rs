//! HTTP: wire types, errors, streaming, authentication, health. The only floor that knows a status code or OpenAI.
//!
//! [`router`] is the table of contents, with a file or folder per resource. [`Server`] owns the sockets: its accept
//! loop has the timeouts and caps that `axum::serve` lacks, and drains when it is told to stop. What a request may
//! carry stands in [`limits`] and `params`; every failure leaves as an `ApiError`.

mod access_log;
mod answer;
mod auth;
mod cache_salt;
mod chat;
mod completions;
mod config;
mod connection;
mod embeddings;
mod error;
mod extract;
mod fields;
mod health;
pub mod limits;
mod messages;
mod metrics;
mod models;
mod params;
mod priority;
mod request;
mod request_id;
mod responses;
mod router;
mod server;
mod sse;
mod state;
mod text_generation;
mod tokenize;
mod version;

pub use auth::{ApiKeyError, ApiKeys};
pub use config::{Secret, ServerConfig};
pub use router::{BATCH_ROUTES, router};
pub use server::{DrainOutcome, Server};
pub use state::{AppState, Lifecycle, Phase, ServedModel, Stamps, SystemStamps};
