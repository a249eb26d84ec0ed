//! `POST /v1/completions`: texts and tokens continued as they stand.

mod logprobs;
mod request;
mod response;
mod stream;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use self::request::CompletionRequest;
use self::response::{Answer, AnsweredPrompt, Completion};
use self::stream::ChunkRenderer;
use super::access_log::AccessRecord;
use super::answer::head::{AnswerHead, name_ignored};
use super::answer::rendered::Rendered;
use super::answer::whole::{Deadline, admit_all, collect_all};
use super::auth::Caller;
use super::error::ApiError;
use super::extract::JsonObject;
use super::params::Warning;
use super::sse::{self, StreamTimes};
use super::state::AppState;
use super::wording::Reader;
use crate::serving::{Generation, GenerationSet, PromptInput};

/// Continues prompts, whole or as a stream.
pub(super) async fn create(
    State(state): State<Arc<AppState>>,
    Extension(record): Extension<Arc<AccessRecord>>,
    Extension(caller): Extension<Caller>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let deadline = Deadline::of(&state);
    let request = CompletionRequest::parse(members, caller, &state)?;
    state.model.expect_called(&request.model)?;

    let generations =
        admit_all(&state, request.generates(), |number| request.prompts.name(number), deadline).await?;
    let answer = answer(&state, &request, &generations, caller.reader);
    let num_prompt_tokens: usize = answer.prompts.iter().map(|prompt| prompt.token_ids.len()).sum();
    record.set_prompt_tokens(num_prompt_tokens as u64);
    let ignored = answer.head.ignored_header();
    let mut response = if request.stream.stream {
        let renderer = ChunkRenderer::new(answer, request.stream, record);
        let times = StreamTimes::new(&state.config, deadline.at, caller.reader);
        sse::respond(generations, renderer, times, state.lifecycle.clone()).await?
    } else {
        let outputs = collect_all(&state, generations, &record, deadline).await?;
        Json(Completion::new(answer, outputs)).into_response()
    };
    name_ignored(&mut response, ignored);
    Ok(response)
}

/// The prompts of a completion as the model would read them, without running it.
pub(super) async fn render(
    State(state): State<Arc<AppState>>,
    Extension(record): Extension<Arc<AccessRecord>>,
    Extension(caller): Extension<Caller>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let deadline = Deadline::of(&state);
    let request = CompletionRequest::parse(members, caller, &state)?;
    state.model.expect_called(&request.model)?;
    let head = AnswerHead::new(&state, "cmpl-", request.priority(), request.warnings.clone());
    let kept = request.truncate_prompt_tokens();
    let ignored = head.ignored_header();
    let mut rendered = Vec::with_capacity(request.prompts.inputs.len());
    for (number, prompt) in request.prompts.inputs.iter().enumerate() {
        let prompt = deadline.bound(state.generator.render(prompt.clone())).await?;
        let prompt = prompt.map_err(|error| ApiError::of_prompt(error, &request.prompts.name(number)))?;
        rendered.push(Rendered::new(&state, &head, prompt, kept));
    }
    let num_prompt_tokens: usize = rendered.iter().map(Rendered::num_tokens).sum();
    record.set_prompt_tokens(num_prompt_tokens as u64);
    let mut response = Json(rendered).into_response();
    name_ignored(&mut response, ignored);
    Ok(response)
}

/// What is known of the answer when all prompts are admitted.
fn answer(
    state: &AppState,
    request: &CompletionRequest,
    generations: &GenerationSet,
    reader: Reader,
) -> Answer {
    let generations = generations.generations();
    let mut warnings = request.warnings.clone();
    let given = generations.iter().map(Generation::max_new_tokens).min().unwrap_or_default();
    if let Some((asked, name)) = request.limit.filter(|&(asked, _)| asked > given) {
        warnings.push(Warning::clamped(name, asked.into(), given.into(), reader));
    }
    let prompt = |(input, generation): (&PromptInput, &Generation)| {
        let token_ids = Arc::clone(generation.prompt_token_ids());
        let echoed = match (request.show.echo, input) {
            (false, _) => String::new(),
            (true, PromptInput::Text { text, .. }) if request.truncate_prompt_tokens().is_none() => {
                text.clone()
            }
            (true, _) => state.generator.text_of(&token_ids),
        };
        AnsweredPrompt { token_ids, echoed }
    };
    Answer {
        head: AnswerHead::new(state, "cmpl-", request.priority(), warnings),
        show: request.show,
        prompts: request.prompts.inputs.iter().zip(generations).map(prompt).collect(),
        num_shown: request.num_shown,
        metadata: request.metadata.clone(),
        generator: state.generator.clone(),
    }
}
