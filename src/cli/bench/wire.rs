//! The parts of OpenAI's wire format that a benchmark reads, tolerant of what servers add or leave out.

use serde::Deserialize;
use serde_json::Value;

use super::record::TokenCounts;

/// One event of a streamed chat completion.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    tool_calls: Option<Vec<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Option<u32>,
}

impl Chunk {
    /// The error that the server ended the stream with.
    pub(super) fn error(&self) -> Option<String> {
        self.error.as_ref().map(message_of)
    }

    /// The text of the answer in this event.
    pub(super) fn text(&self) -> &str {
        self.deltas().find_map(|delta| delta.content.as_deref()).unwrap_or_default()
    }

    /// Whether the event brings a piece of what the model wrote: answer, reasoning or tool call.
    pub(super) fn has_piece(&self) -> bool {
        let is_some = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        self.deltas().any(|delta| {
            is_some(&delta.content)
                || is_some(&delta.reasoning_content)
                || is_some(&delta.reasoning)
                || delta.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
        })
    }

    /// Whether the event says that the answer is complete.
    pub(super) fn is_finish(&self) -> bool {
        let has_reason =
            |choice: &Choice| choice.finish_reason.as_ref().is_some_and(|reason| !reason.is_null());
        self.choices.iter().flatten().any(has_reason)
    }

    /// The server's token counts, if they are in this event.
    pub(super) fn counts(&self) -> Option<TokenCounts> {
        let usage = self.usage.as_ref()?;
        let cached = usage.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        Some(TokenCounts { prompt: usage.prompt_tokens, output: usage.completion_tokens, cached })
    }

    fn deltas(&self) -> impl Iterator<Item = &Delta> {
        self.choices.iter().flatten().filter_map(|choice| choice.delta.as_ref())
    }
}

/// What an error body says, in one line.
pub(super) fn error_message(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return one_line(&String::from_utf8_lossy(body));
    };
    message_of(value.get("error").unwrap_or(&value))
}

fn message_of(error: &Value) -> String {
    let text = error.as_str().or_else(|| error["message"].as_str()).or_else(|| error["detail"].as_str());
    one_line(&text.map_or_else(|| error.to_string(), str::to_owned))
}

fn one_line(text: &str) -> String {
    const MAX_LETTERS: usize = 200;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MAX_LETTERS {
        return line;
    }
    line.chars().take(MAX_LETTERS).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &str) -> Chunk {
        serde_json::from_str(text).expect(text)
    }

    #[test]
    fn pieces_are_told_from_frames() {
        for (text, has_piece) in [
            (r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#, false),
            (r#"{"choices":[{"delta":{"content":"Hi"}}]}"#, true),
            (r#"{"choices":[{"delta":{"content":null,"reasoning_content":"Hm"}}]}"#, true),
            (r#"{"choices":[{"delta":{"reasoning":"Hm"}}]}"#, true),
            (r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, true),
            (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, false),
            (r#"{"choices":[],"usage":{"prompt_tokens":3}}"#, false),
            (r#"{"choices":null,"usage":null,"extra":1}"#, false),
        ] {
            assert_eq!(chunk(text).has_piece(), has_piece, "{text}");
        }
        assert!(chunk(r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#).is_finish());
        assert!(!chunk(r#"{"choices":[{"delta":{},"finish_reason":null}]}"#).is_finish());
    }

    #[test]
    fn usage_is_read_as_far_as_it_goes() {
        let counts = chunk(
            r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}"#,
        );
        let expected = TokenCounts { prompt: Some(9), output: Some(5), cached: Some(4) };
        assert_eq!(counts.counts(), Some(expected));
        assert_eq!(chunk(r#"{"usage":{}}"#).counts(), Some(TokenCounts::default()));
        assert_eq!(chunk(r#"{"usage":null}"#).counts(), None);
    }

    #[test]
    fn errors_are_read_in_every_dress() {
        assert_eq!(error_message(br#"{"error":{"message":"too\nlong","code":1}}"#), "too long");
        assert_eq!(error_message(br#"{"error":"plain"}"#), "plain");
        assert_eq!(error_message(br#"{"detail":"Not Found"}"#), "Not Found");
        assert_eq!(error_message(b"<html>502  Bad Gateway</html>"), "<html>502 Bad Gateway</html>");
        assert_eq!(error_message(&vec![b'x'; 500]).len(), 203);
    }
}
