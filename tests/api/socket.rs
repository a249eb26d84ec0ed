//! A server on a real socket, and a client that speaks HTTP by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use maru::api::{DrainOutcome, Server, ServerConfig};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fake_engine::{FakeEngine, Script};
use crate::support::Harness;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) engine: FakeEngine,
    pub(crate) harness: Harness,
    shutdown: Option<oneshot::Sender<()>>,
    outcome: JoinHandle<DrainOutcome>,
}

/// Settings that let a server end at once.
pub(crate) fn prompt_drain() -> ServerConfig {
    ServerConfig { port: 0, drain_delay_s: 0.0, drain_timeout_s: 0.1, ..Default::default() }
}

impl Running {
    /// Starts a server on a port of the system's choice.
    pub(crate) async fn start(script: Script, config: ServerConfig) -> Self {
        let config = ServerConfig { port: 0, ..config };
        let harness = Harness::with_config(script, config);
        let server = Server::bind(&harness.state.config).await.expect("a free port");
        let address = server.local_addr();
        let (shutdown, told) = oneshot::channel();
        let told = async {
            // A test that ends without a word drops the sender, which is as good.
            let _ = told.await;
        };
        let outcome = tokio::spawn(server.serve(Arc::clone(&harness.state), told));
        Self { address, engine: harness.engine.clone(), harness, shutdown: Some(shutdown), outcome }
    }

    /// Tells the server to end.
    pub(crate) fn shut_down(&mut self) {
        self.shutdown.take().expect("told once").send(()).expect("the server listens");
    }

    /// Waits for the server's end.
    pub(crate) async fn outcome(self) -> DrainOutcome {
        within(self.outcome).await.expect("the server does not panic")
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Client {
        Client {
            stream: within(TcpStream::connect(self.address)).await.expect("a connection"),
            read: Vec::new(),
        }
    }

    /// `GET path` on a connection of its own; gives the status.
    pub(crate) async fn status_of(&self, path: &str) -> u16 {
        let mut client = self.connect().await;
        client.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        client.response().await.status
    }
}

/// Waits, but not for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it should have happened long ago")
}

/// The client's side of a connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// A response with a declared length, or the head of one without.
#[derive(Debug)]
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Client {
    /// Sends bytes as they stand.
    pub(crate) async fn send(&mut self, text: &str) {
        within(self.stream.write_all(text.as_bytes())).await.expect("the server reads");
    }

    /// Asks for a chat completion.
    pub(crate) async fn ask(&mut self, body: &Value) {
        let body = body.to_string();
        self.send(&format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    }

    /// Reads until `text` has come, and gives all up to its end.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        within(self.read_on_until(text)).await
    }

    async fn read_on_until(&mut self, text: &str) -> String {
        loop {
            let found = self.read.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                let rest = self.read.split_off(at + text.len());
                let before = std::mem::replace(&mut self.read, rest);
                return String::from_utf8(before).expect("UTF-8");
            }
            let num_read = self.stream.read_buf(&mut self.read).await.expect("the connection holds");
            let read = String::from_utf8_lossy(&self.read);
            assert!(num_read > 0, "the connection ended before {text:?}, after {read:?}");
        }
    }

    /// Reads one response; its body too, if its length is declared.
    pub(crate) async fn response(&mut self) -> RawResponse {
        let head = self.read_until("\r\n\r\n").await.to_ascii_lowercase();
        let status = head.split(' ').nth(1).expect("a status line").parse().expect("a status");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
        while self.read.len() < length {
            assert!(within(self.stream.read_buf(&mut self.read)).await.expect("the body") > 0);
        }
        let rest = self.read.split_off(length);
        let body = String::from_utf8(std::mem::replace(&mut self.read, rest)).expect("UTF-8");
        RawResponse { status, head, body }
    }

    /// Reads to the end of the connection, which may also be a reset.
    pub(crate) async fn read_to_end(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.read);
        // A reset ends the connection as well.
        let _ = within(self.stream.read_to_end(&mut rest)).await;
        String::from_utf8(rest).expect("UTF-8")
    }
}
