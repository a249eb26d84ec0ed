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
use super::wording::said;

/// How long the rest of a refused body is read on, so that the client gets to see the refusal: closing a socket with
/// unread data resets the connection, and the answer is lost on its way.
const LINGER: Duration = Duration::from_secs(2);
/// Most of a refused body that is read on.
const LINGER_BYTES: u64 = 64 << 20;

/// The members of the JSON object that a request carries.
#[derive(Debug)]
pub(super) struct JsonObject(pub(super) Map<String, Value>);

impl FromRequest<Arc<AppState>> for JsonObject {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self, ApiError> {
        let config = &state.config;
        expect_json(request.headers())?;
        // A client that asked first whether to send its body is told no, and sends nothing.
        let asks_first = request.headers().contains_key(header::EXPECT);
        let mut body = request.into_body();
        let read = read_bounded(&mut body, config.max_body_bytes, seconds(config.body_timeout_s));
        let bytes = match tokio::time::timeout(seconds(config.request_timeout_s), read).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(refused)) => {
                if !asks_first {
                    tokio::spawn(tokio::time::timeout(LINGER, discard(body)));
                }
                return Err(refused);
            }
            Err(_) => return Err(ApiError::body_timeout()),
        };
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
        return Err(ApiError::unsupported_media_type(said!(
            "Compressed request bodies are not supported.",
            "압축된 요청 본문은 지원하지 않습니다."
        )));
    }
    let Some(declared) = headers.get(header::CONTENT_TYPE) else {
        return Err(ApiError::unsupported_media_type(said!(
            "Send the body with the header 'Content-Type: application/json'.",
            "본문은 'Content-Type: application/json' 헤더와 함께 보내 주십시오."
        )));
    };
    let declared = String::from_utf8_lossy(declared.as_bytes());
    let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let message = said!(
        "Send the body with the header 'Content-Type: application/json'; it is '{declared}'.",
        "본문은 'Content-Type: application/json' 헤더와 함께 보내 주십시오. 받은 값은 '{declared}'입니다.",
        declared = shown(&declared),
    );
    Err(ApiError::unsupported_media_type(message))
}

/// Reads a body of at most `max` bytes that never pauses for longer than `pause`.
async fn read_bounded(body: &mut Body, max: usize, pause: Duration) -> Result<Vec<u8>, ApiError> {
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

/// Reads on and forgets, until the end or [`LINGER_BYTES`].
async fn discard(mut body: Body) {
    let mut left = LINGER_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, |piece| piece.len() as u64);
        let Some(rest) = left.checked_sub(length) else { return };
        left = rest;
    }
}
