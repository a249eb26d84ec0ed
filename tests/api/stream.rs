//! Streamed answers, byte for byte.

use insta::assert_snapshot;
use maru::api::ServerConfig;
use maru::engine::SequenceError;
use serde_json::{Value, json};

use crate::fake_engine::{End, Script};
use crate::support::{Harness, hello};

/// The JSON of every event but the end marker; passes only if all is well-formed and the marker comes last.
#[track_caller]
pub(crate) fn chunks(body: &str) -> Vec<Value> {
    let events = body.strip_suffix("data: [DONE]\n\n").expect("the end marker comes last");
    let parse = |event: &str| {
        let data = event.strip_prefix("data: ").unwrap_or_else(|| panic!("not an event: {event}"));
        serde_json::from_str(data).expect("chunks are JSON")
    };
    events.split_terminator("\n\n").map(parse).collect()
}

#[tokio::test]
async fn a_stream_is_role_then_text_then_finish_then_the_end_marker() {
    let answer = Harness::new(Script::saying("안녕!")).chat(&hello(json!({ "stream": true }))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert!(answer.header("x-request-id").is_some());
    assert_snapshot!(answer.text);
}

#[tokio::test]
async fn usage_comes_in_a_chunk_of_its_own_and_is_null_before() {
    let script = Script { num_cached_tokens: 8, ..Script::saying("yes") };
    let asked = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let answer = Harness::new(script).chat(&hello(asked)).await;
    assert_snapshot!(answer.text);
}

#[tokio::test]
async fn choices_begin_in_order_and_each_finishes_once() {
    let texts = vec!["하나".to_owned(), "둘".to_owned(), "셋".to_owned()];
    let script = Script { texts: texts.clone(), ..Script::saying("") };
    let answer = Harness::new(script).chat(&hello(json!({ "stream": true, "n": 3 }))).await;
    let chunks = chunks(&answer.text);
    for (index, chunk) in chunks.iter().take(3).enumerate() {
        let choice = &chunk["choices"][0];
        assert_eq!(choice["index"], index);
        assert_eq!(choice["delta"], json!({ "role": "assistant", "content": "" }));
        assert_eq!(choice["finish_reason"], Value::Null);
    }
    for (index, text) in texts.iter().enumerate() {
        let of_choice =
            || chunks.iter().skip(3).map(|chunk| &chunk["choices"][0]).filter(|c| c["index"] == index);
        let said: String = of_choice().filter_map(|choice| choice["delta"]["content"].as_str()).collect();
        assert_eq!(&said, text);
        let reasons: Vec<_> =
            of_choice().map(|c| &c["finish_reason"]).filter(|reason| !reason.is_null()).collect();
        assert_eq!(reasons, ["stop"]);
        let last = of_choice().next_back().expect("chunks of each choice");
        assert_eq!(last["delta"], json!({}));
    }
    let first = &chunks[0];
    for chunk in &chunks {
        for key in ["id", "object", "created", "model", "system_fingerprint"] {
            assert_eq!(chunk[key], first[key], "{key} is the same in every chunk");
        }
        assert_eq!(chunk.get("usage"), None, "usage was not asked for");
    }
}

#[tokio::test]
async fn a_streamed_answer_is_the_whole_one_in_pieces() {
    let text = "마루는 한국어로 답합니다. 👩‍👩‍👧‍👦 Grüße!\nline two\t\"quoted\"";
    let harness = Harness::new(Script::saying(text));
    let whole = harness.chat(&hello(json!({}))).await.json();
    assert_eq!(whole["choices"][0]["message"]["content"], text);
    let streamed = harness.chat(&hello(json!({ "stream": true }))).await;
    let content = |chunk: &Value| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
    let said: String = chunks(&streamed.text).iter().filter_map(content).collect();
    assert_eq!(said, text);
}

#[tokio::test]
async fn ignored_parameters_are_named_in_the_header_and_in_the_last_chunk() {
    let harness = Harness::new(Script::saying("hi"));
    let asked = json!({ "stream": true, "verbosity": "high", "store": true });
    let answer = harness.chat(&hello(asked.clone())).await;
    assert_eq!(answer.header("x-maru-ignored-params"), Some("verbosity, store"));
    let all = chunks(&answer.text);
    let (last, before) = all.split_last().expect("there are chunks");
    assert_eq!(last["warnings"][0]["param"], "verbosity");
    assert_eq!(last["warnings"][1]["param"], "store");
    assert!(before.iter().all(|chunk| chunk.get("warnings").is_none()));

    let mut asked = hello(asked);
    asked["stream_options"] = json!({ "include_usage": true });
    let all = chunks(&harness.chat(&asked).await.text);
    let (last, before) = all.split_last().expect("there are chunks");
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["warnings"][1]["param"], "store");
    assert!(before.iter().all(|chunk| chunk.get("warnings").is_none()));
}

#[tokio::test]
async fn what_fails_before_the_stream_begins_is_a_status() {
    let script = Script { scheduled: false, end: End::Never, ..Script::saying("") };
    let config = ServerConfig { request_timeout_s: 1.0, stream_hold_s: 60.0, ..Default::default() };
    let harness = Harness::with_config(script, config);
    let answer = harness.chat(&hello(json!({ "stream": true }))).await;
    answer.expect_error(504, "request_timeout");
    harness.engine.wait_until(|seen| seen.num_aborted == 1).await;
}

#[tokio::test]
async fn what_fails_later_is_an_error_event_without_an_end_marker() {
    let script = Script { end: End::Fault(SequenceError::InvalidLogits), ..Script::saying("hal") };
    let answer = Harness::new(script).chat(&hello(json!({ "stream": true }))).await;
    assert_eq!(answer.status, 200);
    assert_snapshot!(answer.text);
}

#[tokio::test]
async fn a_stream_that_waits_in_the_queue_begins_after_the_hold_and_pings() {
    let config = ServerConfig {
        stream_hold_s: 0.02,
        ping_interval_s: 0.02,
        request_timeout_s: 1.0,
        ..Default::default()
    };
    let answer =
        Harness::with_config(Script::queueing(), config).chat(&hello(json!({ "stream": true }))).await;
    assert_eq!(answer.status, 200);
    let mut events = answer.text.split_terminator("\n\n");
    let first: Value =
        serde_json::from_str(&events.next().expect("a first event")["data: ".len()..]).expect("JSON");
    assert_eq!(first["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    let rest: Vec<_> = events.collect();
    let (error, pings) = rest.split_last().expect("more events");
    assert!(!pings.is_empty() && pings.iter().all(|ping| *ping == ": ping"), "{pings:?}");
    let error: Value = serde_json::from_str(&error["data: ".len()..]).expect("JSON");
    assert_eq!(error["error"]["code"], "request_timeout");
}

#[tokio::test]
async fn no_line_of_a_stream_begins_with_id_or_retry() {
    let config = ServerConfig { ping_interval_s: 0.02, request_timeout_s: 1.5, ..Default::default() };
    let harness = Harness::with_config(Script::hanging_after("id: 1\nretry: 2\n"), config);
    let answer = harness.chat(&hello(json!({ "stream": true }))).await;
    let line_is_fine = |line: &str| line.is_empty() || line.starts_with("data: {") || line == ": ping";
    assert!(answer.text.lines().all(line_is_fine), "{}", answer.text);
    assert!(!answer.text.contains("[DONE]"));
}

#[tokio::test]
async fn streams_end_with_an_error_when_the_process_must_go() {
    let harness = Harness::new(Script::hanging_after("some"));
    let lifecycle = harness.state.lifecycle.clone();
    let engine = harness.engine.clone();
    let end = async move {
        engine.wait_until(|seen| seen.submitted.len() == 1).await;
        lifecycle.enter(maru::api::Phase::Terminating);
    };
    let body = hello(json!({ "stream": true }));
    let (answer, ()) = tokio::join!(harness.chat(&body), end);
    if answer.status == 200 {
        assert!(answer.text.ends_with("\"code\":\"service_unavailable\"}}\n\n"), "{}", answer.text);
    } else {
        answer.expect_error(503, "service_unavailable");
    }
    harness.engine.wait_until(|seen| seen.num_aborted == 1).await;
}
