//! `/v1/messages`: Anthropic's API, for its SDKs and the tools that speak it.

mod content;
mod error;
mod request;
mod response;
mod stream;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

pub(super) use self::error::speak;
use self::request::{MessageRequest, Purpose};
use self::response::Answer;
use self::stream::EventRenderer;
use super::access_log::AccessRecord;
use super::answer::blocks::Blocks;
use super::answer::head::{AnswerHead, ignored_header, name_ignored};
use super::answer::whole::{Deadline, admit, fold};
use super::auth::Caller;
use super::error::ApiError;
use super::extract::JsonObject;
use super::limits;
use super::params::Warning;
use super::request_id::RequestId;
use super::sse::{self, StreamTimes};
use super::state::AppState;

/// Answers a conversation, whole or as a stream.
pub(super) async fn create(
    State(state): State<Arc<AppState>>,
    Extension(record): Extension<Arc<AccessRecord>>,
    Extension(caller): Extension<Caller>,
    Extension(request_id): Extension<RequestId>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let deadline = Deadline::of(&state);
    let request = MessageRequest::parse(members, Purpose::Answer, caller, &state)?;
    state.model.expect_called(&request.model)?;
    let MessageRequest { generate, stream, shows_thinking, mut warnings, .. } = request;
    let asked = generate.end.max_new_tokens;
    let priority = generate.priority;

    let generation = admit(&state, generate, deadline).await.map_err(in_our_words)?;
    let num_prompt_tokens = generation.num_prompt_tokens() as u64;
    record.set_prompt_tokens(num_prompt_tokens);
    let given = generation.max_new_tokens();
    let clamped = asked.filter(|&asked| asked > given);
    warnings.extend(
        clamped.map(|asked| {
            Warning::clamped(limits::MAX_TOKENS.path, asked.into(), given.into(), caller.reader)
        }),
    );
    let head = AnswerHead::new(&state, "msg_", priority, warnings);
    let ignored = head.ignored_header();
    let answer = Answer { head, num_prompt_tokens, shows_thinking, is_clamped: clamped.is_some() };
    let mut response = if stream {
        let renderer = EventRenderer::new(answer, record, request_id);
        let times = StreamTimes::new(&state.config, deadline.at, caller.reader);
        sse::respond(generation, renderer, times, state.lifecycle.clone()).await?
    } else {
        let mut blocks = Blocks::new(true);
        fold(&state, generation, &record, deadline, |delta| drop(blocks.take(delta))).await?;
        Json(answer.whole(&blocks)).into_response()
    };
    name_ignored(&mut response, ignored);
    Ok(response)
}

/// Counts the tokens of a conversation without answering it.
pub(super) async fn count_tokens(
    State(state): State<Arc<AppState>>,
    Extension(caller): Extension<Caller>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let request = MessageRequest::parse(members, Purpose::Count, caller, &state)?;
    state.model.expect_called(&request.model)?;
    let rendered = state.generator.render(request.generate.prompt).await;
    let count = rendered.map_err(|error| in_our_words(error.into()))?.token_ids.len();
    let mut response = Json(json!({ "input_tokens": count })).into_response();
    name_ignored(&mut response, ignored_header(&request.warnings));
    Ok(response)
}

/// What is wrong with a request, in the words of this endpoint.
fn in_our_words(error: ApiError) -> ApiError {
    error.respelled(|param| param.replacen(".function.parameters", ".input_schema", 1))
}
