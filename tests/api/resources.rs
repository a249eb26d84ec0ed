//! Models, health, version, metrics, CORS.

use axum::body::Body;
use axum::http::Request;
use insta::assert_json_snapshot;
use maru::api::{Phase, ServerConfig};
use maru::engine::EngineLimits;
use serde_json::json;

use crate::fake_engine::Script;
use crate::support::{Harness, MAX_MODEL_LEN, MODEL, hello};

fn harness() -> Harness {
    Harness::new(Script::saying("hi"))
}

#[tokio::test]
async fn models_are_listed_under_all_their_names() {
    let answer = harness().get("/v1/models").await;
    assert_eq!(answer.status, 200);
    assert_json_snapshot!(answer.json());
}

#[tokio::test]
async fn a_model_is_found_by_its_name_plain_and_encoded() {
    let harness = harness();
    let encoded = MODEL.replace('/', "%2F");
    for name in
        [MODEL, &encoded, &encoded.to_lowercase().replace("lgai-exaone%2fexaone-3.5-2.4b-instruct", &encoded)]
    {
        let answer = harness.get(&format!("/v1/models/{name}")).await;
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(answer.json()["id"], MODEL);
    }
    assert_eq!(harness.get("/v1/models/demo").await.json()["id"], "demo");
    for name in
        ["gpt-4o", "LGAI-EXAONE", "LGAI-EXAONE/", "lgai-exaone/exaone-3.5-2.4b-instruct", "%ff%fe", "a/b/c"]
    {
        harness.get(&format!("/v1/models/{name}")).await.expect_error(404, "model_not_found");
    }
}

#[tokio::test]
async fn a_head_request_has_the_headers_of_a_get() {
    let harness = harness();
    let whole = harness.get("/v1/models").await;
    let head = harness.send(Request::head("/v1/models").body(Body::empty()).expect("valid")).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), whole.header("content-type"));
    assert_eq!(head.text, "");
}

#[tokio::test]
async fn the_version_is_the_packages() {
    assert_eq!(harness().get("/version").await.json()["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn readiness_follows_the_life_of_the_process() {
    let harness = harness();
    assert_json_snapshot!(harness.get("/ready").await.json(), @r#"
    {
      "status": "ok",
      "phase": "ready",
      "engine": "healthy",
      "queue": "open"
    }
    "#);
    harness.state.lifecycle.enter(Phase::Draining);
    harness.state.lifecycle.enter(Phase::Ready);
    let answer = harness.get("/ready").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["phase"], "draining", "the way back is closed");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(harness.get("/live").await.status, 200, "a restart would not help");
    assert_eq!(harness.get("/health").await.status, 200);
    assert_eq!(harness.chat(&hello(json!({}))).await.status, 200, "the port is still open");
}

#[tokio::test]
async fn a_dead_engine_turns_every_probe_red() {
    let harness = harness();
    harness.engine.pulse.fail();
    for path in ["/live", "/ready", "/health"] {
        let answer = harness.get(path).await;
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(answer.json()["engine"], "failed");
    }
    let page = harness.get("/metrics").await.text;
    let gauge = page.lines().find(|line| line.starts_with("vllm:engine_healthy{")).expect("a line");
    assert!(gauge.ends_with(" 0"), "{gauge}");
}

#[tokio::test]
async fn a_stuck_engine_turns_every_probe_red_until_it_beats_again() {
    let config = ServerConfig { heartbeat_limit_s: 1.0, ..Default::default() };
    let harness = Harness::with_config(Script::saying("hi"), config);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for path in ["/live", "/ready", "/health"] {
        let answer = harness.get(path).await;
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(answer.json()["engine"], "stalled");
    }
    harness.engine.pulse.beat(0, 0);
    assert_eq!(harness.get("/ready").await.status, 200);
}

#[tokio::test]
async fn a_full_queue_turns_only_readiness_red_and_only_if_the_operator_wants_that() {
    for unready_when_full in [false, true] {
        let config = ServerConfig { unready_when_full, ..Default::default() };
        let limits = EngineLimits { max_model_len: MAX_MODEL_LEN, max_waiting: 1, max_buffered_events: 16 };
        let harness = Harness::with_limits(Script::queueing(), config, limits);
        let body = hello(json!({}));
        let probes = async {
            harness.engine.wait_until(|seen| seen.submitted.len() == 1).await;
            let ready = harness.get("/ready").await;
            assert_eq!(ready.status.as_u16(), if unready_when_full { 503 } else { 200 });
            assert_eq!(ready.json()["queue"], "full");
            for path in ["/live", "/health"] {
                assert_eq!(harness.get(path).await.status, 200, "{path}");
            }
        };
        tokio::select! {
            _ = harness.chat(&body) => panic!("the request waits for ever"),
            () = probes => {}
        }
        harness.engine.wait_until(|seen| seen.num_aborted == 1).await;
        assert_eq!(harness.get("/ready").await.status, 200, "the queue is open again");
    }
}

#[tokio::test]
async fn metrics_show_the_pulse_and_count_answers_by_route() {
    let harness = harness();
    harness.engine.pulse.beat(3, 25);
    harness.get("/v1/models/demo").await;
    harness.get("/v1/models/nobody").await;
    harness.get("/surprise").await;
    let answer = harness.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let line = |start: &str| {
        answer.text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start}"))
    };
    assert!(line("vllm:num_requests_running{").ends_with(" 3"));
    assert!(line("vllm:kv_cache_usage_perc{").ends_with(" 0.25"));
    assert!(line("vllm:engine_healthy{").ends_with(" 1"));
    let count = |route: &str, status: &str| {
        let labels = [format!("route=\"{route}\""), format!("status=\"{status}\"")];
        answer
            .text
            .lines()
            .find(|line| {
                line.starts_with("maru_http_responses_total") && labels.iter().all(|l| line.contains(l))
            })
            .unwrap_or_else(|| panic!("no count for {route} {status}"))
            .ends_with(" 1")
    };
    assert!(count("/v1/models/{*id}", "200"), "the route, not the path");
    assert!(count("/v1/models/{*id}", "404"));
    assert!(count("none", "404"));
}

#[tokio::test]
async fn names_from_clients_never_become_labels() {
    let harness = harness();
    let count = async || harness.get("/metrics").await.text.lines().count();
    harness.chat(&hello(json!({ "model": "bogus" }))).await;
    harness.get("/bogus").await;
    count().await;
    let before = count().await;
    for i in 0..200 {
        harness.chat(&hello(json!({ "model": format!("bogus-{i}") }))).await;
        harness.get(&format!("/bogus-{i}")).await;
    }
    assert_eq!(count().await, before);
}

#[tokio::test]
async fn web_pages_have_no_leave_by_default() {
    let request = Request::get("/v1/models").header("origin", "https://a.example").body(Body::empty());
    let answer = harness().send(request.expect("valid")).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn web_pages_of_configured_origins_have_leave() {
    let config = ServerConfig {
        cors_origins: vec!["https://a.example".to_owned()],
        api_keys: vec![maru::api::Secret::new("sk-key")],
        ..Default::default()
    };
    let harness = Harness::with_config(Script::saying("hi"), config);
    let preflight = |origin: &str| {
        Request::options("/v1/chat/completions")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-stainless-os")
            .body(Body::empty())
            .expect("valid")
    };
    let answer = harness.send(preflight("https://a.example")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
    assert!(answer.header("access-control-allow-headers").expect("allowed").contains("x-stainless-os"));
    assert!(answer.header("access-control-allow-methods").expect("allowed").contains("POST"));
    let stranger = harness.send(preflight("https://b.example")).await;
    assert_eq!(stranger.header("access-control-allow-origin"), None);
    let request = Request::get("/v1/models").header("origin", "https://a.example").body(Body::empty());
    let answer = harness.send(request.expect("valid")).await;
    assert_eq!(answer.status, 401, "leave for a page is not a key");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
}
