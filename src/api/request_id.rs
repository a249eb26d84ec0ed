//! `x-request-id`: the client's own if it is well-formed, else a new one, on every answer and in the log.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::state::AppState;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a client.
const MAX_ID_BYTES: usize = 128;

/// The id of a request, in its extensions.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// Gives the request its id, and the answer too.
pub(super) async fn set_request_id(
    State(state): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(&X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let id: Arc<str> = match given.filter(|id| is_well_formed(id)) {
        Some(id) => id.into(),
        None => format!("req-{}", state.stamps.id()).into(),
    };
    let value = HeaderValue::from_str(&id).expect("letters, digits and -_. only");
    request.extensions_mut().insert(RequestId(id));
    let mut response = next.run(request).await;
    response.headers_mut().insert(X_REQUEST_ID, value);
    response
}

fn is_well_formed(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
