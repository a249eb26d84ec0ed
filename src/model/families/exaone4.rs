//! EXAONE 4.0: norms on the output of the branches, norms on query and key heads, and, in the
//! larger sizes, three layers with a window to one without.

use super::llama_block::{MAX_POSITIONS, Spellings, read_llama_block};
use super::{ConfigJson, Family, LayerNames, TensorNames};
use crate::model::LoadError;
use crate::model::spec::{DecoderSpec, LayerSpec, NormPlacement};

/// The family.
pub(in crate::model) const FAMILY: Family = Family {
    name: "exaone4",
    model_types: &["exaone4"],
    architectures: &["Exaone4ForCausalLM"],
    read,
    names: TensorNames {
        embedding: "model.embed_tokens.weight",
        final_norm: "model.norm.weight",
        head: "lm_head.weight",
        layer_prefix: "model.layers.",
        layer: LayerNames {
            attention_norm: "post_attention_layernorm.weight",
            query: "self_attn.q_proj.weight",
            key: "self_attn.k_proj.weight",
            value: "self_attn.v_proj.weight",
            attention_output: "self_attn.o_proj.weight",
            mlp_norm: "post_feedforward_layernorm.weight",
            gate: "mlp.gate_proj.weight",
            up: "mlp.up_proj.weight",
            down: "mlp.down_proj.weight",
            head_norms: Some(["self_attn.q_norm.weight", "self_attn.k_norm.weight"]),
        },
        skipped_suffixes: &[".rotary_emb.inv_freq"],
    },
};

const SPELLINGS: Spellings = Spellings {
    num_layers: &["num_hidden_layers"],
    activation: &["hidden_act"],
    norm_eps: &["rms_norm_eps"],
};

fn read(config: &ConfigJson) -> Result<DecoderSpec, LoadError> {
    let mut spec = read_llama_block(config, &SPELLINGS)?;
    // The class's own default is a number of one size, which nobody else means.
    config.required("intermediate_size", config.has("intermediate_size").then_some(()))?;
    spec.qk_norm = true;
    spec.norm_placement = NormPlacement::AfterBranch;
    spec.layers = read_layers(config, spec.layers.len())?;
    Ok(spec)
}

/// Without a window all layers see everything and know positions; with one, only those that have it
/// know positions.
fn read_layers(config: &ConfigJson, num_layers: usize) -> Result<Vec<LayerSpec>, LoadError> {
    let kinds = read_kinds(config, num_layers)?;
    let Some(window) = config.count(&["sliding_window"], MAX_POSITIONS)? else {
        if kinds.is_some_and(|kinds| kinds.contains(&true)) {
            return Err(config.fault("sliding_window", "missing, and layers of layer_types have one"));
        }
        return Ok(vec![LayerSpec { rope: Some(0), window: None }; num_layers]);
    };
    let Some(kinds) = kinds.filter(|kinds| kinds.contains(&true)) else {
        return Err(
            config.fault("sliding_window", format!("{window}, but no layer is said to have a window"))
        );
    };
    let window = u32::try_from(window).expect("the limit fits in u32");
    let layer =
        |has_window: bool| LayerSpec { rope: has_window.then_some(0), window: has_window.then_some(window) };
    Ok(kinds.into_iter().map(layer).collect())
}

/// Whether each layer has a window, if the file says so: one by one, or by a pattern that repeats.
fn read_kinds(config: &ConfigJson, num_layers: usize) -> Result<Option<Vec<bool>>, LoadError> {
    const KINDS: &str = "layer_types";
    const PATTERN: &str = "sliding_window_pattern";
    if let Some(kinds) = config.text_list(&[KINDS])? {
        if kinds.len() != num_layers {
            let reason = format!("{} layers, expected num_hidden_layers = {num_layers}", kinds.len());
            return Err(config.fault(KINDS, reason));
        }
        let has_window = |kind: &String| match kind.as_str() {
            "sliding_attention" => Ok(true),
            "full_attention" => Ok(false),
            other => Err(config.fault(KINDS, format!("{other:?} is not supported"))),
        };
        return kinds.iter().map(has_window).collect::<Result<_, _>>().map(Some);
    }
    if !config.has(PATTERN) {
        return Ok(None);
    }
    let Ok(Some(pattern)) = config.text(&[PATTERN]) else {
        let period = config.required(PATTERN, config.count(&[PATTERN], num_layers)?)?;
        return Ok(Some((1..=num_layers).map(|layer| !layer.is_multiple_of(period)).collect()));
    };
    if pattern.is_empty() || pattern.bytes().any(|kind| !b"LG".contains(&kind)) {
        return Err(config.fault(PATTERN, format!("{pattern:?}, expected a number or letters L and G")));
    }
    Ok(Some(pattern.bytes().cycle().take(num_layers).map(|kind| kind == b'L').collect()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::model::spec::HeadShape;

    /// EXAONE 4.0 32B, as far as its file is known.
    fn large() -> Value {
        let (near, far) = ("sliding_attention", "full_attention");
        let layer_types = [near, near, near, far].repeat(16);
        json!({
            "model_type": "exaone4", "architectures": ["Exaone4ForCausalLM"], "hidden_act": "silu",
            "hidden_size": 5120, "intermediate_size": 27392, "num_hidden_layers": 64,
            "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 102400,
            "rms_norm_eps": 1e-5, "max_position_embeddings": 131072, "rope_theta": 1000000,
            "tie_word_embeddings": false, "torch_dtype": "bfloat16", "sliding_window": 4096,
            "sliding_window_pattern": "LLLG",
            "layer_types": layer_types,
            "rope_scaling": {"rope_type": "llama3", "factor": 16.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
        })
    }

    fn read_with(changes: Value) -> Result<DecoderSpec, LoadError> {
        let mut value = large();
        for (key, change) in changes.as_object().unwrap() {
            value.as_object_mut().unwrap().insert(key.clone(), change.clone());
        }
        read(&ConfigJson::parse(Path::new("config.json"), value.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn the_large_size_has_windows_with_positions_and_full_layers_without() {
        let spec = read_with(json!({})).unwrap();
        let near = LayerSpec { rope: Some(0), window: Some(4096) };
        let far = LayerSpec { rope: None, window: None };
        assert_eq!(spec.layers, [near, near, near, far].repeat(16));
        assert!(spec.qk_norm && !spec.tied_output);
        assert_eq!(spec.norm_placement, NormPlacement::AfterBranch);
        assert_eq!(spec.num_parameters() / 100_000_000, 320);
    }

    #[test]
    fn the_small_size_has_positions_and_no_windows() {
        let small = json!({
            "hidden_size": 2048, "intermediate_size": 4096, "num_hidden_layers": 30,
            "num_attention_heads": 32, "head_dim": 64, "tie_word_embeddings": true,
            "sliding_window": null, "sliding_window_pattern": null,
            "layer_types": vec!["full_attention"; 30]
        });
        let spec = read_with(small).unwrap();
        assert_eq!(spec.layers, [LayerSpec { rope: Some(0), window: None }; 30]);
        assert_eq!(spec.heads, HeadShape { num_heads: 32, num_kv_heads: 8, head_dim: 64 });
        assert_eq!(spec.num_parameters() / 10_000_000, 127);
    }

    #[test]
    fn a_pattern_says_the_same_as_a_list() {
        let listed = read_with(json!({})).unwrap();
        for pattern in [json!("LLLG"), json!(4)] {
            let changes = json!({"layer_types": null, "sliding_window_pattern": pattern});
            assert_eq!(read_with(changes).unwrap(), listed);
        }
    }

    #[test]
    fn what_is_wrong_is_refused_by_the_name_of_its_key() {
        let cases = [
            (json!({"layer_types": ["full_attention"]}), "layer_types: 1 layers, expected"),
            (json!({"layer_types": vec!["linear_attention"; 64]}), "layer_types: \"linear_attention\""),
            (json!({"layer_types": vec![1; 64]}), "layer_types: [1,1,"),
            (json!({"layer_types": vec!["full_attention"; 64]}), "sliding_window: 4096, but no layer"),
            (json!({"sliding_window": null}), "sliding_window: missing"),
            (json!({"sliding_window": 0}), "sliding_window: 0"),
            (json!({"layer_types": null, "sliding_window_pattern": null}), "sliding_window: 4096, but no"),
            (
                json!({"layer_types": null, "sliding_window_pattern": "LLX"}),
                "sliding_window_pattern: \"LLX\"",
            ),
            (json!({"layer_types": null, "sliding_window_pattern": ""}), "sliding_window_pattern: \"\""),
            (json!({"layer_types": null, "sliding_window_pattern": 0}), "sliding_window_pattern: 0"),
            (json!({"intermediate_size": null}), "intermediate_size: missing"),
            (json!({"num_hidden_layers": null}), "num_hidden_layers: missing"),
            (json!({"hidden_act": "gelu"}), "hidden_act: \"gelu\""),
            (json!({"rms_norm_eps": null}), "rms_norm_eps: missing"),
        ];
        for (changes, expected) in cases {
            let message = read_with(changes.clone()).expect_err(&changes.to_string()).to_string();
            assert!(message.starts_with("config.json: "), "{message}");
            assert!(message.contains(expected), "{changes}: {message}");
        }
    }
}
