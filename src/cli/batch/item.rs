//! A line of the input: what is asked, of which route, under which name.

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::api::BATCH_ROUTES;

/// Longest `custom_id`.
const MAX_ID_BYTES: usize = 512;
/// Letters of other texts that a message repeats.
const MAX_SHOWN_CHARS: usize = 200;

/// A request from the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) custom_id: String,
    pub(super) route: &'static str,
    /// The JSON object to send.
    pub(super) body: Bytes,
    /// Whether it asks for a stream, which a file cannot hold.
    pub(super) wants_stream: bool,
}

/// Why a line is no request, or one that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ItemFault {
    /// Where it could be read.
    pub(super) custom_id: Option<String>,
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// A `custom_id` in few bytes, so that those of a long file fit into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct IdDigest([u8; 16]);

impl IdDigest {
    pub(super) fn of(custom_id: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(custom_id).into();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Self(half)
    }
}

impl Item {
    /// Reads a line; nothing stands for one that is too long.
    pub(super) fn parse(line: Option<&[u8]>, max_bytes: usize) -> Result<Self, ItemFault> {
        let fault = |code, message| Err(ItemFault { custom_id: None, code, message });
        let Some(line) = line else {
            return fault("line_too_long", format!("the line has more than {max_bytes} bytes"));
        };
        let mut members = match serde_json::from_slice(line) {
            Ok(Value::Object(members)) => members,
            Ok(_) => return fault("invalid_json_line", "the line is not a JSON object".to_owned()),
            Err(error) => return fault("invalid_json_line", format!("the line is not JSON: {error}")),
        };
        let custom_id = custom_id(&mut members)?;
        match Self::route_and_body(members) {
            Ok((route, body)) => {
                let wants_stream = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
                let body = Bytes::from(Value::Object(body).to_string());
                Ok(Self { custom_id, route, body, wants_stream })
            }
            Err(fault) => Err(ItemFault { custom_id: Some(custom_id), ..fault }),
        }
    }

    fn route_and_body(
        mut members: Map<String, Value>,
    ) -> Result<(&'static str, Map<String, Value>), ItemFault> {
        let fault = |code, message| Err(ItemFault { custom_id: None, code, message });
        match members.get("method") {
            Some(Value::String(method)) if method == "POST" => {}
            other => return fault("invalid_method", format!("'method' must be \"POST\"{}", but_is(other))),
        }
        let url = members.get("url");
        let known = BATCH_ROUTES.iter().find(|route| url.and_then(Value::as_str) == Some(**route));
        let Some(route) = known else {
            let routes = BATCH_ROUTES.join(", ");
            return fault("invalid_url", format!("'url' must be one of {routes}{}", but_is(url)));
        };
        match members.remove("body") {
            Some(Value::Object(body)) => Ok((route, body)),
            other => fault("invalid_body", format!("'body' must be an object{}", but_is(other.as_ref()))),
        }
    }
}

fn custom_id(members: &mut Map<String, Value>) -> Result<String, ItemFault> {
    let message = match members.remove("custom_id") {
        Some(Value::String(id)) if (1..=MAX_ID_BYTES).contains(&id.len()) => return Ok(id),
        Some(Value::String(id)) => {
            format!("'custom_id' must have 1 to {MAX_ID_BYTES} bytes; it has {}", id.len())
        }
        other => format!("'custom_id' must be a string{}", but_is(other.as_ref())),
    };
    Err(ItemFault { custom_id: None, code: "invalid_custom_id", message })
}

/// What stands there instead, in short.
fn but_is(value: Option<&Value>) -> String {
    match value {
        None => "; it is missing".to_owned(),
        Some(Value::Array(_)) => "; it is a list".to_owned(),
        Some(Value::Object(_)) => "; it is an object".to_owned(),
        Some(other) => format!("; it is {}", shown(&other.to_string())),
    }
}

/// The beginning of a text.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    if text.chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> (Option<String>, &'static str, String) {
        let ItemFault { custom_id, code, message } =
            Item::parse(Some(line.as_bytes()), 100).expect_err("a fault");
        (custom_id, code, message)
    }

    #[test]
    fn a_line_is_a_request() {
        let line = r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"n":1,"a":[]}}"#;
        let item = Item::parse(Some(line.as_bytes()), 100).expect("a request");
        let body = Bytes::from_static(br#"{"n":1,"a":[]}"#);
        let route = "/v1/chat/completions";
        assert_eq!(item, Item { custom_id: "a".to_owned(), route, body, wants_stream: false });
    }

    #[test]
    fn a_stream_is_recognised() {
        let line = r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"stream":true}}"#;
        assert!(Item::parse(Some(line.as_bytes()), 100).expect("a request").wants_stream);
    }

    #[test]
    fn each_fault_names_its_member() {
        let rest = r#""custom_id":"a""#;
        let cases = [
            ("{".to_owned(), "invalid_json_line", "not JSON"),
            ("[]".to_owned(), "invalid_json_line", "not a JSON object"),
            ("{}".to_owned(), "invalid_custom_id", "'custom_id' must be a string; it is missing"),
            (r#"{"custom_id":7}"#.to_owned(), "invalid_custom_id", "it is 7"),
            (r#"{"custom_id":""}"#.to_owned(), "invalid_custom_id", "it has 0"),
            (format!("{{{rest}}}"), "invalid_method", "'method' must be \"POST\"; it is missing"),
            (format!(r#"{{{rest},"method":"GET"}}"#), "invalid_method", "it is \"GET\""),
            (
                format!(r#"{{{rest},"method":"POST","url":"/v1/files"}}"#),
                "invalid_url",
                "it is \"/v1/files\"",
            ),
            (
                format!(r#"{{{rest},"method":"POST","url":"/v1/chat/completions","body":[]}}"#),
                "invalid_body",
                "'body' must be an object; it is a list",
            ),
        ];
        for (line, code, message) in cases {
            let (custom_id, found, said) = fault(&line);
            assert_eq!(found, code, "{line}");
            assert!(said.contains(message), "{line}: {said}");
            assert_eq!(custom_id.is_some(), line.contains("\"a\""), "{line}");
        }
        let error = Item::parse(None, 100).expect_err("too long");
        assert!(error.message.contains("more than 100 bytes"), "{}", error.message);
    }
}
