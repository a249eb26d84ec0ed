//! The families of models: each file maps a `config.json` and its tensor names to a spec.

mod config_json;
pub(super) mod exaone;
pub(super) mod exaone4;
mod llama_block;

use std::path::Path;

pub(super) use config_json::ConfigJson;

use super::LoadError;
use super::spec::DecoderSpec;

/// A family: how to recognise its `config.json` and how to read it.
pub(super) struct Family {
    /// The family's name in logs.
    pub(super) name: &'static str,
    /// Values of `model_type`.
    pub(super) model_types: &'static [&'static str],
    /// Values of `architectures`, for files without `model_type`.
    pub(super) architectures: &'static [&'static str],
    /// Reads the configuration.
    pub(super) read: fn(&ConfigJson) -> Result<DecoderSpec, LoadError>,
    /// The names of its tensors.
    pub(super) names: TensorNames,
}

/// What a family calls the tensors of a decoder.
#[derive(Debug, Clone, Copy)]
pub(super) struct TensorNames {
    /// `[vocab, hidden]`.
    pub(super) embedding: &'static str,
    /// `[hidden]`.
    pub(super) final_norm: &'static str,
    /// `[vocab, hidden]`, unless tied.
    pub(super) head: &'static str,
    /// Stands before a layer's number and a dot.
    pub(super) layer_prefix: &'static str,
    /// The tensors of a layer, below its prefix.
    pub(super) layer: LayerNames,
    /// Ends of names that some files have and nobody needs: tables that are computed anew.
    pub(super) skipped_suffixes: &'static [&'static str],
}

/// What a family calls the tensors of a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerNames {
    /// Norm of the attention branch, `[hidden]`.
    pub(super) attention_norm: &'static str,
    /// `[query_width, hidden]`.
    pub(super) query: &'static str,
    /// `[kv_width, hidden]`.
    pub(super) key: &'static str,
    /// `[kv_width, hidden]`.
    pub(super) value: &'static str,
    /// `[hidden, query_width]`.
    pub(super) attention_output: &'static str,
    /// Norm of the MLP branch, `[hidden]`.
    pub(super) mlp_norm: &'static str,
    /// The half that goes through the activation, `[intermediate, hidden]`.
    pub(super) gate: &'static str,
    /// The half that is multiplied, `[intermediate, hidden]`.
    pub(super) up: &'static str,
    /// `[hidden, intermediate]`.
    pub(super) down: &'static str,
    /// Norms of the query heads and of the key heads, `[head_dim]` each, in families that have
    /// them.
    pub(super) head_norms: Option<[&'static str; 2]>,
}

impl TensorNames {
    /// The full name of a tensor of layer `layer`.
    pub(super) fn in_layer(&self, layer: usize, name: &str) -> String {
        format!("{}{layer}.{name}", self.layer_prefix)
    }

    /// Whether `name` is a tensor that some files have and this model does not need.
    pub(super) fn is_skipped(&self, name: &str, spec: &DecoderSpec) -> bool {
        let is_table = self.skipped_suffixes.iter().any(|suffix| name.ends_with(suffix));
        is_table || (spec.tied_output && name == self.head)
    }
}

/// Parses a `config.json`.
///
/// # Errors
/// [`LoadError::Malformed`] if it is not a JSON object.
pub(super) fn parse_config(path: &Path, bytes: &[u8]) -> Result<ConfigJson, LoadError> {
    ConfigJson::parse(path, bytes)
}
