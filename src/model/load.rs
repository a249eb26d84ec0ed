//! From files and settings to a model that runs.

use std::fmt;
use std::num::NonZeroUsize;

use maru_kernels::{Isa, default_num_threads};

use super::available_memory::available_memory;
use super::backend::{Backend, CpuBackend, KvDtype, KvLayout, ReferenceBackend};
use super::config::{BackendChoice, ByteSize, IsaChoice, KvDtypeChoice, ModelConfig};
use super::decoder::{Decoder, LoadProgress, Loading};
use super::families::{TensorNames, parse_config};
use super::kv_cache::{KvSizing, StepBounds};
use super::kv_groups::kv_groups;
use super::model_runner::ModelRunner;
use super::registry::family_of;
use super::source::ModelSource;
use super::spec::DecoderSpec;
use super::weights::{Checkpoint, WeightFormat};
use super::{BatchLimits, KvCapacity, LoadError, Runner};

const CONFIG_FILE: &str = "config.json";

/// A model that is ready to run.
pub struct LoadedModel {
    /// Runs its steps.
    pub runner: Box<dyn Runner>,
    /// What it is.
    pub description: ModelDescription,
}

impl fmt::Debug for LoadedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedModel").field("description", &self.description).finish_non_exhaustive()
    }
}

/// What a loaded model is, for logs and for whoever checks requests against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelDescription {
    /// The family, such as `exaone`.
    pub family: &'static str,
    /// Number of weights, a tied head counted once.
    pub num_parameters: u64,
    /// Number of blocks.
    pub num_layers: usize,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Positions that the model was made for.
    pub max_positions: u32,
    /// Longest sequence that is served, prompt and answer together.
    pub max_model_len: u32,
    /// How the weights are stored in the files.
    pub weight_format: WeightFormat,
    /// How keys and values are kept.
    pub kv_dtype: KvDtype,
    /// Size of the KV cache.
    pub kv_capacity: KvCapacity,
    /// Groups of layers, each of which keeps a sequence in blocks of its own.
    pub num_kv_groups: usize,
    /// Memory of the KV cache, in bytes.
    pub kv_bytes: u64,
    /// The backend, `cpu` or `reference`.
    pub backend: &'static str,
    /// The instruction set of the `cpu` backend.
    pub isa: Option<Isa>,
    /// Threads of the `cpu` backend.
    pub num_threads: Option<usize>,
}

impl fmt::Display for ModelDescription {
    /// One line for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millions = self.num_parameters as f64 / 1e6;
        write!(f, "{}, {millions:.1} M parameters, {} layers, ", self.family, self.num_layers)?;
        write!(f, "{} weights, up to {} tokens, ", self.weight_format.name(), self.max_model_len)?;
        write!(f, "{} backend", self.backend)?;
        if let Some(isa) = self.isa {
            write!(f, " ({isa})")?;
        }
        if let Some(num_threads) = self.num_threads {
            write!(f, " on {num_threads} threads")?;
        }
        let tokens = self.kv_capacity.num_tokens() / self.num_kv_groups as u64;
        let size = ByteSize(self.kv_bytes);
        write!(f, ", {} KV cache of {tokens} tokens ({size})", self.kv_dtype.name())
    }
}

/// Loads the model of `source`. `bounds` is the most that will run at once, which bounds the KV
/// cache; `progress` hears how many bytes of weights are done.
///
/// # Errors
/// [`LoadError`] with the file, key, tensor or setting that is wrong.
pub fn load_model(
    source: &ModelSource,
    config: &ModelConfig,
    bounds: StepBounds,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<LoadedModel, LoadError> {
    if let Some((key, reason)) = config.faults().into_iter().next() {
        return Err(LoadError::Setting { key, reason });
    }
    let checkpoint = Checkpoint::open(source)?;
    let json = parse_config(&source.path(CONFIG_FILE), &source.read(CONFIG_FILE)?)?;
    let family = family_of(&json)?;
    let spec = (family.read)(&json)?;
    let plan = Plan { config, max_model_len: max_model_len(config, &spec)?, bounds };
    let parts = Parts { family: family.name, names: &family.names, spec, checkpoint };
    match config.backend {
        BackendChoice::Auto | BackendChoice::Cpu => {
            let isa = match config.isa {
                IsaChoice::Auto => Isa::detect(),
                IsaChoice::Named(isa) => isa,
            };
            let num_threads = NonZeroUsize::new(config.threads).unwrap_or_else(default_num_threads);
            let mut loaded = plan.load(CpuBackend::new(isa, num_threads)?, parts, progress)?;
            loaded.description.isa = Some(isa);
            loaded.description.num_threads = Some(num_threads.get());
            Ok(loaded)
        }
        BackendChoice::Reference => plan.load(ReferenceBackend::new(), parts, progress),
    }
}

fn max_model_len(config: &ModelConfig, spec: &DecoderSpec) -> Result<u32, LoadError> {
    match config.max_model_len {
        Some(len) if len > spec.max_positions => {
            let reason = format!("{len} is more than the {} positions of the model", spec.max_positions);
            Err(LoadError::Setting { key: "max_model_len", reason })
        }
        Some(len) => Ok(len),
        None => Ok(spec.max_positions),
    }
}

/// What the files say.
struct Parts<'a> {
    family: &'static str,
    names: &'a TensorNames,
    spec: DecoderSpec,
    checkpoint: Checkpoint,
}

/// What the settings say.
struct Plan<'a> {
    config: &'a ModelConfig,
    max_model_len: u32,
    bounds: StepBounds,
}

impl Plan<'_> {
    fn load<B: Backend + 'static>(
        &self,
        backend: B,
        parts: Parts<'_>,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<LoadedModel, LoadError> {
        let loading = Loading::new(parts.checkpoint, parts.names, &parts.spec, progress);
        let weight_format = loading.format();
        let kv_groups = kv_groups(&parts.spec);
        let layout = KvLayout {
            num_layers: kv_groups.layers_per_group,
            heads: parts.spec.heads,
            block_size: self.config.block_size,
            dtype: self.kv_dtype(&backend, weight_format),
        };
        let block_bytes = backend.kv_block_bytes(&layout).unwrap_or(u64::MAX);
        let weight_bytes = memory_of_weights(&backend, weight_format, loading.total_bytes());
        let sizing = KvSizing {
            kv_cache_memory: self.config.kv_cache_memory.map(|size| size.0),
            available_memory: available_memory().map(|bytes| bytes.saturating_sub(weight_bytes)),
            weight_bytes,
            groups: &kv_groups.groups,
            block_bytes,
            block_size: layout.block_size,
            bounds: self.bounds,
            max_model_len: self.max_model_len,
        };
        // First of all, so that a model that cannot run does not load for minutes.
        let num_blocks = sizing.num_blocks()?;
        let decoder = Decoder::load(&backend, parts.spec, self.max_model_len, loading)?;
        let cache = backend.kv_cache(&layout, num_blocks)?;
        let spec = decoder.spec();
        let kv_capacity = KvCapacity { num_blocks, block_size: layout.block_size };
        let description = ModelDescription {
            family: parts.family,
            num_parameters: spec.num_parameters(),
            num_layers: spec.layers.len(),
            vocab_size: spec.vocab_size,
            max_positions: spec.max_positions,
            max_model_len: self.max_model_len,
            weight_format,
            kv_dtype: layout.dtype,
            kv_capacity,
            num_kv_groups: kv_groups.groups.len(),
            kv_bytes: block_bytes.saturating_mul(u64::from(num_blocks)),
            backend: backend.name(),
            isa: None,
            num_threads: None,
        };
        let limits =
            BatchLimits { vocab_size: spec.vocab_size, max_positions: self.max_model_len, kv_capacity };
        let runner = Box::new(ModelRunner::new(backend, decoder, cache, limits));
        Ok(LoadedModel { runner, description })
    }

    fn kv_dtype<B: Backend>(&self, backend: &B, weights: WeightFormat) -> KvDtype {
        match self.config.kv_cache_dtype {
            KvDtypeChoice::F32 => KvDtype::F32,
            KvDtypeChoice::Bf16 => KvDtype::Bf16,
            KvDtypeChoice::Auto => match weights {
                WeightFormat::Bf16 if backend.keeps_bf16() => KvDtype::Bf16,
                _ => KvDtype::F32,
            },
        }
    }
}

/// Bytes that the weights take on a backend; what it does not keep in 16 bits doubles.
fn memory_of_weights<B: Backend>(backend: &B, format: WeightFormat, file_bytes: u64) -> u64 {
    match format {
        WeightFormat::F32 => file_bytes,
        WeightFormat::Bf16 if backend.keeps_bf16() => file_bytes,
        WeightFormat::Bf16 | WeightFormat::F16 => file_bytes.saturating_mul(2),
    }
}
