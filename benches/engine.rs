//! What the engine costs without a model: the scheduler's step and the sampler's row.
//!
//! `cargo bench --bench engine` prints the median of each; see the bars in the comments.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use maru::engine::kv::HashKey;
use maru::engine::{
    BatchBuilder, NewSequence, Scheduler, SchedulerConfig, SequenceId, SpeculationConfig, StepLimits,
    TenantId,
};
use maru::model::KvCapacity;
use maru::sampling::{Row, SampledToken, Sampler, SamplingParams, TokenSet};

const ROUNDS: usize = 1_000;
const MAX_DRAFTS: u32 = 4;
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

/// Who else is there in a measured step.
#[derive(Debug, Clone, Copy)]
struct Setting {
    prefix_cache: bool,
    /// Sequences that wait for a place, of as many tenants.
    num_waiting: usize,
    max_draft_tokens: usize,
}

const PLAIN: Setting = Setting { prefix_cache: false, num_waiting: 0, max_draft_tokens: 0 };
const CACHE: Setting = Setting { prefix_cache: true, ..PLAIN };

/// One decode step of `num_seqs` sequences of a thousand tokens: plan, batch and commit. Bar: 100 µs at 256.
fn step(num_seqs: usize, setting: Setting) -> Duration {
    let limits = StepLimits { max_num_seqs: num_seqs, max_num_batched_tokens: 1_000 * num_seqs };
    let capacity = KvCapacity { num_blocks: 400 * num_seqs as u32, block_size: 16 };
    let mut scheduler = Scheduler::new(SchedulerConfig {
        prefix_cache: setting.prefix_cache.then_some(HashKey([7; 16])),
        speculation: SpeculationConfig {
            max_draft_tokens: setting.max_draft_tokens,
            ..SpeculationConfig::default()
        },
        ..SchedulerConfig::new(limits, capacity)
    });
    let mut builder = BatchBuilder::new();
    for id in 0..(num_seqs + setting.num_waiting) as u64 {
        // No two prompts begin alike.
        let prompt: Vec<u32> = (0..1_000).map(|position| position ^ (id as u32) << 10).collect();
        let sequence = NewSequence {
            stop_token_ids: [1, 2].into(),
            tenant: TenantId(id),
            ..NewSequence::greedy(prompt, (MAX_DRAFTS + 1) * ROUNDS as u32 + 2)
        };
        scheduler.add(SequenceId(id), sequence).expect("the pool holds them all");
    }
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..=ROUNDS {
        let start = Instant::now();
        let plan = scheduler.schedule();
        black_box(builder.build(&plan, &scheduler));
        let planned = start.elapsed();
        let sampled = vec![Ok(SampledToken::from(9)); plan.num_samples()];
        let start = Instant::now();
        black_box(scheduler.commit(&plan, sampled));
        // The first round reads the prompts.
        if round > 0 {
            times.push(planned + start.elapsed());
        }
    }
    times.sort_unstable();
    times[ROUNDS / 2]
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
        black_box(sampler.sample(&Row::new(black_box(&logits), params, position))).expect("valid logits");
    })
}

fn main() {
    let settings = [
        ("", PLAIN),
        ("prefix cache", CACHE),
        ("prefix cache, 1024 wait", Setting { num_waiting: 1024, ..CACHE }),
        ("prefix cache, 4 guesses", Setting { max_draft_tokens: MAX_DRAFTS as usize, ..CACHE }),
    ];
    for (name, setting) in settings {
        for num_seqs in [1, 16, 64, 256] {
            println!("step of {num_seqs:>3} sequences {name:<25} {:>9.1?}", step(num_seqs, setting));
        }
    }
    let params =
        |temperature, top_k, top_p| SamplingParams { temperature, top_k, top_p, ..SamplingParams::greedy() };
    // As a language or the inside of a JSON string: most tokens of every word of the set.
    let allowed = TokenSet::of(VOCAB_SIZE, (0..VOCAB_SIZE as u32).filter(|id| !id.is_multiple_of(7)));
    let allowed = Some(Arc::new(allowed));
    for (name, params) in [
        ("greedy", SamplingParams::greedy()),
        ("temperature", params(0.7, 0, 1.0)),
        ("top-k 50", params(0.7, 50, 1.0)),
        ("top-p 0.9", params(0.7, 0, 0.9)),
        ("top-k 50, top-p 0.9", params(0.7, 50, 0.9)),
        ("greedy, allowed set", SamplingParams { allowed: allowed.clone(), ..SamplingParams::greedy() }),
        ("top-k 50, allowed set", SamplingParams { allowed, ..params(0.7, 50, 1.0) }),
        ("greedy, 20 logprobs", SamplingParams { logprobs: Some(20), ..SamplingParams::greedy() }),
    ] {
        println!("row of {VOCAB_SIZE}: {name:<21} {:>9.1?}", sample(&params));
    }
}
