//! The HTTP floor over a fake engine: the router in memory, and the server on a real socket.

mod access_log;
mod auth;
mod chat;
mod disconnect;
mod errors;
mod fake_engine;
mod http2;
mod limits;
mod openapi;
mod params;
mod resources;
mod scheduling;
mod server;
mod socket;
mod stream;
mod support;
