//! One log event and one count per request, when its answer has been sent or its client has left.
//!
//! What is logged comes from the router (the route, not the path) and from checked values; prompts, outputs and keys
//! never are.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};

use super::request_id::RequestId;
use super::state::AppState;
use crate::telemetry::Metrics;

/// Status under which a request is counted whose client left before the answer began.
const CLIENT_LEFT: u16 = 499;
/// Route under which requests are counted that match none.
const NO_ROUTE: &str = "none";

/// What is known of one request; it is logged when the last holder lets go.
#[derive(Debug)]
pub(super) struct AccessRecord {
    metrics: Arc<Metrics>,
    started: Instant,
    method: Method,
    route: String,
    request_id: Arc<str>,
    status: AtomicU16,
    /// Whether the answer was sent to its end.
    complete: AtomicBool,
    num_prompt_tokens: AtomicU64,
    num_output_tokens: AtomicU64,
}

impl AccessRecord {
    /// Notes the size of the prompt.
    pub(super) fn set_prompt_tokens(&self, count: u64) {
        self.num_prompt_tokens.store(count, Ordering::Relaxed);
    }

    /// Notes the tokens of one more choice.
    pub(super) fn add_output_tokens(&self, count: u64) {
        self.num_output_tokens.fetch_add(count, Ordering::Relaxed);
    }
}

impl Drop for AccessRecord {
    fn drop(&mut self) {
        let status = *self.status.get_mut();
        let complete = *self.complete.get_mut();
        self.metrics.http_responses.with_label_values(&[self.route.as_str(), &status.to_string()]).inc();
        let latency_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Self { method, route, request_id, .. } = self;
        let prompt_tokens = self.num_prompt_tokens.load(Ordering::Relaxed);
        let output_tokens = self.num_output_tokens.load(Ordering::Relaxed);
        let known_method = if is_known(method) { method.as_str() } else { "OTHER" };
        if is_routine(route) && status < 400 {
            tracing::debug!(method = known_method, %route, status, latency_ms, %request_id, "answered");
        } else {
            tracing::info!(
                method = known_method,
                %route,
                status,
                complete,
                latency_ms,
                %request_id,
                prompt_tokens,
                output_tokens,
                "answered"
            );
        }
    }
}

fn is_known(method: &Method) -> bool {
    [&Method::GET, &Method::POST, &Method::HEAD, &Method::OPTIONS, &Method::PUT, &Method::DELETE]
        .contains(&method)
}

/// Whether probes and scrapers ask for a route every few seconds.
fn is_routine(route: &str) -> bool {
    ["/live", "/ready", "/health", "/metrics"].contains(&route)
}

/// Keeps the record of a request until its answer is sent.
pub(super) async fn record(
    State(state): State<Arc<AppState>>,
    route: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let request_id = request.extensions().get::<RequestId>().expect("the id is set further out").0.clone();
    let record = Arc::new(AccessRecord {
        metrics: Arc::clone(&state.metrics),
        started: Instant::now(),
        method: request.method().clone(),
        route: route.map_or_else(|| NO_ROUTE.to_owned(), |route| route.as_str().to_owned()),
        request_id,
        status: AtomicU16::new(CLIENT_LEFT),
        complete: AtomicBool::new(false),
        num_prompt_tokens: AtomicU64::new(0),
        num_output_tokens: AtomicU64::new(0),
    });
    request.extensions_mut().insert(Arc::clone(&record));
    let response = next.run(request).await;
    record.status.store(response.status().as_u16(), Ordering::Relaxed);
    response.map(|inner| {
        if http_body::Body::is_end_stream(&inner) {
            record.complete.store(true, Ordering::Relaxed);
        }
        Body::new(RecordedBody { inner, record })
    })
}

/// A body that keeps its request's record until it is sent or dropped.
struct RecordedBody {
    inner: Body,
    record: Arc<AccessRecord>,
}

impl http_body::Body for RecordedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.inner.is_end_stream() {
            self.record.complete.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
