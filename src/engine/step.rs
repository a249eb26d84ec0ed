//! What one step computes, and what it led to.

use super::{SequenceId, TokenEvent};
use crate::model::{BlockCopy, HiddenStates};
use crate::sampling::{SampleError, SampledToken, TokenLogprobs};

/// One sequence's part of a step: its tokens `start..start + num_tokens` are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduledSequence {
    /// The sequence.
    pub id: SequenceId,
    /// Its place in the scheduler, valid until the step is committed.
    pub(super) slot: usize,
    /// Position of the first token.
    pub start: usize,
    /// Number of tokens, at least one; the last `num_samples - 1` of them are guesses.
    pub num_tokens: usize,
    /// The last rows of the part, which give tokens: none while known tokens are left to compute, or for who is pooled.
    pub num_samples: usize,
    /// The rows before these whose logits say how likely the tokens of the prompt were.
    pub num_scores: usize,
    /// The last rows of the part, of which the hidden states are wanted.
    pub num_hidden: usize,
    /// Whether no known token is left to compute after it.
    pub completes: bool,
}

impl ScheduledSequence {
    /// Positions of the tokens that the samples give.
    pub fn sample_positions(&self) -> std::ops::Range<usize> {
        let end = self.start + self.num_tokens + 1;
        end - self.num_samples..end
    }

    /// Positions of the prompt's tokens that are scored.
    pub fn score_positions(&self) -> std::ops::Range<usize> {
        let end = self.sample_positions().start;
        end - self.num_scores..end
    }

    /// Rows whose logits are wanted: those that score, then those that sample.
    pub fn num_logits(&self) -> usize {
        self.num_scores + self.num_samples
    }

    /// Guesses among its tokens.
    pub fn num_drafts(&self) -> usize {
        self.num_samples.saturating_sub(1)
    }
}

/// What one step computes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StepPlan {
    /// The parts, in the order of the batch.
    pub scheduled: Vec<ScheduledSequence>,
    /// Sequences that compute for the first time, with the prompt tokens found in the prefix cache.
    pub admitted: Vec<Admission>,
    /// Sequences that lost their blocks to others and wait again.
    pub preempted: Vec<SequenceId>,
    /// Blocks to copy, in this order, before anything of the step is written.
    pub block_copies: Vec<BlockCopy>,
}

impl StepPlan {
    /// Tokens that the step computes.
    pub fn num_tokens(&self) -> usize {
        self.scheduled.iter().map(|part| part.num_tokens).sum()
    }

    /// Rows that give tokens.
    pub fn num_samples(&self) -> usize {
        self.scheduled.iter().map(|part| part.num_samples).sum()
    }

    /// Rows that score tokens of prompts.
    pub fn num_scores(&self) -> usize {
        self.scheduled.iter().map(|part| part.num_scores).sum()
    }

    /// Rows whose logits are wanted.
    pub fn num_logits(&self) -> usize {
        self.num_scores() + self.num_samples()
    }

    /// Rows whose hidden states are wanted.
    pub fn num_hidden(&self) -> usize {
        self.scheduled.iter().map(|part| part.num_hidden).sum()
    }

    /// Tokens of prompts, and of sequences that come back, that the step computes.
    pub fn num_prefill_tokens(&self) -> usize {
        let of_part = |part: &ScheduledSequence| match part.num_tokens - part.num_drafts() {
            1 => 0,
            num_known => num_known,
        };
        self.scheduled.iter().map(of_part).sum()
    }

    /// The parts that give tokens, in the order of the batch.
    pub fn sampling(&self) -> impl Iterator<Item = &ScheduledSequence> {
        self.scheduled.iter().filter(|part| part.num_samples > 0)
    }
}

/// A sequence that computes for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// The sequence.
    pub id: SequenceId,
    /// Tokens of its prompt.
    pub num_prompt: usize,
    /// Those of them whose K and V were found in the prefix cache.
    pub num_cached: usize,
}

/// What came of the rows of a step, in the plan's order.
#[derive(Debug)]
pub struct StepResults {
    /// One per row that samples.
    pub sampled: Vec<Result<SampledToken, SampleError>>,
    /// One per row that scores.
    pub scores: Vec<Result<TokenLogprobs, SampleError>>,
    /// The hidden states that were wanted.
    pub hidden: HiddenStates,
}

impl From<Vec<Result<SampledToken, SampleError>>> for StepResults {
    /// Of a step that nothing but samples.
    fn from(sampled: Vec<Result<SampledToken, SampleError>>) -> Self {
        Self { sampled, scores: Vec::new(), hidden: HiddenStates::none() }
    }
}

/// What a step led to.
#[derive(Debug, Default, PartialEq)]
pub struct StepOutcome {
    /// Events in order; a sequence's last is `Finished` or `Failed`.
    pub events: Vec<(SequenceId, TokenEvent)>,
    /// Prompt tokens of the sequences whose prompt was completed.
    pub num_prompt_tokens: usize,
    /// Tokens sampled, stop tokens included.
    pub num_generated_tokens: usize,
    /// Sequences for which tokens were guessed.
    pub num_drafts: usize,
    /// Guesses checked.
    pub num_draft_tokens: usize,
    /// Guesses that were right.
    pub num_accepted_tokens: usize,
}
