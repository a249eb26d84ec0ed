//! What the tests of the operations share: contexts, numbers, comparisons.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::num::NonZeroUsize;

use half::bf16;
use maru_kernels::cpu::{CpuContext, PackedLinear, PagedKv, PagedKvLayout, RowData, Rows, WeightRows};
use maru_kernels::{ComputePool, Isa};

/// Lengths around the sixteen lanes of a vector, and odd ones.
pub(crate) const LENGTHS: [usize; 12] = [1, 2, 15, 16, 17, 31, 33, 47, 64, 65, 80, 131];

pub(crate) fn context(isa: Isa, num_threads: usize) -> CpuContext {
    let pool = ComputePool::new(NonZeroUsize::new(num_threads).unwrap());
    CpuContext::new(isa, pool).unwrap()
}

/// One single-threaded context per instruction set of this machine, scalar first.
pub(crate) fn contexts() -> Vec<CpuContext> {
    Isa::available().into_iter().map(|isa| context(isa, 1)).collect()
}

/// The fastest instruction set with 1, 2 and 4 threads.
pub(crate) fn threaded_contexts() -> Vec<CpuContext> {
    [1, 2, 4].map(|num_threads| context(Isa::detect(), num_threads)).into()
}

/// A reproducible stream of numbers (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    /// From -1 to 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(crate) fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.float()).collect()
    }

    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        for index in (1..values.len()).rev() {
            values.swap(index, self.below(index + 1));
        }
    }
}

pub(crate) fn to_bf16(values: &[f32]) -> Vec<bf16> {
    values.iter().map(|&value| bf16::from_f32(value)).collect()
}

/// One matrix in the given element type, packed.
pub(crate) fn pack(in_features: usize, out_features: usize, weights: &[f32], dtype: &str) -> PackedLinear {
    let halves = to_bf16(weights);
    let data = if dtype == "f32" { RowData::F32(weights) } else { RowData::Bf16(&halves) };
    let part = WeightRows { rows: out_features, data };
    PackedLinear::pack(in_features, out_features, &[part]).unwrap()
}

/// The bits, so that `==` tells zeros and NaNs apart.
pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[track_caller]
pub(crate) fn assert_same_bits(actual: &[f32], expected: &[f32], what: impl std::fmt::Display) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (index, (a, b)) in actual.iter().zip(expected).enumerate() {
        assert_eq!(a.to_bits(), b.to_bits(), "{what}: element {index} is {a}, expected {b}");
    }
}

/// Compares with f64 results, to `tolerance` of the largest of them.
#[track_caller]
pub(crate) fn assert_close(actual: &[f32], exact: &[f64], tolerance: f64, what: impl std::fmt::Display) {
    assert_eq!(actual.len(), exact.len(), "{what}");
    let largest = exact.iter().fold(1e-30, |largest: f64, x| largest.max(x.abs()));
    for (index, (&a, &b)) in actual.iter().zip(exact).enumerate() {
        let error = (f64::from(a) - b).abs() / largest;
        assert!(error <= tolerance, "{what}: element {index} is {a}, expected {b}");
    }
}

/// Makes every key and value of a block NaN.
pub(crate) fn spoil(kv: &mut PagedKv, layer: usize, block: u32) {
    let PagedKvLayout { block_size, num_kv_heads, head_dim, .. } = *kv.layout();
    let size = block_size as u32;
    let slots: Vec<u32> = (block * size..(block + 1) * size).collect();
    let nan = vec![f32::NAN; block_size * num_kv_heads * head_dim];
    let nan = Rows::contiguous(&nan, num_kv_heads * head_dim).unwrap();
    kv.write(&context(Isa::Scalar, 1), layer, &slots, nan, nan).unwrap();
}
