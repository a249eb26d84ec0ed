//! The load generator: sends requests as the plan says, whatever the target is, and keeps what became of each.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::dice::{ConversationId, Purpose};
use super::load::{Arrivals, Extent, Load};
use super::record::{Outcome, Record, Unanswered};
use super::target::{Deltas, Live, Target};

/// How long a stream of a closed loop waits after a request that was not answered, so as not to storm the server.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// How one load is put on.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Which load of the sweep, from 0.
    pub(super) point: u32,
    /// Measured, or before the measurement.
    pub(super) purpose: Purpose,
    /// How many at a time, or how often.
    pub(super) load: Load,
    /// How an open loop's arrivals are spaced.
    pub(super) arrivals: Arrivals,
    /// How long.
    pub(super) extent: Extent,
    /// Questions of each conversation.
    pub(super) num_turns: u32,
    /// Longest time from a request to the end of its answer.
    pub(super) timeout: Duration,
    /// Most requests at once; those beyond wait here, and the wait counts.
    pub(super) max_in_flight: usize,
    /// A long prompt among the others.
    pub(super) long_prompt: Option<LongPrompt>,
    /// Seed of the arrivals.
    pub(super) seed: u64,
}

/// One long prompt that is sent while others run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LongPrompt {
    /// Its length.
    pub(super) num_tokens: u32,
    /// When it is sent, from the start of the load.
    pub(super) at: Duration,
}

/// What became of one load.
#[derive(Debug)]
pub(super) struct Run {
    /// What was put on.
    pub(super) load: Load,
    /// Every request, in the order in which they ended.
    pub(super) records: Vec<Record>,
    /// The long prompt's request.
    pub(super) long_prompt: Option<Record>,
    /// The time over which rates are taken.
    pub(super) window: Duration,
    /// Whether Ctrl-C cut it short.
    pub(super) interrupted: bool,
}

/// Puts the plan's load on the target and waits until everything has been answered; Ctrl-C cuts it short.
///
/// # Errors
/// If the system lets no signal be received.
pub(super) async fn drive<T: Target>(target: Arc<T>, plan: Plan, live: Arc<Live>) -> std::io::Result<Run> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (load, extent) = (plan.load, plan.extent);
    let drive = Arc::new(Drive {
        target,
        start: Instant::now(),
        in_flight: Semaphore::new(plan.max_in_flight),
        num_conversations: AtomicU32::new(0),
        num_requests: AtomicU32::new(0),
        live,
        records: sender,
        plan,
    });
    let start = drive.start;
    let mut tasks = JoinSet::new();
    match load {
        Load::Concurrency(streams) => {
            for _ in 0..streams {
                tasks.spawn(Arc::clone(&drive).converse_in_turn());
            }
        }
        Load::Rate(rate) => drop(tasks.spawn(Arc::clone(&drive).converse_on_arrival(rate))),
    }
    if let Some(long_prompt) = drive.plan.long_prompt {
        tasks.spawn(Arc::clone(&drive).disturb(long_prompt));
    }
    // The channel ends when the last task does.
    drop(drive);
    let mut run =
        Run { load, records: Vec::new(), long_prompt: None, window: Duration::ZERO, interrupted: false };
    loop {
        tokio::select! {
            received = receiver.recv() => match received {
                Some((Purpose::LongPrompt, record)) => run.long_prompt = Some(record),
                Some((_, record)) => run.records.push(record),
                None => break,
            },
            _ = interrupts.recv(), if !run.interrupted => {
                run.interrupted = true;
                tasks.abort_all();
            }
        }
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            resume_unwind(error.into_panic());
        }
    }
    run.window = match extent {
        Extent::Time(time) if run.interrupted => time.min(start.elapsed()),
        Extent::Time(time) => time,
        Extent::Requests(_) => run.records.iter().map(|record| record.end).max().unwrap_or_default(),
    };
    Ok(run)
}

/// One load while it runs.
struct Drive<T> {
    target: Arc<T>,
    plan: Plan,
    start: Instant,
    in_flight: Semaphore,
    num_conversations: AtomicU32,
    num_requests: AtomicU32,
    live: Arc<Live>,
    records: mpsc::UnboundedSender<(Purpose, Record)>,
}

impl<T: Target> Drive<T> {
    /// One stream of a closed loop: conversation after conversation.
    async fn converse_in_turn(self: Arc<Self>) {
        while let Some(answered) = self.converse(Instant::now()).await {
            if !answered {
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }

    /// The open loop: a conversation begins at each arrival.
    async fn converse_on_arrival(self: Arc<Self>, rate: f64) {
        // When this is aborted, so is what it began.
        let mut conversations = JoinSet::new();
        for time in self.plan.arrivals.times(rate, self.plan.seed, self.plan.point) {
            match self.plan.extent {
                Extent::Time(limit) if time >= limit => break,
                Extent::Requests(limit) if self.num_requests.load(Ordering::Relaxed) >= limit => break,
                _ => {}
            }
            let intended = self.start + time;
            tokio::time::sleep_until(intended.into()).await;
            let drive = Arc::clone(&self);
            conversations.spawn(async move { drive.converse(intended).await });
            while conversations.try_join_next().is_some() {}
        }
        while let Some(ended) = conversations.join_next().await {
            if let Err(error) = ended {
                resume_unwind(error.into_panic());
            }
        }
    }

    /// One conversation whose first request should be sent at `intended`. None if nothing more may be asked, else
    /// whether all that was asked was answered.
    async fn converse(&self, intended: Instant) -> Option<bool> {
        if !self.may_ask(intended) {
            return None;
        }
        let id = self.id(self.plan.purpose, self.num_conversations.fetch_add(1, Ordering::Relaxed));
        let mut talk = self.target.open(id);
        let mut intended = intended;
        for turn in 0..self.plan.num_turns {
            if turn > 0 {
                intended = Instant::now();
                if !self.may_ask(intended) {
                    break;
                }
            }
            if !self.ask(&mut talk, intended, self.plan.purpose).await {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Whether a request may begin at `time`; with a limited number of requests, this takes one.
    fn may_ask(&self, time: Instant) -> bool {
        match self.plan.extent {
            Extent::Time(limit) => time.duration_since(self.start) < limit,
            Extent::Requests(limit) => self.num_requests.fetch_add(1, Ordering::Relaxed) < limit,
        }
    }

    /// Sends the long prompt when its time has come.
    async fn disturb(self: Arc<Self>, long_prompt: LongPrompt) {
        let intended = self.start + long_prompt.at;
        tokio::time::sleep_until(intended.into()).await;
        let mut talk = self.target.open_long(self.id(Purpose::LongPrompt, 0), long_prompt.num_tokens);
        self.ask(&mut talk, intended, Purpose::LongPrompt).await;
    }

    fn id(&self, purpose: Purpose, number: u32) -> ConversationId {
        ConversationId { point: self.plan.point, purpose, number }
    }

    /// Asks once and records what became of it; whether it was answered.
    async fn ask(&self, talk: &mut T::Talk, intended: Instant, purpose: Purpose) -> bool {
        let _place = self.in_flight.acquire().await.expect("the semaphore is never closed");
        let live = &self.live;
        let running = Running::new(live);
        let sent = Instant::now();
        let mut deltas = Deltas::new(Arc::clone(live));
        let timeout = self.plan.timeout;
        let answer = tokio::time::timeout(timeout, self.target.ask(talk, &mut deltas)).await;
        let end = Instant::now();
        drop(running);
        let too_late = || Err(Unanswered::Failed(format!("no end of the answer within {timeout:?}")));
        let outcome = match answer.unwrap_or_else(|_| too_late()) {
            Ok(counts) => Outcome::Completed(counts),
            Err(Unanswered::Refused(refusal)) => Outcome::Refused(refusal),
            Err(Unanswered::Failed(reason)) => Outcome::Failed(reason),
        };
        let count = match outcome {
            Outcome::Completed(_) => &live.num_completed,
            Outcome::Refused(_) => &live.num_refused,
            Outcome::Failed(_) => &live.num_failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let answered = matches!(outcome, Outcome::Completed(_));
        let since_start = |time: Instant| time.saturating_duration_since(self.start);
        let record = Record {
            intended: since_start(intended),
            sent: since_start(sent),
            deltas: deltas.times().iter().copied().map(since_start).collect(),
            end: since_start(end),
            outcome,
        };
        // Nobody receives only when the whole run is given up.
        let _ = self.records.send((purpose, record));
        answered
    }
}

/// Counts a request as running for as long as it lives.
struct Running<'a>(&'a Live);

impl<'a> Running<'a> {
    fn new(live: &'a Live) -> Self {
        live.num_running.fetch_add(1, Ordering::Relaxed);
        Self(live)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.num_running.fetch_sub(1, Ordering::Relaxed);
    }
}
