//! Flags, and the settings that they stand for.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Origin, Setting};
use crate::serving::SamplingOptions;

/// Which model to run, and on what.
#[derive(Debug, Clone, Default, Args)]
pub struct ModelArgs {
    /// Folder in Hugging Face format, or OWNER/NAME on the hub [default: the demo model inside the program]
    #[arg(long, value_name = "PATH|HUB_ID", help_heading = "Model")]
    pub model: Option<String>,
    /// Branch, tag or commit of a model on the hub [default: main]
    #[arg(long, value_name = "REV", help_heading = "Model")]
    pub revision: Option<String>,
    /// Use the hub's cache only, open no connection to it
    #[arg(long, help_heading = "Model")]
    pub offline: bool,
    /// What computes: auto, cpu or reference [default: auto]
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub backend: Option<String>,
    /// Instruction set of the cpu backend: auto, scalar, avx2 or avx512 [default: auto]
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub isa: Option<String>,
    /// Threads that compute; 0 for one per CPU [default: 0]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub threads: Option<usize>,
    /// Longest prompt and answer together, in tokens [default: the model's]
    #[arg(long, value_name = "TOKENS", help_heading = "Model")]
    pub max_model_len: Option<u32>,
    /// Memory for keys and values, such as 4GiB [default: half of what is free]
    #[arg(long, value_name = "SIZE", help_heading = "Model")]
    pub kv_cache_memory: Option<String>,
    #[command(flatten)]
    pub(super) settings: SettingArgs,
}

/// Settings by other ways than a flag of their own.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SettingArgs {
    /// Configuration file (TOML); below environment and flags [env: MARU_CONFIG]
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    pub(super) config: Option<PathBuf>,
    /// Set any key of the configuration, such as engine.max_num_seqs=32; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value, help_heading = "Settings")]
    pub(super) set: Vec<(String, String)>,
    /// error, warn, info, debug, trace, or directives such as info,maru::engine=debug
    #[arg(long, value_name = "LEVEL", help_heading = "Settings")]
    pub(super) log_level: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORM", help_heading = "Settings")]
    pub(super) log_format: Option<String>,
}

/// How the server is reached.
#[derive(Debug, Clone, Default, Args)]
pub struct ServerArgs {
    /// Name that clients call the model by
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    pub served_model_name: Option<String>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", help_heading = "Server")]
    pub host: Option<String>,
    /// Port to listen on; 0 for a free one [default: 8000]
    #[arg(long, value_name = "PORT", help_heading = "Server")]
    pub port: Option<u16>,
    /// Key that clients must present; repeatable. Other users of the machine can see flags: prefer the environment
    /// or a file [env: MARU_API_KEY]
    #[arg(long, value_name = "KEY", help_heading = "Server")]
    pub api_key: Vec<String>,
    /// File with one key per line
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub api_key_file: Option<PathBuf>,
    /// Refuse parameters that would else be ignored with a warning
    #[arg(long, help_heading = "Server")]
    pub strict_params: bool,
}

/// How the next token is chosen.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct SamplingArgs {
    /// Most tokens to generate
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_new_tokens: Option<u32>,
    /// 0 for greedy; higher is more varied, up to 2
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub temperature: Option<f32>,
    /// Choose among the K likeliest tokens; 0 for all
    #[arg(long, value_name = "K")]
    pub top_k: Option<u32>,
    /// Choose among the likeliest tokens that together have probability P
    #[arg(long, value_name = "P", value_parser = probability)]
    pub top_p: Option<f32>,
    /// Repeat the same choices
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

impl SamplingArgs {
    /// What the flags name; the rest is the model's to decide.
    pub(super) fn options(&self) -> SamplingOptions {
        let Self { temperature, top_k, top_p, seed, .. } = *self;
        SamplingOptions { temperature, top_p, top_k, seed, ..SamplingOptions::default() }
    }
}

impl ModelArgs {
    /// The configuration file that the flags name.
    pub fn config_file(&self) -> Option<PathBuf> {
        self.settings.config.clone()
    }

    /// The settings that the flags stand for; `--set` comes last and wins.
    pub fn settings(&self) -> Vec<Setting> {
        self.settings_below(Vec::new())
    }

    /// The same, with the settings of other flags before `--set`.
    pub(super) fn settings_below(&self, others: Vec<Setting>) -> Vec<Setting> {
        let texts = [
            ("--model", "source.model", self.model.clone()),
            ("--revision", "source.revision", self.revision.clone()),
            ("--backend", "model.backend", self.backend.clone()),
            ("--isa", "model.isa", self.isa.clone()),
            ("--kv-cache-memory", "model.kv_cache_memory", self.kv_cache_memory.clone()),
            ("--log-level", "log.level", self.settings.log_level.clone()),
            ("--log-format", "log.format", self.settings.log_format.clone()),
        ];
        let mut settings = typed(texts);
        settings.extend(typed([("--offline", "source.offline", self.offline.then_some(true))]));
        settings.extend(typed([("--threads", "model.threads", self.threads)]));
        settings.extend(typed([("--max-model-len", "model.max_model_len", self.max_model_len)]));
        settings.extend(others);
        settings.extend(self.settings.set.iter().map(|(key, value)| {
            // The value may be a secret and is shown apart from where it was entered.
            Setting::text(key, value, Origin::Flag(format!("--set {key}")))
        }));
        settings
    }
}

impl ServerArgs {
    /// The settings that the flags stand for.
    pub fn settings(&self) -> Vec<Setting> {
        let file = self.api_key_file.as_ref().map(|file| file.to_string_lossy().into_owned());
        let mut settings = typed([
            ("--served-model-name", "source.served_model_name", self.served_model_name.clone()),
            ("--host", "server.host", self.host.clone()),
            ("--api-key-file", "server.api_key_file", file),
        ]);
        settings.extend(typed([("--port", "server.port", self.port)]));
        let keys = (!self.api_key.is_empty()).then(|| self.api_key.clone());
        settings.extend(typed([("--api-key", "server.api_keys", keys)]));
        let strict = self.strict_params.then_some(true);
        settings.extend(typed([("--strict-params", "server.strict_params", strict)]));
        settings
    }
}

fn typed<V: Into<figment::value::Value>, const N: usize>(
    flags: [(&str, &str, Option<V>); N],
) -> Vec<Setting> {
    let setting = |(flag, key, value): (&str, &str, Option<V>)| {
        Some(Setting::typed(key, value?, Origin::Flag(flag.to_owned())))
    };
    flags.into_iter().filter_map(setting).collect()
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("expected KEY=VALUE, such as engine.max_num_seqs=32".to_owned()),
    }
}

pub(super) fn temperature(text: &str) -> Result<f32, String> {
    let value = text.parse().ok().filter(|value| (0.0..=2.0).contains(value));
    value.ok_or_else(|| "expected a number from 0 to 2".to_owned())
}

fn probability(text: &str) -> Result<f32, String> {
    let value = text.parse().ok().filter(|value| *value > 0.0 && *value <= 1.0);
    value.ok_or_else(|| "expected a number above 0, at most 1".to_owned())
}
