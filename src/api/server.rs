//! The accept loop, from the bound port to the end of the last connection.
//!
//! It is ours because `axum::serve` sets no timer, which leaves hyper's header timeout off. A connection has a clock
//! for headers, for silence between requests and for unread answers; their number is bounded, in all and by address.
//!
//! A client that closes its sending side has left: its request is aborted, streamed or not. A half-closed connection
//! cannot be told from a closed one until something is written to it, and for an answer that is not streamed nothing
//! is written until all the work is done.
//!
//! Draining: `/ready` turns red at once; the port stays open for `server.drain_delay_s`, so that load balancers see it
//! first; then the port closes, idle connections close, and running requests may finish until
//! `server.drain_timeout_s` is over. What still runs then ends with an error.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use prometheus::IntGauge;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::config::{ServerConfig, seconds};
use super::connection::{ClockedSocket, TrackedBody, Traffic};
use super::error::ApiError;
use super::router::router;
use super::state::{AppState, Phase};

/// hyper refuses requests with more header lines than this with a bare 431; the router's own limit, whose answer has
/// a body, lies far below.
const HARD_MAX_HEADERS: usize = 2048;
/// Room for the request line on top of twice the header limit.
const REQUEST_LINE_BYTES: usize = 16 << 10;
/// Pause after the system could not give another connection, for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time in which a refused connection must take its refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Time after the drain timeout in which streams may send their error event.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A bound port.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainOutcome {
    /// Every request was answered.
    Complete,
    /// Time ran out while this many connections were still busy.
    TimedOut {
        /// Connections that were cut.
        num_connections: usize,
    },
}

impl Server {
    /// Binds `server.host` and `server.port`.
    ///
    /// # Errors
    /// If the name cannot be resolved or the port cannot be bound.
    pub async fn bind(config: &ServerConfig) -> io::Result<Self> {
        let listener = TcpListener::bind((config.host.as_str(), config.port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready, then drains. Dropping the future cuts every connection at once.
    pub async fn serve(self, state: Arc<AppState>, shutdown: impl Future<Output = ()>) -> DrainOutcome {
        let Self { listener, .. } = self;
        let config = &state.config;
        let mut doorman = Doorman::new(Arc::clone(&state));
        let mut shutdown = std::pin::pin!(shutdown);
        tokio::select! {
            () = doorman.accept_all(&listener) => unreachable!("accepting goes on until it is stopped"),
            () = &mut shutdown => {}
        }
        state.lifecycle.enter(Phase::Draining);
        tracing::info!(delay_s = config.drain_delay_s, timeout_s = config.drain_timeout_s, "draining");
        tokio::select! {
            () = doorman.accept_all(&listener) => unreachable!("accepting goes on until it is stopped"),
            () = tokio::time::sleep(seconds(config.drain_delay_s)) => {}
        }
        drop(listener);
        doorman.finish(seconds(config.drain_timeout_s)).await
    }
}

/// Lets connections in and keeps those that are open.
struct Doorman {
    state: Arc<AppState>,
    router: Router,
    builder: auto::Builder<TokioExecutor>,
    places: Places,
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
}

impl Doorman {
    fn new(state: Arc<AppState>) -> Self {
        let config = &state.config;
        let places = Places::new(
            config.max_connections,
            config.max_connections_per_ip,
            state.metrics.http_connections.clone(),
        );
        Self {
            router: router(Arc::clone(&state)),
            builder: builder(config),
            places,
            graceful: GracefulShutdown::new(),
            connections: JoinSet::new(),
            state,
        }
    }

    /// Accepts connections, for ever; stopping it in the middle loses none.
    async fn accept_all(&mut self, listener: &TcpListener) {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer.ip()),
                    // The client has left again, or the system is short of descriptors: neither is the end.
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: IpAddr) {
        // Without it small events wait for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let Some(place) = self.places.take(peer) else {
            self.connections.spawn(refuse(stream, self.state.stamps.id()));
            return;
        };
        let config = &self.state.config;
        let traffic = Arc::new(Traffic::default());
        let socket = ClockedSocket::new(
            stream,
            Arc::clone(&traffic),
            seconds(config.header_timeout_s),
            seconds(config.write_stall_timeout_s),
        );
        let router = self.router.clone();
        let service =
            hyper::service::service_fn(move |request| answer(router.clone(), Arc::clone(&traffic), request));
        let connection = self.builder.serve_connection(TokioIo::new(socket), service).into_owned();
        let connection = self.graceful.watch(connection);
        self.connections.spawn(async move {
            if let Err(error) = connection.await {
                // Clients that leave are no news.
                tracing::debug!(error, "a connection ended early");
            }
            drop(place);
        });
    }

    /// Lets running requests finish within `timeout`.
    async fn finish(self, timeout: Duration) -> DrainOutcome {
        let Self { state, graceful, mut connections, .. } = self;
        let mut all_closed = std::pin::pin!(graceful.shutdown());
        if tokio::time::timeout(timeout, &mut all_closed).await.is_ok() {
            return DrainOutcome::Complete;
        }
        let num_connections = connections.len();
        tracing::warn!(num_connections, "the drain timeout is over; what still runs is cut");
        state.lifecycle.enter(Phase::Terminating);
        // Whether they use the time or not, the outcome is the same.
        let _ = tokio::time::timeout(LAST_WORDS, all_closed).await;
        connections.shutdown().await;
        DrainOutcome::TimedOut { num_connections }
    }
}

/// Answers one request, which stays open until its answer is sent.
async fn answer(
    router: Router,
    traffic: Arc<Traffic>,
    request: Request<Incoming>,
) -> Result<Response<TrackedBody<Body>>, Infallible> {
    let open = traffic.begin(request.version());
    let response = router.oneshot(request.map(Body::new)).await?;
    Ok(response.map(|inner| TrackedBody { inner, _request: open }))
}

fn builder(config: &ServerConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper's clock runs between requests too; the shorter one for headers is the socket's.
        .header_read_timeout(seconds(config.keep_alive_timeout_s))
        .max_headers(HARD_MAX_HEADERS)
        .max_buf_size(2 * config.max_header_bytes + REQUEST_LINE_BYTES)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_h2_streams)
        .max_header_list_size(u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(256)
        .keep_alive_interval(seconds(config.keep_alive_timeout_s))
        .keep_alive_timeout(seconds(config.header_timeout_s));
    builder
}

/// Tells a client that there is no place for its connection.
async fn refuse(mut stream: TcpStream, id: String) {
    let body = ApiError::too_many_connections().to_json();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nretry-after-ms: 1000\r\nx-request-id: req-{id}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let write = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread bytes resets the connection, which can take the answer away from the client.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // A client that does not take its refusal in time is simply cut off.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, write).await;
}

/// Places for connections.
#[derive(Debug, Clone)]
struct Places {
    max: usize,
    /// 0 for no limit.
    max_per_ip: usize,
    taken: Arc<Mutex<Taken>>,
    gauge: IntGauge,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

impl Places {
    fn new(max: usize, max_per_ip: usize, gauge: IntGauge) -> Self {
        Self { max, max_per_ip, taken: Arc::default(), gauge }
    }

    /// Takes a place, if there is one for this address.
    fn take(&self, ip: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let from_ip = taken.by_ip.get(&ip).copied().unwrap_or(0);
        if taken.total >= self.max || (self.max_per_ip > 0 && from_ip >= self.max_per_ip) {
            return None;
        }
        taken.total += 1;
        taken.by_ip.insert(ip, from_ip + 1);
        self.gauge.inc();
        Some(Place { places: self.clone(), ip })
    }
}

/// A place taken by a connection; dropping it gives it back.
#[derive(Debug)]
struct Place {
    places: Places,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        if let Some(count) = taken.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                taken.by_ip.remove(&self.ip);
            }
        }
        self.places.gauge.dec();
    }
}
