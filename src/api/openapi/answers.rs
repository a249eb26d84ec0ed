//! What endpoints answer with, as JSON Schema. A test holds real answers against it, member by member.

use serde_json::{Map, Value, json};

/// A named schema of the document's components.
pub(super) struct Schema {
    pub(super) name: &'static str,
    pub(super) make: fn() -> Value,
}

/// All schemas of answers.
pub(super) const SCHEMAS: &[Schema] = &[
    Schema { name: "Error", make: error },
    Schema { name: "AnthropicError", make: anthropic_error },
    Schema { name: "Warning", make: warning },
    Schema { name: "Usage", make: usage },
    Schema { name: "ChatCompletion", make: chat_completion },
    Schema { name: "ChatCompletionChunk", make: chat_chunk },
    Schema { name: "ModelList", make: models },
    Schema { name: "Model", make: model },
    Schema { name: "Probe", make: probe },
    Schema { name: "Health", make: health },
    Schema { name: "Version", make: version },
    Schema { name: "Document", make: document },
];

/// A reference to a named schema.
pub(super) fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object that always has the first members, and may have the others.
fn object<const N: usize, const M: usize>(always: [(&str, Value); N], maybe: [(&str, Value); M]) -> Value {
    let required: Vec<&str> = always.iter().map(|(name, _)| *name).collect();
    let members: Map<String, Value> =
        always.into_iter().chain(maybe).map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({ "type": "object", "properties": members, "required": required })
}

fn string() -> Value {
    json!({ "type": "string" })
}

fn text_or_null() -> Value {
    json!({ "type": ["string", "null"] })
}

fn number() -> Value {
    json!({ "type": "number" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn list(item: Value) -> Value {
    json!({ "type": "array", "items": item })
}

fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn word(text: &str) -> Value {
    json!({ "type": "string", "const": text })
}

fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn object_by_name(value: Value) -> Value {
    json!({ "type": "object", "additionalProperties": value })
}

fn labels() -> Value {
    object_by_name(string())
}

fn warnings() -> Value {
    list(named("Warning"))
}

fn tiers() -> Value {
    one_of(&["default", "flex", "priority"])
}

fn error() -> Value {
    let error = object(
        [("message", string()), ("type", string()), ("param", text_or_null()), ("code", text_or_null())],
        [],
    );
    object([("error", error)], [])
}

fn anthropic_error() -> Value {
    let error = object([("type", string()), ("message", string())], []);
    object([("type", word("error")), ("error", error), ("request_id", string())], [])
}

fn warning() -> Value {
    object(
        [
            ("code", one_of(&["ignored_parameter", "clamped_parameter"])),
            ("param", string()),
            ("message", string()),
        ],
        [],
    )
}

fn usage() -> Value {
    let prompt = object([("cached_tokens", count()), ("audio_tokens", count())], []);
    let completion = object(
        [
            ("reasoning_tokens", count()),
            ("audio_tokens", count()),
            ("accepted_prediction_tokens", count()),
            ("rejected_prediction_tokens", count()),
        ],
        [],
    );
    object(
        [
            ("prompt_tokens", count()),
            ("completion_tokens", count()),
            ("total_tokens", count()),
            ("prompt_tokens_details", prompt),
            ("completion_tokens_details", completion),
        ],
        [],
    )
}

fn bytes() -> Value {
    list(json!({ "type": "integer", "minimum": 0, "maximum": 255 }))
}

fn chat_logprobs() -> Value {
    let top = object([("token", string()), ("logprob", number()), ("bytes", bytes())], []);
    let token = object(
        [("token", string()), ("logprob", number()), ("bytes", bytes()), ("top_logprobs", list(top))],
        [],
    );
    or_null(object([("content", list(token)), ("refusal", json!({ "type": "null" }))], []))
}

fn prompt_logprobs() -> Value {
    let entry = object(
        [
            ("logprob", number()),
            ("rank", json!({ "type": ["integer", "null"] })),
            ("decoded_token", string()),
        ],
        [],
    );
    list(or_null(object_by_name(entry)))
}

fn stop_reason() -> Value {
    json!({ "type": ["string", "integer"] })
}

fn function() -> Value {
    object([("name", string()), ("arguments", string())], [])
}

fn reasons() -> Value {
    one_of(&["stop", "length", "tool_calls", "function_call"])
}

fn chat_completion() -> Value {
    let call = object([("id", string()), ("type", word("function")), ("function", function())], []);
    let message = object(
        [
            ("role", word("assistant")),
            ("content", text_or_null()),
            ("refusal", json!({ "type": "null" })),
            ("annotations", list(json!({}))),
        ],
        [
            ("reasoning_content", string()),
            ("reasoning", string()),
            ("tool_calls", list(call)),
            ("function_call", function()),
        ],
    );
    let choice = object(
        [
            ("index", count()),
            ("message", message),
            ("logprobs", chat_logprobs()),
            ("finish_reason", reasons()),
        ],
        [("stop_reason", stop_reason()), ("token_ids", list(count()))],
    );
    object(
        [
            ("id", string()),
            ("object", word("chat.completion")),
            ("created", count()),
            ("model", string()),
            ("choices", list(choice)),
            ("usage", named("Usage")),
            ("service_tier", tiers()),
            ("system_fingerprint", string()),
        ],
        [
            ("metadata", labels()),
            ("prompt_logprobs", prompt_logprobs()),
            ("prompt_token_ids", list(count())),
            ("warnings", warnings()),
        ],
    )
}

fn chat_chunk() -> Value {
    let piece = object([("arguments", string())], [("name", string())]);
    let call = object(
        [("index", count()), ("function", piece.clone())],
        [("id", string()), ("type", word("function"))],
    );
    let delta = object(
        [],
        [
            ("role", word("assistant")),
            ("content", string()),
            ("reasoning_content", string()),
            ("reasoning", string()),
            ("tool_calls", list(call)),
            ("function_call", piece),
        ],
    );
    let choice = object(
        [
            ("index", count()),
            ("delta", delta),
            ("logprobs", chat_logprobs()),
            ("finish_reason", or_null(reasons())),
        ],
        [("stop_reason", stop_reason()), ("token_ids", list(count()))],
    );
    object(
        [
            ("id", string()),
            ("object", word("chat.completion.chunk")),
            ("created", count()),
            ("model", string()),
            ("choices", list(choice)),
            ("service_tier", tiers()),
            ("system_fingerprint", string()),
        ],
        [
            ("usage", or_null(named("Usage"))),
            ("prompt_token_ids", list(count())),
            ("prompt_logprobs", prompt_logprobs()),
            ("warnings", warnings()),
        ],
    )
}

fn model() -> Value {
    object(
        [
            ("id", string()),
            ("object", word("model")),
            ("created", count()),
            ("owned_by", string()),
            ("root", string()),
            ("max_model_len", count()),
        ],
        [],
    )
}

fn models() -> Value {
    object([("object", word("list")), ("data", list(named("Model")))], [])
}

fn probe_members() -> [(&'static str, Value); 4] {
    [
        ("status", one_of(&["ok", "unavailable"])),
        ("phase", string()),
        ("engine", one_of(&["healthy", "stalled", "failed"])),
        ("queue", one_of(&["open", "full"])),
    ]
}

fn probe() -> Value {
    object(probe_members(), [])
}

fn health() -> Value {
    let [status, phase, engine, queue] = probe_members();
    object(
        [
            status,
            phase,
            engine,
            queue,
            ("heartbeat_age_s", number()),
            ("num_requests_running", count()),
            ("num_requests_waiting", count()),
        ],
        [],
    )
}

fn version() -> Value {
    object([("name", string()), ("version", string())], [])
}

fn document() -> Value {
    let any = || json!({ "type": "object" });
    let servers = list(any());
    let always = [
        ("openapi", string()),
        ("info", any()),
        ("servers", servers),
        ("paths", any()),
        ("components", any()),
    ];
    object(always, [])
}
