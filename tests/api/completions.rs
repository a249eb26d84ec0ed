//! Texts and tokens continued as they stand.

use maru::api::limits::{Bound, COMPLETIONS, Limit};
use maru::api::{Secret, ServerConfig};
use serde_json::{Value, json};

use crate::fake_engine::{End, Script};
use crate::scoring_engine::{LIKELIEST, logprob_of, scoring};
use crate::support::{Answer, Harness, MAX_MODEL_LEN, MODEL, post_json, token_of};

const PATH: &str = "/v1/completions";

fn body(changes: Value) -> Value {
    let mut body = json!({ "model": MODEL, "prompt": "ab" });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    body.as_object_mut().expect("an object").extend(changes);
    body
}

async fn ask(harness: &Harness, changes: Value) -> Answer {
    harness.send(post_json(PATH, body(changes).to_string())).await
}

/// The events of a stream as JSON, without the end marker.
fn chunks(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let data = |line: &str| line.strip_prefix("data: ").map(str::to_owned);
    let mut lines: Vec<String> = answer.text.lines().filter_map(data).collect();
    assert_eq!(lines.pop().as_deref(), Some("[DONE]"));
    lines.iter().map(|line| serde_json::from_str(line).expect("chunks are JSON")).collect()
}

fn logprob(byte: u8) -> Value {
    json!(logprob_of(token_of(byte)))
}

#[tokio::test]
async fn a_whole_answer_has_the_shape_of_the_sdks_types() {
    let answer = ask(&Harness::new(Script::saying("안녕!")), json!({})).await;
    let expected = json!({
        "id": "cmpl-00000001",
        "object": "text_completion",
        "created": 1_800_000_000,
        "model": MODEL,
        "choices": [{ "index": 0, "text": "안녕!", "logprobs": null, "finish_reason": "stop" }],
        "usage": {
            "prompt_tokens": 2, "completion_tokens": 8, "total_tokens": 10,
            "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
            "completion_tokens_details": {
                "reasoning_tokens": 0, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn every_form_of_prompt_reaches_the_engine_as_its_tokens() {
    let a = token_of(b'a');
    let cases = [
        (json!("ab"), vec![vec![a, a + 1]]),
        (json!(["ab", "b"]), vec![vec![a, a + 1], vec![a + 1]]),
        (json!([a, 7]), vec![vec![a, 7]]),
        (json!([[a], [a, a]]), vec![vec![a], vec![a, a]]),
        (json!(["b", [a, 256]]), vec![vec![a + 1], vec![a, 256]]),
    ];
    for (prompt, expected) in cases {
        let harness = Harness::new(Script::saying("x"));
        let answer = ask(&harness, json!({ "prompt": prompt })).await;
        assert_eq!(answer.status, 200, "{prompt}: {}", answer.text);
        let mut seen: Vec<Vec<u32>> =
            harness.engine.seen().submitted.iter().map(|sequence| sequence.prompt.to_vec()).collect();
        seen.sort();
        let mut expected_sorted = expected.clone();
        expected_sorted.sort();
        assert_eq!(seen, expected_sorted, "{prompt}");
        let num_tokens: usize = expected.iter().map(Vec::len).sum();
        assert_eq!(answer.json()["usage"]["prompt_tokens"], num_tokens, "{prompt}");
    }
}

#[tokio::test]
async fn choices_are_numbered_prompt_by_prompt_and_usage_adds_up() {
    let texts = vec!["x".to_owned(), "yy".to_owned()];
    let script = Script { texts, end: End::Length, ..Script::saying("") };
    let answer =
        ask(&Harness::new(script), json!({ "prompt": ["a", "bc"], "n": 2, "echo": true })).await.json();
    let told: Vec<_> = answer["choices"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|choice| {
            (choice["index"].as_u64().expect("a number"), choice["text"].as_str().expect("a text").to_owned())
        })
        .collect();
    let expected = [(0, "ax"), (1, "ayy"), (2, "bcx"), (3, "bcyy")];
    assert_eq!(told, expected.map(|(index, text)| (index, text.to_owned())));
    assert_eq!(answer["choices"][3]["finish_reason"], "length");
    let usage = &answer["usage"];
    assert_eq!([&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]], [3, 6, 9]);
}

#[tokio::test]
async fn a_harness_that_scores_continuations_finds_every_prompt_token_in_its_place() {
    let harness = scoring(&["z"]);
    let prompts =
        json!([[token_of(b'a'), token_of(LIKELIEST)], [token_of(b'c'), token_of(b'd'), token_of(b'e')]]);
    let asked = json!({
        "prompt": prompts, "echo": true, "logprobs": 1, "max_tokens": 1, "temperature": 0, "seed": 1234,
    });
    let answer = ask(&harness, asked).await.json();
    let (first, second) = (&answer["choices"][0], &answer["choices"][1]);
    assert_eq!((&first["text"], &second["text"]), (&json!("a~z"), &json!("cdez")));
    assert_eq!(first["logprobs"]["token_logprobs"], json!([null, logprob(LIKELIEST), logprob(b'z')]));
    assert_eq!(first["logprobs"]["tokens"], json!(["a", "~", "z"]));
    assert_eq!(first["logprobs"]["text_offset"], json!([0, 1, 2]));
    let top = |byte: u8| json!({ "~": logprob(LIKELIEST), (char::from(byte).to_string()): logprob(byte) });
    assert_eq!(
        first["logprobs"]["top_logprobs"],
        json!([null, { "~": logprob(LIKELIEST) }, top(b'z')]),
        "the likeliest token once, where it is the one that came"
    );
    assert_eq!(second["logprobs"]["top_logprobs"], json!([null, top(b'd'), top(b'e'), top(b'z')]));
    assert_eq!(second["logprobs"]["text_offset"], json!([0, 1, 2, 3]));
}

#[tokio::test]
async fn an_output_that_ends_at_once_still_has_an_entry_after_the_prompts() {
    let answer = ask(&scoring(&[""]), json!({ "echo": true, "logprobs": 0, "max_tokens": 1 })).await.json();
    let logprobs = &answer["choices"][0]["logprobs"];
    assert_eq!(logprobs["token_logprobs"], json!([null, logprob(b'b'), null]));
    assert_eq!(logprobs["tokens"], json!(["a", "b", "[|endofturn|]"]));
    assert_eq!(logprobs["top_logprobs"], json!([null, { "b": logprob(b'b') }, null]));
    assert_eq!(answer["choices"][0]["text"], "ab", "which has no text");
}

#[tokio::test]
async fn nothing_but_the_prompt_is_scored_where_no_token_is_wanted() {
    let answer = ask(&scoring(&["z"]), json!({ "echo": true, "logprobs": 0, "max_tokens": 0 })).await.json();
    let choice = &answer["choices"][0];
    assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!("ab"), &json!("length")));
    assert_eq!(choice["logprobs"]["token_logprobs"], json!([null, logprob(b'b')]));
    assert_eq!(answer["usage"]["completion_tokens"], 0);
}

#[tokio::test]
async fn offsets_count_characters_and_parts_of_one_stand_where_it_stands() {
    let asked = json!({ "prompt": "가a", "echo": true, "logprobs": 0 });
    let answer = ask(&scoring(&["나b"]), asked).await.json();
    let logprobs = &answer["choices"][0]["logprobs"];
    // Each of the two syllables is three tokens. The end of the turn comes last.
    assert_eq!(logprobs["text_offset"], json!([0, 0, 0, 1, 2, 2, 2, 3, 4]));
    assert_eq!(logprobs["tokens"][0], "bytes:\\xea");
    assert_eq!(logprobs["tokens"][3], "a");
}

#[tokio::test]
async fn token_ids_take_the_place_of_texts_on_request() {
    let asked = json!({ "logprobs": 0, "return_tokens_as_token_ids": true, "return_token_ids": true });
    let answer = ask(&scoring(&["z"]), asked).await.json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["logprobs"]["tokens"], json!(["token_id:122"]));
    assert_eq!(choice["logprobs"]["top_logprobs"], json!([{ "token_id:122": logprob(b'z') }]));
    assert_eq!(choice["prompt_token_ids"], json!([97, 98]));
    assert_eq!(choice["token_ids"], json!([122, 256]));
}

#[tokio::test]
async fn prompt_log_probabilities_have_their_own_number_of_likely_tokens() {
    let asked = json!({ "echo": true, "logprobs": 0, "prompt_logprobs": 1 });
    let choice = ask(&scoring(&["z"]), asked).await.json()["choices"][0].clone();
    assert_eq!(choice["logprobs"]["top_logprobs"][1], json!({ "b": logprob(b'b') }));
    let told = choice["prompt_logprobs"][1].as_object().expect("an object");
    assert_eq!(told.keys().collect::<Vec<_>>(), ["98", "126"]);
}

#[tokio::test]
async fn the_best_of_several_are_the_likeliest_in_the_mean() {
    // The shorter text has the larger sum, the longer one the larger mean.
    let answer = ask(&scoring(&["\u{7f}", "zz", "~a~", "zy"]), json!({ "best_of": 4, "n": 2 })).await.json();
    let texts: Vec<_> = answer["choices"].as_array().expect("a list").iter().map(|c| &c["text"]).collect();
    assert_eq!(texts, ["~a~", "zy"]);
    assert_eq!(answer["choices"][1]["index"], 1);
    assert_eq!(answer["choices"][0]["logprobs"], Value::Null, "nobody asked for them");
    assert_eq!(answer["usage"]["completion_tokens"], 2 + 3 + 4 + 3, "all were made");
}

#[tokio::test]
async fn a_stream_of_several_prompts_is_the_whole_answer_in_pieces() {
    let asked =
        json!({ "prompt": ["a", "bc"], "n": 2, "echo": true, "logprobs": 1, "return_token_ids": true });
    let whole = ask(&scoring(&["xy", "한"]), asked.clone()).await.json();
    let mut streamed = asked;
    streamed["stream"] = true.into();
    streamed["stream_options"] = json!({ "include_usage": true });
    let chunks = chunks(&ask(&scoring(&["xy", "한"]), streamed).await);
    let (last, pieces) = chunks.split_last().expect("chunks");
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole["usage"]));
    for expected in whole["choices"].as_array().expect("a list") {
        let mut text = String::new();
        let mut logprobs: [Vec<Value>; 4] = Default::default();
        let (mut token_ids, mut reason) = (Vec::new(), Value::Null);
        for choice in pieces.iter().flat_map(|chunk| chunk["choices"].as_array().expect("a list")) {
            if choice["index"] != expected["index"] {
                continue;
            }
            assert_eq!(reason, Value::Null, "nothing follows the end");
            text += choice["text"].as_str().expect("a text");
            reason = choice["finish_reason"].clone();
            token_ids
                .extend(choice.get("token_ids").and_then(Value::as_array).into_iter().flatten().cloned());
            for (list, name) in
                logprobs.iter_mut().zip(["text_offset", "token_logprobs", "tokens", "top_logprobs"])
            {
                list.extend(choice["logprobs"][name].as_array().into_iter().flatten().cloned());
            }
        }
        assert_eq!((json!(text), &reason), (expected["text"].clone(), &expected["finish_reason"]));
        assert_eq!(json!(token_ids), expected["token_ids"]);
        let [offsets, scores, tokens, top] = logprobs;
        let told = json!({
            "text_offset": offsets, "token_logprobs": scores, "tokens": tokens, "top_logprobs": top,
        });
        assert_eq!(told, expected["logprobs"]);
    }
    assert!(pieces.iter().all(|chunk| chunk["usage"].is_null() && chunk["id"] == last["id"]));
}

#[tokio::test]
async fn a_fault_in_one_prompt_names_it_and_leaves_none_running() {
    let harness = Harness::new(Script::hanging_after("x"));
    let answer = ask(&harness, json!({ "prompt": [[1], [2], [99_999]] })).await;
    assert_eq!(answer.expect_error(400, "invalid_value")["param"], "prompt[2][0]");
    harness.engine.wait_until(|seen| seen.num_aborted == seen.submitted.len()).await;
    let long = vec![1; MAX_MODEL_LEN];
    let answer = ask(&harness, json!({ "prompt": [[1], long] })).await;
    assert_eq!(answer.expect_error(400, "context_length_exceeded")["param"], "prompt[1]");
}

#[tokio::test]
async fn the_default_limit_is_sixteen_and_the_newer_name_wins() {
    for (asked, expected) in [
        (json!({}), 16),
        (json!({ "max_tokens": 5 }), 5),
        (json!({ "max_tokens": 5, "max_completion_tokens": 7 }), 7),
        (json!({ "max_tokens": null }), 16),
    ] {
        let harness = Harness::new(Script::saying("x"));
        ask(&harness, asked.clone()).await;
        assert_eq!(harness.engine.seen().submitted[0].max_new_tokens, expected, "{asked}");
    }
    let answer = ask(&Harness::new(Script::saying("x")), json!({ "max_tokens": 100_000 })).await.json();
    assert_eq!(answer["warnings"][0]["param"], "max_tokens");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let harness = Harness::new(Script::saying("x"));
    for (asked, code, param) in [
        (json!({ "suffix": "end" }), "unsupported_parameter", "suffix"),
        (json!({ "best_of": 1, "n": 2 }), "invalid_value", "best_of"),
        (json!({ "best_of": 2, "stream": true }), "invalid_value", "best_of"),
        (json!({ "best_of": 129 }), "invalid_value", "best_of"),
        (json!({ "logprobs": 21 }), "invalid_value", "logprobs"),
        (json!({ "logprobs": true }), "invalid_type", "logprobs"),
        (json!({ "max_tokens": -1 }), "invalid_value", "max_tokens"),
        (json!({ "min_tokens": 17 }), "invalid_value", "min_tokens"),
        (json!({ "prompt": null }), "missing_required_parameter", "prompt"),
        (json!({ "prompt": "" }), "invalid_value", "prompt"),
        (json!({ "prompt": [] }), "invalid_value", "prompt"),
        (json!({ "prompt": [""] }), "invalid_value", "prompt[0]"),
        (json!({ "prompt": [[]] }), "invalid_value", "prompt[0]"),
        (json!({ "prompt": [1, "x"] }), "invalid_type", "prompt[1]"),
        (json!({ "prompt": ["x", 1] }), "invalid_type", "prompt[1]"),
        (json!({ "prompt": [-1] }), "invalid_value", "prompt[0]"),
        (json!({ "prompt": { "text": "x" } }), "invalid_type", "prompt"),
        (json!({ "prompt": vec!["x"; 513] }), "invalid_value", "prompt"),
        (json!({ "prompt": vec!["x"; 257], "n": 4 }), "invalid_value", "prompt"),
        (json!({ "stream_options": {} }), "invalid_value", "stream_options"),
        (json!({ "model": "other" }), "model_not_found", "model"),
    ] {
        let answer = ask(&harness, asked.clone()).await;
        let status = if code == "model_not_found" { 404 } else { 400 };
        assert_eq!(answer.expect_error(status, code)["param"], param, "{asked}");
    }
    assert!(harness.engine.seen().submitted.is_empty());
}

#[tokio::test]
async fn what_is_ignored_is_named_and_null_is_absent() {
    let harness = Harness::new(Script::saying("x"));
    let answer = ask(&harness, json!({ "store": true, "unheard_of": 1 })).await;
    assert_eq!(answer.header("x-maru-ignored-params"), Some("store, unheard_of"));
    let names = |limits: &[Limit]| -> Value {
        let plain = |limit: &&Limit| {
            !limit.path.contains(['[', '.']) && limit.path != "model" && limit.path != "prompt"
        };
        Value::Object(limits.iter().filter(plain).map(|limit| (limit.path.to_owned(), Value::Null)).collect())
    };
    let answer = ask(&harness, names(COMPLETIONS)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-maru-ignored-params")),
        (200, None),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn every_number_has_its_bounds() {
    let harness = Harness::new(Script::saying("x"));
    let mut count = 0;
    for limit in COMPLETIONS.iter().filter(|limit| !limit.path.contains(['[', '.'])) {
        let outside = match limit.bound {
            Bound::Number { min, max } => [json!(min - 0.001), json!(max + 0.001)],
            // Beyond 64 bits only a float can go.
            Bound::Integer { min, max } => [json!(min as f64 * 2.0 - 2.0), json!(max as f64 * 2.0 + 2.0)],
            _ => continue,
        };
        count += 1;
        for value in outside {
            let error =
                ask(&harness, json!({ (limit.path): value })).await.expect_error(400, "invalid_value");
            assert_eq!(error["param"], limit.path, "{value}");
        }
    }
    assert!(count > 15, "{count} rows");
}

#[tokio::test]
async fn a_rendered_prompt_runs_nothing() {
    let harness = Harness::new(Script::saying("x"));
    let asked = body(json!({ "prompt": ["ab", [97, 256]], "truncate_prompt_tokens": 1 }));
    let answer = harness.send(post_json("/v1/completions/render", asked.to_string())).await.json();
    let expected = json!([
        { "request_id": "cmpl-00000001", "model": MODEL, "prompt": "b", "token_ids": [98], "num_tokens": 1 },
        {
            "request_id": "cmpl-00000001", "model": MODEL, "prompt": "[|endofturn|]", "token_ids": [256],
            "num_tokens": 1,
        },
    ]);
    assert_eq!(answer, expected);
    let chat = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "hi" }] });
    let answer = harness.send(post_json("/v1/chat/completions/render", chat.to_string())).await.json();
    assert_eq!(answer["prompt"], "[|user|]hi\n");
    assert_eq!(answer["num_tokens"], "[|user|]hi\n".len());
    let wrong = body(json!({ "suffix": "x" }));
    let answer = harness.send(post_json("/v1/completions/render", wrong.to_string())).await;
    answer.expect_error(400, "unsupported_parameter");
    assert!(harness.engine.seen().submitted.is_empty());
}

#[tokio::test]
async fn every_text_route_wants_a_key() {
    let config = ServerConfig { api_keys: vec![Secret::new("sk-key")], ..ServerConfig::default() };
    let harness = Harness::with_config(Script::saying("x"), config);
    for path in [
        PATH,
        "/v1/completions/render",
        "/v1/chat/completions/render",
        "/v1/embeddings",
        "/tokenize",
        "/detokenize",
        "/generate",
        "/generate_stream",
    ] {
        harness.send(post_json(path, "{}")).await.expect_error(401, "invalid_api_key");
    }
    harness.get("/tokenizer_info").await.expect_error(401, "invalid_api_key");
}
