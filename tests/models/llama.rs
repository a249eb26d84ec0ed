//! A second reference: the checkpoint under Llama's names, in candle's own Llama.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};
use serde_json::{Value, json};

use crate::support::{
    F32_TOLERANCE, Tensors, assert_close, backends, cases, folder, load, logits_in_chunks, read_config,
    read_tensors,
};

fn llama_name(name: &str) -> String {
    const NAMES: [(&str, &str); 12] = [
        ("transformer.wte.", "model.embed_tokens."),
        ("transformer.ln_f.", "model.norm."),
        ("transformer.h.", "model.layers."),
        (".ln_1.", ".input_layernorm."),
        (".ln_2.", ".post_attention_layernorm."),
        (".attn.attention.q_proj.", ".self_attn.q_proj."),
        (".attn.attention.k_proj.", ".self_attn.k_proj."),
        (".attn.attention.v_proj.", ".self_attn.v_proj."),
        (".attn.attention.out_proj.", ".self_attn.o_proj."),
        (".mlp.c_fc_0.", ".mlp.gate_proj."),
        (".mlp.c_fc_1.", ".mlp.up_proj."),
        (".mlp.c_proj.", ".mlp.down_proj."),
    ];
    NAMES.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

fn llama_config(config: &Value) -> LlamaConfig {
    let renamed = json!({
        "hidden_size": config["hidden_size"], "intermediate_size": config["intermediate_size"],
        "vocab_size": config["vocab_size"], "num_hidden_layers": config["num_layers"],
        "num_attention_heads": config["num_attention_heads"],
        "num_key_value_heads": config["num_key_value_heads"],
        "rms_norm_eps": config["layer_norm_epsilon"], "rope_theta": config["rope_theta"],
        "rope_scaling": config["rope_scaling"], "tie_word_embeddings": config["tie_word_embeddings"],
        "max_position_embeddings": config["max_position_embeddings"],
        "bos_token_id": null, "eos_token_id": null
    });
    serde_json::from_value(renamed).unwrap()
}

/// The logits of all positions, token by token.
fn llama_logits(config: &Value, tensors: &Tensors, ids: &[u32]) -> Vec<Vec<f32>> {
    let device = Device::Cpu;
    let config = llama_config(config).into_config(false);
    let tensors = tensors.iter().map(|(name, tensor)| {
        (llama_name(name), Tensor::from_vec(tensor.to_f32(), tensor.shape.as_slice(), &device).unwrap())
    });
    let builder = VarBuilder::from_tensors(tensors.collect(), DType::F32, &device);
    let llama = Llama::load(builder, &config).unwrap();
    let mut cache = Cache::new(true, DType::F32, &config, &device).unwrap();
    let step = |(position, &id): (usize, &u32)| {
        let input = Tensor::new(&[[id]], &device).unwrap();
        llama.forward(&input, position, &mut cache).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    ids.iter().enumerate().map(step).collect()
}

#[test]
fn candles_llama_gives_the_same_logits() {
    for checkpoint in ["exaone35", "exaone3_tied"] {
        let folder = folder(checkpoint);
        let (config, tensors) = (read_config(&folder), read_tensors(&folder));
        for case in cases(checkpoint) {
            let ids = [case.input_ids, case.greedy_ids].concat();
            let expected = llama_logits(&config, &tensors, &ids);
            for (backend, config) in backends() {
                let mut loaded = load(&folder, &config);
                let logits = logits_in_chunks(&mut *loaded.runner, &ids, usize::MAX);
                assert_close(&logits, &expected, F32_TOLERANCE, &format!("{checkpoint} on {backend}"));
            }
        }
    }
}
