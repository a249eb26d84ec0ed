//! The OpenAPI document against the server: every route, every field that is read, real answers member by member.

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::fake_engine::Script;
use crate::scoring_engine::scoring;
use crate::support::{Answer, Harness, MODEL, hello, post_json};

const METHODS: [&str; 4] = ["get", "post", "delete", "put"];

async fn document(harness: &Harness) -> Value {
    harness.get("/openapi.json").await.json()
}

fn harness() -> Harness {
    Harness::new(Script::saying("hi"))
}

/// The operations of the document: method, path, description.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("an item");
        item.iter().map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

/// Closes every object whose members are named, so that a member that is not named is a fault.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members
                .get("properties")
                .is_some_and(|properties| properties.get("type") != Some(&json!("object")))
                && members.get("type") == Some(&json!("object"))
            {
                members.entry("additionalProperties").or_insert(json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// What answers of a named schema are held to.
fn validator(document: &Value, name: &str) -> Validator {
    let mut schemas = document["components"]["schemas"].clone();
    close(&mut schemas);
    let schema =
        json!({ "$ref": format!("#/components/schemas/{name}"), "components": { "schemas": schemas } });
    jsonschema::validator_for(&schema).expect("a valid schema")
}

#[track_caller]
fn expect_valid(document: &Value, name: &str, value: &Value) {
    let faults: Vec<String> = validator(document, name)
        .iter_errors(value)
        .map(|fault| format!("{}: {fault}", fault.instance_path))
        .collect();
    assert_eq!(faults, Vec::<String>::new(), "{name} in {value}");
}

/// The events of a stream, without its end marker.
fn events(answer: &Answer) -> Vec<Value> {
    let lines = answer.text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.filter(|line| *line != "[DONE]").map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let source = include_str!("../../src/api/router.rs");
    let mut served = Vec::new();
    for row in source.split(".route(\"").skip(1) {
        let (path, rest) = row.split_once('"').expect("a path");
        let handlers = rest.split(".route(").next().expect("some text").split(".fallback(").next();
        for method in METHODS {
            if handlers.expect("some text").contains(&format!("{method}(")) {
                served.push((method.to_owned(), path.replace("{*", "{")));
            }
        }
    }
    assert!(served.len() > 5, "the routes were found");
    let document = document(&harness()).await;
    let mut described: Vec<(String, String)> =
        operations(&document).map(|(method, path, _)| (method.to_owned(), path.to_owned())).collect();
    served.sort();
    described.sort();
    assert_eq!(served, described);
}

#[tokio::test]
async fn the_document_is_a_valid_one_and_names_are_its_own() {
    let document = document(&harness()).await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids: Vec<&str> = operations(&document)
        .map(|(_, _, operation)| operation["operationId"].as_str().expect("an id"))
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "ids are of one operation each");
    for name in document["components"]["schemas"].as_object().expect("schemas").keys() {
        validator(&document, name);
    }
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn every_example_is_answered_as_the_document_says() {
    let harness = harness();
    let document = document(&harness).await;
    for (method, path, operation) in operations(&document) {
        let media = &operation["requestBody"]["content"]["application/json"];
        let well = &operation["responses"]["200"]["content"];
        if method != "post" || media.is_null() || well.is_null() {
            continue;
        }
        let mut body = media["example"].clone();
        let request =
            media["schema"]["$ref"].as_str().and_then(|path| path.rsplit('/').next()).expect("a schema");
        if body.get("model").is_some() {
            body["model"] = json!(MODEL);
        }
        let schema = json!({
            "$ref": format!("#/components/schemas/{request}"), "components": document["components"],
        });
        let faults: Vec<_> = jsonschema::validator_for(&schema)
            .expect("a valid schema")
            .iter_errors(&body)
            .map(|fault| fault.to_string())
            .collect();
        assert_eq!(faults, Vec::<String>::new(), "{path}");
        let embedding = scoring(&["hi"]);
        let server = if path == "/v1/embeddings" { &embedding } else { &harness };
        let answer = server.send(post_json(path, body.to_string())).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        if let Some(name) = well["application/json"]["schema"]["$ref"].as_str() {
            expect_valid(&document, name.rsplit('/').next().expect("a name"), &answer.json());
        }
    }
}

#[tokio::test]
async fn every_field_that_is_described_is_read() {
    let harness = harness();
    let document = document(&harness).await;
    let mut count = 0;
    for (_, path, operation) in operations(&document) {
        let media = &operation["requestBody"]["content"]["application/json"];
        let Some(name) = media["schema"]["$ref"].as_str().and_then(|path| path.rsplit('/').next()) else {
            continue;
        };
        let properties = &document["components"]["schemas"][name]["properties"];
        for (name, schema) in properties.as_object().expect("properties") {
            if schema.get("x-maru-policy").is_some() {
                continue;
            }
            let mut body = media["example"].clone();
            if body.get("model").is_some() {
                body["model"] = json!(MODEL);
            }
            if (path, name.as_str()) == ("/tokenize", "prompt") {
                // A text stands in place of messages.
                body = json!({});
            }
            // What nothing takes.
            body[name] = json!([[[{}]]]);
            let answer = harness.send(post_json(path, body.to_string())).await;
            count += 1;
            if path.starts_with("/v1/messages") {
                let message = answer.json()["error"]["message"].to_string();
                assert!(answer.status == 400 && message.contains(&format!("'{name}")), "{name}: {message}");
                continue;
            }
            let error = answer.expect_error(400, "invalid_type");
            let param = error["param"].as_str().expect("a field");
            assert!(param.starts_with(name.as_str()), "{path}: {name} but {error}");
        }
    }
    assert!(count > 50);
}

#[tokio::test]
async fn answers_are_as_described() {
    let harness = harness();
    let document = document(&harness).await;
    for (path, name) in [
        ("/v1/models", "ModelList"),
        ("/v1/models/demo", "Model"),
        ("/ready", "Probe"),
        ("/health", "Health"),
        ("/version", "Version"),
        ("/openapi.json", "Document"),
        ("/nowhere", "Error"),
    ] {
        expect_valid(&document, name, &harness.get(path).await.json());
    }
    let changes = [
        json!({}),
        json!({ "logprobs": true, "top_logprobs": 2, "return_token_ids": true, "prompt_logprobs": 1 }),
        json!({ "n": 2, "metadata": { "a": "b" }, "verbosity": "low", "stop": ["i"] }),
    ];
    for change in changes {
        let mut body = hello(change);
        expect_valid(&document, "ChatCompletion", &harness.chat(&body).await.json());
        body["stream"] = json!(true);
        body["stream_options"] = json!({ "include_usage": true });
        let answer = harness.chat(&body).await;
        let events = events(&answer);
        assert!(events.len() > 2, "{}", answer.text);
        events.iter().for_each(|event| expect_valid(&document, "ChatCompletionChunk", event));
    }
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere_and_names_every_operation() {
    let harness = harness();
    let answer = harness.get("/docs").await;
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'"));
    for foreign in ["<script", "src=", "url(", "@import", "<link"] {
        assert!(!answer.text.contains(foreign), "{foreign}");
    }
    let document = document(&harness).await;
    for (method, path, _) in operations(&document) {
        assert!(answer.text.contains(&format!("{} {path}</code></h2>", method.to_uppercase())), "{path}");
    }
    assert!(answer.text.contains("temperature") && answer.text.contains("number, 0.0 to 2.0"));
}
