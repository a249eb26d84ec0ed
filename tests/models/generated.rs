//! Models with random weights in shapes that the checkpoints do not have: the `cpu` backend
//! against the `reference` backend.

use maru::model::ModelConfig;
use serde_json::{Value, json};

use crate::support::{
    F32_TOLERANCE, Random, RawTensor, Tensors, assert_close, backends, load, logits_in_chunks,
    write_checkpoint,
};

/// A small EXAONE-shaped model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiny {
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) num_layers: usize,
    pub(crate) num_heads: usize,
    pub(crate) num_kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) tied: bool,
    pub bf16: bool,
}

impl Default for Tiny {
    fn default() -> Self {
        Self {
            vocab_size: 97,
            hidden_size: 72,
            intermediate_size: 100,
            num_layers: 2,
            num_heads: 4,
            num_kv_heads: 2,
            head_dim: 64,
            tied: true,
            bf16: false,
        }
    }
}

impl Tiny {
    pub(crate) fn config(&self) -> Value {
        json!({
            "model_type": "exaone", "architectures": ["ExaoneForCausalLM"], "activation_function": "silu",
            "vocab_size": self.vocab_size, "hidden_size": self.hidden_size, "num_layers": self.num_layers,
            "intermediate_size": self.intermediate_size, "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads, "head_dim": self.head_dim, "layer_norm_epsilon": 1e-5,
            "max_position_embeddings": 1024, "rope_theta": 10000.0, "tie_word_embeddings": self.tied,
            "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
        })
    }

    /// Weights large enough that attention is far from uniform.
    pub(crate) fn tensors(&self, seed: u64) -> Tensors {
        let mut random = Random::new(seed);
        let mut tensors = Tensors::new();
        let mut add = |name: String, shape: &[usize], centre: f32, deviation: f32| {
            let count = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|_| centre + deviation * random.normal()).collect();
            let tensor = RawTensor::from_f32(shape, &values);
            tensors.insert(name, if self.bf16 { tensor.to_bf16() } else { tensor });
        };
        let (hidden, intermediate) = (self.hidden_size, self.intermediate_size);
        let (query, kv) = (self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim);
        let weight = |fan_in: usize| 1.4 / (fan_in as f32).sqrt();
        add("transformer.wte.weight".to_owned(), &[self.vocab_size, hidden], 0.0, weight(hidden));
        for layer in 0..self.num_layers {
            let mut linear = |name: &str, rows: usize, columns: usize| {
                add(format!("transformer.h.{layer}.{name}.weight"), &[rows, columns], 0.0, weight(columns));
            };
            linear("attn.attention.q_proj", query, hidden);
            linear("attn.attention.k_proj", kv, hidden);
            linear("attn.attention.v_proj", kv, hidden);
            linear("attn.attention.out_proj", hidden, query);
            linear("mlp.c_fc_0", intermediate, hidden);
            linear("mlp.c_fc_1", intermediate, hidden);
            linear("mlp.c_proj", hidden, intermediate);
            for norm in ["ln_1", "ln_2"] {
                add(format!("transformer.h.{layer}.{norm}.weight"), &[hidden], 1.0, 0.2);
            }
        }
        add("transformer.ln_f.weight".to_owned(), &[hidden], 1.0, 0.2);
        if !self.tied {
            add("lm_head.weight".to_owned(), &[self.vocab_size, hidden], 0.0, weight(hidden));
        }
        tensors
    }

    pub(crate) fn write(&self, seed: u64) -> tempfile::TempDir {
        write_checkpoint(&self.config(), &self.tensors(seed))
    }
}

#[test]
fn every_head_width_agrees_with_the_reference() {
    for head_dim in [64, 80, 128, 256] {
        for tied in [true, false] {
            let tiny = Tiny { head_dim, tied, ..Tiny::default() };
            compare(&tiny, 120, &format!("head_dim {head_dim}, tied {tied}"));
        }
    }
}

#[test]
fn odd_shapes_agree_with_the_reference() {
    let shapes = [
        Tiny {
            num_heads: 6,
            num_kv_heads: 1,
            head_dim: 16,
            hidden_size: 33,
            intermediate_size: 17,
            ..Tiny::default()
        },
        Tiny { num_heads: 3, num_kv_heads: 3, head_dim: 34, vocab_size: 1, ..Tiny::default() },
        Tiny {
            num_heads: 1,
            num_kv_heads: 1,
            head_dim: 2,
            hidden_size: 1,
            intermediate_size: 1,
            ..Tiny::default()
        },
    ];
    for tiny in shapes {
        compare(&tiny, 40, &format!("{tiny:?}"));
    }
}

fn compare(tiny: &Tiny, num_tokens: usize, what: &str) {
    let folder = tiny.write(3);
    let ids = Random::new(1).ids(num_tokens, tiny.vocab_size);
    let mut expected: Option<Vec<Vec<f32>>> = None;
    for (backend, config) in backends() {
        let config = ModelConfig { block_size: 8, ..config };
        let mut loaded = load(folder.path(), &config);
        let logits = logits_in_chunks(&mut *loaded.runner, &ids, 50);
        let expected = expected.get_or_insert_with(|| logits.clone());
        assert_close(&logits, expected, F32_TOLERANCE, &format!("{what} on {backend}"));
    }
}
