//! Failures in Anthropic's shape, on the routes of its API: `{"type": "error", "error": {"type", "message"}}`.

use axum::Json;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::api::error::ApiError;
use crate::api::request_id::RequestId;

/// Where routes speak Anthropic's dialect.
const ROUTES: &str = "/v1/messages";
/// Where its clients look for the id of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Tells the errors of these routes in their own shape, whoever made them, and names the request as their clients
/// expect it.
pub(in crate::api) async fn speak(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    if !route.is_some_and(|route| route.as_str().starts_with(ROUTES)) {
        return next.run(request).await;
    }
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let (mut parts, _) = response.into_parts();
        let told = (status(&error), Json(body(&error, &request_id))).into_response();
        let (told, content) = told.into_parts();
        parts.status = told.status;
        // Whether and when to ask again stays as it was.
        parts.headers.extend(told.headers);
        response = Response::from_parts(parts, content);
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The JSON of an error.
pub(super) fn body(error: &ApiError, request_id: &str) -> Value {
    json!({
        "type": "error",
        "error": { "type": kind(status(error)), "message": error.message() },
        "request_id": request_id,
    })
}

/// Anthropic has a status of its own for a server that can take no more.
fn status(error: &ApiError) -> StatusCode {
    const OVERLOADED: u16 = 529;
    match error.status() {
        StatusCode::SERVICE_UNAVAILABLE => {
            StatusCode::from_u16(OVERLOADED).expect("a status has three digits")
        }
        status => status,
    }
}

fn kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}
