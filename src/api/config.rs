//! Settings of the HTTP server: the `[server]` table.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the HTTP server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address to listen on; `0.0.0.0` or `::` for all.
    pub host: String,
    /// TCP port; 0 lets the system choose one.
    pub port: u16,
    /// Keys that clients may present as `Authorization: Bearer ...`; with none here and no file, the server is open.
    pub api_keys: Vec<Secret>,
    /// A file with one API key per line; empty lines and lines that begin with `#` are skipped.
    pub api_key_file: Option<PathBuf>,
    /// Whether `/metrics` needs an API key too, where keys are set.
    pub protect_metrics: bool,
    /// Refuse a request that names a parameter which would otherwise be ignored with a warning.
    pub strict_params: bool,
    /// Variables that a request may set for the chat template in `chat_template_kwargs`.
    pub template_kwargs: Vec<String>,
    /// Whether a request may ask to go before others, with `service_tier` `priority` or a `priority` below 0; without it
    /// such a wish is ignored with a warning. Any request may let others go first.
    pub allow_priority: bool,
    /// Whether requests with different API keys share cached prefixes. That saves work, but how fast an answer begins then
    /// tells one key what others have asked.
    pub share_prefix_cache: bool,
    /// Whether `/ready` is red while `engine.max_waiting` sequences wait, for load balancers to go elsewhere; without it
    /// only a 429 tells of a full queue.
    pub unready_when_full: bool,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// Most answers of `/v1/responses` that are kept for later requests to build on, in memory; those that were not used
    /// for the longest time go first. 0 keeps none.
    pub max_stored_responses: usize,
    /// Most bytes that they take, each with the conversation before it.
    pub max_stored_response_bytes: usize,
    /// Most header lines of a request, at most 1000.
    pub max_headers: usize,
    /// Most bytes of a request's header lines, at most 1 MiB.
    pub max_header_bytes: usize,
    /// Seconds that a client has for the first request's headers, and for a later one's from its first byte on.
    pub header_timeout_s: f64,
    /// Seconds that a request's body may pause.
    pub body_timeout_s: f64,
    /// Seconds that a client may leave an answer unread before its connection is closed.
    pub write_stall_timeout_s: f64,
    /// Seconds that a connection may stay open without a request.
    pub keep_alive_timeout_s: f64,
    /// Seconds after which a request is given up; below the 600 s after which the official SDKs do.
    pub request_timeout_s: f64,
    /// Seconds that a streamed answer waits for its turn before the headers go out and errors can no longer be a status.
    pub stream_hold_s: f64,
    /// Seconds of silence after which a streamed answer carries a `: ping` comment.
    pub ping_interval_s: f64,
    /// Age in seconds of the engine's last sign of life from which on it counts as stuck.
    pub heartbeat_limit_s: f64,
    /// Seconds between `/ready` turning red and the end of accepting, for load balancers to take notice.
    pub drain_delay_s: f64,
    /// Seconds after that in which running requests may finish.
    pub drain_timeout_s: f64,
    /// Threads that serve connections, besides those that compute; 0 for one per four CPUs. Tokens cost them little,
    /// and on the CPU backend they take turns with the threads that compute.
    pub io_threads: usize,
    /// Most open connections.
    pub max_connections: usize,
    /// Most open connections of one client address; 0 for no such limit, as behind a proxy.
    pub max_connections_per_ip: usize,
    /// Most concurrent HTTP/2 streams of a connection.
    pub max_h2_streams: u32,
    /// Origins whose pages may call the server; `*` for any, none by default.
    pub cors_origins: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8000,
            api_keys: Vec::new(),
            api_key_file: None,
            protect_metrics: false,
            strict_params: false,
            template_kwargs: ["enable_thinking", "thinking", "reasoning_effort", "preserve_thinking"]
                .map(str::to_owned)
                .to_vec(),
            allow_priority: false,
            share_prefix_cache: false,
            unready_when_full: false,
            max_body_bytes: 4 << 20,
            max_stored_responses: 1024,
            max_stored_response_bytes: 64 << 20,
            max_headers: 100,
            max_header_bytes: 64 << 10,
            header_timeout_s: 10.0,
            body_timeout_s: 30.0,
            write_stall_timeout_s: 30.0,
            keep_alive_timeout_s: 75.0,
            request_timeout_s: 590.0,
            stream_hold_s: 10.0,
            ping_interval_s: 15.0,
            heartbeat_limit_s: 60.0,
            drain_delay_s: 5.0,
            drain_timeout_s: 120.0,
            io_threads: 0,
            max_connections: 8192,
            max_connections_per_ip: 0,
            max_h2_streams: 128,
            cors_origins: Vec::new(),
        }
    }
}

/// Longest time that a setting may name: a day.
const MAX_SECONDS: f64 = 86_400.0;

impl ServerConfig {
    /// Every invalid key with what is wrong with it.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.host.trim().is_empty() {
            faults.push(("host", "names no address".to_owned()));
        }
        for key in &self.api_keys {
            if let Err(reason) = super::auth::check_key(key.expose()) {
                faults.push(("api_keys", reason.to_owned()));
            }
        }
        for origin in &self.cors_origins {
            if origin != "*" && !is_origin(origin) {
                faults.push((
                    "cors_origins",
                    format!("{origin:?} is neither `*` nor an origin such as https://example.org"),
                ));
            }
        }
        if self.cors_origins.len() > 1 && self.cors_origins.iter().any(|origin| origin == "*") {
            faults.push(("cors_origins", "`*` stands alone".to_owned()));
        }
        for (key, value, min, max) in [
            ("max_body_bytes", self.max_body_bytes, 1 << 10, 1 << 30),
            ("max_stored_responses", self.max_stored_responses, 0, 1 << 20),
            ("max_stored_response_bytes", self.max_stored_response_bytes, 0, 1 << 40),
            ("max_headers", self.max_headers, 8, 1000),
            ("max_header_bytes", self.max_header_bytes, 4 << 10, 1 << 20),
            ("io_threads", self.io_threads, 0, 1024),
            ("max_connections", self.max_connections, 1, 1 << 20),
            ("max_connections_per_ip", self.max_connections_per_ip, 0, 1 << 20),
            ("max_h2_streams", self.max_h2_streams as usize, 1, 4096),
        ] {
            if !(min..=max).contains(&value) {
                faults.push((key, format!("is {value}; it must be between {min} and {max}")));
            }
        }
        for (key, value, min) in [
            ("header_timeout_s", self.header_timeout_s, 0.01),
            ("body_timeout_s", self.body_timeout_s, 0.01),
            ("write_stall_timeout_s", self.write_stall_timeout_s, 0.01),
            ("keep_alive_timeout_s", self.keep_alive_timeout_s, 0.01),
            ("request_timeout_s", self.request_timeout_s, 0.01),
            ("stream_hold_s", self.stream_hold_s, 0.0),
            ("ping_interval_s", self.ping_interval_s, 0.01),
            ("heartbeat_limit_s", self.heartbeat_limit_s, 0.01),
            ("drain_delay_s", self.drain_delay_s, 0.0),
            ("drain_timeout_s", self.drain_timeout_s, 0.0),
        ] {
            if !(min..=MAX_SECONDS).contains(&value) {
                faults.push((key, format!("is {value}; it must be between {min} and {MAX_SECONDS}")));
            }
        }
        faults
    }
}

/// A duration from a setting in seconds that [`ServerConfig::faults`] found no fault with.
pub(super) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::from_secs(MAX_SECONDS as u64))
}

/// Whether `origin` is a scheme, `://` and a host, as browsers send it: no path, no trailing slash.
fn is_origin(origin: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
    })
}

/// A setting that is neither printed nor written out.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps what shall not be seen.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Serialize for Secret {
    /// Writes `(hidden)`: a configuration that is shown does not give keys away.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_fault() {
        assert_eq!(ServerConfig::default().faults(), []);
    }

    #[test]
    fn every_invalid_key_is_named() {
        let config = ServerConfig {
            host: " ".to_owned(),
            api_keys: vec![Secret::new("with space")],
            cors_origins: vec!["https://a.example/path".to_owned(), "*".to_owned()],
            max_headers: 0,
            header_timeout_s: f64::NAN,
            drain_timeout_s: -1.0,
            ..ServerConfig::default()
        };
        let keys: Vec<_> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            [
                "host",
                "api_keys",
                "cors_origins",
                "cors_origins",
                "max_headers",
                "header_timeout_s",
                "drain_timeout_s"
            ]
        );
    }

    #[test]
    fn a_secret_is_neither_printed_nor_written_out() {
        let config =
            ServerConfig { api_keys: vec![Secret::new("sk-very-secret")], ..ServerConfig::default() };
        assert!(!format!("{config:?}").contains("very-secret"));
        assert!(!serde_json::to_string(&config).expect("plain values").contains("very-secret"));
    }

    #[test]
    fn whole_numbers_serve_as_seconds() {
        let config: ServerConfig =
            serde_json::from_str(r#"{"header_timeout_s": 3, "api_keys": ["sk-a"]}"#).expect("valid");
        assert_eq!(config.header_timeout_s, 3.0);
        assert_eq!(config.api_keys[0].expose(), "sk-a");
    }
}
