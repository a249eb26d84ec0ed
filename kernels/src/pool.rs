//! The compute pool: short parallel regions, hundreds per decoder step.
//!
//! A region costs about a microsecond while the workers are awake: between regions they spin for
//! a moment, then give way, then sleep. The caller takes part and takes tasks until none is left,
//! and it waits only for workers that have entered the region, so a worker that the system has
//! not scheduled (shared cores, a container's quota) delays nobody. Threads are not pinned.

use std::any::Any;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long a thread that waits keeps its core to itself.
const SPIN: Duration = Duration::from_micros(20);
/// How long a thread that waits stays awake, offering its core to others after [`SPIN`].
const AWAKE: Duration = Duration::from_micros(120);

/// The number of threads that this process may keep busy: CPU affinity and the cgroup quota
/// (v1 and v2) where the system has them, at least 1.
#[must_use]
pub fn default_num_threads() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// A fixed set of threads that run parallel regions; dropping it joins them.
#[derive(Debug)]
pub struct ComputePool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Set while a region is open; a second region at the same time runs on its caller alone.
    busy: AtomicBool,
}

impl ComputePool {
    /// A pool of `num_threads` threads: the caller of [`ComputePool::run`] and
    /// `num_threads - 1` workers, started here.
    ///
    /// # Panics
    /// If the system refuses to start a thread.
    #[must_use]
    pub fn new(num_threads: NonZeroUsize) -> Self {
        let num_workers = num_threads.get() - 1;
        let shared = Arc::new(Shared::new(num_workers));
        let start = |index| {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("maru-compute-{}", index + 1))
                .spawn(move || shared.serve(index))
                .expect("the system has to start the compute threads")
        };
        let workers = (0..num_workers).map(start).collect();
        Self { shared, workers, busy: AtomicBool::new(false) }
    }

    /// The number of threads that share a region, the caller included.
    #[must_use]
    pub fn num_threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(0) .. task(num_tasks - 1)`, each once, in any order, on all threads, and
    /// returns when all have ended. Threads take one task at a time, so uneven tasks balance.
    ///
    /// Called inside a task of the same pool, or by two threads at once, the later region runs
    /// on its caller's thread alone.
    ///
    /// # Panics
    /// With the first panic of a task; the tasks not yet begun are skipped and the pool stays
    /// usable.
    pub fn run(&self, num_tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let alone = num_tasks <= 1 || self.workers.is_empty();
        if alone || self.busy.swap(true, Acquire) {
            (0..num_tasks).for_each(task);
            return;
        }
        self.shared.open(num_tasks, task);
        self.wake(num_tasks - 1);
        self.shared.work();
        self.shared.close();
        let panic = self.shared.panic.lock().expect("nothing panics under this lock").take();
        self.busy.store(false, Release);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Unparks sleeping workers, at most `wanted` of them.
    fn wake(&self, wanted: usize) {
        let sleepers = self.workers.iter().zip(&self.shared.sleeping);
        for (worker, sleeping) in sleepers.take(wanted) {
            if sleeping.load(SeqCst) && sleeping.swap(false, SeqCst) {
                worker.thread().unpark();
            }
        }
    }
}

impl Drop for ComputePool {
    fn drop(&mut self) {
        self.shared.shutdown.store(true, SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            worker.join().expect("workers catch the panics of tasks");
        }
    }
}

/// A region's work, valid while the gate is open or a worker is inside.
#[derive(Clone)]
struct Region {
    task: *const (dyn Fn(usize) + Sync),
    num_tasks: usize,
    caller: Thread,
}

/// The gate: one word that says which region it is, whether it may be entered, and by how many
/// workers it has been entered. `epoch << 17 | open << 16 | num_inside`.
mod gate {
    pub(super) const OPEN: u64 = 1 << 16;
    const EPOCH_SHIFT: u32 = 17;

    pub(super) fn opened(epoch: u64) -> u64 {
        epoch << EPOCH_SHIFT | OPEN
    }
    pub(super) fn epoch(gate: u64) -> u64 {
        gate >> EPOCH_SHIFT
    }
    pub(super) fn is_open(gate: u64) -> bool {
        gate & OPEN != 0
    }
    pub(super) fn num_inside(gate: u64) -> u64 {
        gate & (OPEN - 1)
    }
}

struct Shared {
    gate: AtomicU64,
    region: UnsafeCell<Option<Region>>,
    next_task: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    shutdown: AtomicBool,
    /// Per worker: set before it parks, cleared by whoever wakes it.
    sleeping: Vec<AtomicBool>,
}

// SAFETY: `region` is the only field that is not `Sync` by itself. It is written by the one caller
// that holds `busy`, while the gate is closed and empty, and read by workers only after they have
// entered the gate (acquire) that the caller opened afterwards (release). The task that it points
// to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to a particular thread.
unsafe impl Send for Shared {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl Shared {
    fn new(num_workers: usize) -> Self {
        assert!((num_workers as u64) < gate::OPEN, "the gate counts up to 65535 workers");
        Self {
            gate: AtomicU64::new(0),
            region: UnsafeCell::new(None),
            next_task: AtomicUsize::new(0),
            panic: Mutex::new(None),
            shutdown: AtomicBool::new(false),
            sleeping: (0..num_workers).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Caller: publishes the work and lets workers in.
    fn open(&self, num_tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let task: *const (dyn Fn(usize) + Sync + '_) = task;
        // SAFETY: only the lifetime changes. `close` returns after the last worker has left, and
        // `run` calls it before the borrow of `task` ends: `work` in between does not unwind.
        let task = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(
                task,
            )
        };
        let region = Region { task, num_tasks, caller: thread::current() };
        // SAFETY: the gate is closed and nobody is inside (`close` waited for that), and `busy`
        // keeps other callers out, so nobody else looks at the cell.
        unsafe { *self.region.get() = Some(region) };
        self.next_task.store(0, Relaxed);
        let epoch = gate::epoch(self.gate.load(Relaxed)) + 1;
        self.gate.store(gate::opened(epoch), SeqCst);
    }

    /// Caller: lets nobody in any more and waits until the last worker has left.
    fn close(&self) {
        self.gate.fetch_and(!gate::OPEN, AcqRel);
        let mut patience = Patience::new();
        while gate::num_inside(self.gate.load(Acquire)) != 0 {
            if !patience.wait() {
                thread::park();
            }
        }
    }

    /// Caller or a worker inside: takes tasks until none is left.
    fn work(&self) {
        // SAFETY: the caller wrote the cell before opening the gate and does not write it again
        // until everyone inside has left.
        let region = unsafe { &*self.region.get() }.as_ref().expect("open regions have work");
        // SAFETY: the task outlives the region, see `open`.
        let task = unsafe { &*region.task };
        loop {
            let index = self.next_task.fetch_add(1, Relaxed);
            if index >= region.num_tasks {
                return;
            }
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| task(index))) {
                self.next_task.store(region.num_tasks, Relaxed);
                self.panic.lock().expect("nothing panics under this lock").get_or_insert(payload);
                return;
            }
        }
    }

    /// A worker's life.
    fn serve(&self, worker: usize) {
        let mut last_epoch = 0;
        while let Some(epoch) = self.enter_next(worker, last_epoch) {
            last_epoch = epoch;
            self.work();
            self.leave();
        }
    }

    /// Worker: waits for a region newer than `last_epoch` and enters it; None at shutdown.
    fn enter_next(&self, worker: usize, last_epoch: u64) -> Option<u64> {
        let mut patience = Patience::new();
        loop {
            if let Some(epoch) = self.try_enter(last_epoch) {
                return Some(epoch);
            }
            if self.shutdown.load(SeqCst) {
                return None;
            }
            if patience.wait() {
                continue;
            }
            // Either this store is seen by the caller that opens the next region, or that region
            // is seen by the look that follows: both sides are sequentially consistent.
            self.sleeping[worker].store(true, SeqCst);
            let entered = self.try_enter(last_epoch);
            if entered.is_none() && !self.shutdown.load(SeqCst) {
                thread::park();
            }
            self.sleeping[worker].store(false, SeqCst);
            if entered.is_some() {
                return entered;
            }
            patience = Patience::new();
        }
    }

    fn try_enter(&self, last_epoch: u64) -> Option<u64> {
        let mut seen = self.gate.load(SeqCst);
        while gate::is_open(seen) && gate::epoch(seen) != last_epoch {
            match self.gate.compare_exchange_weak(seen, seen + 1, SeqCst, SeqCst) {
                Ok(_) => return Some(gate::epoch(seen)),
                Err(now) => seen = now,
            }
        }
        None
    }

    /// Worker: leaves the region; the last one out of a closed region wakes the caller.
    fn leave(&self) {
        // SAFETY: this worker is still inside, so the cell is not written.
        let region = unsafe { &*self.region.get() }.as_ref().expect("open regions have work");
        let caller = region.caller.clone();
        let before = self.gate.fetch_sub(1, AcqRel);
        if !gate::is_open(before) && gate::num_inside(before) == 1 {
            caller.unpark();
        }
    }
}

/// How a thread waits: it spins, then yields, then is told to park.
struct Patience {
    since: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { since: Instant::now() }
    }

    /// Passes a little time; false when it is time to park.
    fn wait(&mut self) -> bool {
        for _ in 0..16 {
            spin_loop();
        }
        let waited = self.since.elapsed();
        if waited > SPIN {
            thread::yield_now();
        }
        waited < AWAKE
    }
}
