//! What the configurations of families with Llama's block, or nearly so, have in common.

use super::ConfigJson;
use crate::model::LoadError;
use crate::model::spec::{DecoderSpec, HeadShape, LayerSpec, NormPlacement, RopeScaling, RopeSpec};

// Limits far above any published model, low enough that no product of them overflows.
const MAX_VOCAB_SIZE: usize = 1 << 22;
const MAX_WIDTH: usize = 1 << 18;
const MAX_LAYERS: usize = 1 << 10;
const MAX_HEADS: usize = 1 << 10;
const MAX_HEAD_DIM: usize = 256;
pub(super) const MAX_POSITIONS: usize = 1 << 22;

/// How a family spells the keys that families spell differently; messages use the first spelling.
pub(super) struct Spellings {
    pub(super) num_layers: &'static [&'static str],
    pub(super) activation: &'static [&'static str],
    pub(super) norm_eps: &'static [&'static str],
}

/// Reads a Llama block: norms before the branches, full attention and one rotary table in every
/// layer, a head of its own. A family changes what it does otherwise.
pub(super) fn read_llama_block(config: &ConfigJson, spellings: &Spellings) -> Result<DecoderSpec, LoadError> {
    refuse_unsupported(config, spellings)?;
    let count = |spellings: &[&str], max| {
        config.count(spellings, max).and_then(|value| config.required(spellings[0], value))
    };
    let hidden_size = count(&["hidden_size"], MAX_WIDTH)?;
    let num_layers = count(spellings.num_layers, MAX_LAYERS)?;
    let intermediate_size = config.count(&["intermediate_size"], 4 * MAX_WIDTH)?;
    let max_positions = count(&["max_position_embeddings"], MAX_POSITIONS)?;
    let eps_key = spellings.norm_eps[0];
    let norm_eps = config.required(eps_key, config.positive(spellings.norm_eps)?)?;
    if norm_eps >= 1.0 {
        return Err(config.fault(eps_key, format!("{norm_eps}, expected less than 1")));
    }
    Ok(DecoderSpec {
        vocab_size: count(&["vocab_size"], MAX_VOCAB_SIZE)?,
        hidden_size,
        intermediate_size: intermediate_size.unwrap_or(4 * hidden_size),
        heads: read_heads(config, hidden_size)?,
        qk_norm: false,
        norm_placement: NormPlacement::BeforeBranch,
        norm_eps,
        ropes: vec![read_rope(config)?],
        layers: vec![LayerSpec { rope: Some(0), window: None }; num_layers],
        tied_output: config.flag(&["tie_word_embeddings"])?.unwrap_or(false),
        max_positions: u32::try_from(max_positions).expect("the limit fits in u32"),
    })
}

/// Refuses what would change the computation and is not implemented.
fn refuse_unsupported(config: &ConfigJson, spellings: &Spellings) -> Result<(), LoadError> {
    let key = spellings.activation[0];
    let activation = config.text(spellings.activation)?;
    match config.required(key, activation)?.as_str() {
        "silu" | "swish" => {}
        other => {
            return Err(config.fault(key, format!("{other:?} is not supported; supported is \"silu\"")));
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
