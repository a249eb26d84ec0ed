//! What is the same in all parts of one answer, and the headers that go with it.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use crate::api::params::Warning;
use crate::api::state::AppState;
use crate::serving::Priority;

/// Names the parameters that were not honoured.
const X_MARU_IGNORED_PARAMS: HeaderName = HeaderName::from_static("x-maru-ignored-params");

/// What is the same in all parts of one answer.
#[derive(Debug, Clone)]
pub(in crate::api) struct AnswerHead {
    pub(in crate::api) id: String,
    /// Seconds since 1970.
    pub(in crate::api) created: u64,
    pub(in crate::api) model: String,
    pub(in crate::api) fingerprint: String,
    /// The tier in which the request is served.
    pub(in crate::api) service_tier: &'static str,
    pub(in crate::api) warnings: Vec<Warning>,
}

impl AnswerHead {
    /// Of a new answer whose id begins with `prefix`.
    pub(in crate::api) fn new(
        state: &AppState,
        prefix: &str,
        priority: Priority,
        warnings: Vec<Warning>,
    ) -> Self {
        Self {
            id: format!("{prefix}{}", state.stamps.id()),
            created: state.stamps.unix_seconds(),
            model: state.model.id.clone(),
            fingerprint: state.model.fingerprint.clone(),
            service_tier: crate::api::priority::tier_name(priority),
            warnings,
        }
    }

    /// The header that names the parameters that were not honoured, if there are any.
    pub(in crate::api) fn ignored_header(&self) -> Option<HeaderValue> {
        ignored_header(&self.warnings)
    }
}

/// Adds to a response the header of [`AnswerHead::ignored_header`].
pub(in crate::api) fn name_ignored(response: &mut Response, ignored: Option<HeaderValue>) {
    if let Some(value) = ignored {
        response.headers_mut().insert(X_MARU_IGNORED_PARAMS, value);
    }
}

/// The header that names the parameters that were not honoured, if there are any.
pub(in crate::api) fn ignored_header(warnings: &[Warning]) -> Option<HeaderValue> {
    let printable = |c: char| if c.is_ascii_graphic() && c != ',' { c } else { '?' };
    let names: Vec<String> = warnings
        .iter()
        .filter_map(Warning::ignored_param)
        .map(|name| name.chars().map(printable).collect())
        .collect();
    let value = HeaderValue::from_str(&names.join(", ")).expect("visible ASCII and spaces only");
    (!names.is_empty()).then_some(value)
}
