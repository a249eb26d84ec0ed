//! `POST /v1/chat/completions`, and the same conversation rendered without an answer.

pub(super) mod request;
mod response;
mod stream;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use self::request::ChatRequest;
use self::response::{Answer, Completion};
use self::stream::ChunkRenderer;
use super::access_log::AccessRecord;
use super::answer::head::{AnswerHead, name_ignored};
use super::answer::rendered::Rendered;
use super::answer::whole::{Deadline, admit, collect};
use super::auth::Caller;
use super::error::ApiError;
use super::extract::JsonObject;
use super::params::Warning;
use super::sse::{self, StreamTimes};
use super::state::AppState;

/// Answers a conversation, whole or as a stream.
pub(super) async fn create(
    State(state): State<Arc<AppState>>,
    Extension(record): Extension<Arc<AccessRecord>>,
    Extension(caller): Extension<Caller>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let deadline = Deadline::of(&state);
    let request = ChatRequest::parse(members, caller, &state)?;
    state.model.expect_called(&request.model)?;
    let ChatRequest { generate, limit_param, stream, show, metadata, mut warnings, .. } = request;
    let num_choices = generate.num_choices;
    let asked = generate.end.max_new_tokens;
    let priority = generate.priority;
    let echoed = show.echo.then(|| echoed(&generate)).flatten();
    let is_named = matches!(generate.tool_choice, crate::serving::ToolChoice::Named(_));

    let generation = admit(&state, generate, deadline).await?;
    record.set_prompt_tokens(generation.num_prompt_tokens() as u64);
    let given = generation.max_new_tokens();
    if let Some(asked) = asked.filter(|&asked| asked > given) {
        warnings.push(Warning::clamped(limit_param, asked.into(), given.into(), caller.reader));
    }
    let answer = Answer {
        head: AnswerHead::new(&state, "chatcmpl-", priority, warnings),
        prompt_token_ids: Arc::clone(generation.prompt_token_ids()),
        show,
        echoed,
        is_named,
        metadata,
    };
    let ignored = answer.head.ignored_header();
    let mut response = if stream.stream {
        let renderer = ChunkRenderer::new(answer, num_choices, stream, record);
        let times = StreamTimes::new(&state.config, deadline.at, caller.reader);
        sse::respond(generation, renderer, times, state.lifecycle.clone()).await?
    } else {
        let output = collect(&state, generation, &record, deadline).await?;
        Json(Completion::new(answer, output)).into_response()
    };
    name_ignored(&mut response, ignored);
    Ok(response)
}

/// A conversation as the model would read it, without an answer.
pub(super) async fn render(
    State(state): State<Arc<AppState>>,
    Extension(record): Extension<Arc<AccessRecord>>,
    Extension(caller): Extension<Caller>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let deadline = Deadline::of(&state);
    let ChatRequest { model, generate, warnings, .. } = ChatRequest::parse(members, caller, &state)?;
    state.model.expect_called(&model)?;
    let head = AnswerHead::new(&state, "chatcmpl-", generate.priority, warnings);
    let prompt = deadline.bound(state.generator.render(generate.prompt)).await??;
    let rendered = Rendered::new(&state, &head, prompt, generate.truncate_prompt_tokens);
    record.set_prompt_tokens(rendered.num_tokens() as u64);
    let mut response = Json(rendered).into_response();
    name_ignored(&mut response, head.ignored_header());
    Ok(response)
}

/// The text of the last message, which the answer continues.
fn echoed(generate: &crate::serving::GenerateRequest) -> Option<String> {
    match &generate.prompt {
        crate::serving::PromptInput::Chat(chat) => {
            chat.messages.last().map(|message| message.content.clone())
        }
        _ => None,
    }
}
