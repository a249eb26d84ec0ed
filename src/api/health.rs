//! `/live`, `/ready` and `/health`: from atomics that the engine beats, never by asking it, so that they answer at
//! once even when it is stuck.
//!
//! `/live` is red when only a restart helps: the engine has died or is stuck. `/ready` is also red while the model
//! loads and while the server drains, and with `server.unready_when_full` while the queue is full. That is not so by
//! default, because a flood turns all replicas red together: behind the balancer nobody is left then to answer, and
//! clients see its error in place of a 429 that says when to come back. `/health` is what vLLM's is, the engine's health,
//! with counts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::config::seconds;
use super::state::{AppState, Phase};

/// How the engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Healthy,
    /// Its last sign of life is too old.
    Stalled,
    /// It has died.
    Failed,
}

impl Engine {
    fn of(state: &AppState) -> Self {
        let pulse = state.generator.pulse();
        if pulse.has_failed() {
            Self::Failed
        } else if pulse.age() > seconds(state.config.heartbeat_limit_s) {
            Self::Stalled
        } else {
            Self::Healthy
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Stalled => "stalled",
            Self::Failed => "failed",
        }
    }
}

/// Whether the engine lives and steps.
pub(super) fn is_engine_healthy(state: &AppState) -> bool {
    Engine::of(state) == Engine::Healthy
}

#[derive(Debug, Serialize)]
struct Probe {
    status: &'static str,
    phase: &'static str,
    engine: &'static str,
    queue: &'static str,
}

#[derive(Debug, Serialize)]
struct Health {
    #[serde(flatten)]
    probe: Probe,
    /// Seconds since the engine's last sign of life.
    heartbeat_age_s: f64,
    num_requests_running: usize,
    num_requests_waiting: usize,
}

fn probe(state: &AppState, good: bool) -> Probe {
    let status = if good { "ok" } else { "unavailable" };
    let queue = if state.generator.is_queue_full() { "full" } else { "open" };
    Probe { status, phase: state.lifecycle.phase().name(), engine: Engine::of(state).name(), queue }
}

fn answer(good: bool, body: impl Serialize) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Whether a restart is not needed.
pub(super) async fn live(State(state): State<Arc<AppState>>) -> Response {
    let good = is_engine_healthy(&state);
    answer(good, probe(&state, good))
}

/// Whether new requests are welcome.
pub(super) async fn ready(State(state): State<Arc<AppState>>) -> Response {
    let is_saturated = state.config.unready_when_full && state.generator.is_queue_full();
    let good = state.lifecycle.phase() == Phase::Ready && is_engine_healthy(&state) && !is_saturated;
    answer(good, probe(&state, good))
}

/// The engine's health with counts.
pub(super) async fn health(State(state): State<Arc<AppState>>) -> Response {
    let good = is_engine_healthy(&state);
    let pulse = state.generator.pulse();
    let body = Health {
        probe: probe(&state, good),
        heartbeat_age_s: pulse.age().as_secs_f64(),
        num_requests_running: pulse.num_running(),
        num_requests_waiting: pulse.num_waiting(),
    };
    answer(good, body)
}
