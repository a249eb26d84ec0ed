//! JSON from the command line that goes with each request.

use std::fs::File;
use std::io::Read;
use std::str::FromStr;

use serde_json::{Map, Value};

/// Largest file of JSON.
const MAX_BYTES: u64 = 1 << 20;
/// Members of a request that are the benchmark's to set.
const OWN_MEMBERS: [&str; 6] = ["model", "messages", "max_tokens", "temperature", "stream", "stream_options"];

/// Members that are added to the body of each request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ExtraBody(pub(super) Map<String, Value>);

/// A JSON Schema.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Schema(pub(super) Value);

impl FromStr for ExtraBody {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Value::Object(members) = json(text)? else {
            return Err("expected a JSON object such as {\"top_k\": 50}, or @FILE with one".to_owned());
        };
        match OWN_MEMBERS.iter().find(|name| members.contains_key(**name)) {
            Some(name) => Err(format!("{name:?} cannot be set this way; it belongs to the benchmark")),
            None => Ok(Self(members)),
        }
    }
}

impl FromStr for Schema {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match json(text)? {
            schema @ (Value::Object(_) | Value::Bool(_)) => Ok(Self(schema)),
            _ => Err("expected a JSON Schema such as {\"type\": \"string\"}, or @FILE with one".to_owned()),
        }
    }
}

/// JSON, or the content of the file that stands behind `@`.
fn json(text: &str) -> Result<Value, String> {
    let Some(path) = text.strip_prefix('@') else {
        return serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"));
    };
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut content));
    read.map_err(|error| format!("{path}: {error}"))?;
    if content.len() as u64 > MAX_BYTES {
        return Err(format!("{path} has more than {MAX_BYTES} bytes"));
    }
    serde_json::from_slice(&content).map_err(|error| format!("{path}: not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_from_the_text_or_from_a_file() {
        let text = r#"{"response_format":{"type":"json_object"},"top_k":5}"#;
        let members: ExtraBody = text.parse().expect("an object");
        assert_eq!(members.0.keys().collect::<Vec<_>>(), ["response_format", "top_k"]);
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("writable");
        assert_eq!(format!("@{}", file.path().display()).parse(), Ok(members));
    }

    #[test]
    fn what_is_no_object_or_the_benchmarks_own_is_refused() {
        let fault = |text: &str| text.parse::<ExtraBody>().expect_err(text);
        assert!(fault("{").contains("not JSON"));
        assert!(fault("[]").contains("expected a JSON object"));
        assert!(fault(r#"{"stream":false}"#).contains("\"stream\" cannot be set"));
        assert!(fault("@/nonexistent/x.json").contains("/nonexistent/x.json: "));
        assert!("7".parse::<Schema>().expect_err("a number").contains("expected a JSON Schema"));
        assert_eq!("true".parse(), Ok(Schema(true.into())));
    }
}
