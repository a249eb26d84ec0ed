//! Memory of the kernels: aligned, on large pages where that pays, and outputs that tasks share.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;

use crate::error::KernelError;

/// Alignment of every buffer in bytes: a cache line and an AVX-512 register.
pub(crate) const LINE_BYTES: usize = 64;
/// From here on a buffer asks the system for 2 MiB pages, which about double the read bandwidth
/// under nested paging.
#[cfg(target_os = "linux")]
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Zeroed bytes, aligned to a cache line.
#[derive(Debug)]
pub(crate) struct AlignedBuffer {
    start: NonNull<u8>,
    len: usize,
    owner: Owner,
}

#[derive(Debug)]
enum Owner {
    Heap(Layout),
    /// Keeps the pages; `start` points into them.
    #[cfg(target_os = "linux")]
    Pages {
        _map: memmap2::MmapMut,
    },
}

// SAFETY: the buffer owns plain bytes; shared access only reads them.
unsafe impl Send for AlignedBuffer {}
// SAFETY: as above.
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// `len` zero bytes.
    pub(crate) fn zeroed(op: &'static str, len: usize) -> Result<Self, KernelError> {
        #[cfg(target_os = "linux")]
        if len >= HUGE_PAGE_BYTES {
            return Self::on_huge_pages(len).ok_or(KernelError::OutOfMemory { op, bytes: len });
        }
        let refused = KernelError::OutOfMemory { op, bytes: len };
        let Ok(layout) = Layout::from_size_align(len.max(1), LINE_BYTES) else {
            return Err(refused);
        };
        // SAFETY: the layout has at least one byte.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(refused)?;
        Ok(Self { start, len, owner: Owner::Heap(layout) })
    }

    #[cfg(target_os = "linux")]
    fn on_huge_pages(len: usize) -> Option<Self> {
        let padded = len.checked_next_multiple_of(HUGE_PAGE_BYTES)?.checked_add(HUGE_PAGE_BYTES)?;
        let mut map = memmap2::MmapMut::map_anon(padded).ok()?;
        // Advice only: a system without transparent huge pages refuses and serves small ones.
        let _ = map.advise(memmap2::Advice::HugePage);
        let offset = map.as_ptr().align_offset(HUGE_PAGE_BYTES);
        let start = NonNull::from(&mut map[offset..offset + len]).cast();
        Some(Self { start, len, owner: Owner::Pages { _map: map } })
    }

    /// Writes to every page, so that the system has to give the memory now.
    pub(crate) fn touch(&mut self) {
        const PAGE_BYTES: usize = 4096;
        for page in self.as_mut_slice::<u16>().chunks_mut(PAGE_BYTES / 2) {
            // SAFETY: a plain write through a reference; volatile so that it is not left out for
            // writing the zero that is there already.
            unsafe { std::ptr::write_volatile(&mut page[0], 0) };
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The bytes as whole elements.
    pub(crate) fn as_slice<T: Plain>(&self) -> &[T] {
        // SAFETY: the memory is initialised, aligned for `T` (`Plain` promises that a cache line
        // is enough) and valid for any bits.
        unsafe { std::slice::from_raw_parts(self.as_ptr().cast(), self.len / size_of::<T>()) }
    }

    /// The bytes as whole elements, to write.
    pub(crate) fn as_mut_slice<T: Plain>(&mut self) -> &mut [T] {
        let len = self.len / size_of::<T>();
        // SAFETY: as in `as_slice`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast(), len) }
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        if let Owner::Heap(layout) = self.owner {
            // SAFETY: `start` came from `alloc_zeroed` with this layout and is freed once.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

/// Numbers that any bits are valid for and a cache line aligns.
///
/// # Safety
/// Every bit pattern is a value, and the alignment divides [`LINE_BYTES`].
pub(crate) unsafe trait Plain: Copy {}
// SAFETY: a plain number.
unsafe impl Plain for f32 {}
// SAFETY: a plain number.
unsafe impl Plain for u16 {}
// SAFETY: an array of plain numbers.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// A mutable slice that the tasks of one region share, each writing its own ranges.
pub(crate) struct SharedMut<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it hands out `&mut T` to several threads, which `T: Send` allows; that the ranges do not
// overlap is what callers of `range` promise.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// While the result lives, no other result of this value may overlap it.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    pub(crate) unsafe fn range(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a range of the slice");
        // SAFETY: the range is inside the slice (checked), which is borrowed mutably for 'a; that
        // nothing overlaps it is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zero_and_aligned() {
        for len in [0, 1, 64, 1000, (2 << 20) - 1, 2 << 20, (5 << 20) + 64] {
            let buffer = AlignedBuffer::zeroed("test", len).unwrap();
            assert_eq!(buffer.as_ptr().align_offset(LINE_BYTES), 0);
            assert_eq!(buffer.len(), len);
            assert!(buffer.as_slice::<u16>().iter().all(|&value| value == 0));
        }
    }

    #[test]
    fn an_absurd_size_is_an_error() {
        for bytes in [usize::MAX, usize::MAX / 2, isize::MAX as usize] {
            let error = AlignedBuffer::zeroed("test", bytes).unwrap_err();
            assert_eq!(error, KernelError::OutOfMemory { op: "test", bytes });
        }
    }
}
