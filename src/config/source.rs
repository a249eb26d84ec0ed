//! Which model to serve.

use serde::{Deserialize, Serialize};

use crate::model::hub::HubModel;

/// Which model to serve, and under which name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceConfig {
    /// A folder with a model in Hugging Face format, or OWNER/NAME on the hub; without it the demo model that is part
    /// of the program.
    pub model: Option<String>,
    /// Branch, tag or commit of a model on the hub.
    pub revision: String,
    /// Use what the hub's cache holds and open no connection to the hub.
    pub offline: bool,
    /// Name that clients call the model by; without it the folder's name or OWNER/NAME, `maru-demo` for the demo model.
    pub served_model_name: Option<String>,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self { model: None, revision: "main".to_owned(), offline: false, served_model_name: None }
    }
}

impl SourceConfig {
    /// Every invalid key with its reason.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.model.as_ref().is_some_and(|model| model.trim().is_empty()) {
            faults.push(("model", "is empty".to_owned()));
        }
        if let Err(error) = HubModel::new("owner/name", &self.revision) {
            faults.push(("revision", error.to_string()));
        }
        if let Some(name) = &self.served_model_name
            && (name.trim().is_empty() || name.len() > 256 || name.chars().any(char::is_control))
        {
            faults.push(("served_model_name", "must have 1 to 256 visible characters".to_owned()));
        }
        faults
    }
}
