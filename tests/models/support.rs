//! Loading checkpoints, writing them anew, and feeding tokens to a runner.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use maru::model::{
    BackendChoice, BlockTables, ByteSize, ForwardBatch, ForwardOutput, IsaChoice, KvGroupBatch, LoadError,
    LoadedModel, ModelConfig, ModelSource, Runner, StepBounds, load_model,
};
use maru_kernels::Isa;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

/// Largest difference of an f32 logit from the reference.
pub(crate) const F32_TOLERANCE: f32 = 2e-4;

pub(crate) const CHECKPOINTS: [&str; 4] = ["exaone35", "exaone3_tied", "exaone4_full", "exaone4_hybrid"];

/// Sequences that a test model runs at once.
pub(crate) const MAX_NUM_SEQS: u32 = 8;

pub(crate) const BOUNDS: StepBounds = StepBounds { max_num_seqs: MAX_NUM_SEQS, max_num_batched_tokens: 512 };

/// The folder of a checkpoint.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)
}

/// A prompt with the logits of all its positions and the greedy continuation.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) input_ids: Vec<u32>,
    pub(crate) logits: Vec<Vec<f32>>,
    pub(crate) greedy_ids: Vec<u32>,
}

/// The cases of a checkpoint.
pub(crate) fn cases(name: &str) -> Vec<Case> {
    let expected: Value =
        serde_json::from_slice(&fs::read(folder(name).join("expected.json")).unwrap()).unwrap();
    let read = |(name, case): (&String, &Value)| Case {
        name: name.clone(),
        input_ids: serde_json::from_value(case["input_ids"].clone()).unwrap(),
        logits: serde_json::from_value(case["logits"].clone()).unwrap(),
        greedy_ids: serde_json::from_value(case["greedy_ids"].clone()).unwrap(),
    };
    let cases: Vec<Case> = expected["cases"].as_object().unwrap().iter().map(read).collect();
    assert_eq!(cases.len(), 2);
    cases
}

/// Settings of every way to compute in f32 that this machine has, with a name.
pub(crate) fn backends() -> Vec<(String, ModelConfig)> {
    let reference = ("reference".to_owned(), config(BackendChoice::Reference, IsaChoice::Auto));
    let cpu = Isa::available()
        .into_iter()
        .map(|isa| (format!("cpu {isa}"), config(BackendChoice::Cpu, IsaChoice::Named(isa))));
    std::iter::once(reference).chain(cpu).collect()
}

pub(crate) fn config(backend: BackendChoice, isa: IsaChoice) -> ModelConfig {
    ModelConfig {
        backend,
        isa,
        threads: 2,
        kv_cache_memory: Some(ByteSize(64 << 20)),
        ..ModelConfig::default()
    }
}

pub(crate) fn load(folder: &Path, config: &ModelConfig) -> LoadedModel {
    try_load(folder, config).unwrap()
}

pub(crate) fn try_load(folder: &Path, config: &ModelConfig) -> Result<LoadedModel, LoadError> {
    load_model(&ModelSource::Folder(folder.to_owned()), config, BOUNDS, &mut |_| {})
}

/// A sequence on its way through a runner.
pub(crate) struct Sequence {
    pub(crate) ids: Vec<u32>,
    pub(crate) num_computed: usize,
    /// `[num_groups][num_blocks]`
    pub(crate) blocks: Vec<Vec<u32>>,
}

impl Sequence {
    /// A sequence over its own share of the pool, number `index` of [`MAX_NUM_SEQS`], whose blocks
    /// are in an order without order.
    pub(crate) fn new(runner: &dyn Runner, index: u32, ids: &[u32]) -> Self {
        let share = runner.kv_capacity().num_blocks / MAX_NUM_SEQS;
        let mut blocks: Vec<u32> = (0..share).map(|block| block * MAX_NUM_SEQS + index).collect();
        Random::new(u64::from(index)).shuffle(&mut blocks);
        let per_group = blocks.len() / runner.kv_groups().len();
        let blocks = blocks.chunks_exact(per_group).map(<[u32]>::to_vec).collect();
        Self { ids: ids.to_vec(), num_computed: 0, blocks }
    }
}

/// Which rows of a step are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Logits,
    Hidden,
    Both,
}

/// Computes `num_tokens` more of each sequence in one step; returns the logits of all rows.
pub(crate) fn step(runner: &mut dyn Runner, work: &mut [(&mut Sequence, usize)]) -> Vec<Vec<f32>> {
    let logits = forward(runner, work, Wanted::Logits).logits;
    (0..logits.num_rows()).map(|row| logits.row(row).to_vec()).collect()
}

/// Computes `num_tokens` more of each sequence in one step; returns what is wanted of all rows. Blocks
/// that left the window of their group are struck from the table.
pub(crate) fn forward(
    runner: &mut dyn Runner,
    work: &mut [(&mut Sequence, usize)],
    wanted: Wanted,
) -> ForwardOutput {
    let block_size = runner.kv_capacity().block_size;
    let mut batch = ForwardBatch { query_start: vec![0], ..ForwardBatch::default() };
    for (sequence, num_tokens) in work.iter() {
        let end = sequence.num_computed + num_tokens;
        batch.token_ids.extend(&sequence.ids[sequence.num_computed..end]);
        batch.positions.extend(as_u32(sequence.num_computed)..as_u32(end));
        batch.query_start.push(as_u32(batch.token_ids.len()));
        batch.context_lens.push(as_u32(end));
    }
    for (index, group) in runner.kv_groups().into_iter().enumerate() {
        let (mut slot_mapping, mut tables) = (Vec::new(), Vec::new());
        for (sequence, num_tokens) in work.iter() {
            let start = as_u32(sequence.num_computed);
            let mut table = sequence.blocks[index].clone();
            let slot =
                |position| table[(position / block_size) as usize] * block_size + position % block_size;
            slot_mapping.extend((start..start + as_u32(*num_tokens)).map(slot));
            table[..(group.first_visible(start) / block_size) as usize].fill(BlockTables::NONE);
            tables.push(table);
        }
        let block_tables = BlockTables::from_rows(tables.iter().map(Vec::as_slice));
        batch.kv.push(KvGroupBatch { slot_mapping, block_tables });
    }
    let rows: Vec<u32> = (0..as_u32(batch.token_ids.len())).collect();
    if wanted != Wanted::Hidden {
        batch.sample_rows.clone_from(&rows);
    }
    if wanted != Wanted::Logits {
        batch.hidden_rows = rows;
    }
    let output = runner.forward(&batch).unwrap();
    for (sequence, num_tokens) in work.iter_mut() {
        sequence.num_computed += *num_tokens;
    }
    output
}

fn as_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap()
}

/// The logits of all positions of `ids`, computed alone in chunks of `chunk` tokens.
pub(crate) fn logits_in_chunks(runner: &mut dyn Runner, ids: &[u32], chunk: usize) -> Vec<Vec<f32>> {
    let mut sequence = Sequence::new(runner, 0, ids);
    let mut logits = Vec::new();
    while sequence.num_computed < ids.len() {
        let num_tokens = chunk.min(ids.len() - sequence.num_computed);
        logits.extend(step(runner, &mut [(&mut sequence, num_tokens)]));
    }
    logits
}

/// Asserts that two tables of logits differ by less than `tolerance`.
pub(crate) fn assert_close(actual: &[Vec<f32>], expected: &[Vec<f32>], tolerance: f32, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}: rows");
    for (row, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let difference = max_difference(actual, expected);
        assert!(difference < tolerance, "{what}: row {row} differs by {difference:e}");
    }
}

pub(crate) fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences
        .fold(0.0, |max, difference| if difference.is_nan() { f32::INFINITY } else { max.max(difference) })
}

pub(crate) fn argmax(row: &[f32]) -> u32 {
    let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)));
    u32::try_from(best.unwrap()).unwrap()
}

/// A tensor in memory, in a type of safetensors.
#[derive(Clone)]
pub(crate) struct RawTensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl RawTensor {
    pub(crate) fn from_f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    pub(crate) fn to_f32(&self) -> Vec<f32> {
        assert_eq!(self.dtype, Dtype::F32);
        self.bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    pub(crate) fn to_bf16(&self) -> Self {
        self.convert(Dtype::BF16, |value| half::bf16::from_f32(value).to_le_bytes())
    }

    pub(crate) fn to_f16(&self) -> Self {
        self.convert(Dtype::F16, |value| half::f16::from_f32(value).to_le_bytes())
    }

    fn convert(&self, dtype: Dtype, value: impl Fn(f32) -> [u8; 2]) -> Self {
        let bytes = self.to_f32().into_iter().flat_map(value).collect();
        Self { dtype, shape: self.shape.clone(), bytes }
    }
}

pub(crate) type Tensors = HashMap<String, RawTensor>;

/// All tensors of a checkpoint with a single file.
pub(crate) fn read_tensors(folder: &Path) -> Tensors {
    let file = fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
    let read = |(name, view): (String, TensorView<'_>)| {
        (name, RawTensor { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() })
    };
    tensors.tensors().into_iter().map(read).collect()
}

pub(crate) fn write_tensors(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, tensor)| {
        (name.as_str(), TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

pub(crate) fn read_config(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap()
}

/// A folder with this configuration and these tensors in one file.
pub(crate) fn write_checkpoint(config: &Value, tensors: &Tensors) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    write_tensors(&folder.path().join("model.safetensors"), tensors);
    folder
}

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    /// About normal, mean 0, deviation 1.
    pub(crate) fn normal(&mut self) -> f32 {
        let sum: f64 = (0..12).map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64).sum();
        (sum - 6.0) as f32
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }

    pub(crate) fn ids(&mut self, count: usize, vocab_size: usize) -> Vec<u32> {
        (0..count).map(|_| u32::try_from(self.below(vocab_size)).unwrap()).collect()
    }
}
