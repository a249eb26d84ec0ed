//! Errors in the reader's language.

use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::{Request, header};
use maru::api::{Secret, ServerConfig};
use maru::engine::SequenceError;
use proc_macro2::{TokenStream, TokenTree};
use serde_json::{Value, json};

use crate::fake_engine::{End, Script};
use crate::support::{Answer, Harness, MODEL, hello, post_json};

async fn post(harness: &Harness, path: &str, languages: &str, body: impl Into<Body>) -> Answer {
    let mut request = post_json(path, body);
    request.headers_mut().insert(header::ACCEPT_LANGUAGE, languages.parse().expect("a value"));
    harness.send(request).await
}

fn is_korean(text: &Value) -> bool {
    text.as_str().expect("a message").chars().any(|c| ('가'..='힣').contains(&c))
}

#[tokio::test]
async fn only_the_message_of_an_error_depends_on_the_language() {
    let config = ServerConfig { max_body_bytes: 4096, ..Default::default() };
    let harness = Harness::with_config(Script::saying("hi"), config);
    let bodies = [
        ("{".to_owned(), 400),
        (json!({}).to_string(), 400),
        (hello(json!({ "temperature": "hot" })).to_string(), 400),
        (hello(json!({ "temperature": 3 })).to_string(), 400),
        (hello(json!({ "seed": 1e30 })).to_string(), 400),
        (hello(json!({ "stop": vec!["a"; 17] })).to_string(), 400),
        (hello(json!({ "user": "a".repeat(513) })).to_string(), 400),
        (hello(json!({ "audio": {} })).to_string(), 400),
        (hello(json!({ "chat_template_kwargs": { "secret": 1 } })).to_string(), 400),
        (hello(json!({ "model": "gpt" })).to_string(), 404),
        (" ".repeat(5000), 413),
    ];
    for (body, status) in bodies {
        let english = post(&harness, "/v1/chat/completions", "en-US,ko;q=0.5", body.clone()).await;
        let korean = post(&harness, "/v1/chat/completions", "ko-KR,ko;q=0.9,en;q=0.8", body.clone()).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!((english.status.as_u16(), korean.status.as_u16()), (status, status), "{shown}");
        assert_eq!(korean.header("content-language"), Some("ko"), "{shown}");
        assert_eq!(english.header("content-language"), Some("en"));
        assert_eq!(korean.header("vary"), Some("accept-language"));
        let (english, korean) = (english.json()["error"].take(), korean.json()["error"].take());
        assert!(is_korean(&korean["message"]) && !is_korean(&english["message"]), "{korean}");
        for name in ["type", "code", "param"] {
            assert_eq!(english[name], korean[name], "{shown}");
        }
    }
}

#[tokio::test]
async fn what_is_refused_at_the_door_is_told_in_korean_too() {
    let config = ServerConfig { api_keys: vec![Secret::new("sk-key")], ..Default::default() };
    let harness = Harness::with_config(Script::saying("hi"), config);
    for (method, path, status) in [
        ("GET", "/v1/models", 401),
        ("GET", "/live/x", 401),
        ("POST", "/ready", 405),
        ("GET", "/metrics/", 401),
    ] {
        let request = Request::builder().method(method).uri(path).header(header::ACCEPT_LANGUAGE, "ko");
        let answer = harness.send(request.body(Body::empty()).expect("valid")).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(is_korean(&answer.json()["error"]["message"]), "{}", answer.text);
    }
}

#[tokio::test]
async fn errors_in_anthropics_shape_are_told_in_korean() {
    let harness = Harness::new(Script::saying("hi"));
    let body = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "hi" }] }).to_string();
    let answer = post(&harness, "/v1/messages", "ko", body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["type"], "error");
    assert_eq!(answer.json()["error"]["message"], "'max_tokens' 값이 필요합니다.");
}

#[tokio::test]
async fn an_error_inside_a_stream_is_told_in_korean() {
    let script = Script { end: End::Fault(SequenceError::InvalidLogits), ..Script::saying("hal") };
    let body = hello(json!({ "stream": true })).to_string();
    let answer = post(&Harness::new(script), "/v1/chat/completions", "ko", body).await;
    assert_eq!(answer.status, 200);
    let last =
        answer.text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().expect("an event");
    let event: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(event["error"]["message"], "요청을 처리하는 중에 서버 오류가 발생했습니다.");
    assert_eq!(event["error"]["code"], "internal_error");
}

#[tokio::test]
async fn warnings_are_told_in_korean_in_whole_answers_and_in_streams() {
    let expected = "'store' 매개변수를 무시했습니다. 대화 응답은 저장하지 않습니다.";
    let harness = Harness::new(Script::saying("hi"));
    let body = hello(json!({ "store": true, "nonsense": 1 })).to_string();
    let answer = post(&harness, "/v1/chat/completions", "ko", body.clone()).await;
    assert_eq!(answer.header("x-maru-ignored-params"), Some("store, nonsense"), "{}", answer.text);
    let warnings = answer.json()["warnings"].take();
    let messages: Vec<&Value> = warnings.as_array().expect("a list").iter().map(|w| &w["message"]).collect();
    assert!(messages.len() == 2 && messages.iter().all(|message| is_korean(message)), "{warnings}");
    assert!(messages.iter().any(|message| *message == expected), "{warnings}");

    let english = post(&harness, "/v1/chat/completions", "en", body).await.json()["warnings"].take();
    assert!(english.as_array().expect("a list").iter().all(|w| !is_korean(&w["message"])), "{english}");

    let body = hello(json!({ "store": true, "stream": true })).to_string();
    let answer = post(&harness, "/v1/chat/completions", "ko", body).await;
    assert!(answer.text.contains(expected), "{}", answer.text);

    for (path, mut body) in [
        ("/v1/completions", json!({ "prompt": "hi" })),
        ("/v1/responses", json!({ "input": "hi" })),
        ("/v1/messages", json!({ "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] })),
        ("/generate", json!({ "inputs": "hi" })),
    ] {
        body["nonsense"] = 1.into();
        if path != "/generate" {
            body["model"] = MODEL.into();
        }
        let answer = post(&harness, path, "ko", body.to_string()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let message = &answer.json()["warnings"][0]["message"];
        assert_eq!(
            message, "'nonsense' 매개변수를 무시했습니다. 서버가 알지 못하는 매개변수입니다.",
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_the_floor_below_refuses_is_told_in_korean() {
    let body = hello(json!({ "bad_words": [" "] })).to_string();
    let answer = post(&Harness::new(Script::saying("hi")), "/v1/chat/completions", "ko", body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json()["error"]["message"],
        "'bad_words[0]' 값을 사용할 수 없습니다(이유: 토큰이 없습니다)."
    );
}

#[tokio::test]
async fn a_strict_server_refuses_in_korean() {
    let config = ServerConfig { strict_params: true, ..Default::default() };
    let harness = Harness::with_config(Script::saying("hi"), config);
    let answer =
        post(&harness, "/v1/chat/completions", "ko", hello(json!({ "store": true })).to_string()).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json()["error"]["message"],
        "이 서버는 'store' 매개변수를 지원하지 않습니다. 대화 응답은 저장하지 않습니다."
    );
}

/// Files whose sentences are no errors of requests: settings are told to operators, the document is in English.
const OTHER_SENTENCES: [&str; 2] = ["config.rs", "openapi"];

#[test]
fn every_sentence_of_an_error_has_both_languages_with_the_same_placeholders() {
    let mut num_sentences = 0;
    for path in rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api")) {
        if OTHER_SENTENCES.iter().any(|other| path.components().any(|part| part.as_os_str() == *other)) {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("a readable file");
        let tokens: TokenStream = source.parse().expect("Rust");
        let mut faults = Vec::new();
        num_sentences += check_sentences(tokens, &mut faults);
        assert_eq!(faults, Vec::<String>::new(), "{}", path.display());
    }
    assert!(num_sentences > 130, "{num_sentences}");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Counts what is said in both languages and gathers what is not, or not alike.
fn check_sentences(tokens: TokenStream, faults: &mut Vec<String>) -> usize {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut count = 0;
    for (i, token) in tokens.iter().enumerate() {
        let before = |back: usize| i.checked_sub(back).map(|at| tokens[at].to_string()).unwrap_or_default();
        match token {
            TokenTree::Group(group)
                if (before(1) == "!" && before(2) == "said")
                    || (before(1) == "because" && before(2) != "fn") =>
            {
                count += 1;
                let literals = group.stream().into_iter().filter_map(text_of).take(2).collect::<Vec<_>>();
                let [english, korean] = &literals[..] else {
                    faults.push(format!("two texts were expected in {group}"));
                    continue;
                };
                let has_hangul = |text: &str| text.chars().any(|c| ('가'..='힣').contains(&c));
                if has_hangul(english) || !has_hangul(korean) || placeholders(english) != placeholders(korean)
                {
                    faults.push(format!("{english} / {korean}"));
                }
            }
            // Attributes, with the comments among them, and the tests at the end.
            TokenTree::Group(_) if before(1) == "!" && before(2) == "#" => {}
            TokenTree::Group(group) if before(1) == "#" => {
                if group.stream().to_string().starts_with("cfg (test)") {
                    return count;
                }
            }
            TokenTree::Group(group) => count += check_sentences(group.stream(), faults),
            token => faults.extend(text_of(token.clone()).filter(|t| t.contains(' ') && t.ends_with('.'))),
        }
    }
    count
}

fn text_of(token: TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    Some(literal.to_string().strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

/// What stands in braces, in alphabetical order: the two languages may name the same things in other places.
fn placeholders(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
    names.iter_mut().for_each(|name| *name = name.trim_end_matches("_ko"));
    names.sort_unstable();
    names.dedup();
    names
}
