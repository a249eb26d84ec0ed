//! How fast the CPU operations are, beside what the machine can read and multiply.
//!
//! `cargo bench -p maru-kernels -- [linear|attention|norm|gate|rotary] [avx512|avx2|scalar]`.
//! Shapes are those of EXAONE 3.5 2.4B. Each figure is the best of several runs, since the
//! machine may be shared; weights rotate through more memory than the caches hold.

use std::hint::black_box;
use std::time::{Duration, Instant};

use half::bf16;
use maru_kernels::cpu::{
    AttentionBatch, AttentionParams, CpuContext, KvDtype, PackedLinear, PagedKv, PagedKvLayout, RotaryTable,
    RowData, Rows, RowsMut, WeightRows, apply_rotary, linear, paged_attention, rms_norm, silu_gate,
};
use maru_kernels::{ComputePool, Isa, default_num_threads};

const HIDDEN: usize = 2560;
const HEADS: usize = 32;
const KV_HEADS: usize = 8;
const HEAD_DIM: usize = 80;
const MLP: usize = 7168;
/// More than the caches hold.
const COLD_BYTES: usize = 200 << 20;

/// The shortest of several runs of `op`, after one to warm up.
fn best(mut op: impl FnMut(usize)) -> f64 {
    op(0);
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    for run in 1.. {
        let start = Instant::now();
        op(run);
        best = best.min(start.elapsed().as_secs_f64());
        if run >= 3 && begin.elapsed() > Duration::from_millis(400) {
            break;
        }
    }
    best
}

fn context(isa: Isa) -> CpuContext {
    let pool = ComputePool::new(default_num_threads());
    CpuContext::new(isa, pool).expect("only available sets are benched")
}

fn machine(ctx: &CpuContext) {
    let (num_threads, pages) = (ctx.pool().num_threads(), COLD_BYTES / 8 / 512);
    let memory: Vec<u64> = vec![1; pages * 512];
    let seconds = best(|_| {
        ctx.pool().run(pages, &|page| {
            black_box(memory[page * 512..][..512].iter().sum::<u64>());
        });
    });
    println!("{num_threads} threads read {:.1} GB/s (4 KiB pages)", (pages * 4096) as f64 / seconds / 1e9);
    let seconds = best(|_| (0..1000).for_each(|_| ctx.pool().run(num_threads, &|_| {})));
    println!("{num_threads} threads open and close a region in {:.2} us", seconds * 1e3);
    // The inner product of a small matrix: everything in the first cache.
    let x = vec![1.0f32; 48 * 128];
    let weights = vec![1.0f32; 48 * 128];
    let part = WeightRows { rows: 48, data: RowData::F32(&weights) };
    let packed = PackedLinear::pack(128, 48, &[part]).expect("one matrix");
    for isa in Isa::available() {
        let ctx = CpuContext::new(isa, ComputePool::new(1.try_into().expect("one"))).expect("available");
        let mut out = vec![0.0; 48 * 48];
        let seconds = best(|_| {
            (0..100).for_each(|_| linear(&ctx, black_box(&x), &packed, &mut out).expect("shapes"));
        });
        let flop = (100 * 2 * 48 * 48 * 128) as f64;
        println!("1 thread multiplies {:.0} GFLOP/s ({isa}, in the first cache)", flop / seconds / 1e9);
    }
}

fn bench_linear(ctx: &CpuContext) {
    for (in_features, out_features) in [(HIDDEN, MLP), (MLP, HIDDEN)] {
        for dtype in ["bf16", "f32"] {
            let values: Vec<f32> = (0..in_features * out_features).map(|i| (i % 17) as f32).collect();
            let halves: Vec<bf16> = values.iter().map(|&value| bf16::from_f32(value)).collect();
            let data = if dtype == "f32" { RowData::F32(&values) } else { RowData::Bf16(&halves) };
            let part = WeightRows { rows: out_features, data };
            let pack = || PackedLinear::pack(in_features, out_features, &[part]).expect("one matrix");
            let start = Instant::now();
            let first = pack();
            let bytes = first.bytes();
            let packing = bytes as f64 / start.elapsed().as_secs_f64() / 1e9;
            println!("{:7} pack {dtype} {in_features}->{out_features} {packing:.1} GB/s", ctx.isa());
            let copies = COLD_BYTES.div_ceil(bytes);
            let weights: Vec<PackedLinear> =
                std::iter::once(first).chain((1..copies).map(|_| pack())).collect();
            for num_rows in [1, 2, 4, 8, 16, 64, 256] {
                let x = vec![1.0; num_rows * in_features];
                let mut out = vec![0.0; num_rows * out_features];
                let seconds = best(|run| {
                    linear(ctx, &x, &weights[run % copies], &mut out).expect("shapes");
                });
                let flop = (2 * num_rows * in_features * out_features) as f64;
                println!(
                    "{:7} linear {dtype} {in_features}->{out_features} rows {num_rows:3}: {:5.1} GB/s {:6.1} GFLOP/s",
                    ctx.isa(),
                    bytes as f64 / seconds / 1e9,
                    flop / seconds / 1e9,
                );
            }
        }
    }
}

fn bench_attention(ctx: &CpuContext) {
    let scale = 1.0 / (HEAD_DIM as f32).sqrt();
    let params = AttentionParams {
        num_heads: HEADS,
        num_kv_heads: KV_HEADS,
        head_dim: HEAD_DIM,
        scale,
        window: None,
        soft_cap: None,
    };
    let (block_size, num_layers) = (16, 8);
    for dtype in [KvDtype::Bf16, KvDtype::F32] {
        let num_blocks = 16384 / block_size;
        let layout = PagedKvLayout {
            num_layers,
            num_blocks,
            block_size,
            num_kv_heads: KV_HEADS,
            head_dim: HEAD_DIM,
            dtype,
        };
        let kv = PagedKv::new(layout).expect("memory");
        // A permutation of the blocks that is far from sequential.
        let table: Vec<u32> = (0..num_blocks).map(|i| (i * 389 % num_blocks) as u32).collect();
        for (num_tokens, context_len) in [(1, 512), (1, 4096), (1, 16384), (128, 512), (512, 4096)] {
            let width = HEADS * HEAD_DIM;
            let q = vec![0.5; num_tokens * width];
            let mut out = vec![0.0; num_tokens * width];
            let batch = AttentionBatch {
                query_start: &[0, num_tokens as u32],
                context_lens: &[context_len as u32],
                block_tables: &table,
                max_blocks: num_blocks,
            };
            let q = Rows::contiguous(&q, width).expect("rows");
            let seconds = best(|run| {
                let layer = run % num_layers;
                paged_attention(ctx, &params, &kv, layer, q, &batch, &mut out).expect("shapes");
            });
            let bytes = context_len * layout.block_bytes().expect("small") / num_layers / block_size;
            let keys = context_len * num_tokens - num_tokens * (num_tokens - 1) / 2;
            let flop = (4 * keys * width) as f64;
            println!(
                "{:7} attention {dtype:?} {num_tokens:3} tokens, context {context_len:5}: {:8.1} us {:5.1} GB/s {:6.1} GFLOP/s",
                ctx.isa(),
                seconds * 1e6,
                bytes as f64 / seconds / 1e9,
                flop / seconds / 1e9,
            );
        }
    }
}

fn bench_small(ctx: &CpuContext, op: &str) {
    for num_rows in [1, 16, 256] {
        let x = vec![0.5; num_rows * 2 * MLP];
        let mut out = vec![0.0; num_rows * MLP];
        let weight = vec![1.0; HIDDEN];
        let positions: Vec<u32> = (0..num_rows as u32).collect();
        let table = RotaryTable::new(&[0.1; HEAD_DIM / 2], 256, 1.0);
        let width = (HEADS + KV_HEADS) * HEAD_DIM;
        let seconds = best(|_| match op {
            "norm" => {
                let (x, out) = (&x[..num_rows * HIDDEN], &mut out[..num_rows * HIDDEN]);
                rms_norm(ctx, x, &weight, 1e-5, out).expect("shapes");
            }
            "gate" => silu_gate(ctx, &x, MLP, &mut out).expect("shapes"),
            _ => {
                let view = RowsMut::contiguous(&mut out[..num_rows * width], width).expect("rows");
                apply_rotary(ctx, &table, view, HEAD_DIM, &positions).expect("shapes");
            }
        });
        println!("{:7} {op} rows {num_rows:3}: {:7.2} us", ctx.isa(), seconds * 1e6);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let (isas, ops): (Vec<_>, Vec<_>) = args.iter().partition(|arg| arg.parse::<Isa>().is_ok());
    let wanted = |op: &str| ops.is_empty() || ops.iter().any(|wanted| *wanted == op);
    if wanted("machine") {
        machine(&context(Isa::detect()));
    }
    for isa in Isa::available().into_iter().rev() {
        if !(isas.is_empty() || isas.iter().any(|wanted| *wanted == isa.name())) {
            continue;
        }
        let ctx = context(isa);
        if wanted("linear") {
            bench_linear(&ctx);
        }
        if wanted("attention") {
            bench_attention(&ctx);
        }
        for op in ["norm", "gate", "rotary"].into_iter().filter(|op| wanted(op)) {
            bench_small(&ctx, op);
        }
    }
}
