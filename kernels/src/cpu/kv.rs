//! The paged KV cache: keys and values of all layers, in blocks of token slots.
//!
//! Per layer, block and kv head lie first the keys, then the values. Keys stand in groups of
//! sixteen slots, dimension by dimension, so that one line holds one dimension of sixteen keys
//! (bf16: two dimensions) and scores need no sum across lanes. Values stand slot by slot, each
//! padded with zeros to whole vectors.

use crate::cpu::CpuContext;
use crate::cpu::element::Element;
use crate::cpu::lanes::LANES;
use crate::cpu::memory::{AlignedBuffer, LINE_BYTES, Plain, SharedMut};
use crate::cpu::rows::Rows;
use crate::error::{KernelError, check_below, check_shape};

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvDtype {
    /// As they come.
    F32,
    /// Rounded to nearest even; half the memory.
    Bf16,
}

impl KvDtype {
    fn bytes(self) -> usize {
        match self {
            KvDtype::F32 => 4,
            KvDtype::Bf16 => 2,
        }
    }
}

/// The dimensions of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagedKvLayout {
    /// Layers that keep keys and values.
    pub num_layers: usize,
    /// Blocks per layer; block ids are below it.
    pub num_blocks: usize,
    /// Token slots per block.
    pub block_size: usize,
    /// Key and value heads.
    pub num_kv_heads: usize,
    /// Dimensions of a head, an even number.
    pub head_dim: usize,
    /// How keys and values are kept.
    pub dtype: KvDtype,
}

impl PagedKvLayout {
    /// Bytes that one block takes over all layers, padding included; None when it overflows.
    #[must_use]
    pub fn block_bytes(&self) -> Option<usize> {
        let head_bytes = self.head_bytes()?;
        head_bytes.checked_mul(self.num_kv_heads)?.checked_mul(self.num_layers)
    }

    /// Groups of sixteen keys in a block; the last may be partly unused.
    pub(crate) fn key_groups(&self) -> usize {
        self.block_size.div_ceil(LANES)
    }

    /// Elements of a value, padded to whole vectors.
    pub(crate) fn value_width(&self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }

    /// Elements before the values of a block and head: its keys.
    pub(crate) fn key_elements(&self) -> usize {
        self.key_groups() * LANES * self.head_dim
    }

    /// Bytes of one head's keys and values in one block.
    fn head_bytes(&self) -> Option<usize> {
        let keys = self.key_groups().checked_mul(LANES)?.checked_mul(self.head_dim)?;
        let values = self.block_size.checked_mul(self.head_dim.checked_next_multiple_of(LANES)?)?;
        let bytes = keys.checked_add(values)?.checked_mul(self.dtype.bytes())?;
        bytes.checked_next_multiple_of(LINE_BYTES)
    }
}

/// Keys and values of all tokens in the cache.
#[derive(Debug)]
pub struct PagedKv {
    layout: PagedKvLayout,
    head_bytes: usize,
    buffer: AlignedBuffer,
}

impl PagedKv {
    /// Allocates the cache and touches every page, so that the memory is there from the start.
    ///
    /// # Errors
    /// When a dimension is zero, `head_dim` is odd or the memory is not there.
    pub fn new(layout: PagedKvLayout) -> Result<Self, KernelError> {
        const OP: &str = "paged_kv";
        let PagedKvLayout { num_layers, num_blocks, block_size, num_kv_heads, head_dim, .. } = layout;
        let dimensions = [
            ("num_layers", num_layers),
            ("num_blocks", num_blocks),
            ("block_size", block_size),
            ("num_kv_heads", num_kv_heads),
            ("head_dim", head_dim),
        ];
        if let Some(&(argument, value)) = dimensions.iter().find(|(_, value)| *value == 0) {
            let reason = "every dimension is at least one";
            return Err(KernelError::Unsupported { op: OP, argument, value, reason });
        }
        if !head_dim.is_multiple_of(2) {
            let reason = "heads have an even number of dimensions";
            let (argument, value) = ("head_dim", head_dim);
            return Err(KernelError::Unsupported { op: OP, argument, value, reason });
        }
        let bytes = layout.block_bytes().and_then(|bytes| bytes.checked_mul(num_blocks));
        let mut buffer = AlignedBuffer::zeroed(OP, bytes.unwrap_or(usize::MAX))?;
        buffer.touch();
        let head_bytes = layout.head_bytes().expect("its multiple did not overflow");
        Ok(Self { layout, head_bytes, buffer })
    }

    /// The dimensions.
    #[must_use]
    pub fn layout(&self) -> &PagedKvLayout {
        &self.layout
    }

    /// Size in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Writes the keys and values of one layer for the tokens of a step.
    ///
    /// `slot_mapping`: `[num_tokens]`, block * block_size + offset; `keys`, `values`:
    /// `[num_tokens, num_kv_heads * head_dim]`. Where two tokens have one slot the later stays.
    ///
    /// # Errors
    /// When a slot or the layer does not exist or a shape does not fit.
    pub fn write(
        &mut self,
        ctx: &CpuContext,
        layer: usize,
        slot_mapping: &[u32],
        keys: Rows<'_>,
        values: Rows<'_>,
    ) -> Result<(), KernelError> {
        const OP: &str = "kv_write";
        let layout = self.layout;
        let width = layout.num_kv_heads * layout.head_dim;
        for (argument, rows) in [("keys", keys), ("values", values)] {
            let expected = [slot_mapping.len(), width];
            if [rows.num_rows(), rows.width()] != expected {
                check_shape(OP, argument, &expected, rows.num_rows() * rows.width())?;
                check_shape(OP, argument, &[width], rows.width())?;
            }
        }
        self.check_layer(OP, layer)?;
        check_below(OP, "slot_mapping", slot_mapping, layout.num_blocks * layout.block_size)?;
        match layout.dtype {
            KvDtype::F32 => self.write_as::<f32>(ctx, layer, slot_mapping, keys, values),
            KvDtype::Bf16 => self.write_as::<u16>(ctx, layer, slot_mapping, keys, values),
        }
        Ok(())
    }

    /// Copies keys and values of a block over all layers into another.
    ///
    /// # Errors
    /// When a block does not exist or both are the same.
    pub fn copy_block(&mut self, ctx: &CpuContext, from: u32, to: u32) -> Result<(), KernelError> {
        const OP: &str = "kv_copy";
        check_below(OP, "from", &[from], self.layout.num_blocks)?;
        check_below(OP, "to", &[to], self.layout.num_blocks)?;
        if from == to {
            let reason = "a block is not copied to itself";
            return Err(KernelError::Unsupported { op: OP, argument: "to", value: to as usize, reason });
        }
        let elements = self.layout.num_kv_heads * (self.head_bytes / size_of::<u16>());
        let [from_start, to_start] = [from, to].map(|block| self.head_start::<u16>(0, block as usize, 0));
        let shared = SharedMut::new(self.buffer.as_mut_slice::<u16>());
        ctx.for_each_range(self.layout.num_layers, elements, |layers| {
            for layer in layers {
                let layer_start = layer * self.layout.num_blocks * elements;
                let (from, to) = (layer_start + from_start, layer_start + to_start);
                // SAFETY: the blocks are different, and each task has its own layers.
                let (from, to) =
                    unsafe { (shared.range(from..from + elements), shared.range(to..to + elements)) };
                to.copy_from_slice(from);
            }
        });
        Ok(())
    }

    pub(crate) fn check_layer(&self, op: &'static str, layer: usize) -> Result<(), KernelError> {
        if layer < self.layout.num_layers {
            return Ok(());
        }
        let (value, limit) = (layer as u64, self.layout.num_layers as u64);
        Err(KernelError::OutOfRange { op, argument: "layer", index: 0, value, limit })
    }

    /// Where the elements of a block and head start.
    #[inline(always)]
    fn head_start<E>(&self, layer: usize, block: usize, kv_head: usize) -> usize {
        let blocks = layer * self.layout.num_blocks + block;
        (blocks * self.layout.num_kv_heads + kv_head) * (self.head_bytes / size_of::<E>())
    }

    /// The address of the keys of a block and head; its values follow [`PagedKvLayout::key_elements`]
    /// elements later. Inside the buffer for any layer, block and head of the layout.
    #[inline(always)]
    pub(crate) fn head_ptr<E: Plain>(&self, layer: usize, block: usize, kv_head: usize) -> *const E {
        let start = self.head_start::<E>(layer, block, kv_head);
        self.buffer.as_ptr().cast::<E>().wrapping_add(start)
    }

    fn write_as<E: Element>(
        &mut self,
        ctx: &CpuContext,
        layer: usize,
        slot_mapping: &[u32],
        keys: Rows<'_>,
        values: Rows<'_>,
    ) {
        let layout = self.layout;
        let head_elements = self.head_bytes / size_of::<E>();
        let layer_start = self.head_start::<E>(layer, 0, 0);
        let elements = SharedMut::new(self.buffer.as_mut_slice::<E>());
        let head_dim = layout.head_dim;
        // Tasks split heads, not tokens: two tokens may name one slot.
        ctx.for_each_range(layout.num_kv_heads, slot_mapping.len() * head_dim, |heads| {
            for kv_head in heads {
                let columns = kv_head * head_dim..(kv_head + 1) * head_dim;
                for (token, &slot) in slot_mapping.iter().enumerate() {
                    let slot = slot as usize;
                    let (block, offset) = (slot / layout.block_size, slot % layout.block_size);
                    let index = block * layout.num_kv_heads + kv_head;
                    let start = layer_start + index * head_elements;
                    // SAFETY: each head of each block is written by the one task that has it.
                    let head = unsafe { elements.range(start..start + head_elements) };
                    let (head_keys, head_values) = head.split_at_mut(layout.key_elements());
                    let group = &mut head_keys[offset / LANES * LANES * head_dim..];
                    write_key(group, offset % LANES, &keys.row(token)[columns.clone()]);
                    let head_value = &mut head_values[offset * layout.value_width()..];
                    for (to, &from) in head_value.iter_mut().zip(&values.row(token)[columns.clone()]) {
                        *to = E::round(from);
                    }
                }
            }
        });
    }
}

/// Writes one key into a group of sixteen: `[head_dim / 2]` pairs.
fn write_key<E: Element>(group: &mut [E], lane: usize, key: &[f32]) {
    for (pair, key) in group.chunks_exact_mut(2 * LANES).zip(key.chunks_exact(2)) {
        pair[E::place(0, lane)] = E::round(key[0]);
        pair[E::place(1, lane)] = E::round(key[1]);
    }
}
