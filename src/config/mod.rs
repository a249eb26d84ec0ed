//! Settings: defaults, below a file, below the environment, below flags; merged as one tree, checked whole, then fixed.
//!
//! Each module owns its part of the tree; this one puts the parts together and knows where each value came from.

mod environment;
mod layers;
mod origin;
mod source;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::api::ServerConfig;
use crate::engine::EngineConfig;
use crate::model::ModelConfig;
use crate::serving::ServingConfig;
use crate::telemetry::LogConfig;

pub use environment::Environment;
pub use layers::{Fault, Faults, Settings, entries, keys, resolve};
pub use origin::{Origin, Setting};
pub use source::SourceConfig;

/// Every setting of the process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which model to serve, and under which name.
    pub source: SourceConfig,
    /// How and on what the model runs.
    pub model: ModelConfig,
    /// The scheduler and its queues.
    pub engine: EngineConfig,
    /// What is done for a request before the engine sees it.
    pub serving: ServingConfig,
    /// The HTTP server.
    pub server: ServerConfig,
    /// The log.
    pub log: LogConfig,
}

impl Settings for Config {
    fn faults(&self) -> Vec<(String, String)> {
        let sections = [
            ("source", self.source.faults()),
            ("model", self.model.faults()),
            ("engine", self.engine.faults()),
            ("serving", self.serving.faults()),
            ("server", self.server.faults()),
            ("log", self.log.faults()),
        ];
        let full_name = |section: &str, key: &str| format!("{section}.{key}");
        let of_section = |(section, faults): (&'static str, Vec<(&'static str, String)>)| {
            faults.into_iter().map(move |(key, reason)| (full_name(section, key), reason))
        };
        sections.into_iter().flat_map(of_section).collect()
    }
}

/// Where settings come from, lowest first.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// What the running command presets.
    pub presets: Vec<Setting>,
    /// The configuration file; without it the one that the environment names, if any.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Environment,
    /// Flags.
    pub flags: Vec<Setting>,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path}: {reason}", path = path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        reason: String,
    },
    /// Keys or values are wrong.
    #[error(transparent)]
    Invalid(#[from] Faults),
}

impl Sources {
    /// All settings, lowest first.
    ///
    /// # Errors
    /// If the configuration file cannot be read or is not TOML.
    pub fn settings(&self) -> Result<Vec<Setting>, ConfigError> {
        let mut settings = self.presets.clone();
        if let Some(path) = self.file.clone().or_else(|| self.environment.config_file()) {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
            let in_file = Setting::all_in_toml(&text, &path);
            settings.extend(in_file.map_err(|reason| ConfigError::NotToml { path, reason })?);
        }
        settings.extend(self.environment.settings());
        settings.extend(self.flags.iter().cloned());
        Ok(settings)
    }

    /// The configuration that results, free of faults.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] names all faults at once.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let config = resolve(&self.settings()?)?;
        #[cfg(debug_assertions)]
        let config = self.with_failpoints(config)?;
        Ok(config)
    }

    #[cfg(debug_assertions)]
    fn with_failpoints(&self, mut config: Config) -> Result<Config, Faults> {
        if let Some(list) = self.environment.failpoints() {
            let key = environment::FAILPOINTS.to_owned();
            let fault = |reason| Faults(vec![Fault { key, entered: String::new(), reason }]);
            config.engine.failpoints = crate::engine::Failpoints::parse(&list).map_err(fault)?;
        }
        Ok(config)
    }
}
