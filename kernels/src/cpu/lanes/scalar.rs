//! The lanes in plain Rust: the definition that the other instruction sets equal.

use super::{Blocking, LANES, Lanes};

/// Sixteen lanes as an array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScalarLanes;

type Vector = [f32; LANES];

#[inline(always)]
fn map2(a: Vector, b: Vector, op: impl Fn(f32, f32) -> f32) -> Vector {
    std::array::from_fn(|lane| op(a[lane], b[lane]))
}

#[inline(always)]
fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

impl Lanes for ScalarLanes {
    type Vector = Vector;
    const BLOCKING: Blocking = Blocking::One;

    #[inline(always)]
    fn splat(self, value: f32) -> Vector {
        [value; LANES]
    }
    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> Vector {
        *values
    }
    #[inline(always)]
    fn load_first(self, values: &[f32]) -> Vector {
        let mut vector = [0.0; LANES];
        vector[..values.len()].copy_from_slice(values);
        vector
    }
    #[inline(always)]
    fn load_bf16(self, values: &[u16; LANES]) -> Vector {
        values.map(widen)
    }
    #[inline(always)]
    fn load_bf16_even(self, values: &[u16; 2 * LANES]) -> Vector {
        std::array::from_fn(|lane| widen(values[2 * lane]))
    }
    #[inline(always)]
    fn load_bf16_odd(self, values: &[u16; 2 * LANES]) -> Vector {
        std::array::from_fn(|lane| widen(values[2 * lane + 1]))
    }
    #[inline(always)]
    fn store(self, vector: Vector, out: &mut [f32; LANES]) {
        *out = vector;
    }
    #[inline(always)]
    fn store_first(self, vector: Vector, out: &mut [f32]) {
        out.copy_from_slice(&vector[..out.len()]);
    }
    #[inline(always)]
    fn add(self, a: Vector, b: Vector) -> Vector {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Vector, b: Vector) -> Vector {
        map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Vector, b: Vector) -> Vector {
        map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Vector, b: Vector) -> Vector {
        map2(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: Vector, b: Vector, c: Vector) -> Vector {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }
    #[inline(always)]
    fn min(self, a: Vector, b: Vector) -> Vector {
        map2(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, a: Vector, b: Vector) -> Vector {
        map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn power_of_two(self, n_plus_rounder: Vector) -> Vector {
        n_plus_rounder.map(|n| f32::from_bits((n.to_bits() << 23).wrapping_add(0x3f80_0000)))
    }
    #[inline(always)]
    fn prefetch<T>(self, _address: *const T) {}
}
