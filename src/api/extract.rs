//! The body of a request: declared as JSON, bounded in size and in time, and an object.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde_json::{Map, Value};

use super::config::seconds;
use super::error::{ApiError, shown};
use super::state::AppState;

/// The members of the JSON object that a request carries.
#[derive(Debug)]
pub(super) struct JsonObject(pub(super) Map<String, Value>);

impl FromRequest<Arc<AppState>> for JsonObject {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self, ApiError> {
        let config = &state.config;
        expect_json(request.headers())?;
        let read = read_bounded(request.into_body(), config.max_body_bytes, seconds(config.body_timeout_s));
        let bytes = tokio::time::timeout(seconds(config.request_timeout_s), read)
            .await
            .map_err(|_| ApiError::body_timeout())??;
        if bytes.is_empty() {
            return Err(ApiError::invalid_json("it is empty"));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(ApiError::invalid_json("it must be an object")),
            Err(error) => Err(ApiError::invalid_json(&error.to_string())),
        }
    }
}

/// Lets `application/json` pass, uncompressed. Anything else could also be sent by a web page without the browser
/// asking for leave first, so even an absent type is refused.
fn expect_json(headers: &HeaderMap) -> Result<(), ApiError> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(ApiError::unsupported_media_type("Compressed request bodies are not supported."));
    }
    const ADVICE: &str = "Send the body with the header 'Content-Type: application/json'";
    let Some(declared) = headers.get(header::CONTENT_TYPE) else {
        return Err(ApiError::unsupported_media_type(&format!("{ADVICE}.")));
    };
    let declared = String::from_utf8_lossy(declared.as_bytes());
    let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let message = format!("{ADVICE}; it is '{}'.", shown(&declared));
    Err(ApiError::unsupported_media_type(&message))
}

/// Reads a body of at most `max` bytes that never pauses for longer than `pause`.
async fn read_bounded(mut body: Body, max: usize, pause: Duration) -> Result<Vec<u8>, ApiError> {
    if body.size_hint().lower() > max as u64 {
        return Err(ApiError::body_too_large(max));
    }
    let mut bytes = Vec::new();
    loop {
        let frame = tokio::time::timeout(pause, body.frame()).await.map_err(|_| ApiError::body_timeout())?;
        let Some(frame) = frame else { return Ok(bytes) };
        let frame = frame.map_err(|_| ApiError::broken_body())?;
        // Trailers say nothing that is read here.
        let Ok(piece) = frame.into_data() else { continue };
        if bytes.len() + piece.len() > max {
            return Err(ApiError::body_too_large(max));
        }
        bytes.extend_from_slice(&piece);
    }
}
