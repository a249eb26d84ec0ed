//! How one sequence wants its tokens chosen.

/// Sampling parameters of one sequence, checked and complete.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// Softmax temperature; 0 means greedy.
    pub temperature: f32,
    /// Keep the `top_k` most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the smallest set of tokens whose probability reaches `top_p`; 1 keeps all.
    pub top_p: f32,
    /// Key of the counter-based generator.
    pub seed: u64,
    /// Which of a request's choices this is: part of the generator's key.
    pub choice_index: u32,
    /// Report each token's log probability with this many of the most likely tokens; none reports nothing.
    pub logprobs: Option<u8>,
}

impl SamplingParams {
    /// Greedy decoding: the most likely token, ties to the lowest id.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0, choice_index: 0, logprobs: None }
    }

    /// Whether the most likely token is always taken.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == 1
    }
}
