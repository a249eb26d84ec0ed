//! Layers of settings become one checked value, or the list of everything that is wrong with them.

use std::fmt;

use figment::Figment;
use figment::error::Kind;
use figment::providers::Serialized;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::origin::{Layer, Setting};

/// A tree of settings that can be merged, checked and shown.
pub trait Settings: Default + Serialize + DeserializeOwned {
    /// Every invalid key, by its full name, with the reason.
    fn faults(&self) -> Vec<(String, String)>;
}

/// One invalid setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Full name of the key.
    pub key: String,
    /// The value, unless it may be secret, and where it was entered; empty for a default.
    pub entered: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} fault{}", if count == 1 { "" } else { "s" })?;
        for Fault { key, entered, reason } in &self.0 {
            write!(f, "\n  {key}{entered}: {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Lays `settings` over the defaults, later ones over earlier ones, and checks the whole.
///
/// # Errors
/// [`Faults`] holds every unknown key, every value of a wrong type and every value out of its range.
pub fn resolve<C: Settings>(settings: &[Setting]) -> Result<C, Faults> {
    let mut merged = defaults::<C>();
    let mut faults = Vec::new();
    for setting in settings {
        match fitting_layer::<C>(setting) {
            Ok(layer) => merged = merged.merge(layer),
            Err(fault) => faults.push(fault),
        }
    }
    let config: C = merged.extract().expect("layers that fit one by one fit together");
    for (key, reason) in config.faults() {
        let entered = settings.iter().rev().find(|setting| setting.covers(&key));
        let entered = entered.map_or_else(String::new, entered_as);
        faults.push(Fault { key, entered, reason });
    }
    if faults.is_empty() { Ok(config) } else { Err(Faults(faults)) }
}

fn defaults<C: Settings>() -> Figment {
    Figment::from(Serialized::defaults(C::default()))
}

/// The first reading of a setting that the key takes; the fault is the first reading's.
fn fitting_layer<C: Settings>(setting: &Setting) -> Result<Layer, Fault> {
    let mut first_error = None;
    for layer in setting.layers() {
        match defaults::<C>().merge(layer.clone()).extract::<C>() {
            Ok(_) => return Ok(layer),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    let error = first_error.expect("a setting has a reading");
    let reason = reason_of::<C>(&setting.key, error.kind);
    Err(Fault { key: setting.key.clone(), entered: entered_as(setting), reason })
}

fn reason_of<C: Settings>(key: &str, kind: Kind) -> String {
    match kind {
        Kind::UnknownField(_, known) => {
            let name = key.rsplit('.').next().expect("a split has a last piece");
            let all = keys::<C>();
            let elsewhere = all.iter().find(|other| other.rsplit('.').next() == Some(name));
            match elsewhere {
                Some(other) => format!("there is no such key; did you mean {other}?"),
                None => format!("there is no such key; known here: {}", known.join(", ")),
            }
        }
        Kind::InvalidType(found, expected) => format!("expected {expected}, found {found}"),
        Kind::InvalidValue(_, expected) => format!("expected {expected}"),
        Kind::UnknownVariant(_, known) => format!("expected one of: {}", known.join(", ")),
        Kind::Message(message) => message,
        other => other.to_string(),
    }
}

/// How a fault shows what was entered: ` = value (origin)`.
fn entered_as(setting: &Setting) -> String {
    let layer = setting.layers().next().expect("a setting has a reading");
    let value = if may_be_secret(&setting.key) {
        "(hidden)".to_owned()
    } else {
        serde_json::to_string(&layer.value).expect("a setting is plain data")
    };
    format!(" = {value} ({})", setting.origin)
}

/// Whether a value under this key, even a misspelt one, is better not shown.
fn may_be_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().expect("a split has a last piece").to_ascii_lowercase();
    !name.ends_with("_file") && ["key", "secret", "password"].iter().any(|word| name.contains(word))
}

/// Full names of all keys, in the order of the sections and their fields.
pub fn keys<C: Settings>() -> Vec<String> {
    entries(&C::default()).into_iter().map(|(key, _)| key).collect()
}

/// All keys with their values, `null` for those that are not set. Secrets are hidden by their own type.
pub fn entries<C: Settings>(config: &C) -> Vec<(String, Json)> {
    fn walk(prefix: &str, value: Json, entries: &mut Vec<(String, Json)>) {
        match value {
            Json::Object(fields) => {
                for (name, value) in fields {
                    let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                    walk(&key, value, entries);
                }
            }
            leaf => entries.push((prefix.to_owned(), leaf)),
        }
    }
    let mut all = Vec::new();
    let tree = serde_json::to_value(config).expect("a configuration is plain data");
    walk("", tree, &mut all);
    all
}

#[cfg(test)]
mod tests {
    use super::super::origin::Origin;
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Tree {
        door: Door,
        loft: Loft,
    }

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Door {
        width: u32,
        name: String,
        api_keys: Vec<String>,
        colour: Option<String>,
    }

    #[derive(Debug, Default, PartialEq, Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Loft {
        height: f64,
    }

    impl Default for Door {
        fn default() -> Self {
            Self { width: 90, name: "front".to_owned(), api_keys: Vec::new(), colour: None }
        }
    }

    impl Settings for Tree {
        fn faults(&self) -> Vec<(String, String)> {
            let mut faults = Vec::new();
            if self.door.width > 200 {
                faults.push(("door.width".to_owned(), "is too wide".to_owned()));
            }
            if self.door.api_keys.iter().any(|key| key.contains(' ')) {
                faults.push(("door.api_keys".to_owned(), "has a space".to_owned()));
            }
            faults
        }
    }

    fn variable(key: &str, text: &str) -> Setting {
        let name = format!("MARU__{}", key.to_uppercase().replace('.', "__"));
        Setting::text(key, text, Origin::Variable(name))
    }

    fn file(text: &str) -> Vec<Setting> {
        Setting::all_in_toml(text, std::path::Path::new("maru.toml")).expect("valid TOML")
    }

    #[test]
    fn later_layers_win_and_leave_the_rest_alone() {
        let mut settings = file("[door]\nwidth = 100\nname = \"file\"\n[loft]\nheight = 2");
        settings.push(variable("door.width", "110"));
        settings.push(Setting::text("door.width", "120", Origin::Flag("--set door.width=120".to_owned())));
        let tree: Tree = resolve(&settings).expect("valid");
        assert_eq!((tree.door.width, tree.door.name.as_str(), tree.loft.height), (120, "file", 2.0));
    }

    #[test]
    fn text_is_read_as_what_the_key_takes() {
        let settings = [
            variable("door.name", "7"),
            variable("door.colour", "true"),
            variable("door.api_keys", "sk-a, 12"),
            variable("loft.height", "3"),
        ];
        let tree: Tree = resolve(&settings).expect("valid");
        assert_eq!((tree.door.name.as_str(), tree.door.colour.as_deref()), ("7", Some("true")));
        assert_eq!((tree.door.api_keys, tree.loft.height), (vec!["sk-a".to_owned(), "12".to_owned()], 3.0));
    }

    #[test]
    fn all_faults_come_together_with_key_value_and_origin() {
        let mut settings = file("[door]\nwidth = \"wide\"\nheight = 1\n[cellar]");
        settings.push(variable("door.width", "300"));
        settings.push(Setting::text("loft.stairs", "2", Origin::Flag("--set loft.stairs=2".to_owned())));
        settings.push(variable("door.api_keys", "top secret"));
        let faults = resolve::<Tree>(&settings).expect_err("five faults").to_string();
        assert_eq!(
            faults.lines().collect::<Vec<_>>(),
            [
                "the configuration has 6 faults",
                "  cellar = {} (maru.toml): there is no such key; known here: door, loft",
                "  door.height = 1 (maru.toml): there is no such key; did you mean loft.height?",
                "  door.width = \"wide\" (maru.toml): expected u32, found string \"wide\"",
                "  loft.stairs = 2 (--set loft.stairs=2): there is no such key; known here: height",
                "  door.width = 300 (environment variable MARU__DOOR__WIDTH): is too wide",
                "  door.api_keys = (hidden) (environment variable MARU__DOOR__API_KEYS): has a space",
            ]
        );
    }

    #[test]
    fn a_misspelt_secret_is_not_shown() {
        let faults = resolve::<Tree>(&file("[door]\napi_key = \"sk-1\"")).expect_err("unknown").to_string();
        assert!(!faults.contains("sk-1") && faults.contains("door.api_key = (hidden)"), "{faults}");
    }

    #[test]
    fn every_key_is_listed_once() {
        assert_eq!(
            keys::<Tree>(),
            ["door.width", "door.name", "door.api_keys", "door.colour", "loft.height"]
        );
    }

    #[test]
    fn broken_toml_is_reported_with_its_line() {
        let error = Setting::all_in_toml("[door]\nwidth = = 1", std::path::Path::new("maru.toml"));
        assert!(error.expect_err("broken").contains("line 2"));
    }
}
