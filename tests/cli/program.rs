//! The program itself: its commands, its exit codes, and its life as a server, with the demo model.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Longest wait for anything; far above what is needed on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The program with an environment that holds nothing of the developer's, and a small KV pool: many run at once.
pub(crate) fn maru(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maru"));
    command.args(arguments).env_clear().env("HOME", "/nonexistent").stdin(Stdio::null());
    command.env("MARU__MODEL__KV_CACHE_MEMORY", "64MiB");
    command
}

pub(crate) fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = maru(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("the program reads");
    drop(stdin);
    child.wait_with_output().expect("the program ends")
}

/// As [`run`] without input, with these environment variables.
pub(crate) fn run_with(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    maru(arguments).envs(variables.iter().copied()).output().expect("the program runs")
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

#[test]
fn wrong_usage_ends_with_2_and_an_error_with_1() {
    let cases: [(&[&str], i32, &str); 8] = [
        (&["--port", "70000"], 2, "--port"),
        (&["frobnicate"], 2, "frobnicate"),
        (&["--set", "engine.max_num_seqs"], 2, "KEY=VALUE"),
        (&["generate", "x", "--temperature", "9"], 2, "from 0 to 2"),
        (&["generate", "x", "--do-sample=false", "--top-k", "5"], 1, "contradicts"),
        (&["--model", "./nowhere"], 1, "maru: ./nowhere: there is no such folder"),
        (&["--config", "/nonexistent/x.toml"], 1, "maru: /nonexistent/x.toml: "),
        (&["--set", "engine.max_num_seqs=0", "--backend", "tpu"], 1, "the configuration has 2 faults"),
    ];
    for (arguments, code, message) in cases {
        let output = run(arguments, "");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn the_version_is_printed() {
    assert_eq!(stdout(&run(&["--version"], "")), format!("maru {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn config_prints_what_serve_would_use() {
    let output =
        run(&["config", "--port", "9000", "--set", "engine.max_num_seqs=7", "--api-key", "sk-hidden"], "");
    let text = stdout(&output);
    assert!(text.contains("port = 9000  # --port\n"), "{text}");
    assert!(text.contains("max_num_seqs = 7  # --set engine.max_num_seqs\n"), "{text}");
    assert!(!text.contains("sk-hidden"), "{text}");
}

#[test]
fn generate_continues_a_prompt_the_same_way_each_time() {
    let arguments =
        ["generate", "[|system|][|endofturn|]\n[|user|]Hello\n[|assistant|]", "--max-new-tokens", "8"];
    let first = run(&arguments, "");
    assert!(first.status.success(), "{}", stderr(&first));
    assert_eq!(stdout(&first), stdout(&run(&arguments, "")));
    let full = run(&[&arguments[..], &["--return-full-text"]].concat(), "");
    assert_eq!(stdout(&full), format!("{}{}", arguments[1], stdout(&first)));
    let chat = run(&["generate", "--chat", "--max-new-tokens", "8"], "Hello\n");
    assert_eq!(stdout(&chat), stdout(&first), "the template gives the same prompt");
}

#[test]
fn a_seed_repeats_a_sampled_answer() {
    let arguments = [
        "generate",
        "--chat",
        "Hello",
        "--do-sample",
        "--top-k",
        "50",
        "--seed",
        "7",
        "--max-new-tokens",
        "8",
    ];
    let (first, second) = (run(&arguments, ""), run(&arguments, ""));
    assert!(first.status.success(), "{}", stderr(&first));
    assert_eq!(stdout(&first), stdout(&second));
}

#[test]
fn chat_answers_lines_from_a_pipe() {
    let input = "Hello\n/bogus\n/reset\nHello\n/exit\nnever read\n";
    let output = run(&["chat", "--temperature", "0", "--max-new-tokens", "8"], input);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("there is no command /bogus"), "{}", stderr(&output));
    let text = stdout(&output);
    let (first, second) = text.split_at(text.len() / 2);
    assert!(!first.trim().is_empty(), "{text:?}");
    assert_eq!(first, second, "after a reset the same question gets the same answer");
}

#[test]
fn a_conversation_that_is_too_long_says_how_to_go_on() {
    let line = "word ".repeat(3000);
    let output = run(&["chat", "--max-new-tokens", "4"], &format!("{line}\nHello\n"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("tokens, the context holds"), "{}", stderr(&output));
    assert!(stderr(&output).contains("/reset begins anew"), "{}", stderr(&output));
    assert!(!stdout(&output).is_empty(), "the next line is answered");
}

/// A running server, killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) port: u16,
    /// The rest of what it says on standard output.
    said: mpsc::Receiver<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts it with these environment variables.
    pub(crate) fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = maru(&[&["--port", "0", "--set", "server.drain_delay_s=0.2"], arguments].concat())
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (sender, said) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let first = said.recv_timeout(PATIENCE).expect("the server says that it is ready");
        let port = first.rsplit(':').next().and_then(|port| port.parse().ok());
        Self { child, port: port.unwrap_or_else(|| panic!("no port in {first:?}")), said }
    }

    /// Sends a request and returns the whole answer, head and body.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut answer = String::new();
        self.open(method, path, headers, body).read_to_string(&mut answer).expect("an answer");
        answer
    }

    pub(crate) fn open(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a valid time");
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}");
        let length = body.len();
        let fields = format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(format!("{head}{fields}").as_bytes()).expect("the server reads");
        stream
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().expect("kill runs");
        assert!(status.success());
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("the program ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn question(max_tokens: u32, stream: bool) -> String {
    serde_json::json!({
        "model": "maru-demo", "max_tokens": max_tokens, "stream": stream, "temperature": 0,
        "messages": [{ "role": "user", "content": "Hello" }],
    })
    .to_string()
}

#[test]
fn the_server_says_where_it_is_answers_and_drains_on_sigterm() {
    let server = Running::start(&[]);
    let answer = server.send("POST", "/v1/chat/completions", "", &question(8, false));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"chat.completion\""), "{answer}");
    assert!(server.send("GET", "/ready", "", "").starts_with("HTTP/1.1 200"));
    let port = server.port.to_string();
    assert_eq!(run(&["health", "--host", "0.0.0.0", "--port", &port], "").status.code(), Some(0));

    let mut running = server.open("POST", "/v1/chat/completions", "", &question(64, true));
    let mut begun = [0; 64];
    running.read_exact(&mut begun).expect("the answer begins");
    server.signal("TERM");
    let mut rest = String::new();
    running.read_to_string(&mut rest).expect("the answer goes on");
    assert!(rest.contains("data: [DONE]"), "{rest}");
    let lines: Vec<String> = server.said.try_iter().collect();
    assert!(lines.iter().any(|line| line.contains("KV pool of")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("curl http://127.0.0.1:")), "{lines:?}");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = Running::start(&["--set", "server.drain_delay_s=600"]);
    server.signal("TERM");
    // Until it has seen the first, a second could be taken for the same.
    while server.send("GET", "/ready", "", "").starts_with("HTTP/1.1 200") {
        std::thread::sleep(Duration::from_millis(10));
    }
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(130));
}

#[test]
fn health_fails_where_nobody_answers() {
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port").local_addr().expect("bound").port();
    let output = run(&["health", "--port", &free.to_string()], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/health: "), "{}", stderr(&output));
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let output = run(&["--port", &port], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("port {port} on 127.0.0.1 is in use")), "{}", stderr(&output));
}

#[test]
fn keys_from_flags_and_a_file_close_the_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("keys");
    std::fs::write(&file, "# the team\nsk-file\n").expect("writable");
    let server = Running::start(&["--api-key", "sk-flag", "--api-key-file", file.to_str().expect("UTF-8")]);
    let status = |headers: &str| server.send("GET", "/v1/models", headers, "")[..12].to_owned();
    assert_eq!(status(""), "HTTP/1.1 401");
    assert_eq!(status("authorization: Bearer sk-flag\r\n"), "HTTP/1.1 200");
    assert_eq!(status("authorization: Bearer sk-file\r\n"), "HTTP/1.1 200");
    assert_eq!(status("authorization: Bearer sk-other\r\n"), "HTTP/1.1 401");
}
