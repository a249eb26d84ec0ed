use super::*;
use crate::engine::Speed;

const LIMITS: EngineLimits = EngineLimits { max_model_len: 10_000, max_waiting: 3, max_buffered_events: 16 };
const QUEUE_LIMITS: QueueLimits = QueueLimits {
    max_waiting_tokens: 2_000,
    // Of which four fifths may be expected: ten seconds.
    max_queue_time: Duration::from_millis(12_500),
    max_num_seqs: 2,
    block_size: 10,
};
/// Ten seconds for a thousand prompt tokens.
const SLOW: Speed =
    Speed { prompt_tokens_per_s: 100.0, ends_per_s: 0.0, freed_blocks_per_s: 0.0, num_cached_per_token: 0.0 };

/// A handle, and the commands that nobody takes.
fn handle(speed: Speed) -> (EngineHandle, mpsc::Receiver<Command>) {
    let (commands, receiver) = mpsc::channel(8);
    let pulse = Arc::new(EnginePulse::new(1_000));
    pulse.set_speed(speed);
    (EngineHandle::new(commands, pulse, LIMITS).bounded(QUEUE_LIMITS), receiver)
}

fn submit(handle: &EngineHandle, num_prompt: usize) -> Result<TokenStream, SubmitError> {
    handle.submit(NewSequence::greedy(vec![1; num_prompt], 5))
}

fn refusal(handle: &EngineHandle, num_prompt: usize) -> (Overload, u64) {
    match submit(handle, num_prompt).expect_err("it is refused") {
        SubmitError::Overloaded { reason, retry_after_ms } => (reason, retry_after_ms),
        other => panic!("refused for another reason: {other}"),
    }
}

#[test]
fn a_wait_that_would_be_too_long_is_refused_with_what_it_would_be() {
    let (handle, _commands) = handle(SLOW);
    let _first = submit(&handle, 1_500).expect("nobody is ahead");
    let reason = Overload::ExpectedWait { expected_ms: 15_000, max_ms: 10_000 };
    assert_eq!(refusal(&handle, 1), (reason, 7_500));
    assert_eq!(handle.pulse().num_waiting(), 1, "the refused one has no place");
    assert_eq!(handle.pulse().num_waiting_tokens(), 1_500);
}

#[test]
fn a_wait_within_the_limit_is_taken() {
    let (handle, _commands) = handle(SLOW);
    let _first = submit(&handle, 1_000).expect("nobody is ahead");
    assert!(submit(&handle, 1_000).is_ok(), "ten seconds are allowed");
}

#[test]
fn an_idle_engine_refuses_nothing_however_slow_it_was() {
    let crawling = Speed { prompt_tokens_per_s: 1e-9, ends_per_s: 1e-9, freed_blocks_per_s: 1e-9, ..SLOW };
    let (handle, _commands) = handle(crawling);
    assert!(submit(&handle, 9_900).is_ok());
}

#[test]
fn another_tenant_does_not_wait_for_a_long_queue_that_is_not_its_own() {
    let (handle, _commands) = handle(SLOW);
    let _first = submit(&handle, 1_500).expect("nobody is ahead");
    assert!(matches!(refusal(&handle, 1).0, Overload::ExpectedWait { .. }));
    let other = NewSequence { tenant: TenantId(7), ..NewSequence::greedy(vec![1; 10], 5) };
    assert!(handle.submit(other).is_ok());
}

#[test]
fn too_many_tokens_and_too_many_sequences_are_refused_with_numbers() {
    let (handle, _commands) = handle(Speed::default());
    let _first = submit(&handle, 1_500).expect("room");
    let reason = Overload::QueuedTokens { waiting: 1_500, asked: 501, max: 2_000 };
    assert_eq!(refusal(&handle, 501), (reason, 1_000));
    let _others = [submit(&handle, 1).expect("room"), submit(&handle, 1).expect("room")];
    assert_eq!(refusal(&handle, 1), (Overload::QueueFull { waiting: 3, max: 3 }, 1_000));
}

#[test]
fn the_length_of_the_wait_sets_the_next_try_of_a_full_queue_too() {
    let (handle, _commands) = handle(Speed { prompt_tokens_per_s: 500.0, ..SLOW });
    let _waiting: Vec<_> = (0..3).map(|_| submit(&handle, 600).expect("room")).collect();
    assert_eq!(refusal(&handle, 1), (Overload::QueueFull { waiting: 3, max: 3 }, 1_800));
}
