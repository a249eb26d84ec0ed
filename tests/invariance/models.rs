//! The models under test, and a kernel that is wrong on purpose.

use std::path::Path;

use maru::model::{
    BackendChoice, ByteSize, ForwardBatch, ForwardOutput, IsaChoice, KvCapacity, KvDtypeChoice, KvGroup,
    Logits, ModelConfig, ModelError, ModelSource, Runner, StepBounds, load_model,
};
use maru_kernels::Isa;

/// What the pool of a test model is made for.
const BOUNDS: StepBounds = StepBounds { max_num_seqs: 64, max_num_batched_tokens: 512 };

/// A model in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) folder: &'static str,
    pub(crate) vocab_size: usize,
}

pub(crate) const EXAONE35: Checkpoint =
    Checkpoint { folder: "tests/fixtures/checkpoints/exaone35", vocab_size: 128 };
pub(crate) const EXAONE3_TIED: Checkpoint =
    Checkpoint { folder: "tests/fixtures/checkpoints/exaone3_tied", vocab_size: 128 };
/// Norms after the branches and QK norm.
pub(crate) const EXAONE4_FULL: Checkpoint =
    Checkpoint { folder: "tests/fixtures/checkpoints/exaone4_full", vocab_size: 128 };
/// Three layers that see eight tokens to one that sees all: blocks in four groups.
pub(crate) const EXAONE4_HYBRID: Checkpoint =
    Checkpoint { folder: "tests/fixtures/checkpoints/exaone4_hybrid", vocab_size: 128 };
/// The model that ships with the project: five layers in bf16.
pub(crate) const DEMO: Checkpoint = Checkpoint { folder: "models/demo", vocab_size: 5120 };

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernels {
    /// The SIMD kernels of this instruction set.
    Cpu(Isa),
    /// The same, followed by a rounding that depends on the number of rows in the batch.
    RowDependent(Isa),
    /// candle's, whose matrix products choose their order of summation by the number of rows.
    Reference,
    /// The SIMD kernels, without the copies of blocks that a step asks for.
    WithoutCopies(Isa),
}

/// A model and the way in which it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) kernels: Kernels,
    pub(crate) threads: usize,
    pub(crate) kv: KvDtypeChoice,
    pub(crate) block_size: u32,
}

impl Setup {
    /// The best instruction set on two threads.
    pub(crate) fn new(checkpoint: Checkpoint) -> Self {
        let kernels = Kernels::Cpu(Isa::detect());
        Self { checkpoint, kernels, threads: 2, kv: KvDtypeChoice::Auto, block_size: 16 }
    }

    /// Every SIMD instruction set of this machine on one thread and on two, with large blocks and small ones.
    pub(crate) fn all(checkpoint: Checkpoint, kv: KvDtypeChoice) -> Vec<Self> {
        let mut setups = Vec::new();
        for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::Scalar || !has_simd()) {
            for (threads, block_size) in [(1, 16), (2, 4)] {
                let kernels = Kernels::Cpu(isa);
                setups.push(Self { checkpoint, kernels, threads, kv, block_size });
            }
        }
        setups
    }

    /// The same without SIMD, which is many times as slow.
    pub(crate) fn scalar(self) -> Self {
        Self { kernels: Kernels::Cpu(Isa::Scalar), ..self }
    }

    pub(crate) fn load(&self) -> Box<dyn Runner> {
        let (backend, isa) = match self.kernels {
            Kernels::Cpu(isa) | Kernels::RowDependent(isa) | Kernels::WithoutCopies(isa) => {
                (BackendChoice::Cpu, IsaChoice::Named(isa))
            }
            Kernels::Reference => (BackendChoice::Reference, IsaChoice::Auto),
        };
        let config = ModelConfig {
            backend,
            isa,
            threads: self.threads,
            kv_cache_dtype: self.kv,
            kv_cache_memory: Some(ByteSize(64 << 20)),
            block_size: self.block_size,
            ..ModelConfig::default()
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.checkpoint.folder);
        let loaded = load_model(&ModelSource::Folder(folder), &config, BOUNDS, &mut |_| {});
        let runner = loaded.expect("the fixtures load").runner;
        match self.kernels {
            Kernels::RowDependent(_) => Box::new(RowDependent(runner)),
            Kernels::WithoutCopies(_) => Box::new(WithoutCopies(runner)),
            _ if std::env::var_os("MARU_INVARIANCE_FAULT").is_some() => Box::new(RowDependent(runner)),
            _ => runner,
        }
    }
}

fn has_simd() -> bool {
    Isa::detect() != Isa::Scalar
}

/// A kernel as it must not be: it divides by the number of rows and multiplies again, which now and then moves a logit
/// to the next number. No fault of a batch-dependent order of summation is smaller.
struct RowDependent(Box<dyn Runner>);

impl Runner for RowDependent {
    fn forward(&mut self, batch: &ForwardBatch) -> Result<ForwardOutput, ModelError> {
        let ForwardOutput { logits, hidden } = self.0.forward(batch)?;
        let num_rows = batch.num_tokens() as f32;
        let rows = (0..logits.num_rows()).flat_map(|row| logits.row(row));
        let logits =
            Logits::new(rows.map(|logit| logit / num_rows * num_rows).collect(), logits.vocab_size());
        Ok(ForwardOutput { logits, hidden })
    }

    fn kv_capacity(&self) -> KvCapacity {
        self.0.kv_capacity()
    }

    fn kv_groups(&self) -> Vec<KvGroup> {
        self.0.kv_groups()
    }
}

/// A runner that forgets to copy blocks.
struct WithoutCopies(Box<dyn Runner>);

impl Runner for WithoutCopies {
    fn forward(&mut self, batch: &ForwardBatch) -> Result<ForwardOutput, ModelError> {
        self.0.forward(&ForwardBatch { block_copies: Vec::new(), ..batch.clone() })
    }

    fn kv_capacity(&self) -> KvCapacity {
        self.0.kv_capacity()
    }

    fn kv_groups(&self) -> Vec<KvGroup> {
        self.0.kv_groups()
    }
}

/// A runner of whose pool only the first blocks are used.
pub(crate) struct Shrunk {
    pub(crate) runner: Box<dyn Runner>,
    pub(crate) num_blocks: u32,
}

impl Runner for Shrunk {
    fn forward(&mut self, batch: &ForwardBatch) -> Result<ForwardOutput, ModelError> {
        self.runner.forward(batch)
    }

    fn kv_capacity(&self) -> KvCapacity {
        KvCapacity { num_blocks: self.num_blocks, ..self.runner.kv_capacity() }
    }

    fn kv_groups(&self) -> Vec<KvGroup> {
        self.runner.kv_groups()
    }
}
