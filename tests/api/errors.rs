//! Every failure has OpenAI's shape, with all four keys.

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use insta::assert_json_snapshot;
use maru::api::ServerConfig;
use maru::engine::{EngineLimits, SequenceError};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::fake_engine::{End, Script};
use crate::support::{Harness, MAX_MODEL_LEN, hello, post_json};

fn harness() -> Harness {
    Harness::new(Script::saying("hi"))
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_a_400() {
    let harness = harness();
    let deep = "[".repeat(1_000_000);
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b"null",
        b"\"text\"",
        b"{\"model\": \"\xff\"}",
        b"{\"seed\": 1e400}",
        deep.as_bytes(),
    ];
    for body in bodies {
        let answer = harness.send(post_json("/v1/chat/completions", body.to_vec())).await;
        let error = answer.expect_error(400, "invalid_json");
        assert_eq!(error["type"], "invalid_request_error");
    }
}

#[tokio::test]
async fn wrong_types_and_values_name_the_field() {
    let harness = harness();
    let cases = [
        (json!({ "model": 3 }), "model", "invalid_type"),
        (json!({ "model": null }), "model", "missing_required_parameter"),
        (json!({ "messages": null }), "messages", "missing_required_parameter"),
        (json!({ "messages": {} }), "messages", "invalid_type"),
        (json!({ "messages": [] }), "messages", "invalid_value"),
        (json!({ "messages": ["hi"] }), "messages[0]", "invalid_type"),
        (json!({ "messages": [{ "content": "x" }] }), "messages[0].role", "missing_required_parameter"),
        (json!({ "messages": [{ "role": 1, "content": "x" }] }), "messages[0].role", "invalid_type"),
        (json!({ "messages": [{ "role": "king", "content": "x" }] }), "messages[0].role", "invalid_value"),
        (json!({ "messages": [{ "role": "user" }] }), "messages[0].content", "missing_required_parameter"),
        (json!({ "messages": [{ "role": "user", "content": 7 }] }), "messages[0].content", "invalid_type"),
        (json!({ "messages": [{ "role": "user", "content": [] }] }), "messages[0].content", "invalid_value"),
        (
            json!({ "messages": [{ "role": "user", "content": [3] }] }),
            "messages[0].content[0]",
            "invalid_type",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "text" }] }] }),
            "messages[0].content[0].text",
            "missing_required_parameter",
        ),
        (
            json!({ "messages": [
                { "role": "user", "content": "look" },
                { "role": "user", "content": [
                    { "type": "text", "text": "at" },
                    { "type": "image_url", "image_url": { "url": "data:," } },
                ] },
            ] }),
            "messages[1].content[1]",
            "invalid_value",
        ),
        (json!({ "temperature": "hot" }), "temperature", "invalid_type"),
        (json!({ "temperature": 2.5 }), "temperature", "invalid_value"),
        (json!({ "n": 1.5 }), "n", "invalid_type"),
        (json!({ "n": true }), "n", "invalid_type"),
        (json!({ "stream": "yes" }), "stream", "invalid_type"),
        (json!({ "stop": 3 }), "stop", "invalid_type"),
        (json!({ "stop": ["a", 3] }), "stop[1]", "invalid_type"),
        (json!({ "stop": ["a", ""] }), "stop[1]", "invalid_value"),
        (json!({ "service_tier": "gold" }), "service_tier", "invalid_value"),
        (json!({ "service_tier": 1 }), "service_tier", "invalid_type"),
        (json!({ "priority": "high" }), "priority", "invalid_type"),
        (json!({ "priority": 0.5 }), "priority", "invalid_type"),
        (json!({ "cache_salt": 7 }), "cache_salt", "invalid_type"),
        (json!({ "cache_salt": "" }), "cache_salt", "invalid_value"),
        (json!({ "prompt_cache_key": [] }), "prompt_cache_key", "invalid_type"),
        (json!({ "prompt_cache_key": "k".repeat(65) }), "prompt_cache_key", "invalid_value"),
        (json!({ "stream_options": { "include_usage": true } }), "stream_options", "invalid_value"),
        (json!({ "stream": true, "stream_options": [] }), "stream_options", "invalid_type"),
        (
            json!({ "stream": true, "stream_options": { "include_usage": 1 } }),
            "stream_options.include_usage",
            "invalid_type",
        ),
    ];
    let mut messages = Vec::new();
    for (changes, param, code) in cases {
        let answer = harness.chat(&hello(changes)).await;
        let error = answer.expect_error(400, code);
        assert_eq!(error["param"], param, "{error}");
        messages.push(error["message"].clone());
    }
    assert_json_snapshot!(messages);
    assert!(harness.engine.seen().submitted.is_empty());
}

#[tokio::test]
async fn an_unknown_model_is_a_404_that_names_the_served_one() {
    let error =
        harness().chat(&hello(json!({ "model": "gpt-4o" }))).await.expect_error(404, "model_not_found");
    assert_json_snapshot!(error);
}

#[tokio::test]
async fn a_prompt_beyond_the_context_is_a_400_with_the_numbers() {
    let long = "가".repeat(MAX_MODEL_LEN);
    let body = hello(json!({ "messages": [{ "role": "user", "content": long }] }));
    let error = harness().chat(&body).await.expect_error(400, "context_length_exceeded");
    assert_eq!(error["param"], "messages");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains(&MAX_MODEL_LEN.to_string()), "{message}");
    let numbers: Vec<usize> =
        message.split(|c: char| !c.is_ascii_digit()).filter_map(|s| s.parse().ok()).collect();
    assert!(numbers.iter().any(|&number| number >= 3 * MAX_MODEL_LEN), "{message}");
}

#[tokio::test]
async fn a_full_queue_is_a_429_that_says_when_to_come_back() {
    let limits = EngineLimits { max_model_len: MAX_MODEL_LEN, max_waiting: 1, max_buffered_events: 16 };
    let harness = Harness::with_limits(Script::queueing(), ServerConfig::default(), limits);
    let body = hello(json!({}));
    let waiting = harness.chat(&body);
    let refused = async {
        harness.engine.wait_until(|seen| seen.submitted.len() == 1).await;
        harness.chat(&body).await
    };
    tokio::select! {
        _ = waiting => panic!("the first request waits for ever"),
        answer = refused => {
            let error = answer.expect_error(429, "rate_limit_exceeded");
            assert_eq!(error["type"], "rate_limit_error");
            let number = |name| -> u64 { answer.header(name).expect(name).parse().expect("a number") };
            assert!((1..=120).contains(&number("retry-after")));
            assert_eq!(number("retry-after-ms").div_ceil(1000), number("retry-after"));
            assert!(error["message"].as_str().expect("a message").contains("limit 1"), "{error}");
            let page = harness.get("/metrics").await.text;
            let refusals = page.lines().find(|line| line.starts_with("maru_requests_rejected_total"));
            let refusals = refusals.expect("a refusal was counted");
            assert!(refusals.contains("reason=\"queue_full\"") && refusals.ends_with(" 1"), "{refusals}");
        }
    }
}

#[tokio::test]
async fn a_wait_that_took_too_long_is_a_429_while_the_headers_are_held_back() {
    for stream in [false, true] {
        let script = Script { end: End::Fault(queue_timeout()), ..Script::queueing() };
        let answer = Harness::new(script).chat(&hello(json!({ "stream": stream, "n": 2 }))).await;
        let error = answer.expect_error(429, "rate_limit_exceeded");
        assert_eq!(error["type"], "rate_limit_error");
        assert_eq!(answer.header("retry-after"), Some("2"));
        assert_eq!(answer.header("retry-after-ms"), Some("1500"));
    }
}

#[tokio::test]
async fn a_wait_that_took_too_long_is_an_error_event_once_the_headers_went_out() {
    let (gate, opened) = tokio::sync::watch::channel(false);
    let script = Script { end: End::FaultAfter(opened, queue_timeout()), ..Script::queueing() };
    let harness = Harness::with_config(script, ServerConfig { stream_hold_s: 0.02, ..Default::default() });
    let request = post_json("/v1/chat/completions", hello(json!({ "stream": true })).to_string());
    let response = harness.router.clone().oneshot(request).await.expect("the router does not fail");
    assert_eq!(response.status(), 200);
    gate.send(true).expect("the engine waits for it");
    let bytes = response.into_body().collect().await.expect("the body is whole").to_bytes();
    let text = String::from_utf8(bytes.to_vec()).expect("events are UTF-8");
    let last = text.split_terminator("\n\n").last().expect("an event");
    let error: Value = serde_json::from_str(&last["data: ".len()..]).expect("JSON");
    assert_eq!(error["error"]["code"], "rate_limit_exceeded", "{text}");
    assert!(!text.contains("[DONE]"));
}

fn queue_timeout() -> SequenceError {
    SequenceError::QueueTimeout { waited_ms: 60_001, max_ms: 60_000, retry_after_ms: 1_500 }
}

#[tokio::test]
async fn an_engine_that_has_stopped_is_a_503_that_may_be_repeated() {
    let harness = harness();
    let (commands, inbox) = tokio::sync::mpsc::channel(1);
    drop(inbox);
    let limits = harness.engine.handle.limits();
    let handle = maru::engine::EngineHandle::new(commands, harness.engine.pulse.clone(), limits);
    let harness = harness.with_engine(handle);
    for stream in [false, true] {
        let answer = harness.chat(&hello(json!({ "stream": stream }))).await;
        answer.expect_error(503, "service_unavailable");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn unknown_routes_are_a_404_and_wrong_methods_a_405_with_allow() {
    let harness = harness();
    for path in ["/", "/v1", "/v1/", "/v1/nothing", "/v1/models/", "/V1/models", "//v1/models", "/v1//models"]
    {
        harness.get(path).await.expect_error(404, "unknown_url");
    }
    let cases = [
        (Method::GET, "/v1/chat/completions", "POST"),
        (Method::DELETE, "/v1/chat/completions", "POST"),
        (Method::OPTIONS, "/v1/chat/completions", "POST"),
        (Method::POST, "/v1/models", "GET,HEAD"),
        (Method::PUT, "/v1/models/demo", "GET,HEAD"),
        (Method::POST, "/metrics", "GET,HEAD"),
    ];
    for (method, path, allow) in cases {
        let request = Request::builder().method(&method).uri(path).body(Body::empty()).expect("valid");
        let answer = harness.send(request).await;
        answer.expect_error(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
}

#[tokio::test]
async fn a_method_may_be_any_word() {
    let method = Method::from_bytes("X".repeat(200).as_bytes()).expect("a token");
    let request = Request::builder().method(method).uri("/v1/models").body(Body::empty()).expect("valid");
    let answer = harness().send(request).await;
    answer.expect_error(405, "method_not_allowed");
    assert!(answer.text.len() < 300);
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413_declared_or_not() {
    let config = ServerConfig { max_body_bytes: 2048, ..Default::default() };
    let harness = Harness::with_config(Script::saying("hi"), config);
    let fits = hello(json!({ "x": "x".repeat(1500) })).to_string();
    assert!(fits.len() <= 2048);
    assert_eq!(harness.send(post_json("/v1/chat/completions", fits)).await.status, 200);
    let large = hello(json!({ "x": "x".repeat(2048) })).to_string();
    harness
        .send(post_json("/v1/chat/completions", large.clone()))
        .await
        .expect_error(413, "request_too_large");
    let pieces: Vec<_> =
        large.as_bytes().chunks(100).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let streamed = Body::from_stream(futures_util::stream::iter(pieces));
    harness.send(post_json("/v1/chat/completions", streamed)).await.expect_error(413, "request_too_large");
}

#[tokio::test]
async fn a_body_that_is_not_declared_as_plain_json_is_a_415() {
    let harness = harness();
    let body = hello(json!({})).to_string();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let request = Request::post("/v1/chat/completions")
            .header("content-type", content_type)
            .body(Body::from(body.clone()))
            .expect("valid");
        harness.send(request).await.expect_error(415, "unsupported_media_type");
    }
    let request = Request::post("/v1/chat/completions").body(Body::from(body.clone())).expect("valid");
    harness.send(request).await.expect_error(415, "unsupported_media_type");
    let request = Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(Body::from(body.clone()))
        .expect("valid");
    harness.send(request).await.expect_error(415, "unsupported_media_type");
    for content_type in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"] {
        let request = Request::post("/v1/chat/completions")
            .header("content-type", content_type)
            .body(Body::from(body.clone()))
            .expect("valid");
        assert_eq!(harness.send(request).await.status, 200, "{content_type}");
    }
}

#[tokio::test]
async fn too_many_headers_are_a_431() {
    let harness = harness();
    let with_headers = |count: usize, size: usize| {
        let mut request = Request::get("/v1/models");
        for i in 0..count {
            request = request.header(format!("x-h-{i}"), "v".repeat(size));
        }
        request.body(Body::empty()).expect("valid")
    };
    assert_eq!(harness.send(with_headers(100, 1)).await.status, 200);
    harness.send(with_headers(101, 1)).await.expect_error(431, "headers_too_large");
    harness.send(with_headers(10, 7000)).await.expect_error(431, "headers_too_large");
}

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing_of_it() {
    let harness = harness().with_panicking_stamps();
    let request = Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .header("x-request-id", "my-own-id")
        .body(Body::from(hello(json!({})).to_string()))
        .expect("valid");
    let answer = harness.send(request).await;
    answer.expect_error(500, "internal_error");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(answer.header("x-request-id"), Some("my-own-id"));
    assert!(!answer.text.contains("planted"), "{}", answer.text);
}

#[tokio::test]
async fn what_a_client_sends_is_shown_short_and_without_control_characters() {
    let name = format!("a\r\n\u{1b}[31m{}", "가".repeat(70));
    let error = harness().chat(&hello(json!({ "model": name }))).await.expect_error(404, "model_not_found");
    let message = error["message"].as_str().expect("a message");
    assert!(message.chars().all(|c| !c.is_control()), "{message:?}");
    assert!(message.contains('…') && message.len() < 400);
}

#[tokio::test]
async fn a_well_formed_request_id_is_kept_and_any_other_replaced() {
    let harness = harness();
    let id_for = async |given: Option<&str>| {
        let mut request = Request::get("/nowhere");
        if let Some(given) = given {
            request = request.header("x-request-id", given);
        }
        let answer = harness.send(request.body(Body::empty()).expect("valid")).await;
        answer.header("x-request-id").expect("an id on every answer").to_owned()
    };
    let longest = "a".repeat(128);
    for kept in ["abc", "A-1_2.3", &longest] {
        assert_eq!(id_for(Some(kept)).await, kept);
    }
    let too_long = "a".repeat(129);
    for replaced in [None, Some(""), Some("a b"), Some("a\tb"), Some("ä"), Some("a;b"), Some(&too_long)] {
        assert!(id_for(replaced).await.starts_with("req-"), "{replaced:?}");
    }
}

#[tokio::test]
async fn a_request_with_too_many_fields_is_refused() {
    let many: serde_json::Map<String, Value> = (0..300).map(|i| (format!("f{i}"), json!(1))).collect();
    harness().chat(&hello(Value::Object(many))).await.expect_error(400, "invalid_value");
}
