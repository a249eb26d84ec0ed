//! Text to tokens and back, as clients ask for it.

use serde_json::{Value, json};

use crate::fake_engine::Script;
use crate::support::{Answer, Harness, MAX_MODEL_LEN, post_json};

async fn ask(path: &str, body: Value) -> Answer {
    let harness = Harness::new(Script::saying("x"));
    let answer = harness.send(post_json(path, body.to_string())).await;
    assert!(harness.engine.seen().submitted.is_empty(), "nothing runs");
    answer
}

#[tokio::test]
async fn a_text_has_its_tokens() {
    let answer = ask("/tokenize", json!({ "prompt": "a b[|endofturn|]", "return_token_strs": true })).await;
    let expected = json!({
        "count": 4, "max_model_len": MAX_MODEL_LEN, "tokens": [97, 32, 98, 256],
        "token_strs": ["a", "Ġ", "b", "[|endofturn|]"],
    });
    assert_eq!(answer.json(), expected);
    let empty = ask("/tokenize", json!({ "prompt": "" })).await.json();
    assert_eq!((&empty["tokens"], &empty["token_strs"]), (&json!([]), &Value::Null));
}

#[tokio::test]
async fn a_conversation_has_the_tokens_of_its_rendering() {
    let messages = json!([{ "role": "user", "content": "hi" }]);
    let chat = ask("/tokenize", json!({ "messages": messages })).await.json();
    let text = ask("/tokenize", json!({ "prompt": "[|user|]hi\n" })).await.json();
    assert_eq!(chat, text);
}

#[tokio::test]
async fn tokens_have_their_text() {
    let answer = ask("/detokenize", json!({ "tokens": [0xea, 0xb0, 0x80, 256, 97] })).await;
    assert_eq!(answer.json(), json!({ "prompt": "가[|endofturn|]a" }));
    assert_eq!(ask("/detokenize", json!({ "tokens": [] })).await.json(), json!({ "prompt": "" }));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    for (path, body, status, code, param) in [
        ("/tokenize", json!({}), 400, "missing_required_parameter", "prompt"),
        ("/tokenize", json!({ "prompt": 1 }), 400, "invalid_type", "prompt"),
        ("/tokenize", json!({ "prompt": "x", "model": "other" }), 404, "model_not_found", "model"),
        ("/tokenize", json!({ "messages": [] }), 400, "invalid_value", "messages"),
        ("/detokenize", json!({}), 400, "missing_required_parameter", "tokens"),
        ("/detokenize", json!({ "tokens": [1, 257] }), 400, "invalid_value", "tokens[1]"),
        ("/detokenize", json!({ "tokens": ["a"] }), 400, "invalid_type", "tokens[0]"),
    ] {
        let error = ask(path, body.clone()).await.expect_error(status, code);
        assert_eq!(error["param"], param, "{path} {body}");
    }
    let answer = ask("/tokenize", json!({ "prompt": "x", "unheard_of": 1 })).await;
    assert_eq!(answer.header("x-maru-ignored-params"), Some("unheard_of"));
}

#[tokio::test]
async fn the_tokenizers_facts_are_told() {
    let info = Harness::new(Script::saying("x")).get("/tokenizer_info").await.json();
    assert_eq!((&info["eos_token"], &info["bos_token"]), (&json!("[|endofturn|]"), &Value::Null));
    assert_eq!(info["model_max_length"], MAX_MODEL_LEN);
    assert!(info["tokenizer_class"].is_string() && info["chat_template"].is_string(), "{info}");
}
