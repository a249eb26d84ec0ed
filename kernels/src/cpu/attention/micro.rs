//! The inner loops of attention: queries by keys, and exponentials by values.

use std::ops::Range;

use crate::cpu::element::Element;
use crate::cpu::lanes::{Blocking, LANES, Lanes};

use super::chunk::ROWS;
use super::{CHUNK, Tile};

/// Up to sixteen keys that stand side by side, dimension by dimension.
pub(super) struct KeyGroup<E: Element> {
    /// `[head_dim / 2]`, in the cache.
    pub(super) pairs: *const E::Pair,
    /// The lane of the first key that counts.
    pub(super) first_lane: usize,
    /// Where the scores of the keys that count belong in the chunk.
    pub(super) columns: Range<usize>,
}

/// Writes `scores[row][column] = query[row] . key[column]` for at most [`ROWS`] rows and all keys
/// of `groups`; each score is one chain of fused multiply-adds over the dimensions in order.
/// `scores`: `[tile's rows, CHUNK]`.
#[inline(always)]
pub(super) fn score_groups<L: Lanes, E: Element>(
    l: L,
    tile: &Tile<'_>,
    rows: Range<usize>,
    groups: &[KeyGroup<E>],
    scores: &mut [f32],
) {
    if L::BLOCKING == Blocking::One {
        for row in rows {
            score::<L, E, 1>(l, tile, row, groups, scores);
        }
        return;
    }
    match rows.len() {
        1 => score::<L, E, 1>(l, tile, rows.start, groups, scores),
        2 => score::<L, E, 2>(l, tile, rows.start, groups, scores),
        3 => score::<L, E, 3>(l, tile, rows.start, groups, scores),
        _ => score::<L, E, ROWS>(l, tile, rows.start, groups, scores),
    }
}

#[inline(always)]
fn score<L: Lanes, E: Element, const NUM_ROWS: usize>(
    l: L,
    tile: &Tile<'_>,
    first_row: usize,
    groups: &[KeyGroup<E>],
    scores: &mut [f32],
) {
    let mut queries: [&[f32]; NUM_ROWS] = [&[]; NUM_ROWS];
    for (row, query) in queries.iter_mut().enumerate() {
        *query = tile.query(first_row + row);
    }
    let scores = &mut scores[first_row * CHUNK..(first_row + NUM_ROWS) * CHUNK];
    // Two groups at once where registers allow: more sums in flight.
    let at_once = if L::BLOCKING == Blocking::Wide { 2 } else { 1 };
    for (index, step) in groups.chunks(at_once).enumerate() {
        let ahead = groups.get((index + 2) * at_once).map_or(step[0].pairs, |group| group.pairs);
        match step {
            [a, b] => score_block::<L, E, NUM_ROWS, 2>(l, &queries, [a, b], ahead, scores),
            [a] => score_block::<L, E, NUM_ROWS, 1>(l, &queries, [a], ahead, scores),
            _ => unreachable!("one or two groups at once"),
        }
    }
}

#[inline(always)]
fn score_block<L: Lanes, E: Element, const NUM_ROWS: usize, const NUM_GROUPS: usize>(
    l: L,
    queries: &[&[f32]; NUM_ROWS],
    groups: [&KeyGroup<E>; NUM_GROUPS],
    ahead: *const E::Pair,
    scores: &mut [f32],
) {
    let mut sums = [[l.splat(0.0); NUM_GROUPS]; NUM_ROWS];
    let num_pairs = queries[0].len() / 2;
    for pair in 0..num_pairs {
        for group in 0..NUM_GROUPS {
            l.prefetch(ahead.wrapping_add(NUM_GROUPS * pair + group));
        }
        let mut keys = [l.splat(0.0); NUM_GROUPS];
        for group in 0..NUM_GROUPS {
            // SAFETY: `pairs` is the address of head_dim / 2 pairs in the cache, which is borrowed
            // for the call; `find` took it from a block table that `check` has checked.
            keys[group] = E::even(l, unsafe { &*groups[group].pairs.add(pair) });
        }
        for row in 0..NUM_ROWS {
            let q = l.splat(queries[row][2 * pair]);
            for group in 0..NUM_GROUPS {
                sums[row][group] = l.mul_add(q, keys[group], sums[row][group]);
            }
        }
        for group in 0..NUM_GROUPS {
            // SAFETY: as above.
            keys[group] = E::odd(l, unsafe { &*groups[group].pairs.add(pair) });
        }
        for row in 0..NUM_ROWS {
            let q = l.splat(queries[row][2 * pair + 1]);
            for group in 0..NUM_GROUPS {
                sums[row][group] = l.mul_add(q, keys[group], sums[row][group]);
            }
        }
    }
    for (row, sums) in sums.into_iter().enumerate() {
        for (group, sum) in groups.iter().zip(sums) {
            let out = &mut scores[row * CHUNK..][group.columns.clone()];
            if let Ok(out) = <&mut [f32; LANES]>::try_from(&mut *out) {
                l.store(sum, out);
                continue;
            }
            let mut lanes = [0.0; LANES];
            l.store(sum, &mut lanes);
            out.copy_from_slice(&lanes[group.first_lane..][..out.len()]);
        }
    }
}

/// `weighted[row] += weights[row][column] * values[column]` for the columns in order.
///
/// `weights`: `[num_rows, CHUNK]`; `weighted`: `[num_rows, value_width]`; at most [`ROWS`] rows.
/// `values[0]` is the address of the values of column `values_start`.
#[inline(always)]
pub(super) fn weigh_values<L: Lanes, E: Element>(
    l: L,
    weights: &[f32],
    values: &[*const E],
    values_start: usize,
    columns: Range<usize>,
    weighted: &mut [f32],
) {
    if columns.is_empty() {
        return;
    }
    let values = &values[columns.start - values_start..columns.end - values_start];
    let weights = &weights[columns.start..];
    let num_rows = weights.len().div_ceil(CHUNK);
    if L::BLOCKING == Blocking::One {
        let width = weighted.len() / num_rows;
        for (row, weighted) in weighted.chunks_exact_mut(width).enumerate() {
            weigh::<L, E, 1>(l, &weights[row * CHUNK..], values, weighted);
        }
        return;
    }
    match num_rows {
        1 => weigh::<L, E, 1>(l, weights, values, weighted),
        2 => weigh::<L, E, 2>(l, weights, values, weighted),
        3 => weigh::<L, E, 3>(l, weights, values, weighted),
        _ => weigh::<L, E, ROWS>(l, weights, values, weighted),
    }
}

/// Goes over the dimensions, as many vectors at a time as registers allow.
#[inline(always)]
fn weigh<L: Lanes, E: Element, const NUM_ROWS: usize>(
    l: L,
    weights: &[f32],
    values: &[*const E],
    weighted: &mut [f32],
) {
    let num_vectors = weighted.len() / NUM_ROWS / LANES;
    let wide = L::BLOCKING == Blocking::Wide;
    let mut first = 0;
    while first < num_vectors {
        let left = num_vectors - first;
        let at_once = match left {
            _ if !wide => 1,
            5 | 10 => 5,
            6 => 3,
            _ => left.min(4),
        };
        match at_once {
            1 => weigh_block::<L, E, NUM_ROWS, 1>(l, weights, values, first, weighted),
            2 if wide => weigh_block::<L, E, NUM_ROWS, 2>(l, weights, values, first, weighted),
            3 if wide => weigh_block::<L, E, NUM_ROWS, 3>(l, weights, values, first, weighted),
            4 if wide => weigh_block::<L, E, NUM_ROWS, 4>(l, weights, values, first, weighted),
            5 if wide => weigh_block::<L, E, NUM_ROWS, 5>(l, weights, values, first, weighted),
            _ => unreachable!("between one and five vectors"),
        }
        first += at_once;
    }
}

/// Keys ahead for which values are asked for.
const PREFETCH_KEYS: usize = 8;

#[inline(always)]
fn weigh_block<L: Lanes, E: Element, const NUM_ROWS: usize, const NUM_VECTORS: usize>(
    l: L,
    weights: &[f32],
    values: &[*const E],
    first_vector: usize,
    weighted: &mut [f32],
) {
    let width = weighted.len() / NUM_ROWS;
    let vectors = weighted.as_chunks_mut::<LANES>().0;
    let place = |row: usize, vector: usize| row * (width / LANES) + first_vector + vector;
    let mut sums = [[l.splat(0.0); NUM_VECTORS]; NUM_ROWS];
    for row in 0..NUM_ROWS {
        for vector in 0..NUM_VECTORS {
            sums[row][vector] = l.load(&vectors[place(row, vector)]);
        }
    }
    assert!((NUM_ROWS - 1) * CHUNK + values.len() <= weights.len(), "a weight for each value");
    for (key, address) in values.iter().enumerate() {
        let address = address.wrapping_add(first_vector * LANES).cast::<[E; LANES]>();
        if let Some(ahead) = values.get(key + PREFETCH_KEYS) {
            let ahead = ahead.wrapping_add(first_vector * LANES);
            for vector in (0..NUM_VECTORS).step_by(4 / size_of::<E>()) {
                l.prefetch(ahead.wrapping_add(vector * LANES));
            }
        }
        let mut value = [l.splat(0.0); NUM_VECTORS];
        for (vector, value) in value.iter_mut().enumerate() {
            // SAFETY: `address` is that of a value of value_width elements in the cache, which is
            // borrowed for the call, and `first_vector + vector` is a vector of it.
            *value = E::load(l, unsafe { &*address.add(vector) });
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: asserted before the loop.
            let weight = l.splat(unsafe { *weights.get_unchecked(row * CHUNK + key) });
            for (sum, value) in sums.iter_mut().zip(value) {
                *sum = l.mul_add(weight, value, *sum);
            }
        }
    }
    for row in 0..NUM_ROWS {
        for vector in 0..NUM_VECTORS {
            l.store(sums[row][vector], &mut vectors[place(row, vector)]);
        }
    }
}
