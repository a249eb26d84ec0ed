//! A client that leaves takes its work with it, whatever phase the work is in.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::fake_engine::Script;
use crate::socket::{Running, prompt_drain};
use crate::support::hello;

/// Asks, waits until the engine has the sequences, leaves, and waits until they are aborted.
async fn leave(script: Script, changes: Value, num_sequences: usize) {
    let running = Running::start(script, prompt_drain()).await;
    let mut client = running.connect().await;
    client.ask(&hello(changes)).await;
    running.engine.wait_until(|seen| seen.submitted.len() == num_sequences).await;
    assert_eq!(running.engine.seen().num_aborted, 0);
    drop(client);
    running.engine.wait_until(|seen| seen.num_aborted == num_sequences).await;
}

#[tokio::test]
async fn leaving_a_whole_answer_in_the_middle_aborts_it() {
    leave(Script::hanging_after("half of it"), json!({}), 1).await;
}

#[tokio::test]
async fn leaving_a_whole_answer_in_the_queue_aborts_it() {
    leave(Script::queueing(), json!({}), 1).await;
}

#[tokio::test]
async fn leaving_a_stream_in_the_queue_aborts_it() {
    leave(Script::queueing(), json!({ "stream": true }), 1).await;
}

#[tokio::test]
async fn leaving_aborts_every_choice() {
    leave(Script::hanging_after("some"), json!({ "n": 3 }), 3).await;
    leave(Script::hanging_after("some"), json!({ "n": 3, "stream": true }), 3).await;
}

#[tokio::test]
async fn leaving_a_stream_in_the_middle_aborts_it() {
    let running = Running::start(Script::hanging_after("가나다"), prompt_drain()).await;
    let mut client = running.connect().await;
    client.ask(&hello(json!({ "stream": true }))).await;
    client.read_until("나").await;
    assert_eq!(running.engine.seen().num_aborted, 0);
    drop(client);
    running.engine.wait_until(|seen| seen.num_aborted == 1).await;
}

#[tokio::test]
async fn closing_the_sending_side_is_leaving() {
    for stream in [false, true] {
        let running = Running::start(Script::hanging_after("some"), prompt_drain()).await;
        let mut client = running.connect().await;
        client.ask(&hello(json!({ "stream": stream }))).await;
        running.engine.wait_until(|seen| seen.submitted.len() == 1).await;
        client.stream.shutdown().await.expect("half of the connection closes");
        running.engine.wait_until(|seen| seen.num_aborted == 1).await;
    }
}

#[tokio::test]
async fn many_clients_that_leave_at_once_leave_nothing_behind() {
    let running = Running::start(Script::hanging_after("some"), prompt_drain()).await;
    let mut clients = Vec::new();
    for i in 0..64 {
        let mut client = running.connect().await;
        client.ask(&hello(json!({ "stream": i % 2 == 0 }))).await;
        clients.push(client);
    }
    running.engine.wait_until(|seen| seen.submitted.len() == 64).await;
    drop(clients);
    running.engine.wait_until(|seen| seen.num_aborted == 64).await;
    let connections = || running.harness.state.metrics.http_connections.get();
    while connections() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
