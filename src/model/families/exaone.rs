//! EXAONE 3.0, 3.5 and Deep: the Llama block under other names.

use super::llama_block::{Spellings, read_llama_block};
use super::{ConfigJson, Family, LayerNames, TensorNames};
use crate::model::LoadError;
use crate::model::spec::DecoderSpec;

/// The family.
pub(in crate::model) const FAMILY: Family = Family {
    name: "exaone",
    model_types: &["exaone"],
    architectures: &["ExaoneForCausalLM"],
    read,
    names: TensorNames {
        embedding: "transformer.wte.weight",
        final_norm: "transformer.ln_f.weight",
        head: "lm_head.weight",
        layer_prefix: "transformer.h.",
        layer: LayerNames {
            attention_norm: "ln_1.weight",
            query: "attn.attention.q_proj.weight",
            key: "attn.attention.k_proj.weight",
            value: "attn.attention.v_proj.weight",
            attention_output: "attn.attention.out_proj.weight",
            mlp_norm: "ln_2.weight",
            gate: "mlp.c_fc_0.weight",
            up: "mlp.c_fc_1.weight",
            down: "mlp.c_proj.weight",
            head_norms: None,
        },
        skipped_suffixes: &[".rotary_emb.inv_freq", ".cos_cached", ".sin_cached"],
    },
};

/// The family's own spellings first, then those of newer files.
const SPELLINGS: Spellings = Spellings {
    num_layers: &["num_layers", "num_hidden_layers"],
    activation: &["activation_function", "hidden_act"],
    norm_eps: &["layer_norm_epsilon", "rms_norm_eps"],
};

fn read(config: &ConfigJson) -> Result<DecoderSpec, LoadError> {
    let mut spec = read_llama_block(config, &SPELLINGS)?;
    spec.tied_output = config.flag(&["tie_word_embeddings"])?.unwrap_or(true);
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::model::spec::{HeadShape, RopeScaling, RopeSpec};

    /// EXAONE 3.5 7.8B in the spelling of its published file.
    fn published() -> Value {
        json!({
            "activation_function": "silu", "architectures": ["ExaoneForCausalLM"], "hidden_size": 4096,
            "intermediate_size": 14336, "layer_norm_epsilon": 1e-5, "max_position_embeddings": 32768,
            "model_type": "exaone", "num_attention_heads": 32, "num_key_value_heads": 8, "num_layers": 32,
            "head_dim": 128, "rope_theta": 1000000, "vocab_size": 102400, "tie_word_embeddings": false,
            "torch_dtype": "bfloat16", "rotary_pct": 0.25,
            "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
        })
    }

    fn read_json(value: &Value) -> Result<DecoderSpec, LoadError> {
        read(&ConfigJson::parse(Path::new("config.json"), value.to_string().as_bytes()).unwrap())
    }

    fn read_with(changes: Value) -> Result<DecoderSpec, LoadError> {
        let mut value = published();
        for (key, change) in changes.as_object().unwrap() {
            match change {
                Value::String(text) if text == "absent" => value.as_object_mut().unwrap().remove(key),
                _ => value.as_object_mut().unwrap().insert(key.clone(), change.clone()),
            };
        }
        read_json(&value)
    }

    #[test]
    fn the_published_configuration_is_read() {
        let spec = read_json(&published()).unwrap();
        assert_eq!(spec.heads, HeadShape { num_heads: 32, num_kv_heads: 8, head_dim: 128 });
        assert_eq!((spec.layers.len(), spec.vocab_size, spec.tied_output), (32, 102_400, false));
        assert_eq!(spec.num_parameters() / 10_000_000, 781);
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_positions: 8192,
        };
        assert_eq!(spec.ropes, [RopeSpec { theta: 1e6, scaling }]);
    }

    #[test]
    fn the_new_spelling_gives_the_same_spec() {
        let mut rope = published()["rope_scaling"].clone();
        rope["rope_theta"] = json!(1000000.0);
        let new = read_with(json!({
            "activation_function": "absent", "hidden_act": "silu", "layer_norm_epsilon": "absent",
            "rms_norm_eps": 1e-5, "num_layers": "absent", "num_hidden_layers": 32, "rope_theta": "absent",
            "rope_scaling": "absent", "rope_parameters": rope, "torch_dtype": "absent", "dtype": "bfloat16"
        }));
        assert_eq!(new.unwrap(), read_json(&published()).unwrap());
    }

    #[test]
    fn absent_keys_have_the_defaults_of_the_family() {
        let spec = read_with(json!({
            "head_dim": "absent", "num_key_value_heads": "absent", "intermediate_size": "absent",
            "tie_word_embeddings": "absent", "rope_scaling": null
        }));
        let spec = spec.unwrap();
        assert_eq!(spec.heads, HeadShape { num_heads: 32, num_kv_heads: 32, head_dim: 128 });
        assert_eq!(spec.intermediate_size, 16_384);
        assert_eq!(spec.ropes[0].scaling, RopeScaling::None);
        assert!(spec.tied_output);
    }

    #[test]
    fn what_is_wrong_is_refused_by_the_name_of_its_key() {
        let llama3 = |key: &str, value: Value| {
            let mut block = published()["rope_scaling"].clone();
            block[key] = value;
            json!({ "rope_scaling": block })
        };
        let cases = [
            (json!({"vocab_size": 0}), "vocab_size: 0, expected"),
            (json!({"vocab_size": "absent"}), "vocab_size: missing"),
            (json!({"hidden_size": -4}), "hidden_size: -4"),
            (json!({"hidden_size": 1e300}), "hidden_size"),
            (json!({"num_layers": 18446744073709551615u64}), "num_layers"),
            (json!({"num_layers": "32"}), "num_layers: \"32\", expected a whole number"),
            (json!({"num_hidden_layers": 31}), "num_layers: contradicts num_hidden_layers"),
            (json!({"num_key_value_heads": 5}), "num_key_value_heads: 5 does not divide"),
            (json!({"num_attention_heads": 31}), "num_key_value_heads: 8 does not divide"),
            (json!({"head_dim": 127}), "head_dim: 127"),
            (
                json!({"head_dim": "absent", "num_attention_heads": 24}),
                "num_attention_heads: 24 does not divide",
            ),
            (json!({"activation_function": "gelu"}), "activation_function: \"gelu\" is not supported"),
            (json!({"layer_norm_epsilon": 0}), "layer_norm_epsilon: 0"),
            (json!({"layer_norm_epsilon": 2}), "layer_norm_epsilon: 2"),
            (json!({"rope_theta": "absent"}), "rope_theta: missing"),
            (json!({"rope_theta": 1e39}), "rope_theta"),
            (json!({"rope_theta": 0.5}), "rope_theta: 0.5"),
            (json!({"rope_scaling": [1]}), "rope_scaling: [1], expected an object"),
            (json!({"rope_scaling": {}}), "rope_scaling.rope_type: missing"),
            (llama3("rope_type", json!("yarn")), "rope_scaling.rope_type: \"yarn\" is not supported"),
            (llama3("factor", json!(0)), "rope_scaling.factor: 0"),
            (llama3("high_freq_factor", json!(1.0)), "rope_scaling.high_freq_factor: 1 is not above"),
            (
                llama3("original_max_position_embeddings", Value::Null),
                "original_max_position_embeddings: missing",
            ),
            (llama3("rope_theta", json!(5)), "rope_theta: 1000000 contradicts"),
            (json!({"tie_word_embeddings": "yes"}), "tie_word_embeddings: \"yes\", expected true or false"),
            (json!({"torch_dtype": "int8"}), "torch_dtype: \"int8\""),
            (json!({"quantization_config": {"quant_method": "awq"}}), "quantization_config"),
            (json!({"attention_bias": true}), "attention_bias"),
            (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor: 0.5"),
            (json!({"max_position_embeddings": 4294967296u64}), "max_position_embeddings"),
        ];
        for (changes, expected) in cases {
            let message = read_with(changes.clone()).expect_err(&changes.to_string()).to_string();
            assert!(message.starts_with("config.json: "), "{message}");
            assert!(message.contains(expected), "{changes}: {message}");
        }
    }
}
