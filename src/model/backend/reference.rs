//! The definition: candle's operations in f32 on the CPU, the paged cache read by gather.
//!
//! Every operation is the textbook one; nothing is fused and nothing is fast. The other backends
//! are tested against it.

use candle_core::{D, DType, Device, Result as CandleResult, Tensor};
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};
use candle_nn::rotary_emb::rope;

use super::{AttentionLayer, Backend, HeadNorms, KvDtype, KvLayout};
use crate::model::spec::{HeadShape, RopeSpec};
use crate::model::weights::Weight;
use crate::model::{BlockCopy, BlockTables, ForwardBatch, KvGroup, LoadError, ModelError};

const NAME: &str = "reference";

/// candle in f32.
#[derive(Debug)]
pub(in crate::model) struct ReferenceBackend {
    device: Device,
    step: Option<Step>,
}

/// The integers of a step, as tensors where candle wants them so.
#[derive(Debug)]
struct Step {
    token_ids: Tensor,
    positions: Tensor,
    sample_rows: Tensor,
    hidden_rows: Tensor,
    query_start: Vec<u32>,
    context_lens: Vec<u32>,
    kv: Vec<GroupStep>,
    block_copies: Vec<BlockCopy>,
}

/// Where a group of layers has its keys and values.
#[derive(Debug)]
struct GroupStep {
    slots: Tensor,
    block_tables: BlockTables,
}

/// The last value that an operation left here; none before the first step.
#[derive(Debug, Default)]
pub(in crate::model) struct TensorBuffer(Option<Tensor>);

/// The weight of an RMS norm.
#[derive(Debug)]
pub(in crate::model) struct Norm {
    weight: Tensor,
    eps: f32,
}

/// Embedding and head, `[vocab, hidden]` each; one storage if tied.
#[derive(Debug)]
pub(in crate::model) struct Vocabulary {
    embedding: Tensor,
    head: Tensor,
}

/// Cosines and sines, `[max_positions, head_dim / 2]` each.
#[derive(Debug)]
pub(in crate::model) struct Rope {
    cos: Tensor,
    sin: Tensor,
}

/// Keys and values per layer of a group, `[num_slots, kv_width]` each.
#[derive(Debug)]
pub(in crate::model) struct KvCache {
    block_size: u32,
    layers: Vec<(Tensor, Tensor)>,
}

impl ReferenceBackend {
    /// The backend on the CPU.
    pub(in crate::model) fn new() -> Self {
        Self { device: Device::Cpu, step: None }
    }

    fn tensor(&self, weight: &Weight) -> Result<Tensor, LoadError> {
        Tensor::from_vec(weight.to_f32(), weight.shape(), &self.device).map_err(load_error)
    }

    fn step(&self) -> &Step {
        self.step.as_ref().expect("a step begins with begin_step")
    }
}

impl TensorBuffer {
    fn get(&self) -> &Tensor {
        self.0.as_ref().expect("an operation has filled the buffer in this step")
    }
}

fn load_error(error: candle_core::Error) -> LoadError {
    LoadError::Backend { backend: NAME, reason: error.to_string() }
}

/// Gives a failed operation its name.
fn run<T>(op: &'static str, result: CandleResult<T>) -> Result<T, ModelError> {
    result.map_err(|error| ModelError::Backend { op, reason: error.to_string() })
}

impl Backend for ReferenceBackend {
    type Buffer = TensorBuffer;
    type Linear = Tensor;
    type Norm = Norm;
    type Vocabulary = Vocabulary;
    type Rope = Rope;
    type KvCache = KvCache;

    fn name(&self) -> &'static str {
        NAME
    }

    fn keeps_bf16(&self) -> bool {
        false
    }

    fn buffer(&self, _width: usize) -> TensorBuffer {
        TensorBuffer::default()
    }

    fn load_linear(&self, parts: &[Weight]) -> Result<Tensor, LoadError> {
        let parts = parts.iter().map(|part| self.tensor(part)).collect::<Result<Vec<_>, _>>()?;
        Tensor::cat(&parts, 0).map_err(load_error)
    }

    fn load_norm(&self, weight: &Weight, eps: f32) -> Result<Norm, LoadError> {
        Ok(Norm { weight: self.tensor(weight)?, eps })
    }

    fn load_vocabulary(&self, embedding: &Weight, head: Option<&Weight>) -> Result<Vocabulary, LoadError> {
        let embedding = self.tensor(embedding)?;
        let head = head.map_or(Ok(embedding.clone()), |head| self.tensor(head))?;
        Ok(Vocabulary { embedding, head })
    }

    fn load_rope(&self, rope: &RopeSpec, head_dim: usize, max_positions: u32) -> Result<Rope, LoadError> {
        let table = || {
            let frequencies = Tensor::new(rope.inverse_frequencies(head_dim), &self.device)?;
            let positions = Tensor::arange(0, max_positions, &self.device)?.to_dtype(DType::F32)?;
            let angles = positions.unsqueeze(1)?.broadcast_mul(&frequencies)?;
            Ok(Rope { cos: angles.cos()?, sin: angles.sin()? })
        };
        table().map_err(load_error)
    }

    fn kv_block_bytes(&self, layout: &KvLayout) -> Option<u64> {
        let values = layout.heads.kv_width().checked_mul(2)?.checked_mul(layout.num_layers)?;
        u64::try_from(values).ok()?.checked_mul(4)?.checked_mul(u64::from(layout.block_size))
    }

    fn kv_cache(&self, layout: &KvLayout, num_blocks: u32) -> Result<KvCache, LoadError> {
        if layout.dtype != KvDtype::F32 {
            let reason = "the reference backend keeps keys and values in f32".to_owned();
            return Err(LoadError::Setting { key: "kv_cache_dtype", reason });
        }
        let num_slots = num_blocks as usize * layout.block_size as usize;
        let pool = || Tensor::zeros((num_slots, layout.heads.kv_width()), DType::F32, &self.device);
        let layers = (0..layout.num_layers).map(|_| Ok((pool()?, pool()?))).collect::<CandleResult<_>>();
        Ok(KvCache { block_size: layout.block_size, layers: layers.map_err(load_error)? })
    }

    fn begin_step(&mut self, batch: &ForwardBatch) -> Result<(), ModelError> {
        let tensor = |values: &[u32]| run("begin_step", Tensor::new(values, &self.device));
        let kv = batch.kv.iter().map(|group| {
            Ok(GroupStep { slots: tensor(&group.slot_mapping)?, block_tables: group.block_tables.clone() })
        });
        self.step = Some(Step {
            token_ids: tensor(&batch.token_ids)?,
            positions: tensor(&batch.positions)?,
            sample_rows: tensor(&batch.sample_rows)?,
            hidden_rows: tensor(&batch.hidden_rows)?,
            query_start: batch.query_start.clone(),
            context_lens: batch.context_lens.clone(),
            kv: kv.collect::<Result<_, ModelError>>()?,
            block_copies: batch.block_copies.clone(),
        });
        Ok(())
    }

    fn copy_blocks(&mut self, cache: &mut KvCache) -> Result<(), ModelError> {
        for &copy in &self.step().block_copies {
            run("kv_copy", copy_block(copy, cache))?;
        }
        Ok(())
    }

    fn embed(&mut self, vocabulary: &Vocabulary, out: &mut TensorBuffer) -> Result<(), ModelError> {
        out.0 = Some(run("embed", vocabulary.embedding.index_select(&self.step().token_ids, 0))?);
        Ok(())
    }

    fn norm(&mut self, norm: &Norm, x: &TensorBuffer, out: &mut TensorBuffer) -> Result<(), ModelError> {
        out.0 = Some(run("norm", rms_norm(x.get(), &norm.weight, norm.eps))?);
        Ok(())
    }

    fn add_norm(
        &mut self,
        norm: &Norm,
        residual: &mut TensorBuffer,
        branch: &TensorBuffer,
        out: &mut TensorBuffer,
    ) -> Result<(), ModelError> {
        self.add(residual, branch)?;
        self.norm(norm, residual, out)
    }

    fn add(&mut self, x: &mut TensorBuffer, delta: &TensorBuffer) -> Result<(), ModelError> {
        x.0 = Some(run("add", x.get() + delta.get())?);
        Ok(())
    }

    fn linear(
        &mut self,
        linear: &Tensor,
        x: &TensorBuffer,
        out: &mut TensorBuffer,
    ) -> Result<(), ModelError> {
        out.0 = Some(run("linear", linear.t().and_then(|weight| x.get().matmul(&weight)))?);
        Ok(())
    }

    fn norm_heads(
        &mut self,
        heads: HeadShape,
        norms: &HeadNorms<Norm>,
        qkv: &mut TensorBuffer,
    ) -> Result<(), ModelError> {
        qkv.0 = Some(run("norm_heads", norm_heads(heads, norms, qkv.get()))?);
        Ok(())
    }

    fn rotate_and_store(
        &mut self,
        attention: AttentionLayer,
        rope: Option<&Rope>,
        qkv: &mut TensorBuffer,
        cache: &mut KvCache,
    ) -> Result<(), ModelError> {
        let step = self.step();
        if let Some(rope) = rope {
            qkv.0 = Some(run("rotary", rotate(attention, rope, &step.positions, qkv.get()))?);
        }
        let (keys, values) = &cache.layers[attention.layer];
        run("kv_write", store(attention, &step.kv[attention.group].slots, qkv.get(), keys, values))
    }

    fn attend(
        &mut self,
        attention: AttentionLayer,
        qkv: &TensorBuffer,
        cache: &KvCache,
        out: &mut TensorBuffer,
    ) -> Result<(), ModelError> {
        let attended = attend_all(attention, self.step(), qkv.get(), cache);
        out.0 = Some(run("attention", attended)?);
        Ok(())
    }

    fn silu_gate(&mut self, gate_up: &TensorBuffer, out: &mut TensorBuffer) -> Result<(), ModelError> {
        let gated = gate_up.get().chunk(2, D::Minus1).and_then(|halves| silu(&halves[0])? * &halves[1]);
        out.0 = Some(run("silu_gate", gated)?);
        Ok(())
    }

    fn head(&mut self, vocabulary: &Vocabulary, x: &TensorBuffer) -> Result<Vec<f32>, ModelError> {
        let logits = || {
            let rows = x.get().index_select(&self.step().sample_rows, 0)?;
            rows.matmul(&vocabulary.head.t()?)?.flatten_all()?.to_vec1()
        };
        run("head", logits())
    }

    fn hidden_rows(&mut self, x: &TensorBuffer) -> Result<Vec<f32>, ModelError> {
        let rows = || x.get().index_select(&self.step().hidden_rows, 0)?.flatten_all()?.to_vec1();
        run("hidden_rows", rows())
    }
}

/// Normalises the query and key heads of `qkv: [rows, qkv_width]`.
fn norm_heads(heads: HeadShape, norms: &HeadNorms<Norm>, qkv: &Tensor) -> CandleResult<Tensor> {
    let (num_rows, query_width, kv_width) = (qkv.dim(0)?, heads.query_width(), heads.kv_width());
    let normed = |norm: &Norm, start, width| {
        let part = qkv.narrow(1, start, width)?.contiguous()?;
        let part = part.reshape((num_rows, width / heads.head_dim, heads.head_dim))?;
        rms_norm(&part, &norm.weight, norm.eps)?.reshape((num_rows, width))
    };
    let values = qkv.narrow(1, query_width + kv_width, kv_width)?.contiguous()?;
    Tensor::cat(
        &[normed(&norms.query, 0, query_width)?, normed(&norms.key, query_width, kv_width)?, values],
        1,
    )
}

/// Turns the query and key heads of `qkv: [rows, qkv_width]`.
fn rotate(attention: AttentionLayer, table: &Rope, positions: &Tensor, qkv: &Tensor) -> CandleResult<Tensor> {
    let heads = attention.heads;
    let num_rows = qkv.dim(0)?;
    let turned_width = heads.query_width() + heads.kv_width();
    let cos = table.cos.index_select(positions, 0)?; // [rows, head_dim / 2]
    let sin = table.sin.index_select(positions, 0)?;
    let turned = qkv.narrow(1, 0, turned_width)?.contiguous()?;
    let turned = turned.reshape((1, num_rows, heads.num_heads + heads.num_kv_heads, heads.head_dim))?;
    let turned = rope(&turned.transpose(1, 2)?.contiguous()?, &cos, &sin)?; // [1, heads, rows, head_dim]
    let turned = turned.transpose(1, 2)?.reshape((num_rows, turned_width))?;
    let values = qkv.narrow(1, turned_width, heads.kv_width())?;
    Tensor::cat(&[turned, values.contiguous()?], 1)
}

/// Writes the keys and values of `qkv` into the rows `slots` of a layer's pools.
fn store(
    attention: AttentionLayer,
    slots: &Tensor,
    qkv: &Tensor,
    keys: &Tensor,
    values: &Tensor,
) -> CandleResult<()> {
    let (query_width, kv_width) = (attention.heads.query_width(), attention.heads.kv_width());
    let slots = slots.unsqueeze(1)?.broadcast_as((slots.dim(0)?, kv_width))?.contiguous()?;
    keys.scatter_set(&slots, &qkv.narrow(1, query_width, kv_width)?.contiguous()?, 0)?;
    values.scatter_set(&slots, &qkv.narrow(1, query_width + kv_width, kv_width)?.contiguous()?, 0)
}

/// Copies the keys and values of a block in every layer.
fn copy_block(BlockCopy { from, to }: BlockCopy, cache: &KvCache) -> CandleResult<()> {
    let size = cache.block_size as usize;
    for pool in cache.layers.iter().flat_map(|(keys, values)| [keys, values]) {
        let block = pool.narrow(0, from as usize * size, size)?.copy()?;
        pool.slice_set(&block, 0, to as usize * size)?;
    }
    Ok(())
}

/// Attention of every sequence of the step, one after another, `[rows, query_width]`.
fn attend_all(attention: AttentionLayer, step: &Step, qkv: &Tensor, cache: &KvCache) -> CandleResult<Tensor> {
    let AttentionLayer { heads, window, .. } = attention;
    let group = KvGroup { window };
    let (keys, values) = &cache.layers[attention.layer];
    let mut outputs = Vec::with_capacity(step.context_lens.len());
    for (seq, &context_len) in step.context_lens.iter().enumerate() {
        let (start, end) = (step.query_start[seq] as usize, step.query_start[seq + 1] as usize);
        let queries = qkv.narrow(0, start, end - start)?.narrow(1, 0, heads.query_width())?;
        let blocks = step.kv[attention.group].block_tables.row(seq);
        let slot = |position: u32| {
            blocks[(position / cache.block_size) as usize] * cache.block_size + position % cache.block_size
        };
        let positions = step.positions.narrow(0, start, end - start)?;
        let first_seen = group.first_visible(context_len - (end - start) as u32);
        let slots = Tensor::from_iter((first_seen..context_len).map(slot), qkv.device())?;
        let (keys, values) = (keys.index_select(&slots, 0)?, values.index_select(&slots, 0)?);
        let key_positions = Tensor::arange(first_seen, context_len, qkv.device())?;
        let visible = visible(group, &positions, &key_positions)?;
        outputs.push(attend_one(attention, &queries, &keys, &values, &visible)?);
    }
    Tensor::cat(&outputs, 0)
}

/// Whether a row sees a key, `[rows, keys]`: keys up to its own position, and no more of them than
/// the window has.
fn visible(KvGroup { window }: KvGroup, rows: &Tensor, keys: &Tensor) -> CandleResult<Tensor> {
    let (rows, keys) = (rows.unsqueeze(1)?.to_dtype(DType::I64)?, keys.unsqueeze(0)?.to_dtype(DType::I64)?);
    let causal = rows.broadcast_ge(&keys)?;
    let Some(window) = window else { return Ok(causal) };
    let near = rows.broadcast_sub(&keys)?.lt(i64::from(window))?;
    causal.mul(&near)
}

/// Attention of one sequence: `queries: [rows, query_width]` over `keys`, `values`:
/// `[keys, kv_width]`, where `visible: [rows, keys]`.
fn attend_one(
    attention: AttentionLayer,
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    visible: &Tensor,
) -> CandleResult<Tensor> {
    let heads = attention.heads;
    let (num_rows, num_keys) = (queries.dim(0)?, keys.dim(0)?);
    let group = heads.num_heads / heads.num_kv_heads;
    let queries = queries.contiguous()?.reshape((num_rows, heads.num_heads, heads.head_dim))?;
    let queries = queries.transpose(0, 1)?.contiguous()?; // [heads, rows, head_dim]
    let per_query_head = |cached: &Tensor| {
        let cached = cached.reshape((num_keys, heads.num_kv_heads, 1, heads.head_dim))?;
        let cached = cached.broadcast_as((num_keys, heads.num_kv_heads, group, heads.head_dim))?;
        let cached = cached.contiguous()?.reshape((num_keys, heads.num_heads, heads.head_dim))?;
        cached.transpose(0, 1)?.contiguous() // [heads, keys, head_dim]
    };
    let (keys, values) = (per_query_head(keys)?, per_query_head(values)?);
    let scale = (heads.head_dim as f64).powf(-0.5);
    let scores = (queries.matmul(&keys.transpose(1, 2)?.contiguous()?)? * scale)?; // [heads, rows, keys]
    let hidden = Tensor::new(f32::NEG_INFINITY, scores.device())?.broadcast_as(scores.shape())?;
    let scores = visible.broadcast_as(scores.shape())?.where_cond(&scores, &hidden)?;
    let mixed = softmax_last_dim(&scores)?.matmul(&values)?; // [heads, rows, head_dim]
    mixed.transpose(0, 1)?.contiguous()?.reshape((num_rows, heads.query_width()))
}
