//! What a sequence must give, worked out without engine, cache or batch.

use super::rule::Rule;
use crate::engine::{FakeRunner, FinishReason, NewSequence, Pooling, ScoredToken};
use crate::model::KvGroup;
use crate::sampling::{Row, Sampler, TokenSet};

/// The output of a sequence that nothing disturbs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expected {
    pub(super) tokens: Vec<u32>,
    pub(super) reason: FinishReason,
    /// Of all prompt tokens but the first, if they are wanted.
    pub(super) scores: Vec<ScoredToken>,
    pub(super) embedding: Option<Vec<f32>>,
}

/// Alone, with a mask for every token.
pub(super) fn expect(
    sequence: &NewSequence,
    rule: Option<Rule>,
    groups: &[KvGroup],
    vocab_size: usize,
) -> Expected {
    if let Some(pooling) = sequence.pooling {
        let rows = FakeRunner::hidden_of_all_in(groups, &sequence.prompt);
        let embedding = Some(pooled(&rows, pooling));
        return Expected { tokens: Vec::new(), reason: FinishReason::Pooled, scores: Vec::new(), embedding };
    }
    let mut sampler = Sampler::new();
    let scores = scores(sequence, groups, vocab_size, &mut sampler);
    if !sequence.generates() {
        return Expected { tokens: Vec::new(), reason: FinishReason::Length, scores, embedding: None };
    }
    let mut known = sequence.prompt.to_vec();
    let mut tokens = Vec::new();
    let mut constraint = rule.map(Rule::start);
    let mut mask = TokenSet::new(vocab_size);
    loop {
        let logits = FakeRunner::logits_after_in(groups, &known, vocab_size);
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
            let reason = FinishReason::StopToken { token_id };
            return Expected { tokens, reason, scores, embedding: None };
        }
        tokens.push(token_id);
        known.push(token_id);
        if let Some(constraint) = &mut constraint {
            constraint.accept(token_id).expect("the mask has the token");
            if constraint.is_complete() {
                return Expected { tokens, reason: FinishReason::Complete, scores, embedding: None };
            }
        }
        if tokens.len() == sequence.max_new_tokens as usize {
            return Expected { tokens, reason: FinishReason::Length, scores, embedding: None };
        }
    }
}

fn scores(
    sequence: &NewSequence,
    groups: &[KvGroup],
    vocab_size: usize,
    sampler: &mut Sampler,
) -> Vec<ScoredToken> {
    let Some(num_top) = sequence.prompt_scores else { return Vec::new() };
    let rows = FakeRunner::logits_of_all_in(groups, &sequence.prompt, vocab_size);
    let mut score = |(row, &token_id): (&Vec<f32>, &u32)| ScoredToken {
        token_id,
        logprobs: sampler.score(row, token_id, num_top).expect("valid logits"),
    };
    rows.iter().zip(&sequence.prompt[1..]).map(&mut score).collect()
}

fn pooled(rows: &[Vec<f32>], pooling: Pooling) -> Vec<f32> {
    let last = rows.last().expect("a prompt has tokens");
    match pooling {
        Pooling::Last => last.clone(),
        Pooling::Mean => {
            let sum = |column: usize| rows.iter().map(|row| f64::from(row[column])).sum::<f64>();
            (0..last.len()).map(|column| (sum(column) / rows.len() as f64) as f32).collect()
        }
    }
}
