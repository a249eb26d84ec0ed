//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;

use super::error::ApiError;
use super::state::AppState;

/// A model in OpenAI's shape, with vLLM's additions.
#[derive(Debug, Serialize)]
pub(super) struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: String,
    root: String,
    /// Tokens of a prompt and its answer together.
    max_model_len: usize,
}

/// A list in OpenAI's shape.
#[derive(Debug, Serialize)]
pub(super) struct List {
    object: &'static str,
    data: Vec<Model>,
}

fn model(state: &AppState, id: &str) -> Model {
    let served = &state.model;
    Model {
        id: id.to_owned(),
        object: "model",
        created: served.created,
        owned_by: served.owned_by.clone(),
        root: served.root.clone(),
        max_model_len: state.generator.max_model_len(),
    }
}

/// All names that the model answers to.
pub(super) async fn list(State(state): State<Arc<AppState>>) -> Json<List> {
    let names = std::iter::once(&state.model.id).chain(&state.model.aliases);
    let data = names.map(|name| model(&state, name)).collect();
    Json(List { object: "list", data })
}

/// One model by its name, which may have slashes.
pub(super) async fn retrieve(
    State(state): State<Arc<AppState>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Model>, ApiError> {
    // A name that is not UTF-8 when decoded is nobody's.
    let name = name.map_or_else(|_| "\u{fffd}".to_owned(), |Path(name)| name);
    state.model.expect_called(&name)?;
    Ok(Json(model(&state, &name)))
}
