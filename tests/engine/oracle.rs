//! What a sequence must give, worked out without engine, cache or batch.

use maru::engine::{FakeRunner, FinishReason, NewSequence};
use maru::sampling::{Row, Sampler, TokenSet};

use crate::rule::Rule;

/// The output of a sequence that nothing disturbs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expected {
    pub(crate) tokens: Vec<u32>,
    pub(crate) reason: FinishReason,
}

pub(crate) fn expect(sequence: &NewSequence, vocab_size: usize) -> Expected {
    expect_under(sequence, None, vocab_size)
}

/// The same under a rule, with a mask for every token.
pub(crate) fn expect_under(sequence: &NewSequence, rule: Option<Rule>, vocab_size: usize) -> Expected {
    let mut sampler = Sampler::new();
    let mut known = sequence.prompt.to_vec();
    let mut tokens = Vec::new();
    let mut constraint = rule.map(Rule::start);
    let mut mask = TokenSet::new(vocab_size);
    loop {
        let logits = FakeRunner::logits_after(&known, vocab_size);
        let mask = constraint.as_mut().map(|constraint| {
            constraint.mask(&mut mask).expect("a rule has a mask for every state");
            &mask
        });
        let row = Row {
            prompt: &sequence.prompt,
            output: &tokens,
            stop_token_ids: &sequence.stop_token_ids,
            mask,
            ..Row::new(&logits, &sequence.sampling, known.len() as u64)
        };
        let token_id = sampler.sample(&row).expect("valid logits").token_id;
        if sequence.stop_token_ids.contains(&token_id) {
            return Expected { tokens, reason: FinishReason::StopToken { token_id } };
        }
        tokens.push(token_id);
        known.push(token_id);
        if let Some(constraint) = &mut constraint {
            constraint.accept(token_id).expect("the mask has the token");
            if constraint.is_complete() {
                return Expected { tokens, reason: FinishReason::Complete };
            }
        }
        if tokens.len() == sequence.max_new_tokens as usize {
            return Expected { tokens, reason: FinishReason::Length };
        }
    }
}
