//! The HTTP floor over a fake engine: the router in memory, and the server on a real socket.

mod access_log;
mod auth;
mod chat;
mod chat_output;
mod completions;
mod dialect_limits;
mod disconnect;
mod embeddings;
mod errors;
mod fake_engine;
mod http2;
mod limits;
mod messages;
mod params;
mod resources;
mod responses;
mod scheduling;
mod scoring_engine;
mod server;
mod socket;
mod stream;
mod support;
mod text_generation;
mod tokenize;
