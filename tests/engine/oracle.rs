//! What a sequence must give, worked out without engine, cache or batch.

use maru::engine::{FakeRunner, FinishReason, NewSequence};
use maru::sampling::{Row, Sampler};

/// The output of a sequence that nothing disturbs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expected {
    pub(crate) tokens: Vec<u32>,
    pub(crate) reason: FinishReason,
}

pub(crate) fn expect(sequence: &NewSequence, vocab_size: usize) -> Expected {
    let mut sampler = Sampler::new();
    let mut known = sequence.prompt.to_vec();
    let mut tokens = Vec::new();
    loop {
        let logits = FakeRunner::logits_after(&known, vocab_size);
        let sampled =
            sampler.sample(&Row::new(&logits, &sequence.sampling, known.len() as u64)).expect("valid logits");
        let token_id = sampled.token_id;
        if sequence.stop_token_ids.contains(&token_id) {
            return Expected { tokens, reason: FinishReason::StopToken { token_id } };
        }
        tokens.push(token_id);
        known.push(token_id);
        if tokens.len() == sequence.max_new_tokens as usize {
            return Expected { tokens, reason: FinishReason::Length };
        }
    }
}
