//! One setting as it was entered, and where.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use figment::{Metadata, Profile, Provider};

/// Where a setting was entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The running command's own preset, below everything that a person enters.
    Command,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable, by name.
    Variable(String),
    /// A flag, as it is written.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Command => f.write_str("preset of the command"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Variable(name) => write!(f, "environment variable {name}"),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One key with the value that was entered for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Full name, such as `engine.max_num_seqs`.
    pub key: String,
    /// Where it was entered.
    pub origin: Origin,
    /// What the entered text may mean, likeliest first; never empty.
    readings: Vec<Value>,
}

impl Setting {
    /// A setting whose value has a type already.
    pub fn typed(key: &str, value: impl Into<Value>, origin: Origin) -> Self {
        Self { key: key.to_owned(), origin, readings: vec![value.into()] }
    }

    /// A setting entered as text: a number, boolean or `[list]` where it reads as one and the key takes one, else the
    /// text itself, else a list separated by commas.
    pub fn text(key: &str, text: &str, origin: Origin) -> Self {
        let list = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let list: Vec<Value> = list.map(Value::from).collect();
        let parsed = Value::from_str(text).expect("reading a value never fails: the rest is text");
        Self { key: key.to_owned(), origin, readings: vec![parsed, Value::from(text), Value::from(list)] }
    }

    /// Every setting of a TOML file.
    ///
    /// # Errors
    /// What is not TOML about it, with the line.
    pub fn all_in_toml(text: &str, path: &std::path::Path) -> Result<Vec<Self>, String> {
        let data = Toml::string(text).data().map_err(|error| error.to_string())?;
        let mut settings = Vec::new();
        for dict in data.into_values() {
            collect_leaves("", dict, &Origin::File(path.to_owned()), &mut settings);
        }
        Ok(settings)
    }

    /// Whether this setting gives `key` its value, be it as part of a whole table.
    pub fn covers(&self, key: &str) -> bool {
        self.key == key || key.strip_prefix(&self.key).is_some_and(|rest| rest.starts_with('.'))
    }

    /// What the entered text may mean, each as a layer to lay over others.
    pub(super) fn layers(&self) -> impl Iterator<Item = Layer> + '_ {
        let layer = |value: &Value| Layer {
            key: self.key.clone(),
            value: value.clone(),
            origin: self.origin.clone(),
        };
        self.readings.iter().map(layer)
    }
}

fn collect_leaves(prefix: &str, dict: Dict, origin: &Origin, settings: &mut Vec<Setting>) {
    for (name, value) in dict {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => collect_leaves(&key, inner, origin, settings),
            leaf => settings.push(Setting::typed(&key, leaf, origin.clone())),
        }
    }
}

/// One key and value as a layer of figment's.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.to_string())
    }

    fn data(&self) -> Result<figment::value::Map<Profile, Dict>, figment::Error> {
        let nested = figment::util::nest(&self.key, self.value.clone());
        let dict = nested.into_dict().ok_or_else(|| figment::Error::from("a key is missing".to_owned()))?;
        Ok(Profile::Default.collect(dict))
    }
}
