//! Weights as the matmul reads them.
//!
//! Sixteen output columns make a tile; a tile is a run of pairs (see [`Element`]), one for two
//! consecutive k. The last tile is filled up with zero columns and an odd last k with a
//! zero that is never multiplied.

use half::bf16;

use crate::cpu::element::Element;
use crate::cpu::memory::AlignedBuffer;
use crate::error::{KernelError, check_shape};

use super::micro::TILE;

/// Elements of a matrix, row by row, in the type that the file has.
#[derive(Debug, Clone, Copy)]
pub enum RowData<'a> {
    /// IEEE single precision.
    F32(&'a [f32]),
    /// The upper half of single precision.
    Bf16(&'a [bf16]),
}

impl RowData<'_> {
    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            RowData::F32(values) => values.len(),
            RowData::Bf16(values) => values.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One weight matrix: `[rows, in_features]`, one row per output.
#[derive(Debug, Clone, Copy)]
pub struct WeightRows<'a> {
    /// The number of outputs.
    pub rows: usize,
    /// The weights, `rows * in_features` of them.
    pub data: RowData<'a>,
}

/// The weights of a linear layer, packed for the kernels; own memory, nothing is borrowed.
#[derive(Debug)]
pub struct PackedLinear {
    in_features: usize,
    out_features: usize,
    buffer: AlignedBuffer,
    dtype: Dtype,
    bias: Option<Vec<f32>>,
}

#[derive(Debug, Clone, Copy)]
enum Dtype {
    F32,
    Bf16,
}

/// The packed pairs in their element type.
pub(super) enum Weights<'a> {
    F32(&'a [<f32 as Element>::Pair]),
    Bf16(&'a [<u16 as Element>::Pair]),
}

impl PackedLinear {
    /// Packs matrices of `in_features` columns, stacked along the output: the outputs of the
    /// first part come first (q, k, v of a fused projection; gate and up). bf16 stays bf16.
    ///
    /// # Errors
    /// When a part has the wrong length, the parts' rows do not add up to `out_features`, their
    /// element types differ, a dimension is zero or the memory is not there.
    pub fn pack(
        in_features: usize,
        out_features: usize,
        parts: &[WeightRows<'_>],
    ) -> Result<Self, KernelError> {
        const OP: &str = "pack";
        for (argument, value) in [("in_features", in_features), ("out_features", out_features)] {
            if value == 0 {
                let reason = "a linear layer has at least one input and one output";
                return Err(KernelError::Unsupported { op: OP, argument, value, reason });
            }
        }
        for part in parts {
            check_shape(OP, "data", &[part.rows, in_features], part.data.len())?;
        }
        let num_rows = parts.iter().map(|part| part.rows).sum();
        check_shape(OP, "parts", &[out_features], num_rows)?;

        let (mut f32_rows, mut bf16_rows) = (Vec::new(), Vec::new());
        for part in parts {
            match part.data {
                RowData::F32(values) => f32_rows.extend(values.chunks_exact(in_features)),
                RowData::Bf16(values) => bf16_rows.extend(values.chunks_exact(in_features)),
            }
        }
        let (dtype, buffer) = match (f32_rows.len(), bf16_rows.len()) {
            (_, 0) => (Dtype::F32, pack_rows::<f32, f32>(in_features, &f32_rows, |x| x)?),
            (0, _) => (Dtype::Bf16, pack_rows::<u16, bf16>(in_features, &bf16_rows, bf16::to_bits)?),
            _ => return Err(KernelError::MixedDtypes { op: OP }),
        };
        Ok(Self { in_features, out_features, buffer, dtype, bias: None })
    }

    /// Adds a bias, `[out_features]`, that [`linear`](super::linear) adds to each finished sum.
    ///
    /// # Errors
    /// When the length does not fit.
    pub fn with_bias(mut self, bias: &[f32]) -> Result<Self, KernelError> {
        check_shape("with_bias", "bias", &[self.out_features], bias.len())?;
        self.bias = Some(bias.to_vec());
        Ok(self)
    }

    /// Columns of `x`.
    #[must_use]
    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Columns of the output.
    #[must_use]
    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// Size of the packed weights in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    pub(super) fn num_tiles(&self) -> usize {
        self.out_features.div_ceil(TILE)
    }

    /// Pairs from the start of one tile to the start of the next.
    pub(super) fn tile_stride(&self) -> usize {
        tile_stride(self.in_features)
    }

    pub(super) fn weights(&self) -> Weights<'_> {
        match self.dtype {
            Dtype::F32 => Weights::F32(self.buffer.as_slice()),
            Dtype::Bf16 => Weights::Bf16(self.buffer.as_slice()),
        }
    }

    /// The weights of one output, widened: `out: [in_features]`.
    pub(crate) fn copy_row(&self, row: usize, out: &mut [f32]) {
        let (start, column) = (row / TILE * self.tile_stride(), row % TILE);
        match self.weights() {
            Weights::F32(pairs) => copy_column::<f32>(&pairs[start..], column, out),
            Weights::Bf16(pairs) => copy_column::<u16>(&pairs[start..], column, out),
        }
    }
}

/// An odd number of pairs, so that tiles that are read side by side do not all fall on the same
/// sets of the cache.
fn tile_stride(in_features: usize) -> usize {
    in_features.div_ceil(2) | 1
}

fn pack_rows<E: Element, S: Copy>(
    in_features: usize,
    rows: &[&[S]],
    element: impl Fn(S) -> E,
) -> Result<AlignedBuffer, KernelError> {
    let stride = tile_stride(in_features);
    let bytes = rows.len().div_ceil(TILE).checked_mul(stride);
    let bytes = bytes.and_then(|pairs| pairs.checked_mul(size_of::<E::Pair>()));
    let mut buffer = AlignedBuffer::zeroed("pack", bytes.unwrap_or(usize::MAX))?;
    let pairs = buffer.as_mut_slice::<E::Pair>();
    for (tile, rows) in pairs.chunks_exact_mut(stride).zip(rows.chunks(TILE)) {
        for (index, pair) in tile.iter_mut().take(in_features.div_ceil(2)).enumerate() {
            let pair = pair.as_mut();
            for (column, row) in rows.iter().enumerate() {
                pair[E::place(0, column)] = element(row[2 * index]);
                if let Some(&odd) = row.get(2 * index + 1) {
                    pair[E::place(1, column)] = element(odd);
                }
            }
        }
    }
    Ok(buffer)
}

fn copy_column<E: Element>(pairs: &[E::Pair], column: usize, out: &mut [f32]) {
    for (pair, out) in pairs.iter().zip(out.chunks_mut(2)) {
        for (parity, out) in out.iter_mut().enumerate() {
            *out = pair.as_ref()[E::place(parity, column)].widen();
        }
    }
}
