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

/// The parameters of OpenAI's chat completions, each with values.
fn openai() -> Vec<(&'static str, Vec<(Value, Fate)>)> {
    let tool = json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
    let schema = json!({ "name": "n", "schema": { "type": "object", "properties": {} } });
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
        ("frequency_penalty", vec![(json!(0), Accepted), (json!(0.5), Accepted)]),
        ("presence_penalty", vec![(json!(0.0), Accepted), (json!(1.5), Accepted)]),
        ("logit_bias", vec![(json!({}), Accepted), (json!({ "5": -100 }), Accepted)]),
        ("logprobs", vec![(json!(false), Accepted), (json!(true), Accepted)]),
        ("top_logprobs", vec![(json!(0), Accepted)]),
        ("stream", vec![(json!(false), Accepted), (json!(true), Accepted)]),
        ("stream_options", vec![]),
        (
            "response_format",
            vec![
                (json!({ "type": "text" }), Accepted),
                (json!({ "type": "json_object" }), Accepted),
                (json!({ "type": "json_schema", "json_schema": schema }), Accepted),
            ],
        ),
        ("tools", vec![(json!([]), Accepted), (tool.clone(), Accepted)]),
        ("tool_choice", vec![(json!("none"), Accepted), (json!("auto"), Accepted)]),
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
        ("prediction", vec![(json!({ "type": "content", "content": "x" }), Accepted)]),
        ("moderation", vec![(json!({}), Named)]),
        ("functions", vec![(json!([]), Accepted), (json!([{ "name": "f" }]), Accepted)]),
        ("function_call", vec![(json!("auto"), Accepted), (json!("none"), Accepted)]),
    ]
}

/// Extensions of vLLM and its cousins.
fn extensions() -> Vec<(&'static str, Vec<(Value, Fate)>)> {
    vec![
        ("top_k", vec![(json!(-1), Accepted), (json!(40), Accepted)]),
        ("min_p", vec![(json!(0), Accepted), (json!(0.1), Accepted)]),
        ("repetition_penalty", vec![(json!(1.0), Accepted), (json!(1.1), Accepted)]),
        ("ignore_eos", vec![(json!(false), Accepted), (json!(true), Accepted)]),
        ("min_tokens", vec![(json!(0), Accepted), (json!(5), Accepted)]),
        ("stop_token_ids", vec![(json!([]), Accepted), (json!([5]), Accepted)]),
        ("include_stop_str_in_output", vec![(json!(true), Accepted)]),
        ("bad_words", vec![(json!(["x"]), Accepted)]),
        ("allowed_token_ids", vec![(json!([5, 6]), Accepted)]),
        ("skip_special_tokens", vec![(json!(true), Accepted), (json!(false), Accepted)]),
        ("chat_template", vec![(json!("{{ 1 }}"), Refused)]),
        (
            "chat_template_kwargs",
            vec![(json!({}), Accepted), (json!({ "enable_thinking": false }), Accepted)],
        ),
        ("add_generation_prompt", vec![(json!(true), Accepted), (json!(false), Accepted)]),
        ("truncate_prompt_tokens", vec![(json!(5), Accepted), (json!(-1), Accepted)]),
        ("prompt_logprobs", vec![]),
        ("guided_json", vec![(json!({ "type": "object" }), Accepted)]),
        ("guided_regex", vec![(json!("a+"), Accepted)]),
        ("guided_choice", vec![(json!(["a", "나"]), Accepted)]),
        ("guided_grammar", vec![(json!("start: \"a\""), Accepted)]),
        ("structured_outputs", vec![(json!({}), Accepted), (json!({ "regex": "a" }), Accepted)]),
        ("response_language", vec![(json!("ko"), Accepted), (json!("en"), Accepted)]),
        ("best_of", vec![(json!(1), Accepted), (json!(2), Refused)]),
        ("priority", vec![(json!(0), Accepted), (json!(5), Accepted), (json!(-5), Named)]),
        ("cache_salt", vec![(json!("s"), Accepted)]),
        ("return_token_ids", vec![(json!(false), Accepted), (json!(true), Accepted)]),
        ("thinking_token_budget", vec![(json!(10), Named)]),
        ("enable_thinking", vec![(json!(false), Accepted), (json!(true), Named)]),
        ("include_reasoning", vec![(json!(false), Accepted)]),
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

/// The published list, `tests/fixtures/openapi`: a parameter that is new there is to be decided here.
#[test]
fn the_list_is_openais() {
    let published = include_str!("../fixtures/openapi/chat_parameters.json");
    let published: Value = serde_json::from_str(published).expect("valid JSON");
    let published: Vec<&str> =
        published["parameters"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let mut names: Vec<_> = openai().into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, published);
    assert_eq!(names.len(), 37);
}

#[tokio::test]
async fn null_is_the_same_as_absent_everywhere() {
    let harness = Harness::new(Script::saying("hi"));
    let names = openai().into_iter().chain(extensions()).map(|(name, _)| name);
    let optional = names.filter(|name| !["messages", "model"].contains(name));
    let nulls: serde_json::Map<String, Value> = optional.map(|name| (name.to_owned(), Value::Null)).collect();
    let answer = harness.chat(&hello(nulls.into())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-maru-ignored-params"), None);
}

#[tokio::test]
async fn members_of_options_and_messages_are_named_too() {
    let harness = Harness::new(Script::saying("hi"));
    let answer = harness
        .chat(&hello(json!({
            "stream": true,
            "stream_options": { "include_obfuscation": false, "continuous_usage_stats": true, "odd": 1 },
            "messages": [
                { "role": "user", "name": "Kim", "mood": "good", "content": "x" },
                { "role": "user", "name": "Lee", "content": [{ "type": "text", "text": "x", "cache_control": {} }] },
            ],
        })))
        .await;
    assert_eq!(
        answer.header("x-maru-ignored-params"),
        Some("messages[].mood, messages[].content[].cache_control, stream_options.odd")
    );
    let called = json!({ "messages": [
        { "role": "user", "content": "x", "tool_calls": [{ "id": "c", "type": "function" }] },
    ] });
    let error = harness.chat(&hello(called)).await.expect_error(400, "unsupported_parameter");
    assert_eq!(error["param"], "messages[0].tool_calls");
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
