//! Views of some columns of a matrix, so that q, k and v are used where the fused projection
//! left them.

use std::ops::Range;

use crate::cpu::memory::SharedMut;
use crate::error::{KernelError, count_rows};

/// Where the rows of a view lie in its slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowShape {
    pub(crate) num_rows: usize,
    pub(crate) width: usize,
    stride: usize,
    offset: usize,
}

impl RowShape {
    fn new(len: usize, stride: usize, columns: Range<usize>) -> Result<Self, KernelError> {
        let num_rows = count_rows("rows", "data", stride, len)?;
        if columns.start > columns.end || columns.end > stride {
            return Err(KernelError::OutOfRange {
                op: "rows",
                argument: "columns",
                index: 1,
                value: columns.end.max(columns.start) as u64,
                limit: stride as u64 + 1,
            });
        }
        Ok(Self { num_rows, width: columns.len(), stride, offset: columns.start })
    }

    /// The place of a row in the slice.
    #[inline]
    pub(crate) fn range(self, row: usize) -> Range<usize> {
        let start = row * self.stride + self.offset;
        start..start + self.width
    }
}

/// Some columns of a row-major matrix, read-only: `[num_rows, width]`.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    data: &'a [f32],
    shape: RowShape,
}

impl<'a> Rows<'a> {
    /// The columns `columns` of `data: [num_rows, stride]`.
    ///
    /// # Errors
    /// When `data` is not a whole number of rows or the columns are not inside a row.
    pub fn new(data: &'a [f32], stride: usize, columns: Range<usize>) -> Result<Self, KernelError> {
        Ok(Self { data, shape: RowShape::new(data.len(), stride, columns)? })
    }

    /// All columns of `data: [num_rows, width]`.
    ///
    /// # Errors
    /// When `data` is not a whole number of rows.
    pub fn contiguous(data: &'a [f32], width: usize) -> Result<Self, KernelError> {
        Self::new(data, width, 0..width)
    }

    /// The number of rows.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.shape.num_rows
    }

    /// Elements of one row of the view.
    #[must_use]
    pub fn width(&self) -> usize {
        self.shape.width
    }

    /// One row: `[width]`.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    #[inline]
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.data[self.shape.range(row)]
    }
}

/// Some columns of a row-major matrix, to change in place: `[num_rows, width]`.
#[derive(Debug)]
pub struct RowsMut<'a> {
    data: &'a mut [f32],
    shape: RowShape,
}

impl<'a> RowsMut<'a> {
    /// The columns `columns` of `data: [num_rows, stride]`.
    ///
    /// # Errors
    /// When `data` is not a whole number of rows or the columns are not inside a row.
    pub fn new(data: &'a mut [f32], stride: usize, columns: Range<usize>) -> Result<Self, KernelError> {
        let shape = RowShape::new(data.len(), stride, columns)?;
        Ok(Self { data, shape })
    }

    /// All columns of `data: [num_rows, width]`.
    ///
    /// # Errors
    /// When `data` is not a whole number of rows.
    pub fn contiguous(data: &'a mut [f32], width: usize) -> Result<Self, KernelError> {
        Self::new(data, width, 0..width)
    }

    /// The number of rows.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.shape.num_rows
    }

    /// Elements of one row of the view.
    #[must_use]
    pub fn width(&self) -> usize {
        self.shape.width
    }

    /// The rows for tasks to share, each row to one task.
    pub(crate) fn into_shared(self) -> (SharedMut<'a, f32>, RowShape) {
        (SharedMut::new(self.data), self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_shows_its_columns() {
        let data: Vec<f32> = (0..12u8).map(f32::from).collect();
        let rows = Rows::new(&data, 4, 1..3).unwrap();
        assert_eq!((rows.num_rows(), rows.width()), (3, 2));
        assert_eq!(rows.row(2), [9.0, 10.0]);
    }

    #[test]
    fn columns_outside_a_row_are_an_error() {
        assert!(Rows::new(&[0.0; 8], 4, 2..5).is_err());
        assert!(Rows::new(&[0.0; 9], 4, 0..4).is_err());
        assert!(RowsMut::contiguous(&mut [], 0).is_err());
        assert_eq!(RowsMut::contiguous(&mut [], 3).unwrap().num_rows(), 0);
    }
}
