//! Prompts as vectors: the model's last hidden state, pooled.

use std::sync::Arc;

use super::generator::{refusal, rejection};
use super::prepare::{check_prompt, fit, render};
use super::{EmbedRequest, Embedding, GenerateError, Generator};
use crate::engine::{NewSequence, SequenceError, TokenEvent};

impl Generator {
    /// The vector that stands for a prompt. Dropping the future aborts the work.
    ///
    /// # Errors
    /// As [`Generator::generate`], and the fault of the sequence.
    pub async fn embed(&self, request: EmbedRequest) -> Result<Embedding, GenerateError> {
        let embedding = self.try_embed(request).await;
        // The engine has counted the sequences that it failed.
        if let Err(error) = &embedding
            && !matches!(error, GenerateError::Sequence(_))
        {
            self.shared.metrics.rejected.with_label_values(&[rejection(error)]).inc();
        }
        embedding
    }

    async fn try_embed(&self, request: EmbedRequest) -> Result<Embedding, GenerateError> {
        let shared = &self.shared;
        check_prompt(&request.prompt, shared.config.max_prompt_bytes)?;
        shared.engine.ensure_room(request.tenant, request.priority).map_err(|error| refusal(error, 0))?;
        let EmbedRequest { prompt, truncate_prompt_tokens, pooling, tenant, priority, cache_salt } = request;
        let text = Arc::clone(&shared.text);
        let (mut token_ids, _) = shared.on_a_place(move || render(&text, &prompt)).await?;
        if let Some(kept) = truncate_prompt_tokens {
            token_ids.drain(..token_ids.len().saturating_sub(kept));
        }
        let num_prompt_tokens = token_ids.len();
        // Nothing is generated, so the prompt may fill the context.
        fit(num_prompt_tokens - 1, None, shared.engine.limits().max_model_len).map_err(|_| {
            let max_model_len = shared.engine.limits().max_model_len;
            GenerateError::ContextLengthExceeded { num_prompt_tokens, max_model_len }
        })?;
        let sequence = NewSequence {
            tenant,
            priority,
            cache_salt,
            pooling: Some(pooling),
            ..NewSequence::greedy(token_ids, 0)
        };
        let mut events = shared.engine.submit(sequence).map_err(|error| refusal(error, num_prompt_tokens))?;
        loop {
            match events.next().await {
                Some(TokenEvent::Embedding { values }) => {
                    // The end follows at once and says nothing more.
                    events.finish();
                    return Ok(Embedding { values, num_prompt_tokens });
                }
                Some(TokenEvent::Failed { error }) => return Err(error.into()),
                Some(_) => {}
                None => return Err(SequenceError::EngineStopped.into()),
            }
        }
    }
}
