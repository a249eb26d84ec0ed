//! What can be wrong with a call: closed, with the operation's name and the shapes.

use crate::isa::Isa;

/// Why an operation refused its arguments; no output has been written when it is returned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// A slice does not have the length that its shape asks for.
    #[error("{op}: `{argument}` has {actual} elements, expected shape {expected:?}")]
    Shape {
        /// The operation that was called.
        op: &'static str,
        /// The argument at fault.
        argument: &'static str,
        /// The shape that the other arguments ask for, outermost dimension first.
        expected: Vec<usize>,
        /// The number of elements that came.
        actual: usize,
    },
    /// A length is not a whole number of rows.
    #[error("{op}: `{argument}` has {actual} elements, not a multiple of the row length {row}")]
    NotRows {
        /// The operation that was called.
        op: &'static str,
        /// The argument at fault.
        argument: &'static str,
        /// Elements in one row.
        row: usize,
        /// The number of elements that came.
        actual: usize,
    },
    /// An index (token id, position, slot, block, layer) is beyond its table.
    #[error("{op}: `{argument}`[{index}] is {value}, beyond the limit {limit}")]
    OutOfRange {
        /// The operation that was called.
        op: &'static str,
        /// The argument at fault.
        argument: &'static str,
        /// Where in the argument the value stands.
        index: usize,
        /// The value at fault.
        value: u64,
        /// The value has to be below this.
        limit: u64,
    },
    /// A dimension or setting that the operation cannot work with.
    #[error("{op}: `{argument}` = {value}: {reason}")]
    Unsupported {
        /// The operation that was called.
        op: &'static str,
        /// The argument at fault.
        argument: &'static str,
        /// The value at fault.
        value: usize,
        /// What the operation asks for.
        reason: &'static str,
    },
    /// Matrices that are to be stacked have different element types.
    #[error("{op}: the parts do not share one element type")]
    MixedDtypes {
        /// The operation that was called.
        op: &'static str,
    },
    /// The machine does not have the instruction set.
    #[error("this machine cannot run the {isa} kernels")]
    IsaUnavailable {
        /// The instruction set that was asked for.
        isa: Isa,
    },
    /// A name that is no instruction set.
    #[error("unknown instruction set {name:?}, expected scalar, avx2 or avx512")]
    UnknownIsa {
        /// The name that was given.
        name: String,
    },
    /// The system did not give the memory.
    #[error("{op}: cannot allocate {bytes} bytes")]
    OutOfMemory {
        /// The operation that was called.
        op: &'static str,
        /// Size of the allocation; `usize::MAX` when the size itself overflowed.
        bytes: usize,
    },
}

/// Checks that a slice of `actual` elements has the shape `expected`.
pub(crate) fn check_shape(
    op: &'static str,
    argument: &'static str,
    expected: &[usize],
    actual: usize,
) -> Result<(), KernelError> {
    let product = expected.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    if product == Some(actual) {
        return Ok(());
    }
    Err(KernelError::Shape { op, argument, expected: expected.to_vec(), actual })
}

/// The number of rows of `row` elements in a slice of `actual` elements.
pub(crate) fn count_rows(
    op: &'static str,
    argument: &'static str,
    row: usize,
    actual: usize,
) -> Result<usize, KernelError> {
    if row == 0 {
        let reason = "a row has to have at least one element";
        return Err(KernelError::Unsupported { op, argument, value: row, reason });
    }
    if !actual.is_multiple_of(row) {
        return Err(KernelError::NotRows { op, argument, row, actual });
    }
    Ok(actual / row)
}

/// Checks that every value is below `limit`.
pub(crate) fn check_below(
    op: &'static str,
    argument: &'static str,
    values: &[u32],
    limit: usize,
) -> Result<(), KernelError> {
    match values.iter().position(|&value| value as usize >= limit) {
        None => Ok(()),
        Some(index) => {
            let (value, limit) = (u64::from(values[index]), limit as u64);
            Err(KernelError::OutOfRange { op, argument, index, value, limit })
        }
    }
}
