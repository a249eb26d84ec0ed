//! What a request has cost, as OpenAI's completions tell it.

use serde::Serialize;

use crate::serving::ChoiceUsage;

/// Tokens of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(in crate::api) struct Usage {
    pub(in crate::api) prompt_tokens: u64,
    pub(in crate::api) completion_tokens: u64,
    pub(in crate::api) total_tokens: u64,
    pub(in crate::api) prompt_tokens_details: PromptDetails,
    pub(in crate::api) completion_tokens_details: CompletionDetails,
}

/// Tokens of the prompt by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(in crate::api) struct PromptDetails {
    pub(in crate::api) cached_tokens: u64,
    pub(in crate::api) audio_tokens: u64,
}

/// Tokens of the output by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(in crate::api) struct CompletionDetails {
    pub(in crate::api) reasoning_tokens: u64,
    pub(in crate::api) audio_tokens: u64,
    pub(in crate::api) accepted_prediction_tokens: u64,
    pub(in crate::api) rejected_prediction_tokens: u64,
}

impl Usage {
    /// Of a prompt without output.
    pub(in crate::api) fn of_prompt(num_tokens: u64) -> Self {
        Self { prompt_tokens: num_tokens, total_tokens: num_tokens, ..Self::default() }
    }

    /// Adds a choice. The prompt is counted once, and what the first choice found cached is what the request did:
    /// the others find what the first one computed.
    pub(in crate::api) fn add(&mut self, choice: u32, usage: ChoiceUsage) {
        let output = u64::from(usage.num_output_tokens);
        self.completion_tokens += output;
        self.total_tokens += output;
        let details = &mut self.completion_tokens_details;
        details.reasoning_tokens += u64::from(usage.num_reasoning_tokens);
        details.accepted_prediction_tokens += u64::from(usage.drafts.num_accepted);
        details.rejected_prediction_tokens += u64::from(usage.drafts.num_rejected);
        if choice == 0 {
            self.prompt_tokens_details.cached_tokens = usage.num_cached_tokens.into();
        }
    }

    /// Adds another prompt of the same request with all of its choices.
    pub(in crate::api) fn add_prompt(&mut self, other: &Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.total_tokens += other.total_tokens;
        self.prompt_tokens_details.cached_tokens += other.prompt_tokens_details.cached_tokens;
        let (mine, theirs) = (&mut self.completion_tokens_details, &other.completion_tokens_details);
        mine.reasoning_tokens += theirs.reasoning_tokens;
        mine.accepted_prediction_tokens += theirs.accepted_prediction_tokens;
        mine.rejected_prediction_tokens += theirs.rejected_prediction_tokens;
    }
}
