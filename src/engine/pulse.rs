//! Counts and heartbeat of the engine: written by its thread, read by anybody without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::admission::{self, Load, QueueLimits, Speed};
use super::{NewSequence, Overload, Priority, SequenceId, TenantId};

/// Classes are told apart by this many lanes; two that share one are taken for one.
const NUM_LANES: usize = 64;

/// The engine's counts and heartbeat.
#[derive(Debug)]
pub struct EnginePulse {
    started: Instant,
    queue: Arc<Queue>,
    running: AtomicUsize,
    used_blocks: AtomicUsize,
    total_blocks: usize,
    /// Milliseconds from `started` to the engine's last sign of life.
    last_beat_ms: AtomicU64,
    failed: AtomicBool,
    closing: AtomicBool,
    unread_ends: AtomicU64,
    lost_abort: AtomicBool,
    next_sequence_id: AtomicU64,
    speed: [AtomicU64; 4],
}

/// What waits to be scheduled for the first time.
#[derive(Debug)]
struct Queue {
    all: Lane,
    of_classes: [Lane; NUM_LANES],
}

impl Default for Queue {
    fn default() -> Self {
        Self { all: Lane::default(), of_classes: std::array::from_fn(|_| Lane::default()) }
    }
}

/// Counts of sequences and of their prompt tokens.
#[derive(Debug, Default)]
struct Lane {
    sequences: AtomicUsize,
    tokens: AtomicUsize,
}

/// The lane of a class, that is, of what goes strictly one after another: a tenant's sequences of one priority.
/// Fibonacci hashing, so that neighbouring numbers are spread.
fn lane_of(tenant: TenantId, priority: Priority) -> usize {
    let number = tenant.0.rotate_left(8) ^ u64::from(priority.0.cast_unsigned());
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - NUM_LANES.ilog2())) as usize
}

impl EnginePulse {
    /// The pulse of an engine whose KV pool has `total_blocks` blocks.
    pub fn new(total_blocks: usize) -> Self {
        Self {
            started: Instant::now(),
            queue: Arc::default(),
            running: AtomicUsize::new(0),
            used_blocks: AtomicUsize::new(0),
            total_blocks,
            last_beat_ms: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            unread_ends: AtomicU64::new(0),
            lost_abort: AtomicBool::new(false),
            next_sequence_id: AtomicU64::new(0),
            speed: Default::default(),
        }
    }

    /// Takes a place in the queue of at most `max_waiting` sequences and `max_tokens` prompt tokens. A prompt that
    /// alone is longer is taken when nothing else waits.
    pub(super) fn enter_queue(
        &self,
        sequence: &NewSequence,
        max_waiting: usize,
        max_tokens: usize,
    ) -> Result<QueueTicket, Overload> {
        let num_prompt = sequence.prompt.len();
        let Lane { sequences, tokens } = &self.queue.all;
        let enter = |waiting| (waiting < max_waiting).then_some(waiting + 1);
        sequences
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter)
            .map_err(|waiting| Overload::QueueFull { waiting, max: max_waiting })?;
        let enter = |waiting: usize| {
            (waiting == 0 || waiting + num_prompt <= max_tokens).then_some(waiting + num_prompt)
        };
        if let Err(waiting) = tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter) {
            sequences.fetch_sub(1, Ordering::Relaxed);
            return Err(Overload::QueuedTokens { waiting, asked: num_prompt, max: max_tokens });
        }
        let lane = lane_of(sequence.tenant, sequence.priority);
        self.queue.of_classes[lane].sequences.fetch_add(1, Ordering::Relaxed);
        self.queue.of_classes[lane].tokens.fetch_add(num_prompt, Ordering::Relaxed);
        Ok(QueueTicket { queue: Arc::clone(&self.queue), lane, num_prompt, since: Instant::now() })
    }

    /// Why a sequence with a prompt of `num_prompt` tokens would find no place now.
    pub(super) fn fullness(
        &self,
        num_prompt: usize,
        max_waiting: usize,
        max_tokens: usize,
    ) -> Option<Overload> {
        let (waiting, tokens) = (self.num_waiting(), self.num_waiting_tokens());
        if waiting >= max_waiting {
            return Some(Overload::QueueFull { waiting, max: max_waiting });
        }
        (tokens > 0 && tokens + num_prompt > max_tokens).then_some(Overload::QueuedTokens {
            waiting: tokens,
            asked: num_prompt,
            max: max_tokens,
        })
    }

    /// What a sequence would find in front of it: what waits of its own class, once for each class that has something
    /// waiting.
    pub(super) fn load(&self, tenant: TenantId, priority: Priority) -> Load {
        let own = &self.queue.of_classes[lane_of(tenant, priority)];
        let has_waiting = |lane: &&Lane| lane.sequences.load(Ordering::Relaxed) > 0;
        let num_classes = self.queue.of_classes.iter().filter(has_waiting).count();
        let ahead = |of_own: &AtomicUsize, of_all: &AtomicUsize| {
            (of_own.load(Ordering::Relaxed) * num_classes).min(of_all.load(Ordering::Relaxed))
        };
        Load {
            sequences_ahead: ahead(&own.sequences, &self.queue.all.sequences),
            tokens_ahead: ahead(&own.tokens, &self.queue.all.tokens),
            ..self.load_of_all()
        }
    }

    /// What a sequence at the very end of the queue would find in front of it.
    pub(super) fn load_of_all(&self) -> Load {
        Load {
            sequences_ahead: self.queue.all.sequences.load(Ordering::Relaxed),
            tokens_ahead: self.num_waiting_tokens(),
            num_running: self.num_running(),
            num_free_blocks: self.total_blocks.saturating_sub(self.num_used_blocks()),
        }
    }

    /// How long a sequence at the very end of the queue would wait.
    pub(super) fn expected_wait(&self, limits: &QueueLimits) -> Duration {
        admission::expected_wait(&self.load_of_all(), limits, self.speed(), 0)
    }

    /// Publishes how fast the engine is.
    pub(super) fn set_speed(&self, speed: Speed) {
        let Speed { prompt_tokens_per_s, ends_per_s, freed_blocks_per_s, num_cached_per_token } = speed;
        let rates = [prompt_tokens_per_s, ends_per_s, freed_blocks_per_s, num_cached_per_token];
        for (place, rate) in self.speed.iter().zip(rates) {
            place.store(rate.to_bits(), Ordering::Relaxed);
        }
    }

    /// How fast the engine is, as far as it was measured.
    pub fn speed(&self) -> Speed {
        let [prompt_tokens_per_s, ends_per_s, freed_blocks_per_s, num_cached_per_token] =
            std::array::from_fn(|index| f64::from_bits(self.speed[index].load(Ordering::Relaxed)));
        Speed { prompt_tokens_per_s, ends_per_s, freed_blocks_per_s, num_cached_per_token }
    }

    pub(super) fn next_sequence_id(&self) -> SequenceId {
        SequenceId(self.next_sequence_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Records the state after a step (or an idle look at the commands) and beats.
    pub fn beat(&self, running: usize, used_blocks: usize) {
        self.running.store(running, Ordering::Relaxed);
        self.used_blocks.store(used_blocks, Ordering::Relaxed);
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_beat_ms.store(elapsed, Ordering::Relaxed);
    }

    /// Records that the engine has died.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether the engine has died.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Records that no new sequence is taken from now on.
    pub(super) fn begin_closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether new sequences are refused because the engine drains or stops.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Records that a reader left with the end of its sequence unread in the buffer.
    pub(super) fn count_unread_end(&self) {
        self.unread_ends.fetch_add(1, Ordering::Relaxed);
    }

    /// How many readers left so since the last call.
    pub(super) fn take_unread_ends(&self) -> u64 {
        self.unread_ends.swap(0, Ordering::Relaxed)
    }

    /// Records that a reader left whose abort command found the queue of commands full.
    pub(super) fn lose_abort(&self) {
        self.lost_abort.store(true, Ordering::Release);
    }

    /// Whether that happened since the last call.
    pub(super) fn take_lost_abort(&self) -> bool {
        self.lost_abort.swap(false, Ordering::Acquire)
    }

    /// Time since the engine's last sign of life. An idle engine beats at least once a second.
    pub fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last_beat_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }

    /// Sequences that wait to be scheduled for the first time. Who reads this first and then [`Self::num_running`]
    /// finds a sequence that leaves the queue in one of the two.
    pub fn num_waiting(&self) -> usize {
        self.queue.all.sequences.load(Ordering::Acquire)
    }

    /// Tokens of their prompts.
    pub fn num_waiting_tokens(&self) -> usize {
        self.queue.all.tokens.load(Ordering::Relaxed)
    }

    /// Sequences that hold blocks.
    pub fn num_running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Blocks held by live sequences.
    pub fn num_used_blocks(&self) -> usize {
        self.used_blocks.load(Ordering::Relaxed)
    }

    /// Blocks in the pool.
    pub fn num_total_blocks(&self) -> usize {
        self.total_blocks
    }
}

/// A place in the queue; dropping it gives the place back.
#[derive(Debug)]
pub struct QueueTicket {
    queue: Arc<Queue>,
    lane: usize,
    num_prompt: usize,
    since: Instant,
}

impl QueueTicket {
    /// Since when it is held.
    pub(super) fn since(&self) -> Instant {
        self.since
    }
}

impl Drop for QueueTicket {
    fn drop(&mut self) {
        for lane in [&self.queue.of_classes[self.lane], &self.queue.all] {
            lane.tokens.fetch_sub(self.num_prompt, Ordering::Relaxed);
            lane.sequences.fetch_sub(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(tenant: u64, num_prompt: usize) -> NewSequence {
        NewSequence { tenant: TenantId(tenant), ..NewSequence::greedy(vec![1; num_prompt], 1) }
    }

    #[test]
    fn places_and_tokens_are_counted_and_given_back() {
        let pulse = EnginePulse::new(8);
        let enter = |num_prompt| pulse.enter_queue(&sequence(0, num_prompt), 2, 100);
        let first = enter(30).expect("free");
        let refused = enter(71).expect_err("too many tokens");
        assert_eq!(refused, Overload::QueuedTokens { waiting: 30, asked: 71, max: 100 });
        let second = enter(70).expect("they fit");
        let refused = enter(0).expect_err("too many sequences");
        assert_eq!(refused, Overload::QueueFull { waiting: 2, max: 2 });
        assert_eq!((pulse.num_waiting(), pulse.num_waiting_tokens()), (2, 100));
        drop((first, second));
        assert_eq!((pulse.num_waiting(), pulse.num_waiting_tokens()), (0, 0));
        assert_eq!(pulse.load(TenantId(0), Priority(0)), Load { num_free_blocks: 8, ..Load::default() });
    }

    #[test]
    fn a_prompt_longer_than_the_queue_is_taken_when_nothing_waits() {
        let pulse = EnginePulse::new(8);
        let enter = |num_prompt| pulse.enter_queue(&sequence(0, num_prompt), 2, 100);
        let long = enter(500).expect("nothing waits");
        enter(1).expect_err("something waits");
        drop(long);
        enter(1).expect("nothing waits");
    }

    #[test]
    fn a_class_waits_for_its_own_and_for_the_turns_of_others() {
        let pulse = EnginePulse::new(8);
        let enter = |sequence| pulse.enter_queue(&sequence, 100, 10_000).expect("room");
        let ahead = |sequence: NewSequence| {
            let load = pulse.load(sequence.tenant, sequence.priority);
            (load.sequences_ahead, load.tokens_ahead)
        };
        let (busy, quiet) = (1, 2);
        let urgent = || NewSequence { priority: Priority(-1), ..sequence(busy, 1) };
        let _many: Vec<_> = (0..10).map(|_| enter(sequence(busy, 100))).collect();
        assert_eq!(ahead(sequence(busy, 1)), (10, 1_000));
        assert_eq!((ahead(sequence(quiet, 1)), ahead(urgent())), ((0, 0), (0, 0)));
        let _one = enter(sequence(quiet, 20));
        assert_eq!((ahead(sequence(busy, 1)), ahead(sequence(quiet, 1))), ((11, 1_020), (2, 40)));
    }

    #[test]
    fn classes_are_spread_over_the_lanes() {
        let lanes = |class: fn(i8) -> (TenantId, Priority)| -> std::collections::BTreeSet<usize> {
            (0..64).map(class).map(|(tenant, priority)| lane_of(tenant, priority)).collect()
        };
        let of_tenants = lanes(|id| (TenantId(u64::from(id.unsigned_abs())), Priority(0)));
        let of_priorities = lanes(|level| (TenantId(0), Priority(level - 32)));
        for lanes in [of_tenants, of_priorities] {
            assert!(lanes.len() > 32 && lanes.iter().all(|&lane| lane < NUM_LANES), "{lanes:?}");
        }
    }
}
