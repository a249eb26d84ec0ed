//! `POST /generate` and `POST /generate_stream`, in the shape of Hugging Face's text-generation-inference. Errors keep
//! OpenAI's shape, as everywhere.

mod request;
mod response;
mod stream;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value};

use self::request::TextRequest;
use self::response::{Answer, Generated};
use self::stream::TokenRenderer;
use super::access_log::AccessRecord;
use super::answer::head::{ignored_header, name_ignored};
use super::answer::whole::{Deadline, collect};
use super::auth::Caller;
use super::error::ApiError;
use super::extract::JsonObject;
use super::params::Warning;
use super::sse::{self, StreamTimes};
use super::state::AppState;
use crate::serving::Generation;

/// Continues a text; the answer comes whole.
pub(super) async fn generate(
    State(state): State<Arc<AppState>>,
    Extension(record): Extension<Arc<AccessRecord>>,
    Extension(caller): Extension<Caller>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let deadline = Deadline::of(&state);
    let (generation, answer) = begin(&state, members, caller, deadline, false).await?;
    record.set_prompt_tokens(answer.num_prompt_tokens as u64);
    let ignored = ignored_header(&answer.warnings);
    let output = collect(&state, generation, &record, deadline).await?;
    let mut response = Json(Generated::new(answer, output)).into_response();
    name_ignored(&mut response, ignored);
    Ok(response)
}

/// Continues a text; the answer comes token by token.
pub(super) async fn generate_stream(
    State(state): State<Arc<AppState>>,
    Extension(record): Extension<Arc<AccessRecord>>,
    Extension(caller): Extension<Caller>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let deadline = Deadline::of(&state);
    let (generation, answer) = begin(&state, members, caller, deadline, true).await?;
    record.set_prompt_tokens(answer.num_prompt_tokens as u64);
    let ignored = ignored_header(&answer.warnings);
    let renderer = TokenRenderer::new(answer, record);
    let times = StreamTimes::new(&state.config, deadline.at, caller.reader);
    let mut response = sse::respond(generation, renderer, times, state.lifecycle.clone()).await?;
    name_ignored(&mut response, ignored);
    Ok(response)
}

/// Checks and admits a request; gives what is known of its answer.
async fn begin(
    state: &AppState,
    members: Map<String, Value>,
    caller: Caller,
    deadline: Deadline,
    streams: bool,
) -> Result<(Generation, Answer), ApiError> {
    let request = TextRequest::parse(members, caller, state, streams)?;
    let TextRequest { inputs, generate, limit, show, mut warnings } = request;
    let samples = generate.sampling.temperature != Some(0.0);
    let generation = deadline.bound(state.generator.generate(generate)).await?;
    let generation = generation.map_err(|error| ApiError::of_prompt(error, request::INPUTS))?;
    let given = generation.max_new_tokens();
    if let Some(asked) = limit.filter(|&asked| asked > given) {
        warnings.push(Warning::clamped(
            "parameters.max_new_tokens",
            asked.into(),
            given.into(),
            caller.reader,
        ));
    }
    let answer = Answer {
        inputs: if show.full_text { inputs } else { String::new() },
        num_prompt_tokens: generation.num_prompt_tokens(),
        seed: samples.then(|| generation.seed()),
        show,
        generator: state.generator.clone(),
        warnings,
    };
    Ok((generation, answer))
}
