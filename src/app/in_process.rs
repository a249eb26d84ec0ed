//! The server's routes without a port, for a command that sends its own requests: the same endpoints, checks and errors.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response, header};
use http_body_util::{BodyExt, Limited};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::Service;
use super::serve::wait_for_engine;
use crate::api::{ApiKeys, AppState, Lifecycle, Phase, ServerConfig, SystemStamps, router};
use crate::engine::{EngineDied, EngineHandle};

/// A running engine behind the server's routes.
#[derive(Debug)]
pub struct InProcess {
    routes: Routes,
    engine: EngineHandle,
    engine_end: JoinHandle<Result<(), EngineDied>>,
}

/// The server's routes. A clone is cheap and leads to the same engine.
#[derive(Debug, Clone)]
pub struct Routes(Router);

/// What a route has answered.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The id under which the request is known in the log.
    pub request_id: String,
    /// How long to wait before the next try, where the answer says so.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Vec<u8>,
}

/// A body could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("the answer was not read to its end, of at most {max} bytes: {reason}")]
pub struct ReplyUnread {
    max: usize,
    reason: String,
}

impl InProcess {
    /// Opens the routes, without keys: whoever runs the process may use its model. Needs a runtime.
    pub fn open(service: Service, config: &ServerConfig) -> Self {
        let lifecycle = Lifecycle::default();
        lifecycle.enter(Phase::Ready);
        let Service { generator, model, metrics, engine, thread, .. } = service;
        let state = AppState {
            generator,
            model,
            metrics,
            keys: ApiKeys::default(),
            config: config.clone(),
            lifecycle,
            stamps: Box::new(SystemStamps),
        };
        let engine_end = tokio::task::spawn_blocking(move || thread.join());
        Self { routes: Routes(router(Arc::new(state))), engine, engine_end }
    }

    /// The routes.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// Whether the engine has died; what was answered then says nothing about the request.
    pub fn has_failed(&self) -> bool {
        self.engine.pulse().has_failed()
    }

    /// Ends the engine. What still runs is given up.
    pub async fn close(self) {
        self.engine.stop().await;
        wait_for_engine(self.engine_end).await;
    }
}

impl Routes {
    /// Sends a JSON body to a route and reads the answer, of at most `max_bytes`.
    ///
    /// # Errors
    /// If the answer is longer, or breaks off.
    pub async fn post(
        &self,
        route: &'static str,
        body: Bytes,
        max_bytes: usize,
    ) -> Result<Reply, ReplyUnread> {
        let mut request = Request::post(route).body(Body::from(body)).expect("a route is a path");
        let json = header::HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        let Ok(response) = self.0.clone().oneshot(request).await;
        let status = response.status().as_u16();
        let request_id = text(&response, "x-request-id").unwrap_or_default().to_owned();
        let retry_after = retry_after(&response);
        let body = Limited::new(response.into_body(), max_bytes).collect().await;
        let body = body.map_err(|error| ReplyUnread { max: max_bytes, reason: error.to_string() })?;
        Ok(Reply { status, request_id, retry_after, body: body.to_bytes().into() })
    }
}

fn text<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// The wait that the headers ask for, the finer one first.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let number = |name| text(response, name)?.parse().ok();
    let fine = number("retry-after-ms").map(Duration::from_millis);
    fine.or_else(|| number("retry-after").map(Duration::from_secs))
}
