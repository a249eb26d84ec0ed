//! What the engine sees of a model: a batch goes in, logits and hidden states come out.

use super::{ForwardBatch, ModelError};

/// Runs forward passes. The engine thread owns it and calls it once per step.
pub trait Runner: Send {
    /// Computes one step: writes K and V of every token and returns the logits of `batch.sample_rows` and the hidden
    /// states of `batch.hidden_rows`.
    ///
    /// # Errors
    /// [`ModelError`] if the batch does not fit the model or a kernel refuses its shapes.
    fn forward(&mut self, batch: &ForwardBatch) -> Result<ForwardOutput, ModelError>;

    /// Size of the KV pool that the batch's slots and block ids address.
    fn kv_capacity(&self) -> KvCapacity;

    /// The groups of layers that share block tables, at least one. A sequence has a block table per
    /// group, in this order; any block of the pool serves any group.
    fn kv_groups(&self) -> Vec<KvGroup> {
        vec![KvGroup { window: None }]
    }
}

/// Layers that share a block table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvGroup {
    /// Tokens that a row sees, itself included; all before it if none.
    pub window: Option<u32>,
}

impl KvGroup {
    /// The first position that the row at `position` sees.
    pub fn first_visible(self, position: u32) -> u32 {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// Size of the paged KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvCapacity {
    /// Number of blocks in the pool.
    pub num_blocks: u32,
    /// Tokens per block.
    pub block_size: u32,
}

impl KvCapacity {
    /// Tokens that the whole pool holds.
    pub fn num_tokens(&self) -> u64 {
        u64::from(self.num_blocks) * u64::from(self.block_size)
    }
}

/// What a forward pass gives.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardOutput {
    /// Of `ForwardBatch::sample_rows`.
    pub logits: Logits,
    /// Of `ForwardBatch::hidden_rows`.
    pub hidden: HiddenStates,
}

/// Logits of the sampled rows, `[num_rows, vocab_size]`, f32.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    data: Vec<f32>,
    vocab_size: usize,
}

impl Logits {
    /// Wraps row-major logits.
    ///
    /// # Panics
    /// If `data` is not a whole number of rows.
    pub fn new(data: Vec<f32>, vocab_size: usize) -> Self {
        assert!(vocab_size > 0 && data.len().is_multiple_of(vocab_size), "logits are whole rows");
        Self { data, vocab_size }
    }

    /// Number of rows, one per entry of `ForwardBatch::sample_rows`.
    pub fn num_rows(&self) -> usize {
        self.data.len() / self.vocab_size
    }

    /// Width of a row.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Row `index`, `[vocab_size]`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.data[index * self.vocab_size..(index + 1) * self.vocab_size]
    }
}

/// Hidden states after the final norm, before the head, `[num_rows, hidden_size]`, f32.
#[derive(Debug, Clone, PartialEq)]
pub struct HiddenStates {
    data: Vec<f32>,
    hidden_size: usize,
}

impl HiddenStates {
    /// Wraps row-major hidden states.
    ///
    /// # Panics
    /// If `data` is not a whole number of rows.
    pub fn new(data: Vec<f32>, hidden_size: usize) -> Self {
        assert!(hidden_size > 0 && data.len().is_multiple_of(hidden_size), "hidden states are whole rows");
        Self { data, hidden_size }
    }

    /// No rows.
    pub fn none() -> Self {
        Self::new(Vec::new(), 1)
    }

    /// Number of rows, one per entry of `ForwardBatch::hidden_rows`.
    pub fn num_rows(&self) -> usize {
        self.data.len() / self.hidden_size
    }

    /// Row `index`, `[hidden_size]`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.data[index * self.hidden_size..(index + 1) * self.hidden_size]
    }
}
