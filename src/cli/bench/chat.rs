//! An OpenAI-compatible server under load: streamed chat completions over HTTP.

use std::time::Instant;

use anyhow::{Context, bail};
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::extra::ExtraBody;
use super::http::{Answer, HttpClient};
use super::record::{Refusal, TokenCounts, Unanswered};
use super::sse::SseReader;
use super::wire::{Chunk, error_message};

/// How a server is asked.
#[derive(Debug)]
pub(super) struct ChatClient {
    pub(super) http: HttpClient,
    pub(super) model: String,
    pub(super) temperature: f32,
    pub(super) ignore_eos: bool,
    /// Members of every request besides.
    pub(super) extra_body: ExtraBody,
}

/// An answer that was read to its end.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// What the model said, without its reasoning.
    pub(super) text: String,
    /// The server's counts.
    pub(super) counts: TokenCounts,
}

impl ChatClient {
    /// Asks once and reads the answer to its end; `note` hears when each piece of it came.
    pub(super) async fn ask(
        &self,
        messages: &[Value],
        max_tokens: u32,
        note: &mut (dyn FnMut(Instant) + Send),
    ) -> Result<Reply, Unanswered> {
        let mut body = json!({
            "model": self.model,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": self.temperature,
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        if self.ignore_eos {
            body["ignore_eos"] = Value::Bool(true);
        }
        for (name, value) in &self.extra_body.0 {
            body[name] = value.clone();
        }
        let sent = self.http.post("/v1/chat/completions", Bytes::from(body.to_string())).await;
        let answer = sent.map_err(|error| Unanswered::Failed(format!("{error:#}")))?;
        match answer.status() {
            StatusCode::OK if answer.is_event_stream() => read_stream(answer, note).await,
            StatusCode::OK => Err(Unanswered::Failed("the server does not stream its answer".to_owned())),
            status @ (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
                let refusal =
                    Refusal { status: status.as_str().to_owned(), retry_after: answer.has_retry_after() };
                // Read to its end, so that the connection can serve again; what it says is known already.
                drop(answer.whole().await);
                Err(Unanswered::Refused(refusal))
            }
            status => Err(Unanswered::Failed(status_and_message(status, answer).await)),
        }
    }

    /// Tokens of a conversation with the template around it, as the server counts them; none if it does not.
    ///
    /// # Errors
    /// If the server does not answer a chat completion at all.
    pub(super) async fn count_prompt_tokens(&self, messages: &[Value]) -> anyhow::Result<Option<u32>> {
        let body = json!({ "model": self.model, "messages": messages, "add_generation_prompt": true });
        let answer = self.http.post("/tokenize", Bytes::from(body.to_string())).await?;
        if answer.status() == StatusCode::OK {
            let value: Value = serde_json::from_slice(&answer.whole().await?).unwrap_or_default();
            if let Some(count) = value["count"].as_u64() {
                return Ok(u32::try_from(count).ok());
            }
        } else {
            answer.whole().await?;
        }
        match self.ask(messages, 1, &mut |_| ()).await {
            Ok(reply) => Ok(reply.counts.prompt),
            Err(Unanswered::Refused(refusal)) => {
                bail!("the server is busy already: it answers {}", refusal.status)
            }
            Err(Unanswered::Failed(reason)) => bail!("the server does not answer a first request: {reason}"),
        }
    }
}

/// Names of the models that the server has.
///
/// # Errors
/// With a hint at what to do about it.
pub(super) async fn model_names(http: &HttpClient, url: &str) -> anyhow::Result<Vec<String>> {
    let answer = http.get("/v1/models").await.with_context(|| {
        format!("no server answers at {url}: start one, such as `maru serve`, or name another with --url")
    })?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let said = status_and_message(answer.status(), answer).await;
            bail!("{url} wants an API key; set MARU_API_KEY or --api-key ({said})");
        }
        status => {
            let said = status_and_message(status, answer).await;
            bail!(
                "{url}/v1/models: {said}; is it an OpenAI-compatible server? Then name a model with --model"
            );
        }
    }
    let value: Value = serde_json::from_slice(&answer.whole().await?)
        .with_context(|| format!("{url}/v1/models: the answer is not JSON"))?;
    let names = value["data"].as_array().into_iter().flatten().filter_map(|model| model["id"].as_str());
    Ok(names.map(str::to_owned).collect())
}

async fn status_and_message(status: StatusCode, answer: Answer<'_>) -> String {
    let message = answer.whole().await.map(|body| error_message(&body)).unwrap_or_default();
    let separator = if message.is_empty() { "" } else { ": " };
    format!("status {}{separator}{message}", status.as_str())
}

/// Reads the events of an answer. It has ended well if the server said that it is complete.
async fn read_stream(
    mut answer: Answer<'_>,
    note: &mut (dyn FnMut(Instant) + Send),
) -> Result<Reply, Unanswered> {
    let mut reader = SseReader::default();
    let mut reply = Reply::default();
    let mut is_complete = false;
    loop {
        let next =
            answer.next().await.map_err(|error| Unanswered::Failed(format!("broken off: {error:#}")))?;
        // The pieces of one packet came at the same time.
        let time = Instant::now();
        let is_end = next.is_none();
        let events = match next {
            Some(bytes) => reader.feed(&bytes).map_err(|error| Unanswered::Failed(error.to_string()))?,
            None => std::mem::take(&mut reader).finish().into_iter().collect(),
        };
        for event in events {
            if event == b"[DONE]" {
                is_complete = true;
                continue;
            }
            let chunk: Chunk = serde_json::from_slice(&event)
                .map_err(|error| Unanswered::Failed(format!("an event is not a chunk: {error}")))?;
            if let Some(message) = chunk.error() {
                return Err(Unanswered::Failed(format!("error event: {message}")));
            }
            if chunk.has_piece() {
                note(time);
            }
            reply.text.push_str(chunk.text());
            is_complete |= chunk.is_finish();
            reply.counts = chunk.counts().unwrap_or(reply.counts);
        }
        match is_end {
            false => {}
            true if is_complete => return Ok(reply),
            true => return Err(Unanswered::Failed("the stream ended before the answer".to_owned())),
        }
    }
}
