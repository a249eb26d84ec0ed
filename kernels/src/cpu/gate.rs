//! The gate of a gated MLP: `out = activation(gate) * up`.
//!
//! All instruction sets use one exp polynomial and give the same bits.

use std::marker::PhantomData;

use crate::cpu::CpuContext;
use crate::cpu::lanes::{Kernel, LANES, Lanes, gelu_tanh, silu};
use crate::cpu::memory::SharedMut;
use crate::error::{KernelError, count_rows};

/// Elements of a row that one task takes at least.
const SEGMENT: usize = 4096;

/// `out = silu(gate) * up` with `silu(g) = g / (1 + e^-g)`.
///
/// `gate_up`: `[num_rows, 2 * width]`, the gate first; `out`: `[num_rows, width]`.
///
/// # Errors
/// When the lengths do not fit `width`.
pub fn silu_gate(
    ctx: &CpuContext,
    gate_up: &[f32],
    width: usize,
    out: &mut [f32],
) -> Result<(), KernelError> {
    gated::<Silu>(ctx, "silu_gate", gate_up, width, out)
}

/// `out = gelu(gate) * up` with the tanh form of GELU.
///
/// `gate_up`: `[num_rows, 2 * width]`, the gate first; `out`: `[num_rows, width]`.
///
/// # Errors
/// When the lengths do not fit `width`.
pub fn gelu_tanh_gate(
    ctx: &CpuContext,
    gate_up: &[f32],
    width: usize,
    out: &mut [f32],
) -> Result<(), KernelError> {
    gated::<GeluTanh>(ctx, "gelu_tanh_gate", gate_up, width, out)
}

fn gated<A: Activation>(
    ctx: &CpuContext,
    op: &'static str,
    gate_up: &[f32],
    width: usize,
    out: &mut [f32],
) -> Result<(), KernelError> {
    let num_rows = count_rows(op, "out", width, out.len())?;
    crate::error::check_shape(op, "gate_up", &[num_rows, 2, width], gate_up.len())?;
    let out = SharedMut::new(out);
    let segments = width.div_ceil(SEGMENT);
    ctx.for_each_range(num_rows * segments, width.min(SEGMENT), |items| {
        for item in items {
            let (row, start) = (item / segments, item % segments * SEGMENT);
            let columns = start..width.min(start + SEGMENT);
            let (gate, up) = gate_up[2 * width * row..][..2 * width].split_at(width);
            // SAFETY: segments of rows are disjoint, and each item is in one range.
            let out = unsafe { out.range(row * width + columns.start..row * width + columns.end) };
            let (gate, up) = (&gate[columns.clone()], &up[columns]);
            ctx.run(Gate { gate, up, out, activation: PhantomData::<A> });
        }
    });
    Ok(())
}

trait Activation: Sync {
    fn apply<L: Lanes>(l: L, x: L::Vector) -> L::Vector;
}

struct Silu;
impl Activation for Silu {
    #[inline(always)]
    fn apply<L: Lanes>(l: L, x: L::Vector) -> L::Vector {
        silu(l, x)
    }
}

struct GeluTanh;
impl Activation for GeluTanh {
    #[inline(always)]
    fn apply<L: Lanes>(l: L, x: L::Vector) -> L::Vector {
        gelu_tanh(l, x)
    }
}

/// Gates slices of one length.
struct Gate<'a, A> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
    activation: PhantomData<A>,
}

impl<A: Activation> Kernel for Gate<'_, A> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (gates, rest_gate) = self.gate.as_chunks::<LANES>();
        let (ups, rest_up) = self.up.as_chunks::<LANES>();
        let (outs, rest_out) = self.out.as_chunks_mut::<LANES>();
        for ((gate, up), out) in gates.iter().zip(ups).zip(outs) {
            l.store(l.mul(A::apply(l, l.load(gate)), l.load(up)), out);
        }
        let y = l.mul(A::apply(l, l.load_first(rest_gate)), l.load_first(rest_up));
        l.store_first(y, rest_out);
    }
}
