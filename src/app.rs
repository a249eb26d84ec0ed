//! The wiring: from a configuration to a running engine, and from there to a served port, or to the same routes without
//! a port.

mod checks;
mod demo;
mod in_process;
mod locate;
mod serve;
mod signals;

use std::sync::Arc;

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::api::{ServedModel, Stamps, SystemStamps};
use crate::config::Config;
use crate::engine::{Engine, EngineHandle, EngineThread};
use crate::model::{LoadProgress, LoadedModel, ModelDescription, ModelSource, StepBounds, load_model};
use crate::serving::Generator;
use crate::telemetry::{CacheInfo, Metrics};
use crate::text::{TEXT_FILES, TextModel};

pub use in_process::{InProcess, Reply, ReplyUnread, Routes};
pub use locate::{Located, locate};
pub use serve::{End, ensure_port_is_free, serve};
pub use signals::Signals;

/// A loaded model with its engine running.
#[derive(Debug)]
pub struct Service {
    /// Serves requests on the model.
    pub generator: Generator,
    /// What the model is and what runs it.
    pub description: ModelDescription,
    /// The model as clients see it.
    pub model: ServedModel,
    /// Every metric.
    pub metrics: Arc<Metrics>,
    engine: EngineHandle,
    thread: EngineThread,
}

impl Service {
    /// Loads the model, checks that its parts agree, and starts its engine.
    ///
    /// # Errors
    /// With the file or setting at fault.
    pub fn start(
        config: &Config,
        located: &Located,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> anyhow::Result<Self> {
        // Tokenizer and template are small: what is wrong with them shows before the weights are read.
        let text = read_text(&located.source)?;
        let at_most = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let bounds = StepBounds {
            max_num_seqs: at_most(config.engine.max_num_seqs),
            max_num_batched_tokens: at_most(config.engine.max_num_batched_tokens),
        };
        let LoadedModel { runner, description } =
            load_model(&located.source, &config.model, bounds, progress)?;
        checks::text_fits_model(&located.source, &text, &description)?;
        let model = served_model(located, &description)?;
        let capacity = description.kv_capacity;
        let cache = CacheInfo { block_size: capacity.block_size, num_blocks: capacity.num_blocks };
        let metrics = Arc::new(Metrics::new(&model.id, cache).context("metrics")?);
        let max_model_len = description.max_model_len as usize;
        let (engine, thread) = Engine::spawn(runner, &config.engine, max_model_len, Arc::clone(&metrics))?;
        let generator =
            Generator::new(engine.clone(), Arc::new(text), Arc::clone(&metrics), config.serving.clone());
        Ok(Self { generator, description, model, metrics, engine, thread })
    }

    /// The engine itself, for who needs neither text nor requests.
    pub fn engine(&self) -> &EngineHandle {
        &self.engine
    }
}

fn read_text(source: &ModelSource) -> anyhow::Result<TextModel> {
    let read = |name: &str| {
        let bytes = source.read_optional(name).map_err(std::io::Error::other)?;
        Ok(bytes.map(std::borrow::Cow::into_owned))
    };
    TextModel::load(&read).with_context(|| located_in(source))
}

/// Where a model's files are, for messages.
fn located_in(source: &ModelSource) -> String {
    match source {
        ModelSource::Folder(folder) => folder.display().to_string(),
        ModelSource::Embedded(_) => "the demo model".to_owned(),
    }
}

fn served_model(located: &Located, description: &ModelDescription) -> anyhow::Result<ServedModel> {
    Ok(ServedModel {
        id: located.name.clone(),
        aliases: Vec::new(),
        created: SystemStamps.unix_seconds(),
        owned_by: located.owner.clone(),
        root: located.root.clone(),
        fingerprint: fingerprint(&located.source, description)?,
    })
}

/// Names what decides the output: this version, the kernels, the text files and the layout of the weights.
fn fingerprint(source: &ModelSource, description: &ModelDescription) -> anyhow::Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(env!("CARGO_PKG_VERSION"));
    let ModelDescription { backend, isa, kv_dtype, weight_format, num_parameters, .. } = description;
    hasher.update(format!("{backend} {isa:?} {kv_dtype:?} {weight_format:?} {num_parameters}"));
    for name in TEXT_FILES {
        if let Some(bytes) = source.read_optional(name)? {
            hasher.update(name);
            hasher.update(bytes);
        }
    }
    for name in source.names()? {
        hasher.update(name);
    }
    let digest = hasher.finalize();
    let hex: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("fp_{hex}"))
}
