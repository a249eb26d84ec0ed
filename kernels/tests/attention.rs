//! Paged attention: every instruction set gives the scalar twin's bits, close to f64, and the
//! same whatever the batch, the blocks, the chunking of the prompt and the threads.

mod common;

use std::ops::Range;

use common::*;
use half::bf16;
use maru_kernels::cpu::{
    AttentionBatch, AttentionParams, CpuContext, KvDtype, PagedKv, PagedKvLayout, Rows, paged_attention,
};
use maru_kernels::{Isa, KernelError};
use proptest::prelude::*;

const NUM_LAYERS: usize = 2;
const LAYER: usize = 1;

/// A sequence's queries, keys and values: `[len, heads * head_dim]` each.
#[derive(Debug, Clone)]
struct Sequence {
    len: usize,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

fn sequence(params: &AttentionParams, len: usize, random: &mut Random) -> Sequence {
    let kv_width = params.num_kv_heads * params.head_dim;
    Sequence {
        len,
        q: random.floats(len * params.num_heads * params.head_dim).iter().map(|q| q * 4.0).collect(),
        k: random.floats(len * kv_width),
        v: random.floats(len * kv_width),
    }
}

fn params(num_heads: usize, num_kv_heads: usize, head_dim: usize) -> AttentionParams {
    let scale = 1.0 / (head_dim as f32).sqrt();
    AttentionParams { num_heads, num_kv_heads, head_dim, scale, window: None, soft_cap: None }
}

/// A cache, and the free blocks in the order in which they are handed out.
struct Cache {
    kv: PagedKv,
    block_size: usize,
    free: Vec<u32>,
}

impl Cache {
    fn new(
        params: &AttentionParams,
        dtype: KvDtype,
        block_size: usize,
        num_blocks: usize,
        random: &mut Random,
    ) -> Self {
        let mut kv = PagedKv::new(PagedKvLayout {
            num_layers: NUM_LAYERS,
            num_blocks,
            block_size,
            num_kv_heads: params.num_kv_heads,
            head_dim: params.head_dim,
            dtype,
        })
        .unwrap();
        // What an earlier tenant left must not be seen.
        for block in 0..num_blocks as u32 {
            spoil(&mut kv, LAYER, block);
        }
        let mut free: Vec<u32> = (0..num_blocks as u32).collect();
        random.shuffle(&mut free);
        Self { kv, block_size, free }
    }
}

/// One sequence's tokens of a step.
struct Step<'a> {
    sequence: &'a Sequence,
    table: &'a [u32],
    tokens: Range<usize>,
}

fn forward(ctx: &CpuContext, params: &AttentionParams, cache: &mut Cache, steps: &[Step<'_>]) -> Vec<f32> {
    try_forward(ctx, params, cache, steps).unwrap()
}

/// Writes keys and values of the steps' tokens, from a fused qkv buffer, and attends.
fn try_forward(
    ctx: &CpuContext,
    params: &AttentionParams,
    cache: &mut Cache,
    steps: &[Step<'_>],
) -> Result<Vec<f32>, KernelError> {
    let (q_width, kv_width) = (params.num_heads * params.head_dim, params.num_kv_heads * params.head_dim);
    let stride = q_width + 2 * kv_width;
    let (mut qkv, mut slots) = (Vec::new(), Vec::new());
    let (mut query_start, mut context_lens) = (vec![0], Vec::new());
    let max_blocks = steps.iter().map(|step| step.table.len()).max().unwrap_or(0) + 1;
    let mut block_tables = Vec::new();
    for Step { sequence, table, tokens } in steps {
        for token in tokens.clone() {
            qkv.extend(&sequence.q[token * q_width..(token + 1) * q_width]);
            qkv.extend(&sequence.k[token * kv_width..(token + 1) * kv_width]);
            qkv.extend(&sequence.v[token * kv_width..(token + 1) * kv_width]);
            let (block, offset) = (token / cache.block_size, token % cache.block_size);
            slots.push(table[block] * cache.block_size as u32 + offset as u32);
        }
        query_start.push(slots.len() as u32);
        context_lens.push(tokens.end as u32);
        block_tables.extend(*table);
        block_tables.resize(context_lens.len() * max_blocks, u32::MAX);
    }
    let rows = |columns| Rows::new(&qkv, stride, columns).unwrap();
    let (keys, values) = (rows(q_width..q_width + kv_width), rows(q_width + kv_width..stride));
    cache.kv.write(ctx, LAYER, &slots, keys, values).unwrap();
    let batch = AttentionBatch {
        query_start: &query_start,
        context_lens: &context_lens,
        block_tables: &block_tables,
        max_blocks,
    };
    let mut out = vec![f32::NAN; slots.len() * q_width];
    paged_attention(ctx, params, &cache.kv, LAYER, rows(0..q_width), &batch, &mut out)?;
    Ok(out)
}

/// All of one sequence in steps of the given sizes, in a cache of its own.
fn alone(
    ctx: &CpuContext,
    params: &AttentionParams,
    dtype: KvDtype,
    block_size: usize,
    sequence: &Sequence,
    chunks: &[usize],
    random: &mut Random,
) -> Vec<f32> {
    let num_blocks = sequence.len.div_ceil(block_size);
    let mut cache = Cache::new(params, dtype, block_size, num_blocks + 3, random);
    let table = cache.free[..num_blocks].to_vec();
    let (mut out, mut start) = (Vec::new(), 0);
    let mut chunks = chunks.iter().cycle();
    while start < sequence.len {
        let end = sequence.len.min(start + chunks.next().unwrap());
        let step = Step { sequence, table: &table, tokens: start..end };
        out.extend(forward(ctx, params, &mut cache, &[step]));
        start = end;
    }
    out
}

fn exact(params: &AttentionParams, dtype: KvDtype, sequence: &Sequence) -> Vec<f64> {
    let AttentionParams { num_heads, num_kv_heads, head_dim, .. } = *params;
    let stored = |x: f32| match dtype {
        KvDtype::F32 => f64::from(x),
        KvDtype::Bf16 => f64::from(bf16::from_f32(x)),
    };
    let mut out = Vec::new();
    for position in 0..sequence.len {
        let first = params.window.map_or(0, |window| (position + 1).saturating_sub(window as usize));
        for head in 0..num_heads {
            let kv_head = head / (num_heads / num_kv_heads);
            let q = &sequence.q[(position * num_heads + head) * head_dim..][..head_dim];
            let at = |key: usize| (key * num_kv_heads + kv_head) * head_dim;
            let score = |key: usize| {
                let k = &sequence.k[at(key)..][..head_dim];
                let dot: f64 = q.iter().zip(k).map(|(&q, &k)| f64::from(q) * stored(k)).sum();
                let score = dot * f64::from(params.scale);
                params.soft_cap.map_or(score, |cap| {
                    let cap = f64::from(cap);
                    cap * (score / cap).tanh()
                })
            };
            let weights: Vec<f64> = (first..=position).map(|key| score(key).exp()).collect();
            let sum: f64 = weights.iter().sum();
            out.extend((0..head_dim).map(|d| {
                let values = (first..=position).map(|key| stored(sequence.v[at(key) + d]));
                values.zip(&weights).map(|(value, weight)| value * weight).sum::<f64>() / sum
            }));
        }
    }
    out
}

const DTYPES: [KvDtype; 2] = [KvDtype::F32, KvDtype::Bf16];

#[test]
fn every_isa_is_right_for_every_head_dim() {
    let mut random = Random::new(1);
    for head_dim in [2, 10, 16, 24, 32, 64, 80, 96, 112, 128, 160, 192, 256] {
        let params = params(4, 2, head_dim);
        for dtype in DTYPES {
            let sequence = sequence(&params, 50, &mut random);
            let mut outs = contexts()
                .into_iter()
                .map(|ctx| (ctx.isa(), alone(&ctx, &params, dtype, 16, &sequence, &[50], &mut random)));
            let (_, expected) = outs.next().unwrap();
            let exact = exact(&params, dtype, &sequence);
            assert_close(&expected, &exact, 2e-6, head_dim);
            for (isa, out) in outs {
                assert_same_bits(&out, &expected, format!("{isa} {head_dim} {dtype:?}"));
            }
        }
    }
}

#[test]
fn every_isa_is_right_for_every_length_window_and_group() {
    let mut random = Random::new(2);
    let lens = [1, 2, 15, 16, 17, 33, 255, 256, 257, 530];
    let groups = [(1, 1), (2, 2), (3, 1), (8, 2), (20, 1)];
    for (case, len) in lens.into_iter().enumerate() {
        for window in [None, Some(1), Some(2), Some(16), Some(100), Some(300)] {
            let (num_heads, num_kv_heads) = groups[(case + len) % groups.len()];
            let soft_cap = (case % 3 == 0).then_some(5.0);
            let params = AttentionParams { window, soft_cap, ..params(num_heads, num_kv_heads, 32) };
            let dtype = DTYPES[case % 2];
            let sequence = sequence(&params, len, &mut random);
            let what = format!("{len} keys, {params:?}, {dtype:?}");
            let exact = exact(&params, dtype, &sequence);
            let expected = alone(&contexts()[0], &params, dtype, 16, &sequence, &[len], &mut random);
            assert_close(&expected, &exact, 3e-6, &what);
            for ctx in contexts().into_iter().skip(1).chain(threaded_contexts()) {
                let out = alone(&ctx, &params, dtype, 16, &sequence, &[len], &mut random);
                assert_same_bits(&out, &expected, format!("{} {what}", ctx.isa()));
            }
        }
    }
}

#[test]
fn a_long_context_is_split_without_changing_the_result() {
    let mut random = Random::new(3);
    let params = params(4, 1, 64);
    let sequence = sequence(&params, 1500, &mut random);
    let one = context(Isa::detect(), 1);
    let whole = alone(&one, &params, KvDtype::Bf16, 32, &sequence, &[1500], &mut random);
    for ctx in threaded_contexts() {
        let out = alone(&ctx, &params, KvDtype::Bf16, 32, &sequence, &[1495, 1], &mut random);
        assert_same_bits(&out, &whole, ctx.pool().num_threads());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_sequence_does_not_depend_on_batch_blocks_chunks_or_threads(
        lens in prop::collection::vec(1usize..400, 1..5),
        heads in prop::sample::select(vec![(1usize, 1usize), (4, 2), (6, 2), (8, 1)]),
        head_dim in prop::sample::select(vec![16usize, 18, 32, 80]),
        dtype in prop::sample::select(DTYPES.to_vec()),
        block_size in prop::sample::select(vec![1usize, 4, 12, 16, 20, 32, 64]),
        window in prop::sample::select(vec![None, Some(1), Some(7), Some(64), Some(300)]),
        chunks in prop::collection::vec(1usize..200, 1..4),
        num_threads in prop::sample::select(vec![1usize, 2, 4]),
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let params = AttentionParams { window, ..params(heads.0, heads.1, head_dim) };
        let sequences: Vec<Sequence> =
            lens.iter().map(|&len| sequence(&params, len, &mut random)).collect();
        let one = context(Isa::detect(), 1);
        let expected: Vec<Vec<f32>> = sequences
            .iter()
            .map(|s| alone(&one, &params, dtype, 16, s, &[s.len], &mut random))
            .collect();

        let ctx = context(Isa::detect(), num_threads);
        let num_blocks = lens.iter().map(|len| len.div_ceil(block_size)).sum::<usize>();
        let mut cache = Cache::new(&params, dtype, block_size, num_blocks, &mut random);
        let mut free = cache.free.clone();
        let tables: Vec<Vec<u32>> =
            lens.iter().map(|len| free.split_off(free.len() - len.div_ceil(block_size))).collect();
        let mut done = vec![0; lens.len()];
        let mut outs = vec![Vec::new(); lens.len()];
        for chunk in chunks.iter().cycle() {
            let step = |(index, table): (usize, _)| {
                let end = lens[index].min(done[index] + chunk);
                Step { sequence: &sequences[index], table, tokens: done[index]..end }
            };
            let steps: Vec<Step<'_>> =
                tables.iter().map(Vec::as_slice).enumerate().map(step).collect();
            let out = forward(&ctx, &params, &mut cache, &steps);
            let ends: Vec<usize> = steps.iter().map(|step| step.tokens.end).collect();
            let mut rows = out.chunks(heads.0 * head_dim);
            for (index, end) in ends.into_iter().enumerate() {
                for _ in done[index]..end {
                    outs[index].extend(rows.next().unwrap());
                }
                done[index] = end;
            }
            if done == lens {
                break;
            }
        }
        for (out, expected) in outs.iter().zip(&expected) {
            prop_assert_eq!(bits(out), bits(expected));
        }
    }
}

/// All of a sequence in steps of random sizes. Before each step the blocks that none of its rows
/// sees are spoilt and struck from the table.
fn forgetful(
    ctx: &CpuContext,
    params: &AttentionParams,
    block_size: usize,
    sequence: &Sequence,
    random: &mut Random,
) -> Vec<f32> {
    let num_blocks = sequence.len.div_ceil(block_size);
    let mut cache = Cache::new(params, KvDtype::F32, block_size, num_blocks, random);
    let mut table = cache.free.clone();
    let window = params.window.unwrap() as usize;
    let (mut out, mut start, mut num_gone) = (Vec::new(), 0, 0);
    while start < sequence.len {
        // The rows start at a border of the window as often as around it.
        let largest = [1, 2, 40, 256][random.below(4)];
        let end = sequence.len.min(start + 1 + random.below(largest));
        let first_seen = (start + 1).saturating_sub(window);
        while (num_gone + 1) * block_size <= first_seen {
            spoil(&mut cache.kv, LAYER, table[num_gone]);
            table[num_gone] = u32::MAX;
            num_gone += 1;
        }
        out.extend(forward(ctx, params, &mut cache, &[Step { sequence, table: &table, tokens: start..end }]));
        start = end;
    }
    out
}

#[test]
fn what_left_the_window_changes_nothing_wherever_blocks_windows_and_chunks_end() {
    let mut random = Random::new(4);
    for block_size in [1, 2, 12, 16, 32, 255, 256] {
        for window in [1, 2, 16, 17, 100, 255, 256, 257, 300] {
            let params = AttentionParams { window: Some(window), ..params(2, 1, 16) };
            let sequence = sequence(&params, 540, &mut random);
            let what = format!("blocks of {block_size}, window {window}");
            let whole = [sequence.len];
            let expected =
                alone(&contexts()[0], &params, KvDtype::F32, block_size, &sequence, &whole, &mut random);
            for ctx in contexts().into_iter().chain(threaded_contexts()) {
                let out = forgetful(&ctx, &params, block_size, &sequence, &mut random);
                assert_same_bits(&out, &expected, format!("{} {what}", ctx.isa()));
            }
        }
    }
}

#[test]
fn a_block_that_the_window_still_touches_has_to_be_there() {
    let mut random = Random::new(5);
    let ctx = context(Isa::detect(), 1);
    for (window, num_gone) in [(1, 6), (4, 6), (5, 5), (20, 5), (21, 4), (100, 0)] {
        let params = AttentionParams { window: Some(window), ..params(2, 1, 16) };
        let sequence = sequence(&params, 100, &mut random);
        let mut cache = Cache::new(&params, KvDtype::F32, 16, 7, &mut random);
        let whole = cache.free.clone();
        let first = Step { sequence: &sequence, table: &whole, tokens: 0..99 };
        forward(&ctx, &params, &mut cache, &[first]);
        for missing in 0..7 {
            let mut table = whole.clone();
            table[missing] = u32::MAX;
            let last = Step { sequence: &sequence, table: &table, tokens: 99..100 };
            // Block 6 is the one that is written.
            let refused = missing == 6 || try_forward(&ctx, &params, &mut cache, &[last]).is_err();
            assert_eq!(refused, missing >= num_gone, "window {window}, block {missing}");
        }
    }
}

#[test]
fn wrong_shapes_are_errors() {
    let ctx = context(Isa::Scalar, 1);
    let params = params(4, 2, 16);
    let layout = PagedKvLayout {
        num_layers: 1,
        num_blocks: 4,
        block_size: 8,
        num_kv_heads: 2,
        head_dim: 16,
        dtype: KvDtype::Bf16,
    };
    let mut kv = PagedKv::new(layout).unwrap();
    // Keys stand in groups of sixteen: (16 + 8) * 16 * 2 bytes per head and block.
    assert_eq!((kv.bytes(), layout.block_bytes()), (4 * 2 * 768, Some(2 * 768)));

    let data = [0.0; 3 * 64];
    let wide = Rows::contiguous(&data, 64).unwrap();
    let keys = Rows::new(&data, 64, 0..32).unwrap();
    let write = |kv: &mut PagedKv, layer, slots: &[u32], keys, values| {
        kv.write(&ctx, layer, slots, keys, values).unwrap_err().to_string()
    };
    assert_eq!(
        write(&mut kv, 0, &[0, 1, 32], keys, keys),
        "kv_write: `slot_mapping`[2] is 32, beyond the limit 32"
    );
    assert_eq!(write(&mut kv, 1, &[0, 1, 2], keys, keys), "kv_write: `layer`[0] is 1, beyond the limit 1");
    assert_eq!(
        write(&mut kv, 0, &[0, 1, 2], keys, wide),
        "kv_write: `values` has 192 elements, expected shape [3, 32]"
    );
    assert!(write(&mut kv, 0, &[0, 1], keys, keys).contains("expected shape [2, 32]"));

    let attend = |params: &AttentionParams, starts: &[u32], lens: &[u32], blocks: &[u32]| {
        let batch = AttentionBatch {
            query_start: starts,
            context_lens: lens,
            block_tables: blocks,
            max_blocks: blocks.len() / lens.len().max(1),
        };
        let mut out = [0.0; 3 * 64];
        paged_attention(&ctx, params, &kv, 0, wide, &batch, &mut out).map_err(|e| e.to_string())
    };
    assert_eq!(attend(&params, &[0, 3], &[9], &[1, 2]), Ok(()));
    let wrong = [
        (attend(&params, &[0, 3], &[9], &[1, 4]), "`block_tables`[1] is 4, beyond the limit 4"),
        (attend(&params, &[0, 3], &[17], &[1, 2]), "too few for a context"),
        (attend(&params, &[0, 3], &[2], &[1, 2]), "the tokens of this step in it"),
        (attend(&params, &[0, 2], &[9], &[1, 2]), "`q` has 3 elements, expected shape [2]"),
        (attend(&params, &[1, 3], &[9], &[1, 2]), "starts at zero"),
        (attend(&params, &[3], &[9], &[1, 2]), "`query_start` has 1 elements, expected shape [2]"),
        (
            attend(&AttentionParams { window: Some(0), ..params }, &[0, 3], &[9], &[1, 2]),
            "a token sees at least itself",
        ),
        (
            attend(&AttentionParams { num_heads: 3, ..params }, &[0, 3], &[9], &[1, 2]),
            "not a multiple of num_kv_heads",
        ),
        (
            attend(&AttentionParams { head_dim: 32, ..params }, &[0, 3], &[9], &[1, 2]),
            "the cache has another number",
        ),
    ];
    for (result, part) in wrong {
        let message = result.unwrap_err();
        assert!(message.starts_with("paged_attention: ") && message.contains(part), "{message}");
    }
    assert!(PagedKv::new(PagedKvLayout { head_dim: 15, ..layout }).is_err());
    assert!(PagedKv::new(PagedKvLayout { num_blocks: 0, ..layout }).is_err());
    assert!(PagedKv::new(PagedKvLayout { num_blocks: usize::MAX / 4, ..layout }).is_err());
}
