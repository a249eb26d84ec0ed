//! The lanes on AVX2 and FMA: a vector is a pair of registers.

use std::arch::x86_64::*;

use super::{Blocking, Kernel, LANES, Lanes};

/// The proof that this machine has AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2Lanes {
    _proof: (),
}

/// Runs a kernel compiled for AVX2 and FMA.
///
/// # Safety
/// The machine has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn run_avx2<K: Kernel>(kernel: K) {
    kernel.run(Avx2Lanes { _proof: () });
}

/// Evaluates intrinsics of AVX2 and FMA that touch no memory but what references give them.
macro_rules! avx2 {
    ($($body:tt)*) => {
        // SAFETY: the token in `self` proves that the machine has the instructions; addresses
        // come from references to at least as many elements as are accessed.
        unsafe { $($body)* }
    };
}

type Vector = (__m256, __m256);

/// Eight lanes' masks of which the first `n` are set start at `8 - n`.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

impl Avx2Lanes {
    /// The masks of the first `len` of sixteen lanes, by register.
    #[inline(always)]
    fn masks(self, len: usize) -> (__m256i, __m256i) {
        assert!(len <= LANES, "at most one vector");
        let (low, high) = (len.min(8), len.saturating_sub(8));
        avx2! {(
            _mm256_loadu_si256(MASKS[8 - low..].as_ptr().cast()),
            _mm256_loadu_si256(MASKS[8 - high..].as_ptr().cast()),
        )}
    }

    #[inline(always)]
    fn bf16_pairs(self, values: &[u16; 2 * LANES]) -> (__m256i, __m256i) {
        let start: *const __m256i = values.as_ptr().cast();
        avx2! { (_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))) }
    }
}

impl Lanes for Avx2Lanes {
    type Vector = Vector;
    const BLOCKING: Blocking = Blocking::Narrow;

    #[inline(always)]
    fn splat(self, value: f32) -> Vector {
        avx2! { (_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }
    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> Vector {
        let start = values.as_ptr();
        avx2! { (_mm256_loadu_ps(start), _mm256_loadu_ps(start.add(8))) }
    }
    #[inline(always)]
    fn load_first(self, values: &[f32]) -> Vector {
        let (low, high) = self.masks(values.len());
        let start = values.as_ptr();
        // Masked lanes are not accessed, so the second address may lie beyond the slice.
        avx2! {(
            _mm256_maskload_ps(start, low),
            _mm256_maskload_ps(start.wrapping_add(8), high),
        )}
    }
    #[inline(always)]
    fn load_bf16(self, values: &[u16; LANES]) -> Vector {
        let start: *const __m128i = values.as_ptr().cast();
        avx2! {
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(start));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(start.add(1)));
            (
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)),
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high)),
            )
        }
    }
    #[inline(always)]
    fn load_bf16_even(self, values: &[u16; 2 * LANES]) -> Vector {
        let (low, high) = self.bf16_pairs(values);
        avx2! {(
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)),
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high)),
        )}
    }
    #[inline(always)]
    fn load_bf16_odd(self, values: &[u16; 2 * LANES]) -> Vector {
        let (low, high) = self.bf16_pairs(values);
        avx2! {
            let odd = _mm256_set1_epi32(0xffff_0000_u32.cast_signed());
            (
                _mm256_castsi256_ps(_mm256_and_si256(low, odd)),
                _mm256_castsi256_ps(_mm256_and_si256(high, odd)),
            )
        }
    }
    #[inline(always)]
    fn store(self, vector: Vector, out: &mut [f32; LANES]) {
        let start = out.as_mut_ptr();
        avx2! {
            _mm256_storeu_ps(start, vector.0);
            _mm256_storeu_ps(start.add(8), vector.1);
        }
    }
    #[inline(always)]
    fn store_first(self, vector: Vector, out: &mut [f32]) {
        let (low, high) = self.masks(out.len());
        let start = out.as_mut_ptr();
        // Masked lanes are not accessed, so the second address may lie beyond the slice.
        avx2! {
            _mm256_maskstore_ps(start, low, vector.0);
            _mm256_maskstore_ps(start.wrapping_add(8), high, vector.1);
        }
    }
    #[inline(always)]
    fn add(self, a: Vector, b: Vector) -> Vector {
        avx2! { (_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn sub(self, a: Vector, b: Vector) -> Vector {
        avx2! { (_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn mul(self, a: Vector, b: Vector) -> Vector {
        avx2! { (_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn div(self, a: Vector, b: Vector) -> Vector {
        avx2! { (_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn mul_add(self, a: Vector, b: Vector, c: Vector) -> Vector {
        avx2! { (_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
    }
    #[inline(always)]
    fn min(self, a: Vector, b: Vector) -> Vector {
        avx2! { (_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn max(self, a: Vector, b: Vector) -> Vector {
        avx2! { (_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn power_of_two(self, n_plus_rounder: Vector) -> Vector {
        avx2! {
            let one = _mm256_castps_si256(_mm256_set1_ps(1.0));
            let low = _mm256_slli_epi32::<23>(_mm256_castps_si256(n_plus_rounder.0));
            let high = _mm256_slli_epi32::<23>(_mm256_castps_si256(n_plus_rounder.1));
            (
                _mm256_castsi256_ps(_mm256_add_epi32(low, one)),
                _mm256_castsi256_ps(_mm256_add_epi32(high, one)),
            )
        }
    }
    #[inline(always)]
    fn prefetch<T>(self, address: *const T) {
        avx2! { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}
