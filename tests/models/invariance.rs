//! On the CPU a row has the same bits whatever else is in the batch: equality, not tolerance.

use maru::model::{BackendChoice, ByteSize, IsaChoice, KvDtypeChoice, ModelConfig, Runner};
use maru_kernels::Isa;

use crate::generated::Tiny;
use crate::support::{
    CHECKPOINTS, MAX_NUM_SEQS, Random, Sequence, cases, config, folder, load, logits_in_chunks, step,
};

fn cpu_configs() -> impl Iterator<Item = ModelConfig> {
    Isa::available().into_iter().map(|isa| config(BackendChoice::Cpu, IsaChoice::Named(isa)))
}

/// The logits of `ids` computed in random chunks among `others`, which take random chunks too.
fn logits_among(runner: &mut dyn Runner, ids: &[u32], others: &[Vec<u32>], seed: u64) -> Vec<Vec<f32>> {
    let mut random = Random::new(seed);
    let own_place = random.below(others.len() + 1);
    let mut sequences: Vec<Sequence> = Vec::new();
    for index in 0..=others.len() {
        let ids = if index == own_place { ids } else { &others[index - usize::from(index > own_place)] };
        sequences.push(Sequence::new(runner, u32::try_from(index).unwrap(), ids));
    }
    let mut logits = Vec::new();
    while sequences[own_place].num_computed < ids.len() {
        let (mut work, mut own_rows, mut num_rows) = (Vec::new(), 0..0, 0);
        for (index, sequence) in sequences.iter_mut().enumerate() {
            let num_left = sequence.ids.len() - sequence.num_computed;
            let largest = [1, 3, 40, 300][random.below(4)];
            let num_tokens = (1 + random.below(largest)).min(num_left);
            if num_tokens == 0 || (index != own_place && random.below(3) == 0) {
                continue;
            }
            if index == own_place {
                own_rows = num_rows..num_rows + num_tokens;
            }
            num_rows += num_tokens;
            work.push((sequence, num_tokens));
        }
        logits.extend_from_slice(&step(runner, &mut work)[own_rows]);
    }
    logits
}

#[test]
fn checkpoints_in_chunks_in_batches_and_at_any_block_size_give_equal_bits() {
    for checkpoint in CHECKPOINTS {
        let mut cases = cases(checkpoint);
        cases.sort_by_key(|case| std::cmp::Reverse(case.input_ids.len()));
        let ids = &cases[0].input_ids;
        let others = vec![cases[1].input_ids.clone(), ids.clone(), cases[1].greedy_ids.clone()];
        let mut whole: Option<Vec<Vec<f32>>> = None;
        for config in cpu_configs() {
            for block_size in [1, 4, 16] {
                for threads in [1, 3] {
                    let config = ModelConfig { block_size, threads, ..config.clone() };
                    let mut runner = load(&folder(checkpoint), &config).runner;
                    let whole = whole.get_or_insert_with(|| logits_in_chunks(&mut *runner, ids, usize::MAX));
                    for chunk in [usize::MAX, 1, 2, 3, 7, 16] {
                        let logits = logits_in_chunks(&mut *runner, ids, chunk);
                        assert!(logits == *whole, "{checkpoint}, {config:?}, chunks of {chunk}");
                    }
                    for seed in 0..4 {
                        let logits = logits_among(&mut *runner, ids, &others, seed);
                        assert!(logits == *whole, "{checkpoint}, {config:?}, batch {seed}");
                    }
                }
            }
        }
    }
}

#[test]
fn long_contexts_give_equal_bits_in_f32_and_bf16() {
    for bf16 in [false, true] {
        let tiny = Tiny { head_dim: 80, num_heads: 4, num_kv_heads: 1, bf16, ..Tiny::default() };
        let folder = tiny.write(5);
        let ids = Random::new(11).ids(400, tiny.vocab_size);
        let others: Vec<_> =
            (0..4).map(|seed| Random::new(seed).ids(100 + 70 * seed as usize, tiny.vocab_size)).collect();
        let mut whole: Option<Vec<Vec<f32>>> = None;
        for config in cpu_configs() {
            let mut loaded = load(folder.path(), &config);
            assert_eq!(loaded.description.kv_dtype.name(), if bf16 { "bf16" } else { "f32" });
            let runner = &mut *loaded.runner;
            let whole = whole.get_or_insert_with(|| logits_in_chunks(runner, &ids, usize::MAX));
            for seed in 0..2 {
                let logits = logits_among(runner, &ids, &others, seed);
                assert!(logits == *whole, "bf16 {bf16}, {:?}, batch {seed}", config.isa);
            }
            assert!(logits_in_chunks(runner, &ids, 130) == *whole, "bf16 {bf16}, {:?}", config.isa);
        }
    }
}

#[test]
fn a_bf16_cache_of_an_f32_model_stays_near_the_f32_cache() {
    let ids = &cases("exaone35")[0].input_ids;
    let f32_config = config(BackendChoice::Cpu, IsaChoice::Auto);
    let bf16_config = ModelConfig { kv_cache_dtype: KvDtypeChoice::Bf16, ..f32_config.clone() };
    let [exact, rounded] = [f32_config, bf16_config].map(|config| {
        let mut loaded = load(&folder("exaone35"), &config);
        logits_in_chunks(&mut *loaded.runner, ids, usize::MAX)
    });
    assert!(exact != rounded, "the cache is not rounded");
    crate::support::assert_close(&rounded, &exact, 0.2, "bf16 cache");
}

#[test]
fn the_pool_is_as_large_as_the_memory_and_the_sequences_allow() {
    let at = |memory| {
        let mut config = config(BackendChoice::Cpu, IsaChoice::Auto);
        config.kv_cache_memory = Some(ByteSize(memory));
        load(&folder("exaone35"), &config).description
    };
    let large = at(1 << 30);
    assert_eq!(large.kv_capacity.num_tokens(), u64::from(512 * MAX_NUM_SEQS));
    let small = at(1 << 19);
    assert_eq!(
        u64::from(small.kv_capacity.num_blocks),
        (1 << 19) / (large.kv_bytes / u64::from(large.kv_capacity.num_blocks))
    );
}
