//! The seam below the decoder: the operations of a step, and what they work on.
//!
//! The decoder's step is written once over [`Backend`]. Buffers and weights are the backend's own
//! types: an f32 vector, a candle tensor, device memory. A step's integers are handed over once,
//! by [`Backend::begin_step`]; after that every operation works on the rows of that step in
//! buffers made once at load, so that a device can keep them resident and replay the step. Only
//! the logits of the sampled rows come back, and the hidden states that are asked for.

mod cpu;
mod reference;

pub(super) use cpu::CpuBackend;
pub(super) use reference::ReferenceBackend;

use super::spec::{HeadShape, RopeSpec};
use super::weights::Weight;
use super::{ForwardBatch, LoadError, ModelError};

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvDtype {
    /// 4 bytes per value.
    F32,
    /// 2 bytes per value.
    Bf16,
}

impl KvDtype {
    /// The name in logs.
    pub fn name(self) -> &'static str {
        match self {
            KvDtype::F32 => "f32",
            KvDtype::Bf16 => "bf16",
        }
    }
}

/// The dimensions of a KV cache, except the number of its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KvLayout {
    /// Layers of a group.
    pub(super) num_layers: usize,
    pub(super) heads: HeadShape,
    /// Tokens per block.
    pub(super) block_size: u32,
    pub(super) dtype: KvDtype,
}

/// The operations of a decoder step. `rows` below is the number of tokens of the current step.
pub(super) trait Backend: Send {
    /// A matrix of activations, `[rows, width]`, reused from step to step.
    type Buffer: Send;
    /// A linear layer.
    type Linear: Send;
    /// The weight of an RMS norm, with its epsilon.
    type Norm: Send;
    /// The embedding and the head, which may be one matrix.
    type Vocabulary: Send;
    /// A rotary table.
    type Rope: Send;
    /// Keys and values in blocks of one pool; a block has them for all layers of a group.
    type KvCache: Send;

    /// The name in configuration and logs.
    fn name(&self) -> &'static str;

    /// Whether weights, keys and values stay in bf16 if they come so.
    fn keeps_bf16(&self) -> bool;

    /// A buffer for rows of `width` values.
    fn buffer(&self, width: usize) -> Self::Buffer;

    /// Packs matrices `[out, in]` of one input, stacked in this order along the output.
    fn load_linear(&self, parts: &[Weight]) -> Result<Self::Linear, LoadError>;

    /// Takes the weight of an RMS norm, `[width]`.
    fn load_norm(&self, weight: &Weight, eps: f32) -> Result<Self::Norm, LoadError>;

    /// Packs the embedding and the head, `[vocab, hidden]` each; without a head the embedding is
    /// both.
    fn load_vocabulary(
        &self,
        embedding: &Weight,
        head: Option<&Weight>,
    ) -> Result<Self::Vocabulary, LoadError>;

    /// Computes the rotary table of positions `0..max_positions`.
    fn load_rope(
        &self,
        rope: &RopeSpec,
        head_dim: usize,
        max_positions: u32,
    ) -> Result<Self::Rope, LoadError>;

    /// Bytes of one block over all layers of a group, or none if they overflow.
    fn kv_block_bytes(&self, layout: &KvLayout) -> Option<u64>;

    /// Allocates the KV cache.
    fn kv_cache(&self, layout: &KvLayout, num_blocks: u32) -> Result<Self::KvCache, LoadError>;

    /// Takes the integers of a step: how many rows, which tokens, where they stand and where their
    /// keys and values are. The batch has been checked against the model and the pool.
    fn begin_step(&mut self, batch: &ForwardBatch) -> Result<(), ModelError>;

    /// Copies the blocks that the step asks for, one after the other.
    fn copy_blocks(&mut self, cache: &mut Self::KvCache) -> Result<(), ModelError>;

    /// `out = embedding[token_ids]`, `[rows, hidden]`.
    fn embed(&mut self, vocabulary: &Self::Vocabulary, out: &mut Self::Buffer) -> Result<(), ModelError>;

    /// `out = norm(x)`.
    fn norm(&mut self, norm: &Self::Norm, x: &Self::Buffer, out: &mut Self::Buffer)
    -> Result<(), ModelError>;

    /// `residual += branch`, then `out = norm(residual)`.
    fn add_norm(
        &mut self,
        norm: &Self::Norm,
        residual: &mut Self::Buffer,
        branch: &Self::Buffer,
        out: &mut Self::Buffer,
    ) -> Result<(), ModelError>;

    /// `x += delta`.
    fn add(&mut self, x: &mut Self::Buffer, delta: &Self::Buffer) -> Result<(), ModelError>;

    /// `out = x Wᵀ`.
    fn linear(
        &mut self,
        linear: &Self::Linear,
        x: &Self::Buffer,
        out: &mut Self::Buffer,
    ) -> Result<(), ModelError>;

    /// Normalises each query head and each key head of `qkv` (`[rows, qkv_width]`) by itself.
    fn norm_heads(
        &mut self,
        heads: HeadShape,
        norms: &HeadNorms<Self::Norm>,
        qkv: &mut Self::Buffer,
    ) -> Result<(), ModelError>;

    /// Turns the queries and keys of `qkv` (`[rows, qkv_width]`) by their positions, if there is a
    /// table, and writes keys and values into the slots of layer `layer`.
    fn rotate_and_store(
        &mut self,
        attention: AttentionLayer,
        rope: Option<&Self::Rope>,
        qkv: &mut Self::Buffer,
        cache: &mut Self::KvCache,
    ) -> Result<(), ModelError>;

    /// Causal attention of the queries in `qkv` over the sequence's cached keys and values that the
    /// layer's window lets a row see, `out: [rows, query_width]`. Scores are scaled by
    /// `head_dim^-0.5`. Blocks that no row sees are not looked at.
    fn attend(
        &mut self,
        attention: AttentionLayer,
        qkv: &Self::Buffer,
        cache: &Self::KvCache,
        out: &mut Self::Buffer,
    ) -> Result<(), ModelError>;

    /// `out = silu(gate) * up` of `gate_up: [rows, 2 * width]`, the gate first.
    fn silu_gate(&mut self, gate_up: &Self::Buffer, out: &mut Self::Buffer) -> Result<(), ModelError>;

    /// The logits of the sampled rows of `x`, `[sample_rows, vocab]`.
    fn head(&mut self, vocabulary: &Self::Vocabulary, x: &Self::Buffer) -> Result<Vec<f32>, ModelError>;

    /// The rows of `x` whose hidden states the step asks for, `[hidden_rows, hidden]`.
    fn hidden_rows(&mut self, x: &Self::Buffer) -> Result<Vec<f32>, ModelError>;
}

/// The norms of query and key heads, `[head_dim]` each.
#[derive(Debug)]
pub(super) struct HeadNorms<N> {
    pub(super) query: N,
    pub(super) key: N,
}

/// Which attention an operation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AttentionLayer {
    /// Index of its group in the batch's `kv`.
    pub(super) group: usize,
    /// Index of the layer in the KV cache: its place in the group.
    pub(super) layer: usize,
    /// Tokens that a row sees, itself included; all before it if none.
    pub(super) window: Option<u32>,
    /// Its heads.
    pub(super) heads: HeadShape,
}
