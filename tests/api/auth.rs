//! Keys: denied by default, on the route that was matched.

use axum::body::Body;
use axum::http::{Method, Request};
use maru::api::{ApiKeyError, ApiKeys, Secret, ServerConfig};
use serde_json::json;

use crate::fake_engine::Script;
use crate::support::{Answer, Harness, hello, post_json};

const KEY: &str = "sk-right-key";
const OTHER_KEY: &str = "sk-another.right_key";
const PUBLIC: [&str; 7] = ["/live", "/ready", "/health", "/version", "/metrics", "/openapi.json", "/docs"];

fn config() -> ServerConfig {
    ServerConfig { api_keys: vec![Secret::new(KEY), Secret::new(OTHER_KEY)], ..Default::default() }
}

fn guarded() -> Harness {
    Harness::with_config(Script::saying("hi"), config())
}

async fn send(harness: &Harness, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request =
        Request::builder().method(Method::from_bytes(method.as_bytes()).expect("a token")).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    harness.send(request.body(Body::empty()).expect("valid")).await
}

#[tokio::test]
async fn only_the_public_routes_open_without_a_key() {
    let harness = guarded();
    for path in PUBLIC {
        for method in ["GET", "HEAD"] {
            assert_eq!(send(&harness, method, path, &[]).await.status, 200, "{method} {path}");
        }
    }
    let guarded_paths = [
        "/v1/models",
        "/v1/models/demo",
        "/v1/models/live",
        "/v1/chat/completions",
        "/",
        "/nowhere",
        "//live",
        "/live/",
        "/LIVE",
        "/live/../v1/models",
        "/./v1/models",
        "//v1/models",
        "/v1//models",
        "/v1/../v1/models",
        "/v1/models/../../live",
        "/%76%31/models",
        "/v1%2fmodels",
        "/v1/%2e%2e/live",
        "/%6cive",
        "/live%00",
        "/live;/v1/models",
        "/V1/MODELS",
        "/v1/models/",
        "/metrics/..",
        "/health%2f..%2fv1%2fmodels",
        "/v1/models?/live",
    ];
    for path in guarded_paths {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY"] {
            let answer = send(&harness, method, path, &[]).await;
            assert_eq!(answer.status, 401, "{method} {path}");
            if method != "HEAD" {
                let error = answer.expect_error(401, "invalid_api_key");
                assert_eq!(error["type"], "invalid_request_error");
            }
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert!(harness.engine.seen().submitted.is_empty());
}

#[tokio::test]
async fn the_target_s_form_and_the_host_do_not_open_a_route() {
    let harness = guarded();
    for target in ["http://live/v1/models", "http://a/live@b/v1/models", "http://x:1/v1/models"] {
        let status = send(&harness, "GET", target, &[]).await.status.as_u16();
        assert!(status == 401, "{target}: {status}");
    }
    for host in ["a/live", "/live", "a?x", "localhost/live#", "live"] {
        let answer = send(&harness, "GET", "/v1/models", &[("host", host)]).await;
        assert_eq!(answer.status, 401, "{host}");
    }
    for (name, value) in [
        ("x-original-url", "/live"),
        ("x-rewrite-url", "/live"),
        ("x-forwarded-prefix", "/live"),
        ("x-http-method-override", "GET"),
    ] {
        assert_eq!(send(&harness, "GET", "/v1/models", &[(name, value)]).await.status, 401, "{name}");
    }
}

#[tokio::test]
async fn each_key_opens_and_nothing_else_does() {
    let harness = guarded();
    let right = [
        format!("Bearer {KEY}"),
        format!("bearer {KEY}"),
        format!("BEARER  {KEY} "),
        format!("Bearer {OTHER_KEY}"),
    ];
    for value in &right {
        assert_eq!(
            send(&harness, "GET", "/v1/models", &[("authorization", value)]).await.status,
            200,
            "{value}"
        );
    }
    let wrong = [
        String::new(),
        KEY.to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer{KEY}"),
        format!("Basic {KEY}"),
        format!("Bearer {}", KEY.to_uppercase()),
        format!("Bearer {}", &KEY[..KEY.len() - 1]),
        format!("Bearer {KEY}x"),
        format!("Bearer {KEY},{OTHER_KEY}"),
        format!("Bearer {KEY} {OTHER_KEY}"),
        format!("Bearer\t{KEY}"),
    ];
    for value in &wrong {
        let answer = send(&harness, "GET", "/v1/models", &[("authorization", value)]).await;
        let error = answer.expect_error(401, "invalid_api_key");
        assert!(!error["message"].as_str().expect("text").contains("right"), "keys are not repeated");
    }
    let twice = [("authorization", right[0].as_str()), ("authorization", right[0].as_str())];
    assert_eq!(send(&harness, "GET", "/v1/models", &twice).await.status, 401);
    let raw = Request::get("/v1/models")
        .header("authorization", axum::http::HeaderValue::from_bytes(b"Bearer \xff\xfe").expect("opaque"))
        .body(Body::empty())
        .expect("valid");
    assert_eq!(harness.send(raw).await.status, 401);
}

#[tokio::test]
async fn with_a_key_unknown_routes_and_wrong_methods_show() {
    let harness = guarded();
    let key = [("authorization", "Bearer sk-right-key")];
    send(&harness, "GET", "/nowhere", &key).await.expect_error(404, "unknown_url");
    send(&harness, "GET", "//v1/models", &key).await.expect_error(404, "unknown_url");
    send(&harness, "DELETE", "/v1/models", &key).await.expect_error(405, "method_not_allowed");
}

#[tokio::test]
async fn without_keys_the_server_is_open() {
    let harness = Harness::new(Script::saying("hi"));
    assert_eq!(send(&harness, "GET", "/v1/models", &[]).await.status, 200);
    assert_eq!(send(&harness, "GET", "/v1/models", &[("authorization", "Bearer x")]).await.status, 200);
}

#[tokio::test]
async fn metrics_can_be_protected() {
    let harness =
        Harness::with_config(Script::saying("hi"), ServerConfig { protect_metrics: true, ..config() });
    assert_eq!(send(&harness, "GET", "/metrics", &[]).await.status, 401);
    assert_eq!(send(&harness, "GET", "/health", &[]).await.status, 200);
    let key = [("authorization", "Bearer sk-right-key")];
    assert_eq!(send(&harness, "GET", "/metrics", &key).await.status, 200);
}

#[tokio::test]
async fn the_body_of_a_stranger_is_not_read() {
    let harness = guarded();
    let answer = harness.send(post_json("/v1/chat/completions", "not even JSON")).await;
    answer.expect_error(401, "invalid_api_key");
    let mut request = post_json("/v1/chat/completions", hello(json!({})).to_string());
    request.headers_mut().insert("authorization", "Bearer sk-right-key".parse().expect("ASCII"));
    assert_eq!(harness.send(request).await.status, 200);
}

#[test]
fn a_key_file_gives_one_key_per_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys");
    let load = |text: &str| {
        std::fs::write(&path, text).expect("written");
        ApiKeys::load(&ServerConfig { api_key_file: Some(path.clone()), ..config() })
    };
    assert_eq!(load("# team a\nsk-a\n\n  sk-b  \r\n#sk-c\n").expect("valid").len(), 4);
    assert!(matches!(load("# nobody\n\n"), Err(ApiKeyError::Empty { .. })));
    let fault = load("sk-a\nsk b\n").expect_err("a space");
    assert!(matches!(fault, ApiKeyError::InvalidLine { line: 2, .. }), "{fault}");
    assert!(!fault.to_string().contains("sk b"), "keys are not repeated");
    assert!(load(&"k".repeat(513)).is_err());
    let missing = ServerConfig { api_key_file: Some(folder.path().join("none")), ..Default::default() };
    assert!(matches!(ApiKeys::load(&missing), Err(ApiKeyError::Unreadable { .. })));
}
