//! One chunk of keys for the rows of a tile: scores, softmax, weighted values.

use std::ops::Range;

use crate::cpu::element::Element;
use crate::cpu::lanes::{LANES, Lanes, exp, tanh};

use super::micro::{KeyGroup, score_groups, weigh_values};
use super::{AttentionParams, CHUNK, Tile};

/// Rows that are computed side by side.
pub(super) const ROWS: usize = 4;

/// A softmax over some keys, not yet divided: for each row the maximal score, the sum of
/// `e^(score - max)` and the values weighted by it.
pub(super) struct Partial<'a> {
    /// `[num_rows]`
    max: &'a mut [f32],
    /// `[num_rows]`
    sum: &'a mut [f32],
    /// `[num_rows, value_width]`
    weighted: &'a mut [f32],
    value_width: usize,
}

impl<'a> Partial<'a> {
    pub(super) fn len(num_rows: usize, value_width: usize) -> usize {
        num_rows * (value_width + 2)
    }

    /// Lays a partial over memory of [`Partial::len`] elements.
    pub(super) fn new(memory: &'a mut [f32], num_rows: usize) -> Self {
        let value_width = memory.len() / num_rows - 2;
        let (max, rest) = memory.split_at_mut(num_rows);
        let (sum, weighted) = rest.split_at_mut(num_rows);
        Self { max, sum, weighted, value_width }
    }

    fn row(&self, row: usize) -> &[[f32; LANES]] {
        self.weighted[row * self.value_width..][..self.value_width].as_chunks().0
    }

    fn row_mut(&mut self, row: usize) -> &mut [[f32; LANES]] {
        self.weighted[row * self.value_width..][..self.value_width].as_chunks_mut().0
    }

    pub(super) fn copy_row(&mut self, row: usize, other: &Partial<'_>) {
        self.max[row] = other.max[row];
        self.sum[row] = other.sum[row];
        self.row_mut(row).copy_from_slice(other.row(row));
    }

    /// Makes one softmax of two, over the keys of both.
    #[inline(always)]
    pub(super) fn merge_row<L: Lanes>(&mut self, l: L, row: usize, other: &Partial<'_>) {
        let (old, new) = (l.splat(self.max[row]), l.splat(other.max[row]));
        let max = l.max(old, new);
        let (keep, add) = (exp(l, l.sub(old, max)), exp(l, l.sub(new, max)));
        let sum = l.mul(l.splat(self.sum[row]), keep);
        self.max[row] = l.largest(max);
        self.sum[row] = l.largest(l.mul_add(l.splat(other.sum[row]), add, sum));
        for (to, from) in self.row_mut(row).iter_mut().zip(other.row(row)) {
            let kept = l.mul(l.load(to), keep);
            l.store(l.mul_add(l.load(from), add, kept), to);
        }
    }

    /// `out = weighted / sum`: `[head_dim]`.
    #[inline(always)]
    pub(super) fn write_row<L: Lanes>(&self, l: L, row: usize, out: &mut [f32]) {
        let sum = l.splat(self.sum[row]);
        for (weighted, out) in self.row(row).iter().zip(out.chunks_mut(LANES)) {
            l.store_first(l.div(l.load(weighted), sum), out);
        }
    }
}

/// What a task needs besides its result; addresses are those of the chunk at hand.
pub(super) struct Scratch<E: Element> {
    /// `[num_rows, CHUNK]`: scores, then their exponentials; by position in the chunk.
    scores: Vec<f32>,
    keys: Vec<KeyGroup<E>>,
    /// The values of the keys that some row sees, in order.
    values: Vec<*const E>,
}

impl<E: Element> Scratch<E> {
    pub(super) fn new(num_rows: usize) -> Self {
        let scores = vec![0.0; num_rows * CHUNK];
        Self { scores, keys: Vec::with_capacity(CHUNK / LANES + 1), values: Vec::with_capacity(CHUNK) }
    }

    /// Computes the partial of one chunk, for the rows that see keys of it.
    #[inline(always)]
    pub(super) fn compute<L: Lanes>(
        &mut self,
        l: L,
        tile: &Tile<'_>,
        chunk: usize,
        partial: &mut Partial<'_>,
    ) {
        let start = chunk * CHUNK;
        let any = tile.visible_to_any();
        let seen = any.start.max(start)..any.end.min(start + CHUNK);
        self.find(tile, seen.clone(), start);
        for first in (0..tile.num_rows()).step_by(ROWS) {
            let rows = first..tile.num_rows().min(first + ROWS);
            score_groups(l, tile, rows.clone(), &self.keys, &mut self.scores);
            let mut ranges = [const { 0..0 }; ROWS];
            for (range, row) in ranges.iter_mut().zip(rows.clone()) {
                let keys = tile.visible(row);
                let keys = keys.start.max(start)..keys.end.min(start + CHUNK);
                if keys.is_empty() {
                    continue;
                }
                *range = keys.start - start..keys.end - start;
                let scores = &mut self.scores[row * CHUNK..(row + 1) * CHUNK];
                let scores = scores.as_chunks_mut().0;
                let (max, sum) = softmax(l, tile.attention.params, range.clone(), scores);
                (partial.max[row], partial.sum[row]) = (max, sum);
            }
            let ranges = &ranges[..rows.len()];
            self.weigh(l, rows, ranges, seen.start - start, partial);
        }
    }

    /// Finds the keys and values at the positions `seen`, in the chunk that starts at `start`.
    fn find(&mut self, tile: &Tile<'_>, seen: Range<usize>, start: usize) {
        let kv = tile.attention.kv;
        let layout = kv.layout();
        let batch = tile.attention.batch;
        let table = &batch.block_tables[tile.tokens.sequence * batch.max_blocks..];
        self.keys.clear();
        self.values.clear();
        let blocks = seen.start / layout.block_size..seen.end.div_ceil(layout.block_size);
        for (block, &id) in blocks.clone().zip(&table[blocks]) {
            let id = id as usize;
            let keys: *const E = kv.head_ptr(tile.attention.layer, id, tile.kv_head);
            let values = keys.wrapping_add(layout.key_elements());
            let block_start = block * layout.block_size;
            let block_end = block_start + layout.block_size;
            for group in 0..layout.key_groups() {
                let group_start = block_start + group * LANES;
                let positions =
                    group_start.max(seen.start)..(group_start + LANES).min(block_end).min(seen.end);
                if positions.is_empty() {
                    continue;
                }
                for position in positions.clone() {
                    let offset = position - block_start;
                    self.values.push(values.wrapping_add(offset * layout.value_width()));
                }
                self.keys.push(KeyGroup {
                    pairs: keys.wrapping_add(group * LANES * layout.head_dim).cast(),
                    first_lane: positions.start - group_start,
                    columns: positions.start - start..positions.end - start,
                });
            }
        }
    }

    /// Sums the values weighted by the rows' exponentials, key after key. `ranges` are the keys
    /// that each row sees; `values_start` is the place in the chunk of the first of `values`.
    #[inline(always)]
    fn weigh<L: Lanes>(
        &self,
        l: L,
        rows: Range<usize>,
        ranges: &[Range<usize>],
        values_start: usize,
        partial: &mut Partial<'_>,
    ) {
        let width = partial.value_width;
        let weights = &self.scores[rows.start * CHUNK..rows.end * CHUNK];
        let weighted = &mut partial.weighted[rows.start * width..rows.end * width];
        weighted.fill(0.0);
        let start = ranges.iter().map(|range| range.start).max().unwrap_or(0);
        let end = ranges.iter().map(|range| range.end).min().unwrap_or(0);
        // The keys that all rows see go together; those before and after, row by row.
        let (start, end) = if start < end { (start, end) } else { (CHUNK, CHUNK) };
        for columns in [0..start, start..end, end..CHUNK] {
            if columns.start == start && start < end {
                weigh_values(l, weights, &self.values, values_start, columns, weighted);
                continue;
            }
            for (row, range) in ranges.iter().enumerate() {
                let columns = columns.start.max(range.start)..columns.end.min(range.end);
                let weights = &weights[row * CHUNK..(row + 1) * CHUNK];
                let weighted = &mut weighted[row * width..(row + 1) * width];
                weigh_values(l, weights, &self.values, values_start, columns, weighted);
            }
        }
    }
}

/// Turns the scores at `range` into `e^(score - max)`; returns the maximum and the sum.
///
/// Lanes are positions in the chunk modulo sixteen, and lanes outside the range add exact zeros,
/// so the result does not depend on where blocks end.
#[inline(always)]
fn softmax<L: Lanes>(
    l: L,
    params: &AttentionParams,
    range: Range<usize>,
    scores: &mut [[f32; LANES]],
) -> (f32, f32) {
    let vectors = range.start / LANES..range.end.div_ceil(LANES);
    let scale = l.splat(params.scale);
    for scores in &mut scores[vectors.clone()] {
        let mut scaled = l.mul(l.load(scores), scale);
        if let Some(cap) = params.soft_cap {
            let cap = l.splat(cap);
            scaled = l.mul(cap, tanh(l, l.div(scaled, cap)));
        }
        l.store(scaled, scores);
    }
    let flat = scores.as_flattened_mut();
    flat[vectors.start * LANES..range.start].fill(f32::NEG_INFINITY);
    flat[range.end..vectors.end * LANES].fill(f32::NEG_INFINITY);
    let mut max = l.splat(f32::NEG_INFINITY);
    for scores in &scores[vectors.clone()] {
        max = l.max(l.load(scores), max);
    }
    let largest = l.largest(max);
    let max = l.splat(largest);
    let mut sum = l.splat(0.0);
    for scores in &mut scores[vectors] {
        let weight = exp(l, l.sub(l.load(scores), max));
        sum = l.add(sum, weight);
        l.store(weight, scores);
    }
    (largest, l.sum(sum))
}
