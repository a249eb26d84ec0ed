//! Starting the engine's thread, and what is left when it ends.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use super::inbox::Inbox;
use super::kv::HashKey;
use super::run_loop::{Closing, RunLoop};
use super::{
    BatchBuilder, Command, EngineConfig, EngineDied, EngineHandle, EngineLimits, EnginePulse, Scheduler,
    SchedulerConfig, StartError, StepLimits,
};
use crate::model::Runner;
use crate::sampling::Sampler;
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
        let capacity = runner.kv_capacity();
        if capacity.num_tokens() == 0 {
            let (num_blocks, block_size) = (capacity.num_blocks, capacity.block_size);
            return Err(StartError::NoKvCache { num_blocks, block_size });
        }
        let limits = EngineLimits {
            max_model_len: max_model_len.min(usize::try_from(capacity.num_tokens()).unwrap_or(usize::MAX)),
            max_waiting: config.max_waiting,
            max_buffered_events: config.max_buffered_events,
        };
        let pulse = Arc::new(EnginePulse::new(capacity.num_blocks as usize));
        // Room for a submission of every sequence that may wait and an abort of every one that may run.
        let (sender, receiver) = mpsc::channel(config.max_waiting + config.max_num_seqs);
        let scheduler = Scheduler::new(SchedulerConfig {
            limits: StepLimits::from(config),
            capacity,
            groups: runner.kv_groups(),
            prefix_cache: config.prefix_cache.then(random_hash_key),
            speculation: config.speculation,
        });
        let handle = EngineHandle::new(sender, Arc::clone(&pulse), limits);
        let body = move || live(scheduler, runner, receiver, pulse, metrics);
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
fn live(
    scheduler: Scheduler,
    runner: Box<dyn Runner>,
    commands: mpsc::Receiver<Command>,
    pulse: Arc<EnginePulse>,
    metrics: Arc<Metrics>,
) -> Result<(), EngineDied> {
    let mut run_loop = RunLoop {
        scheduler,
        runner,
        inbox: Inbox::new(commands),
        pulse,
        metrics,
        builder: BatchBuilder::new(),
        sampler: Sampler::new(),
        readers: BTreeMap::new(),
        closing: Closing::No,
    };
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
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic").to_owned()
}
