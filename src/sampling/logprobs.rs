//! A chosen token, and how likely it was.

/// What the sampler gives for one row of logits.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledToken {
    /// The chosen token.
    pub token_id: u32,
    /// Its log probability and those of its rivals, if the parameters ask for them.
    pub logprobs: Option<Box<TokenLogprobs>>,
    /// Whether a constraint lets nothing follow it.
    pub completes: bool,
}

impl From<u32> for SampledToken {
    /// A token without log probabilities.
    fn from(token_id: u32) -> Self {
        Self { token_id, logprobs: None, completes: false }
    }
}

/// Natural logarithms of probabilities under the model: the softmax of the logits as they came, before temperature
/// and cuts. A masked token has negative infinity.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// Of the chosen token.
    pub logprob: f32,
    /// The most likely tokens with theirs, most likely first, equals by the lower id.
    pub top: Vec<(u32, f32)>,
}

/// The logarithm of the softmax of a row, in f64.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogSoftmax {
    max: f64,
    log_sum: f64,
}

impl LogSoftmax {
    /// Of a row whose highest logit, `max`, is finite. The sum runs in the order of ids, so that equal rows give equal
    /// bits wherever they stand.
    pub(super) fn new(logits: &[f32], max: f32) -> Self {
        let max = f64::from(max);
        let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - max).exp()).sum();
        Self { max, log_sum: sum.ln() }
    }

    /// The log probability of a token with this logit.
    pub(super) fn of(self, logit: f32) -> f32 {
        (f64::from(logit) - self.max - self.log_sum) as f32
    }
}
