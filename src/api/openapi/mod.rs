//! `GET /openapi.json` and `GET /docs`: what the server takes and answers, made of the tables with which it checks.
//!
//! [`groups`] name what each endpoint honours, with bounds from the limits table; requests are held to them as they are
//! read. What is not honoured comes from the policies of `params`. A new route is one row of `operations`.

mod answers;
mod document;
mod examples;
pub(super) mod groups;
mod operations;
mod page;
mod shape;

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};

/// Nothing from elsewhere, and no scripts.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The document; it is made of constants.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| document::document().to_string());
static PAGE: LazyLock<String> = LazyLock::new(|| page::page(&document::document()));

/// The document as JSON.
pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// The document as a page to read.
pub(super) async fn docs() -> Response {
    ([(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)], Html(PAGE.as_str())).into_response()
}
