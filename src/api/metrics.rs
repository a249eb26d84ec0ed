//! `GET /metrics` in Prometheus' text format. Gauges of the engine are read from its pulse at each scrape.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::health::is_engine_healthy;
use super::state::AppState;

/// All metrics.
pub(super) async fn metrics(State(state): State<Arc<AppState>>) -> Response {
    let metrics = &state.metrics;
    let pulse = state.generator.pulse();
    metrics.num_requests_running.set(gauge(pulse.num_running()));
    metrics.num_requests_waiting.set(gauge(pulse.num_waiting()));
    let total = pulse.num_total_blocks().max(1);
    metrics.kv_cache_usage.set(pulse.num_used_blocks() as f64 / total as f64);
    metrics.engine_healthy.set(i64::from(is_engine_healthy(&state)));
    let headers = [
        (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, metrics.render()).into_response()
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
