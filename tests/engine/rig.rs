//! An engine on its thread whose forward passes the test lets go one by one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use maru::engine::{Engine, EngineConfig, EngineHandle, EngineThread, FakeRunner, NewSequence, TokenStream};
use maru::model::{ForwardBatch, ForwardOutput, KvCapacity, Logits, ModelError, Runner};
use maru::sampling::SamplingParams;
use maru::telemetry::{CacheInfo, Metrics};

use crate::scenario::VOCAB_SIZE;

pub(crate) const CAPACITY: KvCapacity = KvCapacity { num_blocks: 64, block_size: 4 };

/// What the next forward pass does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Go,
    Fail,
    Panic,
    /// The first sampled row holds a NaN.
    Nan,
    /// The first sampled row holds positive infinity.
    Infinity,
    /// The first sampled row masks every token.
    Masked,
    /// A row of logits is missing.
    LoseRow,
}

/// Holds every forward pass until the gate names its act; runs freely once the gate is dropped.
struct GatedRunner {
    inner: FakeRunner,
    gate: Receiver<Act>,
}

impl Runner for GatedRunner {
    fn forward(&mut self, batch: &ForwardBatch) -> Result<ForwardOutput, ModelError> {
        let act = self.gate.recv().unwrap_or(Act::Go);
        let ForwardOutput { logits, hidden } = self.inner.forward(batch)?;
        let rows = (0..logits.num_rows()).flat_map(|row| logits.row(row));
        let mut data: Vec<f32> = rows.copied().collect();
        match act {
            Act::Go => return Ok(ForwardOutput { logits, hidden }),
            Act::Fail => return Err(ModelError::Backend { op: "attention", reason: "planned".to_owned() }),
            Act::Panic => panic!("planned panic"),
            Act::Nan => data[3] = f32::NAN,
            Act::Infinity => data[3] = f32::INFINITY,
            Act::Masked => data[..VOCAB_SIZE].fill(f32::NEG_INFINITY),
            Act::LoseRow => data.truncate(data.len() - VOCAB_SIZE),
        }
        Ok(ForwardOutput { logits: Logits::new(data, VOCAB_SIZE), hidden })
    }

    fn kv_capacity(&self) -> KvCapacity {
        self.inner.kv_capacity()
    }
}

pub(crate) struct Rig {
    pub(crate) handle: EngineHandle,
    pub(crate) thread: EngineThread,
    pub(crate) metrics: Arc<Metrics>,
    gate: Option<Sender<Act>>,
}

impl Rig {
    pub(crate) fn new(config: EngineConfig) -> Self {
        Self::gated(config, VOCAB_SIZE)
    }

    fn gated(config: EngineConfig, vocab_size: usize) -> Self {
        let (gate, acts) = channel();
        let runner = GatedRunner { inner: FakeRunner::new(CAPACITY, vocab_size), gate: acts };
        let KvCapacity { num_blocks, block_size } = CAPACITY;
        let metrics =
            Arc::new(Metrics::new("fake", CacheInfo { block_size, num_blocks }).expect("valid names"));
        let (handle, thread) =
            Engine::spawn(Box::new(runner), &config, 10_000, Arc::clone(&metrics)).expect("a valid engine");
        Self { handle, thread, metrics, gate: Some(gate) }
    }

    /// An engine that nothing holds back.
    pub(crate) fn free(config: EngineConfig) -> Self {
        let mut rig = Self::new(config);
        rig.open();
        rig
    }

    /// The same with another vocabulary.
    pub(crate) fn with_vocabulary(config: EngineConfig, vocab_size: usize) -> Self {
        let mut rig = Self::gated(config, vocab_size);
        rig.open();
        rig
    }

    pub(crate) fn act(&self, act: Act) {
        self.gate.as_ref().expect("the gate is not open").send(act).expect("the engine runs");
    }

    pub(crate) fn open(&mut self) {
        self.gate = None;
    }

    pub(crate) fn submit(&self, sequence: &NewSequence) -> TokenStream {
        self.handle.submit(sequence.without_constraint()).expect("there is room")
    }

    /// Aborted sequences by phase: queued, prefill, decode, and ended but unread.
    pub(crate) fn aborted(&self) -> [u64; 4] {
        ["queued", "prefill", "decode", "delivery"]
            .map(|phase| self.metrics.aborted.with_label_values(&[phase]).get())
    }

    pub(crate) fn failed(&self, reason: &str) -> u64 {
        self.metrics.failed.with_label_values(&[reason]).get()
    }

    /// Waits until nothing runs, waits or holds a block.
    pub(crate) fn await_idle(&self) {
        let pulse = self.handle.pulse();
        eventually("the engine is idle", || {
            (pulse.num_waiting(), pulse.num_running(), pulse.num_used_blocks()) == (0, 0, 0)
        });
    }
}

pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "a minute passed before {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn config() -> EngineConfig {
    EngineConfig {
        max_num_seqs: 4,
        max_num_batched_tokens: 4,
        max_waiting: 100,
        max_buffered_events: 500,
        ..EngineConfig::default()
    }
}

/// A sequence without stop tokens, so that it has exactly `max_new_tokens` tokens.
pub(crate) fn sequence(num_prompt: u32, max_new_tokens: u32, seed: u64) -> NewSequence {
    let prompt: Vec<u32> = (0..num_prompt).map(|i| (i * 7 + seed as u32) % VOCAB_SIZE as u32).collect();
    NewSequence {
        sampling: SamplingParams { temperature: 1.0, seed, ..SamplingParams::greedy() },
        ..NewSequence::greedy(prompt, max_new_tokens)
    }
}
