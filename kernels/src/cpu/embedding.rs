//! Token embedding: rows of a table, widened to f32.

use std::sync::Arc;

use half::bf16;

use crate::cpu::CpuContext;
use crate::cpu::linear::{PackedLinear, RowData};
use crate::cpu::memory::{AlignedBuffer, SharedMut};
use crate::error::{KernelError, check_below, check_shape};

/// The embeddings of all tokens: `[vocab_size, hidden]`.
#[derive(Debug)]
pub struct EmbeddingTable {
    vocab_size: usize,
    hidden: usize,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    F32(AlignedBuffer),
    Bf16(AlignedBuffer),
    Tied(Arc<PackedLinear>),
}

impl EmbeddingTable {
    /// A copy of `data: [vocab_size, hidden]`, kept in its element type.
    ///
    /// # Errors
    /// When the length does not fit or the memory is not there.
    pub fn new(vocab_size: usize, hidden: usize, data: RowData<'_>) -> Result<Self, KernelError> {
        const OP: &str = "embedding";
        check_shape(OP, "data", &[vocab_size, hidden], data.len())?;
        let storage = match data {
            RowData::F32(values) => {
                let mut buffer = AlignedBuffer::zeroed(OP, size_of_val(values))?;
                buffer.as_mut_slice::<f32>().copy_from_slice(values);
                Storage::F32(buffer)
            }
            RowData::Bf16(values) => {
                let mut buffer = AlignedBuffer::zeroed(OP, size_of_val(values))?;
                let bits = buffer.as_mut_slice::<u16>();
                bits.iter_mut().zip(values).for_each(|(bits, value)| *bits = value.to_bits());
                Storage::Bf16(buffer)
            }
        };
        Ok(Self { vocab_size, hidden, storage })
    }

    /// The table of a model whose output projection is its embedding: reads the rows out of
    /// `head: [vocab_size, hidden]`, so the weights are in memory once.
    #[must_use]
    pub fn tied(head: Arc<PackedLinear>) -> Self {
        let (vocab_size, hidden) = (head.out_features(), head.in_features());
        Self { vocab_size, hidden, storage: Storage::Tied(head) }
    }

    /// The number of tokens; ids have to be below it.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Elements of one embedding.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    fn copy_row(&self, token_id: u32, out: &mut [f32]) {
        let row = token_id as usize;
        let range = row * self.hidden..(row + 1) * self.hidden;
        match &self.storage {
            Storage::F32(table) => out.copy_from_slice(&table.as_slice()[range]),
            Storage::Bf16(table) => {
                let bits = &table.as_slice::<u16>()[range];
                let values = bits.iter().map(|&bits| bf16::from_bits(bits).to_f32());
                out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
            }
            Storage::Tied(head) => head.copy_row(row, out),
        }
    }
}

/// `out[i] = table[token_ids[i]]`.
///
/// `token_ids`: `[num_tokens]`; `out`: `[num_tokens, hidden]`.
///
/// # Errors
/// When a token id is not in the table or the length of `out` does not fit.
pub fn gather(
    ctx: &CpuContext,
    table: &EmbeddingTable,
    token_ids: &[u32],
    out: &mut [f32],
) -> Result<(), KernelError> {
    const OP: &str = "gather";
    let hidden = table.hidden;
    check_below(OP, "token_ids", token_ids, table.vocab_size)?;
    check_shape(OP, "out", &[token_ids.len(), hidden], out.len())?;
    let out = SharedMut::new(out);
    ctx.for_each_range(token_ids.len(), hidden, |rows| {
        for row in rows {
            // SAFETY: rows are disjoint, and each is in one range.
            let out = unsafe { out.range(row * hidden..(row + 1) * hidden) };
            table.copy_row(token_ids[row], out);
        }
    });
    Ok(())
}
