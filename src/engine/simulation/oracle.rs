//! What a sequence must give, worked out without engine, cache or batch.

use crate::engine::{FakeRunner, FinishReason, NewSequence};
use crate::model::KvGroup;
use crate::sampling::{Row, Sampler};

/// The output of a sequence that nothing disturbs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expected {
    pub(super) tokens: Vec<u32>,
    pub(super) reason: FinishReason,
}

pub(super) fn expect(sequence: &NewSequence, groups: &[KvGroup], vocab_size: usize) -> Expected {
    let mut sampler = Sampler::new();
    let mut known = sequence.prompt.to_vec();
    let mut tokens = Vec::new();
    loop {
        let logits = FakeRunner::logits_after_in(groups, &known, vocab_size);
        let sampled = sampler.sample(&Row::new(&logits, &sequence.sampling, known.len() as u64));
        let token_id = sampled.expect("valid logits").token_id;
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
