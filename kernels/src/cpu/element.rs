//! The element types of weights and of the KV cache, and how the kernels pack and widen them.
//!
//! Sixteen columns by two consecutive k make a pair, the unit of packed weights and packed keys
//! (there: sixteen keys by two dimensions). A bf16 pair is one 64-byte line, `[column][k parity]`;
//! an f32 pair is two lines, `[k parity][column]`.

use half::bf16;

use crate::cpu::lanes::{LANES, Lanes};
use crate::cpu::memory::Plain;

/// An element type of packed weights and keys.
pub(crate) trait Element: Plain + Send + Sync {
    /// Sixteen columns by two consecutive k.
    type Pair: Plain + Sync + AsRef<[Self]> + AsMut<[Self]>;
    /// Where in a pair the weight of a k parity and a column stands.
    fn place(parity: usize, column: usize) -> usize;
    fn widen(self) -> f32;
    /// To nearest, ties to even.
    fn round(value: f32) -> Self;
    /// Sixteen consecutive elements.
    fn load<L: Lanes>(l: L, values: &[Self; LANES]) -> L::Vector;
    /// The sixteen columns at the even k.
    fn even<L: Lanes>(l: L, pair: &Self::Pair) -> L::Vector;
    /// The sixteen columns at the odd k.
    fn odd<L: Lanes>(l: L, pair: &Self::Pair) -> L::Vector;
}

impl Element for f32 {
    type Pair = [f32; 2 * LANES];

    #[inline(always)]
    fn place(parity: usize, column: usize) -> usize {
        parity * LANES + column
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    fn round(value: f32) -> Self {
        value
    }
    #[inline(always)]
    fn load<L: Lanes>(l: L, values: &[Self; LANES]) -> L::Vector {
        l.load(values)
    }
    #[inline(always)]
    fn even<L: Lanes>(l: L, pair: &Self::Pair) -> L::Vector {
        l.load(pair.first_chunk().expect("a pair is two lines"))
    }
    #[inline(always)]
    fn odd<L: Lanes>(l: L, pair: &Self::Pair) -> L::Vector {
        l.load(pair.last_chunk().expect("a pair is two lines"))
    }
}

/// bf16, by its bits.
impl Element for u16 {
    type Pair = [u16; 2 * LANES];

    #[inline(always)]
    fn place(parity: usize, column: usize) -> usize {
        2 * column + parity
    }
    #[inline(always)]
    fn widen(self) -> f32 {
        bf16::from_bits(self).to_f32()
    }
    #[inline(always)]
    fn round(value: f32) -> Self {
        bf16::from_f32(value).to_bits()
    }
    #[inline(always)]
    fn load<L: Lanes>(l: L, values: &[Self; LANES]) -> L::Vector {
        l.load_bf16(values)
    }
    #[inline(always)]
    fn even<L: Lanes>(l: L, pair: &Self::Pair) -> L::Vector {
        l.load_bf16_even(pair)
    }
    #[inline(always)]
    fn odd<L: Lanes>(l: L, pair: &Self::Pair) -> L::Vector {
        l.load_bf16_odd(pair)
    }
}
