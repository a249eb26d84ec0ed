//! The document, made of the tables.

use serde_json::{Map, Value, json};

use super::answers::{SCHEMAS, named};
use super::operations::{Answer, Body, Faults, OPERATIONS, Operation};
use super::shape::object_of;
use crate::api::limits;
use crate::api::params::Policy;

/// The OpenAPI document of the server.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method] = describe(operation);
    }
    let mut schemas: Map<String, Value> =
        SCHEMAS.iter().map(|schema| (schema.name.to_owned(), (schema.make)())).collect();
    for body in OPERATIONS.iter().filter_map(|operation| operation.body.as_ref()) {
        schemas.insert(body.name.to_owned(), request_schema(body));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Maru",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": ABOUT,
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "Where the server has API keys." },
            },
        },
    })
}

const ABOUT: &str = "`null` is the same as leaving a parameter out. Parameters that a schema does not name are \
    tolerated: the answer names them in the header `x-maru-ignored-params` and in `warnings`. Those marked \
    `x-maru-policy` are known but not honoured: `ignored` ones are named in the same way, `refused` ones are answered \
    with 400 unless their value asks for nothing. With `server.strict_params` all of them are refused. Errors are in \
    Korean where `Accept-Language` prefers it.";

fn describe(operation: &Operation) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": responses(operation),
    });
    let parameters = parameters(operation);
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(body) = &operation.body {
        described["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": named(body.name), "example": (body.example)() } },
        });
    }
    // Without a key the server may be open to all.
    described["security"] = match operation.faults {
        Faults::Public => json!([]),
        _ => json!([{ "bearer": [] }, {}]),
    };
    described
}

/// What stands in the path and after it.
fn parameters(operation: &Operation) -> Vec<Value> {
    let in_path = operation.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let in_path = in_path.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
    });
    let in_query = operation.query.iter().map(|param| {
        let (schema, about) = (param.shape.schema(), param.about);
        json!({ "name": param.name, "in": "query", "required": false, "schema": schema, "description": about })
    });
    in_path.chain(in_query).collect()
}

fn json_content(name: &str) -> Value {
    json!({ "application/json": { "schema": named(name) } })
}

/// A stream, told by one of its events. An end marker that is not JSON may follow the last one.
fn event_content(name: &str) -> Value {
    let data = json!({
        "type": "string", "contentMediaType": "application/json", "contentSchema": named(name),
    });
    let members = json!({ "event": { "type": "string" }, "data": data });
    json!({
        "text/event-stream": { "schema": { "type": "object", "properties": members, "required": ["data"] } },
    })
}

fn responses(operation: &Operation) -> Value {
    let mut responses = Map::new();
    let well = match operation.answer {
        Answer::Json(name) | Answer::Probe(name) => json_content(name),
        Answer::Events(name) => event_content(name),
        Answer::JsonOrEvents(name, event) => {
            let mut content = json_content(name);
            content["text/event-stream"] = event_content(event)["text/event-stream"].take();
            content
        }
        Answer::Text(kind) => json!({ kind: { "schema": { "type": "string" } } }),
        Answer::Never => Value::Null,
    };
    if !well.is_null() {
        responses.insert("200".to_owned(), json!({ "description": operation.summary, "content": well }));
    }
    for &status in operation.faults.statuses() {
        let mut content = json_content(operation.faults.schema());
        if let (503, Answer::Probe(name)) = (status, operation.answer) {
            // A server that has no place for the connection answers in the shape of errors.
            content = json!({
                "application/json": { "schema": { "anyOf": [named(name), named("Error")] } },
            });
        }
        responses.insert(status.to_string(), json!({ "description": meaning(status), "content": content }));
    }
    responses.into()
}

/// What a status says, whatever the operation.
fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request is not as it must be; `param` names the field.",
        401 => "No API key, or one that is not known.",
        404 => "There is nothing of this name.",
        405 => "The path does not take this method.",
        408 => "The body stopped arriving.",
        413 => "The body is too large.",
        415 => "The body is not declared as plain JSON.",
        429 => "The server is busy; `Retry-After` says when to ask again.",
        431 => "Too many header lines or bytes.",
        500 => "A fault of the server's.",
        503 | 529 => "The server is not ready, or is ending.",
        504 => "The answer took longer than a request may.",
        _ => unreachable!("the table of faults has no other status"),
    }
}

/// What a body may hold: what is honoured, then what is known.
fn request_schema(body: &Body) -> Value {
    let members: Vec<_> = body.honoured.iter().copied().flatten().copied().collect();
    let mut schema = object_of(&members);
    for policy in body.policies {
        schema["properties"][policy.name] = not_honoured(policy);
    }
    schema["maxProperties"] = limits::MAX_FIELDS.into();
    schema["additionalProperties"] = true.into();
    schema
}

fn not_honoured(policy: &Policy) -> Value {
    let what = policy.verdict();
    json!({ "description": format!("Not honoured: {}.", policy.reason()), "x-maru-policy": what })
}
