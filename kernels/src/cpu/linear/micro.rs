//! The inner loops of the matmul: a block of rows by tiles, held in registers over all of k.

use std::ops::Range;

use crate::cpu::element::Element;
use crate::cpu::lanes::{Blocking, Kernel, LANES, Lanes};
use crate::cpu::memory::SharedMut;

/// Output columns of a tile: the lanes of a vector.
pub(super) const TILE: usize = LANES;

/// How far ahead weights are asked for, in pairs.
const PREFETCH_PAIRS: usize = 16;

/// One product `out = x Wᵀ + bias`, for tasks to share.
pub(super) struct Matmul<'a, E: Element> {
    /// `[num_rows, in_features]`
    pub(super) x: &'a [f32],
    pub(super) in_features: usize,
    /// `[num_tiles, tile_stride]`
    pub(super) weights: &'a [E::Pair],
    pub(super) tile_stride: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) out_features: usize,
    /// `[num_rows, out_features]`
    pub(super) out: SharedMut<'a, f32>,
}

/// Some rows by some tiles of a product. No two tasks share a row and a tile.
pub(super) struct MatmulTask<'a, E: Element> {
    pub(super) matmul: &'a Matmul<'a, E>,
    pub(super) rows: Range<usize>,
    pub(super) tiles: Range<usize>,
}

/// Rows of a register block, at most.
const fn block_rows(blocking: Blocking) -> usize {
    match blocking {
        Blocking::One => 1,
        Blocking::Narrow => 6,
        Blocking::Wide => 8,
    }
}

/// Tiles of a register block for this many rows: what fits the registers. With few rows more
/// tiles are read at once, which hides the latency of memory and of the sums.
pub(super) const fn panel_tiles(blocking: Blocking, num_rows: usize) -> usize {
    match (blocking, num_rows) {
        (Blocking::Wide, 0..=2) => 8,
        (Blocking::Wide, 3..=4) => 6,
        (Blocking::Wide, 5..=6) => 4,
        (Blocking::Wide, _) => 3,
        (Blocking::Narrow, 0..=1) => 4,
        (Blocking::Narrow, 2..=3) => 2,
        (Blocking::Narrow, _) | (Blocking::One, _) => 1,
    }
}

impl<E: Element> Kernel for MatmulTask<'_, E> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let panel = panel_tiles(L::BLOCKING, self.rows.len());
        for first_tile in self.tiles.clone().step_by(panel) {
            let tiles = first_tile..self.tiles.end.min(first_tile + panel);
            for first_row in self.rows.clone().step_by(block_rows(L::BLOCKING)) {
                let rows = first_row..self.rows.end.min(first_row + block_rows(L::BLOCKING));
                self.matmul.panel(l, panel, rows, tiles.clone());
            }
        }
    }
}

impl<E: Element> Matmul<'_, E> {
    /// Picks the compiled block for a number of rows. `panel` is that of the whole task, whose
    /// last rows may be fewer.
    #[inline(always)]
    fn panel<L: Lanes>(&self, l: L, panel: usize, rows: Range<usize>, tiles: Range<usize>) {
        let (row, count) = (rows.start, rows.len());
        match L::BLOCKING {
            Blocking::One => self.strip::<L, 1, 1>(l, row, tiles),
            Blocking::Wide => match (panel, count) {
                (8, 1) => self.strip::<L, 1, 8>(l, row, tiles),
                (8, _) => self.strip::<L, 2, 8>(l, row, tiles),
                (6, 3) => self.strip::<L, 3, 6>(l, row, tiles),
                (6, _) => self.strip::<L, 4, 6>(l, row, tiles),
                (4, 5) => self.strip::<L, 5, 4>(l, row, tiles),
                (4, _) => self.strip::<L, 6, 4>(l, row, tiles),
                (_, 1) => self.strip::<L, 1, 3>(l, row, tiles),
                (_, 2) => self.strip::<L, 2, 3>(l, row, tiles),
                (_, 3) => self.strip::<L, 3, 3>(l, row, tiles),
                (_, 4) => self.strip::<L, 4, 3>(l, row, tiles),
                (_, 5) => self.strip::<L, 5, 3>(l, row, tiles),
                (_, 6) => self.strip::<L, 6, 3>(l, row, tiles),
                (_, 7) => self.strip::<L, 7, 3>(l, row, tiles),
                _ => self.strip::<L, 8, 3>(l, row, tiles),
            },
            Blocking::Narrow => match (panel, count) {
                (4, _) => self.strip::<L, 1, 4>(l, row, tiles),
                (2, 2) => self.strip::<L, 2, 2>(l, row, tiles),
                (2, _) => self.strip::<L, 3, 2>(l, row, tiles),
                (_, 1) => self.strip::<L, 1, 1>(l, row, tiles),
                (_, 2) => self.strip::<L, 2, 1>(l, row, tiles),
                (_, 3) => self.strip::<L, 3, 1>(l, row, tiles),
                (_, 4) => self.strip::<L, 4, 1>(l, row, tiles),
                (_, 5) => self.strip::<L, 5, 1>(l, row, tiles),
                _ => self.strip::<L, 6, 1>(l, row, tiles),
            },
        }
    }

    /// `NUM_ROWS` rows by the tiles of one panel, one by one where the panel is not full.
    #[inline(always)]
    fn strip<L: Lanes, const NUM_ROWS: usize, const NUM_TILES: usize>(
        &self,
        l: L,
        row: usize,
        tiles: Range<usize>,
    ) {
        if tiles.len() == NUM_TILES {
            self.block::<L, NUM_ROWS, NUM_TILES>(l, row, tiles.start);
        } else {
            for tile in tiles {
                self.block::<L, NUM_ROWS, 1>(l, row, tile);
            }
        }
    }

    #[inline(always)]
    fn block<L: Lanes, const NUM_ROWS: usize, const NUM_TILES: usize>(&self, l: L, row: usize, tile: usize) {
        let x = &self.x[row * self.in_features..][..NUM_ROWS * self.in_features];
        let weights = &self.weights[tile * self.tile_stride..][..NUM_TILES * self.tile_stride];
        let mut sums = [[l.splat(0.0); NUM_TILES]; NUM_ROWS];
        for pair in 0..self.in_features / 2 {
            let mut column_weights = [l.splat(0.0); NUM_TILES];
            for (n, column_weights) in column_weights.iter_mut().enumerate() {
                let address = weights.as_ptr().wrapping_add(n * self.tile_stride + pair);
                if NUM_ROWS <= 4 {
                    l.prefetch(address.wrapping_add(PREFETCH_PAIRS));
                }
                // SAFETY: `n < NUM_TILES` and `pair < tile_stride`, so it is in the slice.
                *column_weights = E::even(l, unsafe { &*address });
            }
            self.multiply_add(l, x, 2 * pair, &column_weights, &mut sums);
            for (n, column_weights) in column_weights.iter_mut().enumerate() {
                let address = weights.as_ptr().wrapping_add(n * self.tile_stride + pair);
                // SAFETY: as above.
                *column_weights = E::odd(l, unsafe { &*address });
            }
            self.multiply_add(l, x, 2 * pair + 1, &column_weights, &mut sums);
        }
        if !self.in_features.is_multiple_of(2) {
            let mut column_weights = [l.splat(0.0); NUM_TILES];
            for (n, column_weights) in column_weights.iter_mut().enumerate() {
                let pair = &weights[n * self.tile_stride + self.in_features / 2];
                *column_weights = E::even(l, pair);
            }
            self.multiply_add(l, x, self.in_features - 1, &column_weights, &mut sums);
        }
        for (m, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                self.finish(l, row + m, tile + n, sum);
            }
        }
    }

    /// `sums[m][n] += x[m][k] * weights[n]`
    #[inline(always)]
    fn multiply_add<L: Lanes, const NUM_ROWS: usize, const NUM_TILES: usize>(
        &self,
        l: L,
        x: &[f32],
        k: usize,
        weights: &[L::Vector; NUM_TILES],
        sums: &mut [[L::Vector; NUM_TILES]; NUM_ROWS],
    ) {
        debug_assert!(k < self.in_features && x.len() == NUM_ROWS * self.in_features);
        for (m, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `x` has NUM_ROWS rows of `in_features` elements, and `k` is one of them.
            let x = l.splat(unsafe { *x.get_unchecked(m * self.in_features + k) });
            for (sum, &weights) in sums.iter_mut().zip(weights) {
                *sum = l.mul_add(x, weights, *sum);
            }
        }
    }

    /// Adds the bias and writes the columns of a tile that exist.
    #[inline(always)]
    fn finish<L: Lanes>(&self, l: L, row: usize, tile: usize, mut sum: L::Vector) {
        let columns = tile * TILE..self.out_features.min((tile + 1) * TILE);
        if let Some(bias) = self.bias {
            sum = l.add(sum, l.load_first(&bias[columns.clone()]));
        }
        let start = row * self.out_features;
        // SAFETY: no other task has this row and this tile.
        let out = unsafe { self.out.range(start + columns.start..start + columns.end) };
        l.store_first(sum, out);
    }
}
