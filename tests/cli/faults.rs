//! What the server does about faults, with the demo model and faults that are planned (`src/engine/failpoints.rs`).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::program::{PATIENCE, Running, run_with, stderr};

fn failing(failpoints: &str, arguments: &[&str]) -> Running {
    Running::start_with(arguments, &[("MARU_FAILPOINTS", failpoints)])
}

fn question(text: &str, max_tokens: u32) -> String {
    serde_json::json!({
        "model": "maru-demo", "max_tokens": max_tokens, "stream": true, "temperature": 0,
        "messages": [{ "role": "user", "content": text }],
    })
    .to_string()
}

/// Asks for a streamed answer of at most `max_tokens` tokens.
fn open(server: &Running, text: &str, max_tokens: u32) -> TcpStream {
    server.open("POST", "/v1/chat/completions", "", &question(text, max_tokens))
}

/// Asks and reads the answer to its end, however it comes.
fn ask(server: &Running, text: &str, max_tokens: u32) -> Answer {
    Answer::read(open(server, text, max_tokens))
}

/// A streamed answer.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    text: String,
    /// The error event, if there is one.
    error: Option<serde_json::Value>,
    is_done: bool,
}

impl Answer {
    fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A connection that is cut is an answer without an end.
        let _ = stream.read_to_end(&mut bytes);
        let raw = String::from_utf8(bytes).expect("UTF-8");
        let mut answer = Self { text: String::new(), error: None, is_done: false };
        for event in raw.lines().filter_map(|line| line.strip_prefix("data: ")) {
            if event == "[DONE]" {
                answer.is_done = true;
                continue;
            }
            let mut event: serde_json::Value = serde_json::from_str(event).expect("an event is JSON");
            if let Some(error) = event.get_mut("error") {
                answer.error = Some(error.take());
            } else if let Some(piece) = event["choices"][0]["delta"]["content"].as_str() {
                answer.text.push_str(piece);
            }
        }
        answer
    }

    fn has_failed(&self) -> bool {
        self.error.is_some() && !self.is_done
    }
}

/// What `/health` answers; nothing if the server is gone.
fn health(server: &Running) -> String {
    let mut answer = String::new();
    let ask = || -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        Ok(stream)
    };
    // What came before the connection broke is the answer.
    let _ = ask().and_then(|mut stream| stream.read_to_string(&mut answer));
    answer
}

fn is_healthy(server: &Running) -> bool {
    health(server).starts_with("HTTP/1.1 200")
}

/// Waits until `/metrics` says `value` of the metric whose line begins with `name`.
fn await_metric(server: &Running, name: &str, value: &str) {
    let start = Instant::now();
    loop {
        let page = server.send("GET", "/metrics", "", "");
        let line = page.lines().find(|line| line.starts_with(name)).expect("a line of that name");
        if line.ends_with(&format!("}} {value}")) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "it stays at {line}");
    }
}

const QUESTIONS: [&str; 3] = ["Tell me a long story.", "What is Maru?", "Count from one to twenty."];

#[test]
fn when_the_engine_dies_open_streams_end_with_an_error_and_the_process_with_1() {
    let server = failing("forward=panic@12,forward=slow:30", &[]);
    assert!(is_healthy(&server));
    for stream in QUESTIONS.map(|text| open(&server, text, 200)) {
        let answer = Answer::read(stream);
        assert!(answer.has_failed(), "{answer:?}");
        assert!(!is_healthy(&server), "health is red before a stream ends");
    }
    assert_eq!(server.wait().code(), Some(1));
}

#[test]
fn a_row_without_a_token_fails_one_stream_and_changes_no_other() {
    let [first, second, _] = QUESTIONS;
    let whole = Running::start_with(&[], &[]);
    let alone = [first, second].map(|text| ask(&whole, text, 40));
    assert!(alone.iter().all(|answer| answer.is_done), "{alone:?}");
    for fault in ["nan", "inf", "masked"] {
        let server = failing(&format!("logits={fault}@3,forward=slow:30"), &[]);
        let answers = [first, second].map(|text| open(&server, text, 40)).map(Answer::read);
        assert_eq!(answers.iter().filter(|answer| answer.has_failed()).count(), 1, "{fault}: {answers:?}");
        for (answer, alone) in answers.iter().zip(&alone) {
            assert!(answer.has_failed() || answer == alone, "{fault}: {answer:?} and alone {alone:?}");
            assert!(alone.text.starts_with(&answer.text), "{fault}: {answer:?} and alone {alone:?}");
        }
        assert!(is_healthy(&server));
        await_metric(&server, "vllm:corrupted_requests{", "1");
        await_metric(&server, "vllm:kv_cache_usage_perc{", "0");
    }
}

#[test]
fn a_failed_pass_fails_its_batch_and_the_next_request_is_answered() {
    let server = failing("forward=error@3", &[]);
    let hit = ask(&server, QUESTIONS[0], 40);
    assert!(hit.has_failed(), "{hit:?}");
    assert!(is_healthy(&server));
    let next = ask(&server, QUESTIONS[0], 40);
    assert!(next.is_done && next.error.is_none() && next.text.starts_with(&hit.text), "{next:?}");
}

#[test]
fn a_stuck_pass_turns_health_red_until_it_is_over() {
    let server = failing("forward=slow:3000@2", &["--set", "server.heartbeat_limit_s=1"]);
    let stream = open(&server, QUESTIONS[0], 4);
    let start = Instant::now();
    while !health(&server).contains("\"stalled\"") {
        assert!(start.elapsed() < PATIENCE, "health stays green while the engine is stuck");
    }
    let answer = Answer::read(stream);
    assert!(answer.is_done && is_healthy(&server), "{answer:?}");
}

#[test]
fn a_fault_that_cannot_be_planned_is_an_error() {
    let output = run_with(&["generate", "x"], &[("MARU_FAILPOINTS", "forward=nap")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("MARU_FAILPOINTS: \"forward=nap\" is no planned fault"),
        "{}",
        stderr(&output)
    );
}

/// Asks so many times at once and returns the whole answers.
fn flood(server: &Running, num_requests: usize) -> Vec<String> {
    let streams: Vec<_> = (0..num_requests).map(|_| open(server, QUESTIONS[0], 3)).collect();
    let read = |mut stream: TcpStream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    streams.into_iter().map(read).collect()
}

#[test]
fn a_flood_is_refused_at_once_and_everybody_has_an_answer() {
    let settings = ["--set", "engine.max_num_seqs=1", "--set", "engine.max_queue_time_ms=3000"];
    let server = failing("forward=slow:25", &settings);
    // How fast the engine is shows in those that end while others wait.
    let first = flood(&server, 12);
    assert!(first.iter().any(|answer| answer.contains("data: [DONE]")), "{first:?}");
    let answers = flood(&server, 80);
    let is_refusal = |answer: &&String| answer.starts_with("HTTP/1.1 429");
    for answer in &answers {
        let is_served = answer.starts_with("HTTP/1.1 200") && answer.contains("data: [DONE]");
        assert!(is_served || is_refusal(&answer), "{answer}");
    }
    let refusals: Vec<_> = answers.iter().filter(is_refusal).collect();
    for refusal in &refusals {
        assert!(
            refusal.contains("\r\nretry-after: ") && refusal.contains("\r\nretry-after-ms: "),
            "{refusal}"
        );
    }
    let at_once = refusals.iter().filter(|refusal| refusal.contains("the wait would be about")).count();
    assert!(at_once > 20, "{at_once} of {} were refused at once", refusals.len());
    await_metric(&server, "vllm:num_requests_waiting{", "0");
    await_metric(&server, "maru_queue_tokens{", "0");
    let page = server.send("GET", "/metrics", "", "");
    assert!(
        page.contains("maru_requests_rejected_total{") && page.contains("reason=\"queue_wait\""),
        "{page}"
    );
}
