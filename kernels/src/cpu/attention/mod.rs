//! Paged attention: causal, grouped heads, optional window and score cap, over the KV cache.
//!
//! The keys of a sequence are cut into chunks of [`CHUNK`] at absolute positions. A row (one head
//! of one token) makes a partial softmax of each chunk that it sees, `(max, sum, accumulator)`,
//! and the partials are merged in the order of the chunks. Nothing in a row's arithmetic depends
//! on the block size, the other rows, or how much of the prompt this step computes; decode and
//! prefill are one path. All instruction sets give the same bits.
//!
//! Work is split by tiles of tokens and kv heads, and by chunks as well when that makes too few
//! tasks for the threads (a long context, few sequences); the result is the same.

mod chunk;
mod micro;

use std::ops::Range;

use crate::cpu::CpuContext;
use crate::cpu::element::Element;
use crate::cpu::kv::{KvDtype, PagedKv};
use crate::cpu::lanes::{Kernel, Lanes};
use crate::cpu::memory::SharedMut;
use crate::cpu::rows::Rows;
use crate::error::{KernelError, check_below, check_shape};
use chunk::{Partial, Scratch};

/// Keys of one partial softmax.
const CHUNK: usize = 256;
/// Rows (tokens by heads of one kv head) that a task computes together, unless one token has more.
const ROWS_PER_TILE: usize = 16;
/// With fewer tiles per thread than this the chunks become tasks of their own.
const MIN_TILES_PER_THREAD: usize = 4;

/// The heads and scores of a model's attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionParams {
    /// Query heads, a multiple of `num_kv_heads`; head h reads kv head
    /// h / (num_heads / num_kv_heads).
    pub num_heads: usize,
    /// Key and value heads.
    pub num_kv_heads: usize,
    /// Dimensions of a head.
    pub head_dim: usize,
    /// Scores are multiplied by it, usually 1 / sqrt(head_dim).
    pub scale: f32,
    /// A token sees this many keys, itself included; all before it when None.
    pub window: Option<u32>,
    /// Scores become `cap * tanh(score / cap)`, after scaling.
    pub soft_cap: Option<f32>,
}

/// The sequences of a step, packed.
#[derive(Debug, Clone, Copy)]
pub struct AttentionBatch<'a> {
    /// `[num_seqs + 1]`: rows `query_start[s] .. query_start[s + 1]` belong to sequence s.
    pub query_start: &'a [u32],
    /// `[num_seqs]`: keys of each sequence, those of this step included.
    pub context_lens: &'a [u32],
    /// `[num_seqs, max_blocks]`: the blocks of each sequence in the order of its tokens. Blocks
    /// that no row of this step sees are not looked at.
    pub block_tables: &'a [u32],
    /// Entries per sequence in `block_tables`.
    pub max_blocks: usize,
}

/// Attention of the rows of a step over the cache of one layer.
///
/// Token i of the n of a sequence stands at position `context_len - n + i` and sees the keys up to
/// its own. `q`: `[num_tokens, num_heads * head_dim]`, a view; `out`: the same, contiguous. The
/// keys and values of this step have to be in the cache already.
///
/// # Errors
/// When shapes do not fit each other or the cache, or a visible block does not exist.
pub fn paged_attention(
    ctx: &CpuContext,
    params: &AttentionParams,
    kv: &PagedKv,
    layer: usize,
    q: Rows<'_>,
    batch: &AttentionBatch<'_>,
    out: &mut [f32],
) -> Result<(), KernelError> {
    check(params, kv, layer, q, batch, out.len())?;
    let out = SharedMut::new(out);
    let attention = Attention { params, kv, layer, q, batch, out };
    match kv.layout().dtype {
        KvDtype::F32 => attention.compute::<f32>(ctx),
        KvDtype::Bf16 => attention.compute::<u16>(ctx),
    }
    Ok(())
}

/// One call, for tasks to share.
struct Attention<'a> {
    params: &'a AttentionParams,
    kv: &'a PagedKv,
    layer: usize,
    q: Rows<'a>,
    batch: &'a AttentionBatch<'a>,
    out: SharedMut<'a, f32>,
}

/// Consecutive tokens of one sequence.
#[derive(Debug, Clone, Copy)]
struct TokenTile {
    sequence: usize,
    first_token: usize,
    num_tokens: usize,
    /// Of the first token, in its sequence.
    position: usize,
}

/// A tile of tokens with the heads that share one kv head: the rows of a task.
#[derive(Clone, Copy)]
struct Tile<'a> {
    attention: &'a Attention<'a>,
    tokens: TokenTile,
    kv_head: usize,
}

impl Attention<'_> {
    /// Query heads per kv head.
    fn group(&self) -> usize {
        self.params.num_heads / self.params.num_kv_heads
    }

    fn compute<E: Element>(&self, ctx: &CpuContext) {
        let tokens = self.token_tiles();
        let num_kv_heads = self.params.num_kv_heads;
        let num_tiles = tokens.len() * num_kv_heads;
        // Neighbouring tasks share a kv head, whose keys and values stay in the cache.
        let tile = |index: usize| Tile {
            attention: self,
            tokens: tokens[index % tokens.len()],
            kv_head: index / tokens.len(),
        };
        let num_threads = ctx.pool().num_threads();
        if num_threads == 1 || num_tiles >= num_threads * MIN_TILES_PER_THREAD {
            ctx.pool().run(num_tiles, &|index| ctx.run(WholeTile::<E>::new(tile(index))));
            return;
        }
        let chunks = (0..num_tiles).map(|index| tile(index).chunks());
        let tasks: Vec<(usize, usize)> =
            chunks.enumerate().flat_map(|(tile, chunks)| chunks.map(move |c| (tile, c))).collect();
        let max_len = (0..num_tiles).map(|index| tile(index).partial_len()).max().unwrap_or(0);
        let mut partials = vec![0.0; tasks.len() * max_len];
        let shared = SharedMut::new(&mut partials);
        ctx.pool().run(tasks.len(), &|index| {
            let (tile_index, chunk) = tasks[index];
            // SAFETY: each task has its own partial.
            let partial = unsafe { shared.range(index * max_len..(index + 1) * max_len) };
            ctx.run(OneChunk::<E>::new(tile(tile_index), chunk, partial));
        });
        ctx.pool().run(num_tiles, &|index| {
            let first = tasks.partition_point(|&(tile, _)| tile < index);
            ctx.run(MergeChunks { tile: tile(index), partials: &partials[first * max_len..], max_len });
        });
    }

    fn token_tiles(&self) -> Vec<TokenTile> {
        let tokens_per_tile = (ROWS_PER_TILE / self.group()).max(1);
        let mut tiles = Vec::new();
        for (sequence, bounds) in self.batch.query_start.windows(2).enumerate() {
            let (start, end) = (bounds[0] as usize, bounds[1] as usize);
            let first_position = self.batch.context_lens[sequence] as usize - (end - start);
            for first_token in (start..end).step_by(tokens_per_tile) {
                tiles.push(TokenTile {
                    sequence,
                    first_token,
                    num_tokens: tokens_per_tile.min(end - first_token),
                    position: first_position + first_token - start,
                });
            }
        }
        tiles
    }
}

/// The keys that the token at `position` sees.
fn visible(window: Option<u32>, position: usize) -> Range<usize> {
    let end = position + 1;
    let start = window.map_or(0, |window| end.saturating_sub(window as usize));
    start..end
}

impl Tile<'_> {
    fn num_rows(&self) -> usize {
        self.tokens.num_tokens * self.attention.group()
    }

    /// The keys that a row sees. Rows are ordered by token, then head.
    fn visible(&self, row: usize) -> Range<usize> {
        let token = row / self.attention.group();
        visible(self.attention.params.window, self.tokens.position + token)
    }

    /// The keys that any row sees.
    fn visible_to_any(&self) -> Range<usize> {
        self.visible(0).start..self.visible(self.num_rows() - 1).end
    }

    /// The chunks that any row sees.
    fn chunks(&self) -> Range<usize> {
        let keys = self.visible_to_any();
        keys.start / CHUNK..keys.end.div_ceil(CHUNK)
    }

    fn partial_len(&self) -> usize {
        Partial::len(self.num_rows(), self.attention.kv.layout().value_width())
    }

    /// The token and the first column of a row in `q` and `out`.
    fn place(&self, row: usize) -> (usize, usize) {
        let group = self.attention.group();
        let head = self.kv_head * group + row % group;
        (self.tokens.first_token + row / group, head * self.attention.params.head_dim)
    }

    fn query(&self, row: usize) -> &[f32] {
        let (token, column) = self.place(row);
        &self.attention.q.row(token)[column..column + self.attention.params.head_dim]
    }

    /// Adds the partial of a chunk to the running state: rescales both to the larger maximum.
    #[inline(always)]
    fn merge<L: Lanes>(&self, l: L, chunk: usize, state: &mut Partial<'_>, partial: &Partial<'_>) {
        for row in 0..self.num_rows() {
            let keys = self.visible(row);
            if keys.end <= chunk * CHUNK || keys.start >= (chunk + 1) * CHUNK {
                continue;
            }
            if keys.start / CHUNK == chunk {
                state.copy_row(row, partial);
            } else {
                state.merge_row(l, row, partial);
            }
        }
    }

    /// Writes the rows of a finished state to the output.
    #[inline(always)]
    fn finish<L: Lanes>(&self, l: L, state: &Partial<'_>) {
        let head_dim = self.attention.params.head_dim;
        let width = self.attention.q.width();
        for row in 0..self.num_rows() {
            let (token, column) = self.place(row);
            let start = token * width + column;
            // SAFETY: no other tile has this token and head.
            let out = unsafe { self.attention.out.range(start..start + head_dim) };
            state.write_row(l, row, out);
        }
    }
}

/// All chunks of a tile by one task.
struct WholeTile<'a, E: Element> {
    tile: Tile<'a>,
    scratch: Scratch<E>,
}

impl<'a, E: Element> WholeTile<'a, E> {
    fn new(tile: Tile<'a>) -> Self {
        Self { tile, scratch: Scratch::new(tile.num_rows()) }
    }
}

impl<E: Element> Kernel for WholeTile<'_, E> {
    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        let (num_rows, len) = (self.tile.num_rows(), self.tile.partial_len());
        let mut memory = vec![0.0; 2 * len];
        let (state, partial) = memory.split_at_mut(len);
        let mut state = Partial::new(state, num_rows);
        let mut partial = Partial::new(partial, num_rows);
        for chunk in self.tile.chunks() {
            self.scratch.compute(l, &self.tile, chunk, &mut partial);
            self.tile.merge(l, chunk, &mut state, &partial);
        }
        self.tile.finish(l, &state);
    }
}

/// One chunk of a tile.
struct OneChunk<'a, E: Element> {
    tile: Tile<'a>,
    chunk: usize,
    scratch: Scratch<E>,
    partial: &'a mut [f32],
}

impl<'a, E: Element> OneChunk<'a, E> {
    fn new(tile: Tile<'a>, chunk: usize, partial: &'a mut [f32]) -> Self {
        Self { tile, chunk, scratch: Scratch::new(tile.num_rows()), partial }
    }
}

impl<E: Element> Kernel for OneChunk<'_, E> {
    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        let len = self.tile.partial_len();
        let mut partial = Partial::new(&mut self.partial[..len], self.tile.num_rows());
        self.scratch.compute(l, &self.tile, self.chunk, &mut partial);
    }
}

/// The partials of all chunks of a tile, one every `max_len` elements, made into its output.
struct MergeChunks<'a> {
    tile: Tile<'a>,
    partials: &'a [f32],
    max_len: usize,
}

impl Kernel for MergeChunks<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (num_rows, len) = (self.tile.num_rows(), self.tile.partial_len());
        let mut state = vec![0.0; len];
        let mut state = Partial::new(&mut state, num_rows);
        let mut copy = vec![0.0; len];
        for (chunk, partial) in self.tile.chunks().zip(self.partials.chunks(self.max_len)) {
            copy.copy_from_slice(&partial[..len]);
            self.tile.merge(l, chunk, &mut state, &Partial::new(&mut copy, num_rows));
        }
        self.tile.finish(l, &state);
    }
}

fn check(
    params: &AttentionParams,
    kv: &PagedKv,
    layer: usize,
    q: Rows<'_>,
    batch: &AttentionBatch<'_>,
    out_len: usize,
) -> Result<(), KernelError> {
    const OP: &str = "paged_attention";
    let unsupported =
        |argument, value, reason| Err(KernelError::Unsupported { op: OP, argument, value, reason });
    let layout = kv.layout();
    kv.check_layer(OP, layer)?;
    if params.num_kv_heads != layout.num_kv_heads {
        return unsupported("num_kv_heads", params.num_kv_heads, "the cache has another number");
    }
    if params.head_dim != layout.head_dim {
        return unsupported("head_dim", params.head_dim, "the cache has another number");
    }
    if params.num_heads == 0 || !params.num_heads.is_multiple_of(params.num_kv_heads) {
        return unsupported("num_heads", params.num_heads, "not a multiple of num_kv_heads");
    }
    if params.window == Some(0) {
        return unsupported("window", 0, "a token sees at least itself");
    }
    check_shape(OP, "q", &[params.num_heads, params.head_dim], q.width())?;
    check_shape(OP, "out", &[q.num_rows(), q.width()], out_len)?;

    let num_seqs = batch.context_lens.len();
    check_shape(OP, "query_start", &[num_seqs + 1], batch.query_start.len())?;
    check_shape(OP, "block_tables", &[num_seqs, batch.max_blocks], batch.block_tables.len())?;
    if batch.query_start[0] != 0 || !batch.query_start.is_sorted() {
        return unsupported("query_start", 0, "starts at zero and never falls");
    }
    check_shape(OP, "q", &[batch.query_start[num_seqs] as usize], q.num_rows())?;
    for (sequence, bounds) in batch.query_start.windows(2).enumerate() {
        let num_tokens = bounds[1] - bounds[0];
        let context_len = batch.context_lens[sequence];
        if num_tokens == 0 {
            continue;
        }
        if context_len < num_tokens {
            let reason = "the context has the tokens of this step in it";
            return unsupported("context_lens", context_len as usize, reason);
        }
        let num_blocks = (context_len as usize).div_ceil(layout.block_size);
        if num_blocks > batch.max_blocks {
            return unsupported("max_blocks", batch.max_blocks, "too few for a context");
        }
        let first_key = visible(params.window, (context_len - num_tokens) as usize).start;
        let table = &batch.block_tables[sequence * batch.max_blocks..][..num_blocks];
        let seen = &table[first_key / layout.block_size..];
        check_below(OP, "block_tables", seen, layout.num_blocks)?;
    }
    Ok(())
}
