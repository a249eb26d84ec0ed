//! The default without a GPU: the SIMD kernels of `maru_kernels` over packed weights.
//!
//! Weights keep the type that the file has (F16 is widened to f32) and are packed once; a tied
//! embedding reads its rows out of the packed head, so it is in memory once. Activations are f32.
//! A row's result has the same bits whatever else is in the batch.

use std::num::NonZeroUsize;
use std::sync::Arc;

use maru_kernels::cpu::{
    self, AttentionBatch, AttentionParams, CpuContext, EmbeddingTable, PackedLinear, PagedKv, PagedKvLayout,
    RotaryTable, RowData, Rows, RowsMut, WeightRows,
};
use maru_kernels::{ComputePool, Isa, KernelError};

use super::{AttentionLayer, Backend, HeadNorms, KvDtype, KvLayout};
use crate::model::spec::{HeadShape, RopeSpec};
use crate::model::weights::{Weight, WeightValues};
use crate::model::{ForwardBatch, LoadError, ModelError};

const NAME: &str = "cpu";

/// The kernels of one instruction set on a pool of threads.
#[derive(Debug)]
pub(in crate::model) struct CpuBackend {
    ctx: CpuContext,
    step: ForwardBatch,
    /// The sampled rows of the last norm, `[sample_rows, hidden]`.
    sampled: Vec<f32>,
}

/// Rows of activations; keeps the memory of the largest step.
#[derive(Debug)]
pub(in crate::model) struct HostBuffer {
    data: Vec<f32>,
    width: usize,
}

/// The weight of an RMS norm.
#[derive(Debug)]
pub(in crate::model) struct Norm {
    weight: Vec<f32>,
    eps: f32,
}

/// Embedding and head, one packed matrix if tied.
#[derive(Debug)]
pub(in crate::model) struct Vocabulary {
    embedding: EmbeddingTable,
    head: Arc<PackedLinear>,
}

impl CpuBackend {
    /// The kernels of `isa` on `num_threads` threads, the caller of each operation included.
    ///
    /// # Errors
    /// [`LoadError::Setting`] if this machine lacks the instruction set.
    pub(in crate::model) fn new(isa: Isa, num_threads: NonZeroUsize) -> Result<Self, LoadError> {
        let ctx = CpuContext::new(isa, ComputePool::new(num_threads))
            .map_err(|error| LoadError::Setting { key: "isa", reason: error.to_string() })?;
        Ok(Self { ctx, step: ForwardBatch::default(), sampled: Vec::new() })
    }

    fn num_rows(&self) -> usize {
        self.step.num_tokens()
    }
}

impl HostBuffer {
    /// The first `num_rows` rows, as the last operation left them.
    fn rows(&self, num_rows: usize) -> &[f32] {
        &self.data[..num_rows * self.width]
    }

    /// Appends some of these rows to `out`.
    fn append_rows(&self, rows: &[u32], out: &mut Vec<f32>) {
        for &row in rows {
            let start = row as usize * self.width;
            out.extend_from_slice(&self.data[start..start + self.width]);
        }
    }

    /// The first `num_rows` rows, to be written; grows if this step is the largest so far.
    fn rows_mut(&mut self, num_rows: usize) -> &mut [f32] {
        let len = num_rows * self.width;
        if self.data.len() < len {
            self.data.resize(len, 0.0);
        }
        &mut self.data[..len]
    }
}

fn load_error(error: KernelError) -> LoadError {
    LoadError::Backend { backend: NAME, reason: error.to_string() }
}

/// Gives a failed operation its name.
fn run<T>(op: &'static str, result: Result<T, KernelError>) -> Result<T, ModelError> {
    result.map_err(|error| ModelError::Backend { op, reason: error.to_string() })
}

/// Packs matrices of one input; where the file mixes types, all are widened.
fn pack(parts: &[Weight]) -> Result<PackedLinear, LoadError> {
    let in_features = parts[0].shape()[1];
    let out_features = parts.iter().map(|part| part.shape()[0]).sum();
    let mut values: Vec<WeightValues<'_>> = parts.iter().map(Weight::values).collect();
    let is_bf16 = |values: &WeightValues<'_>| matches!(values, WeightValues::Bf16(_));
    if values.iter().any(is_bf16) && !values.iter().all(is_bf16) {
        values = parts.iter().map(|part| WeightValues::F32(part.to_f32().into())).collect();
    }
    let rows = parts.iter().zip(&values).map(|(part, values)| WeightRows {
        rows: part.shape()[0],
        data: match values {
            WeightValues::F32(values) => RowData::F32(values),
            WeightValues::Bf16(values) => RowData::Bf16(values),
        },
    });
    PackedLinear::pack(in_features, out_features, &rows.collect::<Vec<_>>()).map_err(load_error)
}

fn kernel_layout(layout: &KvLayout, num_blocks: u32) -> PagedKvLayout {
    PagedKvLayout {
        num_layers: layout.num_layers,
        num_blocks: num_blocks as usize,
        block_size: layout.block_size as usize,
        num_kv_heads: layout.heads.num_kv_heads,
        head_dim: layout.heads.head_dim,
        dtype: match layout.dtype {
            KvDtype::F32 => cpu::KvDtype::F32,
            KvDtype::Bf16 => cpu::KvDtype::Bf16,
        },
    }
}

impl Backend for CpuBackend {
    type Buffer = HostBuffer;
    type Linear = PackedLinear;
    type Norm = Norm;
    type Vocabulary = Vocabulary;
    type Rope = RotaryTable;
    type KvCache = PagedKv;

    fn name(&self) -> &'static str {
        NAME
    }

    fn keeps_bf16(&self) -> bool {
        true
    }

    fn buffer(&self, width: usize) -> HostBuffer {
        HostBuffer { data: Vec::new(), width }
    }

    fn load_linear(&self, parts: &[Weight]) -> Result<PackedLinear, LoadError> {
        pack(parts)
    }

    fn load_norm(&self, weight: &Weight, eps: f32) -> Result<Norm, LoadError> {
        Ok(Norm { weight: weight.to_f32(), eps })
    }

    fn load_vocabulary(&self, embedding: &Weight, head: Option<&Weight>) -> Result<Vocabulary, LoadError> {
        let Some(head) = head else {
            let head = Arc::new(pack(std::slice::from_ref(embedding))?);
            return Ok(Vocabulary { embedding: EmbeddingTable::tied(Arc::clone(&head)), head });
        };
        let (vocab_size, hidden) = (embedding.shape()[0], embedding.shape()[1]);
        let values = embedding.values();
        let data = match &values {
            WeightValues::F32(values) => RowData::F32(values),
            WeightValues::Bf16(values) => RowData::Bf16(values),
        };
        let embedding = EmbeddingTable::new(vocab_size, hidden, data).map_err(load_error)?;
        Ok(Vocabulary { embedding, head: Arc::new(pack(std::slice::from_ref(head))?) })
    }

    fn load_rope(
        &self,
        rope: &RopeSpec,
        head_dim: usize,
        max_positions: u32,
    ) -> Result<RotaryTable, LoadError> {
        const ATTENTION_FACTOR: f32 = 1.0;
        let frequencies = rope.inverse_frequencies(head_dim);
        Ok(RotaryTable::new(&frequencies, max_positions as usize, ATTENTION_FACTOR))
    }

    fn kv_block_bytes(&self, layout: &KvLayout) -> Option<u64> {
        kernel_layout(layout, 1).block_bytes().and_then(|bytes| u64::try_from(bytes).ok())
    }

    fn kv_cache(&self, layout: &KvLayout, num_blocks: u32) -> Result<PagedKv, LoadError> {
        PagedKv::new(kernel_layout(layout, num_blocks)).map_err(load_error)
    }

    fn begin_step(&mut self, batch: &ForwardBatch) -> Result<(), ModelError> {
        self.step.clone_from(batch);
        Ok(())
    }

    fn copy_blocks(&mut self, cache: &mut PagedKv) -> Result<(), ModelError> {
        for copy in &self.step.block_copies {
            run("kv_copy", cache.copy_block(&self.ctx, copy.from, copy.to))?;
        }
        Ok(())
    }

    fn embed(&mut self, vocabulary: &Vocabulary, out: &mut HostBuffer) -> Result<(), ModelError> {
        let out = out.rows_mut(self.num_rows());
        run("embed", cpu::gather(&self.ctx, &vocabulary.embedding, &self.step.token_ids, out))
    }

    fn norm(&mut self, norm: &Norm, x: &HostBuffer, out: &mut HostBuffer) -> Result<(), ModelError> {
        let num_rows = self.num_rows();
        let (x, out) = (x.rows(num_rows), out.rows_mut(num_rows));
        run("norm", cpu::rms_norm(&self.ctx, x, &norm.weight, norm.eps, out))
    }

    fn add_norm(
        &mut self,
        norm: &Norm,
        residual: &mut HostBuffer,
        branch: &HostBuffer,
        out: &mut HostBuffer,
    ) -> Result<(), ModelError> {
        let num_rows = self.num_rows();
        let (residual, branch) = (residual.rows_mut(num_rows), branch.rows(num_rows));
        let out = out.rows_mut(num_rows);
        run("add_norm", cpu::add_rms_norm(&self.ctx, residual, branch, &norm.weight, norm.eps, out))
    }

    fn add(&mut self, x: &mut HostBuffer, delta: &HostBuffer) -> Result<(), ModelError> {
        let num_rows = self.num_rows();
        run("add", cpu::add(&self.ctx, x.rows_mut(num_rows), delta.rows(num_rows)))
    }

    fn linear(
        &mut self,
        linear: &PackedLinear,
        x: &HostBuffer,
        out: &mut HostBuffer,
    ) -> Result<(), ModelError> {
        let num_rows = self.num_rows();
        run("linear", cpu::linear(&self.ctx, x.rows(num_rows), linear, out.rows_mut(num_rows)))
    }

    fn norm_heads(
        &mut self,
        heads: HeadShape,
        norms: &HeadNorms<Norm>,
        qkv: &mut HostBuffer,
    ) -> Result<(), ModelError> {
        let (query_width, stride) = (heads.query_width(), heads.qkv_width());
        let qkv = qkv.rows_mut(self.num_rows());
        let key_columns = query_width..query_width + heads.kv_width();
        for (norm, columns) in [(&norms.query, 0..query_width), (&norms.key, key_columns)] {
            let normed = RowsMut::new(qkv, stride, columns)
                .and_then(|x| cpu::rms_norm_heads(&self.ctx, x, &norm.weight, norm.eps));
            run("norm_heads", normed)?;
        }
        Ok(())
    }

    fn rotate_and_store(
        &mut self,
        attention: AttentionLayer,
        rope: Option<&RotaryTable>,
        qkv: &mut HostBuffer,
        cache: &mut PagedKv,
    ) -> Result<(), ModelError> {
        let heads = attention.heads;
        let stride = heads.qkv_width();
        let values_start = heads.query_width() + heads.kv_width();
        let qkv = qkv.rows_mut(self.num_rows());
        if let Some(rope) = rope {
            let turned = RowsMut::new(qkv, stride, 0..values_start);
            let rotary = turned
                .and_then(|x| cpu::apply_rotary(&self.ctx, rope, x, heads.head_dim, &self.step.positions));
            run("rotary", rotary)?;
        }
        let keys = run("kv_write", Rows::new(qkv, stride, heads.query_width()..values_start))?;
        let values = run("kv_write", Rows::new(qkv, stride, values_start..stride))?;
        let slots = &self.step.kv[attention.group].slot_mapping;
        run("kv_write", cache.write(&self.ctx, attention.layer, slots, keys, values))
    }

    fn attend(
        &mut self,
        attention: AttentionLayer,
        qkv: &HostBuffer,
        cache: &PagedKv,
        out: &mut HostBuffer,
    ) -> Result<(), ModelError> {
        let (heads, num_rows) = (attention.heads, self.num_rows());
        let params = AttentionParams {
            num_heads: heads.num_heads,
            num_kv_heads: heads.num_kv_heads,
            head_dim: heads.head_dim,
            scale: (heads.head_dim as f32).powf(-0.5),
            window: attention.window,
            soft_cap: None,
        };
        let tables = &self.step.kv[attention.group].block_tables;
        let batch = AttentionBatch {
            query_start: &self.step.query_start,
            context_lens: &self.step.context_lens,
            block_tables: &tables.data,
            max_blocks: tables.max_blocks,
        };
        let queries = Rows::new(qkv.rows(num_rows), heads.qkv_width(), 0..heads.query_width());
        let queries = run("attention", queries)?;
        let out = out.rows_mut(num_rows);
        run(
            "attention",
            cpu::paged_attention(&self.ctx, &params, cache, attention.layer, queries, &batch, out),
        )
    }

    fn silu_gate(&mut self, gate_up: &HostBuffer, out: &mut HostBuffer) -> Result<(), ModelError> {
        let num_rows = self.num_rows();
        let width = out.width;
        run("silu_gate", cpu::silu_gate(&self.ctx, gate_up.rows(num_rows), width, out.rows_mut(num_rows)))
    }

    fn head(&mut self, vocabulary: &Vocabulary, x: &HostBuffer) -> Result<Vec<f32>, ModelError> {
        self.sampled.clear();
        x.append_rows(&self.step.sample_rows, &mut self.sampled);
        let mut logits = vec![0.0; self.step.sample_rows.len() * vocabulary.head.out_features()];
        run("head", cpu::linear(&self.ctx, &self.sampled, &vocabulary.head, &mut logits))?;
        Ok(logits)
    }

    fn hidden_rows(&mut self, x: &HostBuffer) -> Result<Vec<f32>, ModelError> {
        let mut hidden = Vec::with_capacity(self.step.hidden_rows.len() * x.width);
        x.append_rows(&self.step.hidden_rows, &mut hidden);
        Ok(hidden)
    }
}
