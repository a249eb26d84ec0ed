//! OpenAI's Responses API: whole and streamed, kept and built on.

use axum::body::Body;
use axum::http::Request;
use maru::api::{Secret, ServerConfig};
use maru::engine::SequenceError;
use serde_json::{Value, json};

use crate::fake_engine::{End, Script};
use crate::support::{Answer, Harness, MODEL, post_json};

const PATH: &str = "/v1/responses";
const CALL: &str = "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"서울\"}}</tool_call>";

/// A short request with `changes` on top.
fn hello(changes: Value) -> Value {
    let mut body = json!({ "model": MODEL, "input": "안녕하세요" });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    body.as_object_mut().expect("an object").extend(changes);
    body
}

fn weather() -> Value {
    json!([{
        "type": "function", "name": "weather", "description": "Tells the weather.", "strict": true,
        "parameters": {
            "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"],
            "additionalProperties": false,
        },
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

async fn send(harness: &Harness, method: &str, path: &str, key: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    harness.send(request.body(Body::empty()).expect("valid")).await
}

/// The events of a stream; passes only if each names its type twice and they are numbered from 0 on.
#[track_caller]
fn events(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let parse = |(number, event): (usize, &str)| {
        let (name, data) = event.split_once('\n').expect("two lines");
        let content: Value =
            serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("events are JSON");
        assert_eq!(name.strip_prefix("event: "), content["type"].as_str());
        assert_eq!(content["sequence_number"], number);
        content
    };
    answer.text.split_terminator("\n\n").enumerate().map(parse).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    let short = |event: &'_ Value| -> &'static str {
        let name = event["type"].as_str().expect("a type").to_owned();
        Box::leak(name.trim_start_matches("response.").to_owned().into_boxed_str())
    };
    let mut names: Vec<&str> = events.iter().map(short).collect();
    // How many pieces a text comes in is not the question here.
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
async fn a_whole_answer_has_all_that_the_typed_models_want() {
    let script = Script { num_cached_tokens: 8, ..Script::saying("반갑습니다!") };
    let harness = Harness::new(script);
    let asked = json!({
        "instructions": "Be brief.", "max_output_tokens": 50, "metadata": { "a": "b" }, "temperature": 0.5,
        "user": "kim",
    });
    let answer = created(&harness, asked).await;
    let id = answer["id"].as_str().expect("an id");
    assert!(id.starts_with("resp_"));
    let expected = json!({
        "id": id,
        "object": "response",
        "created_at": 1_800_000_000,
        "completed_at": 1_800_000_000,
        "status": "completed",
        "error": null,
        "incomplete_details": null,
        "model": MODEL,
        "output": [{
            "id": answer["output"][0]["id"], "type": "message", "role": "assistant", "status": "completed",
            "content": [{
                "type": "output_text", "text": "반갑습니다!", "annotations": [], "logprobs": [],
            }],
        }],
        "service_tier": "default",
        "instructions": "Be brief.",
        "max_output_tokens": 50,
        "max_tool_calls": null,
        "metadata": { "a": "b" },
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "reasoning": { "effort": null, "summary": null },
        "store": true,
        "background": false,
        "temperature": 0.5,
        "text": { "format": { "type": "text" }, "verbosity": "medium" },
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": null,
        "top_p": 1.0,
        "truncation": "disabled",
        "user": "kim",
        "usage": {
            "input_tokens": 44,
            "input_tokens_details": { "cached_tokens": 8, "cache_write_tokens": 0 },
            "output_tokens": 17,
            "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": 61,
        },
    });
    assert_eq!(answer, expected);
    assert!(answer["output"][0]["id"].as_str().expect("an id").starts_with("msg_"));
    assert_eq!(last_prompt(&harness), "[|system|]Be brief.\n[|user|]안녕하세요\n");
    let sequence = &harness.engine.seen().submitted[0];
    assert_eq!((sequence.max_new_tokens, sequence.sampling.temperature), (50, 0.5));
}

#[tokio::test]
async fn a_stream_has_its_events_in_order_and_ends_with_the_whole_answer() {
    let harness = Harness::new(Script::saying("안녕!"));
    let answer = create(&harness, json!({ "stream": true })).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(!answer.text.contains("[DONE]"));
    let events = events(&answer);
    assert_eq!(
        types(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
    );
    let of_type = |name: &str| events.iter().filter(|event| event["type"] == name).collect::<Vec<_>>();
    let deltas = of_type("response.output_text.delta");
    assert!(deltas.iter().all(|delta| delta["logprobs"] == json!([])));
    let said: String = deltas.iter().map(|delta| delta["delta"].as_str().expect("text")).collect();
    assert_eq!(said, "안녕!");
    let first = &events[0]["response"];
    assert_eq!(
        (&first["status"], &first["output"], &first["usage"]),
        (&json!("in_progress"), &json!([]), &Value::Null)
    );
    let last = &events.last().expect("events")["response"];
    assert_eq!(last["id"], first["id"]);
    let item = &of_type("response.output_item.done")[0]["item"];
    assert_eq!(&last["output"][0], item);
    let ids = events.iter().filter_map(|event| event.get("item_id"));
    assert!(ids.into_iter().all(|id| *id == item["id"]));
    let whole = created(&harness, json!({})).await;
    assert_eq!(whole["output"][0]["content"], last["output"][0]["content"]);
    assert_eq!(whole["usage"], last["usage"]);
}

#[tokio::test]
async fn reasoning_text_and_calls_are_items_of_their_own_whole_and_streamed() {
    let text = format!("Hm, 날씨.</think>Let me look.{CALL}{CALL}");
    let harness = Harness::thinking(Script::saying(&text), ServerConfig::default());
    let asked = json!({ "tools": weather(), "reasoning": { "effort": "high" } });
    let whole = created(&harness, asked.clone()).await;
    let kinds: Vec<&str> =
        whole["output"].as_array().expect("items").iter().filter_map(|item| item["type"].as_str()).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call", "function_call"]);
    let thought = &whole["output"][0];
    assert_eq!(thought["content"], json!([{ "type": "reasoning_text", "text": "Hm, 날씨." }]));
    assert_eq!(thought["summary"], json!([]));
    assert_eq!(whole["output"][1]["content"][0]["text"], "Let me look.");
    let call = &whole["output"][2];
    assert_eq!((&call["name"], &call["status"]), (&json!("weather"), &json!("completed")));
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().expect("text")).expect("JSON");
    assert_eq!(arguments, json!({ "city": "서울" }));
    assert_ne!(call["call_id"], whole["output"][3]["call_id"]);
    assert_eq!(whole["status"], "completed");
    assert!(whole["usage"]["output_tokens_details"]["reasoning_tokens"].as_u64() > Some(0));
    assert_eq!(whole["tools"], weather());

    let mut asked = asked;
    asked["stream"] = json!(true);
    let events = events(&create(&harness, asked).await);
    let call_types = [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ];
    let text_types = |delta: &'static str, done: &'static str| {
        ["output_item.added", "content_part.added", delta, done, "content_part.done", "output_item.done"]
    };
    let mut expected = vec!["created", "in_progress"];
    expected.extend(text_types("reasoning_text.delta", "reasoning_text.done"));
    expected.extend(text_types("output_text.delta", "output_text.done"));
    expected.extend(call_types);
    expected.extend(call_types);
    expected.push("completed");
    assert_eq!(types(&events), expected);
    let done: Vec<Value> = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| event["item"].clone())
        .collect();
    assert_eq!(json!(done), events.last().expect("events")["response"]["output"]);
    for (index, item) in done.iter().enumerate() {
        let of_item = |event: &&Value| event["output_index"] == index;
        for event in events.iter().filter(of_item) {
            let id = event.get("item_id").unwrap_or(&event["item"]["id"]);
            assert_eq!(id, &item["id"]);
        }
        assert_eq!(item["type"], whole["output"][index]["type"]);
        assert_eq!(item["arguments"], whole["output"][index]["arguments"]);
    }
}

#[tokio::test]
async fn an_answer_that_ran_out_of_tokens_is_incomplete() {
    let harness = Harness::new(Script { end: End::Length, ..Script::saying("half an ans") });
    let whole = created(&harness, json!({})).await;
    assert_eq!(whole["status"], "incomplete");
    assert_eq!(whole["incomplete_details"], json!({ "reason": "max_output_tokens" }));
    assert_eq!(whole["output"][0]["status"], "incomplete");
    assert_eq!(whole.get("completed_at"), None);
    let events = events(&create(&harness, json!({ "stream": true })).await);
    assert_eq!(types(&events).last(), Some(&"incomplete"));
}

#[tokio::test]
async fn what_fails_in_a_stream_is_a_failed_response() {
    let harness =
        Harness::new(Script { end: End::Fault(SequenceError::InvalidLogits), ..Script::saying("hal") });
    create(&harness, json!({})).await.expect_error(500, "internal_error");
    let events = events(&create(&harness, json!({ "stream": true })).await);
    let last = events.last().expect("events");
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["status"], "failed");
    assert_eq!(last["response"]["error"]["code"], "server_error");
    assert!(last.get("error").is_none(), "the SDKs would raise it before they showed the event");
    let path = format!("{PATH}/{}", last["response"]["id"].as_str().expect("an id"));
    harness.get(&path).await.expect_error(404, "response_not_found");
}

#[tokio::test]
async fn a_response_builds_on_the_one_before_without_its_instructions() {
    let harness = Harness::new(Script::saying("Kim."));
    let first = created(&harness, json!({ "input": "My name is Kim.", "instructions": "Be brief." })).await;
    let streamed =
        create(&harness, json!({ "input": "And now?", "previous_response_id": first["id"], "stream": true }))
            .await;
    let second = events(&streamed).last().expect("events")["response"].clone();
    assert_eq!(second["previous_response_id"], first["id"]);
    created(
        &harness,
        json!({ "input": "Well?", "previous_response_id": second["id"], "instructions": "Be long." }),
    )
    .await;
    assert_eq!(
        last_prompt(&harness),
        "[|system|]Be long.\n[|user|]My name is Kim.\n[|assistant|]Kim.\n[|user|]And now?\n[|assistant|]Kim.\n\
         [|user|]Well?\n"
    );
}

#[tokio::test]
async fn calls_and_their_outputs_go_back_by_hand_or_by_the_chain() {
    let harness = Harness::thinking(Script::saying(&format!("Hm.</think>{CALL}")), ServerConfig::default());
    let tools = weather();
    let asked = json!({ "tools": tools, "reasoning": { "effort": "low" } });
    let first = created(&harness, asked).await;
    let output =
        json!({ "type": "function_call_output", "call_id": first["output"][1]["call_id"], "output": "맑음" });
    created(&harness, json!({ "tools": tools, "previous_response_id": first["id"], "input": [output] }))
        .await;
    let chained = last_prompt(&harness);
    assert!(chained.contains("맑음"), "{chained}");

    let mut items =
        vec![json!({ "role": "user", "content": [{ "type": "input_text", "text": "안녕하세요" }] })];
    items.extend(first["output"].as_array().expect("items").iter().cloned());
    items.push(output.clone());
    let answer = create(&harness, json!({ "tools": tools, "input": items })).await;
    assert_eq!(answer.header("x-maru-ignored-params"), None, "what answers carry may come back");
    assert_eq!(last_prompt(&harness), chained);

    let answer = create(&harness, json!({ "input": [output] })).await;
    assert_eq!(answer.expect_error(400, "invalid_value")["param"], "input");
}

#[tokio::test]
async fn an_item_that_is_kept_may_be_referred_to() {
    let harness = Harness::new(Script::saying("One."));
    let first = created(&harness, json!({ "input": "Count." })).await;
    let reference = json!({ "type": "item_reference", "id": first["output"][0]["id"] });
    let more = json!({ "role": "user", "content": "Go on." });
    created(&harness, json!({ "input": [reference, more] })).await;
    assert_eq!(last_prompt(&harness), "[|assistant|]One.\n[|user|]Go on.\n");
    let unknown = json!({ "input": [{ "type": "item_reference", "id": "msg_nobody" }] });
    assert_eq!(create(&harness, unknown).await.expect_error(400, "invalid_value")["param"], "input[0]");
}

#[tokio::test]
async fn a_kept_response_is_the_one_that_was_sent_until_it_is_deleted() {
    let harness = Harness::new(Script::saying("hi"));
    let whole = created(&harness, json!({})).await;
    let streamed = events(&create(&harness, json!({ "stream": true })).await);
    for sent in [&whole, &streamed.last().expect("events")["response"]] {
        let path = format!("{PATH}/{}", sent["id"].as_str().expect("an id"));
        let kept = harness.get(&path).await;
        assert_eq!((kept.status.as_u16(), kept.header("content-type")), (200, Some("application/json")));
        assert_eq!(&kept.json(), sent);
        let refused = harness.get(&format!("{path}?stream=true")).await;
        assert_eq!(refused.expect_error(400, "unsupported_parameter")["param"], "stream");
        send(&harness, "POST", &format!("{path}/cancel"), None)
            .await
            .expect_error(400, "unsupported_operation");
        let deleted = send(&harness, "DELETE", &path, None).await;
        assert_eq!(deleted.json(), json!({ "id": sent["id"], "object": "response", "deleted": true }));
        harness.get(&path).await.expect_error(404, "response_not_found");
        send(&harness, "DELETE", &path, None).await.expect_error(404, "response_not_found");
        harness.get(&format!("{path}/input_items")).await.expect_error(404, "response_not_found");
        send(&harness, "POST", &format!("{path}/cancel"), None).await.expect_error(404, "response_not_found");
        let answer = create(&harness, json!({ "previous_response_id": sent["id"] })).await;
        let error = answer.expect_error(400, "previous_response_not_found");
        assert_eq!(error["param"], "previous_response_id");
    }
}

#[tokio::test]
async fn what_is_not_to_be_kept_is_not() {
    let harness = Harness::new(Script::saying("hi"));
    let answer = created(&harness, json!({ "store": false })).await;
    assert_eq!(answer["store"], false);
    let path = format!("{PATH}/{}", answer["id"].as_str().expect("an id"));
    harness.get(&path).await.expect_error(404, "response_not_found");

    let config = ServerConfig { max_stored_responses: 0, ..Default::default() };
    let harness = Harness::with_config(Script::saying("hi"), config);
    let answer = create(&harness, json!({})).await;
    assert_eq!((answer.header("x-maru-ignored-params"), &answer.json()["store"]), (None, &json!(false)));
    let answer = create(&harness, json!({ "store": true })).await;
    assert_eq!(answer.header("x-maru-ignored-params"), Some("store"));
}

#[tokio::test]
async fn the_response_that_was_not_used_for_the_longest_time_makes_room() {
    let config = ServerConfig { max_stored_responses: 2, ..Default::default() };
    let harness = Harness::with_config(Script::saying("hi"), config);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let previous = ids.last().cloned().unwrap_or(Value::Null);
        ids.push(created(&harness, json!({ "previous_response_id": previous })).await["id"].clone());
    }
    let mut kept = Vec::new();
    for id in &ids {
        kept.push(harness.get(&format!("{PATH}/{}", id.as_str().expect("an id"))).await.status.as_u16());
    }
    assert_eq!(kept, [404, 200, 200]);
    created(&harness, json!({ "previous_response_id": ids[2] })).await;
    assert_eq!(last_prompt(&harness).matches("안녕하세요").count(), 4, "the chain outlives its first link");
}

#[tokio::test]
async fn a_response_of_another_key_is_not_there() {
    let api_keys = vec![Secret::new("sk-mine"), Secret::new("sk-theirs")];
    let harness = Harness::with_config(Script::saying("hi"), ServerConfig { api_keys, ..Default::default() });
    let create_as = |key: &'static str, changes: Value| {
        let mut request = post_json(PATH, hello(changes).to_string());
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().expect("ASCII"));
        harness.send(request)
    };
    let mine = create_as("sk-mine", json!({})).await.json();
    let path = format!("{PATH}/{}", mine["id"].as_str().expect("an id"));
    send(&harness, "GET", &path, Some("sk-theirs")).await.expect_error(404, "response_not_found");
    send(&harness, "DELETE", &path, Some("sk-theirs")).await.expect_error(404, "response_not_found");
    let asked = json!({ "previous_response_id": mine["id"] });
    create_as("sk-theirs", asked).await.expect_error(400, "previous_response_not_found");
    let asked = json!({ "input": [{ "type": "item_reference", "id": mine["output"][0]["id"] }] });
    create_as("sk-theirs", asked).await.expect_error(400, "invalid_value");
    assert_eq!(send(&harness, "GET", &path, Some("sk-mine")).await.json(), mine);
    send(&harness, "GET", &path, None).await.expect_error(401, "invalid_api_key");
}

#[tokio::test]
async fn the_items_of_a_response_come_in_pages() {
    let harness = Harness::new(Script::saying("hi"));
    let first = created(&harness, json!({ "input": "a" })).await;
    let items = json!([
        { "role": "developer", "content": "b" },
        { "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "c" }] },
    ]);
    let second = created(&harness, json!({ "previous_response_id": first["id"], "input": items })).await;
    let path = format!("{PATH}/{}/input_items", second["id"].as_str().expect("an id"));
    let texts = |page: &Value| -> Vec<String> {
        let items = page["data"].as_array().expect("items").iter();
        items.map(|item| item["content"][0]["text"].as_str().expect("text").to_owned()).collect()
    };
    let all = harness.get(&path).await.json();
    assert_eq!(texts(&all), ["c", "b", "hi", "a"]);
    assert_eq!((&all["object"], &all["has_more"]), (&json!("list"), &json!(false)));
    assert_eq!(all["first_id"], all["data"][0]["id"]);
    assert_eq!(all["last_id"], all["data"][3]["id"]);
    assert_eq!(all["data"][2], first["output"][0]);
    let page = harness.get(&format!("{path}?order=asc&limit=2")).await.json();
    assert_eq!((texts(&page), &page["has_more"]), (vec!["a".to_owned(), "hi".to_owned()], &json!(true)));
    let after = page["last_id"].as_str().expect("an id");
    let rest = harness.get(&format!("{path}?order=asc&limit=2&after={after}")).await.json();
    assert_eq!((texts(&rest), &rest["has_more"]), (vec!["b".to_owned(), "c".to_owned()], &json!(false)));
    for (query, param) in
        [("limit=0", "limit"), ("limit=x", "limit"), ("order=up", "order"), ("after=x", "after")]
    {
        let answer = harness.get(&format!("{path}?{query}")).await;
        assert_eq!(answer.expect_error(400, "invalid_value")["param"], param);
    }
}

#[tokio::test]
async fn tokens_are_told_where_include_names_them() {
    let harness = Harness::new(Script::saying("hi"));
    let asked = json!({ "include": ["message.output_text.logprobs"], "top_logprobs": 3 });
    created(&harness, asked).await;
    assert_eq!(harness.engine.seen().submitted[0].sampling.logprobs, Some(3));
    let answer =
        create(&harness, json!({ "include": ["reasoning.encrypted_content"], "top_logprobs": 3 })).await;
    assert_eq!(answer.header("x-maru-ignored-params"), Some("include, top_logprobs"));
}

#[tokio::test]
async fn tokens_are_counted_without_an_answer() {
    let harness = Harness::new(Script::saying("hi"));
    let answer = harness.send(post_json("/v1/responses/input_tokens", hello(json!({})).to_string())).await;
    let count = answer.json()["input_tokens"].clone();
    assert_eq!(answer.json()["object"], "response.input_tokens");
    assert!(harness.engine.seen().submitted.is_empty());
    assert_eq!(created(&harness, json!({})).await["usage"]["input_tokens"], count);
}

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

/// The parameters of the official SDK's `responses.create`, and some that people confuse them with.
fn parameters() -> Vec<(&'static str, Vec<(Value, Fate)>)> {
    vec![
        ("access_programs", vec![(json!({ "cyber": "standard" }), Named)]),
        ("background", vec![(json!(false), Accepted), (json!(true), Refused)]),
        ("background_options", vec![(json!({ "completion_window": "2h" }), Named)]),
        ("context_management", vec![(json!([]), Accepted), (json!([{ "type": "compaction" }]), Named)]),
        ("conversation", vec![(json!("conv_1"), Refused)]),
        ("image", vec![(json!({ "context_compression": "auto" }), Refused)]),
        ("include", vec![(json!([]), Accepted), (json!(["file_search_call.results"]), Named)]),
        ("input", vec![(json!("x"), Accepted), (json!([{ "role": "user", "content": "x" }]), Accepted)]),
        ("instructions", vec![(json!("x"), Accepted)]),
        ("max_output_tokens", vec![(json!(3), Accepted)]),
        ("max_tool_calls", vec![(json!(3), Accepted)]),
        ("metadata", vec![(json!({ "a": "b" }), Accepted)]),
        ("model", vec![(json!("demo"), Accepted)]),
        ("moderation", vec![(json!({ "model": "m" }), Named)]),
        ("parallel_tool_calls", vec![(json!(true), Accepted), (json!(false), Accepted)]),
        ("previous_response_id", vec![(Value::Null, Accepted)]),
        ("prompt", vec![(json!({ "id": "pmpt_1" }), Refused)]),
        ("prompt_cache_key", vec![(json!("k"), Accepted)]),
        ("prompt_cache_options", vec![(json!({ "mode": "explicit" }), Named)]),
        ("prompt_cache_retention", vec![(json!("24h"), Named)]),
        ("reasoning", vec![(json!({}), Accepted), (json!({ "effort": "none", "summary": null }), Accepted)]),
        ("safety_identifier", vec![(json!("u"), Accepted)]),
        (
            "service_tier",
            vec![(json!("auto"), Accepted), (json!("flex"), Accepted), (json!("priority"), Named)],
        ),
        ("store", vec![(json!(true), Accepted), (json!(false), Accepted)]),
        ("stream", vec![(json!(false), Accepted)]),
        ("temperature", vec![(json!(0.3), Accepted)]),
        (
            "text",
            vec![
                (json!({ "format": { "type": "text" }, "verbosity": "medium" }), Accepted),
                (json!({ "format": { "type": "json_object" } }), Accepted),
                (
                    json!({ "format": { "type": "json_schema", "name": "n", "strict": true, "schema": { "type": "object" } } }),
                    Accepted,
                ),
            ],
        ),
        ("tool_choice", vec![(json!("auto"), Accepted), (json!("none"), Accepted)]),
        ("tools", vec![(json!([]), Accepted), (weather(), Accepted)]),
        ("top_logprobs", vec![(json!(0), Accepted), (json!(2), Named)]),
        ("top_p", vec![(json!(0.5), Accepted)]),
        ("truncation", vec![(json!("disabled"), Accepted), (json!("auto"), Refused)]),
        ("user", vec![(json!("u"), Accepted)]),
        ("max_tokens", vec![(json!(3), Refused)]),
        ("n", vec![(json!(1), Accepted), (json!(2), Refused)]),
        ("logprobs", vec![(json!(true), Refused)]),
        ("seed", vec![(json!(7), Accepted)]),
        ("min_p", vec![(json!(0.1), Accepted)]),
        ("stop", vec![(json!(["x"]), Accepted)]),
        ("nobody_knows_this", vec![(json!(1), Named)]),
    ]
}

#[tokio::test]
async fn every_parameter_is_honoured_named_or_refused() {
    let harness = Harness::new(Script::saying("hi"));
    let strict = ServerConfig { strict_params: true, ..Default::default() };
    let strict = Harness::with_config(Script::saying("hi"), strict);
    for (name, cases) in parameters() {
        for (value, fate) in cases {
            let answer = create(&harness, json!({ name: value })).await;
            let strict_answer = create(&strict, json!({ name: value })).await;
            if fate == Refused {
                assert_eq!(answer.expect_error(400, "unsupported_parameter")["param"], name);
            } else {
                assert_eq!(answer.status, 200, "{name}: {}", answer.text);
                assert_eq!(
                    answer.header("x-maru-ignored-params"),
                    (fate == Named).then_some(name),
                    "{value}"
                );
            }
            if fate == Named {
                assert_eq!(answer.json()["warnings"][0]["param"], name);
            }
            if fate == Accepted {
                assert_eq!(strict_answer.status, 200, "{name}: {}", strict_answer.text);
            } else {
                assert_eq!(strict_answer.expect_error(400, "unsupported_parameter")["param"], name);
            }
        }
    }
}

#[tokio::test]
async fn a_bad_request_names_its_field() {
    let harness = Harness::new(Script::saying("hi"));
    let message = |content: Value| json!({ "input": [{ "role": "user", "content": content }] });
    let cases = [
        (json!({ "input": null }), "missing_required_parameter", "input"),
        (json!({ "input": [] }), "invalid_value", "input"),
        (json!({ "input": 5 }), "invalid_type", "input"),
        (json!({ "input": [5] }), "invalid_type", "input[0]"),
        (json!({ "input": [{ "role": "robot", "content": "x" }] }), "invalid_value", "input[0].role"),
        (json!({ "input": [{ "role": "user" }] }), "missing_required_parameter", "input[0].content"),
        (json!({ "input": [{ "type": "mcp_call" }] }), "invalid_value", "input[0].type"),
        (
            json!({ "input": [{ "type": "function_call", "call_id": "c", "arguments": "{}" }] }),
            "missing_required_parameter",
            "input[0].name",
        ),
        (
            message(json!([{ "type": "input_image", "image_url": "x" }])),
            "invalid_value",
            "input[0].content[0]",
        ),
        (
            message(json!([{ "type": "input_text" }])),
            "missing_required_parameter",
            "input[0].content[0].text",
        ),
        (json!({ "tools": [{ "type": "web_search" }] }), "invalid_value", "tools[0].type"),
        (json!({ "tools": [{ "type": "function" }] }), "missing_required_parameter", "tools[0].name"),
        (json!({ "tool_choice": "required" }), "invalid_value", "tool_choice"),
        (
            json!({ "tools": weather(), "tool_choice": { "type": "function", "name": "f" } }),
            "invalid_value",
            "tool_choice",
        ),
        (json!({ "max_output_tokens": 0 }), "invalid_value", "max_output_tokens"),
        (json!({ "reasoning": { "effort": "huge" } }), "invalid_value", "reasoning.effort"),
        (json!({ "text": { "format": { "type": "xml" } } }), "invalid_value", "text.format.type"),
        (
            json!({ "text": { "format": { "type": "json_schema", "name": "n" } } }),
            "missing_required_parameter",
            "text.format.schema",
        ),
        (
            json!({ "text": { "format": { "type": "json_schema", "name": "n", "schema": { "type": "robot" } } } }),
            "invalid_value",
            "text.format.schema",
        ),
        (
            json!({ "tools": [{ "type": "function", "name": "f", "strict": true, "parameters": { "type": "robot" } }] }),
            "invalid_value",
            "tools[0].parameters",
        ),
        (json!({ "model": "gpt-6" }), "model_not_found", "model"),
        (json!({ "stream_options": { "include_obfuscation": true } }), "invalid_value", "stream_options"),
    ];
    for (changes, code, param) in cases {
        let answer = create(&harness, changes.clone()).await;
        let status = if code == "model_not_found" { 404 } else { 400 };
        assert_eq!(answer.expect_error(status, code)["param"], param, "{changes}");
    }
    let long = "가".repeat(2000);
    let error = create(&harness, json!({ "input": long })).await.expect_error(400, "context_length_exceeded");
    assert_eq!(error["param"], "input");
}
