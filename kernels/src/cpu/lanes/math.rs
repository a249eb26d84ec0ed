//! Functions that instruction sets lack: exp and what is made of it, one polynomial for all.

use super::{Lanes, ROUNDER};

/// Below this e^x rounds to zero.
const EXP_MIN: f32 = -104.5;
/// Above this e^x overflows to infinity.
const EXP_MAX: f32 = 89.0;
/// ln 2 in two parts: the first has few bits, so that small multiples of it are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// (e^r - 1 - r) / r² for |r| <= ln(2)/2, highest power first; S. Moshier's Cephes, `expf`.
const EXP_POLYNOMIAL: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// x = n ln 2 + r: returns n and e^r - 1.
#[inline(always)]
fn reduce<L: Lanes>(l: L, x: L::Vector) -> (L::Vector, L::Vector) {
    let rounder = l.splat(ROUNDER);
    let n = l.sub(l.mul_add(x, l.splat(std::f32::consts::LOG2_E), rounder), rounder);
    let r = l.mul_add(n, l.splat(-LN_2_HIGH), x);
    let r = l.mul_add(n, l.splat(-LN_2_LOW), r);
    let mut p = l.splat(EXP_POLYNOMIAL[0]);
    for &coefficient in &EXP_POLYNOMIAL[1..] {
        p = l.mul_add(p, r, l.splat(coefficient));
    }
    (n, l.mul_add(l.mul(r, r), p, r))
}

/// e^x to about 1 ulp: subnormal results are kept, large x gives infinity, NaN gives NaN.
#[inline(always)]
pub(crate) fn exp<L: Lanes>(l: L, x: L::Vector) -> L::Vector {
    let x = l.max(l.splat(EXP_MIN), l.min(l.splat(EXP_MAX), x));
    let (n, expm1) = reduce(l, x);
    // 2^n in two factors, since n goes beyond the exponents of normal numbers at both ends.
    let rounder = l.splat(ROUNDER);
    let half = l.mul_add(n, l.splat(0.5), rounder);
    let rest = l.add(l.sub(n, l.sub(half, rounder)), rounder);
    let scaled = l.mul(l.add(expm1, l.splat(1.0)), l.power_of_two(half));
    l.mul(scaled, l.power_of_two(rest))
}

/// x / (1 + e^-x), also called swish.
#[inline(always)]
pub(crate) fn silu<L: Lanes>(l: L, x: L::Vector) -> L::Vector {
    let e = exp(l, l.sub(l.splat(0.0), x));
    l.div(x, l.add(l.splat(1.0), e))
}

/// x (1 + tanh u) / 2 with u = sqrt(2/pi) (x + 0.044715 x³), the tanh form of GELU; computed as
/// the equal x / (1 + e^-2u), which does not cancel for negative x.
#[inline(always)]
pub(crate) fn gelu_tanh<L: Lanes>(l: L, x: L::Vector) -> L::Vector {
    const MINUS_2_SQRT_2_OVER_PI: f32 = -1.595_769_2;
    let cube = l.mul(l.mul(x, x), x);
    let inner = l.mul_add(cube, l.splat(0.044_715), x);
    let e = exp(l, l.mul(inner, l.splat(MINUS_2_SQRT_2_OVER_PI)));
    l.div(x, l.add(l.splat(1.0), e))
}

/// tanh x = (e^2x - 1) / (e^2x + 1), to a few ulp near zero as well.
#[inline(always)]
pub(crate) fn tanh<L: Lanes>(l: L, x: L::Vector) -> L::Vector {
    // Beyond 20 the result is 1 to the last bit.
    let x = l.max(l.splat(-20.0), l.min(l.splat(20.0), x));
    let (n, expm1) = reduce(l, l.add(x, x));
    let scale = l.power_of_two(l.add(n, l.splat(ROUNDER)));
    let expm1 = l.mul_add(expm1, scale, l.sub(scale, l.splat(1.0)));
    l.div(expm1, l.add(expm1, l.splat(2.0)))
}

#[cfg(test)]
mod tests {
    use super::super::{LANES, ScalarLanes};
    use super::*;

    fn lane(f: impl Fn([f32; LANES]) -> [f32; LANES], x: f32) -> f32 {
        f([x; LANES])[3]
    }

    /// The distance from the true value in units of the last place of the f32 nearest to it.
    fn ulps(actual: f32, exact: f64) -> f64 {
        let nearest = (exact as f32).abs().max(f32::MIN_POSITIVE);
        let ulp = f64::from(f32::from_bits(nearest.to_bits() + 1)) - f64::from(nearest);
        (f64::from(actual) - exact).abs() / ulp
    }

    fn grid(limit: f32) -> impl Iterator<Item = f32> {
        (-100_000..=100_000).map(move |i| i as f32 * (limit / 100_000.0))
    }

    #[test]
    fn exp_is_close_to_the_true_value() {
        let worst = grid(88.7)
            .chain(grid(1.0))
            .map(|x| ulps(lane(|v| exp(ScalarLanes, v), x), f64::from(x).exp()))
            .fold(0.0, f64::max);
        assert!(worst < 1.5, "{worst} ulp");
    }

    #[test]
    fn exp_has_the_right_limits() {
        let exp = |x| lane(|v| exp(ScalarLanes, v), x);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(1e30), f32::INFINITY);
        assert_eq!(exp(-103.0), 1e-45);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_and_silu_are_close_to_the_true_values() {
        let mut worst = (0.0, 0.0);
        for x in grid(80.0).chain(grid(0.5)) {
            let exact = f64::from(x);
            let tanh = lane(|v| tanh(ScalarLanes, v), x);
            worst.0 = f64::max(worst.0, ulps(tanh, exact.tanh()));
            let silu = lane(|v| silu(ScalarLanes, v), x);
            worst.1 = f64::max(worst.1, ulps(silu, exact / (1.0 + (-exact).exp())));
        }
        assert!(worst.0 < 3.0 && worst.1 < 2.5, "{worst:?} ulp");
        assert_eq!(lane(|v| tanh(ScalarLanes, v), 1e30), 1.0);
        assert_eq!(lane(|v| tanh(ScalarLanes, v), f32::NEG_INFINITY), -1.0);
    }
}
