//! `POST /v1/chat/completions`.

mod request;
mod response;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use tokio::time::{Instant, timeout_at};

use self::request::ChatRequest;
use self::response::{Answer, ChunkRenderer, Completion};
use super::access_log::AccessRecord;
use super::auth::Caller;
use super::config::seconds;
use super::error::ApiError;
use super::extract::JsonObject;
use super::params::Warning;
use super::priority;
use super::sse::{self, StreamTimes};
use super::state::{AppState, Phase};
use crate::serving::Generation;

/// Names the parameters that were not honoured.
const X_MARU_IGNORED_PARAMS: HeaderName = HeaderName::from_static("x-maru-ignored-params");

/// Answers a conversation, whole or as a stream.
pub(super) async fn create(
    State(state): State<Arc<AppState>>,
    Extension(record): Extension<Arc<AccessRecord>>,
    Extension(caller): Extension<Caller>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let limit = seconds(state.config.request_timeout_s);
    let deadline = Instant::now() + limit;
    let ChatRequest { model, generate, limit_param, stream, include_usage, mut warnings } =
        ChatRequest::parse(members, caller, &state.config)?;
    state.model.expect_called(&model)?;
    let num_choices = generate.num_choices;
    let asked = generate.max_new_tokens;
    let service_tier = priority::tier_name(generate.priority);

    let generation = timeout_at(deadline, state.generator.generate(generate))
        .await
        .map_err(|_| ApiError::timed_out(limit))??;
    record.set_prompt_tokens(generation.num_prompt_tokens() as u64);
    let given = generation.max_new_tokens();
    if let Some(asked) = asked.filter(|&asked| asked > given) {
        warnings.push(Warning::clamped(limit_param, asked.into(), given.into()));
    }
    let ignored = ignored_header(&warnings);
    let answer = Answer {
        id: format!("chatcmpl-{}", state.stamps.id()),
        created: state.stamps.unix_seconds(),
        model: state.model.id.clone(),
        fingerprint: state.model.fingerprint.clone(),
        service_tier,
        num_prompt_tokens: generation.num_prompt_tokens() as u64,
        warnings,
    };

    let mut response = if stream {
        let renderer = ChunkRenderer::new(answer, num_choices, include_usage, record);
        let times = StreamTimes::new(&state.config, deadline);
        sse::respond(generation, renderer, times, state.lifecycle.clone()).await?
    } else {
        let completion = timeout_at(deadline, whole(&state, generation, answer, &record))
            .await
            .map_err(|_| ApiError::timed_out(limit))??;
        Json(completion).into_response()
    };
    if let Some(value) = ignored {
        response.headers_mut().insert(X_MARU_IGNORED_PARAMS, value);
    }
    Ok(response)
}

/// Waits for every choice. When the client leaves, hyper drops this future, and the generation with it.
async fn whole(
    state: &AppState,
    generation: Generation,
    answer: Answer,
    record: &AccessRecord,
) -> Result<Completion, ApiError> {
    let outputs = tokio::select! {
        biased;
        outputs = generation.collect() => outputs?,
        () = state.lifecycle.reached(Phase::Terminating) => return Err(ApiError::shutting_down()),
    };
    for output in &outputs {
        record.add_output_tokens(output.usage.num_output_tokens.into());
    }
    Ok(Completion::new(answer, outputs))
}

fn ignored_header(warnings: &[Warning]) -> Option<HeaderValue> {
    let printable = |c: char| if c.is_ascii_graphic() && c != ',' { c } else { '?' };
    let names: Vec<String> = warnings
        .iter()
        .filter_map(Warning::ignored_param)
        .map(|name| name.chars().map(printable).collect())
        .collect();
    let value = HeaderValue::from_str(&names.join(", ")).expect("visible ASCII and spaces only");
    (!names.is_empty()).then_some(value)
}
