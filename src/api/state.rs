//! What the handlers share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::auth::ApiKeys;
use super::config::ServerConfig;
use super::error::ApiError;
use super::request::reasoning::ReasoningFacts;
use crate::serving::Generator;
use crate::telemetry::Metrics;

/// What the handlers share, made once at start.
#[derive(Debug)]
pub struct AppState {
    /// Serves the requests.
    pub generator: Generator,
    /// The model as clients see it.
    pub model: ServedModel,
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// Keys that open the server.
    pub keys: ApiKeys,
    /// Settings.
    pub config: ServerConfig,
    /// Where the process stands in its life.
    pub lifecycle: Lifecycle,
    /// Ids and times of answers.
    pub stamps: Box<dyn Stamps>,
}

impl AppState {
    /// What a request may say about reasoning.
    pub(super) fn reasoning_facts(&self) -> ReasoningFacts<'_> {
        ReasoningFacts {
            model_reasons: self.generator.text().format().reasoning_tags().is_some(),
            allowed_kwargs: &self.config.template_kwargs,
        }
    }
}

/// The model as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedModel {
    /// Its name.
    pub id: String,
    /// Other names under which clients may ask for it.
    pub aliases: Vec<String>,
    /// When it was loaded, in seconds since 1970.
    pub created: u64,
    /// Who made it.
    pub owned_by: String,
    /// Where its files came from.
    pub root: String,
    /// Names what decides the output: weights, kernels, tokenizer; begins with `fp_`.
    pub fingerprint: String,
}

impl ServedModel {
    /// Whether `name` is one of the model's names.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.id == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// # Errors
    /// 404 `model_not_found` unless `name` is one of the model's names.
    pub(super) fn expect_called(&self, name: &str) -> Result<(), ApiError> {
        if self.is_called(name) { Ok(()) } else { Err(ApiError::model_not_found(name, &self.id)) }
    }
}

/// Ids and times of answers; tests put fixed ones here.
pub trait Stamps: std::fmt::Debug + Send + Sync {
    /// A new id without its prefix: letters and digits, never the same twice.
    fn id(&self) -> String;
    /// Seconds since 1970.
    fn unix_seconds(&self) -> u64;
}

/// Random ids and the system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemStamps;

impl Stamps for SystemStamps {
    fn id(&self) -> String {
        uuid::Uuid::new_v4().simple().to_string()
    }

    fn unix_seconds(&self) -> u64 {
        // A clock before 1970 is no reason to fail a request.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
    }
}

/// Where the process stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The model is not ready yet.
    Loading,
    /// Requests are welcome.
    Ready,
    /// No new requests are wanted; running ones finish.
    Draining,
    /// What still runs is to end with an error now.
    Terminating,
}

impl Phase {
    /// The word for it in health bodies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Terminating => "terminating",
        }
    }
}

/// The phase of the process: set by its owner, read and awaited by requests. It only moves forward.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    phase: Arc<watch::Sender<Phase>>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Loading)) }
    }
}

impl Lifecycle {
    /// Enters `phase`, unless the process is already past it.
    pub fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let forward = phase > *current;
            *current = phase.max(*current);
            forward
        });
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Ready when `phase` or a later one is reached.
    pub(super) async fn reached(&self, phase: Phase) {
        let mut changes = self.phase.subscribe();
        if changes.wait_for(|current| *current >= phase).await.is_err() {
            unreachable!("this lifecycle holds the sender");
        }
    }
}
