//! Never silent: every parameter of OpenAI's chat completions and of vLLM's extensions is honoured, named or refused.

use maru::api::ServerConfig;
use serde_json::{Value, json};

use crate::fake_engine::Script;
use crate::support::{Harness, hello};

/// What is to become of a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// It takes effect, or asks for nothing.
    Accepted,
    /// It is named in the header and in the warnings.
    Named,
    /// 400 `unsupported_parameter`.
    Refused,
}
use Fate::{Accepted, Named, Refused};

/// The 37 parameters of OpenAI's published document 2.3.0, each with values.
fn openai() -> Vec<(&'static str, Vec<(Value, Fate)>)> {
    let tool = json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
    vec![
        ("messages", vec![(json!([{ "role": "user", "content": "x" }]), Accepted)]),
        ("model", vec![(json!("demo"), Accepted)]),
        ("max_completion_tokens", vec![(json!(3), Accepted)]),
        ("max_tokens", vec![(json!(3), Accepted)]),
        ("temperature", vec![(json!(0.3), Accepted), (json!(0), Accepted)]),
        ("top_p", vec![(json!(0.3), Accepted), (json!(1), Accepted), (json!(0), Accepted)]),
        ("n", vec![(json!(2), Accepted)]),
        ("seed", vec![(json!(7), Accepted)]),
        ("stop", vec![(json!("x"), Accepted), (json!(["x", "y"]), Accepted), (json!([]), Accepted)]),
        ("frequency_penalty", vec![(json!(0), Accepted), (json!(0.5), Named)]),
        ("presence_penalty", vec![(json!(0.0), Accepted), (json!(1.5), Named)]),
        ("logit_bias", vec![(json!({}), Accepted), (json!({ "5": -100 }), Refused)]),
        ("logprobs", vec![(json!(false), Accepted), (json!(true), Refused)]),
        ("top_logprobs", vec![(json!(0), Accepted), (json!(5), Refused)]),
        ("stream", vec![(json!(false), Accepted), (json!(true), Accepted)]),
        ("stream_options", vec![]),
        (
            "response_format",
            vec![
                (json!({ "type": "text" }), Accepted),
                (json!({ "type": "json_object" }), Refused),
                (json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": {} } }), Refused),
            ],
        ),
        ("tools", vec![(json!([]), Accepted), (tool.clone(), Refused)]),
        (
            "tool_choice",
            vec![(json!("none"), Accepted), (json!("auto"), Accepted), (json!("required"), Refused)],
        ),
        ("parallel_tool_calls", vec![(json!(true), Accepted), (json!(false), Accepted)]),
        ("reasoning_effort", vec![(json!("none"), Accepted), (json!("high"), Named)]),
        ("verbosity", vec![(json!("medium"), Accepted), (json!("low"), Named)]),
        ("user", vec![(json!("u"), Accepted)]),
        ("safety_identifier", vec![(json!("u"), Accepted)]),
        ("metadata", vec![(json!({ "a": "b" }), Accepted)]),
        ("store", vec![(json!(false), Accepted), (json!(true), Named)]),
        (
            "service_tier",
            vec![
                (json!("auto"), Accepted),
                (json!("default"), Accepted),
                (json!("flex"), Accepted),
                (json!("scale"), Named),
                (json!("priority"), Named),
            ],
        ),
        ("prompt_cache_key", vec![(json!("k"), Accepted), (json!(""), Accepted)]),
        ("prompt_cache_retention", vec![(json!("24h"), Named)]),
        ("prompt_cache_options", vec![(json!({ "mode": "x" }), Named)]),
        ("modalities", vec![(json!(["text"]), Accepted), (json!(["text", "audio"]), Refused)]),
        ("audio", vec![(json!({ "voice": "alloy", "format": "wav" }), Refused)]),
        ("web_search_options", vec![(json!({}), Refused)]),
        ("prediction", vec![(json!({ "type": "content", "content": "x" }), Named)]),
        ("moderation", vec![(json!({}), Named)]),
        ("functions", vec![(json!([]), Accepted), (json!([{ "name": "f" }]), Refused)]),
        ("function_call", vec![(json!("auto"), Accepted), (json!({ "name": "f" }), Refused)]),
    ]
}

/// Extensions of vLLM and its cousins.
fn extensions() -> Vec<(&'static str, Vec<(Value, Fate)>)> {
    vec![
        ("top_k", vec![(json!(-1), Accepted), (json!(40), Accepted)]),
        ("min_p", vec![(json!(0), Accepted), (json!(0.1), Named)]),
        ("repetition_penalty", vec![(json!(1.0), Accepted), (json!(1.1), Named)]),
        ("ignore_eos", vec![(json!(false), Accepted), (json!(true), Refused)]),
        ("min_tokens", vec![(json!(0), Accepted), (json!(5), Refused)]),
        ("stop_token_ids", vec![(json!([]), Accepted), (json!([5]), Refused)]),
        ("skip_special_tokens", vec![(json!(true), Accepted), (json!(false), Refused)]),
        ("chat_template", vec![(json!("{{ 1 }}"), Refused)]),
        ("chat_template_kwargs", vec![(json!({}), Accepted), (json!({ "enable_thinking": false }), Named)]),
        ("truncate_prompt_tokens", vec![(json!(5), Refused)]),
        ("guided_json", vec![(json!({}), Refused)]),
        ("structured_outputs", vec![(json!({}), Accepted), (json!({ "regex": "a" }), Refused)]),
        ("best_of", vec![(json!(1), Accepted), (json!(2), Refused)]),
        ("priority", vec![(json!(0), Accepted), (json!(5), Accepted), (json!(-5), Named)]),
        ("cache_salt", vec![(json!("s"), Accepted)]),
        ("return_token_ids", vec![(json!(false), Accepted), (json!(true), Refused)]),
        ("nobody_knows_this", vec![(json!(1), Named), (json!({ "a": [1] }), Named)]),
    ]
}

#[tokio::test]
async fn every_parameter_is_honoured_named_or_refused() {
    let harness = Harness::new(Script::saying("hi"));
    let strict = ServerConfig { strict_params: true, ..Default::default() };
    let strict = Harness::with_config(Script::saying("hi"), strict);
    for (name, cases) in openai().into_iter().chain(extensions()) {
        for (value, fate) in cases {
            let request = hello(json!({ name: value }));
            let answer = harness.chat(&request).await;
            let strict_answer = strict.chat(&request).await;
            if fate == Refused {
                assert_eq!(answer.expect_error(400, "unsupported_parameter")["param"], name);
            } else {
                assert_eq!(answer.status, 200, "{name}: {}", answer.text);
                let named = (fate == Named).then_some(name);
                assert_eq!(answer.header("x-maru-ignored-params"), named, "{name} = {value}");
            }
            if fate == Named {
                let warnings = answer.json()["warnings"].take();
                assert_eq!(warnings[0]["param"], name);
                assert_eq!(warnings[0]["code"], "ignored_parameter");
            }
            if fate == Accepted {
                assert_eq!(strict_answer.status, 200, "{name}: {}", strict_answer.text);
            } else {
                assert_eq!(strict_answer.expect_error(400, "unsupported_parameter")["param"], name);
            }
        }
    }
}

#[test]
fn the_list_is_openais_37() {
    let mut names: Vec<_> = openai().into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 37);
}

#[tokio::test]
async fn members_of_options_and_messages_are_named_too() {
    let harness = Harness::new(Script::saying("hi"));
    let answer = harness
        .chat(&hello(json!({
            "stream": true,
            "stream_options": { "include_obfuscation": false, "continuous_usage_stats": true, "odd": 1 },
            "messages": [
                { "role": "user", "name": "Kim", "content": "x" },
                { "role": "user", "name": "Lee", "content": [{ "type": "text", "text": "x", "cache_control": {} }] },
            ],
        })))
        .await;
    assert_eq!(
        answer.header("x-maru-ignored-params"),
        Some(
            "messages[].name, messages[].content[].cache_control, stream_options.continuous_usage_stats, \
             stream_options.odd"
        )
    );
    let called = json!({ "messages": [
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": null, "tool_calls": [{ "id": "c", "type": "function" }] },
    ] });
    let error = harness.chat(&hello(called)).await.expect_error(400, "unsupported_parameter");
    assert_eq!(error["param"], "messages[1].tool_calls");
}

#[tokio::test]
async fn names_of_unknown_fields_cannot_break_the_header() {
    let harness = Harness::new(Script::saying("hi"));
    let answer = harness.chat(&hello(json!({ "a\r\nx-evil: 1": 1, "나": 2, "b, c": 3 }))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-maru-ignored-params"), Some("a??x-evil:?1, ?, b??c"));
    assert_eq!(answer.header("x-evil"), None);
    let many: serde_json::Map<String, Value> = (0..200).map(|i| (format!("field_{i}"), json!(i))).collect();
    let answer = harness.chat(&hello(Value::Object(many))).await;
    assert_eq!(answer.json()["warnings"].as_array().expect("a list").len(), 32);
}
