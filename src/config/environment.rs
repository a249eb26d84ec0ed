//! The environment of the process: the only place that reads it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::{Origin, Setting};
use crate::model::hub::{HubSettings, Patience};

/// Prefix of variables that set a key: `MARU__ENGINE__MAX_NUM_SEQS` is `engine.max_num_seqs`.
const KEY_PREFIX: &str = "MARU__";
/// Holds API keys, several separated by commas.
const API_KEY: &str = "MARU_API_KEY";
/// Names the configuration file where no flag does.
const CONFIG_FILE: &str = "MARU_CONFIG";
/// Lists planned faults.
#[cfg(debug_assertions)]
pub(super) const FAILPOINTS: &str = "MARU_FAILPOINTS";

/// Environment variables, read once.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        Self { variables: std::env::vars_os().collect() }
    }

    /// An environment that holds just these variables.
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        Self { variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// A variable's value; an empty one counts as absent.
    fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| value.to_string_lossy().trim().to_owned())
    }

    /// The configuration file that the environment names.
    pub fn config_file(&self) -> Option<PathBuf> {
        self.path(CONFIG_FILE)
    }

    /// The planned faults that the environment lists.
    #[cfg(debug_assertions)]
    pub(super) fn failpoints(&self) -> Option<String> {
        self.text(FAILPOINTS)
    }

    /// Every setting of the environment.
    pub fn settings(&self) -> Vec<Setting> {
        let api_keys = self
            .text(API_KEY)
            .map(|keys| Setting::text("server.api_keys", &keys, Origin::Variable(API_KEY.to_owned())));
        let present = self.variables.iter().filter(|(_, value)| !value.is_empty());
        let named = present.filter_map(|(name, value)| {
            let name = name.to_str()?;
            let key = name.strip_prefix(KEY_PREFIX)?.to_lowercase().replace("__", ".");
            Some(Setting::text(&key, &value.to_string_lossy(), Origin::Variable(name.to_owned())))
        });
        api_keys.into_iter().chain(named).collect()
    }

    /// The key that a client of this machine's server presents: the first of those that the server accepts.
    pub fn client_api_key(&self) -> Option<String> {
        let keys = self.text(API_KEY)?;
        keys.split(',').map(str::trim).find(|key| !key.is_empty()).map(str::to_owned)
    }

    /// Where the hub's files and token are, by the variables that Python's `huggingface_hub` reads.
    pub fn hub(&self, offline: bool) -> HubSettings {
        let cache_home =
            self.path("XDG_CACHE_HOME").or_else(|| self.path("HOME").map(|home| home.join(".cache")));
        let home = self
            .path("HF_HOME")
            .unwrap_or_else(|| cache_home.unwrap_or_else(|| PathBuf::from(".cache")).join("huggingface"));
        let cache_dir = self
            .path("HF_HUB_CACHE")
            .or_else(|| self.path("HUGGINGFACE_HUB_CACHE"))
            .unwrap_or_else(|| home.join("hub"));
        let token_file = self.path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = self
            .text("HF_TOKEN")
            .or_else(|| self.text("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| std::fs::read_to_string(token_file).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        let endpoint = self.text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let is_set = |name| {
            self.text(name)
                .is_some_and(|value| matches!(value.to_uppercase().as_str(), "1" | "TRUE" | "YES" | "ON"))
        };
        HubSettings {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache_dir,
            token,
            offline: offline || is_set("HF_HUB_OFFLINE"),
            patience: Patience::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_with_the_prefix_are_settings() {
        let environment = Environment::of([
            ("MARU__ENGINE__MAX_NUM_SEQS", "4"),
            ("MARU_API_KEY", "sk-a,sk-b"),
            ("MARU_CONFIG", "maru.toml"),
            ("MARU__SOURCE__MODEL", ""),
            ("PATH", "/bin"),
        ]);
        let keys: Vec<_> = environment.settings().into_iter().map(|setting| setting.key).collect();
        assert_eq!(keys, ["server.api_keys", "engine.max_num_seqs"]);
        assert_eq!(environment.config_file(), Some(PathBuf::from("maru.toml")));
        assert_eq!(environment.client_api_key().as_deref(), Some("sk-a"));
    }

    #[test]
    fn the_cache_lies_where_huggingface_hub_puts_it() {
        let cache = |environment: Environment| environment.hub(false).cache_dir;
        assert_eq!(cache(Environment::of([("HOME", "/h")])), PathBuf::from("/h/.cache/huggingface/hub"));
        assert_eq!(
            cache(Environment::of([("HOME", "/h"), ("XDG_CACHE_HOME", "/x")])),
            PathBuf::from("/x/huggingface/hub")
        );
        assert_eq!(cache(Environment::of([("HOME", "/h"), ("HF_HOME", "/f")])), PathBuf::from("/f/hub"));
        assert_eq!(cache(Environment::of([("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")])), PathBuf::from("/c"));
    }

    #[test]
    fn the_token_comes_from_the_variable_then_from_the_file() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let file = home.path().join("token");
        std::fs::write(&file, "hf_file\n").expect("writable");
        let home = home.path().to_str().expect("UTF-8");
        let token = |environment: Environment| environment.hub(false).token;
        assert_eq!(token(Environment::of([("HF_HOME", home)])).as_deref(), Some("hf_file"));
        assert_eq!(
            token(Environment::of([("HF_HOME", home), ("HF_TOKEN", " hf_env ")])).as_deref(),
            Some("hf_env")
        );
        let path = file.to_str().expect("UTF-8");
        assert_eq!(
            token(Environment::of([("HF_HOME", "/none"), ("HF_TOKEN_PATH", path)])).as_deref(),
            Some("hf_file")
        );
        assert_eq!(token(Environment::of([("HF_HOME", "/none")])), None);
    }

    #[test]
    fn offline_is_a_flag_or_the_hubs_own_variable() {
        assert!(!Environment::default().hub(false).offline);
        assert!(Environment::default().hub(true).offline);
        assert!(Environment::of([("HF_HUB_OFFLINE", "1")]).hub(false).offline);
    }
}
