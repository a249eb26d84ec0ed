//! The life of the server: from a bound port through signals to the end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;

use super::{Service, Signals};
use crate::api::{ApiKeys, AppState, DrainOutcome, Lifecycle, Phase, Server, ServerConfig, SystemStamps};
use crate::engine::EngineDied;

/// Time in which open streams may send their error event after the engine has died.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Time in which a drained engine ends.
const ENGINE_END: Duration = Duration::from_secs(10);

/// How serving ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A signal came and what ran has finished, or its time ran out.
    Drained(DrainOutcome),
    /// A second signal came: everything was cut.
    Aborted {
        /// Its number.
        signal: i32,
    },
    /// The engine has died.
    EngineDied(EngineDied),
}

impl End {
    /// The process's exit code: 0 for an orderly end, 128 and the signal's number for an abort, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            End::Drained(_) => 0,
            End::Aborted { signal } => u8::try_from(128 + signal).unwrap_or(1),
            End::EngineDied(_) => 1,
        }
    }
}

/// Fails while nothing is loaded yet if the port is taken.
///
/// # Errors
/// If the port cannot be bound.
pub async fn ensure_port_is_free(config: &ServerConfig) -> anyhow::Result<()> {
    bind(config).await.map(drop)
}

async fn bind(config: &ServerConfig) -> anyhow::Result<Server> {
    let ServerConfig { host, port, .. } = config;
    Server::bind(config).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("port {port} on {host} is in use by another program; choose one with --port")
        }
        io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("port {port} on {host}: permission denied; ports below 1024 need a privilege")
        }
        _ => anyhow::Error::new(error).context(format!("{host}:{port}")),
    })
}

/// Serves until a signal ends it. `announce` hears the address once requests are welcome.
///
/// # Errors
/// If the port cannot be bound or signals cannot be received.
pub async fn serve(
    service: Service,
    keys: ApiKeys,
    config: &ServerConfig,
    announce: impl FnOnce(&Service, SocketAddr),
) -> anyhow::Result<End> {
    let mut signals = Signals::new().context("signals")?;
    let server = bind(config).await?;
    let address = server.local_addr();
    let lifecycle = Lifecycle::default();
    let state = Arc::new(AppState {
        generator: service.generator.clone(),
        model: service.model.clone(),
        metrics: Arc::clone(&service.metrics),
        keys,
        config: config.clone(),
        lifecycle: lifecycle.clone(),
        stamps: Box::new(SystemStamps),
    });
    announce(&service, address);
    lifecycle.enter(Phase::Ready);
    let Service { engine, thread, .. } = service;
    // The thread ends by itself only when it dies: this end of it holds a handle.
    let mut engine_end = tokio::task::spawn_blocking(move || thread.join());
    let (drain, drain_begins) = oneshot::channel::<()>();
    let serving = server.serve(state, async {
        // A sender dropped without a word means that serving itself is dropped.
        let _ = drain_begins.await;
    });
    let mut serving = std::pin::pin!(serving);
    let mut drain = Some(drain);
    let end = loop {
        tokio::select! {
            outcome = &mut serving => break End::Drained(outcome),
            number = signals.next() => match drain.take() {
                Some(drain) => {
                    tracing::info!(signal = number, "stopping: what runs may finish; another signal ends it now");
                    // The receiver lives as long as `serving`.
                    let _ = drain.send(());
                }
                None => break End::Aborted { signal: number },
            },
            ended = &mut engine_end => {
                let died = ended.context("the engine's thread")?.err();
                let died = died.unwrap_or_else(|| EngineDied { reason: "it stopped without being asked".to_owned() });
                lifecycle.enter(Phase::Terminating);
                // Whether the streams use the time or not, the end is the same.
                let _ = tokio::time::timeout(LAST_WORDS, serving).await;
                return Ok(End::EngineDied(died));
            }
        }
    };
    match end {
        End::Drained(_) => engine.drain().await,
        _ => engine.stop().await,
    }
    wait_for_engine(engine_end).await;
    Ok(end)
}

/// Waits until the engine's thread has ended, but not for long.
pub(super) async fn wait_for_engine(
    engine_end: impl Future<Output = Result<Result<(), EngineDied>, tokio::task::JoinError>>,
) {
    match tokio::time::timeout(ENGINE_END, engine_end).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(died))) => tracing::error!(%died, "the engine died while it stopped"),
        Ok(Err(error)) => tracing::error!(%error, "the engine's thread could not be joined"),
        Err(_) => {
            tracing::error!(limit_s = ENGINE_END.as_secs(), "the engine does not stop; leaving it behind")
        }
    }
}
