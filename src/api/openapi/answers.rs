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
    Schema { name: "Completion", make: completion },
    Schema { name: "CompletionChunk", make: completion_chunk },
    Schema { name: "Response", make: response },
    Schema { name: "ResponseEvent", make: response_event },
    Schema { name: "ResponseDeleted", make: response_deleted },
    Schema { name: "ResponseItems", make: response_items },
    Schema { name: "ResponseTokens", make: response_tokens },
    Schema { name: "Message", make: message },
    Schema { name: "MessageEvent", make: message_event },
    Schema { name: "MessageTokens", make: message_tokens },
    Schema { name: "Embeddings", make: embeddings },
    Schema { name: "Tokenized", make: tokenized },
    Schema { name: "Detokenized", make: detokenized },
    Schema { name: "TokenizerInfo", make: tokenizer_info },
    Schema { name: "Rendered", make: rendered },
    Schema { name: "RenderedList", make: rendered_list },
    Schema { name: "Generated", make: generated },
    Schema { name: "GeneratedToken", make: generated_token },
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

/// An object that has members beside those that are named.
fn open(mut object: Value) -> Value {
    object["additionalProperties"] = true.into();
    object
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

fn any_object() -> Value {
    json!({ "type": "object" })
}

fn text_logprobs() -> Value {
    or_null(object(
        [
            ("text_offset", list(count())),
            ("token_logprobs", list(or_null(number()))),
            ("tokens", list(string())),
            ("top_logprobs", list(or_null(object_by_name(number())))),
        ],
        [],
    ))
}

fn text_choice(reason: Value) -> Value {
    object(
        [("index", count()), ("text", string()), ("logprobs", text_logprobs()), ("finish_reason", reason)],
        [
            ("stop_reason", stop_reason()),
            ("token_ids", list(count())),
            ("prompt_token_ids", list(count())),
            ("prompt_logprobs", prompt_logprobs()),
        ],
    )
}

fn text_head(choice: Value) -> [(&'static str, Value); 7] {
    [
        ("id", string()),
        ("object", word("text_completion")),
        ("created", count()),
        ("model", string()),
        ("choices", list(choice)),
        ("service_tier", tiers()),
        ("system_fingerprint", string()),
    ]
}

fn completion() -> Value {
    let maybe = [("usage", named("Usage")), ("metadata", labels()), ("warnings", warnings())];
    object(text_head(text_choice(one_of(&["stop", "length"]))), maybe)
}

fn completion_chunk() -> Value {
    let maybe = [("usage", or_null(named("Usage"))), ("warnings", warnings())];
    object(text_head(text_choice(or_null(one_of(&["stop", "length"])))), maybe)
}

fn item() -> Value {
    let kinds = ["message", "reasoning", "function_call", "function_call_output"];
    open(object([("id", string()), ("type", one_of(&kinds))], []))
}

fn response() -> Value {
    let input = object([("cached_tokens", count()), ("cache_write_tokens", count())], []);
    let output = object([("reasoning_tokens", count())], []);
    let usage = object(
        [
            ("input_tokens", count()),
            ("input_tokens_details", input),
            ("output_tokens", count()),
            ("output_tokens_details", output),
            ("total_tokens", count()),
        ],
        [],
    );
    let fault = object([("code", string()), ("message", string())], []);
    let count_or_null = || or_null(count());
    object(
        [
            ("id", string()),
            ("object", word("response")),
            ("created_at", count()),
            ("status", one_of(&["in_progress", "completed", "incomplete", "failed"])),
            ("error", or_null(fault)),
            ("incomplete_details", or_null(object([("reason", string())], []))),
            ("model", string()),
            ("output", list(item())),
            ("service_tier", tiers()),
            ("instructions", text_or_null()),
            ("metadata", labels()),
            ("parallel_tool_calls", json!({ "type": "boolean" })),
            ("store", json!({ "type": "boolean" })),
            ("background", json!({ "type": "boolean" })),
            ("truncation", word("disabled")),
            ("temperature", number()),
            ("top_p", number()),
            ("max_output_tokens", count_or_null()),
            ("max_tool_calls", count_or_null()),
            ("previous_response_id", text_or_null()),
            ("top_logprobs", count_or_null()),
            ("reasoning", any_object()),
            ("text", any_object()),
            ("tool_choice", json!({ "type": ["string", "object"] })),
            ("tools", list(any_object())),
            ("usage", or_null(usage)),
        ],
        [
            ("completed_at", count()),
            ("user", string()),
            ("safety_identifier", string()),
            ("prompt_cache_key", string()),
            ("warnings", warnings()),
        ],
    )
}

fn response_event() -> Value {
    open(object([("type", string()), ("sequence_number", count())], []))
}

fn response_deleted() -> Value {
    object([("id", string()), ("object", word("response")), ("deleted", json!({ "const": true }))], [])
}

fn response_items() -> Value {
    object(
        [
            ("object", word("list")),
            ("data", list(item())),
            ("first_id", text_or_null()),
            ("last_id", text_or_null()),
            ("has_more", json!({ "type": "boolean" })),
        ],
        [],
    )
}

fn response_tokens() -> Value {
    object([("object", word("response.input_tokens")), ("input_tokens", count())], [])
}

fn message() -> Value {
    let block = open(object([("type", one_of(&["thinking", "text", "tool_use"]))], []));
    let usage = object(
        [
            ("input_tokens", count()),
            ("cache_creation_input_tokens", count()),
            ("cache_read_input_tokens", count()),
            ("output_tokens", count()),
            ("output_tokens_details", object([("thinking_tokens", count())], [])),
            ("service_tier", string()),
        ],
        [],
    );
    let reasons = ["end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"];
    object(
        [
            ("id", string()),
            ("type", word("message")),
            ("role", word("assistant")),
            ("model", string()),
            ("content", list(block)),
            ("stop_reason", or_null(one_of(&reasons))),
            ("stop_sequence", text_or_null()),
            ("usage", usage),
        ],
        [("warnings", warnings())],
    )
}

fn message_event() -> Value {
    open(object([("type", string())], []))
}

fn message_tokens() -> Value {
    object([("input_tokens", count())], [])
}

fn embeddings() -> Value {
    let vector =
        json!({ "anyOf": [{ "type": "array", "items": { "type": "number" } }, { "type": "string" }] });
    let item = object([("object", word("embedding")), ("index", count()), ("embedding", vector)], []);
    let usage = object([("prompt_tokens", count()), ("total_tokens", count())], []);
    object(
        [("object", word("list")), ("data", list(item)), ("model", string()), ("usage", usage)],
        [("warnings", warnings())],
    )
}

fn tokenized() -> Value {
    object(
        [
            ("count", count()),
            ("max_model_len", count()),
            ("tokens", list(count())),
            ("token_strs", or_null(list(text_or_null()))),
        ],
        [],
    )
}

fn detokenized() -> Value {
    object([("prompt", string())], [])
}

fn tokenizer_info() -> Value {
    let any = || json!({});
    open(object(
        [
            ("model_max_length", any()),
            ("bos_token", any()),
            ("eos_token", any()),
            ("pad_token", any()),
            ("chat_template", any()),
        ],
        [],
    ))
}

fn rendered() -> Value {
    object(
        [
            ("request_id", string()),
            ("model", string()),
            ("prompt", string()),
            ("token_ids", list(count())),
            ("num_tokens", count()),
        ],
        [("warnings", warnings())],
    )
}

fn rendered_list() -> Value {
    list(named("Rendered"))
}

fn text_token() -> Value {
    let logprob = or_null(number());
    let special = json!({ "type": "boolean" });
    object([("id", count()), ("text", string()), ("logprob", logprob), ("special", special)], [])
}

fn text_reasons() -> Value {
    one_of(&["length", "eos_token", "stop_sequence"])
}

fn sequence_members() -> [(&'static str, Value); 5] {
    let prefill = object([("id", count()), ("text", string()), ("logprob", or_null(number()))], []);
    [
        ("finish_reason", text_reasons()),
        ("generated_tokens", count()),
        ("seed", or_null(json!({ "type": "integer" }))),
        ("prefill", list(prefill)),
        ("tokens", list(text_token())),
    ]
}

fn generated() -> Value {
    let tops = || ("top_tokens", list(list(text_token())));
    let other = object(sequence_members(), [tops(), ("generated_text", string())]);
    let details = object(sequence_members(), [tops(), ("best_of_sequences", list(other))]);
    object([("generated_text", string())], [("details", details), ("warnings", warnings())])
}

fn generated_token() -> Value {
    let details = object(
        [
            ("finish_reason", text_reasons()),
            ("generated_tokens", count()),
            ("seed", or_null(json!({ "type": "integer" }))),
            ("input_length", count()),
        ],
        [],
    );
    object(
        [
            ("index", count()),
            ("token", text_token()),
            ("generated_text", text_or_null()),
            ("details", or_null(details)),
        ],
        [("top_tokens", list(text_token()))],
    )
}
