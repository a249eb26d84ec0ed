//! EXAONE 3.0, 3.5 and Deep: the Llama block under other names.

use super::{ConfigJson, Family, LayerNames, TensorNames};
use crate::model::LoadError;
use crate::model::spec::{DecoderSpec, HeadShape, LayerSpec, RopeScaling, RopeSpec};

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
        },
        skipped_suffixes: &[".rotary_emb.inv_freq", ".cos_cached", ".sin_cached"],
    },
};

// Limits far above any published model, low enough that no product of them overflows.
const MAX_VOCAB_SIZE: usize = 1 << 22;
const MAX_WIDTH: usize = 1 << 18;
const MAX_LAYERS: usize = 1 << 10;
const MAX_HEADS: usize = 1 << 10;
const MAX_HEAD_DIM: usize = 256;
const MAX_POSITIONS: usize = 1 << 22;

fn read(config: &ConfigJson) -> Result<DecoderSpec, LoadError> {
    refuse_unsupported(config)?;
    let count = |spellings: &[&str], max| {
        config.count(spellings, max).and_then(|value| config.required(spellings[0], value))
    };
    let hidden_size = count(&["hidden_size"], MAX_WIDTH)?;
    let num_layers = count(&["num_layers", "num_hidden_layers"], MAX_LAYERS)?;
    let intermediate_size = config.count(&["intermediate_size"], 4 * MAX_WIDTH)?;
    let max_positions = count(&["max_position_embeddings"], MAX_POSITIONS)?;
    let norm_eps = config.positive(&["layer_norm_epsilon", "rms_norm_eps"])?;
    let norm_eps = config.required("layer_norm_epsilon", norm_eps)?;
    if norm_eps >= 1.0 {
        return Err(config.fault("layer_norm_epsilon", format!("{norm_eps}, expected less than 1")));
    }
    Ok(DecoderSpec {
        vocab_size: count(&["vocab_size"], MAX_VOCAB_SIZE)?,
        hidden_size,
        intermediate_size: intermediate_size.unwrap_or(4 * hidden_size),
        heads: read_heads(config, hidden_size)?,
        norm_eps,
        ropes: vec![read_rope(config)?],
        layers: vec![LayerSpec { rope: Some(0), window: None }; num_layers],
        tied_output: config.flag(&["tie_word_embeddings"])?.unwrap_or(true),
        max_positions: u32::try_from(max_positions).expect("the limit fits in u32"),
    })
}

/// Refuses what would change the computation and is not implemented.
fn refuse_unsupported(config: &ConfigJson) -> Result<(), LoadError> {
    const ACTIVATION: [&str; 2] = ["activation_function", "hidden_act"];
    let activation = config.text(&ACTIVATION)?;
    match config.required(ACTIVATION[0], activation)?.as_str() {
        "silu" | "swish" => {}
        other => {
            return Err(
                config.fault(ACTIVATION[0], format!("{other:?} is not supported; supported is \"silu\""))
            );
        }
    }
    if let Some(dtype) = config.text(&["torch_dtype", "dtype"])?
        && !["float32", "bfloat16", "float16"].contains(&dtype.as_str())
    {
        let reason = format!("{dtype:?} is not supported; supported are float32, bfloat16, float16");
        return Err(config.fault("torch_dtype", reason));
    }
    for key in ["attention_bias", "mlp_bias"] {
        if config.flag(&[key])? == Some(true) {
            return Err(config.fault(key, "biases are not supported"));
        }
    }
    if config.nested(&["quantization_config"])?.is_some() {
        return Err(config.fault("quantization_config", "quantised checkpoints are not supported"));
    }
    match config.positive(&["partial_rotary_factor"])? {
        Some(factor) if factor != 1.0 => {
            Err(config.fault("partial_rotary_factor", format!("{factor} is not supported; supported is 1")))
        }
        _ => Ok(()),
    }
}

fn read_heads(config: &ConfigJson, hidden_size: usize) -> Result<HeadShape, LoadError> {
    const HEADS: &str = "num_attention_heads";
    const KV_HEADS: &str = "num_key_value_heads";
    let num_heads = config.required(HEADS, config.count(&[HEADS], MAX_HEADS)?)?;
    let num_kv_heads = config.count(&[KV_HEADS], MAX_HEADS)?.unwrap_or(num_heads);
    if !num_heads.is_multiple_of(num_kv_heads) {
        let reason = format!("{num_kv_heads} does not divide {HEADS} = {num_heads}");
        return Err(config.fault(KV_HEADS, reason));
    }
    let head_dim = match config.count(&["head_dim"], MAX_HEAD_DIM)? {
        Some(head_dim) => head_dim,
        None if hidden_size.is_multiple_of(num_heads) => hidden_size / num_heads,
        None => {
            let reason =
                format!("{num_heads} does not divide hidden_size = {hidden_size}, and head_dim is missing");
            return Err(config.fault(HEADS, reason));
        }
    };
    if !head_dim.is_multiple_of(2) || head_dim > MAX_HEAD_DIM {
        return Err(
            config.fault("head_dim", format!("{head_dim}, expected an even number up to {MAX_HEAD_DIM}"))
        );
    }
    Ok(HeadShape { num_heads, num_kv_heads, head_dim })
}

/// Reads `rope_theta` and `rope_scaling`, or `rope_parameters`, which holds both.
fn read_rope(config: &ConfigJson) -> Result<RopeSpec, LoadError> {
    let block = config.nested(&["rope_scaling", "rope_parameters"])?;
    let outer = config.positive(&["rope_theta"])?;
    let inner = block.as_ref().map_or(Ok(None), |block| block.positive(&["rope_theta"]))?;
    let theta = match (outer, inner) {
        (Some(outer), Some(inner)) if outer != inner => {
            return Err(
                config.fault("rope_theta", format!("{outer} contradicts the {inner} of the nested block"))
            );
        }
        (outer, inner) => config.required("rope_theta", outer.or(inner))?,
    };
    if theta <= 1.0 {
        return Err(config.fault("rope_theta", format!("{theta}, expected more than 1")));
    }
    let scaling = block.as_ref().map_or(Ok(RopeScaling::None), read_scaling)?;
    Ok(RopeSpec { theta, scaling })
}

fn read_scaling(block: &ConfigJson) -> Result<RopeScaling, LoadError> {
    const KIND: [&str; 2] = ["rope_type", "type"];
    let kind = block.required(KIND[0], block.text(&KIND)?)?;
    match kind.as_str() {
        "default" => return Ok(RopeScaling::None),
        "llama3" => {}
        other => {
            let reason = format!("{other:?} is not supported; supported are \"llama3\" and \"default\"");
            return Err(block.fault(KIND[0], reason));
        }
    }
    let number = |key: &str| block.positive(&[key]).and_then(|value| block.required(key, value));
    let factor = number("factor")?;
    let (low_freq_factor, high_freq_factor) = (number("low_freq_factor")?, number("high_freq_factor")?);
    if high_freq_factor <= low_freq_factor {
        let reason = format!("{high_freq_factor} is not above low_freq_factor = {low_freq_factor}");
        return Err(block.fault("high_freq_factor", reason));
    }
    const ORIGINAL: &str = "original_max_position_embeddings";
    let original = block.required(ORIGINAL, block.count(&[ORIGINAL], MAX_POSITIONS)?)?;
    let original_max_positions = u32::try_from(original).expect("the limit fits in u32");
    Ok(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

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
