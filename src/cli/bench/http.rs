//! An HTTP/1.1 client that adds little to what it measures: connections are kept, addresses are looked up once.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is read as a whole, in bytes.
const MAX_WHOLE_ANSWER: usize = 16 << 20;

type Connection = SendRequest<Full<Bytes>>;

/// A client of one server.
#[derive(Debug)]
pub(super) struct HttpClient {
    host: HeaderValue,
    /// What stands before every path.
    base: String,
    addresses: Vec<SocketAddr>,
    authorization: Option<HeaderValue>,
    idle: Mutex<Vec<Connection>>,
}

/// The beginning of an answer; its body is read piece by piece.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    client: &'a HttpClient,
    connection: Option<Connection>,
    response: Response<Incoming>,
}

impl HttpClient {
    /// A client of the server at `url`, such as `http://127.0.0.1:8000`, with or without `/v1` at the end.
    ///
    /// # Errors
    /// If the address is not one of plain HTTP or its host is unknown.
    pub(super) async fn new(url: &str, api_key: Option<&str>) -> anyhow::Result<Self> {
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: Uri = with_scheme.parse().with_context(|| format!("--url {url}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => bail!(
                "--url {url}: https is not spoken here, as its cost would be measured too; \
                 measure the server itself over http, or put a proxy that ends TLS in between"
            ),
            _ => bail!("--url {url}: expected an address such as http://127.0.0.1:8000"),
        }
        let authority = uri.authority().with_context(|| format!("--url {url} names no host"))?;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(80);
        let found = tokio::net::lookup_host((name, port)).await.with_context(|| format!("--url {url}"))?;
        let path = uri.path().trim_end_matches('/');
        let authorization = api_key.map(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
                .context("the API key holds letters that no header may hold")?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        Ok(Self {
            host: HeaderValue::from_str(authority.as_str()).context("the host's name")?,
            base: path.strip_suffix("/v1").unwrap_or(path).to_owned(),
            addresses: found.collect(),
            authorization: authorization.transpose()?,
            idle: Mutex::default(),
        })
    }

    /// Asks for a page.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Answer<'_>> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Sends JSON.
    pub(super) async fn post(&self, path: &str, body: Bytes) -> anyhow::Result<Answer<'_>> {
        self.send(Method::POST, path, body).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Answer<'_>> {
        // A kept connection may have been closed by the server just now: then a new one is tried, once.
        while let Some(mut connection) = self.take_idle() {
            if connection.ready().await.is_err() {
                continue;
            }
            match connection.send_request(self.request(&method, path, &body)?).await {
                Ok(response) => return Ok(Answer { client: self, connection: Some(connection), response }),
                Err(error) if error.is_canceled() || error.is_incomplete_message() => break,
                Err(error) => return Err(error.into()),
            }
        }
        let mut connection = self.connect().await?;
        let response = connection.send_request(self.request(&method, path, &body)?).await?;
        Ok(Answer { client: self, connection: Some(connection), response })
    }

    fn request(&self, method: &Method, path: &str, body: &Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(HOST, &self.host)
            .header(USER_AGENT, concat!("maru-bench/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json");
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        Ok(request.body(Full::new(body.clone()))?)
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.addresses[..])).await;
        let stream = connected.context("connecting took too long")?.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the last request on it; what goes wrong on it is told to the request.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn take_idle(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

impl Answer<'_> {
    /// The status code.
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Whether the server says when to come again.
    pub(super) fn has_retry_after(&self) -> bool {
        self.response.headers().contains_key(RETRY_AFTER)
    }

    /// Whether the body is a stream of events.
    pub(super) fn is_event_stream(&self) -> bool {
        let value = self.response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("text/event-stream"))
    }

    /// The next bytes of the body; none at its end, after which the connection serves others.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        while let Some(frame) = self.response.body_mut().frame().await {
            if let Ok(bytes) = frame?.into_data() {
                return Ok(Some(bytes));
            }
        }
        if let Some(connection) = self.connection.take() {
            self.client.keep(connection);
        }
        Ok(None)
    }

    /// The whole body.
    pub(super) async fn whole(mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(bytes) = self.next().await? {
            body.extend_from_slice(&bytes);
            ensure!(body.len() <= MAX_WHOLE_ANSWER, "the answer is longer than {MAX_WHOLE_ANSWER} bytes");
        }
        Ok(body)
    }
}
