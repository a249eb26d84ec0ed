//! The shape of text-generation-inference.

use serde_json::{Value, json};

use crate::fake_engine::Script;
use crate::scoring_engine::{logprob_of, scoring};
use crate::support::{Answer, Harness, post_json, token_of};

async fn ask(harness: &Harness, path: &str, parameters: Value) -> Answer {
    harness.send(post_json(path, json!({ "inputs": "ab", "parameters": parameters }).to_string())).await
}

fn token(byte: u8) -> Value {
    let text = char::from(byte).to_string();
    json!({ "id": token_of(byte), "text": text, "logprob": logprob_of(token_of(byte)), "special": false })
}

fn end_of_turn() -> Value {
    json!({ "id": 256, "text": "[|endofturn|]", "logprob": null, "special": true })
}

#[tokio::test]
async fn a_bare_request_gets_text_alone() {
    let harness = Harness::new(Script::saying("안녕"));
    let answer = harness.send(post_json("/generate", json!({ "inputs": "ab" }).to_string())).await;
    assert_eq!(answer.json(), json!({ "generated_text": "안녕" }));
    let submitted = &harness.engine.seen().submitted[0];
    assert_eq!((submitted.sampling.temperature, submitted.max_new_tokens), (0.0, 100), "greedy, as there");
    let answer = ask(&harness, "/generate", json!({ "return_full_text": true })).await;
    assert_eq!(answer.json(), json!({ "generated_text": "ab안녕" }));
}

#[tokio::test]
async fn details_tell_tokens_of_prompt_and_output() {
    let asked = json!({ "details": true, "decoder_input_details": true, "top_n_tokens": 1 });
    let answer = ask(&scoring(&["z"]), "/generate", asked).await.json();
    let expected = json!({
        "generated_text": "z",
        "details": {
            "finish_reason": "eos_token",
            "generated_tokens": 2,
            "seed": null,
            "prefill": [
                { "id": 97, "text": "a", "logprob": null },
                { "id": 98, "text": "b", "logprob": logprob_of(98) },
            ],
            "tokens": [token(b'z'), end_of_turn()],
            "top_tokens": [[token(b'~')], []],
        },
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn the_best_comes_first_and_the_others_in_the_details() {
    let asked = json!({ "best_of": 2, "do_sample": true, "seed": 7, "details": true });
    let answer = ask(&scoring(&["zz", "~~"]), "/generate", asked).await.json();
    assert_eq!(answer["generated_text"], "~~");
    let others = answer["details"]["best_of_sequences"].as_array().expect("a list");
    assert_eq!(
        (others.len(), &others[0]["generated_text"], &others[0]["seed"]),
        (1, &json!("zz"), &json!(7))
    );
}

#[tokio::test]
async fn a_stream_has_an_event_per_token_and_ends_with_the_whole_text() {
    let asked = json!({ "details": true, "max_new_tokens": 3, "stop": ["y"] });
    let events = |answer: &Answer| -> Vec<Value> {
        let data = answer.text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|json| serde_json::from_str(json).expect("JSON")).collect()
    };
    let answer = ask(&scoring(&["xyz"]), "/generate_stream", asked).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let details =
        json!({ "finish_reason": "stop_sequence", "generated_tokens": 2, "seed": null, "input_length": 2 });
    let expected = [
        json!({ "index": 1, "token": token(b'x'), "generated_text": null, "details": null }),
        json!({ "index": 2, "token": token(b'y'), "generated_text": "xy", "details": details }),
    ];
    assert_eq!(events(&answer), expected);

    let answer = ask(&scoring(&["xyz"]), "/generate_stream", json!({ "max_new_tokens": 1 })).await;
    let expected = [json!({ "index": 1, "token": token(b'x'), "generated_text": "x", "details": null })];
    assert_eq!(events(&answer), expected);
    let answer = ask(&scoring(&[""]), "/generate_stream", json!({})).await;
    let expected = [json!({ "index": 1, "token": end_of_turn(), "generated_text": "", "details": null })];
    assert_eq!(events(&answer), expected);
}

#[tokio::test]
async fn a_setting_of_the_sampler_asks_for_chance() {
    for (asked, temperature) in [
        (json!({ "do_sample": false }), 0.0),
        (json!({ "seed": 3 }), 0.0),
        (json!({ "do_sample": true }), 1.0),
        (json!({ "top_p": 0.5 }), 1.0),
        (json!({ "temperature": 0.5 }), 0.5),
    ] {
        let harness = Harness::new(Script::saying("x"));
        ask(&harness, "/generate", asked.clone()).await;
        assert_eq!(harness.engine.seen().submitted[0].sampling.temperature, temperature, "{asked}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let harness = Harness::new(Script::saying("x"));
    for (path, asked, code, param) in [
        ("/generate", json!({ "typical_p": 0.9 }), "unsupported_parameter", "parameters.typical_p"),
        ("/generate", json!({ "watermark": true }), "unsupported_parameter", "parameters.watermark"),
        ("/generate", json!({ "adapter_id": "x" }), "unsupported_parameter", "parameters.adapter_id"),
        ("/generate", json!({ "max_new_tokens": 0 }), "invalid_value", "parameters.max_new_tokens"),
        ("/generate", json!({ "temperature": 3 }), "invalid_value", "parameters.temperature"),
        ("/generate", json!({ "temperature": "hot" }), "invalid_type", "parameters.temperature"),
        ("/generate", json!({ "best_of": 2 }), "invalid_value", "parameters.best_of"),
        ("/generate", json!({ "best_of": 129, "do_sample": true }), "invalid_value", "parameters.best_of"),
        (
            "/generate_stream",
            json!({ "best_of": 2, "do_sample": true }),
            "invalid_value",
            "parameters.best_of",
        ),
        (
            "/generate_stream",
            json!({ "decoder_input_details": true }),
            "invalid_value",
            "parameters.decoder_input_details",
        ),
        ("/generate", json!({ "stop": "x" }), "invalid_type", "parameters.stop"),
        (
            "/generate",
            json!({ "grammar": { "type": "lark", "value": "x" } }),
            "invalid_value",
            "parameters.grammar.type",
        ),
        (
            "/generate",
            json!({ "grammar": { "type": "json" } }),
            "missing_required_parameter",
            "parameters.grammar.value",
        ),
    ] {
        let error = ask(&harness, path, asked).await.expect_error(400, code);
        assert_eq!(error["param"], param, "{error}");
    }
    let answer = harness.send(post_json("/generate", "{}")).await;
    assert_eq!(answer.expect_error(400, "missing_required_parameter")["param"], "inputs");
    assert!(harness.engine.seen().submitted.is_empty());
    let answer = ask(&harness, "/generate", json!({ "unheard_of": 1, "typical_p": 1.0 })).await;
    assert_eq!(answer.header("x-maru-ignored-params"), Some("parameters.unheard_of"));
}

#[tokio::test]
async fn a_grammar_holds_the_output_to_its_form() {
    for grammar in [
        json!({ "type": "regex", "value": "[ab]+" }),
        json!({ "type": "json", "value": { "type": "object" } }),
        json!({ "type": "json", "value": "{\"type\": \"object\"}" }),
        json!({ "type": "json_schema", "value": { "schema": { "type": "object" } } }),
    ] {
        let harness = Harness::new(Script::saying("x"));
        let answer = ask(&harness, "/generate", json!({ "grammar": grammar })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let answer = ask(
        &Harness::new(Script::saying("x")),
        "/generate",
        json!({ "grammar": { "type": "regex", "value": "(" } }),
    )
    .await;
    assert_eq!(answer.expect_error(400, "invalid_value")["param"], "parameters.grammar.value");
}
