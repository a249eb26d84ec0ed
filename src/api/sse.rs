//! Server-sent events: one request's output as a stream of them, whatever the wire format of an endpoint.
//!
//! Status and headers are held back until the first sequence is scheduled, or for `server.stream_hold_s`: what fails
//! before is a plain HTTP status, which clients and balancers can retry. What fails later is an error event, and the
//! end marker does not follow. Silence is filled with `: ping` comments, or as the wire format wants it; `id:` and `retry:` lines are never sent,
//! because the official SDKs take them for empty events. The body owns the generation: when the client leaves, hyper
//! drops the body, and with it goes the work.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde::Serialize;
use tokio::time::{Instant, Sleep};

use super::config::{ServerConfig, seconds};
use super::error::ApiError;
use super::state::{Lifecycle, Phase};
use super::wording::Reader;
use crate::serving::{DeltaKind, Generation, GenerationSet, OutputDelta};

/// A comment that keeps proxies from closing a silent stream.
const PING: &str = ": ping\n\n";
/// The end marker of OpenAI's streams.
pub(super) const DONE: &str = "data: [DONE]\n\n";

/// Where the deltas of a stream come from.
pub(super) trait Deltas: Send + 'static {
    /// The next delta; `None` at the end. A call that is dropped before it is ready loses nothing.
    fn next(&mut self) -> impl Future<Output = Option<OutputDelta>> + Send;
}

impl Deltas for Generation {
    fn next(&mut self) -> impl Future<Output = Option<OutputDelta>> + Send {
        Self::next(self)
    }
}

impl Deltas for GenerationSet {
    fn next(&mut self) -> impl Future<Output = Option<OutputDelta>> + Send {
        Self::next(self)
    }
}

/// Renders the deltas of one generation as the events of one wire format.
pub(super) trait RenderEvents: Send + 'static {
    /// Adds what goes out before the first delta.
    fn begin(&mut self, events: &mut String);
    /// Adds what a delta becomes; it is never a `Failed` one.
    fn delta(&mut self, delta: OutputDelta, events: &mut String);
    /// Adds what follows when every choice is complete.
    fn end(&mut self, events: &mut String);
    /// Adds what tells of a fault; nothing follows it.
    fn fail(&mut self, error: &ApiError, events: &mut String) {
        events.push_str("data: ");
        events.push_str(&error.to_json());
        events.push_str("\n\n");
    }
    /// What fills a silence.
    fn ping(&self) -> &'static str {
        PING
    }
}

/// Adds `data: {...}` and the blank line that ends an event.
pub(super) fn push_event(events: &mut String, content: &impl Serialize) {
    events.push_str("data: ");
    // JSON as serde_json writes it has no line breaks.
    events.push_str(&serde_json::to_string(content).expect("chunks serialise"));
    events.push_str("\n\n");
}

/// Adds `event: name` and `data: {...}`, and the blank line that ends an event.
pub(super) fn push_named_event(events: &mut String, name: &str, content: &impl Serialize) {
    events.push_str("event: ");
    events.push_str(name);
    events.push('\n');
    push_event(events, content);
}

/// How long the parts of a streamed answer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamTimes {
    /// Longest time before the headers go out.
    hold: Duration,
    /// Longest silence.
    ping_interval: Duration,
    /// Longest time of the whole request, for the message.
    limit: Duration,
    /// When that time is over.
    deadline: Instant,
    /// Who reads what goes wrong.
    reader: Reader,
}

impl StreamTimes {
    /// The times of a request whose work must be done at `deadline`.
    pub(super) fn new(config: &ServerConfig, deadline: Instant, reader: Reader) -> Self {
        Self {
            hold: seconds(config.stream_hold_s),
            ping_interval: seconds(config.ping_interval_s),
            limit: seconds(config.request_timeout_s),
            deadline,
            reader,
        }
    }
}

/// Waits for the first sign of life of a generation, then answers with the stream of its events.
///
/// # Errors
/// What failed before the stream began.
pub(super) async fn respond(
    mut generation: impl Deltas,
    renderer: impl RenderEvents,
    times: StreamTimes,
    lifecycle: Lifecycle,
) -> Result<Response, ApiError> {
    let first = tokio::select! {
        biased;
        delta = generation.next() => match delta {
            Some(OutputDelta { kind: DeltaKind::Failed(error), .. }) => return Err(error.into()),
            Some(delta) => Some(delta),
            None => return Err(ApiError::internal()),
        },
        () = tokio::time::sleep_until(times.deadline) => return Err(ApiError::timed_out(times.limit)),
        () = lifecycle.reached(Phase::Terminating) => return Err(ApiError::shutting_down()),
        () = tokio::time::sleep(times.hold) => None,
    };
    let events = EventStream {
        generation,
        renderer,
        times,
        progress: Progress::Beginning { first },
        deadline: Box::pin(tokio::time::sleep_until(times.deadline)),
        ping: Box::pin(tokio::time::sleep(times.ping_interval)),
        terminating: Box::pin(async move { lifecycle.reached(Phase::Terminating).await }),
    };
    let frames = futures_util::stream::unfold(events, |mut events| async {
        let frame = events.next_frame().await?;
        Some((Ok::<_, Infallible>(frame), events))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(frames)).into_response())
}

/// A generation on its way to a client.
struct EventStream<D, R> {
    generation: D,
    renderer: R,
    times: StreamTimes,
    progress: Progress,
    deadline: Pin<Box<Sleep>>,
    ping: Pin<Box<Sleep>>,
    terminating: Pin<Box<dyn Future<Output = ()> + Send>>,
}

enum Progress {
    /// Nothing was sent; the delta that began the stream waits.
    Beginning { first: Option<OutputDelta> },
    /// Deltas are sent as they come.
    Running,
    /// The last event was sent.
    Ended,
}

impl<D: Deltas, R: RenderEvents> EventStream<D, R> {
    /// The next bytes for the client, or `None` at the end. What is ready at the same time goes out together.
    async fn next_frame(&mut self) -> Option<Bytes> {
        let mut events = String::new();
        match &mut self.progress {
            Progress::Ended => return None,
            Progress::Beginning { first } => {
                let first = first.take();
                self.progress = Progress::Running;
                self.renderer.begin(&mut events);
                if let Some(delta) = first {
                    self.renderer.delta(delta, &mut events);
                }
            }
            Progress::Running => {}
        }
        while events.is_empty() {
            tokio::select! {
                biased;
                delta = self.generation.next() => self.take(delta, &mut events),
                () = &mut self.deadline => self.fail(&ApiError::timed_out(self.times.limit), &mut events),
                () = &mut self.terminating => self.fail(&ApiError::shutting_down(), &mut events),
                () = &mut self.ping => events.push_str(self.renderer.ping()),
            }
        }
        while !matches!(self.progress, Progress::Ended)
            && let Some(delta) = self.generation.next().now_or_never()
        {
            self.take(delta, &mut events);
        }
        self.ping.as_mut().reset(Instant::now() + self.times.ping_interval);
        Some(Bytes::from(events))
    }

    fn take(&mut self, delta: Option<OutputDelta>, events: &mut String) {
        match delta {
            Some(OutputDelta { kind: DeltaKind::Failed(error), .. }) => self.fail(&error.into(), events),
            Some(delta) => self.renderer.delta(delta, events),
            None => {
                self.renderer.end(events);
                self.progress = Progress::Ended;
            }
        }
    }

    fn fail(&mut self, error: &ApiError, events: &mut String) {
        self.renderer.fail(&error.clone().told_to(self.times.reader), events);
        self.progress = Progress::Ended;
    }
}
