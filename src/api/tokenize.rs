//! `POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`, in vLLM's shape.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Map, Value};

use super::access_log::AccessRecord;
use super::answer::head::{ignored_header, name_ignored};
use super::answer::whole::Deadline;
use super::chat::request::template_ends;
use super::error::ApiError;
use super::extract::JsonObject;
use super::fields::Fields;
use super::limits;
use super::openapi::groups;
use super::params::{self, Judge, Policy};
use super::request::reasoning::ReasoningRequest;
use super::request::tools::ToolOptions;
use super::request::{self, messages};
use super::state::AppState;
use super::wording::Reader;
use crate::serving::{ChatPrompt, PromptInput};

#[derive(Debug, Serialize)]
struct Tokenized {
    count: usize,
    /// Tokens of a prompt and its answer together.
    max_model_len: usize,
    tokens: Vec<u32>,
    /// Null unless asked for, as in vLLM.
    token_strs: Option<Vec<Option<String>>>,
}

#[derive(Debug, Serialize)]
struct Detokenized {
    prompt: String,
}

/// The tokens of a text or of a conversation.
pub(super) async fn tokenize(
    State(state): State<Arc<AppState>>,
    Extension(record): Extension<Arc<AccessRecord>>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let deadline = Deadline::of(&state);
    let mut fields = request::fields(members, groups::TOKENIZE)?;
    let mut judge = Judge::new(state.config.strict_params, Reader::default());
    expect_model(&mut fields, &state)?;
    let wants_strings = fields.boolean("return_token_strs")?.unwrap_or(false);
    let (prompt, table) = match fields.has("messages") {
        true => (conversation(&mut fields, &mut judge, &state)?, params::TOKENIZE_CHAT),
        false => (text(&mut fields)?, params::TOKENIZE),
    };
    let ignored = judged(judge, table, fields)?;

    // A text may be empty here, though there is nothing to continue in it.
    let is_empty = matches!(&prompt, PromptInput::Text { text, .. } if text.is_empty());
    let tokens = match is_empty {
        true => Vec::new(),
        false => deadline.bound(state.generator.render(prompt)).await??.token_ids,
    };
    record.set_prompt_tokens(tokens.len() as u64);
    let tokenized = Tokenized {
        count: tokens.len(),
        max_model_len: state.generator.max_model_len(),
        token_strs: wants_strings.then(|| state.generator.spellings(&tokens)),
        tokens,
    };
    let mut response = Json(tokenized).into_response();
    name_ignored(&mut response, ignored);
    Ok(response)
}

/// The text of tokens, special ones as they are written.
pub(super) async fn detokenize(
    State(state): State<Arc<AppState>>,
    Extension(record): Extension<Arc<AccessRecord>>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let deadline = Deadline::of(&state);
    let mut fields = request::fields(members, groups::DETOKENIZE)?;
    let judge = Judge::new(state.config.strict_params, Reader::default());
    expect_model(&mut fields, &state)?;
    let tokens = fields.token_ids("tokens", &limits::TOKENS)?.ok_or_else(|| ApiError::missing("tokens"))?;
    let ignored = judged(judge, params::DETOKENIZE, fields)?;
    record.set_prompt_tokens(tokens.len() as u64);
    let prompt = deadline.bound(state.generator.detokenize(tokens)).await??;
    let mut response = Json(Detokenized { prompt }).into_response();
    name_ignored(&mut response, ignored);
    Ok(response)
}

/// What the model's files say of its tokenizer.
pub(super) async fn info(State(state): State<Arc<AppState>>) -> Json<Map<String, Value>> {
    let mut info = state.generator.text().tokenizer_info();
    info.entry("model_max_length").or_insert_with(|| state.generator.max_model_len().into());
    // Clients look these up whether or not there are any.
    for name in ["bos_token", "eos_token", "pad_token", "chat_template"] {
        info.entry(name).or_insert(Value::Null);
    }
    Json(info)
}

/// The model may be left out, since there is only one.
fn expect_model(fields: &mut Fields, state: &AppState) -> Result<(), ApiError> {
    match fields.string("model", &limits::MODEL)? {
        Some(name) => state.model.expect_called(&name),
        None => Ok(()),
    }
}

/// Judges what is left of a request; gives the header that names what is ignored.
fn judged(mut judge: Judge, table: &[Policy], fields: Fields) -> Result<Option<HeaderValue>, ApiError> {
    judge.judge(table, fields.rest())?;
    Ok(ignored_header(&judge.into_warnings()))
}

fn text(fields: &mut Fields) -> Result<PromptInput, ApiError> {
    let text = fields.string("prompt", &limits::TOKENIZE_PROMPT)?;
    let text = text.ok_or_else(|| ApiError::missing("prompt"))?;
    let add_special_tokens = fields.boolean("add_special_tokens")?.unwrap_or(true);
    Ok(PromptInput::Text { text, add_special_tokens })
}

fn conversation(fields: &mut Fields, judge: &mut Judge, state: &AppState) -> Result<PromptInput, ApiError> {
    let mut chat = ChatPrompt::new(messages::take(fields, judge)?);
    chat.tools = ToolOptions::take(fields, judge)?.shown();
    chat.template_kwargs = ReasoningRequest::take(fields, judge, state.reasoning_facts())?.template_kwargs;
    template_ends(&mut chat, fields)?;
    Ok(PromptInput::Chat(chat))
}
