//! From the wire to what is asked for: the fields that several endpoints share, each read in one place.

pub(super) mod form;
pub(super) mod messages;
pub(super) mod prompts;
pub(super) mod reasoning;
pub(super) mod sampling;
pub(super) mod stream;
pub(super) mod tools;

use serde_json::{Map, Value};

use super::error::ApiError;
use super::fields::Fields;
use super::limits;
use super::openapi::groups::Groups;
use crate::api::wording::said;

/// The members of a request, no more than may be; only those can be taken that the groups describe.
///
/// # Errors
/// 400 if there are more than [`limits::MAX_FIELDS`].
pub(super) fn fields(members: Map<String, Value>, honoured: Groups) -> Result<Fields, ApiError> {
    if members.len() > limits::MAX_FIELDS {
        let message = said!(
            "A request may have {} fields, but this has {}.",
            "요청의 필드는 {}개까지 허용되지만, {}개를 받았습니다.",
            limits::MAX_FIELDS,
            members.len()
        );
        return Err(ApiError::invalid_value("body", message));
    }
    Ok(Fields::of_request(members, honoured))
}

/// The model that the client named.
///
/// # Errors
/// 400 if it named none.
pub(super) fn model(fields: &mut Fields) -> Result<String, ApiError> {
    fields.string("model", &limits::MODEL)?.ok_or_else(|| ApiError::missing("model"))
}

/// Takes what only labels a request: it is held to OpenAI's bounds and goes to the log.
///
/// # Errors
/// A value of the wrong type or out of its bounds.
pub(super) fn labels(fields: &mut Fields) -> Result<Map<String, Value>, ApiError> {
    for name in ["user", "safety_identifier"] {
        if let Some(label) = fields.string(name, &limits::LABEL)? {
            tracing::debug!(name, label, "label of a request");
        }
    }
    metadata(fields)
}

/// Takes `metadata`: texts under names.
///
/// # Errors
/// A value of the wrong type or out of its bounds.
pub(super) fn metadata(fields: &mut Fields) -> Result<Map<String, Value>, ApiError> {
    let Some(members) = fields.members("metadata")? else { return Ok(Map::new()) };
    limits::METADATA.check_count("metadata", members.len())?;
    for (key, value) in &members {
        limits::METADATA_KEY.check_text("metadata", key.clone())?;
        let at = format!("metadata.{}", super::error::shown(key));
        match value {
            Value::String(text) => drop(limits::METADATA_VALUE.check_text(&at, text.clone())?),
            other => return Err(ApiError::invalid_type(&at, "a string", other)),
        }
    }
    Ok(members)
}
