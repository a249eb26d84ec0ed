//! A prompt as the model would read it, in the shape of vLLM's render endpoints, with the text beside the tokens.

use serde::Serialize;

use super::head::AnswerHead;
use crate::api::params::Warning;
use crate::api::state::AppState;
use crate::serving::RenderedPrompt;

/// A prompt as the model would read it.
#[derive(Debug, Serialize)]
pub(in crate::api) struct Rendered {
    request_id: String,
    model: String,
    /// With special tokens as they are written.
    prompt: String,
    token_ids: Vec<u32>,
    num_tokens: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

impl Rendered {
    /// Of a prompt of which the last `kept` tokens are wanted, all if that is not said.
    pub(in crate::api) fn new(
        state: &AppState,
        head: &AnswerHead,
        prompt: RenderedPrompt,
        kept: Option<usize>,
    ) -> Self {
        let RenderedPrompt { mut token_ids, text } = prompt;
        let num_cut = kept.map_or(0, |kept| token_ids.len().saturating_sub(kept));
        token_ids.drain(..num_cut);
        let prompt = text.filter(|_| num_cut == 0).unwrap_or_else(|| state.generator.text_of(&token_ids));
        Self {
            request_id: head.id.clone(),
            model: head.model.clone(),
            prompt,
            num_tokens: token_ids.len(),
            token_ids,
            warnings: head.warnings.clone(),
        }
    }

    /// Its length.
    pub(in crate::api) fn num_tokens(&self) -> usize {
        self.num_tokens
    }
}
