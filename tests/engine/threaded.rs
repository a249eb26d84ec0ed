//! The engine's thread and channels: every way in which a sequence, a reader or the engine itself can end.
//!
//! No test depends on how fast the machine is: a gate holds each forward pass until the test lets it go, and what
//! happens in the background is awaited, not timed.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use maru::engine::{
    AdmissionError, Engine, EngineConfig, EngineHandle, EngineThread, FakeRunner, FinishReason, NewSequence,
    SequenceError, StartError, SubmitError, TokenEvent, TokenStream,
};
use maru::model::{ForwardBatch, KvCapacity, Logits, ModelError, Runner};
use maru::sampling::SamplingParams;
use maru::telemetry::{CacheInfo, Metrics};

use crate::oracle;
use crate::scenario::VOCAB_SIZE;

const CAPACITY: KvCapacity = KvCapacity { num_blocks: 64, block_size: 4 };

/// What the next forward pass does.
#[derive(Debug, Clone, Copy)]
enum Act {
    Go,
    Fail,
    Panic,
    /// The first sampled row holds a NaN.
    Nan,
    /// A row of logits is missing.
    LoseRow,
}

/// Holds every forward pass until the gate names its act; runs freely once the gate is dropped.
struct GatedRunner {
    inner: FakeRunner,
    gate: Receiver<Act>,
}

impl Runner for GatedRunner {
    fn forward(&mut self, batch: &ForwardBatch) -> Result<Logits, ModelError> {
        let act = self.gate.recv().unwrap_or(Act::Go);
        let logits = self.inner.forward(batch)?;
        let rows = (0..logits.num_rows()).flat_map(|row| logits.row(row));
        let mut data: Vec<f32> = rows.copied().collect();
        match act {
            Act::Go => return Ok(logits),
            Act::Fail => return Err(ModelError::Backend { op: "attention", reason: "planned".to_owned() }),
            Act::Panic => panic!("planned panic"),
            Act::Nan => data[3] = f32::NAN,
            Act::LoseRow => data.truncate(data.len() - VOCAB_SIZE),
        }
        Ok(Logits::new(data, VOCAB_SIZE))
    }

    fn kv_capacity(&self) -> KvCapacity {
        self.inner.kv_capacity()
    }
}

struct Rig {
    handle: EngineHandle,
    thread: EngineThread,
    metrics: Arc<Metrics>,
    gate: Option<Sender<Act>>,
}

impl Rig {
    fn new(config: EngineConfig) -> Self {
        let (gate, acts) = channel();
        let runner = GatedRunner { inner: FakeRunner::new(CAPACITY, VOCAB_SIZE), gate: acts };
        let KvCapacity { num_blocks, block_size } = CAPACITY;
        let metrics =
            Arc::new(Metrics::new("fake", CacheInfo { block_size, num_blocks }).expect("valid names"));
        let (handle, thread) =
            Engine::spawn(Box::new(runner), &config, 10_000, Arc::clone(&metrics)).expect("a valid engine");
        Self { handle, thread, metrics, gate: Some(gate) }
    }

    /// An engine that nothing holds back.
    fn free(config: EngineConfig) -> Self {
        let mut rig = Self::new(config);
        rig.open();
        rig
    }

    fn act(&self, act: Act) {
        self.gate.as_ref().expect("the gate is not open").send(act).expect("the engine runs");
    }

    fn open(&mut self) {
        self.gate = None;
    }

    fn submit(&self, sequence: &NewSequence) -> TokenStream {
        self.handle.submit(sequence.clone()).expect("there is room")
    }

    fn aborted(&self) -> [u64; 3] {
        ["queued", "prefill", "decode"].map(|phase| self.metrics.aborted.with_label_values(&[phase]).get())
    }

    fn failed(&self, reason: &str) -> u64 {
        self.metrics.failed.with_label_values(&[reason]).get()
    }

    /// Waits until nothing runs, waits or holds a block.
    fn await_idle(&self) {
        let pulse = self.handle.pulse();
        eventually("the engine is idle", || {
            (pulse.num_waiting(), pulse.num_running(), pulse.num_used_blocks()) == (0, 0, 0)
        });
    }
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "a minute passed before {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn config() -> EngineConfig {
    EngineConfig { max_num_seqs: 4, max_num_batched_tokens: 4, max_waiting: 100, max_buffered_events: 500 }
}

/// A sequence without stop tokens, so that it has exactly `max_new_tokens` tokens.
fn sequence(num_prompt: u32, max_new_tokens: u32, seed: u64) -> NewSequence {
    NewSequence {
        prompt: (0..num_prompt).map(|i| (i * 7 + seed as u32) % VOCAB_SIZE as u32).collect(),
        sampling: SamplingParams { temperature: 1.0, seed, ..SamplingParams::greedy() },
        max_new_tokens,
        stop_token_ids: [].into(),
    }
}

/// All tokens of a stream and its last event.
async fn read(stream: &mut TokenStream) -> (Vec<u32>, TokenEvent) {
    let mut tokens = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            TokenEvent::Scheduled { num_cached_tokens } => {
                assert_eq!((num_cached_tokens, tokens.len()), (0, 0))
            }
            TokenEvent::Token { token_id } => tokens.push(token_id),
            last => {
                assert_eq!(stream.next().await, None, "nothing follows the last event");
                return (tokens, last);
            }
        }
    }
    panic!("the stream ended without a last event");
}

const LENGTH: TokenEvent = TokenEvent::Finished { reason: FinishReason::Length };

#[tokio::test]
async fn sixty_four_streams_at_once_each_read_what_they_would_alone() {
    let rig = Rig::free(EngineConfig { max_num_batched_tokens: 16, ..config() });
    let sequences: Vec<_> = (0..64)
        .map(|i| {
            let stop_token_ids = if i % 3 == 0 { [1, 5].into() } else { [].into() };
            NewSequence { stop_token_ids, ..sequence(1 + i % 23, 1 + i % 17, u64::from(i)) }
        })
        .collect();
    let mut streams: Vec<_> = sequences.iter().map(|sequence| rig.submit(sequence)).collect();
    let mut num_generated = 0;
    for (sequence, stream) in sequences.iter().zip(&mut streams) {
        let expected = oracle::expect(sequence, VOCAB_SIZE);
        num_generated += expected.tokens.len() + usize::from(expected.reason != FinishReason::Length);
        let last = TokenEvent::Finished { reason: expected.reason };
        assert_eq!(read(stream).await, (expected.tokens, last));
    }
    rig.await_idle();
    let num_prompt: usize = sequences.iter().map(|sequence| sequence.prompt.len()).sum();
    assert_eq!(rig.metrics.prompt_tokens.get(), num_prompt as u64);
    assert_eq!(rig.metrics.prefix_cache_queries.get(), num_prompt as u64);
    assert_eq!(rig.metrics.prefix_cache_hits.get(), 0);
    assert_eq!(rig.metrics.generation_tokens.get(), num_generated as u64);
    assert_eq!(rig.metrics.engine_healthy.get(), 1);
    assert_eq!(rig.aborted(), [0, 0, 0]);
}

#[tokio::test]
async fn a_reader_that_leaves_while_queued_or_in_prefill_frees_everything() {
    let mut rig = Rig::new(EngineConfig { max_num_seqs: 1, ..config() });
    let prefilling = rig.submit(&sequence(40, 5, 1));
    let queued = rig.submit(&sequence(4, 5, 2));
    rig.act(Act::Go);
    let pulse = rig.handle.pulse();
    eventually("the first one runs", || pulse.num_waiting() == 1 && pulse.num_running() == 1);
    drop((prefilling, queued));
    rig.open();
    rig.await_idle();
    eventually("both are counted", || rig.aborted() == [1, 1, 0]);
}

#[tokio::test]
async fn a_reader_that_leaves_in_decode_frees_everything_and_disturbs_nobody() {
    let rig = Rig::free(config());
    let other = sequence(9, 200, 3);
    let mut staying = rig.submit(&other);
    let mut leaving = rig.submit(&sequence(2, 240, 1));
    assert_eq!(leaving.next().await, Some(TokenEvent::Scheduled { num_cached_tokens: 0 }));
    assert!(matches!(leaving.next().await, Some(TokenEvent::Token { .. })));
    drop(leaving);
    assert_eq!(read(&mut staying).await, (oracle::expect(&other, VOCAB_SIZE).tokens, LENGTH));
    rig.await_idle();
}

#[tokio::test]
async fn an_abort_in_decode_is_counted_and_an_early_finish_is_not() {
    let mut rig = Rig::new(config());
    let mut leaving = rig.submit(&sequence(1, 100, 1));
    let mut satisfied = rig.submit(&sequence(1, 100, 2));
    rig.act(Act::Go);
    for stream in [&mut leaving, &mut satisfied] {
        assert_eq!(stream.next().await, Some(TokenEvent::Scheduled { num_cached_tokens: 0 }));
    }
    rig.act(Act::Go);
    assert!(matches!(leaving.next().await, Some(TokenEvent::Token { .. })));
    satisfied.finish();
    assert_eq!(satisfied.next().await, None);
    drop((leaving, satisfied));
    rig.open();
    rig.await_idle();
    eventually("the abort is counted", || rig.aborted() == [0, 0, 1]);
}

#[tokio::test]
async fn departures_are_noticed_though_the_command_queue_was_full() {
    let mut rig = Rig::new(EngineConfig { max_num_seqs: 1, max_waiting: 2, ..config() });
    // Three commands fit. The first sequence is taken, two submissions lie in the queue, then aborts fill it.
    let running = rig.submit(&sequence(40, 5, 1));
    let pulse = rig.handle.pulse();
    eventually("the first one left the queue", || pulse.num_waiting() == 0);
    let waiting = [rig.submit(&sequence(4, 5, 2)), rig.submit(&sequence(4, 5, 3))];
    drop(waiting);
    drop(running);
    rig.open();
    rig.await_idle();
    eventually("all are counted", || rig.aborted().iter().sum::<u64>() == 3);
}

#[tokio::test]
async fn a_slow_reader_loses_its_sequence_and_nobody_else_waits() {
    let rig = Rig::free(EngineConfig { max_buffered_events: 4, max_num_batched_tokens: 8, ..config() });
    let slow = sequence(3, 50, 1);
    let mut unread = rig.submit(&slow);
    rig.await_idle();
    let (tokens, last) = read(&mut unread).await;
    assert_eq!(tokens, oracle::expect(&slow, VOCAB_SIZE).tokens[..3]);
    assert_eq!(last, TokenEvent::Failed { error: SequenceError::SlowReader { buffered: 4 } });
    assert_eq!((rig.failed("slow_reader"), rig.aborted()), (1, [0, 0, 0]));

    // Three tokens and the announcement fill the buffer; the last word still fits.
    let mut exact = rig.submit(&sequence(3, 3, 1));
    rig.await_idle();
    assert_eq!(read(&mut exact).await.1, LENGTH);
}

#[tokio::test]
async fn a_slow_reader_keeps_no_other_from_its_tokens() {
    let rig = Rig::free(EngineConfig { max_buffered_events: 40, ..config() });
    let _unread = rig.submit(&sequence(3, 200, 1));
    let other = sequence(3, 30, 2);
    let mut stream = rig.submit(&other);
    assert_eq!(read(&mut stream).await, (oracle::expect(&other, VOCAB_SIZE).tokens, LENGTH));
}

#[tokio::test]
async fn a_drain_finishes_what_was_submitted_and_takes_nothing_more() {
    let mut rig = Rig::new(EngineConfig { max_num_seqs: 2, ..config() });
    let sequences: Vec<_> = (0..6).map(|i| sequence(5, 8, i)).collect();
    let mut streams: Vec<_> = sequences.iter().map(|sequence| rig.submit(sequence)).collect();
    rig.handle.drain().await;
    assert_eq!(rig.handle.submit(sequence(1, 1, 9)).expect_err("closing"), SubmitError::ShuttingDown);
    rig.open();
    for (sequence, stream) in sequences.iter().zip(&mut streams) {
        assert_eq!(read(stream).await, (oracle::expect(sequence, VOCAB_SIZE).tokens, LENGTH));
    }
    assert_eq!(rig.thread.join(), Ok(()));
    assert!(!rig.handle.pulse().has_failed());
    assert_eq!(rig.handle.submit(sequence(1, 1, 9)).expect_err("closed"), SubmitError::ShuttingDown);
    rig.handle.drain().await;
}

#[tokio::test]
async fn an_idle_engine_drains_at_once() {
    let rig = Rig::free(config());
    rig.handle.drain().await;
    assert_eq!(rig.thread.join(), Ok(()));
}

#[tokio::test]
async fn a_stop_ends_every_open_sequence_even_during_a_drain() {
    for drains_first in [false, true] {
        let mut rig = Rig::new(EngineConfig { max_num_seqs: 1, ..config() });
        let mut streams: Vec<_> = (0..3).map(|i| rig.submit(&sequence(5, 200, i))).collect();
        if drains_first {
            rig.handle.drain().await;
        }
        rig.handle.stop().await;
        rig.open();
        for stream in &mut streams {
            let stopped = TokenEvent::Failed { error: SequenceError::EngineStopped };
            assert_eq!(read(stream).await.1, stopped);
        }
        assert_eq!(rig.failed("engine_stopped"), 3);
        assert_eq!(rig.thread.join(), Ok(()));
    }
}

#[tokio::test]
async fn the_thread_ends_when_nobody_is_left() {
    let rig = Rig::free(config());
    let mut stream = rig.submit(&sequence(3, 5, 1));
    drop(rig.handle);
    assert_eq!(read(&mut stream).await.1, LENGTH);
    drop(stream);
    assert_eq!(rig.thread.join(), Ok(()));
}

#[tokio::test]
async fn a_failed_forward_pass_fails_its_batch_and_the_next_one_works() {
    for act in [Act::Fail, Act::LoseRow] {
        let mut rig = Rig::new(EngineConfig { max_num_seqs: 1, ..config() });
        let mut hit = rig.submit(&sequence(3, 5, 1));
        let next = sequence(3, 5, 2);
        let mut spared = rig.submit(&next);
        rig.act(act);
        rig.open();
        let (tokens, last) = read(&mut hit).await;
        assert!(tokens.is_empty());
        assert!(matches!(last, TokenEvent::Failed { error: SequenceError::Model(_) }), "{last:?}");
        assert_eq!(read(&mut spared).await, (oracle::expect(&next, VOCAB_SIZE).tokens, LENGTH));
        rig.await_idle();
        assert_eq!((rig.failed("model"), rig.metrics.engine_healthy.get()), (1, 1));
    }
}

#[tokio::test]
async fn invalid_logits_fail_their_own_sequence_only() {
    let mut rig = Rig::new(config());
    let first = sequence(1, 9, 1);
    let mut hit = rig.submit(&first);
    rig.act(Act::Go);
    hit.next().await.expect("it is announced");
    hit.next().await.expect("it has a token");
    let second = sequence(1, 9, 2);
    let mut spared = rig.submit(&second);
    rig.act(Act::Nan);
    rig.open();
    let (_, last) = read(&mut hit).await;
    assert_eq!(last, TokenEvent::Failed { error: SequenceError::InvalidLogits });
    assert_eq!(read(&mut spared).await, (oracle::expect(&second, VOCAB_SIZE).tokens, LENGTH));
    rig.await_idle();
    assert_eq!((rig.failed("invalid_logits"), rig.metrics.corrupted_requests.get()), (1, 1));
}

#[tokio::test]
async fn a_panic_turns_the_pulse_red_and_ends_every_stream() {
    let rig = Rig::new(EngineConfig { max_num_seqs: 1, ..config() });
    let mut streams: Vec<_> = (0..3).map(|i| rig.submit(&sequence(5, 9, i))).collect();
    rig.act(Act::Panic);
    for stream in &mut streams {
        let stopped = TokenEvent::Failed { error: SequenceError::EngineStopped };
        assert_eq!(read(stream).await.1, stopped);
        assert!(rig.handle.pulse().has_failed(), "health turns red before a stream ends");
    }
    assert_eq!(rig.handle.submit(sequence(1, 1, 9)).expect_err("dead"), SubmitError::ShuttingDown);
    assert_eq!(rig.metrics.engine_healthy.get(), 0);
    let died = rig.thread.join().expect_err("it panicked");
    assert_eq!(died.to_string(), "the engine died: planned panic");
}

#[tokio::test]
async fn a_full_queue_refuses_with_numbers_and_takes_again_when_there_is_room() {
    let mut rig = Rig::new(EngineConfig { max_num_seqs: 1, max_waiting: 2, ..config() });
    let mut first = rig.submit(&sequence(3, 5, 1));
    let pulse = rig.handle.pulse();
    eventually("the first one left the queue", || pulse.num_waiting() == 0);
    let mut waiting = [rig.submit(&sequence(3, 5, 2)), rig.submit(&sequence(3, 5, 3))];
    let refused = rig.handle.submit(sequence(3, 5, 4)).expect_err("full");
    assert_eq!(refused, SubmitError::QueueFull { waiting: 2, max: 2 });
    rig.open();
    for stream in waiting.iter_mut().chain([&mut first]) {
        assert_eq!(read(stream).await.1, LENGTH);
    }
    assert_eq!(read(&mut rig.submit(&sequence(3, 5, 4))).await.1, LENGTH);
}

#[tokio::test]
async fn what_can_never_fit_is_refused_with_numbers() {
    let rig = Rig::free(config());
    let max = CAPACITY.num_tokens() as usize;
    assert_eq!(rig.handle.limits().max_model_len, max, "the pool is smaller than the model's context");
    let refused = rig.handle.submit(sequence(6, max as u32 - 5, 1)).expect_err("too long");
    assert_eq!(refused, SubmitError::PromptTooLong { len: max + 1, max });
    assert_eq!(read(&mut rig.submit(&sequence(6, max as u32 - 6, 1))).await.1, LENGTH);
    let error = SequenceError::Refused(AdmissionError::NothingToDo);
    assert_eq!(read(&mut rig.submit(&sequence(0, 3, 1))).await, (Vec::new(), TokenEvent::Failed { error }));
    rig.await_idle();
}

#[tokio::test]
async fn an_idle_engine_keeps_beating() {
    let rig = Rig::free(config());
    let pulse = rig.handle.pulse();
    for _ in 0..2 {
        let mut oldest = Duration::ZERO;
        eventually("a beat", || pulse.age() > Duration::from_millis(100));
        eventually("the next beat", || {
            let age = pulse.age();
            let has_beaten = age < oldest;
            oldest = oldest.max(age);
            has_beaten
        });
    }
}

#[test]
fn settings_that_cannot_work_start_no_thread() {
    let metrics = Metrics::new("fake", CacheInfo { block_size: 4, num_blocks: 0 }).expect("valid names");
    let metrics = Arc::new(metrics);
    let start = |num_blocks, config: EngineConfig| {
        let runner = FakeRunner::new(KvCapacity { num_blocks, block_size: 4 }, VOCAB_SIZE);
        Engine::spawn(Box::new(runner), &config, 100, Arc::clone(&metrics)).map(|_| ())
    };
    let error = start(8, EngineConfig { max_num_seqs: 9, max_waiting: 0, ..config() }).expect_err("invalid");
    assert!(matches!(&error, StartError::InvalidConfig { faults } if faults.len() == 2), "{error}");
    assert!(matches!(start(0, config()), Err(StartError::NoKvCache { num_blocks: 0, .. })));
}
