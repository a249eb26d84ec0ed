//! Operations that look at one element at a time.

use crate::cpu::CpuContext;
use crate::cpu::lanes::{Kernel, LANES, Lanes, tanh};
use crate::cpu::memory::SharedMut;
use crate::error::{KernelError, check_shape};

/// `x += delta`, element by element; both of any one length.
///
/// # Errors
/// When the lengths differ.
pub fn add(ctx: &CpuContext, x: &mut [f32], delta: &[f32]) -> Result<(), KernelError> {
    check_shape("add", "delta", &[x.len()], delta.len())?;
    let len = x.len();
    let x = SharedMut::new(x);
    ctx.for_each_range(len, 1, |range| {
        // SAFETY: the ranges are disjoint.
        let x = unsafe { x.range(range.clone()) };
        ctx.run(Add { x, delta: &delta[range] });
    });
    Ok(())
}

/// `x = cap * tanh(x / cap)`, element by element: bounds logits as Gemma 2 does.
pub fn soft_cap(ctx: &CpuContext, x: &mut [f32], cap: f32) {
    let len = x.len();
    let x = SharedMut::new(x);
    ctx.for_each_range(len, 1, |range| {
        // SAFETY: the ranges are disjoint.
        let x = unsafe { x.range(range) };
        ctx.run(SoftCap { x, cap });
    });
}

struct Add<'a> {
    x: &'a mut [f32],
    delta: &'a [f32],
}

impl Kernel for Add<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (vectors, rest) = self.x.as_chunks_mut::<LANES>();
        let (deltas, rest_delta) = self.delta.as_chunks::<LANES>();
        for (x, delta) in vectors.iter_mut().zip(deltas) {
            l.store(l.add(l.load(x), l.load(delta)), x);
        }
        l.store_first(l.add(l.load_first(rest), l.load_first(rest_delta)), rest);
    }
}

struct SoftCap<'a> {
    x: &'a mut [f32],
    cap: f32,
}

impl Kernel for SoftCap<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let cap = l.splat(self.cap);
        let (vectors, rest) = self.x.as_chunks_mut::<LANES>();
        for x in vectors {
            l.store(l.mul(cap, tanh(l, l.div(l.load(x), cap))), x);
        }
        l.store_first(l.mul(cap, tanh(l, l.div(l.load_first(rest), cap))), rest);
    }
}
