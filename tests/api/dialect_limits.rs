//! The boundary tests of the Responses and Messages APIs, made from the limits table: both ends pass the check, one step
//! beyond is a 400 that names the field.

use maru::api::ServerConfig;
use maru::api::limits::{Bound, Limit, MESSAGES_API, RESPONSES};
use serde_json::{Value, json};

use crate::fake_engine::Script;
use crate::support::{Answer, Harness, MODEL, post_json};

/// A request to the Responses API whose field at `path` is `value`; the path in error messages comes with it.
fn response_with(path: &str, value: Value) -> (Value, String) {
    let item = |item: Value| json!({ "input": [item] });
    let (changes, at) = match path {
        "input[].content" => (item(json!({ "role": "user", "content": value })), "input[0].content"),
        "input[].content[]" => (item(json!({ "type": "reasoning", "content": value })), "input[0].content"),
        "input[].id" => (item(json!({ "role": "user", "content": "x", "id": value })), "input[0].id"),
        "include[]" => (json!({ "include": [value] }), "include[0]"),
        name => {
            assert!(!name.contains(['[', '.']), "{name} needs a line here");
            (json!({ name: value }), name)
        }
    };
    (with(json!({ "model": MODEL, "input": "x" }), changes), at.to_owned())
}

/// The same for the Messages API.
fn message_with(path: &str, value: Value) -> (Value, String) {
    let message = |role: &str, content: Value| json!({ "messages": [{ "role": role, "content": content }] });
    let (changes, at) = match path {
        "messages[].content[]" => (message("user", value), "messages[0].content"),
        "messages[].content[].signature" => {
            let block = json!([{ "type": "thinking", "thinking": "x", "signature": value }]);
            (message("assistant", block), "messages[0].content[0].signature")
        }
        "stop_sequences[]" => (json!({ "stop_sequences": [value] }), "stop_sequences[0]"),
        "thinking.budget_tokens" => {
            (json!({ "thinking": { "type": "enabled", "budget_tokens": value } }), "thinking.budget_tokens")
        }
        "metadata.user_id" => (json!({ "metadata": { "user_id": value } }), "metadata.user_id"),
        name => {
            assert!(!name.contains(['[', '.']), "{name} needs a line here");
            (json!({ name: value }), name)
        }
    };
    let base = json!({ "model": MODEL, "max_tokens": 5, "messages": [{ "role": "user", "content": "x" }] });
    (with(base, changes), at.to_owned())
}

fn with(mut base: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    base.as_object_mut().expect("an object").extend(changes);
    base
}

/// An item for a list at `path`.
fn item(path: &str) -> Value {
    match path {
        "input" => json!({ "role": "user", "content": "x" }),
        "input[].content[]" => json!({ "type": "reasoning_text", "text": "x" }),
        "messages[].content[]" => json!({ "type": "text", "text": "x" }),
        "include" | "stop_sequences" => json!("x"),
        other => panic!("{other} needs a line here"),
    }
}

/// Values at the ends of a bound and just beyond them.
fn probes(limit: &Limit) -> (Vec<Value>, Vec<Value>) {
    let lengths = |min: usize, max: usize, make: &dyn Fn(usize) -> Value| {
        let below = min.checked_sub(1).map(make);
        (vec![make(min), make(max)], below.into_iter().chain([make(max + 1)]).collect())
    };
    match limit.bound {
        Bound::Number { min, max } => {
            (vec![json!(min), json!(max)], vec![json!(min - 0.001), json!(max + 0.001), json!(1e300)])
        }
        Bound::Integer { min, max } => {
            (vec![json!(min), json!(max)], vec![json!(min - 1), json!(max + 1), json!(1e300)])
        }
        Bound::Items { min, max } => {
            lengths(min, max, &|length| Value::Array(vec![item(limit.path); length]))
        }
        Bound::Bytes { min, max } => lengths(min, max, &|length| "x".repeat(length).into()),
        Bound::Chars { min, max } => lengths(min, max, &|length| "가".repeat(length).into()),
    }
}

/// What a wrong field is called in an answer, if one is.
fn fault(answer: &Answer) -> Option<String> {
    if answer.status != 400 {
        assert!(answer.status.as_u16() < 500, "{}", answer.text);
        return None;
    }
    let error = answer.json()["error"].take();
    let code = error["code"].as_str();
    // A prompt may be too long, and a response unknown, though the field is as it may be.
    let is_of_bounds = code.is_none_or(|code| ["invalid_value", "invalid_type"].contains(&code));
    let message = error["message"].as_str().filter(|message| is_of_bounds && message.starts_with('\''))?;
    message.split('\'').nth(1).map(str::to_owned)
}

#[tokio::test]
async fn both_ends_of_every_bound_pass_and_what_lies_beyond_is_refused() {
    let harness = Harness::with_config(
        Script::saying("hi"),
        ServerConfig { max_body_bytes: 8 << 20, ..Default::default() },
    );
    type Make = fn(&str, Value) -> (Value, String);
    let tables: [(&str, &[Limit], Make); 2] =
        [("/v1/responses", RESPONSES, response_with), ("/v1/messages", MESSAGES_API, message_with)];
    for (path, limits, make) in tables {
        for limit in limits {
            let (within, beyond) = probes(limit);
            for value in within {
                let (request, at) = make(limit.path, value);
                let fault = fault(&harness.send(post_json(path, request.to_string())).await);
                assert_ne!(fault, Some(at), "an end of {} on {path}", limit.path);
            }
            for value in beyond {
                let (request, at) = make(limit.path, value);
                let fault = fault(&harness.send(post_json(path, request.to_string())).await);
                assert_eq!(fault, Some(at), "beyond {} on {path}", limit.path);
            }
        }
    }
}
