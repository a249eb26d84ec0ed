//! How one sequence wants its tokens chosen.

use std::sync::Arc;

use super::TokenSet;

/// Sampling parameters of one sequence, checked and complete.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// Softmax temperature; 0 means greedy.
    pub temperature: f32,
    /// Keep the `top_k` most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the smallest set of tokens whose probability reaches `top_p`; 1 keeps all.
    pub top_p: f32,
    /// Keep the tokens that are at least so many times as likely as the most likely one, after temperature; 0 keeps
    /// all.
    pub min_p: f32,
    /// Key of the counter-based generator.
    pub seed: u64,
    /// Which of a request's choices this is: part of the generator's key.
    pub choice_index: u32,
    /// Report each token's log probability with this many of the most likely tokens; none reports nothing.
    pub logprobs: Option<u8>,
    /// What makes tokens less likely that were there before.
    pub penalties: Penalties,
    /// Tokens and what is added to their logits, by ascending id, each once.
    pub bias: Arc<[(u32, f32)]>,
    /// Only these tokens may come.
    pub allowed: Option<Arc<TokenSet>>,
    /// Runs of tokens that must not come out: the last of one may not come where the others stand before it.
    pub bad_words: Arc<[Vec<u32>]>,
    /// The sequence's stop tokens may not come before the output has so many tokens.
    pub min_tokens: u32,
}

/// What makes tokens less likely that were there before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Penalties {
    /// Taken off a token's logit for every time that it stands in the output; 0 changes nothing.
    pub frequency: f32,
    /// Taken off a token's logit if it stands in the output; 0 changes nothing.
    pub presence: f32,
    /// Divides the logit of a token that stands in prompt or output if that is positive, else multiplies it; 1 changes
    /// nothing. (Keskar et al., "CTRL", 2019.)
    pub repetition: f32,
}

impl Penalties {
    /// Whether none of them changes anything.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Penalties {
    fn default() -> Self {
        Self { frequency: 0.0, presence: 0.0, repetition: 1.0 }
    }
}

impl SamplingParams {
    /// Greedy decoding: the most likely token, ties to the lowest id.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            seed: 0,
            choice_index: 0,
            logprobs: None,
            penalties: Penalties::default(),
            bias: Arc::default(),
            allowed: None,
            bad_words: Arc::default(),
            min_tokens: 0,
        }
    }

    /// Whether the most likely token is always taken.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == 1
    }
}
