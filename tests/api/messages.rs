//! Anthropic's Messages API: whole and streamed, with its own errors.

use axum::http::Request;
use maru::api::{Secret, ServerConfig};
use maru::engine::SequenceError;
use serde_json::{Value, json};

use crate::fake_engine::{End, Script};
use crate::support::{Answer, Harness, MODEL, post_json};

const PATH: &str = "/v1/messages";
const CALL: &str = "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"서울\"}}</tool_call>";

/// A short request with `changes` on top.
fn hello(changes: Value) -> Value {
    let mut body = json!({ "model": MODEL, "max_tokens": 100, "messages": [{ "role": "user", "content": "안녕하세요" }] });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    body.as_object_mut().expect("an object").extend(changes);
    body
}

fn weather() -> Value {
    json!([{
        "name": "weather", "description": "Tells the weather.",
        "input_schema": { "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] },
    }])
}

async fn create(harness: &Harness, changes: Value) -> Answer {
    harness.send(post_json(PATH, hello(changes).to_string())).await
}

/// The answer to a request that is granted.
async fn created(harness: &Harness, changes: Value) -> Value {
    let answer = create(harness, changes).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// Passes if this is an error in Anthropic's shape; gives its message.
#[track_caller]
fn expect_error(answer: &Answer, status: u16, kind: &str) -> String {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    let keys: Vec<_> = body.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["type", "error", "request_id"]);
    assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)));
    assert_eq!(answer.header("request-id"), body["request_id"].as_str());
    assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
    body["error"]["message"].as_str().expect("a message").to_owned()
}

/// The events of a stream; passes only if each names its type twice.
#[track_caller]
fn events(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let parse = |event: &str| {
        let (name, data) = event.split_once('\n').expect("two lines");
        let content: Value =
            serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("events are JSON");
        assert_eq!(name.strip_prefix("event: "), content["type"].as_str());
        content
    };
    answer.text.split_terminator("\n\n").map(parse).collect()
}

/// The type of each event, of a delta its own; pieces of one text count once.
fn types(events: &[Value]) -> Vec<String> {
    let name = |event: &Value| {
        let delta = event["delta"]["type"].as_str();
        delta.or(event["type"].as_str()).expect("a type").to_owned()
    };
    let mut names: Vec<String> = events.iter().map(name).collect();
    names.dedup();
    names
}

/// The prompt of the last request, as text.
fn last_prompt(harness: &Harness) -> String {
    let seen = harness.engine.seen();
    let prompt = &seen.submitted.last().expect("a request came so far").prompt;
    let bytes = prompt.iter().map(|&token| u8::try_from(token).unwrap_or(b'|')).collect();
    String::from_utf8(bytes).expect("prompts are text")
}

#[tokio::test]
async fn a_whole_message_has_all_that_the_typed_model_wants() {
    let harness = Harness::new(Script { num_cached_tokens: 8, ..Script::saying("반갑습니다!") });
    let asked = json!({ "system": [{ "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral" } }] });
    let answer = create(&harness, asked).await;
    assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
    assert_eq!(answer.header("x-maru-ignored-params"), None);
    let message = answer.json();
    let expected = json!({
        "id": message["id"],
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{ "type": "text", "text": "반갑습니다!" }],
        "stop_reason": "end_turn",
        "stop_sequence": null,
        "usage": {
            "input_tokens": 36,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 8,
            "output_tokens": 17,
            "output_tokens_details": { "thinking_tokens": 0 },
            "service_tier": "standard",
        },
    });
    assert_eq!(message, expected);
    assert!(message["id"].as_str().expect("an id").starts_with("msg_"));
    assert_eq!(last_prompt(&harness), "[|system|]Be brief.\n[|user|]안녕하세요\n");
}

#[tokio::test]
async fn a_stream_has_its_events_in_order() {
    let harness = Harness::new(Script { num_cached_tokens: 8, ..Script::saying("안녕!") });
    let answer = create(&harness, json!({ "stream": true })).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events = events(&answer);
    assert_eq!(
        types(&events),
        [
            "message_start",
            "ping",
            "content_block_start",
            "text_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    let start = &events[0]["message"];
    assert_eq!((&start["content"], &start["stop_reason"]), (&json!([]), &Value::Null));
    assert_eq!(events[2]["content_block"], json!({ "type": "text", "text": "" }));
    let said: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(said, "안녕!");
    let last = &events[events.len() - 2];
    assert_eq!(last["delta"], json!({ "stop_reason": "end_turn", "stop_sequence": null }));
    assert_eq!(last["usage"], created(&harness, json!({})).await["usage"]);
}

#[tokio::test]
async fn thinking_text_and_calls_are_blocks_of_their_own_whole_and_streamed() {
    let text = format!("Hm, 날씨.</think>Let me look.{CALL}");
    let harness = Harness::thinking(Script::saying(&text), ServerConfig::default());
    let asked = json!({ "tools": weather(), "thinking": { "type": "enabled", "budget_tokens": 2000 } });
    let whole = created(&harness, asked.clone()).await;
    assert_eq!(whole["stop_reason"], "tool_use");
    let content = whole["content"].as_array().expect("blocks");
    assert_eq!(content.len(), 3);
    assert_eq!((&content[0]["type"], &content[0]["thinking"]), (&json!("thinking"), &json!("Hm, 날씨.")));
    assert!(content[0]["signature"].as_str().is_some_and(|signature| !signature.is_empty()));
    assert_eq!(content[1], json!({ "type": "text", "text": "Let me look." }));
    assert_eq!((&content[2]["type"], &content[2]["name"]), (&json!("tool_use"), &json!("weather")));
    assert_eq!(content[2]["input"], json!({ "city": "서울" }));

    let mut asked = asked;
    asked["stream"] = json!(true);
    let events = events(&create(&harness, asked).await);
    let block = |deltas: &[&'static str]| {
        let whole = [&["content_block_start"], deltas, &["content_block_stop"]];
        whole.concat()
    };
    let mut expected = vec!["message_start", "ping"];
    expected.extend(block(&["thinking_delta", "signature_delta"]));
    expected.extend(block(&["text_delta"]));
    expected.extend(block(&["input_json_delta"]));
    expected.extend(["message_delta", "message_stop"]);
    assert_eq!(types(&events), expected);
    let joined = |index: usize, member: &str| -> String {
        let of_block = events.iter().filter(|event| event["index"] == index);
        of_block.filter_map(|event| event["delta"][member].as_str()).collect()
    };
    assert_eq!(joined(0, "thinking"), "Hm, 날씨.");
    assert!(!joined(0, "signature").is_empty());
    assert_eq!(joined(1, "text"), "Let me look.");
    let input: Value = serde_json::from_str(&joined(2, "partial_json")).expect("JSON");
    assert_eq!(input, json!({ "city": "서울" }));
    let starts: Vec<_> = events.iter().filter_map(|event| event.get("content_block")).collect();
    assert_eq!((&starts[2]["type"], &starts[2]["input"]), (&json!("tool_use"), &json!({})));
}

#[tokio::test]
async fn a_request_that_does_not_speak_of_thinking_wants_none() {
    let harness = Harness::thinking(Script::saying("yes"), ServerConfig::default());
    for (thinking, thinks) in [
        (Value::Null, false),
        (json!({ "type": "disabled" }), false),
        (json!({ "type": "adaptive" }), true),
        (json!({ "type": "enabled", "budget_tokens": 1024 }), true),
    ] {
        created(&harness, json!({ "thinking": thinking })).await;
        assert_eq!(last_prompt(&harness).ends_with("<think>"), thinks, "{thinking}");
    }
}

#[tokio::test]
async fn thinking_that_is_not_to_be_shown_has_no_text() {
    let harness = Harness::thinking(Script::saying("Hm.</think>yes"), ServerConfig::default());
    let asked = json!({ "thinking": { "type": "adaptive", "display": "omitted" } });
    let whole = created(&harness, asked.clone()).await;
    assert_eq!((&whole["content"][0]["thinking"], &whole["content"][1]["text"]), (&json!(""), &json!("yes")));
    let mut asked = asked;
    asked["stream"] = json!(true);
    let answer = create(&harness, asked).await;
    assert!(!answer.text.contains("Hm") && answer.text.contains("signature_delta"), "{}", answer.text);
}

#[tokio::test]
async fn a_conversation_with_calls_and_their_results_reaches_the_template() {
    let harness = Harness::new(Script::saying("ok"));
    let asked = json!({ "messages": [
        { "role": "user", "content": [{ "type": "text", "text": "Weather" }, { "type": "text", "text": "in Seoul?" }] },
        { "role": "assistant", "content": [
            { "type": "thinking", "thinking": "Hm.", "signature": "s" },
            { "type": "text", "text": "Let me look." },
            { "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "city": "Seoul" } },
            { "type": "tool_use", "id": "toolu_2", "name": "weather", "input": {} },
        ] },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "toolu_1", "content": [{ "type": "text", "text": "sunny" }] },
            { "type": "tool_result", "tool_use_id": "toolu_2", "content": "no city", "is_error": true },
            { "type": "text", "text": "Well?" },
        ] },
    ] });
    let answer = create(&harness, asked).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-maru-ignored-params")),
        (200, None),
        "{}",
        answer.text
    );
    let prompt = last_prompt(&harness);
    let parts = [
        "[|user|]Weather\nin Seoul?",
        "[|assistant|]",
        "Let me look.",
        "sunny",
        "Error: no city",
        "[|user|]Well?",
    ];
    let mut rest = prompt.as_str();
    for part in parts {
        let (_, after) = rest.split_once(part).unwrap_or_else(|| panic!("no {part} in {prompt}"));
        rest = after;
    }
}

#[tokio::test]
async fn a_message_of_the_assistant_at_the_end_is_continued() {
    let harness = Harness::new(Script::saying(" is Seoul."));
    let asked = json!({ "messages": [
        { "role": "user", "content": "The capital?" }, { "role": "assistant", "content": "It" },
    ] });
    assert_eq!(created(&harness, asked).await["content"][0]["text"], " is Seoul.");
    assert!(last_prompt(&harness).ends_with("[|assistant|]It"), "{}", last_prompt(&harness));
}

#[tokio::test]
async fn what_ended_the_answer_is_told() {
    let harness = Harness::new(Script::hanging_after("one two three"));
    for stream in [false, true] {
        let answer = create(&harness, json!({ "stop_sequences": ["zzz", " three"], "stream": stream })).await;
        let told =
            if stream { events(&answer)[events(&answer).len() - 2]["delta"].clone() } else { answer.json() };
        assert_eq!(
            (&told["stop_reason"], &told["stop_sequence"]),
            (&json!("stop_sequence"), &json!(" three"))
        );
    }
    let harness = Harness::new(Script { end: End::Length, ..Script::saying("half an ans") });
    assert_eq!(created(&harness, json!({})).await["stop_reason"], "max_tokens");
    let clamped = created(&harness, json!({ "max_tokens": 1_000_000 })).await;
    assert_eq!(clamped["stop_reason"], "model_context_window_exceeded");
    assert_eq!(clamped["warnings"][0]["code"], "clamped_parameter");
}

#[tokio::test]
async fn choices_of_tools_are_held() {
    let harness = Harness::new(Script::saying(CALL));
    for choice in [
        json!({ "type": "auto" }),
        json!({ "type": "any", "disable_parallel_tool_use": true }),
        json!({ "type": "tool", "name": "weather" }),
    ] {
        let message = created(&harness, json!({ "tools": weather(), "tool_choice": choice })).await;
        assert_eq!(message["stop_reason"], "tool_use", "{choice}");
    }
    let message = created(&harness, json!({ "tools": weather(), "tool_choice": { "type": "none" } })).await;
    assert_eq!((&message["stop_reason"], &message["content"][0]["text"]), (&json!("end_turn"), &json!(CALL)));
}

#[tokio::test]
async fn tokens_are_counted_without_an_answer() {
    let harness = Harness::new(Script::saying("hi"));
    let mut body = hello(json!({ "tools": weather() }));
    body.as_object_mut().expect("an object").remove("max_tokens");
    let answer = harness.send(post_json("/v1/messages/count_tokens", body.to_string())).await;
    assert!(harness.engine.seen().submitted.is_empty());
    let usage = created(&harness, json!({ "tools": weather() })).await["usage"].clone();
    assert_eq!(answer.json(), json!({ "input_tokens": usage["input_tokens"] }));
}

#[tokio::test]
async fn a_bad_request_names_its_field() {
    let harness = Harness::new(Script::saying("hi"));
    let message = |content: Value| json!({ "messages": [{ "role": "user", "content": content }] });
    let cases = [
        (json!({ "max_tokens": null }), "'max_tokens'"),
        (json!({ "max_tokens": 0 }), "'max_tokens'"),
        (json!({ "messages": [] }), "'messages'"),
        (json!({ "messages": [{ "role": "tool", "content": "x" }] }), "'messages[0].role'"),
        (json!({ "messages": [{ "role": "user" }] }), "'messages[0].content'"),
        (message(json!([{ "type": "image", "source": {} }])), "'image'"),
        (message(json!([{ "type": "document", "source": {} }])), "'document'"),
        (message(json!([{ "type": "tool_use", "id": "a", "name": "f", "input": {} }])), "'tool_use'"),
        (message(json!([{ "type": "text" }])), "'messages[0].content[0].text'"),
        (
            message(json!([{ "type": "tool_result", "tool_use_id": "toolu_1" }])),
            "'messages[0].content[0].tool_use_id'",
        ),
        (json!({ "system": [{ "type": "image" }] }), "'system[0]'"),
        (json!({ "temperature": 1.1 }), "'temperature'"),
        (json!({ "stop_sequences": [""] }), "'stop_sequences[0]'"),
        (
            json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }] }),
            "'web_search_20250305'",
        ),
        (json!({ "tools": [{ "name": "f" }] }), "'tools[0].input_schema'"),
        (
            json!({ "tools": [{ "name": "f", "strict": true, "input_schema": { "type": "robot" } }] }),
            "'tools[0].input_schema'",
        ),
        (json!({ "tool_choice": { "type": "any" } }), "'tool_choice'"),
        (json!({ "thinking": { "type": "enabled" } }), "'thinking.budget_tokens'"),
        (
            json!({ "output_config": { "format": { "type": "json_schema" } } }),
            "'output_config.format.schema'",
        ),
        (
            json!({ "output_format": { "type": "json_schema", "schema": { "type": "robot" } } }),
            "'output_format.schema'",
        ),
        (json!({ "mcp_servers": [{ "type": "url" }] }), "'mcp_servers'"),
    ];
    for (changes, named) in cases {
        let answer = create(&harness, changes.clone()).await;
        let message = expect_error(&answer, 400, "invalid_request_error");
        assert!(message.contains(named), "{message} for {changes}");
    }
    expect_error(&create(&harness, json!({ "model": "claude-5" })).await, 404, "not_found_error");
}

#[tokio::test]
async fn what_is_not_honoured_is_named_or_refused() {
    let asked = [
        (json!({ "service_tier": "auto", "speed": "standard" }), None),
        (json!({ "metadata": { "user_id": "u" }, "cache_control": { "type": "ephemeral" } }), None),
        (json!({ "speed": "fast" }), Some("speed")),
        (json!({ "nobody_knows_this": 1 }), Some("nobody_knows_this")),
        (json!({ "thinking": { "type": "adaptive" } }), Some("thinking")),
    ];
    let harness = Harness::new(Script::saying("hi"));
    let strict = ServerConfig { strict_params: true, ..Default::default() };
    let strict = Harness::with_config(Script::saying("hi"), strict);
    for (changes, named) in asked {
        let answer = create(&harness, changes.clone()).await;
        assert_eq!(answer.header("x-maru-ignored-params"), named, "{changes}");
        let warnings = answer.json()["warnings"].clone();
        assert_eq!(warnings[0]["param"].as_str(), named);
        let streamed = create(&harness, {
            let mut streamed = changes.clone();
            streamed["stream"] = json!(true);
            streamed
        })
        .await;
        let events = events(&streamed);
        assert_eq!(events[events.len() - 2]["warnings"], warnings);
        let refused = create(&strict, changes).await;
        match named {
            None => assert_eq!(refused.status, 200, "{}", refused.text),
            Some(_) => drop(expect_error(&refused, 400, "invalid_request_error")),
        }
    }
}

#[tokio::test]
async fn errors_have_the_shape_and_status_of_this_api() {
    let harness =
        Harness::new(Script { end: End::Fault(SequenceError::InvalidLogits), ..Script::saying("hal") });
    let answer = create(&harness, json!({})).await;
    expect_error(&answer, 500, "api_error");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let streamed = create(&harness, json!({ "stream": true })).await;
    let events = events(&streamed);
    let last = events.last().expect("events");
    assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!("api_error")));
    assert_eq!(last["request_id"].as_str(), streamed.header("request-id"));

    let wrong = harness.send(Request::get(PATH).body(axum::body::Body::empty()).expect("valid")).await;
    expect_error(&wrong, 405, "invalid_request_error");
    expect_error(&harness.send(post_json(PATH, "{")).await, 400, "invalid_request_error");
    let config = ServerConfig { max_body_bytes: 2048, ..Default::default() };
    let small = Harness::with_config(Script::saying("hi"), config);
    let long = json!({ "system": "x".repeat(4096) });
    expect_error(&create(&small, long).await, 413, "request_too_large");

    let stopped =
        Harness::new(Script { end: End::Fault(SequenceError::EngineStopped), ..Script::saying("") });
    let answer = create(&stopped, json!({})).await;
    expect_error(&answer, 529, "overloaded_error");
    assert!(answer.header("retry-after").is_some());
    let error = SequenceError::QueueTimeout { waited_ms: 2, max_ms: 1, retry_after_ms: 1000 };
    let busy = Harness::new(Script { end: End::Fault(error), ..Script::saying("") });
    expect_error(&create(&busy, json!({})).await, 429, "rate_limit_error");
    harness.get("/v1/nowhere").await.expect_error(404, "unknown_url");
}

#[tokio::test]
async fn a_key_may_come_in_either_header() {
    let api_keys = vec![Secret::new("sk-right")];
    let harness = Harness::with_config(Script::saying("hi"), ServerConfig { api_keys, ..Default::default() });
    let send = |headers: &'static [(&'static str, &'static str)]| {
        let mut request = post_json(PATH, hello(json!({})).to_string());
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("ASCII"));
        }
        harness.send(request)
    };
    let right: [&[_]; 4] = [
        &[("x-api-key", "sk-right"), ("anthropic-version", "2023-06-01")],
        &[("authorization", "Bearer sk-right")],
        &[("authorization", "Bearer sk-right"), ("x-api-key", "sk-right")],
        &[("authorization", "Bearer sk-right"), ("x-api-key", "not-needed")],
    ];
    for headers in right {
        assert_eq!(send(headers).await.status, 200, "{headers:?}");
    }
    let wrong: [&[_]; 5] = [
        &[],
        &[("x-api-key", "sk-wrong")],
        &[("x-api-key", "")],
        &[("x-api-key", "sk-right"), ("x-api-key", "sk-right")],
        &[("authorization", "Bearer sk-wrong"), ("x-api-key", "sk-right")],
    ];
    for headers in wrong {
        expect_error(&send(headers).await, 401, "authentication_error");
    }
}
