//! The operations of a decoder step on the CPU, one module per operation.
//!
//! Every operation takes a [`CpuContext`], checks all shapes before it writes anything, splits
//! its outputs over the pool and runs one generic body on the sixteen-lane vectors of [`lanes`].
//! Activations are f32 throughout; weights and KV may be bf16 and are widened exactly.

mod attention;
mod element;
mod elementwise;
mod embedding;
mod gate;
mod kv;
mod lanes;
mod linear;
mod memory;
mod norm;
mod rotary;
mod rows;

use std::ops::Range;

pub use attention::{AttentionBatch, AttentionParams, paged_attention};
pub use elementwise::{add, soft_cap};
pub use embedding::{EmbeddingTable, gather};
pub use gate::{gelu_tanh_gate, silu_gate};
pub use kv::{KvDtype, PagedKv, PagedKvLayout};
pub use linear::{PackedLinear, RowData, WeightRows, linear};
pub use norm::{add_rms_norm, rms_norm, rms_norm_heads};
pub use rotary::{RotaryTable, apply_rotary};
pub use rows::{Rows, RowsMut};

use crate::error::KernelError;
use crate::isa::Isa;
use crate::pool::ComputePool;
use lanes::Kernel;

/// What every operation needs: the instruction set, chosen once, and the threads.
#[derive(Debug)]
pub struct CpuContext {
    isa: Isa,
    pool: ComputePool,
}

/// Elements that are worth a task of their own in operations that do little per element.
const ELEMENTS_PER_TASK: usize = 8192;
/// Tasks per thread that let uneven threads balance.
const TASKS_PER_THREAD: usize = 8;

impl CpuContext {
    /// A context that runs the kernels of `isa` on the threads of `pool`.
    ///
    /// # Errors
    /// [`KernelError::IsaUnavailable`] when this machine lacks the instruction set.
    pub fn new(isa: Isa, pool: ComputePool) -> Result<Self, KernelError> {
        if !isa.is_available() {
            return Err(KernelError::IsaUnavailable { isa });
        }
        Ok(Self { isa, pool })
    }

    /// The instruction set of the kernels.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The threads.
    #[must_use]
    pub fn pool(&self) -> &ComputePool {
        &self.pool
    }

    /// Runs `kernel` on the vectors of this context's instruction set.
    #[inline]
    fn run<K: Kernel>(&self, kernel: K) {
        match self.isa {
            Isa::Scalar => kernel.run(lanes::ScalarLanes),
            // SAFETY: `new` checked that this machine has the instruction set.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { lanes::run_avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { lanes::run_avx512(kernel) },
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => unreachable!("`new` refuses them on this architecture"),
        }
    }

    /// Calls `task` with ranges that cover `0..num_items`, on all threads when the work, at
    /// `elements_per_item`, is worth it. For operations whose items do not depend on each other.
    fn for_each_range(&self, num_items: usize, elements_per_item: usize, task: impl Fn(Range<usize>) + Sync) {
        let worth_a_task = ELEMENTS_PER_TASK.div_ceil(elements_per_item.max(1));
        let balanced = num_items.div_ceil(self.pool.num_threads() * TASKS_PER_THREAD);
        let step = worth_a_task.max(balanced);
        self.pool.run(num_items.div_ceil(step), &|index| {
            let start = index * step;
            task(start..num_items.min(start + step));
        });
    }
}
