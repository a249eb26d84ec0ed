//! The boundary tests, made from the limits table: both ends pass, one step beyond is a 400 that names the field, and
//! no value of any kind is a 5xx.

use maru::api::limits::{Bound, CHAT_COMPLETIONS, Limit};
use serde_json::{Value, json};

use crate::fake_engine::Script;
use crate::support::{Harness, MODEL, hello};

/// A request whose field at `path` is `value`; the path in error messages comes with it.
fn request_with(path: &str, value: Value) -> (Value, String) {
    let message = |content: Value| json!({ "messages": [{ "role": "user", "content": content }] });
    let (changes, at) = match path {
        "messages[].content" | "messages[].content[]" => (message(value), "messages[0].content".to_owned()),
        "messages[].content[].text" => {
            (message(json!([{ "type": "text", "text": value }])), "messages[0].content[0].text".to_owned())
        }
        "stop[]" => (json!({ "stop": [value] }), "stop[0]".to_owned()),
        "bad_words[]" => (json!({ "bad_words": [value] }), "bad_words[0]".to_owned()),
        "logit_bias" | "metadata" => {
            // A list stands for that many members.
            let members = value.as_array().expect("a list").iter().enumerate();
            let members: serde_json::Map<String, Value> =
                members.map(|(i, item)| (i.to_string(), item.clone())).collect();
            (json!({ path: members }), path.to_owned())
        }
        "metadata.*" => (json!({ "metadata": { "k": value } }), "metadata.k".to_owned()),
        "chat_template_kwargs.*" => {
            let at = "chat_template_kwargs.thinking";
            (json!({ "chat_template_kwargs": { "thinking": value } }), at.to_owned())
        }
        "top_logprobs" => (json!({ "logprobs": true, "top_logprobs": value }), path.to_owned()),
        "prediction.content" => {
            (json!({ "prediction": { "type": "content", "content": value } }), path.to_owned())
        }
        "tools[].function.name" => (tool(json!({ "name": value })), "tools[0].function.name".to_owned()),
        "tools[].function.description" => {
            let at = "tools[0].function.description";
            (tool(json!({ "name": "f", "description": value })), at.to_owned())
        }
        "messages[].tool_calls" => {
            (assistant(json!({ "tool_calls": value })), "messages[1].tool_calls".to_owned())
        }
        "messages[].tool_call_id" => {
            let calls = json!({ "role": "tool", "content": "x", "tool_call_id": value });
            (json!({ "messages": [user(), calls] }), "messages[1].tool_call_id".to_owned())
        }
        "messages[].tool_calls[].function.arguments" => {
            let call =
                json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": value } });
            let at = "messages[1].tool_calls[0].function.arguments";
            (assistant(json!({ "tool_calls": [call] })), at.to_owned())
        }
        "messages[].name" => (
            json!({ "messages": [{ "role": "user", "content": "x", "name": value }] }),
            "messages[0].name".to_owned(),
        ),
        "messages[].reasoning_content" => {
            (assistant(json!({ "reasoning_content": value })), "messages[1].reasoning_content".to_owned())
        }
        "response_format.json_schema.name" => {
            let schema = json!({ "name": value, "schema": { "type": "object" } });
            (json!({ "response_format": { "type": "json_schema", "json_schema": schema } }), path.to_owned())
        }
        "structured_outputs.regex" | "structured_outputs.grammar" | "structured_outputs.choice" => {
            let name = path.rsplit('.').next().expect("a name");
            (json!({ "structured_outputs": { name: value } }), path.to_owned())
        }
        "structured_outputs.choice[]" => (
            json!({ "structured_outputs": { "choice": [value] } }),
            "structured_outputs.choice[0]".to_owned(),
        ),
        name => {
            assert!(!name.contains(['[', '.']), "{name} needs a line here");
            (json!({ name: value }), name.to_owned())
        }
    };
    (hello(changes), at)
}

fn user() -> Value {
    json!({ "role": "user", "content": "x" })
}

fn tool(function: Value) -> Value {
    json!({ "tools": [{ "type": "function", "function": function }] })
}

/// A conversation whose second message is the assistant's.
fn assistant(members: Value) -> Value {
    let mut message = json!({ "role": "assistant", "content": "x" });
    message.as_object_mut().expect("an object").extend(members.as_object().cloned().expect("an object"));
    json!({ "messages": [user(), message] })
}

/// An item for a list at `path`.
fn item(path: &str) -> Value {
    match path {
        "messages" => json!({ "role": "user", "content": "x" }),
        "messages[].content[]" => json!({ "type": "text", "text": "x" }),
        "stop" | "bad_words" | "metadata" => json!("x"),
        "logit_bias" => json!(1),
        "stop_token_ids" | "allowed_token_ids" => json!(7),
        "tools" => json!({ "type": "function", "function": { "name": "f" } }),
        "messages[].tool_calls" => json!({ "id": "c", "type": "function", "function": { "name": "f" } }),
        "structured_outputs.choice" => json!("x"),
        other => panic!("{other} needs a line here"),
    }
}

/// Values at the ends of a bound and just beyond them.
fn probes(limit: &Limit) -> (Vec<Value>, Vec<Value>) {
    match limit.bound {
        Bound::Number { min, max } => (
            vec![json!(min), json!(max)],
            vec![json!(min - 0.001), json!(max + 0.001), json!(1e300), json!(-1e300)],
        ),
        Bound::Integer { min, max } => {
            let beyond = |value: i64, step: i64| {
                value.checked_add(step).map_or_else(
                    // Beyond 64 bits only a float can go.
                    || json!(value as f64 * 2.0),
                    |value| json!(value),
                )
            };
            (
                vec![json!(min), json!(max)],
                vec![beyond(min, -1), beyond(max, 1), json!(u64::MAX), json!(1e300)],
            )
        }
        Bound::Items { min, max } => {
            let list = |length: usize| {
                let mut items = vec![item(limit.path); length];
                if limit.path == "tools" {
                    // No two have one name.
                    let named = items.iter_mut().enumerate();
                    named.for_each(|(i, item)| item["function"]["name"] = json!(format!("f{i}")));
                }
                Value::Array(items)
            };
            let below = min.checked_sub(1).map(list);
            (vec![list(min), list(max)], below.into_iter().chain([list(max + 1)]).collect())
        }
        Bound::Bytes { min, max } => {
            let text = |length: usize| Value::String("x".repeat(length));
            let below = min.checked_sub(1).map(text);
            (vec![text(min), text(max)], below.into_iter().chain([text(max + 1)]).collect())
        }
        Bound::Chars { min, max } => {
            let text = |length: usize| Value::String("가".repeat(length));
            let below = min.checked_sub(1).map(text);
            (vec![text(min), text(max)], below.into_iter().chain([text(max + 1)]).collect())
        }
    }
}

#[tokio::test]
async fn both_ends_of_every_bound_pass_the_check() {
    let harness = Harness::new(Script::saying("hi"));
    for limit in CHAT_COMPLETIONS {
        for value in probes(limit).0 {
            let (request, _) = request_with(limit.path, value);
            let answer = harness.chat(&request).await;
            // What no model is called, what is too long for the context or too many for the server is refused further in.
            let status = answer.status.as_u16();
            let passed = match limit.path {
                "model" => status == 404,
                "messages" | "messages[].content" | "messages[].content[]" | "messages[].content[].text" => {
                    status == 200 || answer.json()["error"]["code"] == "context_length_exceeded"
                }
                "n" => status == 200 || answer.json()["error"]["param"] == "n",
                // The token ids of a small vocabulary, a choice between equals, what is no grammar, what takes the
                // template too far: said further in.
                "logit_bias"
                | "structured_outputs.grammar"
                | "structured_outputs.regex"
                | "truncate_prompt_tokens" => status == 200 || status == 400,
                "tools"
                | "messages[].tool_calls"
                | "messages[].reasoning_content"
                | "messages[].tool_calls[].function.arguments"
                | "tools[].function.description" => {
                    status == 200 || answer.json()["error"]["code"] == "context_length_exceeded"
                }
                _ => status == 200,
            };
            assert!(passed, "{}: {}", limit.path, answer.text);
        }
    }
}

#[tokio::test]
async fn one_step_beyond_a_bound_is_a_400_that_names_field_bound_and_value() {
    let harness = Harness::new(Script::saying("hi"));
    for limit in CHAT_COMPLETIONS {
        for value in probes(limit).1 {
            let (request, at) = request_with(limit.path, value.clone());
            let answer = harness.chat(&request).await;
            let error = answer.expect_error(400, "invalid_value");
            assert_eq!(error["param"], at.as_str(), "{error}");
            let message = error["message"].as_str().expect("a message");
            let (min, max, given) = match (limit.bound, &value) {
                (Bound::Number { min, max }, _) => (min.to_string(), max.to_string(), None),
                (Bound::Integer { min, max }, _) => (min.to_string(), max.to_string(), None),
                (Bound::Items { min, max }, Value::Array(list)) => {
                    (min.to_string(), max.to_string(), Some(list.len()))
                }
                (Bound::Bytes { min, max }, Value::String(text)) => {
                    (min.to_string(), max.to_string(), Some(text.len()))
                }
                (Bound::Chars { min, max }, Value::String(text)) => {
                    (min.to_string(), max.to_string(), Some(text.chars().count()))
                }
                other => panic!("a value of the wrong kind: {other:?}"),
            };
            let given = given.map(|length| length.to_string());
            for part in [Some(at), Some(min), Some(max), given].into_iter().flatten() {
                assert!(message.contains(&part), "{message} lacks {part}");
            }
        }
    }
    assert!(harness.engine.seen().submitted.is_empty(), "nothing reached the engine");
}

#[tokio::test]
async fn no_value_of_any_kind_is_a_server_error() {
    let harness = Harness::new(Script::saying("hi"));
    let strange = [
        "0",
        "-0",
        "-0.0",
        "1",
        "-1",
        "1.5",
        "8",
        "9",
        "128",
        "129",
        "2147483648",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "-9223372036854775809",
        "1e308",
        "1e400",
        "-1e400",
        "1e-400",
        "NaN",
        "Infinity",
        "true",
        "false",
        "null",
        "\"8\"",
        "\"\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "[]",
        "[[]]",
        "[null]",
        "{}",
        "{\"a\":{}}",
        "[[],[1]]",
    ];
    let names = [
        "model",
        "messages",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "n",
        "stop",
        "max_completion_tokens",
        "max_tokens",
        "stream",
        "stream_options",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "response_format",
        "tools",
        "tool_choice",
        "modalities",
        "metadata",
        "user",
        "priority",
        "service_tier",
        "cache_salt",
        "prompt_cache_key",
        "best_of",
        "min_p",
        "",
        "unheard.of",
        "toString",
        "__proto__",
    ];
    let mut num_cases = 0;
    for name in names {
        for value in strange {
            // Written by hand, since not all of it is JSON.
            let messages = r#"[{"role":"user","content":"hi"}]"#;
            let body = match name {
                "model" => format!(r#"{{"messages":{messages},"model":{value}}}"#),
                "messages" => format!(r#"{{"model":"{MODEL}","messages":{value}}}"#),
                _ => format!(r#"{{"model":"{MODEL}","messages":{messages},"{name}":{value}}}"#),
            };
            let answer = harness.send(crate::support::post_json("/v1/chat/completions", body)).await;
            let status = answer.status.as_u16();
            assert!(matches!(status, 200 | 400 | 404), "{name} = {value}: {status} {}", answer.text);
            if status != 200 {
                let code = answer.json()["error"]["code"].as_str().expect("a code").to_owned();
                answer.expect_error(status, &code);
            }
            num_cases += 1;
        }
    }
    assert!(num_cases > 1000);
}

#[test]
fn a_field_has_one_row() {
    let mut paths: Vec<_> = CHAT_COMPLETIONS.iter().map(|limit| limit.path).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), CHAT_COMPLETIONS.len());
}
