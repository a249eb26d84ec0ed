//! The decoder: loads the weights that its spec asks for, and runs a step over any backend.

use super::backend::{AttentionLayer, Backend, HeadNorms};
use super::families::TensorNames;
use super::kv_groups::{KvGroups, KvPlace, kv_groups};
use super::spec::{DecoderSpec, LayerSpec, NormPlacement};
use super::weights::{Checkpoint, Weight, WeightFormat};
use super::{ForwardOutput, HiddenStates, LoadError, Logits, ModelError};

/// The weights of a decoder on a backend, and the buffers of its step.
pub(super) struct Decoder<B: Backend> {
    spec: DecoderSpec,
    vocabulary: B::Vocabulary,
    layers: Vec<Layer<B>>,
    final_norm: B::Norm,
    ropes: Vec<B::Rope>,
    kv_groups: KvGroups,
    buffers: Buffers<B>,
}

/// The weights of a block.
struct Layer<B: Backend> {
    attention_norm: B::Norm,
    qkv: B::Linear,
    head_norms: Option<HeadNorms<B::Norm>>,
    attention_output: B::Linear,
    mlp_norm: B::Norm,
    gate_up: B::Linear,
    down: B::Linear,
}

/// The activations of a step.
struct Buffers<B: Backend> {
    /// The residual stream, `[rows, hidden]`.
    residual: B::Buffer,
    /// What a norm gives, `[rows, hidden]`.
    normed: B::Buffer,
    /// What a branch gives, `[rows, hidden]`.
    branch: B::Buffer,
    inner: InnerBuffers<B>,
}

/// The activations inside of a branch.
struct InnerBuffers<B: Backend> {
    /// `[rows, qkv_width]`
    qkv: B::Buffer,
    /// `[rows, query_width]`
    attended: B::Buffer,
    /// `[rows, 2 * intermediate]`
    gate_up: B::Buffer,
    /// `[rows, intermediate]`
    gated: B::Buffer,
}

/// Takes tensors out of a checkpoint and tells how many bytes are done.
pub(super) struct Loading<'a> {
    checkpoint: Checkpoint,
    names: &'a TensorNames,
    total_bytes: u64,
    progress: &'a mut dyn FnMut(LoadProgress),
}

/// How far the weights are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes packed.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

impl<'a> Loading<'a> {
    /// Starts to load; tensors that nobody needs are forgotten first.
    pub(super) fn new(
        mut checkpoint: Checkpoint,
        names: &'a TensorNames,
        spec: &DecoderSpec,
        progress: &'a mut dyn FnMut(LoadProgress),
    ) -> Self {
        checkpoint.skip(|name| names.is_skipped(name, spec));
        let total_bytes = checkpoint.num_bytes();
        Self { checkpoint, names, total_bytes, progress }
    }

    /// Bytes of all weights in the files.
    pub(super) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// How the embedding is stored, and by that the model; F32 if it is missing, which
    /// [`Decoder::load`] reports.
    pub(super) fn format(&self) -> WeightFormat {
        self.checkpoint.format(self.names.embedding).unwrap_or(WeightFormat::F32)
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Weight, LoadError> {
        self.checkpoint.take(name, shape)
    }

    fn take_in_layer(&mut self, layer: usize, name: &str, shape: &[usize]) -> Result<Weight, LoadError> {
        self.take(&self.names.in_layer(layer, name), shape)
    }

    fn report(&mut self) {
        let total_bytes = self.total_bytes;
        (self.progress)(LoadProgress { done_bytes: total_bytes - self.checkpoint.num_bytes(), total_bytes });
    }
}

impl<B: Backend> Decoder<B> {
    /// Loads all weights, and rotary tables for positions below `max_positions`.
    ///
    /// # Errors
    /// [`LoadError`] if a tensor is missing, left over, of a wrong shape or type, or if the backend
    /// has no memory for it.
    pub(super) fn load(
        backend: &B,
        spec: DecoderSpec,
        max_positions: u32,
        mut loading: Loading<'_>,
    ) -> Result<Self, LoadError> {
        let (hidden, eps) = (spec.hidden_size, spec.norm_eps);
        let names = loading.names;
        let embedding = loading.take(names.embedding, &[spec.vocab_size, hidden])?;
        let head = match spec.tied_output {
            true => None,
            false => Some(loading.take(names.head, &[spec.vocab_size, hidden])?),
        };
        let vocabulary = backend.load_vocabulary(&embedding, head.as_ref())?;
        loading.report();
        let mut layers = Vec::with_capacity(spec.layers.len());
        for layer in 0..spec.layers.len() {
            layers.push(Layer::load(backend, &spec, layer, &mut loading)?);
            loading.report();
        }
        let final_norm = backend.load_norm(&loading.take(names.final_norm, &[hidden])?, eps)?;
        loading.report();
        loading.checkpoint.finish()?;
        let head_dim = spec.heads.head_dim;
        let ropes = spec.ropes.iter().map(|rope| backend.load_rope(rope, head_dim, max_positions));
        let ropes = ropes.collect::<Result<_, _>>()?;
        let kv_groups = kv_groups(&spec);
        let buffers = Buffers::new(backend, &spec);
        Ok(Self { spec, vocabulary, layers, final_norm, ropes, kv_groups, buffers })
    }

    /// The spec.
    pub(super) fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    /// The groups of its layers.
    pub(super) fn kv_groups(&self) -> &KvGroups {
        &self.kv_groups
    }

    /// Runs the step that `backend` has begun and returns the logits of its sampled rows and the
    /// hidden states that it asks for.
    ///
    /// # Errors
    /// [`ModelError::Backend`] with the operation that failed.
    pub(super) fn step(
        &mut self,
        backend: &mut B,
        cache: &mut B::KvCache,
    ) -> Result<ForwardOutput, ModelError> {
        let Self { spec, vocabulary, layers, final_norm, ropes, kv_groups, buffers } = self;
        let Buffers { residual, normed, branch, inner } = buffers;
        backend.copy_blocks(cache)?;
        backend.embed(vocabulary, residual)?;
        let mut branches = Branches { backend, cache, buffers: inner };
        for (index, layer) in layers.iter().enumerate() {
            let LayerSpec { rope, window } = spec.layers[index];
            let KvPlace { group, layer: kv_layer } = kv_groups.places[index];
            let attention = AttentionLayer { group, layer: kv_layer, window, heads: spec.heads };
            let rope = rope.map(|table| &ropes[table]);
            match spec.norm_placement {
                NormPlacement::BeforeBranch => {
                    match index {
                        0 => branches.backend.norm(&layer.attention_norm, residual, normed)?,
                        _ => branches.backend.add_norm(&layer.attention_norm, residual, branch, normed)?,
                    }
                    branches.attend(layer, attention, rope, normed, branch)?;
                    branches.backend.add_norm(&layer.mlp_norm, residual, branch, normed)?;
                    branches.feed_forward(layer, normed, branch)?;
                }
                NormPlacement::AfterBranch => {
                    branches.attend(layer, attention, rope, residual, branch)?;
                    branches.backend.norm(&layer.attention_norm, branch, normed)?;
                    branches.backend.add(residual, normed)?;
                    branches.feed_forward(layer, residual, branch)?;
                    branches.backend.norm(&layer.mlp_norm, branch, normed)?;
                    branches.backend.add(residual, normed)?;
                }
            }
        }
        match spec.norm_placement {
            NormPlacement::BeforeBranch => backend.add_norm(final_norm, residual, branch, normed)?,
            NormPlacement::AfterBranch => backend.norm(final_norm, residual, normed)?,
        }
        let hidden = HiddenStates::new(backend.hidden_rows(normed)?, spec.hidden_size);
        let logits = Logits::new(backend.head(vocabulary, normed)?, spec.vocab_size);
        Ok(ForwardOutput { logits, hidden })
    }
}

impl<B: Backend> Layer<B> {
    fn load(
        backend: &B,
        spec: &DecoderSpec,
        layer: usize,
        loading: &mut Loading<'_>,
    ) -> Result<Self, LoadError> {
        let names = loading.names.layer;
        let (hidden, intermediate, eps) = (spec.hidden_size, spec.intermediate_size, spec.norm_eps);
        let (query_width, kv_width) = (spec.heads.query_width(), spec.heads.kv_width());
        let mut take = |name, shape: &[usize]| loading.take_in_layer(layer, name, shape);
        let query = take(names.query, &[query_width, hidden])?;
        let key = take(names.key, &[kv_width, hidden])?;
        let value = take(names.value, &[kv_width, hidden])?;
        let gate = take(names.gate, &[intermediate, hidden])?;
        let up = take(names.up, &[intermediate, hidden])?;
        let mut load_head_norm = |name| backend.load_norm(&take(name, &[spec.heads.head_dim])?, eps);
        let head_norms = match spec.qk_norm {
            true => {
                let [query, key] = names.head_norms.expect("a family with norms of heads names them");
                Some(HeadNorms { query: load_head_norm(query)?, key: load_head_norm(key)? })
            }
            false => None,
        };
        Ok(Self {
            attention_norm: backend.load_norm(&take(names.attention_norm, &[hidden])?, eps)?,
            qkv: backend.load_linear(&[query, key, value])?,
            head_norms,
            attention_output: backend
                .load_linear(&[take(names.attention_output, &[hidden, query_width])?])?,
            mlp_norm: backend.load_norm(&take(names.mlp_norm, &[hidden])?, eps)?,
            gate_up: backend.load_linear(&[gate, up])?,
            down: backend.load_linear(&[take(names.down, &[hidden, intermediate])?])?,
        })
    }
}

/// What the branches of a step work with.
struct Branches<'a, B: Backend> {
    backend: &'a mut B,
    cache: &'a mut B::KvCache,
    buffers: &'a mut InnerBuffers<B>,
}

impl<B: Backend> Branches<'_, B> {
    /// `out = attention(x)`, both `[rows, hidden]`.
    fn attend(
        &mut self,
        layer: &Layer<B>,
        attention: AttentionLayer,
        rope: Option<&B::Rope>,
        x: &B::Buffer,
        out: &mut B::Buffer,
    ) -> Result<(), ModelError> {
        let Self { backend, cache, buffers: InnerBuffers { qkv, attended, .. } } = self;
        backend.linear(&layer.qkv, x, qkv)?;
        if let Some(norms) = &layer.head_norms {
            backend.norm_heads(attention.heads, norms, qkv)?;
        }
        backend.rotate_and_store(attention, rope, qkv, cache)?;
        backend.attend(attention, qkv, cache, attended)?;
        backend.linear(&layer.attention_output, attended, out)
    }

    /// `out = mlp(x)`, both `[rows, hidden]`.
    fn feed_forward(
        &mut self,
        layer: &Layer<B>,
        x: &B::Buffer,
        out: &mut B::Buffer,
    ) -> Result<(), ModelError> {
        let Self { backend, buffers: InnerBuffers { gate_up, gated, .. }, .. } = self;
        backend.linear(&layer.gate_up, x, gate_up)?;
        backend.silu_gate(gate_up, gated)?;
        backend.linear(&layer.down, gated, out)
    }
}

impl<B: Backend> Buffers<B> {
    fn new(backend: &B, spec: &DecoderSpec) -> Self {
        let hidden = spec.hidden_size;
        Self {
            residual: backend.buffer(hidden),
            normed: backend.buffer(hidden),
            branch: backend.buffer(hidden),
            inner: InnerBuffers {
                qkv: backend.buffer(spec.heads.qkv_width()),
                attended: backend.buffer(spec.heads.query_width()),
                gate_up: backend.buffer(2 * spec.intermediate_size),
                gated: backend.buffer(spec.intermediate_size),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use maru_kernels::Isa;

    use super::*;
    use crate::model::backend::{CpuBackend, KvDtype, KvLayout, ReferenceBackend};
    use crate::model::families::exaone::FAMILY;
    use crate::model::spec::{HeadShape, RopeScaling, RopeSpec};
    use crate::model::test_support::random_checkpoint;
    use crate::model::{BlockTables, ForwardBatch, KvGroupBatch};

    /// A decoder of two layers, the second with or without rotary positions.
    fn spec(second_rope: Option<usize>) -> DecoderSpec {
        DecoderSpec {
            vocab_size: 11,
            hidden_size: 8,
            intermediate_size: 12,
            heads: HeadShape { num_heads: 2, num_kv_heads: 1, head_dim: 4 },
            qk_norm: false,
            norm_placement: NormPlacement::BeforeBranch,
            norm_eps: 1e-5,
            ropes: vec![
                RopeSpec { theta: 100.0, scaling: RopeScaling::None },
                RopeSpec { theta: 3.0, scaling: RopeScaling::None },
            ],
            layers: vec![
                LayerSpec { rope: Some(0), window: None },
                LayerSpec { rope: second_rope, window: None },
            ],
            tied_output: true,
            max_positions: 16,
        }
    }

    fn logits<B: Backend>(mut backend: B, spec: DecoderSpec) -> Vec<f32> {
        let layout = KvLayout { num_layers: 2, heads: spec.heads, block_size: 4, dtype: KvDtype::F32 };
        let mut ignore = |_| {};
        let loading = Loading::new(random_checkpoint(&spec), &FAMILY.names, &spec, &mut ignore);
        let mut decoder = Decoder::load(&backend, spec, 16, loading).unwrap();
        let mut cache = backend.kv_cache(&layout, 4).unwrap();
        let tables: [&[u32]; 1] = [&[2, 0]];
        let batch = ForwardBatch {
            token_ids: vec![3, 1, 4, 1, 5, 9],
            positions: (0..6).collect(),
            query_start: vec![0, 6],
            context_lens: vec![6],
            kv: vec![KvGroupBatch {
                slot_mapping: vec![8, 9, 10, 11, 0, 1],
                block_tables: BlockTables::from_rows(tables.into_iter()),
            }],
            block_copies: vec![],
            sample_rows: (0..6).collect(),
            hidden_rows: vec![],
        };
        backend.begin_step(&batch).unwrap();
        let logits = decoder.step(&mut backend, &mut cache).unwrap().logits;
        (0..6).flat_map(|row| logits.row(row).to_vec()).collect()
    }

    #[test]
    fn layers_with_another_or_no_rotary_table_agree_on_all_backends() {
        let mut seen: Vec<Vec<f32>> = Vec::new();
        for second_rope in [Some(0), Some(1), None] {
            let expected = logits(ReferenceBackend::new(), spec(second_rope));
            for isa in Isa::available() {
                let backend = CpuBackend::new(isa, NonZeroUsize::MIN).unwrap();
                let actual = logits(backend, spec(second_rope));
                let difference = actual.iter().zip(&expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max);
                assert!(difference < 2e-5, "{second_rope:?} on {isa}: {difference:e}");
            }
            let differs = |other: &Vec<f32>| other.iter().zip(&expected).any(|(a, b)| (a - b).abs() > 1e-2);
            assert!(seen.iter().all(differs), "{second_rope:?} changes nothing");
            seen.push(expected);
        }
    }
}
