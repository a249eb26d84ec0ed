//! Texts and tokens as vectors.

use maru::engine::Pooling;
use serde_json::{Value, json};

use crate::fake_engine::Script;
use crate::scoring_engine::scoring;
use crate::support::{Answer, Harness, MAX_MODEL_LEN, MODEL, post_json};

async fn ask(harness: &Harness, changes: Value) -> Answer {
    let mut body = json!({ "model": MODEL, "input": "abc" });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    body.as_object_mut().expect("an object").extend(changes);
    harness.send(post_json("/v1/embeddings", body.to_string())).await
}

#[tokio::test]
async fn vectors_come_in_order_with_length_one() {
    let harness = scoring(&[""]);
    let answer = ask(&harness, json!({ "input": ["abc", "d"] })).await;
    let vector = |index: usize| json!({ "object": "embedding", "index": index, "embedding": [0.6, -0.8] });
    let expected = json!({
        "object": "list",
        "data": [vector(0), vector(1)],
        "model": MODEL,
        "usage": { "prompt_tokens": 4, "total_tokens": 4 },
    });
    assert_eq!(answer.json(), expected);
    let tokens = ask(&harness, json!({ "input": [[97], [98, 99]] })).await.json();
    assert_eq!(tokens["usage"]["prompt_tokens"], 3);
}

#[tokio::test]
async fn the_sdks_get_little_endian_floats_in_base64() {
    let answer = ask(&scoring(&[""]), json!({ "encoding_format": "base64" })).await.json();
    // 0.6 is 3f19999a, -0.8 is bf4ccccd.
    assert_eq!(answer["data"][0]["embedding"], "mpkZP83MTL8=");
}

#[tokio::test]
async fn the_engine_pools_as_asked() {
    for (asked, expected) in [
        (json!({}), Pooling::Last),
        (json!({ "pooling": "last" }), Pooling::Last),
        (json!({ "pooling": "mean", "truncate_prompt_tokens": 2 }), Pooling::Mean),
    ] {
        let harness = Harness::new(Script::hanging_after(""));
        let router = harness.router.clone();
        let mut body = asked.clone();
        body["model"] = MODEL.into();
        body["input"] = "abc".into();
        let request = post_json("/v1/embeddings", body.to_string());
        let running = tokio::spawn(tower::ServiceExt::oneshot(router, request));
        harness.engine.wait_until(|seen| !seen.submitted.is_empty()).await;
        let submitted = &harness.engine.seen().submitted[0];
        assert_eq!(submitted.pooling, Some(expected), "{asked}");
        let kept = if asked.get("truncate_prompt_tokens").is_some() { &[98, 99][..] } else { &[97, 98, 99] };
        assert_eq!(&*submitted.prompt, kept);
        running.abort();
    }
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_by_name() {
    let harness = Harness::new(Script::saying("x"));
    let long = vec![1; MAX_MODEL_LEN + 1];
    for (asked, code, param) in [
        (json!({ "input": null }), "missing_required_parameter", "input"),
        (json!({ "input": "" }), "invalid_value", "input"),
        (json!({ "input": [] }), "invalid_value", "input"),
        (json!({ "input": ["a", ""] }), "invalid_value", "input[1]"),
        (json!({ "input": vec!["a"; 2049] }), "invalid_value", "input"),
        (json!({ "input": [99_999] }), "invalid_value", "input[0]"),
        (json!({ "input": long }), "context_length_exceeded", "input"),
        (json!({ "dimensions": 2 }), "unsupported_parameter", "dimensions"),
        (json!({ "encoding_format": "int8" }), "invalid_value", "encoding_format"),
        (json!({ "pooling": 1 }), "invalid_type", "pooling"),
    ] {
        let error = ask(&harness, asked).await.expect_error(400, code);
        assert_eq!(error["param"], param, "{error}");
    }
    assert!(harness.engine.seen().submitted.is_empty());
}
