//! A chosen token, and how likely it was.

/// What the sampler gives for one row of logits.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledToken {
    /// The chosen token.
    pub token_id: u32,
    /// Its log probability and those of its rivals, if the parameters ask for them.
    pub logprobs: Option<Box<TokenLogprobs>>,
}

impl From<u32> for SampledToken {
    /// A token without log probabilities.
    fn from(token_id: u32) -> Self {
        Self { token_id, logprobs: None }
    }
}

/// Natural logarithms of probabilities under the model: the softmax of the logits as they came, before temperature
/// and cuts.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// Of the chosen token.
    pub logprob: f32,
    /// The most likely tokens with theirs, most likely first, equals by the lower id.
    pub top: Vec<(u32, f32)>,
}
