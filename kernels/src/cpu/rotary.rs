//! Rotary position embedding, in the half-split form of the reference implementations:
//! dimension i turns together with dimension i + rotary_dim/2 (Su et al. 2021).

use crate::cpu::CpuContext;
use crate::cpu::lanes::{Kernel, LANES, Lanes};
use crate::cpu::rows::RowsMut;
use crate::error::{KernelError, check_below, check_shape, count_rows};

/// The cosines and sines of all positions: `[max_positions, rotary_dim / 2]` each.
#[derive(Debug, Clone)]
pub struct RotaryTable {
    half: usize,
    max_positions: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RotaryTable {
    /// A table for the frequencies `inv_freq: [rotary_dim / 2]`, in radians per position.
    ///
    /// The angle is the f32 product of position and frequency, as the reference computes it; its
    /// cosine and sine are rounded to f32 once and multiplied by `attention_factor`.
    #[must_use]
    pub fn new(inv_freq: &[f32], max_positions: usize, attention_factor: f32) -> Self {
        let half = inv_freq.len();
        let mut cos = Vec::with_capacity(max_positions * half);
        let mut sin = Vec::with_capacity(max_positions * half);
        for position in 0..max_positions {
            for &frequency in inv_freq {
                let angle = f64::from(position as f32 * frequency);
                cos.push(angle.cos() as f32 * attention_factor);
                sin.push(angle.sin() as f32 * attention_factor);
            }
        }
        Self { half, max_positions, cos, sin }
    }

    /// The number of leading dimensions of a head that turn.
    #[must_use]
    pub fn rotary_dim(&self) -> usize {
        2 * self.half
    }

    /// Positions have to be below this.
    #[must_use]
    pub fn max_positions(&self) -> usize {
        self.max_positions
    }

    fn at(&self, position: u32) -> (&[f32], &[f32]) {
        let start = position as usize * self.half;
        let range = start..start + self.half;
        (&self.cos[range.clone()], &self.sin[range])
    }
}

/// Turns the first `rotary_dim` dimensions of each head of each row in place.
///
/// `x`: `[num_rows, num_heads * head_dim]`, a view (q and k that lie side by side turn in one
/// call); `positions`: `[num_rows]`.
///
/// # Errors
/// When a position is beyond the table, the widths do not fit or the table is wider than a head.
pub fn apply_rotary(
    ctx: &CpuContext,
    table: &RotaryTable,
    x: RowsMut<'_>,
    head_dim: usize,
    positions: &[u32],
) -> Result<(), KernelError> {
    const OP: &str = "apply_rotary";
    count_rows(OP, "x", head_dim, x.width())?;
    check_shape(OP, "positions", &[x.num_rows()], positions.len())?;
    check_below(OP, "positions", positions, table.max_positions)?;
    if table.rotary_dim() > head_dim {
        let reason = "a head has to hold all dimensions that turn";
        return Err(KernelError::Unsupported { op: OP, argument: "head_dim", value: head_dim, reason });
    }
    let (x, shape) = x.into_shared();
    ctx.for_each_range(shape.num_rows, shape.width, |rows| {
        for row in rows {
            let (cos, sin) = table.at(positions[row]);
            // SAFETY: the rows of a view are disjoint, and each is in one range.
            let heads = unsafe { x.range(shape.range(row)) };
            ctx.run(Turn { heads, head_dim, cos, sin });
        }
    });
    Ok(())
}

/// Turns all heads of one row.
struct Turn<'a> {
    heads: &'a mut [f32],
    head_dim: usize,
    cos: &'a [f32],
    sin: &'a [f32],
}

impl Kernel for Turn<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let half = self.cos.len();
        for head in self.heads.chunks_exact_mut(self.head_dim) {
            let (first, second) = head[..2 * half].split_at_mut(half);
            let pairs = first.chunks_mut(LANES).zip(second.chunks_mut(LANES));
            let turns = self.cos.chunks(LANES).zip(self.sin.chunks(LANES));
            for ((first, second), (cos, sin)) in pairs.zip(turns) {
                let (a, b) = (l.load_first(first), l.load_first(second));
                let (cos, sin) = (l.load_first(cos), l.load_first(sin));
                let minus_sin = l.sub(l.splat(0.0), sin);
                l.store_first(l.mul_add(b, minus_sin, l.mul(a, cos)), first);
                l.store_first(l.mul_add(a, sin, l.mul(b, cos)), second);
            }
        }
    }
}
