//! What `maru serve` says once it is ready: what it serves, where, on what, and a line to try.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::health::reachable;
use crate::model::{ByteSize, ModelDescription};

/// The lines at start.
#[derive(Debug)]
pub(super) struct Banner<'a> {
    pub(super) name: &'a str,
    pub(super) root: &'a str,
    pub(super) address: SocketAddr,
    pub(super) model: &'a ModelDescription,
    pub(super) max_num_seqs: usize,
    pub(super) needs_key: bool,
    pub(super) start_time: Duration,
}

impl Banner<'_> {
    /// An address that a client on this machine can use.
    fn url(&self) -> String {
        format!("http://{}", reachable(self.address))
    }

    fn device(&self) -> String {
        let ModelDescription { backend, isa, num_threads, .. } = self.model;
        let kernels = isa.map_or_else(String::new, |isa| format!(", {isa} kernels"));
        let threads = num_threads.map_or_else(String::new, |count| {
            format!(", {count} thread{}", if count == 1 { "" } else { "s" })
        });
        format!("CPU: {backend} backend{kernels}{threads}")
    }
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model;
        let (version, url) = (env!("CARGO_PKG_VERSION"), self.url());
        let root = if self.root == self.name { String::new() } else { format!(" ({})", self.root) };
        writeln!(f, "Maru {version} serves {}{root} on {url}", self.name)?;
        let millions = model.num_parameters as f64 / 1e6;
        let weights = model.weight_format.name();
        writeln!(f, "  model    {}, {millions:.1} M parameters, {weights} weights", model.family)?;
        writeln!(f, "  device   {}", self.device())?;
        let (pool, size) = (model.kv_capacity.num_tokens(), ByteSize(model.kv_bytes));
        writeln!(
            f,
            "  context  {} tokens; KV pool of {pool} tokens ({size}, {}), up to {} sequences at once",
            model.max_model_len,
            model.kv_dtype.name(),
            self.max_num_seqs
        )?;
        writeln!(f, "  ready    in {:.2} s; Ctrl-C stops\n", self.start_time.as_secs_f32())?;
        let body = serde_json::json!({
            "model": self.name,
            "messages": [{ "role": "user", "content": "안녕하세요! 무엇을 할 수 있나요?" }],
        });
        let body = body.to_string().replace('\'', r"'\''");
        let key = if self.needs_key { " -H \"Authorization: Bearer $MARU_API_KEY\"" } else { "" };
        write!(
            f,
            "Try:\n  curl {url}/v1/chat/completions -H 'Content-Type: application/json'{key} \\\n    -d '{body}'"
        )
    }
}
