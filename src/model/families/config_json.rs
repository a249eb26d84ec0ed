//! Typed, checked reading of a `config.json` whose keys have an old and a new spelling.
//!
//! A key that is absent or null counts as not given. Two spellings of one key may both be there
//! if they agree.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::model::LoadError;

/// Longest file that is read; published ones have a few kilobytes.
const MAX_BYTES: usize = 4 << 20;

/// A JSON object of a configuration file, or an object nested in it.
#[derive(Debug)]
pub(in crate::model) struct ConfigJson {
    path: PathBuf,
    /// Stands before the keys in messages: empty, or the name of the nested object and a dot.
    prefix: String,
    object: Map<String, Value>,
}

impl ConfigJson {
    /// Parses a whole file.
    ///
    /// # Errors
    /// [`LoadError::Malformed`] if it is not a JSON object or absurdly long.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, LoadError> {
        let malformed = |reason| LoadError::Malformed { path: path.to_owned(), reason };
        if bytes.len() > MAX_BYTES {
            return Err(malformed(format!("{} bytes are more than the limit of {MAX_BYTES}", bytes.len())));
        }
        let object = serde_json::from_slice(bytes)
            .map_err(|error| malformed(format!("not a JSON object: {error}")))?;
        Ok(Self { path: path.to_owned(), prefix: String::new(), object })
    }

    /// The file.
    pub(in crate::model) fn path(&self) -> &Path {
        &self.path
    }

    /// The error that `key` has `reason`.
    pub(in crate::model) fn fault(&self, key: &str, reason: impl Into<String>) -> LoadError {
        let key = format!("{}{key}", self.prefix);
        LoadError::Config { path: self.path.clone(), key, reason: reason.into() }
    }

    /// The value of the first spelling that is given, and that spelling.
    fn find<'k>(&self, spellings: &[&'k str]) -> Result<Option<(&'k str, &Value)>, LoadError> {
        let given = |key: &&'k str| self.object.get(*key).filter(|v| !v.is_null()).map(|v| (*key, v));
        let mut found = spellings.iter().filter_map(given);
        let Some((key, value)) = found.next() else {
            return Ok(None);
        };
        match found.find(|(_, other)| !same(value, other)) {
            None => Ok(Some((key, value))),
            Some((other, _)) => Err(self.fault(key, format!("contradicts {}{other}", self.prefix))),
        }
    }

    fn typed<T>(
        &self,
        spellings: &[&str],
        kind: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, LoadError> {
        let Some((key, value)) = self.find(spellings)? else {
            return Ok(None);
        };
        let wrong = || self.fault(key, format!("{}, expected {kind}", shortened(value)));
        read(value).map(Some).ok_or_else(wrong)
    }

    /// A whole number from 1 to `max`.
    pub(in crate::model) fn count(&self, spellings: &[&str], max: usize) -> Result<Option<usize>, LoadError> {
        self.typed(spellings, &format!("a whole number from 1 to {max}"), |value| {
            let count = value.as_u64().and_then(|count| usize::try_from(count).ok())?;
            (1..=max).contains(&count).then_some(count)
        })
    }

    /// A positive number that is finite as an f32.
    pub(in crate::model) fn positive(&self, spellings: &[&str]) -> Result<Option<f32>, LoadError> {
        self.typed(spellings, "a positive number", |value| {
            let number = value.as_f64()? as f32;
            (number.is_finite() && number > 0.0).then_some(number)
        })
    }

    /// True or false.
    pub(in crate::model) fn flag(&self, spellings: &[&str]) -> Result<Option<bool>, LoadError> {
        self.typed(spellings, "true or false", Value::as_bool)
    }

    /// A string.
    pub(in crate::model) fn text(&self, spellings: &[&str]) -> Result<Option<String>, LoadError> {
        self.typed(spellings, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// The strings of a list; what is no string is left out.
    pub(in crate::model) fn texts(&self, key: &str) -> Vec<&str> {
        let list = self.object.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// A list of strings and nothing else.
    pub(in crate::model) fn text_list(&self, spellings: &[&str]) -> Result<Option<Vec<String>>, LoadError> {
        self.typed(spellings, "a list of strings", |value| {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        })
    }

    /// Whether the key is given.
    pub(in crate::model) fn has(&self, key: &str) -> bool {
        self.object.get(key).is_some_and(|value| !value.is_null())
    }

    /// A nested object.
    pub(in crate::model) fn nested(&self, spellings: &[&str]) -> Result<Option<ConfigJson>, LoadError> {
        let Some((key, _)) = self.find(spellings)? else {
            return Ok(None);
        };
        let object = self.typed(spellings, "an object", |value| value.as_object().cloned())?;
        let prefix = format!("{}{key}.", self.prefix);
        Ok(object.map(|object| ConfigJson { path: self.path.clone(), prefix, object }))
    }

    /// A value that has to be there.
    pub(in crate::model) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, LoadError> {
        value.ok_or_else(|| self.fault(key, "missing"))
    }
}

/// Equality that does not tell `1` from `1.0`.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// The value as JSON, cut to what fits in a message.
fn shortened(value: &Value) -> String {
    const MAX_CHARS: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(MAX_CHARS) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
