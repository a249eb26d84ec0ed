//! The access log: one event per request, and never a prompt, an output or a key.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use maru::api::{Secret, ServerConfig};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::fake_engine::Script;
use crate::support::{Harness, hello, post_json};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Page {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
    }

    fn answered(&self) -> Vec<Value> {
        let events =
            self.text().lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect();
        let fields = |events: Vec<Value>| events.into_iter().map(|mut event| event["fields"].take());
        fields(events).filter(|fields| fields["message"] == "answered").collect()
    }
}

#[tokio::test]
async fn a_request_is_logged_once_without_what_it_said() {
    let page = Page::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(page.clone()).finish();
    // The runtime of this test has one thread, so that this holds for all of it.
    let _guard = tracing::subscriber::set_default(subscriber);
    let config = ServerConfig { api_keys: vec![Secret::new("sk-canary-key")], ..Default::default() };
    let harness = Harness::with_config(Script::saying("canary-output"), config);
    let messages = json!([{ "role": "user", "content": "canary-prompt" }]);
    for stream in [false, true] {
        let body = hello(json!({ "messages": messages, "stream": stream })).to_string();
        let mut request = post_json("/v1/chat/completions", body);
        request.headers_mut().insert("authorization", "Bearer sk-canary-key".parse().expect("ASCII"));
        request.headers_mut().insert("x-request-id", "id-7".parse().expect("ASCII"));
        assert_eq!(harness.send(request).await.status, 200);
    }
    let stranger = Request::get("/canary-path%0d%0a?canary-query")
        .header("authorization", "Bearer sk-canary-wrong")
        .header("x-request-id", "canary id with spaces")
        .body(Body::empty());
    assert_eq!(harness.send(stranger.expect("valid")).await.status, 401);
    harness.get("/live").await;

    let answered = page.answered();
    assert_eq!(answered.len(), 3, "{answered:#?}");
    for event in &answered[..2] {
        assert_eq!(event["method"], "POST");
        assert_eq!(event["route"], "/v1/chat/completions");
        assert_eq!(event["status"], 200);
        assert_eq!(event["complete"], true);
        assert_eq!(event["request_id"], "id-7");
        assert!(event["prompt_tokens"].as_u64().expect("a count") >= "canary-prompt".len() as u64);
        assert_eq!(event["output_tokens"], "canary-output".len() + 1);
        assert!(event["latency_ms"].is_u64());
    }
    assert_eq!(answered[2]["route"], "none");
    assert_eq!(answered[2]["status"], 401);
    assert!(!page.text().contains("canary"), "{}", page.text());
}

#[tokio::test]
async fn a_client_that_left_is_logged_as_such() {
    let page = Page::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(page.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let harness = Harness::new(Script::hanging_after("some"));
    let body = hello(json!({}));
    let asking = harness.chat(&body);
    let arrived = harness.engine.wait_until(|seen| seen.submitted.len() == 1);
    tokio::select! {
        _ = asking => panic!("there is no end"),
        () = arrived => {}
    }
    let answered = page.answered();
    assert_eq!(answered[0]["status"], 499);
    assert_eq!(answered[0]["complete"], false);
}
