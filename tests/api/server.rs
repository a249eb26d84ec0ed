//! The accept loop on a real socket: clocks, caps, draining.

use std::time::Duration;

use maru::api::{DrainOutcome, ServerConfig};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::fake_engine::{End, Script};
use crate::socket::{Running, prompt_drain, within};
use crate::support::hello;

const GET_MODELS: &str = "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn requests_are_answered_one_after_another_on_one_connection() {
    let running = Running::start(Script::saying("안녕"), prompt_drain()).await;
    let mut client = running.connect().await;
    for _ in 0..3 {
        client.send(GET_MODELS).await;
        assert_eq!(client.response().await.status, 200);
        client.ask(&hello(json!({}))).await;
        let response = client.response().await;
        assert_eq!(response.status, 200);
        let body: Value = serde_json::from_str(&response.body).expect("JSON");
        assert_eq!(body["choices"][0]["message"]["content"], "안녕");
        client.ask(&hello(json!({ "stream": true }))).await;
        assert!(client.response().await.head.contains("transfer-encoding: chunked"));
        client.read_until("data: [DONE]\n\n").await;
        client.read_until("0\r\n\r\n").await;
    }
    assert_eq!(running.engine.seen().num_aborted, 0);
}

#[tokio::test]
async fn events_arrive_as_they_are_made() {
    let running = Running::start(Script::hanging_after("첫 말"), prompt_drain()).await;
    let mut client = running.connect().await;
    client.ask(&hello(json!({ "stream": true }))).await;
    client.read_until("첫").await;
}

#[tokio::test]
async fn a_connection_that_sends_nothing_is_closed() {
    let config = ServerConfig { header_timeout_s: 0.1, ..prompt_drain() };
    let running = Running::start(Script::saying("hi"), config).await;
    assert_eq!(running.connect().await.read_to_end().await, "");
}

#[tokio::test]
async fn headers_that_trickle_in_end_the_connection() {
    let config = ServerConfig { header_timeout_s: 0.2, ..prompt_drain() };
    let running = Running::start(Script::saying("hi"), config).await;
    let mut client = running.connect().await;
    client.send("GET /v1/models HTTP/1.1\r\n").await;
    let trickle = async {
        use tokio::io::AsyncWriteExt;
        // Each line comes in time for a clock that starts anew at each byte.
        while client.stream.write_all(b"x-slow: 1\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(trickle).await;
}

#[tokio::test]
async fn a_later_request_has_the_same_time_for_its_headers_but_silence_between_is_fine() {
    let config = ServerConfig { header_timeout_s: 1.0, keep_alive_timeout_s: 60.0, ..prompt_drain() };
    let running = Running::start(Script::saying("hi"), config).await;
    let mut client = running.connect().await;
    client.send(GET_MODELS).await;
    assert_eq!(client.response().await.status, 200);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    client.send(GET_MODELS).await;
    assert_eq!(client.response().await.status, 200, "the connection was kept");
    client.send("GET /v1/models HTTP/1.1\r\nhost:").await;
    assert_eq!(client.read_to_end().await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_keep_alive_time() {
    let config = ServerConfig { keep_alive_timeout_s: 0.2, ..prompt_drain() };
    let running = Running::start(Script::saying("hi"), config).await;
    let mut client = running.connect().await;
    client.send(GET_MODELS).await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(client.read_to_end().await, "");
}

#[tokio::test]
async fn an_answer_may_take_longer_than_the_clocks_of_headers_and_silence() {
    let (gate, opened) = watch::channel(false);
    let script = Script { end: End::StopAfter(opened), ..Script::saying("done") };
    let config = ServerConfig { header_timeout_s: 1.0, keep_alive_timeout_s: 0.2, ..prompt_drain() };
    let running = Running::start(script, config).await;
    let mut client = running.connect().await;
    client.ask(&hello(json!({}))).await;
    running.engine.wait_until(|seen| seen.submitted.len() == 1).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    gate.send(true).expect("the engine waits");
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_a_408() {
    let config = ServerConfig { body_timeout_s: 0.1, ..prompt_drain() };
    let running = Running::start(Script::saying("hi"), config).await;
    let mut client = running.connect().await;
    client
        .send(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: 100\r\n\r\n{\"model\"",
        )
        .await;
    let response = client.response().await;
    assert_eq!(response.status, 408);
    assert!(response.body.contains("\"code\":\"request_timeout\""), "{}", response.body);
    assert_eq!(client.read_to_end().await, "", "the connection is closed");
}

#[tokio::test]
async fn a_body_may_take_longer_than_the_headers() {
    let config = ServerConfig { header_timeout_s: 1.0, body_timeout_s: 60.0, ..prompt_drain() };
    let running = Running::start(Script::saying("hi"), config).await;
    let mut client = running.connect().await;
    let body = hello(json!({})).to_string();
    let (first, second) = body.split_at(10);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
    client.send(&format!("{head}\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    assert_eq!(client.response().await.status, 100);
    client.send(first).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    client.send(second).await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn a_declared_body_over_the_limit_is_refused_unread() {
    let running = Running::start(Script::saying("hi"), prompt_drain()).await;
    let mut client = running.connect().await;
    client
        .send(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: 999999999\r\n\r\n",
        )
        .await;
    let response = client.response().await;
    assert_eq!(response.status, 413);
    assert!(response.body.contains("\"code\":\"request_too_large\""));
}

#[tokio::test]
async fn a_client_that_sends_all_of_a_body_over_the_limit_still_reads_the_refusal() {
    let config = ServerConfig { max_body_bytes: 64 << 10, ..prompt_drain() };
    let running = Running::start(Script::saying("hi"), config).await;
    let body = "x".repeat(8 << 20);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
    let declared = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let chunked =
        format!("{head}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for request in [declared, chunked] {
        let mut client = running.connect().await;
        client.send(&request).await;
        let response = client.response().await;
        assert_eq!(response.status, 413);
        assert!(response.body.contains("\"code\":\"request_too_large\""));
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_and_its_work_aborted() {
    let config = ServerConfig { write_stall_timeout_s: 0.2, ..prompt_drain() };
    // Each token becomes some 300 bytes: far more than the buffers of two sockets hold.
    let running = Running::start(Script::hanging_after(&"x".repeat(100_000)), config).await;
    let mut client = running.connect().await;
    client.ask(&hello(json!({ "stream": true }))).await;
    running.engine.wait_until(|seen| seen.num_aborted == 1).await;
    drop(client);
}

#[tokio::test]
async fn header_lines_over_the_limit_are_a_431_with_a_body() {
    let running = Running::start(Script::saying("hi"), prompt_drain()).await;
    let request = |count: usize| {
        let lines: String = (0..count).map(|i| format!("x-h-{i}: 1\r\n")).collect();
        format!("GET /v1/models HTTP/1.1\r\nhost: x\r\n{lines}\r\n")
    };
    let mut client = running.connect().await;
    client.send(&request(99)).await;
    assert_eq!(client.response().await.status, 200);
    client.send(&request(100)).await;
    let response = client.response().await;
    assert_eq!(response.status, 431);
    assert!(response.body.contains("\"code\":\"headers_too_large\""));
    let mut client = running.connect().await;
    client.send(&request(3000)).await;
    assert_eq!(client.response().await.status, 431, "far beyond, the answer is bare");
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_the_server_goes_on() {
    let running = Running::start(Script::saying("hi"), prompt_drain()).await;
    let chunked_and_long = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                            content-length: 3\r\ncontent-length: 4\r\n\r\nabc";
    for garbage in
        ["\u{16}\u{3}\u{1}hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", chunked_and_long]
    {
        let mut client = running.connect().await;
        client.send(garbage).await;
        let answer = client.read_to_end().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{garbage:?}: {answer:?}");
    }
    assert_eq!(running.status_of("/live").await, 200);
}

#[tokio::test]
async fn a_connection_over_the_cap_is_told_so_and_places_are_given_back() {
    for (max_connections, max_connections_per_ip) in [(1, 0), (100, 1)] {
        let config = ServerConfig { max_connections, max_connections_per_ip, ..prompt_drain() };
        let running = Running::start(Script::saying("hi"), config).await;
        let mut first = running.connect().await;
        first.send(GET_MODELS).await;
        assert_eq!(first.response().await.status, 200);
        let mut second = running.connect().await;
        second.send(GET_MODELS).await;
        let refusal = second.response().await;
        assert_eq!(refusal.status, 503);
        assert!(refusal.head.contains("retry-after: 1"));
        assert!(refusal.head.contains("x-request-id: req-"));
        let body: Value = serde_json::from_str(&refusal.body).expect("JSON");
        assert_eq!(body["error"].as_object().expect("an object").len(), 4);
        drop(first);
        let regained = async { while running.status_of("/live").await != 200 {} };
        within(regained).await;
    }
}

#[tokio::test]
async fn draining_turns_ready_red_finishes_what_runs_and_then_returns() {
    let (gate, opened) = watch::channel(false);
    let script = Script { end: End::StopAfter(opened), ..Script::saying("끝까지") };
    let config = ServerConfig { drain_delay_s: 3.0, drain_timeout_s: 60.0, ..ServerConfig::default() };
    let mut running = Running::start(script, config).await;
    let mut stream = running.connect().await;
    stream.ask(&hello(json!({ "stream": true }))).await;
    stream.read_until("까").await;
    let mut idle = running.connect().await;
    idle.send(GET_MODELS).await;
    assert_eq!(idle.response().await.status, 200);

    running.shut_down();
    let turns_red = async { while running.status_of("/ready").await == 200 {} };
    within(turns_red).await;
    assert_eq!(running.status_of("/live").await, 200);
    idle.send(GET_MODELS).await;
    let response = idle.response().await;
    assert_eq!(response.status, 200, "the port is open while balancers take notice");
    assert!(response.head.contains("connection: close"));
    let mut idle = running.connect().await;

    let port_closes = async {
        while tokio::net::TcpStream::connect(running.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(port_closes).await;
    assert_eq!(idle.read_to_end().await, "", "idle connections are closed");
    assert_eq!(running.engine.seen().num_aborted, 0);
    gate.send(true).expect("the engine waits");
    stream.read_until("data: [DONE]\n\n").await;
    assert_eq!(running.outcome().await, DrainOutcome::Complete);
}

#[tokio::test]
async fn what_does_not_finish_in_time_ends_with_an_error() {
    let mut running = Running::start(Script::hanging_after("가나"), prompt_drain()).await;
    let mut stream = running.connect().await;
    stream.ask(&hello(json!({ "stream": true }))).await;
    stream.read_until("가").await;
    let mut whole = running.connect().await;
    whole.ask(&hello(json!({}))).await;
    running.engine.wait_until(|seen| seen.submitted.len() == 2).await;
    running.shut_down();
    let end = stream.read_to_end().await;
    assert!(end.contains("\"code\":\"service_unavailable\"") && !end.contains("[DONE]"), "{end}");
    assert_eq!(whole.response().await.status, 503);
    running.engine.wait_until(|seen| seen.num_aborted == 2).await;
    assert_eq!(running.outcome().await, DrainOutcome::TimedOut { num_connections: 2 });
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let running = Running::start(Script::saying("hi"), prompt_drain()).await;
    let config = ServerConfig { port: running.address.port(), ..ServerConfig::default() };
    assert!(maru::api::Server::bind(&config).await.is_err());
}
