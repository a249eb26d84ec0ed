//! The same through the engine's own thread and channels: what the handle gives is what each request gets alone.

use std::sync::Arc;

use maru::engine::{
    Engine, EngineConfig, EngineHandle, EngineThread, NewSequence, SpeculationConfig, TokenEvent, TokenStream,
};
use maru::model::Runner;
use maru::telemetry::{CacheInfo, Metrics};

use crate::drive::{Answer, LogprobBits};
use crate::models::{EXAONE35, Setup, Shrunk};
use crate::pressure::{alone_each, quarter_of_demand, requests};

fn spawn(
    runner: Box<dyn Runner>,
    speculation: SpeculationConfig,
) -> (EngineHandle, EngineThread, Arc<Metrics>) {
    let capacity = runner.kv_capacity();
    let info = CacheInfo { block_size: capacity.block_size, num_blocks: capacity.num_blocks };
    let metrics = Arc::new(Metrics::new("tiny", info).expect("valid names"));
    let config = EngineConfig { max_num_seqs: 64, speculation, ..EngineConfig::default() };
    let (handle, thread) = Engine::spawn(runner, &config, 512, Arc::clone(&metrics)).expect("a valid engine");
    (handle, thread, metrics)
}

/// The answer as its reader sees it, and the prompt tokens that were cached; rows of logits stay in the engine.
async fn read(mut stream: TokenStream) -> (Answer, u32) {
    let (mut answer, mut num_cached) = (Answer::default(), 0);
    while let Some(event) = stream.next().await {
        match event {
            TokenEvent::Scheduled { num_cached_tokens } => num_cached += num_cached_tokens,
            TokenEvent::Token { token_id, logprobs } => {
                answer.tokens.push(token_id);
                answer.logprobs.push(logprobs.as_deref().map(LogprobBits::from));
            }
            TokenEvent::Finished { reason, .. } => answer.ending = Some(reason),
            TokenEvent::Failed { error } => panic!("a sequence failed: {error}"),
        }
    }
    (answer, num_cached)
}

/// Sends all requests at once to an engine with a scarce pool.
///
/// # Errors
/// The first request whose answer differs from `expected`.
pub(crate) async fn check(
    runner: Box<dyn Runner>,
    requests: &[NewSequence],
    expected: &[Answer],
    speculation: SpeculationConfig,
) -> Result<(), String> {
    let num_blocks = quarter_of_demand(requests, &*runner);
    let (handle, thread, metrics) = spawn(Box::new(Shrunk { runner, num_blocks }), speculation);
    let submit = |request: &NewSequence| handle.submit(request.without_constraint()).expect("there is room");
    let streams: Vec<TokenStream> = requests.iter().map(submit).collect();
    let (mut answers, mut num_cached) = (Vec::new(), 0);
    for stream in streams {
        let (answer, cached) = read(stream).await;
        answers.push(answer);
        num_cached += cached;
    }
    handle.drain().await;
    thread.join().expect("no panic");
    let num_tokens: usize = expected.iter().map(|answer| answer.tokens.len()).sum();
    assert_eq!(metrics.generation_tokens.get(), num_tokens as u64);
    assert_eq!(metrics.prefix_cache_hits.get(), u64::from(num_cached));
    assert!(metrics.num_preemptions.get() > 0, "the pool was not scarce");
    for (answer, expected) in answers.iter().zip(expected) {
        answer.must_equal(&Answer { rows: Vec::new(), ..expected.clone() })?;
    }
    Ok(())
}

#[tokio::test]
async fn sixty_four_streams_read_what_each_would_alone() {
    let setup = Setup::new(EXAONE35);
    let requests = requests(EXAONE35.vocab_size);
    let expected = alone_each(&mut *setup.load(), &requests);
    for max_draft_tokens in [0, 4] {
        let speculation = SpeculationConfig { max_draft_tokens, ..SpeculationConfig::default() };
        check(setup.load(), &requests, &expected, speculation).await.unwrap();
    }
}
