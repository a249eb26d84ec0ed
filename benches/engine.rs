//! What the engine costs without a model: the scheduler's step and the sampler's row.
//!
//! `cargo bench --bench engine` prints the median of each; see the bars in the comments.

use std::hint::black_box;
use std::time::{Duration, Instant};

use maru::engine::kv::HashKey;
use maru::engine::{BatchBuilder, NewSequence, Scheduler, SchedulerConfig, SequenceId, StepLimits};
use maru::model::KvCapacity;
use maru::sampling::{Sampler, SamplingParams};

const ROUNDS: usize = 1_000;
/// Width of a row of EXAONE 3.5.
const VOCAB_SIZE: usize = 102_400;

fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

/// One decode step of `num_seqs` sequences of a thousand tokens: plan, batch and commit. Bar: 100 µs at 256.
fn step(num_seqs: usize, prefix_cache: Option<HashKey>) -> Duration {
    let limits = StepLimits { max_num_seqs: num_seqs, max_num_batched_tokens: 1_000 * num_seqs };
    let capacity = KvCapacity { num_blocks: 160 * num_seqs as u32, block_size: 16 };
    let mut scheduler =
        Scheduler::new(SchedulerConfig { prefix_cache, ..SchedulerConfig::new(limits, capacity) });
    let mut builder = BatchBuilder::new();
    for id in 0..num_seqs as u64 {
        let sequence = NewSequence {
            stop_token_ids: [1, 2].into(),
            ..NewSequence::greedy(vec![7 + id as u32; 1_000], ROUNDS as u32 + 2)
        };
        scheduler.add(SequenceId(id), sequence).expect("the pool holds them all");
    }
    let mut step = || {
        let plan = scheduler.schedule();
        black_box(builder.build(&plan, &scheduler));
        let sampled = vec![Ok(9.into()); plan.num_samples()];
        black_box(scheduler.commit(&plan, sampled));
    };
    step();
    median(step)
}

fn sample(params: &SamplingParams) -> Duration {
    let mut sampler = Sampler::new();
    let mut state = 1_u32;
    let logits: Vec<f32> = (0..VOCAB_SIZE)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Few likely tokens and a long tail, as a model gives.
            let unit = (state >> 8) as f32 / (1_u32 << 24) as f32;
            -2.5 * (1.0 + 1e4 * unit).ln()
        })
        .collect();
    let mut position = 0;
    median(|| {
        position += 1;
        black_box(sampler.sample(black_box(&logits), params, position)).expect("valid logits");
    })
}

fn main() {
    for num_seqs in [1, 16, 64, 256] {
        let (without, with) = (step(num_seqs, None), step(num_seqs, Some(HashKey([5; 16]))));
        println!("step of {num_seqs:>3} sequences: {without:>9.1?}, with a prefix cache {with:>9.1?}");
    }
    let params =
        |temperature, top_k, top_p| SamplingParams { temperature, top_k, top_p, ..SamplingParams::greedy() };
    for (name, params) in [
        ("greedy", SamplingParams::greedy()),
        ("temperature", params(0.7, 0, 1.0)),
        ("top-k 50", params(0.7, 50, 1.0)),
        ("top-p 0.9", params(0.7, 0, 0.9)),
        ("top-k 50, top-p 0.9", params(0.7, 50, 0.9)),
    ] {
        println!("row of {VOCAB_SIZE}: {name:<20} {:>9.1?}", sample(&params));
    }
}
