//! Requests that are answered, one for each operation that takes a body. A test sends them.

use serde_json::{Value, json};

/// The name that stands for the model in examples; whoever sends one puts in a name that `GET /v1/models` lists.
pub(super) const MODEL: &str = "your-model";

/// For `POST /v1/chat/completions`.
pub(super) fn chat() -> Value {
    json!({ "model": MODEL, "messages": question(), "max_completion_tokens": 64 })
}

fn question() -> Value {
    json!([{ "role": "user", "content": "안녕하세요!" }])
}

/// For `POST /v1/completions`.
pub(super) fn completion() -> Value {
    json!({ "model": MODEL, "prompt": "옛날 옛적에", "max_tokens": 32 })
}

/// For `POST /v1/responses`.
pub(super) fn response() -> Value {
    json!({ "model": MODEL, "input": "안녕하세요!", "max_output_tokens": 64 })
}

/// For `POST /v1/messages`.
pub(super) fn message() -> Value {
    json!({ "model": MODEL, "max_tokens": 64, "messages": question() })
}

/// For `POST /v1/messages/count_tokens`.
pub(super) fn count() -> Value {
    json!({ "model": MODEL, "messages": question() })
}

/// For `POST /v1/embeddings`.
pub(super) fn embedding() -> Value {
    json!({ "model": MODEL, "input": ["고양이", "강아지"] })
}

/// For `POST /generate` and `POST /generate_stream`.
pub(super) fn generate() -> Value {
    json!({ "inputs": "옛날 옛적에", "parameters": { "max_new_tokens": 32, "details": true } })
}

/// For `POST /tokenize`.
pub(super) fn tokenize() -> Value {
    json!({ "messages": question(), "return_token_strs": true })
}

/// For `POST /detokenize`.
pub(super) fn detokenize() -> Value {
    json!({ "tokens": [1, 2, 3] })
}
