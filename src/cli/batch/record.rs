//! A line of the output: what came of a request.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::item::{ItemFault, shown};
use crate::api::{Stamps, SystemStamps};
use crate::app::Reply;

/// A line for the output or for the errors.
#[derive(Debug)]
pub(super) struct Record {
    /// Whether the request was answered with success.
    pub(super) is_answer: bool,
    /// The line, with its end.
    pub(super) line: Vec<u8>,
    /// What went wrong, in short.
    pub(super) reason: Option<String>,
}

/// Why a line was not sent, or its answer not taken.
#[derive(Debug, Serialize)]
struct Fault<'a> {
    code: &'a str,
    message: &'a str,
    /// The line of the input.
    line: u64,
}

/// What is read of a line that an earlier run has written.
#[derive(Debug, Deserialize)]
pub(super) struct Written {
    pub(super) custom_id: Option<String>,
    response: Option<WrittenResponse>,
}

#[derive(Debug, Deserialize)]
struct WrittenResponse {
    status_code: u16,
}

impl Record {
    /// The line for what the server has answered.
    pub(super) fn of_reply(custom_id: &str, reply: &Reply) -> Self {
        // Spliced in as it is, so that no digit of it changes; the server writes it without line breaks.
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&reply.body).is_ok();
        let body = match std::str::from_utf8(&reply.body) {
            Ok(body) if is_json && !body.contains(['\n', '\r']) => body.to_owned(),
            _ => Value::from(String::from_utf8_lossy(&reply.body)).to_string(),
        };
        let (id, custom_id) = (record_id(), Value::from(custom_id));
        let request_id = Value::from(reply.request_id.as_str());
        let status = reply.status;
        let response = format!(r#"{{"status_code":{status},"request_id":{request_id},"body":{body}}}"#);
        let line = format!(r#"{{"id":{id},"custom_id":{custom_id},"response":{response},"error":null}}"#);
        let reason =
            (!is_success(status)).then(|| format!("status {status}: {}", error_message(&reply.body)));
        Self { is_answer: is_success(status), line: (line + "\n").into_bytes(), reason }
    }

    /// The line for what has no answer.
    pub(super) fn of_fault(number: u64, fault: &ItemFault) -> Self {
        let ItemFault { custom_id, code, message } = fault;
        let error = serde_json::to_value(Fault { code, message, line: number });
        let line = serde_json::json!({
            "id": record_id(),
            "custom_id": custom_id,
            "response": null,
            "error": error.expect("strings and a number are JSON"),
        });
        let reason = Some(format!("line {number}: {message}"));
        Self { is_answer: false, line: format!("{line}\n").into_bytes(), reason }
    }
}

impl Written {
    /// Whether the request was answered with success.
    pub(super) fn is_answer(&self) -> bool {
        self.response.as_ref().is_some_and(|response| is_success(response.status_code))
    }
}

/// What the body of an error says, in the places where the dialects put it.
fn error_message(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = value["error"]["message"].as_str().or_else(|| value["error"].as_str());
    message.map_or_else(|| "no reason was given".to_owned(), shown)
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

fn record_id() -> Value {
    Value::from(format!("batch_req_{}", SystemStamps.id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: u16, body: &str) -> (Record, Value) {
        let body = body.as_bytes().to_vec();
        let reply = Reply { status, request_id: "req-1".to_owned(), retry_after: None, body };
        let record = Record::of_reply("a\"b", &reply);
        let value = serde_json::from_slice(&record.line).expect("a line is JSON");
        (record, value)
    }

    #[test]
    fn a_body_keeps_every_digit() {
        let (record, value) = record(200, r#"{"logprob":-0.10000000149011612,"z":1,"a":2}"#);
        let line = String::from_utf8(record.line).expect("UTF-8");
        assert!(line.ends_with("\n") && line.matches('\n').count() == 1);
        assert!(line.contains(r#""body":{"logprob":-0.10000000149011612,"z":1,"a":2}}"#), "{line}");
        assert!(record.is_answer);
        assert_eq!((&value["custom_id"], &value["error"]), (&"a\"b".into(), &Value::Null));
    }

    #[test]
    fn a_body_that_is_no_json_or_has_lines_becomes_a_string() {
        for body in ["not JSON", "{\n}"] {
            assert_eq!(record(500, body).1["response"]["body"], body);
        }
        assert!(!record(500, "{}").0.is_answer);
    }

    #[test]
    fn what_was_written_is_read_again() {
        let fault = ItemFault { custom_id: None, code: "line_too_long", message: "m".to_owned() };
        let lines = [record(204, "{}").0.line, record(429, "{}").0.line, Record::of_fault(7, &fault).line];
        let read = lines.map(|line| serde_json::from_slice::<Written>(&line).expect("a record"));
        assert_eq!(read.each_ref().map(Written::is_answer), [true, false, false]);
        assert_eq!(read.map(|written| written.custom_id.is_some()), [true, true, false]);
    }
}
