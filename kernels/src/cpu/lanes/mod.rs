//! Sixteen f32 lanes, the vector that every kernel is written in.
//!
//! One generic body serves all instruction sets: an AVX-512 register, a pair of AVX2 registers or
//! an array is one vector of sixteen lanes, every lane operation rounds as IEEE 754 says, and
//! sums across lanes use one fixed tree. So all instruction sets give the same bits.
//!
//! A value of a [`Lanes`] type is the proof that the machine has the instructions; only
//! [`run_avx2`] and [`run_avx512`] make the ones that need proof. Bodies are `#[inline(always)]`
//! down to these two functions, whose `#[target_feature]` they are compiled with.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod math;
mod scalar;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::run_avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::run_avx512;
pub(crate) use math::{exp, gelu_tanh, silu, tanh};
pub(crate) use scalar::ScalarLanes;

use crate::isa::Isa;

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;

/// How many vectors a kernel holds in registers at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocking {
    /// Vectors are arrays in memory: one at a time.
    One,
    /// Eight vectors, in sixteen registers of half a vector.
    Narrow,
    /// 32 vectors.
    Wide,
}

/// The blocking of an instruction set's lanes.
pub(crate) fn blocking(isa: Isa) -> Blocking {
    match isa {
        Isa::Scalar => Blocking::One,
        Isa::Avx2 => Blocking::Narrow,
        Isa::Avx512 => Blocking::Wide,
    }
}

/// A kernel body that runs on any instruction set; implementations are `#[inline(always)]`.
pub(crate) trait Kernel {
    fn run<L: Lanes>(self, lanes: L);
}

/// The operations on vectors of sixteen f32 lanes.
pub(crate) trait Lanes: Copy {
    /// Sixteen f32.
    type Vector: Copy;
    /// How much of a product fits the registers.
    const BLOCKING: Blocking;

    fn splat(self, value: f32) -> Self::Vector;
    fn load(self, values: &[f32; LANES]) -> Self::Vector;
    /// The first `values.len()` lanes, at most sixteen; the others are zero.
    fn load_first(self, values: &[f32]) -> Self::Vector;
    /// Sixteen bf16, widened exactly.
    fn load_bf16(self, values: &[u16; LANES]) -> Self::Vector;
    /// The values at even places of 32 bf16, widened exactly.
    fn load_bf16_even(self, values: &[u16; 2 * LANES]) -> Self::Vector;
    /// The values at odd places of 32 bf16, widened exactly.
    fn load_bf16_odd(self, values: &[u16; 2 * LANES]) -> Self::Vector;
    fn store(self, vector: Self::Vector, out: &mut [f32; LANES]);
    /// The first `out.len()` lanes, at most sixteen.
    fn store_first(self, vector: Self::Vector, out: &mut [f32]);

    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The smaller one; `b` when either is NaN.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger one; `b` when either is NaN.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// 2^n, for lanes that hold `n + ROUNDER` with n in -126..=127.
    fn power_of_two(self, n_plus_rounder: Self::Vector) -> Self::Vector;
    /// Asks for the cache line at `address`, which need not be valid.
    fn prefetch<T>(self, address: *const T);

    /// The sum of all lanes, by halving: lane i + lane (i+8), then +4, +2, +1.
    #[inline(always)]
    fn sum(self, vector: Self::Vector) -> f32 {
        self.halve(vector, |a, b| a + b)
    }

    /// The largest lane; any lane when one is NaN.
    #[inline(always)]
    fn largest(self, vector: Self::Vector) -> f32 {
        self.halve(vector, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn halve(self, vector: Self::Vector, combine: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(vector, &mut lanes);
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                lanes[lane] = combine(lanes[lane], lanes[lane + half]);
            }
        }
        lanes[0]
    }
}

/// Adding this to a small f32 leaves its nearest integer in the low bits: 1.5 * 2^23.
pub(crate) const ROUNDER: f32 = 12_582_912.0;
