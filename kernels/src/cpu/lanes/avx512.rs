//! The lanes on AVX-512: a vector is one register.

use std::arch::x86_64::*;

use super::{Blocking, Kernel, LANES, Lanes};

/// The proof that this machine has AVX-512 F, BW, DQ and VL, AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512Lanes {
    _proof: (),
}

/// Runs a kernel compiled for AVX-512.
///
/// # Safety
/// The machine has AVX-512 F, BW, DQ and VL, AVX2 and FMA.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(crate) unsafe fn run_avx512<K: Kernel>(kernel: K) {
    kernel.run(Avx512Lanes { _proof: () });
}

/// Evaluates intrinsics of AVX-512 that touch no memory but what references give them.
macro_rules! avx512 {
    ($($body:tt)*) => {
        // SAFETY: the token in `self` proves that the machine has the instructions; addresses
        // come from references to at least as many elements as are accessed.
        unsafe { $($body)* }
    };
}

type Vector = __m512;

/// The mask of the first `len` of sixteen lanes.
#[inline(always)]
fn first(len: usize) -> __mmask16 {
    assert!(len <= LANES, "at most one vector");
    ((1u32 << len) - 1) as __mmask16
}

impl Lanes for Avx512Lanes {
    type Vector = Vector;
    const BLOCKING: Blocking = Blocking::Wide;

    #[inline(always)]
    fn splat(self, value: f32) -> Vector {
        avx512! { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> Vector {
        avx512! { _mm512_loadu_ps(values.as_ptr()) }
    }
    #[inline(always)]
    fn load_first(self, values: &[f32]) -> Vector {
        let mask = first(values.len());
        avx512! { _mm512_maskz_loadu_ps(mask, values.as_ptr()) }
    }
    #[inline(always)]
    fn load_bf16(self, values: &[u16; LANES]) -> Vector {
        avx512! {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(values.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn load_bf16_even(self, values: &[u16; 2 * LANES]) -> Vector {
        avx512! {
            let pairs = _mm512_loadu_si512(values.as_ptr().cast());
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs))
        }
    }
    #[inline(always)]
    fn load_bf16_odd(self, values: &[u16; 2 * LANES]) -> Vector {
        avx512! {
            let pairs = _mm512_loadu_si512(values.as_ptr().cast());
            let odd = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
            _mm512_castsi512_ps(_mm512_and_si512(pairs, odd))
        }
    }
    #[inline(always)]
    fn store(self, vector: Vector, out: &mut [f32; LANES]) {
        avx512! { _mm512_storeu_ps(out.as_mut_ptr(), vector) }
    }
    #[inline(always)]
    fn store_first(self, vector: Vector, out: &mut [f32]) {
        let mask = first(out.len());
        avx512! { _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, vector) }
    }
    #[inline(always)]
    fn add(self, a: Vector, b: Vector) -> Vector {
        avx512! { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Vector, b: Vector) -> Vector {
        avx512! { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Vector, b: Vector) -> Vector {
        avx512! { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Vector, b: Vector) -> Vector {
        avx512! { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: Vector, b: Vector, c: Vector) -> Vector {
        avx512! { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn min(self, a: Vector, b: Vector) -> Vector {
        avx512! { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: Vector, b: Vector) -> Vector {
        avx512! { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn power_of_two(self, n_plus_rounder: Vector) -> Vector {
        avx512! {
            let one = _mm512_castps_si512(_mm512_set1_ps(1.0));
            let shifted = _mm512_slli_epi32::<23>(_mm512_castps_si512(n_plus_rounder));
            _mm512_castsi512_ps(_mm512_add_epi32(shifted, one))
        }
    }
    #[inline(always)]
    fn prefetch<T>(self, address: *const T) {
        avx512! { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}
