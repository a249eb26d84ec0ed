//! The load generator on a target that only waits and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::dice::{ConversationId, Purpose};
use super::driver::{LongPrompt, Plan, Run, drive};
use super::load::{Arrivals, Extent, Load};
use super::record::{Outcome, TokenCounts, Unanswered};
use super::target::{Deltas, Target};

/// Answers each question after a moment; the second question of every conversation fails if told so.
#[derive(Default)]
struct Counting {
    fails_second: bool,
    num_open: AtomicUsize,
    num_running: AtomicUsize,
    most_running: AtomicUsize,
}

/// Number of the conversation and questions asked in it.
type Talk = (u32, u32);

impl Target for Counting {
    type Talk = Talk;

    fn open(&self, id: ConversationId) -> Talk {
        self.num_open.fetch_add(1, Ordering::SeqCst);
        (id.number, 0)
    }

    fn open_long(&self, id: ConversationId, num_tokens: u32) -> Talk {
        assert_eq!((id.purpose, num_tokens), (Purpose::LongPrompt, 900));
        self.open(id)
    }

    async fn ask(&self, talk: &mut Talk, deltas: &mut Deltas) -> Result<TokenCounts, Unanswered> {
        let running = self.num_running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        deltas.note(Instant::now());
        self.num_running.fetch_sub(1, Ordering::SeqCst);
        talk.1 += 1;
        match talk.1 {
            2 if self.fails_second => Err(Unanswered::Failed("no".to_owned())),
            _ => Ok(TokenCounts { prompt: Some(talk.0), ..TokenCounts::default() }),
        }
    }
}

fn plan(load: Load, num_requests: u32) -> Plan {
    Plan {
        point: 0,
        purpose: Purpose::Measured,
        load,
        arrivals: Arrivals::Fixed,
        extent: Extent::Requests(num_requests),
        num_turns: 1,
        timeout: Duration::from_secs(60),
        max_in_flight: 1000,
        long_prompt: None,
        seed: 1,
    }
}

async fn run(target: &Arc<Counting>, plan: Plan) -> Run {
    drive(Arc::clone(target), plan, Arc::default()).await.expect("signals can be received")
}

#[tokio::test]
async fn a_closed_loop_has_as_many_requests_and_streams_as_it_is_told() {
    let target = Arc::new(Counting::default());
    let run = run(&target, plan(Load::Concurrency(3), 20)).await;
    assert_eq!(run.records.len(), 20);
    assert_eq!(target.most_running.load(Ordering::SeqCst), 3);
    assert!(run.records.iter().all(|record| record.intended <= record.sent && record.sent <= record.end));
    assert_eq!(Some(run.window), run.records.iter().map(|record| record.end).max());
}

#[tokio::test]
async fn an_open_loop_keeps_its_times_and_counts_the_wait_for_a_place() {
    let target = Arc::new(Counting::default());
    let plan = Plan { max_in_flight: 1, ..plan(Load::Rate(1000.0), 10) };
    let mut run = run(&target, plan).await;
    assert_eq!(target.most_running.load(Ordering::SeqCst), 1);
    run.records.sort_by_key(|record| record.intended);
    let intended: Vec<u128> = run.records.iter().map(|record| record.intended.as_micros()).collect();
    assert_eq!(intended, (0..10).map(|i| i * 1000).collect::<Vec<_>>(), "the schedule asks nobody");
    for pair in run.records.windows(2) {
        assert!(pair[1].sent >= pair[0].end, "one at a time");
        assert!(
            pair[1].e2e() >= (pair[0].end - pair[1].intended).as_secs_f64(),
            "the wait is part of the time"
        );
    }
}

#[tokio::test]
async fn a_time_limit_ends_the_beginnings_and_not_the_answers() {
    let target = Arc::new(Counting::default());
    let limit = Duration::from_millis(20);
    let plan = Plan { extent: Extent::Time(limit), ..plan(Load::Rate(500.0), 0) };
    let run = run(&target, plan).await;
    assert_eq!(run.records.len(), 10, "one every 2 ms for 20 ms");
    assert_eq!(run.window, limit);
    assert!(run.records.iter().all(|record| record.counts().is_some()));
}

#[tokio::test]
async fn a_failure_ends_its_conversation_and_the_next_begins() {
    let target = Arc::new(Counting { fails_second: true, ..Counting::default() });
    let plan = Plan { num_turns: 5, ..plan(Load::Concurrency(1), 6) };
    let run = run(&target, plan).await;
    let failed = run.records.iter().filter(|record| matches!(record.outcome, Outcome::Failed(_))).count();
    assert_eq!((run.records.len(), failed, target.num_open.load(Ordering::SeqCst)), (6, 3, 3));
}

#[tokio::test]
async fn conversations_are_numbered_and_the_long_prompt_is_none_of_them() {
    let target = Arc::new(Counting::default());
    let long_prompt = Some(LongPrompt { num_tokens: 900, at: Duration::from_millis(1) });
    let run = run(&target, Plan { long_prompt, ..plan(Load::Concurrency(2), 8) }).await;
    let mut numbers: Vec<_> = run.records.iter().filter_map(|record| record.counts()?.prompt).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..8).collect::<Vec<_>>());
    assert!(run.long_prompt.is_some());
}

#[tokio::test]
async fn an_answer_that_does_not_end_in_time_has_failed_with_what_came() {
    /// One piece, then nothing.
    struct Stalled;
    impl Target for Stalled {
        type Talk = ();
        fn open(&self, _: ConversationId) {}
        fn open_long(&self, _: ConversationId, _: u32) {}
        async fn ask(&self, (): &mut (), deltas: &mut Deltas) -> Result<TokenCounts, Unanswered> {
            deltas.note(Instant::now());
            std::future::pending().await
        }
    }
    let plan = Plan { timeout: Duration::from_millis(10), ..plan(Load::Concurrency(1), 1) };
    let run = drive(Arc::new(Stalled), plan, Arc::default()).await.expect("signals can be received");
    assert_eq!(run.records[0].deltas.len(), 1);
    assert!(matches!(&run.records[0].outcome, Outcome::Failed(reason) if reason.contains("within 10ms")));
}
