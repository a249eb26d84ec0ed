//! Starting the engine's thread, and what is left when it ends.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;

use super::inbox::Inbox;
use super::kv::HashKey;
use super::meter::StepMeter;
use super::pacer::Pacer;
use super::readers::Readers;
use super::run_loop::{Closing, RunLoop};
use super::{
    BatchBuilder, EngineConfig, EngineDied, EngineHandle, EngineLimits, EnginePulse, MAX_SCORED_ROWS,
    QueueLimits, Scheduler, SchedulerConfig, StartError, StepLimits, StepSampler,
};
use crate::model::Runner;
use crate::telemetry::Metrics;

/// The engine before it is a thread.
#[derive(Debug)]
pub struct Engine;

/// The engine's thread; ends after [`EngineHandle::drain`] or [`EngineHandle::stop`], or when nobody is left who
/// could send it anything.
#[derive(Debug)]
pub struct EngineThread {
    thread: JoinHandle<Result<(), EngineDied>>,
}

impl Engine {
    /// Starts the thread that owns `runner` and serves sequences of at most `max_model_len` tokens.
    ///
    /// # Errors
    /// [`StartError`] if the settings are invalid, the KV cache is empty or there is no thread to be had.
    pub fn spawn(
        runner: Box<dyn Runner>,
        config: &EngineConfig,
        max_model_len: usize,
        metrics: Arc<Metrics>,
    ) -> Result<(EngineHandle, EngineThread), StartError> {
        let faults = config.faults();
        if !faults.is_empty() {
            return Err(StartError::InvalidConfig { faults });
        }
        #[cfg(debug_assertions)]
        let runner = config.failpoints.plant(runner);
        let (capacity, groups) = (runner.kv_capacity(), runner.kv_groups());
        let (num_blocks, block_size) = (capacity.num_blocks, capacity.block_size);
        if num_blocks == 0 || block_size == 0 {
            return Err(StartError::NoKvCache { num_blocks, block_size });
        }
        let num_groups = groups.len();
        let scheduler = Scheduler::new(SchedulerConfig {
            limits: StepLimits::from(config),
            capacity,
            groups,
            prefix_cache: config.prefix_cache.then(random_hash_key),
            speculation: config.speculation,
            max_scored_rows: MAX_SCORED_ROWS,
        });
        let longest = scheduler.longest(max_model_len);
        if longest == 0 {
            return Err(StartError::NoKvCache { num_blocks, block_size });
        }
        let limits = EngineLimits {
            max_model_len: longest,
            max_waiting: config.max_waiting,
            max_buffered_events: config.max_buffered_events,
        };
        let pulse = Arc::new(EnginePulse::new(capacity.num_blocks as usize));
        // Room for a submission of every sequence that may wait and an abort of every one that may run.
        let (sender, receiver) = mpsc::channel(config.max_waiting + config.max_num_seqs);
        let queue_limits = QueueLimits {
            max_waiting_tokens: config.max_waiting_tokens,
            max_queue_time: Duration::from_millis(config.max_queue_time_ms),
            max_num_seqs: config.max_num_seqs,
            // Every group of layers takes a block for the same tokens.
            block_size: (capacity.block_size as usize / num_groups).max(1),
        };
        let handle = EngineHandle::new(sender, Arc::clone(&pulse), limits).bounded(queue_limits);
        let pacer = (config.max_decode_slowdown > 0.0).then(|| Pacer::new(config.max_decode_slowdown));
        let body = move || {
            live(RunLoop {
                scheduler,
                runner,
                inbox: Inbox::new(receiver),
                pulse,
                metrics,
                builder: BatchBuilder::new(),
                sampler: StepSampler::new(),
                readers: Readers::default(),
                queue_limits,
                meter: StepMeter::new(pacer),
                closing: Closing::No,
            })
        };
        let thread = thread::Builder::new().name("maru-engine".to_owned()).spawn(body)?;
        Ok((handle, EngineThread { thread }))
    }
}

impl EngineThread {
    /// Waits until the thread has ended. This blocks: call it where that is allowed.
    ///
    /// # Errors
    /// [`EngineDied`] if it panicked.
    pub fn join(self) -> Result<(), EngineDied> {
        self.thread.join().unwrap_or_else(|panic| Err(EngineDied { reason: message(&*panic) }))
    }

    /// Whether the thread has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

/// The body of the thread.
fn live(mut run_loop: RunLoop) -> Result<(), EngineDied> {
    run_loop.metrics.engine_healthy.set(1);
    // After a panic nothing of the loop is used again but the pulse and the metrics, which are atomics.
    let end = panic::catch_unwind(AssertUnwindSafe(|| run_loop.run()));
    run_loop.metrics.engine_healthy.set(0);
    end.map_err(|panic| {
        // Health turns red before the readers learn of it, through the senders that are dropped with the loop.
        run_loop.pulse.fail();
        let died = EngineDied { reason: message(&*panic) };
        tracing::error!("{died}");
        run_loop.count_the_lost();
        died
    })
}

/// A secret of this process.
fn random_hash_key() -> HashKey {
    // The fixed bits of the one lie where the other's are random.
    let (a, b) = (uuid::Uuid::new_v4().as_u128(), uuid::Uuid::new_v4().as_u128());
    HashKey((a ^ b.rotate_left(64)).to_le_bytes())
}

/// What a panic said.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic").to_owned()
}
