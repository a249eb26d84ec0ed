//! Root mean square normalisation.
//!
//! `y = x / sqrt(mean(x²) + eps) * weight`, in f32 (Zhang and Sennrich 2019, as the reference
//! implementations compute it). The sum of squares runs in 64 partial sums, element i into sum
//! i mod 64, and one fixed tree: the same bits on every instruction set, for any number of rows.

use crate::cpu::CpuContext;
use crate::cpu::lanes::{Kernel, LANES, Lanes};
use crate::cpu::memory::SharedMut;
use crate::cpu::rows::RowsMut;
use crate::error::{KernelError, check_shape, count_rows};

/// Vectors of partial sums, so that additions overlap.
const PARTIAL_SUMS: usize = 4;

/// `out = norm(x) * weight`, row by row.
///
/// `x`, `out`: `[num_rows, width]`; `weight`: `[width]`; `eps` is added to the mean square.
///
/// # Errors
/// When a length does not fit `weight`.
pub fn rms_norm(
    ctx: &CpuContext,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    out: &mut [f32],
) -> Result<(), KernelError> {
    const OP: &str = "rms_norm";
    let width = weight.len();
    let num_rows = count_rows(OP, "x", width, x.len())?;
    check_shape(OP, "out", &[num_rows, width], out.len())?;
    let out = SharedMut::new(out);
    ctx.for_each_range(num_rows, width, |rows| {
        let span = rows.start * width..rows.end * width;
        // SAFETY: the ranges of rows are disjoint.
        let out = unsafe { out.range(span.clone()) };
        out.copy_from_slice(&x[span]);
        ctx.run(Normalize { rows: out, weight, eps });
    });
    Ok(())
}

/// `residual += delta`, then `out = norm(residual) * weight`, row by row.
///
/// `residual`, `delta`, `out`: `[num_rows, width]`; `weight`: `[width]`.
///
/// # Errors
/// When a length does not fit `weight`.
pub fn add_rms_norm(
    ctx: &CpuContext,
    residual: &mut [f32],
    delta: &[f32],
    weight: &[f32],
    eps: f32,
    out: &mut [f32],
) -> Result<(), KernelError> {
    const OP: &str = "add_rms_norm";
    let width = weight.len();
    let num_rows = count_rows(OP, "residual", width, residual.len())?;
    check_shape(OP, "delta", &[num_rows, width], delta.len())?;
    check_shape(OP, "out", &[num_rows, width], out.len())?;
    let (residual, out) = (SharedMut::new(residual), SharedMut::new(out));
    ctx.for_each_range(num_rows, width, |rows| {
        let span = rows.start * width..rows.end * width;
        // SAFETY: the ranges of rows are disjoint.
        let (residual, out) = unsafe { (residual.range(span.clone()), out.range(span.clone())) };
        for (sum, &delta) in residual.iter_mut().zip(&delta[span]) {
            *sum += delta;
        }
        out.copy_from_slice(residual);
        ctx.run(Normalize { rows: out, weight, eps });
    });
    Ok(())
}

/// Normalises each head of each row in place, as families with QK norm do.
///
/// `x`: `[num_rows, num_heads * head_dim]`, a view; `weight`: `[head_dim]`, shared by the heads.
///
/// # Errors
/// When the view's width is not a whole number of heads.
pub fn rms_norm_heads(ctx: &CpuContext, x: RowsMut<'_>, weight: &[f32], eps: f32) -> Result<(), KernelError> {
    count_rows("rms_norm_heads", "x", weight.len(), x.width())?;
    let (x, shape) = x.into_shared();
    ctx.for_each_range(shape.num_rows, shape.width, |rows| {
        for row in rows {
            // SAFETY: the rows of a view are disjoint, and each is in one range.
            let rows = unsafe { x.range(shape.range(row)) };
            ctx.run(Normalize { rows, weight, eps });
        }
    });
    Ok(())
}

/// Normalises rows of `weight.len()` elements in place.
struct Normalize<'a> {
    rows: &'a mut [f32],
    weight: &'a [f32],
    eps: f32,
}

impl Kernel for Normalize<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for row in self.rows.chunks_exact_mut(self.weight.len()) {
            let mean_square = sum_of_squares(l, row) / row.len() as f32;
            let scale = l.splat(1.0 / (mean_square + self.eps).sqrt());
            let (vectors, rest) = row.as_chunks_mut::<LANES>();
            let (weights, rest_weight) = self.weight.as_chunks::<LANES>();
            for (x, weight) in vectors.iter_mut().zip(weights) {
                let y = l.mul(l.mul(l.load(x), scale), l.load(weight));
                l.store(y, x);
            }
            let y = l.mul(l.mul(l.load_first(rest), scale), l.load_first(rest_weight));
            l.store_first(y, rest);
        }
    }
}

#[inline(always)]
fn sum_of_squares<L: Lanes>(l: L, row: &[f32]) -> f32 {
    let mut sums = [l.splat(0.0); PARTIAL_SUMS];
    let (groups, rest) = row.as_chunks::<{ PARTIAL_SUMS * LANES }>();
    for group in groups {
        for (sum, x) in sums.iter_mut().zip(group.as_chunks::<LANES>().0) {
            let x = l.load(x);
            *sum = l.mul_add(x, x, *sum);
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest.chunks(LANES)) {
        let x = l.load_first(x);
        *sum = l.mul_add(x, x, *sum);
    }
    l.sum(l.add(l.add(sums[0], sums[1]), l.add(sums[2], sums[3])))
}
