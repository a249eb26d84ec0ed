//! The engine's thread and channels: every way in which a sequence, a reader or the engine itself can end.
//!
//! No test depends on how fast the machine is: a gate holds each forward pass until the test lets it go, and what
//! happens in the background is awaited, not timed.

use std::sync::Arc;
use std::time::Duration;

use maru::engine::{
    AdmissionError, Engine, EngineConfig, FakeRunner, FinishReason, NewSequence, Overload, SequenceError,
    Speed, StartError, SubmitError, TokenEvent, TokenStream,
};
use maru::model::KvCapacity;
use maru::sampling::{Row, SampledToken, Sampler, SamplingParams};
use maru::telemetry::{CacheInfo, Metrics};

use crate::dice::Dice;
use crate::oracle;
use crate::rig::{Act, CAPACITY, Rig, config, eventually, sequence};
use crate::scenario::VOCAB_SIZE;

/// All tokens of a stream and its last event.
pub(crate) async fn read(stream: &mut TokenStream) -> (Vec<u32>, TokenEvent) {
    let mut tokens = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            TokenEvent::Scheduled { num_cached_tokens } => {
                assert_eq!((num_cached_tokens, tokens.len()), (0, 0))
            }
            TokenEvent::Token { token_id, .. } => tokens.push(token_id),
            last => {
                assert_eq!(stream.next().await, None, "nothing follows the last event");
                return (tokens, last);
            }
        }
    }
    panic!("the stream ended without a last event");
}

const LENGTH: TokenEvent = TokenEvent::finished(FinishReason::Length);

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
        let last = TokenEvent::finished(expected.reason);
        assert_eq!(read(stream).await, (expected.tokens, last));
    }
    rig.await_idle();
    let num_prompt: usize = sequences.iter().map(|sequence| sequence.prompt.len()).sum();
    assert_eq!(rig.metrics.prompt_tokens.get(), num_prompt as u64);
    assert_eq!(rig.metrics.prefix_cache_queries.get(), num_prompt as u64);
    assert_eq!(rig.metrics.prefix_cache_hits.get(), 0);
    assert_eq!(rig.metrics.generation_tokens.get(), num_generated as u64);
    assert_eq!(rig.metrics.engine_healthy.get(), 1);
    assert_eq!(rig.aborted(), [0, 0, 0, 0]);
}

#[tokio::test]
async fn log_probabilities_come_with_the_tokens_of_those_who_ask() {
    let rig = Rig::free(config());
    let plain = sequence(5, 12, 1);
    let sampling = SamplingParams { logprobs: Some(2), ..plain.sampling.clone() };
    let asking = NewSequence { sampling, ..plain.without_constraint() };
    let (mut with, mut without) = (rig.submit(&asking), rig.submit(&plain));
    let mut known = asking.prompt.to_vec();
    while let Some(event) = with.next().await {
        let TokenEvent::Token { token_id, logprobs } = event else { continue };
        let logits = FakeRunner::logits_after(&known, VOCAB_SIZE);
        let alone = Sampler::new().sample(&Row::new(&logits, &asking.sampling, known.len() as u64));
        assert_eq!(alone, Ok(SampledToken { token_id, logprobs, completes: false }));
        known.push(token_id);
    }
    assert_eq!(known.len(), 5 + 12);
    while let Some(event) = without.next().await {
        assert!(!matches!(event, TokenEvent::Token { logprobs: Some(_), .. }), "{event:?}");
    }
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
    eventually("both are counted", || rig.aborted() == [1, 1, 0, 0]);
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
    drop(leaving);
    rig.open();
    rig.await_idle();
    eventually("the abort is counted", || rig.aborted() == [0, 0, 1, 0]);
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
    assert_eq!(rig.aborted(), [2, 1, 0, 0], "before the next step, not when there is something to send");
}

#[tokio::test]
async fn a_reader_that_leaves_an_end_unread_is_counted_once() {
    let rig = Rig::free(config());
    let mut unread = rig.submit(&sequence(3, 5, 1));
    let satisfied = rig.submit(&sequence(3, 5, 2));
    rig.await_idle();
    for _ in 0..6 {
        assert!(matches!(unread.next().await, Some(TokenEvent::Scheduled { .. } | TokenEvent::Token { .. })));
    }
    drop(unread);
    satisfied.finish();
    eventually("it is counted", || rig.aborted() == [0, 0, 0, 1]);
}

/// What a reader of the storm does.
#[derive(Debug, Clone, Copy)]
enum Habit {
    ReadsAll,
    LeavesAfter(usize),
    FinishesAfter(usize),
}

/// Reads by habit and says whether the sequence was read to its end or came to one that its reader wanted.
async fn read_by_habit(sequence: NewSequence, mut stream: TokenStream, habit: Habit) -> bool {
    let (limit, finishes) = match habit {
        Habit::ReadsAll => (usize::MAX, false),
        Habit::LeavesAfter(events) => (events, false),
        Habit::FinishesAfter(events) => (events, true),
    };
    let mut tokens = Vec::new();
    for _ in 0..limit {
        match stream.next().await.expect("an end comes before nothing") {
            TokenEvent::Scheduled { .. } => {}
            TokenEvent::Token { token_id, .. } => tokens.push(token_id),
            last => {
                let expected = oracle::expect(&sequence, VOCAB_SIZE);
                assert_eq!((tokens, last), (expected.tokens, TokenEvent::finished(expected.reason)));
                return true;
            }
        }
    }
    if finishes {
        stream.finish();
    }
    finishes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_departures_leaves_nothing_behind_and_every_end_is_counted_once() {
    const NUM_STREAMS: u64 = 600;
    let rig = Rig::free(EngineConfig {
        max_num_seqs: 8,
        max_num_batched_tokens: 24,
        max_waiting: 1_000,
        ..config()
    });
    let mut dice = Dice::new(1);
    let mut tasks = Vec::new();
    for seed in 0..NUM_STREAMS {
        let sequence = sequence(dice.between(1, 40) as u32, dice.between(1, 30) as u32, seed);
        let habit = match dice.between(0, 3) {
            0 => Habit::ReadsAll,
            1 => Habit::FinishesAfter(dice.between(0, 20)),
            _ => Habit::LeavesAfter(dice.between(0, 20)),
        };
        let stream = rig.submit(&sequence);
        tasks.push(tokio::spawn(read_by_habit(sequence, stream, habit)));
        if dice.chance(20) {
            tokio::task::yield_now().await;
        }
    }
    let mut num_wanted = 0;
    for task in tasks {
        num_wanted += u64::from(task.await.expect("no reader panics"));
    }
    rig.await_idle();
    let num_aborted = || rig.aborted().iter().sum::<u64>();
    eventually("every departure is counted", || num_aborted() + num_wanted >= NUM_STREAMS);
    assert_eq!(num_aborted() + num_wanted, NUM_STREAMS);
    assert!(num_wanted > 100 && num_aborted() > 100, "{num_wanted} wanted ends, {:?}", rig.aborted());
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
    assert_eq!((rig.failed("slow_reader"), rig.aborted()), (1, [0, 0, 0, 0]));

    // Three tokens and the announcement fill the buffer; the last word still fits.
    let mut exact = rig.submit(&sequence(3, 3, 2));
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
async fn a_row_without_a_token_fails_its_own_sequence_only() {
    for act in [Act::Nan, Act::Infinity, Act::Masked] {
        let mut rig = Rig::new(config());
        let first = sequence(1, 9, 1);
        let mut hit = rig.submit(&first);
        rig.act(Act::Go);
        hit.next().await.expect("it is announced");
        hit.next().await.expect("it has a token");
        let second = sequence(1, 9, 2);
        let mut spared = rig.submit(&second);
        rig.act(act);
        rig.open();
        let (_, last) = read(&mut hit).await;
        assert_eq!(last, TokenEvent::Failed { error: SequenceError::InvalidLogits }, "{act:?}");
        assert_eq!(read(&mut spared).await, (oracle::expect(&second, VOCAB_SIZE).tokens, LENGTH));
        rig.await_idle();
        assert_eq!((rig.failed("invalid_logits"), rig.metrics.corrupted_requests.get()), (1, 1));
    }
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
    let reason = Overload::QueueFull { waiting: 2, max: 2 };
    assert!(matches!(refused, SubmitError::Overloaded { reason: r, .. } if r == reason));
    rig.open();
    for stream in waiting.iter_mut().chain([&mut first]) {
        assert_eq!(read(stream).await.1, LENGTH);
    }
    assert_eq!(read(&mut rig.submit(&sequence(3, 5, 4))).await.1, LENGTH);
}

#[tokio::test]
async fn who_waited_too_long_is_given_up_and_who_runs_is_not() {
    let mut rig = Rig::new(EngineConfig { max_num_seqs: 1, max_queue_time_ms: 1_000, ..config() });
    let long = sequence(3, 40, 1);
    let mut running = rig.submit(&long);
    let pulse = rig.handle.pulse();
    eventually("the first one left the queue", || pulse.num_waiting() == 0);
    let mut waiting = rig.submit(&sequence(9, 5, 2));
    assert_eq!((pulse.num_waiting(), pulse.num_waiting_tokens()), (1, 9));
    std::thread::sleep(Duration::from_millis(1_001));
    rig.act(Act::Go);
    let (tokens, last) = read(&mut waiting).await;
    let TokenEvent::Failed { error: SequenceError::QueueTimeout { waited_ms, max_ms, retry_after_ms } } =
        last
    else {
        panic!("{last:?}")
    };
    assert!(
        tokens.is_empty() && waited_ms > 1_000 && max_ms == 1_000 && retry_after_ms == 1_000,
        "{waited_ms}"
    );
    assert_eq!((pulse.num_waiting(), pulse.num_waiting_tokens()), (0, 0));
    rig.open();
    assert_eq!(read(&mut running).await, (oracle::expect(&long, VOCAB_SIZE).tokens, LENGTH));
    rig.await_idle();
    let rejected = rig.metrics.rejected.with_label_values(&["queue_timeout"]).get();
    assert_eq!((rejected, rig.failed("queue_timeout")), (1, 1));
}

#[tokio::test]
async fn who_lost_its_blocks_shows_as_waiting_and_is_never_given_up() {
    let mut rig = Rig::new(EngineConfig { max_queue_time_ms: 1_000, max_decode_slowdown: 0.0, ..config() });
    let sequences: Vec<_> = (0..4).map(|i| sequence(20, 100, i)).collect();
    let mut streams: Vec<_> = sequences.iter().map(|sequence| rig.submit(sequence)).collect();
    let mut num_steps = 0;
    while rig.metrics.num_preemptions.get() == 0 {
        num_steps += 1;
        assert!(num_steps < 400, "four times thirty blocks fit into sixty-four");
        rig.act(Act::Go);
        let num_done = || rig.metrics.iteration_tokens.get_sample_count();
        eventually("the step is done", || num_done() == num_steps);
    }
    eventually("it shows", || rig.metrics.num_requests_waiting.get() > 0);
    assert_eq!(rig.handle.pulse().num_waiting(), 0, "it has no place in the queue");
    std::thread::sleep(Duration::from_millis(1_001));
    rig.open();
    for (sequence, stream) in sequences.iter().zip(&mut streams) {
        assert_eq!(read(stream).await, (oracle::expect(sequence, VOCAB_SIZE).tokens, LENGTH));
    }
    rig.await_idle();
    eventually("nobody waits", || rig.metrics.num_requests_waiting.get() == 0);
    assert_eq!(rig.failed("queue_timeout"), 0);
}

#[tokio::test]
async fn the_speed_is_known_once_sequences_have_ended_while_others_waited() {
    let rig = Rig::free(EngineConfig { max_num_seqs: 2, ..config() });
    assert_eq!(rig.handle.pulse().speed(), Speed::default());
    let mut streams: Vec<_> = (0..40).map(|i| rig.submit(&sequence(9, 5, i))).collect();
    for stream in &mut streams {
        assert_eq!(read(stream).await.1, LENGTH);
    }
    rig.await_idle();
    let speed = rig.handle.pulse().speed();
    assert!(speed.ends_per_s > 0.0 && speed.prompt_tokens_per_s > 0.0, "{speed:?}");
    // Thirteen computed tokens lie in four blocks of four.
    let blocks_per_end = speed.freed_blocks_per_s / speed.ends_per_s;
    assert!((3.0..=4.0).contains(&blocks_per_end), "{speed:?}");
    rig.await_idle();
    assert_eq!(rig.metrics.expected_queue_time.get(), 0.0, "nobody waits");
    assert_eq!(rig.metrics.num_queue_tokens.get(), 0);
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
