//! Norms, gates, rotary embedding and element by element operations: every instruction set gives
//! the scalar twin's bits, close to f64, whatever the batch.

mod common;

use common::*;
use maru_kernels::Isa;
use maru_kernels::cpu::{
    CpuContext, RotaryTable, RowsMut, add, add_rms_norm, apply_rotary, gelu_tanh_gate, rms_norm,
    rms_norm_heads, silu_gate, soft_cap,
};
use proptest::prelude::*;

const EPS: f32 = 1e-5;

fn norm(ctx: &CpuContext, x: &[f32], weight: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; x.len()];
    rms_norm(ctx, x, weight, EPS, &mut out).unwrap();
    out
}

fn exact_norm(x: &[f32], weight: &[f32]) -> Vec<f64> {
    let row = |x: &[f32]| {
        let squares: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
        let scale = 1.0 / (squares / x.len() as f64 + f64::from(EPS)).sqrt();
        let pairs = x.iter().zip(weight);
        pairs.map(|(&x, &w)| f64::from(x) * scale * f64::from(w)).collect::<Vec<_>>()
    };
    x.chunks(weight.len()).flat_map(row).collect()
}

#[test]
fn norms_are_right_on_every_isa() {
    let mut random = Random::new(1);
    for width in LENGTHS {
        for num_rows in [0, 1, 3] {
            let x = random.floats(num_rows * width);
            let delta = random.floats(num_rows * width);
            let weight = random.floats(width);
            let sum: Vec<f32> = x.iter().zip(&delta).map(|(x, delta)| x + delta).collect();
            let expected = norm(&contexts()[0], &sum, &weight);
            assert_close(&expected, &exact_norm(&sum, &weight), 1e-6, width);
            for ctx in contexts() {
                assert_same_bits(&norm(&ctx, &sum, &weight), &expected, ctx.isa());
                let (mut residual, mut out) = (x.clone(), vec![f32::NAN; x.len()]);
                add_rms_norm(&ctx, &mut residual, &delta, &weight, EPS, &mut out).unwrap();
                assert_same_bits(&residual, &sum, ctx.isa());
                assert_same_bits(&out, &expected, ctx.isa());
                let mut residual = x.clone();
                add(&ctx, &mut residual, &delta).unwrap();
                assert_same_bits(&residual, &sum, ctx.isa());
            }
        }
    }
}

#[test]
fn heads_are_normalised_where_they_lie() {
    let mut random = Random::new(2);
    for head_dim in LENGTHS {
        let (num_rows, num_heads, stride) = (3, 4, 5 * head_dim + 7);
        let before = random.floats(num_rows * stride);
        let weight = random.floats(head_dim);
        for ctx in contexts() {
            let mut expected = before.clone();
            for row in expected.chunks_mut(stride) {
                let heads = &mut row[head_dim..head_dim + num_heads * head_dim];
                let normed = norm(&ctx, heads, &weight);
                heads.copy_from_slice(&normed);
            }
            let mut x = before.clone();
            let view = RowsMut::new(&mut x, stride, head_dim..(1 + num_heads) * head_dim).unwrap();
            rms_norm_heads(&ctx, view, &weight, EPS).unwrap();
            assert_same_bits(&x, &expected, ctx.isa());
        }
    }
}

type Activation = fn(f64) -> f64;
type Gate = fn(&CpuContext, &[f32], usize, &mut [f32]) -> Result<(), maru_kernels::KernelError>;

#[test]
fn gates_are_right_on_every_isa() {
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let gelu = |x: f64| {
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
        0.5 * x * (1.0 + inner.tanh())
    };
    let gates: [(Gate, Activation); 2] = [(silu_gate, silu), (gelu_tanh_gate, gelu)];
    let mut random = Random::new(3);
    for width in LENGTHS.into_iter().chain([4096, 5000]) {
        for num_rows in [0, 1, 3] {
            let mut gate_up = random.floats(num_rows * 2 * width);
            gate_up.iter_mut().for_each(|x| *x *= 6.0);
            for (gate, activation) in gates {
                let mut expected = vec![f32::NAN; num_rows * width];
                gate(&contexts()[0], &gate_up, width, &mut expected).unwrap();
                let exact: Vec<f64> = (gate_up.chunks(2 * width))
                    .flat_map(|row| row[..width].iter().zip(&row[width..]))
                    .map(|(&gate, &up)| activation(f64::from(gate)) * f64::from(up))
                    .collect();
                assert_close(&expected, &exact, 3e-6, width);
                for ctx in contexts().into_iter().chain(threaded_contexts()) {
                    let mut out = vec![f32::NAN; num_rows * width];
                    gate(&ctx, &gate_up, width, &mut out).unwrap();
                    assert_same_bits(&out, &expected, ctx.isa());
                }
            }
        }
    }
}

#[test]
fn gates_of_large_numbers_are_numbers() {
    let gates = [-3e38, -1e4, -100.0, -88.8, -0.0, 0.0, 88.8, 100.0, 1e4, 3e38];
    for ctx in contexts() {
        for gate in gates {
            for op in [silu_gate as Gate, gelu_tanh_gate] {
                let mut out = [f32::NAN];
                op(&ctx, &[gate, 1.0], 1, &mut out).unwrap();
                let expected = if gate > 0.0 { gate } else { 0.0 };
                assert!((out[0] - expected).abs() <= 1e-30, "{}: {gate} gives {out:?}", ctx.isa());
            }
        }
    }
}

#[test]
fn soft_cap_is_right_on_every_isa() {
    let mut random = Random::new(4);
    for len in LENGTHS {
        let before: Vec<f32> = random.floats(len).iter().map(|x| x * 100.0).collect();
        let exact: Vec<f64> = before.iter().map(|&x| 30.0 * (f64::from(x) / 30.0).tanh()).collect();
        let mut expected = before.clone();
        soft_cap(&contexts()[0], &mut expected, 30.0);
        assert_close(&expected, &exact, 3e-7, len);
        for ctx in contexts() {
            let mut x = before.clone();
            soft_cap(&ctx, &mut x, 30.0);
            assert_same_bits(&x, &expected, ctx.isa());
        }
    }
}

#[test]
fn rotary_turns_the_pairs_of_each_head() {
    let mut random = Random::new(5);
    for (head_dim, half) in [(16, 8), (80, 40), (128, 64), (64, 16), (10, 5), (96, 0), (34, 17)] {
        let inv_freq: Vec<f32> =
            (0..half).map(|i| 10_000f32.powf(-(i as f32) / half.max(1) as f32)).collect();
        let table = RotaryTable::new(&inv_freq, 5000, 1.25);
        assert_eq!((table.rotary_dim(), table.max_positions()), (2 * half, 5000));
        let (num_heads, offset) = (3, 7);
        let stride = offset + num_heads * head_dim + 5;
        let positions = [0, 1, 4999, 17, 17];
        let before = random.floats(positions.len() * stride);
        let turned = |ctx: &CpuContext| {
            let mut x = before.clone();
            let columns = offset..offset + num_heads * head_dim;
            let view = RowsMut::new(&mut x, stride, columns).unwrap();
            apply_rotary(ctx, &table, view, head_dim, &positions).unwrap();
            x
        };
        let mut exact: Vec<f64> = before.iter().map(|&x| f64::from(x)).collect();
        for (row, &position) in exact.chunks_mut(stride).zip(&positions) {
            for head in row[offset..offset + num_heads * head_dim].chunks_mut(head_dim) {
                for i in 0..half {
                    let angle = f64::from(position as f32 * inv_freq[i]);
                    let (sin, cos) = (1.25 * angle.sin(), 1.25 * angle.cos());
                    let (a, b) = (head[i], head[half + i]);
                    (head[i], head[half + i]) = (a * cos - b * sin, b * cos + a * sin);
                }
            }
        }
        let expected = turned(&contexts()[0]);
        assert_close(&expected, &exact, 3e-7, head_dim);
        for ctx in contexts() {
            assert_same_bits(&turned(&ctx), &expected, ctx.isa());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_row_does_not_depend_on_its_batch(
        num_rows in 1usize..=64,
        width in 1usize..700,
        num_threads in prop::sample::select(vec![1usize, 2, 4]),
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let ctx = context(Isa::detect(), num_threads);
        let (x, weight) = (random.floats(num_rows * width), random.floats(width));
        let gate_up = random.floats(num_rows * 2 * width);
        let inv_freq = random.floats(width / 2);
        let table = RotaryTable::new(&inv_freq, 50, 1.0);
        let positions: Vec<u32> = (0..num_rows).map(|_| random.below(50) as u32).collect();

        let silu = |gate_up: &[f32]| {
            let mut out = vec![f32::NAN; gate_up.len() / 2];
            silu_gate(&ctx, gate_up, width, &mut out).unwrap();
            out
        };
        let turn = |x: &[f32], positions: &[u32]| {
            let mut x = x.to_vec();
            let view = RowsMut::contiguous(&mut x, width).unwrap();
            apply_rotary(&ctx, &table, view, width, positions).unwrap();
            x
        };
        let (normed, gated) = (norm(&ctx, &x, &weight), silu(&gate_up));
        let turned = turn(&x, &positions);
        for row in 0..num_rows {
            let span = row * width..(row + 1) * width;
            let x = &x[span.clone()];
            prop_assert_eq!(bits(&norm(&ctx, x, &weight)), bits(&normed[span.clone()]));
            let gate_up = &gate_up[2 * span.start..2 * span.end];
            prop_assert_eq!(bits(&silu(gate_up)), bits(&gated[span.clone()]));
            let alone = turn(x, &positions[row..=row]);
            prop_assert_eq!(bits(&alone), bits(&turned[span]));
        }
    }
}

#[test]
fn wrong_shapes_are_errors() {
    let ctx = context(Isa::Scalar, 1);
    let mut out = [0.0; 6];
    let message = |result: Result<(), maru_kernels::KernelError>| result.unwrap_err().to_string();
    assert_eq!(
        message(rms_norm(&ctx, &[0.0; 7], &[0.0; 3], EPS, &mut out)),
        "rms_norm: `x` has 7 elements, not a multiple of the row length 3"
    );
    assert!(rms_norm(&ctx, &[0.0; 6], &[], EPS, &mut out).is_err());
    assert_eq!(
        message(rms_norm(&ctx, &[0.0; 9], &[0.0; 3], EPS, &mut out)),
        "rms_norm: `out` has 6 elements, expected shape [3, 3]"
    );
    let residual = &mut [0.0; 6];
    assert_eq!(
        message(add_rms_norm(&ctx, residual, &[0.0; 3], &[0.0; 3], EPS, &mut out)),
        "add_rms_norm: `delta` has 3 elements, expected shape [2, 3]"
    );
    assert!(add(&ctx, residual, &[0.0; 5]).is_err());
    let view = RowsMut::contiguous(residual, 6).unwrap();
    assert!(rms_norm_heads(&ctx, view, &[0.0; 4], EPS).is_err());
    assert_eq!(
        message(silu_gate(&ctx, &[0.0; 10], 3, &mut out)),
        "silu_gate: `gate_up` has 10 elements, expected shape [2, 2, 3]"
    );
    let table = RotaryTable::new(&[1.0, 0.5], 10, 1.0);
    let mut turn = |head_dim, positions: &[u32]| {
        let view = RowsMut::contiguous(&mut out, 6).unwrap();
        message(apply_rotary(&ctx, &table, view, head_dim, positions))
    };
    assert_eq!(turn(6, &[10]), "apply_rotary: `positions`[0] is 10, beyond the limit 10");
    assert_eq!(turn(6, &[1, 2]), "apply_rotary: `positions` has 2 elements, expected shape [1]");
    assert!(turn(4, &[1]).contains("not a multiple of the row length 4"));
    assert!(turn(3, &[1]).contains("a head has to hold all dimensions that turn"));
}
