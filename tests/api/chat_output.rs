//! What a chat completion shows beside plain text: calls of tools, reasoning, log probabilities, usage on the way, the
//! message that it continues.

use maru::api::ServerConfig;
use serde_json::{Value, json};

use crate::fake_engine::{End, Script};
use crate::scoring_engine::{logprob_of, scoring};
use crate::stream::chunks;
use crate::support::{Harness, hello, token_of};

const CALLS: &str = "좋아요.\n<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"서울\"}}</tool_call>\n\
                     <tool_call>{\"name\": \"clock\", \"arguments\": {}}</tool_call>";

fn tools() -> Value {
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name } });
    json!([tool("weather"), tool("clock")])
}

/// What the SDKs join from the deltas of a stream's calls: ids, types, names and arguments by index.
fn joined_calls(text: &str) -> Vec<[String; 4]> {
    let mut calls: Vec<[String; 4]> = Vec::new();
    for chunk in chunks(text) {
        for delta in chunk["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = delta["index"].as_u64().expect("an index") as usize;
            calls.resize(calls.len().max(index + 1), Default::default());
            let parts =
                [&delta["id"], &delta["type"], &delta["function"]["name"], &delta["function"]["arguments"]];
            for (whole, part) in calls[index].iter_mut().zip(parts) {
                *whole += part.as_str().unwrap_or_default();
            }
        }
    }
    calls
}

#[tokio::test]
async fn calls_come_apart_from_the_text_whole_and_streamed() {
    let harness = Harness::new(Script::saying(CALLS));
    let whole = harness.chat(&hello(json!({ "tools": tools() }))).await.json();
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "좋아요.");
    let calls = choice["message"]["tool_calls"].as_array().expect("calls");
    let shown: Vec<_> = calls.iter().map(|call| (&call["type"], &call["function"])).collect();
    let function = json!("function");
    let (weather, clock) = (
        json!({ "name": "weather", "arguments": "{\"city\": \"서울\"}" }),
        json!({ "name": "clock", "arguments": "{}" }),
    );
    assert_eq!(shown, [(&function, &weather), (&function, &clock)]);
    assert_ne!(calls[0]["id"], calls[1]["id"]);

    let streamed = harness.chat(&hello(json!({ "tools": tools(), "stream": true }))).await;
    let joined = joined_calls(&streamed.text);
    assert!(
        joined.iter().all(|[id, kind, ..]| id.len() == "call_".len() + 24 && kind == "function"),
        "{joined:?}"
    );
    let said: Vec<_> = joined.iter().map(|[_, _, name, arguments]| [name.as_str(), arguments]).collect();
    assert_eq!(said, [["weather", "{\"city\": \"서울\"}"], ["clock", "{}"]]);
    let all = chunks(&streamed.text);
    assert_eq!(all.last().expect("chunks")["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn an_answer_of_nothing_but_calls_has_no_content() {
    let call = CALLS.split_once('\n').expect("a line").1;
    let harness = Harness::new(Script::saying(call));
    let named = json!({ "type": "function", "function": { "name": "weather" } });
    for (choice, reason) in [(json!("required"), "tool_calls"), (named, "stop")] {
        let answer = harness.chat(&hello(json!({ "tools": tools(), "tool_choice": choice }))).await.json();
        assert_eq!(answer["choices"][0]["finish_reason"], reason);
        assert_eq!(answer["choices"][0]["message"]["content"], Value::Null);
    }
}

#[tokio::test]
async fn functions_are_answered_in_kind() {
    let harness = Harness::new(Script::saying(CALLS));
    let asked = json!({ "functions": [{ "name": "weather" }, { "name": "clock" }] });
    let answer = harness.chat(&hello(asked.clone())).await.json();
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["function_call"], json!({ "name": "weather", "arguments": "{\"city\": \"서울\"}" }));
    assert_eq!(message.get("tool_calls"), None);
    assert_eq!(answer["choices"][0]["finish_reason"], "function_call");
}

#[tokio::test]
async fn what_is_no_call_is_text() {
    for text in ["<tool_call>{\"name\": \"nobody", "no <tool_call> here, {\"name\": 1}"] {
        let script = Script { end: End::Length, ..Script::saying(text) };
        let answer = Harness::new(script).chat(&hello(json!({ "tools": tools() }))).await.json();
        assert_eq!(answer["choices"][0]["message"]["content"], text);
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
    }
    // Without tools nothing is looked for.
    let answer = Harness::new(Script::saying(CALLS)).chat(&hello(json!({}))).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], CALLS);
}

#[tokio::test]
async fn a_choice_of_tools_must_fit_the_tools() {
    let harness = Harness::new(Script::saying("x"));
    let nobody = json!({ "type": "function", "function": { "name": "nobody" } });
    let twice = json!([tools()[0], tools()[0]]);
    let custom = json!([{ "type": "custom", "custom": { "name": "x" } }]);
    let strict = json!([{ "type": "function", "function": { "name": "f", "strict": true,
        "parameters": { "type": "object", "properties": { "a": { "type": "array", "uniqueItems": true } } } } }]);
    for (asked, param) in [
        (json!({ "tool_choice": "required" }), "tool_choice"),
        (json!({ "tools": tools(), "tool_choice": nobody }), "tool_choice"),
        (json!({ "tools": tools(), "tool_choice": "sometimes" }), "tool_choice"),
        (json!({ "tools": twice }), "tools"),
        (json!({ "tools": custom }), "tools[0].type"),
        (json!({ "tools": tools(), "functions": [{ "name": "x" }] }), "functions"),
        (json!({ "tools": strict }), "tools[0].function.parameters"),
    ] {
        let error = harness.chat(&hello(asked.clone())).await.expect_error(400, "invalid_value");
        assert_eq!(error["param"], param, "{asked}");
    }
}

#[tokio::test]
async fn reasoning_comes_under_both_names_and_may_be_left_out() {
    let harness = Harness::thinking(Script::saying("음...</think>\n\n네."), ServerConfig::default());
    let asked = json!({ "chat_template_kwargs": { "enable_thinking": true } });
    let answer = harness.chat(&hello(asked.clone())).await.json();
    let message = &answer["choices"][0]["message"];
    assert_eq!((&message["reasoning_content"], &message["reasoning"]), (&json!("음..."), &json!("음...")));
    assert_eq!(message["content"], "네.");
    let num_thought = "음...</think>".len();
    assert_eq!(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], num_thought);

    let mut quiet = hello(asked);
    quiet["include_reasoning"] = json!(false);
    let answer = harness.chat(&quiet).await.json();
    assert_eq!(answer["choices"][0]["message"].get("reasoning_content"), None);
    assert_eq!(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], num_thought);
    quiet["stream"] = json!(true);
    let answer = harness.chat(&quiet).await;
    assert!(!answer.text.contains("reasoning_content") && answer.text.contains("네"), "{}", answer.text);
}

#[tokio::test]
async fn every_token_is_told_once_with_its_bytes_whole_and_streamed() {
    let text = "한 👍";
    let harness = scoring(&[text]);
    let asked = json!({ "logprobs": true, "top_logprobs": 2, "return_token_ids": true });
    let whole = harness.chat(&hello(asked.clone())).await.json();
    let told = whole["choices"][0]["logprobs"]["content"].as_array().expect("tokens");
    let bytes = |token: &Value| token["bytes"][0].as_u64().expect("a byte") as u8;
    assert_eq!(told.iter().map(bytes).collect::<Vec<_>>(), text.as_bytes());
    for token in told {
        assert_eq!(token["logprob"], json!(logprob_of(token_of(bytes(token)))));
        assert_eq!(token["top_logprobs"].as_array().expect("a list").len(), 2);
    }
    // A byte of a syllable is no text by itself.
    assert_eq!((&told[0]["token"], &told[3]["token"]), (&json!("\u{fffd}"), &json!(" ")));

    let mut streaming = hello(asked);
    streaming["stream"] = json!(true);
    let streamed = harness.chat(&streaming).await;
    let (mut pieces, mut ids) = (Vec::new(), Vec::new());
    for chunk in chunks(&streamed.text) {
        pieces.extend(chunk["choices"][0]["logprobs"]["content"].as_array().into_iter().flatten().cloned());
        ids.extend(chunk["choices"][0]["token_ids"].as_array().into_iter().flatten().cloned());
    }
    assert_eq!(&pieces, told);
    assert_eq!(Value::from(ids), whole["choices"][0]["token_ids"]);
}

#[tokio::test]
async fn usage_may_be_told_on_the_way() {
    let harness = Harness::new(Script::saying("하나 둘"));
    let options = json!({ "include_usage": true, "continuous_usage_stats": true });
    let asked = json!({ "stream": true, "stream_options": options, "return_token_ids": true });
    let answer = harness.chat(&hello(asked)).await;
    let told: Vec<u64> = chunks(&answer.text)
        .iter()
        .map(|chunk| chunk["usage"]["completion_tokens"].as_u64().expect("usage in every chunk"))
        .collect();
    assert!(told.is_sorted() && told[0] == 0, "{told:?}");
    assert_eq!(*told.last().expect("chunks"), "하나 둘".len() as u64 + 1);
}

#[tokio::test]
async fn an_answer_may_continue_the_last_message() {
    let harness = Harness::new(Script::saying("좋네요."));
    let messages =
        json!([{ "role": "user", "content": "x" }, { "role": "assistant", "content": "오늘 날씨가 " }]);
    let asked = json!({ "messages": messages, "continue_final_message": true });
    let answer = harness.chat(&hello(asked.clone())).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "좋네요.");
    let prompt = harness.engine.seen().submitted[0].prompt.clone();
    let end: Vec<u32> = "오늘 날씨가 ".bytes().map(token_of).collect();
    assert!(prompt.ends_with(&end), "the prompt ends inside the message");

    let mut echoing = hello(asked);
    echoing["echo"] = json!(true);
    let answer = harness.chat(&echoing).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "오늘 날씨가 좋네요.");
    let wrong = json!({ "continue_final_message": true });
    let error = harness.chat(&hello(wrong)).await.expect_error(400, "invalid_value");
    assert_eq!(error["param"], "continue_final_message");
}

#[tokio::test]
async fn labels_are_repeated() {
    let answer = Harness::new(Script::saying("x")).chat(&hello(json!({ "metadata": { "날": "월" } }))).await;
    assert_eq!(answer.json()["metadata"], json!({ "날": "월" }));
}
