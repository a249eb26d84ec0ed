//! How likely tokens were, as chat completions tell it.

use serde::Serialize;

use crate::serving::{OutputToken, RankedToken};

/// The least log probability on the wire: JSON has no infinity, which is what a masked token has.
pub(in crate::api) const LOWEST: f32 = -9999.0;

/// A log probability that JSON can carry.
pub(in crate::api) fn finite(logprob: f32) -> f32 {
    logprob.max(LOWEST)
}

/// `logprobs` of a choice of a chat completion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::api) struct ChatLogprobs {
    content: Vec<TokenLogprob>,
    /// Always null, but present, as the SDKs' types want it.
    refusal: Option<()>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct TokenLogprob {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
    top_logprobs: Vec<TopLogprob>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct TopLogprob {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl ChatLogprobs {
    /// Of these tokens; one whose probability is not told, as that of a stop token, is left out. `as_ids` puts
    /// `token_id:7` in place of a token's text.
    pub(in crate::api) fn of(tokens: &[OutputToken], as_ids: bool) -> Self {
        let told = tokens.iter().filter_map(|token| {
            let top = |ranked: &RankedToken| TopLogprob {
                token: shown(ranked.token_id, &ranked.bytes, as_ids),
                logprob: finite(ranked.logprob),
                bytes: ranked.bytes.to_vec(),
            };
            Some(TokenLogprob {
                token: shown(token.token_id, &token.bytes, as_ids),
                logprob: finite(token.logprob?),
                bytes: token.bytes.to_vec(),
                top_logprobs: token.top.iter().map(top).collect(),
            })
        });
        Self { content: told.collect(), refusal: None }
    }
}

/// `logprobs` of a text in a response: the tokens of `ChatLogprobs`, as a bare list.
pub(in crate::api) fn response_logprobs(tokens: &[OutputToken]) -> serde_json::Value {
    serde_json::json!(ChatLogprobs::of(tokens, false).content)
}

/// A token's text. What is not UTF-8 by itself shows as U+FFFD; `bytes` has it exactly.
pub(in crate::api) fn shown(token_id: u32, bytes: &[u8], as_id: bool) -> String {
    if as_id { format!("token_id:{token_id}") } else { String::from_utf8_lossy(bytes).into_owned() }
}

/// `prompt_logprobs` as vLLM tells it: for each token of the prompt, null for the first, an object of token ids.
pub(in crate::api) fn prompt_logprobs(tokens: &[OutputToken]) -> serde_json::Value {
    tokens.iter().map(of_prompt_token).collect()
}

fn of_prompt_token(token: &OutputToken) -> serde_json::Value {
    let Some(logprob) = token.logprob else { return serde_json::Value::Null };
    let entry = |logprob: f32, rank: Option<usize>, bytes: &[u8]| {
        serde_json::json!({
            "logprob": finite(logprob),
            "rank": rank,
            "decoded_token": String::from_utf8_lossy(bytes),
        })
    };
    let mut entries = serde_json::Map::new();
    let rank = token.top.iter().position(|ranked| ranked.token_id == token.token_id).map(|at| at + 1);
    entries.insert(token.token_id.to_string(), entry(logprob, rank, &token.bytes));
    for (at, ranked) in token.top.iter().enumerate() {
        let key = ranked.token_id.to_string();
        entries.entry(key).or_insert_with(|| entry(ranked.logprob, Some(at + 1), &ranked.bytes));
    }
    entries.into()
}
