//! Linear layers: `out = x Wᵀ (+ bias)` over weights packed once at load.
//!
//! Each output is one chain of fused multiply-adds over k = 0, 1, 2, ..., started at zero, in
//! f32: the lanes of a vector are output columns, so the order depends neither on the number of
//! rows nor on the instruction set. Threads split tiles of columns, and blocks of rows when there
//! are many.

mod micro;
mod packed;

pub use packed::{PackedLinear, RowData, WeightRows};

use crate::cpu::element::Element;
use crate::cpu::lanes::blocking;
use crate::cpu::memory::SharedMut;
use crate::cpu::{CpuContext, TASKS_PER_THREAD};
use crate::error::{KernelError, check_shape, count_rows};
use micro::{Matmul, MatmulTask};
use packed::Weights;

/// Rows that one task multiplies with its weights while these are in the cache.
const ROWS_PER_TASK: usize = 48;
/// Multiply-adds that are worth a second thread.
const PARALLEL_MULTIPLY_ADDS: usize = 1 << 16;

/// `out = x Wᵀ`, plus the bias that `weights` may have.
///
/// `x`: `[num_rows, in_features]`; `out`: `[num_rows, out_features]`. bf16 weights are widened
/// exactly; all arithmetic is f32.
///
/// # Errors
/// When a length does not fit the weights.
pub fn linear(
    ctx: &CpuContext,
    x: &[f32],
    weights: &PackedLinear,
    out: &mut [f32],
) -> Result<(), KernelError> {
    const OP: &str = "linear";
    let num_rows = count_rows(OP, "x", weights.in_features(), x.len())?;
    check_shape(OP, "out", &[num_rows, weights.out_features()], out.len())?;
    match weights.weights() {
        Weights::F32(pairs) => multiply::<f32>(ctx, x, num_rows, weights, pairs, out),
        Weights::Bf16(pairs) => multiply::<u16>(ctx, x, num_rows, weights, pairs, out),
    }
    Ok(())
}

/// Splits the product into tasks: tiles of columns, outermost, by blocks of rows.
fn multiply<E: Element>(
    ctx: &CpuContext,
    x: &[f32],
    num_rows: usize,
    weights: &PackedLinear,
    pairs: &[E::Pair],
    out: &mut [f32],
) {
    let matmul = Matmul::<E> {
        x,
        in_features: weights.in_features(),
        weights: pairs,
        tile_stride: weights.tile_stride(),
        bias: weights.bias(),
        out_features: weights.out_features(),
        out: SharedMut::new(out),
    };
    let num_tiles = weights.num_tiles();
    let row_blocks = num_rows.div_ceil(ROWS_PER_TASK);
    let num_threads = ctx.pool.num_threads();
    let small = num_rows * num_tiles * matmul.in_features * micro::TILE < PARALLEL_MULTIPLY_ADDS;
    let tiles_per_task = if small || num_threads == 1 {
        num_tiles
    } else {
        let panel = micro::panel_tiles(blocking(ctx.isa), num_rows);
        (num_tiles * row_blocks).div_ceil(num_threads * TASKS_PER_THREAD).next_multiple_of(panel)
    };
    let tile_blocks = num_tiles.div_ceil(tiles_per_task);
    ctx.pool.run(tile_blocks * row_blocks, &|task| {
        let first_tile = task / row_blocks * tiles_per_task;
        let first_row = task % row_blocks * ROWS_PER_TASK;
        ctx.run(MatmulTask {
            matmul: &matmul,
            rows: first_row..num_rows.min(first_row + ROWS_PER_TASK),
            tiles: first_tile..num_tiles.min(first_tile + tiles_per_task),
        });
    });
}
