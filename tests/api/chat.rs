//! Whole answers.

use insta::assert_json_snapshot;
use maru::engine::SequenceError;
use serde_json::{Value, json};

use crate::fake_engine::{End, Script};
use crate::support::{ALIAS, Harness, MAX_MODEL_LEN, MODEL, hello};

#[tokio::test]
async fn a_whole_answer_has_the_shape_of_the_sdks_types() {
    let script = Script { num_cached_tokens: 16, ..Script::saying("안녕하세요! 👋🏽") };
    let answer = Harness::new(script).chat(&hello(json!({}))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_json_snapshot!(answer.json());
}

#[tokio::test]
async fn choices_are_listed_in_order_and_the_prompt_counts_once() {
    let texts = vec!["하나".to_owned(), "둘".to_owned(), "셋".to_owned()];
    let script = Script { texts, end: End::Length, ..Script::saying("") };
    let answer = Harness::new(script).chat(&hello(json!({ "n": 3 }))).await;
    assert_json_snapshot!(answer.json());
}

#[tokio::test]
async fn an_alias_is_answered_with_the_models_own_name() {
    let answer = Harness::new(Script::saying("hi")).chat(&hello(json!({ "model": ALIAS }))).await;
    assert_eq!(answer.json()["model"], MODEL);
}

#[tokio::test]
async fn null_is_the_same_as_absent_for_every_parameter() {
    let names = [
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "stop",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "response_format",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "frequency_penalty",
        "presence_penalty",
        "user",
        "metadata",
        "ignore_eos",
        "service_tier",
        "priority",
        "prompt_cache_key",
        "cache_salt",
        "unheard_of",
    ];
    let nulls: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    let harness = Harness::new(Script::saying("hi"));
    let answer = harness.chat(&hello(Value::Object(nulls))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-maru-ignored-params"), None);
    assert_eq!(answer.json().get("warnings"), None);
    let bare = Harness::new(Script::saying("hi"));
    bare.chat(&hello(json!({}))).await;
    let (given, bare) = (harness.engine.seen(), bare.engine.seen());
    assert_eq!(given.submitted[0].max_new_tokens, bare.submitted[0].max_new_tokens);
    assert_eq!(given.submitted[0].sampling.temperature, bare.submitted[0].sampling.temperature);
}

#[tokio::test]
async fn the_engine_gets_what_the_client_asked_for() {
    let harness = Harness::new(Script::saying("hi"));
    let asked = json!({
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": -7, "n": 2,
        "max_tokens": 9, "max_completion_tokens": 5,
    });
    assert_eq!(harness.chat(&hello(asked)).await.status, 200);
    let seen = harness.engine.seen();
    assert_eq!(seen.submitted.len(), 2);
    for (i, sequence) in seen.submitted.iter().enumerate() {
        assert_eq!(sequence.max_new_tokens, 5, "max_completion_tokens wins");
        assert_eq!(sequence.sampling.temperature, 0.5);
        assert_eq!(sequence.sampling.top_p, 0.9);
        assert_eq!(sequence.sampling.top_k, 40);
        assert_eq!(sequence.sampling.seed, (-7_i64).cast_unsigned());
        assert_eq!(sequence.sampling.choice_index, i as u32);
    }
}

#[tokio::test]
async fn all_tokens_may_be_written_as_minus_one_or_zero() {
    for top_k in [-1, 0] {
        let harness = Harness::new(Script::saying("hi"));
        assert_eq!(harness.chat(&hello(json!({ "top_k": top_k }))).await.status, 200);
        assert_eq!(harness.engine.seen().submitted[0].sampling.top_k, 0);
    }
}

#[tokio::test]
async fn parts_of_text_are_the_same_as_the_text() {
    let whole = json!([{ "role": "user", "content": "서울은 어디?" }]);
    let parts = json!([{ "role": "user", "content": [
        { "type": "text", "text": "서울은 " }, { "type": "text", "text": "어디?" },
    ] }]);
    let mut prompts = Vec::new();
    for messages in [whole, parts] {
        let harness = Harness::new(Script::saying("hi"));
        assert_eq!(harness.chat(&hello(json!({ "messages": messages }))).await.status, 200);
        prompts.push(harness.engine.seen().submitted[0].prompt.clone());
    }
    assert_eq!(prompts[0], prompts[1]);
}

#[tokio::test]
async fn every_role_is_taken_and_developer_is_system() {
    let conversation = |first: &str| {
        json!([
            { "role": first, "content": "Be brief." },
            { "role": "user", "content": "Hi" },
            { "role": "assistant", "content": null, "refusal": null, "annotations": [], "tool_calls": [] },
            { "role": "tool", "content": "42" },
            { "role": "user", "content": "Well?" },
        ])
    };
    let mut prompts = Vec::new();
    for first in ["system", "developer"] {
        let harness = Harness::new(Script::saying("hi"));
        let answer = harness.chat(&hello(json!({ "messages": conversation(first) }))).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("x-maru-ignored-params"), None);
        prompts.push(harness.engine.seen().submitted[0].prompt.clone());
    }
    assert_eq!(prompts[0], prompts[1]);
}

#[tokio::test]
async fn a_stop_string_ends_the_answer_and_is_not_part_of_it() {
    for stop in [json!("니다"), json!(["zzz", "니다. 또"])] {
        for stream in [false, true] {
            let harness = Harness::new(Script::hanging_after("반갑습니다. 또 봅시다"));
            let answer = harness.chat(&hello(json!({ "stop": stop, "stream": stream }))).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert!(answer.text.contains("\"finish_reason\":\"stop\""), "{}", answer.text);
            assert!(answer.text.contains("\"stop_reason\":\"니다"), "{}", answer.text);
            let shown = answer.text.replace("\"stop_reason\":\"니다", "");
            assert!(shown.contains("습") && !shown.contains("니다"), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn more_choices_than_the_server_makes_are_a_400_that_names_the_limit() {
    let answer = Harness::new(Script::saying("hi")).chat(&hello(json!({ "n": 129 }))).await;
    let error = answer.expect_error(400, "invalid_value");
    assert_eq!(error["param"], "n");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("128") && message.contains("129"), "{message}");
}

#[tokio::test]
async fn a_token_limit_beyond_the_context_is_clamped_and_says_so() {
    let harness = Harness::new(Script::saying("hi"));
    let answer = harness.chat(&hello(json!({ "max_tokens": 1_000_000 }))).await;
    assert_eq!(answer.status, 200);
    let sequence = &harness.engine.seen().submitted[0];
    assert_eq!(sequence.prompt.len() + sequence.max_new_tokens as usize, MAX_MODEL_LEN);
    let warning = &answer.json()["warnings"][0];
    assert_eq!(warning["code"], "clamped_parameter");
    assert_eq!(warning["param"], "max_tokens");
    assert_eq!(answer.header("x-maru-ignored-params"), None, "it was not ignored");
}

#[tokio::test]
async fn a_fault_of_the_model_is_a_500_that_is_not_to_be_repeated() {
    let script = Script { end: End::Fault(SequenceError::InvalidLogits), ..Script::saying("half an ans") };
    let answer = Harness::new(script).chat(&hello(json!({}))).await;
    answer.expect_error(500, "internal_error");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let config = maru::api::ServerConfig { request_timeout_s: 1.0, ..Default::default() };
    let harness = Harness::with_config(Script::hanging_after("some"), config);
    let answer = harness.chat(&hello(json!({}))).await;
    answer.expect_error(504, "request_timeout");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    harness.engine.wait_until(|seen| seen.num_aborted == 1).await;
}
