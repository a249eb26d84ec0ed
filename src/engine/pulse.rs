//! Counts and heartbeat of the engine: written by its thread, read by anybody without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::SequenceId;

/// The engine's counts and heartbeat.
#[derive(Debug)]
pub struct EnginePulse {
    started: Instant,
    waiting: Arc<AtomicUsize>,
    running: AtomicUsize,
    used_blocks: AtomicUsize,
    total_blocks: usize,
    /// Milliseconds from `started` to the engine's last sign of life.
    last_beat_ms: AtomicU64,
    failed: AtomicBool,
    closing: AtomicBool,
    unread_ends: AtomicU64,
    next_sequence_id: AtomicU64,
}

impl EnginePulse {
    /// The pulse of an engine whose KV pool has `total_blocks` blocks.
    pub fn new(total_blocks: usize) -> Self {
        Self {
            started: Instant::now(),
            waiting: Arc::default(),
            running: AtomicUsize::new(0),
            used_blocks: AtomicUsize::new(0),
            total_blocks,
            last_beat_ms: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            unread_ends: AtomicU64::new(0),
            next_sequence_id: AtomicU64::new(0),
        }
    }

    /// Takes a place in the queue of at most `max` sequences; the error is the number that wait.
    pub(super) fn enter_queue(&self, max: usize) -> Result<QueueTicket, usize> {
        let enter = |waiting| (waiting < max).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter)?;
        Ok(QueueTicket { waiting: Arc::clone(&self.waiting) })
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

    /// Time since the engine's last sign of life. An idle engine beats at least once a second.
    pub fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last_beat_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }

    /// Sequences that wait to be scheduled for the first time. Who reads this first and then [`Self::num_running`]
    /// finds a sequence that leaves the queue in one of the two.
    pub fn num_waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
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
    waiting: Arc<AtomicUsize>,
}

impl Drop for QueueTicket {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Release);
    }
}
