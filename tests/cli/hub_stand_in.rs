//! A stand-in of the hub on 127.0.0.1: the few addresses that a download uses, and the faults that one may meet.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

/// One request as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) authorization: Option<String>,
}

/// What the stand-in serves and how it misbehaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behaviour {
    /// Contents by file name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Cut the connection after so many bytes of a body, for the first so many requests of a file.
    pub(crate) cuts: BTreeMap<String, Vec<usize>>,
    /// Ignore `Range` and answer with the whole file.
    pub(crate) no_ranges: bool,
    /// Answer everything with this status.
    pub(crate) status: Option<u16>,
    /// Answer the first so many requests with 503.
    pub(crate) busy: usize,
    /// Send who asks for weights to this stand-in under another host's name, as the hub does.
    pub(crate) weights_host: Option<String>,
    /// Change a byte of this file on its way, although its checksum stays.
    pub(crate) damaged: Option<String>,
}

/// The running stand-in.
pub(crate) struct StandIn {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// The repository that is served.
pub(crate) const REPO: &str = "maru/tiny";
/// Its commit.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl StandIn {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut behaviour = behaviour;
        if let Some(host) = &mut behaviour.weights_host {
            *host = format!("http://{host}:{}", address.port());
        }
        let state = Arc::new((Mutex::new(behaviour), Arc::clone(&seen)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || serve(&stream, &state.0, &state.1));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// The ranges asked for of a file's body.
    pub(crate) fn ranges_of(&self, file: &str) -> Vec<String> {
        let is_body = |seen: &&Seen| seen.method == "GET" && seen.path.ends_with(file);
        self.seen().iter().filter(is_body).map(|seen| seen.range.clone().unwrap_or_default()).collect()
    }
}

/// The name of a file's blob: SHA-256 of weights, a shorter name of small files, as on the hub.
pub(crate) fn etag(name: &str, content: &[u8]) -> String {
    let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    if name.ends_with(".safetensors") { digest } else { digest[..40].to_owned() }
}

/// Answers the requests of one connection until it is closed.
fn serve(stream: &TcpStream, behaviour: &Mutex<Behaviour>, log: &Mutex<Vec<Seen>>) {
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(request)) = lines.next() {
        let mut words = request.split(' ').map(str::to_owned);
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
        let mut seen = Seen { method, path, range: None, authorization: None };
        for line in lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            let Some((key, value)) = line.split_once(": ") else { continue };
            match key.to_ascii_lowercase().as_str() {
                "range" => seen.range = Some(value.to_owned()),
                "authorization" => seen.authorization = Some(value.to_owned()),
                _ => {}
            }
        }
        log.lock().expect("not poisoned").push(seen.clone());
        let answer = answer(&seen, &mut behaviour.lock().expect("not poisoned"));
        if answer.write(stream).is_err() || answer.cut_at.is_some() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

/// An answer, and where its body breaks off.
struct Answer {
    head: String,
    body: Vec<u8>,
    cut_at: Option<usize>,
}

impl Answer {
    fn new(status: u16, headers: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Stand-in\r\ncontent-length: {length}\r\n{headers}\r\n");
        Self { head, body: body.to_vec(), cut_at: None }
    }

    fn write(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        stream.write_all(self.head.as_bytes())?;
        stream.write_all(&self.body[..self.cut_at.unwrap_or(self.body.len())])?;
        stream.flush()
    }
}

fn answer(seen: &Seen, behaviour: &mut Behaviour) -> Answer {
    if let Some(status) = behaviour.status {
        return Answer::new(status, "", b"{\"error\": \"refused\"}");
    }
    if behaviour.busy > 0 {
        behaviour.busy -= 1;
        return Answer::new(503, "", b"");
    }
    if seen.path == format!("/api/models/{REPO}/revision/main") {
        let siblings: Vec<_> =
            behaviour.files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let info = serde_json::json!({ "id": REPO, "sha": COMMIT, "siblings": siblings });
        return Answer::new(200, "content-type: application/json\r\n", info.to_string().as_bytes());
    }
    let resolve = format!("/{REPO}/resolve/{COMMIT}/");
    let name = seen.path.strip_prefix(&resolve).or(seen.path.strip_prefix("/elsewhere/"));
    let file = name.and_then(|name| behaviour.files.get_key_value(name));
    let Some((name, content)) = file else { return Answer::new(404, "", b"") };
    let (name, content) = (name.clone(), content.clone());
    let away = behaviour.weights_host.as_ref().filter(|_| name.ends_with(".safetensors"));
    if let (Some(host), false) = (away, seen.path.starts_with("/elsewhere/")) {
        let (tag, size) = (etag(&name, &content), content.len());
        let linked = format!("x-linked-etag: \"{tag}\"\r\nx-linked-size: {size}\r\netag: \"other\"\r\n");
        let location = format!("{linked}x-repo-commit: {COMMIT}\r\nlocation: {host}/elsewhere/{name}\r\n");
        return Answer::new(302, &location, b"");
    }
    file_answer(seen, &name, &content, behaviour)
}

fn file_answer(seen: &Seen, name: &str, content: &[u8], behaviour: &mut Behaviour) -> Answer {
    let facts = format!("etag: \"{}\"\r\nx-repo-commit: {COMMIT}\r\n", etag(name, content));
    if seen.method == "HEAD" {
        let head = format!("HTTP/1.1 200 Stand-in\r\ncontent-length: {}\r\n{facts}\r\n", content.len());
        return Answer { head, body: Vec::new(), cut_at: None };
    }
    let mut sent = content.to_vec();
    if behaviour.damaged.as_deref() == Some(name) {
        sent[0] ^= 1;
    }
    let start =
        seen.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let mut answer = match start {
        Some(start) if !behaviour.no_ranges => {
            let start: usize = start;
            let (last, all) = (sent.len() - 1, sent.len());
            let headers = format!("{facts}content-range: bytes {start}-{last}/{all}\r\n");
            Answer::new(206, &headers, &sent[start..])
        }
        _ => Answer::new(200, &facts, &sent),
    };
    let cuts = behaviour.cuts.entry(name.to_owned()).or_default();
    if !cuts.is_empty() {
        answer.cut_at = Some(cuts.remove(0).min(answer.body.len()));
    }
    answer
}
