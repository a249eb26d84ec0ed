//! Requests in, streams of deltas out. The bodies follow; the signatures are meant to stay.

use std::sync::Arc;

use super::{GenerateError, GenerateRequest, Generation, ServingConfig};
use crate::engine::{EngineHandle, EnginePulse};
use crate::telemetry::Metrics;
use crate::text::{GenerationDefaults, TextModel};

/// Serves requests on one model. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Generator {
    shared: Arc<Shared>,
}

#[derive(Debug)]
#[allow(dead_code)]
struct Shared {
    engine: EngineHandle,
    text: Arc<TextModel>,
    metrics: Arc<Metrics>,
    config: ServingConfig,
}

impl Generator {
    /// A generator on this engine, for this model's text.
    pub fn new(
        engine: EngineHandle,
        text: Arc<TextModel>,
        metrics: Arc<Metrics>,
        config: ServingConfig,
    ) -> Self {
        Self { shared: Arc::new(Shared { engine, text, metrics, config }) }
    }

    /// Renders and tokenises the prompt, hands the choices to the engine and returns their output as a stream.
    ///
    /// # Errors
    /// [`GenerateError`]: an invalid request (the field is named), a prompt that does not fit, a full queue, a server
    /// that stops, or a fault of ours.
    pub async fn generate(&self, _request: GenerateRequest) -> Result<Generation, GenerateError> {
        Err(GenerateError::Internal("generation follows in the next commit".to_owned()))
    }

    /// Most tokens of a prompt and its output together.
    pub fn max_model_len(&self) -> usize {
        self.shared.engine.limits().max_model_len
    }

    /// Counts and heartbeat of the engine.
    pub fn pulse(&self) -> &EnginePulse {
        self.shared.engine.pulse()
    }

    /// Sampling settings that the model's files recommend; they fill what a request leaves open.
    pub fn default_sampling(&self) -> &GenerationDefaults {
        self.shared.text.defaults()
    }
}
