//! `/v1/responses`: answers of typed items that are kept, so that later requests can build on them.

mod draft;
mod items;
mod object;
mod request;
mod store;
mod stream;

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use self::draft::{Draft, Keep};
use self::items::Item;
use self::object::Answer;
use self::request::ResponseRequest;
pub(super) use self::store::ResponseStore;
use self::store::Stored;
use self::stream::EventRenderer;
use super::access_log::AccessRecord;
use super::answer::head::{AnswerHead, name_ignored};
use super::answer::whole::{Deadline, admit, fold};
use super::auth::Caller;
use super::error::{ApiError, shown};
use super::extract::JsonObject;
use super::limits;
use super::params::Warning;
use super::sse::{self, StreamTimes};
use super::state::AppState;
use crate::api::wording::{because, said};

/// Items on a page where the request does not say.
const PAGE: usize = 20;

/// Answers a conversation, whole or as a stream.
pub(super) async fn create(
    State(state): State<Arc<AppState>>,
    Extension(store): Extension<Arc<ResponseStore>>,
    Extension(record): Extension<Arc<AccessRecord>>,
    Extension(caller): Extension<Caller>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let deadline = Deadline::of(&state);
    let request = ResponseRequest::parse(members, caller, &state, &store)?;
    state.model.expect_called(&request.model)?;
    let ResponseRequest { generate, conversation, stream, show, settings, mut warnings, .. } = request;
    let keep = request.store.then_some(Keep { store, owner: caller.tenant, conversation });
    let asked = generate.end.max_new_tokens;
    let priority = generate.priority;

    let generation = admit(&state, generate, deadline).await.map_err(in_our_words)?;
    let num_prompt_tokens = generation.num_prompt_tokens() as u64;
    record.set_prompt_tokens(num_prompt_tokens);
    let given = generation.max_new_tokens();
    if let Some(asked) = asked.filter(|&asked| asked > given) {
        warnings.push(Warning::clamped(
            limits::MAX_OUTPUT_TOKENS.path,
            asked.into(),
            given.into(),
            caller.reader,
        ));
    }
    let head = AnswerHead::new(&state, "resp_", priority, warnings);
    let ignored = head.ignored_header();
    let answer = Answer { head, show, num_prompt_tokens, settings };
    let mut draft = Draft::new(answer, Arc::clone(&state), keep);
    let mut response = if stream {
        let times = StreamTimes::new(&state.config, deadline.at, caller.reader);
        let renderer = EventRenderer::new(draft, record);
        sse::respond(generation, renderer, times, state.lifecycle.clone()).await?
    } else {
        fold(&state, generation, &record, deadline, |delta| drop(draft.take(delta))).await?;
        Json(draft.finish().1).into_response()
    };
    name_ignored(&mut response, ignored);
    Ok(response)
}

/// What is wrong with a conversation, in the words of this endpoint.
fn in_our_words(error: ApiError) -> ApiError {
    error.respelled(|param| param.replacen("messages", "input", 1).replacen(".function.", ".", 1))
}

/// A response that is kept.
pub(super) async fn retrieve(
    Extension(store): Extension<Arc<ResponseStore>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    if parameter(query.as_deref(), "stream").is_some_and(|stream| stream != "false") {
        let reason = because(
            "only answers made in the background can be followed later",
            "백그라운드에서 만든 답변만 나중에 이어서 받을 수 있습니다",
        );
        return Err(ApiError::unsupported_parameter("stream", reason));
    }
    let stored = find(&store, caller, id)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], stored.json.clone()).into_response())
}

/// Forgets a response.
pub(super) async fn delete(
    Extension(store): Extension<Arc<ResponseStore>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let id = named(id);
    if !store.remove(caller.tenant, &id) {
        return Err(ApiError::response_not_found(&id));
    }
    Ok(Json(json!({ "id": id, "object": "response", "deleted": true })))
}

/// Only answers made in the background can be cancelled, and there are none: hanging up ends any other.
pub(super) async fn cancel(
    Extension(store): Extension<Arc<ResponseStore>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    find(&store, caller, id)?;
    Err(ApiError::never_granted(said!(
        "Only a response made in the background can be cancelled, and this one was not.",
        "백그라운드에서 만든 응답만 취소할 수 있으며, 이 응답은 그렇지 않습니다."
    )))
}

/// The items that a response was made from, those of the conversation before included.
pub(super) async fn input_items(
    Extension(store): Extension<Arc<ResponseStore>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let asked = |name| parameter(query.as_deref(), name);
    let stored = find(&store, caller, id)?;
    let mut items: Vec<&Item> = stored.conversation[..stored.num_input].iter().map(Arc::as_ref).collect();
    match asked("order") {
        None | Some("desc") => items.reverse(),
        Some("asc") => {}
        Some(other) => {
            let message = said!(
                "'order' must be 'asc' or 'desc', but it is '{}'.",
                "'order' 값은 'asc' 또는 'desc'여야 하지만, 받은 값은 '{}'입니다.",
                shown(other)
            );
            return Err(ApiError::invalid_value("order", message));
        }
    }
    if let Some(after) = asked("after") {
        let at = items.iter().position(|item| item.id() == after).ok_or_else(|| {
            let message = said!(
                "'after' names the item '{}', which this response does not have.",
                "'after'에서 가리키는 항목 '{}'이(가) 이 응답에 없습니다.",
                shown(after)
            );
            ApiError::invalid_value("after", message)
        })?;
        items.drain(..=at);
    }
    let limit = match asked("limit") {
        None => PAGE,
        Some(text) => {
            let number: i64 = text.parse().map_err(|_| {
                ApiError::invalid_value(
                    "limit",
                    said!(
                        "'limit' must be an integer, but it is '{}'.",
                        "'limit' 값은 정수여야 하지만, 받은 값은 '{}'입니다.",
                        shown(text)
                    ),
                )
            })?;
            usize::try_from(limits::PAGE_LIMIT.check_integer(number.into())?).expect("the limit is 100")
        }
    };
    let has_more = items.len() > limit;
    items.truncate(limit);
    let (first, last) = (items.first().map(|item| item.id()), items.last().map(|item| item.id()));
    let data: Vec<Value> = items.iter().map(|item| item.to_wire()).collect();
    Ok(Json(json!({
        "object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more,
    })))
}

/// Counts the tokens of a conversation without answering it.
pub(super) async fn count_tokens(
    State(state): State<Arc<AppState>>,
    Extension(store): Extension<Arc<ResponseStore>>,
    Extension(caller): Extension<Caller>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let request = ResponseRequest::parse(members, caller, &state, &store)?;
    state.model.expect_called(&request.model)?;
    let rendered = state.generator.render(request.generate.prompt).await;
    let count = rendered.map_err(|error| in_our_words(error.into()))?.token_ids.len();
    let body = json!({ "object": "response.input_tokens", "input_tokens": count });
    let mut response = Json(body).into_response();
    name_ignored(&mut response, super::answer::head::ignored_header(&request.warnings));
    Ok(response)
}

/// A parameter in the query of an address. What these routes take is written in letters that need no escapes.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// A response that is kept.
///
/// # Errors
/// 404 if there is none of this id, or it is somebody else's.
fn find(
    store: &ResponseStore,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Arc<Stored>, ApiError> {
    let id = named(id);
    store.get(caller.tenant, &id).ok_or_else(|| ApiError::response_not_found(&id))
}

/// The id in the path; one that is not UTF-8 when decoded is nobody's.
fn named(id: Result<Path<String>, PathRejection>) -> String {
    id.map_or_else(|_| "\u{fffd}".to_owned(), |Path(id)| id)
}
