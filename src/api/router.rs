//! The table of contents, and what every request passes on its way in.

use std::any::Any;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::error::ApiError;
use super::responses::ResponseStore;
use super::state::{AppState, Phase};
use super::{
    access_log, auth, chat, completions, embeddings, health, messages, metrics, models, request_id,
    responses, text_generation, tokenize, version,
};

/// Routes whose requests can stand in a file: a JSON body goes in by POST, a whole answer comes out.
pub const BATCH_ROUTES: &[&str] = &[
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
    "/v1/chat/completions/render",
    "/v1/completions/render",
    "/v1/responses/input_tokens",
    "/v1/messages/count_tokens",
    "/generate",
    "/tokenize",
    "/detokenize",
];

/// Every route of the server.
pub fn router(state: Arc<AppState>) -> Router {
    let routes = Router::new()
        .route("/v1/chat/completions", post(chat::create))
        .route("/v1/responses", post(responses::create))
        .route("/v1/responses/input_tokens", post(responses::count_tokens))
        .route("/v1/responses/{id}", get(responses::retrieve).delete(responses::delete))
        .route("/v1/responses/{id}/cancel", post(responses::cancel))
        .route("/v1/responses/{id}/input_items", get(responses::input_items))
        .route("/v1/messages", post(messages::create))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/v1/completions", post(completions::create))
        .route("/v1/chat/completions/render", post(chat::render))
        .route("/v1/completions/render", post(completions::render))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/generate", post(text_generation::generate))
        .route("/generate_stream", post(text_generation::generate_stream))
        .route("/tokenize", post(tokenize::tokenize))
        .route("/detokenize", post(tokenize::detokenize))
        .route("/tokenizer_info", get(tokenize::info))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::retrieve))
        .route("/live", get(health::live))
        .route("/ready", get(health::ready))
        .route("/health", get(health::health))
        .route("/version", get(version::version))
        .route("/metrics", get(metrics::metrics))
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed);
    let (count, bytes) = (state.config.max_stored_responses, state.config.max_stored_response_bytes);
    let stored = Arc::new(ResponseStore::new(count, bytes));
    // The last layer is the outermost.
    routes
        .layer(Extension(stored))
        .layer(from_fn_with_state(Arc::clone(&state), auth::require_key))
        .layer(from_fn_with_state(Arc::clone(&state), bound_headers))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn_with_state(Arc::clone(&state), close_when_draining))
        .layer(option_layer(cors(&state.config.cors_origins)))
        .layer(from_fn(forbid_sniffing))
        .layer(from_fn(messages::speak))
        .layer(from_fn_with_state(Arc::clone(&state), access_log::record))
        .layer(from_fn_with_state(Arc::clone(&state), request_id::set_request_id))
        .with_state(state)
}

async fn unknown_route(request: Request) -> ApiError {
    ApiError::unknown_route(method_name(request.method()), request.uri().path())
}

async fn method_not_allowed(request: Request) -> ApiError {
    ApiError::method_not_allowed(method_name(request.method()), request.uri().path())
}

/// A method's name for a message: a client may send any word of any length.
fn method_name(method: &Method) -> &str {
    if method.as_str().len() <= 16 { method.as_str() } else { "such" }
}

/// Holds the headers to the limits. Far beyond them, the connection answers before a request is made.
async fn bound_headers(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let config = &state.config;
    let count = request.headers().len();
    if count > config.max_headers {
        let message = format!("The request has {count} header lines, more than {}.", config.max_headers);
        return ApiError::headers_too_large(&message).into_response();
    }
    // Name, colon, space, value and line end.
    let bytes: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > config.max_header_bytes {
        let message =
            format!("The request has {bytes} bytes of headers, more than {}.", config.max_header_bytes);
        return ApiError::headers_too_large(&message).into_response();
    }
    next.run(request).await
}

/// Asks clients to take their next request elsewhere while the server drains.
async fn close_when_draining(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let version = request.version();
    let mut response = next.run(request).await;
    let is_http1 = version <= axum::http::Version::HTTP_11;
    if is_http1 && state.lifecycle.phase() >= Phase::Draining {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn forbid_sniffing(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

fn answer_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(message, "a handler panicked");
    ApiError::internal().into_response()
}

/// Leave for web pages of these origins, if there are any.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::DELETE, Method::OPTIONS])
        // The SDKs add a family of `x-stainless-` headers that grows with their versions.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            request_id::X_REQUEST_ID,
            HeaderName::from_static("x-maru-ignored-params"),
            HeaderName::from_static("retry-after-ms"),
            header::RETRY_AFTER,
        ])
        .max_age(std::time::Duration::from_secs(600));
    Some(layer)
}
