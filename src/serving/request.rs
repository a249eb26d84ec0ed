//! What a client asks for, free of any wire format.

use std::sync::Arc;

use crate::engine::{Priority, TenantId};
use crate::text::ChatPrompt;

/// A request for generated text, checked as far as that is possible without the model.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// What to continue.
    pub prompt: PromptInput,
    /// Sampling settings that the client named; the model's defaults fill the rest.
    pub sampling: SamplingOptions,
    /// Number of choices, at least one.
    pub num_choices: u32,
    /// Most tokens to generate; as many as fit when absent.
    pub max_new_tokens: Option<u32>,
    /// Strings that end the output; they are not part of it.
    pub stop: Vec<String>,
    /// Who asks; the engine is shared fairly between tenants.
    pub tenant: TenantId,
    /// How urgent it is.
    pub priority: Priority,
    /// Only requests with the same salt share cached prefixes.
    pub cache_salt: Arc<[u8]>,
}

impl GenerateRequest {
    /// A request of nobody in particular for one choice that is as long as fits.
    pub fn new(prompt: PromptInput) -> Self {
        Self {
            prompt,
            sampling: SamplingOptions::default(),
            num_choices: 1,
            max_new_tokens: None,
            stop: Vec::new(),
            tenant: TenantId::default(),
            priority: Priority::default(),
            cache_salt: Arc::default(),
        }
    }
}

/// The prompt in the form the client gave.
#[derive(Debug, Clone, PartialEq)]
pub enum PromptInput {
    /// Messages for the model's chat template.
    Chat(ChatPrompt),
    /// Text to continue as it stands.
    Text(String),
}

/// Sampling settings as the client named them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SamplingOptions {
    /// Softmax temperature, 0 for greedy.
    pub temperature: Option<f32>,
    /// Probability mass to keep.
    pub top_p: Option<f32>,
    /// Number of tokens to keep; 0 keeps all.
    pub top_k: Option<u32>,
    /// Seed; drawn at random when absent.
    pub seed: Option<u64>,
}
