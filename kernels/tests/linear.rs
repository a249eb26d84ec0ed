//! Linear layers: exact against the scalar twin, close to f64, and invariant to the batch.

mod common;

use common::*;
use half::bf16;
use maru_kernels::cpu::{CpuContext, EmbeddingTable, PackedLinear, RowData, WeightRows, gather, linear};
use maru_kernels::{Isa, KernelError};
use proptest::prelude::*;

fn run(ctx: &CpuContext, x: &[f32], weights: &PackedLinear) -> Vec<f32> {
    let mut out = vec![f32::NAN; x.len() / weights.in_features() * weights.out_features()];
    linear(ctx, x, weights, &mut out).unwrap();
    out
}

/// What the kernels define: one chain of fused multiply-adds in the order of k.
fn definition(x: &[f32], weights: &[f32], in_features: usize) -> Vec<f32> {
    let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).fold(0.0f32, |sum, (x, w)| x.mul_add(*w, sum));
    let rows = x.chunks(in_features);
    rows.flat_map(|x| weights.chunks(in_features).map(move |w| dot(x, w))).collect()
}

fn exact(x: &[f32], weights: &[f32], in_features: usize) -> Vec<f64> {
    let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>();
    let rows = x.chunks(in_features);
    rows.flat_map(|x| weights.chunks(in_features).map(move |w| dot(x, w))).collect()
}

#[test]
fn every_isa_equals_the_definition() {
    let mut random = Random::new(1);
    for in_features in LENGTHS {
        for out_features in [1, 15, 16, 17, 48, 133] {
            for num_rows in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 50] {
                let weights = random.floats(in_features * out_features);
                let halves: Vec<f32> = to_bf16(&weights).iter().map(|w| w.to_f32()).collect();
                let x = random.floats(num_rows * in_features);
                for (dtype, weights) in [("f32", &weights), ("bf16", &halves)] {
                    let packed = pack(in_features, out_features, weights, dtype);
                    let expected = definition(&x, weights, in_features);
                    assert_close(&expected, &exact(&x, weights, in_features), 1e-5, dtype);
                    for ctx in contexts() {
                        let isa = ctx.isa();
                        let what = format!("{isa} {dtype} {num_rows} x {in_features} -> {out_features}");
                        assert_same_bits(&run(&ctx, &x, &packed), &expected, what);
                    }
                }
            }
        }
    }
}

#[test]
fn parts_are_stacked_along_the_output() {
    let mut random = Random::new(2);
    let in_features = 35;
    let weights = random.floats(in_features * 50);
    let halves = to_bf16(&weights);
    let x = random.floats(3 * in_features);
    let split = |rows: &[usize]| {
        let mut start = 0;
        let part = |&rows: &usize| {
            let data = RowData::Bf16(&halves[start * in_features..(start + rows) * in_features]);
            start += rows;
            WeightRows { rows, data }
        };
        let parts: Vec<_> = rows.iter().map(part).collect();
        PackedLinear::pack(in_features, 50, &parts).unwrap()
    };
    let ctx = context(Isa::detect(), 2);
    let whole = run(&ctx, &x, &split(&[50]));
    for rows in [&[20, 15, 15][..], &[1, 49], &[16, 0, 34]] {
        assert_same_bits(&run(&ctx, &x, &split(rows)), &whole, format!("{rows:?}"));
    }
}

#[test]
fn the_bias_is_added_to_the_finished_sum() {
    let mut random = Random::new(3);
    let (weights, bias) = (random.floats(20 * 37), random.floats(37));
    let x = random.floats(9 * 20);
    let mut expected = definition(&x, &weights, 20);
    for row in expected.chunks_mut(37) {
        row.iter_mut().zip(&bias).for_each(|(sum, bias)| *sum += bias);
    }
    let packed = pack(20, 37, &weights, "f32").with_bias(&bias).unwrap();
    for ctx in contexts() {
        assert_same_bits(&run(&ctx, &x, &packed), &expected, ctx.isa());
    }
}

#[test]
fn large_matrices_equal_the_definition_with_any_number_of_threads() {
    let mut random = Random::new(4);
    let (in_features, out_features) = (301, 1000);
    let weights: Vec<f32> =
        random.floats(in_features * out_features).iter().map(|w| bf16::from_f32(*w).to_f32()).collect();
    let packed = pack(in_features, out_features, &weights, "bf16");
    let x = random.floats(100 * in_features);
    let expected = definition(&x, &weights, in_features);
    for ctx in threaded_contexts() {
        for num_rows in [1, 2, 7, 48, 49, 100] {
            let actual = run(&ctx, &x[..num_rows * in_features], &packed);
            assert_same_bits(&actual, &expected[..num_rows * out_features], num_rows);
        }
    }
}

/// The first row whose result changes with the rows around it.
fn first_variant_row(x: &[f32], in_features: usize, op: impl Fn(&[f32]) -> Vec<f32>) -> Option<usize> {
    let together = bits(&op(x));
    let alone: Vec<Vec<u32>> = x.chunks(in_features).map(|row| bits(&op(row))).collect();
    let rows = together.chunks(together.len() / alone.len());
    rows.zip(&alone).position(|(together, alone)| together != alone.as_slice())
}

/// A product that sums in two halves when it has many rows: what invariance forbids.
fn varying(x: &[f32], weights: &[f32], in_features: usize) -> Vec<f32> {
    let num_rows = x.len() / in_features;
    let dot = |x: &[f32], w: &[f32]| {
        let middle = if num_rows > 4 { in_features / 2 } else { 0 };
        let sum = |x: &[f32], w: &[f32]| x.iter().zip(w).fold(0.0f32, |s, (x, w)| x.mul_add(*w, s));
        sum(&x[..middle], &w[..middle]) + sum(&x[middle..], &w[middle..])
    };
    let rows = x.chunks(in_features);
    rows.flat_map(|x| weights.chunks(in_features).map(move |w| dot(x, w))).collect()
}

#[test]
fn the_invariance_test_sees_another_order_of_sums() {
    let mut random = Random::new(5);
    let (in_features, out_features) = (64, 16);
    let weights = random.floats(in_features * out_features);
    let x = random.floats(8 * in_features);
    let variant = first_variant_row(&x, in_features, |x| varying(x, &weights, in_features));
    assert!(variant.is_some());
    let packed = pack(in_features, out_features, &weights, "f32");
    for ctx in contexts() {
        assert_eq!(first_variant_row(&x, in_features, |x| run(&ctx, x, &packed)), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_row_does_not_depend_on_its_batch(
        num_rows in 1usize..=64,
        in_features in 1usize..200,
        out_features in 1usize..400,
        num_threads in prop::sample::select(vec![1usize, 2, 4]),
        dtype in prop::sample::select(vec!["f32", "bf16"]),
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let weights = random.floats(in_features * out_features);
        let packed = pack(in_features, out_features, &weights, dtype);
        let x = random.floats(num_rows * in_features);
        let ctx = context(Isa::detect(), num_threads);
        prop_assert_eq!(first_variant_row(&x, in_features, |x| run(&ctx, x, &packed)), None);
    }
}

#[test]
fn wrong_shapes_are_errors() {
    let ctx = context(Isa::Scalar, 1);
    let packed = pack(3, 5, &[0.0; 15], "f32");
    let error = linear(&ctx, &[0.0; 7], &packed, &mut [0.0; 10]).unwrap_err();
    assert_eq!(error.to_string(), "linear: `x` has 7 elements, not a multiple of the row length 3");
    let error = linear(&ctx, &[0.0; 6], &packed, &mut [0.0; 11]).unwrap_err();
    assert_eq!(error.to_string(), "linear: `out` has 11 elements, expected shape [2, 5]");

    let part = |rows, values| WeightRows { rows, data: RowData::F32(values) };
    let error = PackedLinear::pack(3, 2, &[part(2, &[0.0; 5])]).unwrap_err();
    assert_eq!(error.to_string(), "pack: `data` has 5 elements, expected shape [2, 3]");
    let error = PackedLinear::pack(3, 3, &[part(2, &[0.0; 6])]).unwrap_err();
    assert_eq!(error.to_string(), "pack: `parts` has 2 elements, expected shape [3]");
    assert!(PackedLinear::pack(0, 1, &[part(1, &[])]).is_err());
    assert!(PackedLinear::pack(1, 0, &[]).is_err());
    assert!(PackedLinear::pack(usize::MAX, 2, &[part(2, &[0.0; 6])]).is_err());

    let half = WeightRows { rows: 1, data: RowData::Bf16(&[bf16::ONE; 3]) };
    let error = PackedLinear::pack(3, 2, &[part(1, &[0.0; 3]), half]).unwrap_err();
    assert_eq!(error, KernelError::MixedDtypes { op: "pack" });
    assert!(packed.with_bias(&[0.0; 4]).is_err());
}

#[test]
fn embeddings_are_the_rows_of_the_table() {
    let mut random = Random::new(6);
    let (vocab_size, hidden) = (70, 33);
    let values = random.floats(vocab_size * hidden);
    let halves = to_bf16(&values);
    let widened: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
    let tied = |dtype| EmbeddingTable::tied(pack(hidden, vocab_size, &values, dtype).into());
    let own = |data| EmbeddingTable::new(vocab_size, hidden, data).unwrap();
    let tables = [
        (own(RowData::F32(&values)), &values),
        (own(RowData::Bf16(&halves)), &widened),
        (tied("f32"), &values),
        (tied("bf16"), &widened),
    ];
    let ids: Vec<u32> = (0..500).map(|_| random.below(vocab_size) as u32).collect();
    for ctx in threaded_contexts() {
        for (table, values) in &tables {
            for ids in [&ids[..], &ids[..1], &[]] {
                let mut out = vec![f32::NAN; ids.len() * hidden];
                gather(&ctx, table, ids, &mut out).unwrap();
                let rows = ids.iter().flat_map(|&id| &values[id as usize * hidden..][..hidden]);
                assert_same_bits(&out, &rows.copied().collect::<Vec<_>>(), ids.len());
            }
            let error = gather(&ctx, table, &[3, 70], &mut vec![0.0; 2 * hidden]).unwrap_err();
            assert_eq!(error.to_string(), "gather: `token_ids`[1] is 70, beyond the limit 70");
        }
    }
}
