//! `GET /version`.

use axum::Json;
use serde::Serialize;

/// What runs here.
#[derive(Debug, Serialize)]
pub(super) struct Version {
    name: &'static str,
    version: &'static str,
}

/// Name and version of the server.
pub(super) async fn version() -> Json<Version> {
    Json(Version { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") })
}
