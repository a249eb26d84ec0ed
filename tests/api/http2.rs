//! HTTP/2 by prior knowledge, as proxies speak it to their upstreams.

use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, PingPong};
use maru::api::{DrainOutcome, ServerConfig};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::fake_engine::{End, Script};
use crate::socket::{Running, prompt_drain, within};
use crate::support::hello;

/// An HTTP/2 connection to the server.
async fn connect(running: &Running) -> SendRequest<Bytes> {
    connect_with_pings(running).await.0
}

async fn connect_with_pings(running: &Running) -> (SendRequest<Bytes>, PingPong) {
    let stream = within(TcpStream::connect(running.address)).await.expect("a connection");
    let (sender, mut connection) = within(h2::client::handshake(stream)).await.expect("a handshake");
    let pings = connection.ping_pong().expect("taken once");
    // It ends with the connection, in whatever way.
    tokio::spawn(async { drop(connection.await) });
    (sender, pings)
}

async fn ask(sender: &SendRequest<Bytes>, body: &Value) -> ResponseFuture {
    let mut sender = within(sender.clone().ready()).await.expect("the connection holds");
    let request = Request::post("http://x/v1/chat/completions")
        .header("content-type", "application/json")
        .body(())
        .expect("valid");
    let (response, mut stream) = sender.send_request(request, false).expect("sent");
    stream.send_data(Bytes::from(body.to_string()), true).expect("sent");
    response
}

async fn read(response: ResponseFuture) -> (u16, String) {
    let response = within(response).await.expect("a response");
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(piece) = within(body.data()).await {
        let piece = piece.expect("the stream holds");
        body.flow_control().release_capacity(piece.len()).expect("it was received");
        text.extend_from_slice(&piece);
    }
    (status, String::from_utf8(text).expect("UTF-8"))
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let running = Running::start(Script::saying("안녕"), prompt_drain()).await;
    let sender = connect(&running).await;
    let mut responses = Vec::new();
    for i in 0..16 {
        responses.push((i % 2 == 0, ask(&sender, &hello(json!({ "stream": i % 2 == 0 }))).await));
    }
    for (streamed, response) in responses {
        let (status, body) = read(response).await;
        assert_eq!(status, 200);
        assert_eq!(body.ends_with("data: [DONE]\n\n"), streamed, "{body}");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_aborts_its_work_and_no_other() {
    let running = Running::start(Script::hanging_after("some"), prompt_drain()).await;
    let sender = connect(&running).await;
    let left = ask(&sender, &hello(json!({}))).await;
    let _kept = ask(&sender, &hello(json!({}))).await;
    running.engine.wait_until(|seen| seen.submitted.len() == 2).await;
    drop(left);
    running.engine.wait_until(|seen| seen.num_aborted == 1).await;
    let streamed = ask(&sender, &hello(json!({ "stream": true }))).await;
    let response = within(streamed).await.expect("headers");
    assert_eq!(running.engine.seen().num_aborted, 1);
    drop(response);
    running.engine.wait_until(|seen| seen.num_aborted == 2).await;
}

#[tokio::test]
async fn an_idle_connection_that_pings_outlives_the_header_clock() {
    let config = ServerConfig { header_timeout_s: 1.0, ..prompt_drain() };
    let running = Running::start(Script::saying("hi"), config).await;
    let (sender, mut pings) = connect_with_pings(&running).await;
    for _ in 0..2 {
        assert_eq!(read(ask(&sender, &hello(json!({}))).await).await.0, 200);
        within(pings.ping(Ping::opaque())).await.expect("a pong");
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    assert_eq!(read(ask(&sender, &hello(json!({}))).await).await.0, 200);
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let config = ServerConfig { header_timeout_s: 0.2, ..prompt_drain() };
    let running = Running::start(Script::saying("hi"), config).await;
    let stream = within(TcpStream::connect(running.address)).await.expect("a connection");
    let (_sender, connection) = within(h2::client::handshake(stream)).await.expect("a handshake");
    // Closed with or without a farewell.
    drop(within(connection).await);
}

#[tokio::test]
async fn draining_lets_streams_finish() {
    let (gate, opened) = watch::channel(false);
    let script = Script { end: End::StopAfter(opened), ..Script::saying("끝") };
    let config = ServerConfig { drain_delay_s: 0.0, drain_timeout_s: 60.0, ..Default::default() };
    let mut running = Running::start(script, config).await;
    let sender = connect(&running).await;
    let response = ask(&sender, &hello(json!({}))).await;
    running.engine.wait_until(|seen| seen.submitted.len() == 1).await;
    running.shut_down();
    let port_closes = async {
        while TcpStream::connect(running.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(port_closes).await;
    gate.send(true).expect("the engine waits");
    assert_eq!(read(response).await.0, 200);
    assert_eq!(running.outcome().await, DrainOutcome::Complete);
}
