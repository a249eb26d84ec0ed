//! Requests that are answered, one for each operation that takes a body. A test sends them.

use serde_json::{Value, json};

/// The name that stands for the model in examples; whoever sends one puts in a name that is served.
pub(super) const MODEL: &str = "exaone";

/// For `POST /v1/chat/completions`.
pub(super) fn chat() -> Value {
    json!({
        "model": MODEL,
        "messages": [{ "role": "user", "content": "안녕하세요!" }],
        "max_completion_tokens": 64,
    })
}
