//! A decoder, its backend and its KV cache as a [`Runner`].

use super::backend::Backend;
use super::decoder::Decoder;
use super::{BatchLimits, ForwardBatch, ForwardOutput, KvCapacity, KvGroup, ModelError, Runner};

/// Runs a decoder on a backend.
pub(super) struct ModelRunner<B: Backend> {
    backend: B,
    decoder: Decoder<B>,
    cache: B::KvCache,
    limits: BatchLimits,
}

impl<B: Backend> ModelRunner<B> {
    /// Puts the parts together; `limits` are those of the decoder and the cache.
    pub(super) fn new(backend: B, decoder: Decoder<B>, cache: B::KvCache, limits: BatchLimits) -> Self {
        Self { backend, decoder, cache, limits }
    }
}

impl<B: Backend> Runner for ModelRunner<B> {
    fn forward(&mut self, batch: &ForwardBatch) -> Result<ForwardOutput, ModelError> {
        batch.check(&self.limits, &self.decoder.kv_groups().groups)?;
        self.backend.begin_step(batch)?;
        self.decoder.step(&mut self.backend, &mut self.cache)
    }

    fn kv_capacity(&self) -> KvCapacity {
        self.limits.kv_capacity
    }

    fn kv_groups(&self) -> Vec<KvGroup> {
        self.decoder.kv_groups().groups.clone()
    }
}

#[cfg(test)]
#[path = "model_runner_tests.rs"]
mod tests;
