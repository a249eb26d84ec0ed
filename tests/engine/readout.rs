//! Prompts that are scored or pooled, through the engine's thread.

use maru::engine::{
    EngineConfig, FakeRunner, FinishReason, NewSequence, Pooling, ScoredToken, SubmitError, TokenEvent,
};
use maru::model::KvGroup;
use maru::sampling::Sampler;

use crate::rig::{CAPACITY, Rig, config, sequence};
use crate::scenario::VOCAB_SIZE;

const GROUPS: [KvGroup; 1] = [KvGroup { window: None }];

/// What the scores of a prompt must be.
fn expected_scores(prompt: &[u32], num_top: u8) -> Vec<ScoredToken> {
    let rows = FakeRunner::logits_of_all_in(&GROUPS, prompt, VOCAB_SIZE);
    let mut sampler = Sampler::new();
    let mut score = |(row, &token_id): (&Vec<f32>, &u32)| {
        let logprobs = sampler.score(row, token_id, num_top).expect("valid logits");
        ScoredToken { token_id, logprobs }
    };
    rows.iter().zip(&prompt[1..]).map(&mut score).collect()
}

#[tokio::test]
async fn the_scores_of_a_long_prompt_do_not_fill_the_buffer_of_a_reader_that_waits() {
    // Sixty steps, and room for four events.
    let rig = Rig::free(EngineConfig { max_buffered_events: 4, ..config() });
    let asking = NewSequence { prompt_scores: Some(2), ..sequence(240, 2, 1) };
    let mut stream = rig.submit(&asking);
    rig.await_idle();
    assert_eq!(stream.next().await, Some(TokenEvent::Scheduled { num_cached_tokens: 0 }));
    let scores = expected_scores(&asking.prompt, 2);
    assert_eq!(stream.next().await, Some(TokenEvent::PromptScores { scores }));
    for _ in 0..2 {
        assert!(matches!(stream.next().await, Some(TokenEvent::Token { .. })));
    }
    assert_eq!(stream.next().await, Some(TokenEvent::finished(FinishReason::Length)));
}

#[tokio::test]
async fn scored_sequences_generate_what_they_would_without() {
    let rig = Rig::free(config());
    let plain: Vec<NewSequence> = (0..8).map(|i| sequence(3 + 5 * i, 6, u64::from(i))).collect();
    let mut streams = Vec::new();
    for sequence in &plain {
        let asking = NewSequence { prompt_scores: Some(0), ..sequence.without_constraint() };
        streams.push((rig.submit(&asking), rig.submit(sequence)));
    }
    for (sequence, (mut asking, mut silent)) in plain.iter().zip(streams) {
        let (mut scores, mut tokens, mut others) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(event) = asking.next().await {
            match event {
                TokenEvent::PromptScores { scores: piece } => scores.extend(piece),
                TokenEvent::Token { token_id, .. } => tokens.push(token_id),
                _ => {}
            }
        }
        while let Some(event) = silent.next().await {
            match event {
                TokenEvent::PromptScores { .. } => panic!("nobody asked"),
                TokenEvent::Token { token_id, .. } => others.push(token_id),
                _ => {}
            }
        }
        assert_eq!((tokens.len(), scores), (6, expected_scores(&sequence.prompt, 0)));
        assert_eq!(tokens, others);
    }
}

#[tokio::test]
async fn a_pooled_prompt_as_long_as_the_pool_gives_its_embedding_and_ends() {
    let rig = Rig::free(config());
    let num_tokens = CAPACITY.num_tokens() as u32;
    for pooling in [Pooling::Last, Pooling::Mean] {
        let asking = NewSequence { pooling: Some(pooling), ..sequence(num_tokens, 5_000, 3) };
        let rows = FakeRunner::hidden_of_all_in(&GROUPS, &asking.prompt);
        let mean = |column: usize| {
            let sum: f64 = rows.iter().map(|row| f64::from(row[column])).sum();
            (sum / rows.len() as f64) as f32
        };
        let last = rows.last().expect("a prompt has tokens").clone();
        let values = match pooling {
            Pooling::Last => last,
            Pooling::Mean => (0..last.len()).map(mean).collect(),
        };
        let mut stream = rig.submit(&asking);
        assert!(matches!(stream.next().await, Some(TokenEvent::Scheduled { .. })));
        assert_eq!(stream.next().await, Some(TokenEvent::Embedding { values }));
        assert_eq!(stream.next().await, Some(TokenEvent::finished(FinishReason::Pooled)));
        assert_eq!(stream.next().await, None);
    }
    rig.await_idle();
    assert_eq!(rig.metrics.generation_tokens.get(), 0);
    let too_long = NewSequence { pooling: Some(Pooling::Last), ..sequence(num_tokens + 1, 1, 3) };
    let refused = rig.handle.submit(too_long).expect_err("it never fits");
    assert!(matches!(refused, SubmitError::PromptTooLong { .. }), "{refused}");
}
