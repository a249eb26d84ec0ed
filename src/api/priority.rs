//! How urgent a request is: OpenAI's `service_tier` and vLLM's `priority`.
//!
//! Anybody may let others go first. Whether a request may go before others is the operator's choice,
//! `server.allow_priority`: where several clients share a server, one that always asks to be first would take the
//! others' turns. `priority` says more than `service_tier`, so it wins where both are given.

use serde_json::Value;

use super::error::{ApiError, shown};
use super::fields::Fields;
use super::limits;
use super::params::Judge;
use super::wording::{Reason, because, said};
use crate::serving::Priority;

/// What tier `priority` stands for: half way to the most urgent.
const URGENT: i8 = -50;
/// What tier `flex` stands for: half way to the least urgent.
const PATIENT: i8 = 50;

const NOT_ALLOWED: Reason =
    because("this server lets no request go before others", "이 서버에서는 다른 요청을 앞지를 수 없습니다");
const NO_SCALE: Reason = because("there is no such tier here", "이 서버에는 그런 등급이 없습니다");
const OVERRULED: Reason = because("'priority' is given too and wins", "함께 보낸 'priority' 값을 따릅니다");

/// Takes `service_tier` and `priority`; `may_go_first` is whether a request may go before others.
///
/// # Errors
/// A value of the wrong type or out of its bounds, and what the judge does not let pass.
pub(super) fn take(fields: &mut Fields, judge: &mut Judge, may_go_first: bool) -> Result<Priority, ApiError> {
    let tier = tier(fields, judge)?;
    let given = fields.integer(&limits::PRIORITY)?;
    let given = given.map(|value| i8::try_from(value).expect("the limit keeps it between -100 and 100"));
    if tier.zip(given).is_some_and(|(tier, given)| tier != given) {
        judge.ignore("service_tier", OVERRULED)?;
    }
    let asked = given.or(tier).unwrap_or_default();
    if asked < 0 && !may_go_first {
        judge.ignore(if given.is_some() { "priority" } else { "service_tier" }, NOT_ALLOWED)?;
        return Ok(Priority::default());
    }
    Ok(Priority(asked))
}

/// The priority that `service_tier` stands for; nothing for `auto`, which leaves the choice to the server.
fn tier(fields: &mut Fields, judge: &mut Judge) -> Result<Option<i8>, ApiError> {
    const NAME: &str = "service_tier";
    let tier = match fields.take(NAME) {
        None => return Ok(None),
        Some(Value::String(tier)) => tier,
        Some(other) => return Err(ApiError::invalid_type(NAME, "a string", &other)),
    };
    match tier.as_str() {
        "auto" => Ok(None),
        "default" => Ok(Some(0)),
        "flex" => Ok(Some(PATIENT)),
        "priority" => Ok(Some(URGENT)),
        "scale" => {
            judge.ignore(NAME, NO_SCALE)?;
            Ok(None)
        }
        other => {
            let message = said!(
                "'{NAME}' must be one of auto, default, flex, scale and priority, but it is '{}'.",
                "'{NAME}' 값은 auto, default, flex, scale, priority 중 하나여야 하지만, 받은 값은 '{}'입니다.",
                shown(other)
            );
            Err(ApiError::invalid_value(NAME, message))
        }
    }
}

/// The tier in which a request of this priority is served, as answers name it.
pub(super) fn tier_name(priority: Priority) -> &'static str {
    match priority.0 {
        ..0 => "priority",
        0 => "default",
        1.. => "flex",
    }
}
