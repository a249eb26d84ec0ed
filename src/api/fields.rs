//! Reading a JSON object member by member, so that every complaint names the field and no field goes unseen.

use serde_json::{Map, Value};

use super::error::{ApiError, shown};
use super::limits::Limit;
use super::openapi::groups::{Groups, describes};
use super::wording::said;

/// The members of a JSON object that have not been read yet; `null` is the same as absent.
#[derive(Debug)]
pub(super) struct Fields {
    /// Path of the object with a trailing dot, empty for the request itself.
    prefix: String,
    members: Map<String, Value>,
    /// What may be taken, where that is described.
    described: Option<Groups>,
}

impl Fields {
    /// The members of the request itself, of which only those can be taken that the groups describe.
    pub(super) fn of_request(members: Map<String, Value>, described: Groups) -> Self {
        Self { prefix: String::new(), members, described: Some(described) }
    }

    /// The members of the object at `at`.
    pub(super) fn of_object(at: &str, value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(members) => Ok(Self { prefix: format!("{at}."), members, described: None }),
            other => Err(ApiError::invalid_type(at, "an object", &other)),
        }
    }

    /// Takes a member out, unless it is absent or null.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        debug_assert!(self.is_described(name), "the tables of the OpenAPI document have no '{name}'");
        self.members.shift_remove(name).filter(|value| !value.is_null())
    }

    fn is_described(&self, name: &str) -> bool {
        self.described.is_none_or(|groups| describes(groups, name))
    }

    /// Whether a member is there and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// Path of a member.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Takes a boolean.
    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(ApiError::invalid_type(&self.path(name), "a boolean", &other)),
        }
    }

    /// Takes a number within its bounds.
    pub(super) fn number(&mut self, limit: &Limit) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.take(limit.path) else { return Ok(None) };
        let number = value.as_f64().ok_or_else(|| ApiError::invalid_type(limit.path, "a number", &value))?;
        limit.check_number(number).map(Some)
    }

    /// Takes a whole number within its bounds; `3.0` is one, as JSON Schema has it.
    pub(super) fn integer(&mut self, limit: &Limit) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.take(limit.path) else { return Ok(None) };
        let integer =
            whole(&value).ok_or_else(|| ApiError::invalid_type(limit.path, "an integer", &value))?;
        limit.check_integer(integer).map(Some)
    }

    /// Takes a list of an allowed length.
    pub(super) fn list(&mut self, name: &str, limit: &Limit) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => limit.check_items(&self.path(name), list).map(Some),
            Some(other) => Err(ApiError::invalid_type(&self.path(name), "a list", &other)),
        }
    }

    /// Takes a list of token ids of an allowed length.
    pub(super) fn token_ids(&mut self, name: &str, limit: &Limit) -> Result<Option<Vec<u32>>, ApiError> {
        let at = self.path(name);
        let Some(list) = self.list(name, limit)? else { return Ok(None) };
        list.iter()
            .enumerate()
            .map(|(i, value)| token_id(&format!("{at}[{i}]"), value))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Takes an object.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        Self::of_object(&self.path(name), value).map(Some)
    }

    /// Takes an object, its members unread.
    pub(super) fn members(&mut self, name: &str) -> Result<Option<Map<String, Value>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(other) => Err(ApiError::invalid_type(&self.path(name), "an object", &other)),
        }
    }

    /// Takes a whole number within its bounds, that stands inside an object.
    pub(super) fn integer_at(&mut self, name: &str, limit: &Limit) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let at = self.path(name);
        let integer = whole(&value).ok_or_else(|| ApiError::invalid_type(&at, "an integer", &value))?;
        limit.check_integer_at(&at, integer).map(Some)
    }

    /// Takes a number within its bounds, that stands inside an object.
    pub(super) fn number_at(&mut self, name: &str, limit: &Limit) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let at = self.path(name);
        let number = value.as_f64().ok_or_else(|| ApiError::invalid_type(&at, "a number", &value))?;
        limit.check_number_at(&at, number).map(Some)
    }

    /// Takes a string of an allowed length.
    pub(super) fn string(&mut self, name: &str, limit: &Limit) -> Result<Option<String>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        string_at(&self.path(name), value, limit).map(Some)
    }

    /// What was not taken, without nulls: name, path and value.
    pub(super) fn rest(self) -> impl Iterator<Item = (String, String, Value)> {
        let Self { prefix, members, .. } = self;
        members.into_iter().filter(|(_, value)| !value.is_null()).map(move |(name, value)| {
            let path = format!("{prefix}{name}");
            (name, path, value)
        })
    }
}

/// The string at `at`, of an allowed length.
pub(super) fn string_at(at: &str, value: Value, limit: &Limit) -> Result<String, ApiError> {
    match value {
        Value::String(text) => limit.check_text(at, text),
        other => Err(ApiError::invalid_type(at, "a string", &other)),
    }
}

/// The token id at `at`; whether the vocabulary has it is for the model to say.
pub(super) fn token_id(at: &str, value: &Value) -> Result<u32, ApiError> {
    let id = whole(value).ok_or_else(|| ApiError::invalid_type(at, "a token id", value))?;
    let message = || {
        said!(
            "'{at}' must be a token id, but it is {}.",
            "'{at}' 값은 토큰 ID여야 하지만, 받은 값은 {}입니다.",
            shown(&id.to_string())
        )
    };
    u32::try_from(id).map_err(|_| ApiError::invalid_value(at, message()))
}

/// The value of a number without a fraction.
fn whole(value: &Value) -> Option<i128> {
    if let Some(integer) = value.as_i64() {
        return Some(i128::from(integer));
    }
    if let Some(integer) = value.as_u64() {
        return Some(i128::from(integer));
    }
    // A float to integer cast saturates, which is far outside of every bound.
    value.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i128)
}
