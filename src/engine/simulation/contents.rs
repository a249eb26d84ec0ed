//! What really lies in each slot of the KV pool: a second set of books, kept from the plans and batches alone.
//!
//! A slot holds the name of the beginning that it was computed for: salt, tokens up to its own, and group of layers.
//! The fake runner's numbers would be the same for two salts; these names are not.

use super::Checked;
use crate::model::{ForwardBatch, KvCapacity, KvGroup};

/// What was never written or cannot be trusted.
const GARBAGE: u64 = 0;

/// Name of a beginning of a sequence.
pub(super) type Name = u64;

/// The name of nothing, with a salt.
pub(super) fn root(salt: &[u8]) -> Name {
    salt.iter().fold(0x6d61_7275, |name, &byte| child(name, u32::from(byte) + 1_000_000))
}

/// The name of one token more.
pub(super) fn child(parent: Name, token_id: u32) -> Name {
    let value = (parent ^ u64::from(token_id)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    (value ^ value >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1
}

/// The names of all beginnings of `tokens`: entry `p` ends with the token at `p`.
pub(super) fn names(salt: &[u8], tokens: &[u32]) -> Vec<Name> {
    let mut name = root(salt);
    let mut names = Vec::with_capacity(tokens.len());
    for &token_id in tokens {
        name = child(name, token_id);
        names.push(name);
    }
    names
}

#[derive(Debug)]
pub(super) struct Contents {
    block_size: usize,
    groups: Vec<KvGroup>,
    /// `[num_blocks * block_size]`
    slots: Vec<u64>,
}

impl Contents {
    pub(super) fn new(capacity: KvCapacity, groups: &[KvGroup]) -> Self {
        let slots = vec![GARBAGE; capacity.num_tokens() as usize];
        Self { block_size: capacity.block_size as usize, groups: groups.to_vec(), slots }
    }

    /// Spoils a block but for its first `num_kept` tokens.
    pub(super) fn spoil(&mut self, block: u32, num_kept: usize) {
        let start = block as usize * self.block_size;
        self.slots[start + num_kept..start + self.block_size].fill(GARBAGE);
    }

    /// Whether the first `num_tokens` tokens of a block were written.
    pub(super) fn are_written(&self, block: u32, num_tokens: usize) -> bool {
        let start = block as usize * self.block_size;
        self.slots[start..start + num_tokens].iter().all(|&name| name != GARBAGE)
    }

    pub(super) fn copy_blocks(&mut self, batch: &ForwardBatch) {
        for copy in &batch.block_copies {
            let from = copy.from as usize * self.block_size;
            self.slots.copy_within(from..from + self.block_size, copy.to as usize * self.block_size);
        }
    }

    /// Checks that a sequence, whose beginnings have these `names`, finds in front of its rows what it computed or
    /// what another computed for the same beginning.
    pub(super) fn check_reads(&self, batch: &ForwardBatch, seq: usize, names: &[Name]) -> Checked {
        let first = batch.positions[batch.query_start[seq] as usize];
        for (group, kv) in batch.kv.iter().enumerate() {
            let table = kv.block_tables.row(seq);
            for position in self.groups[group].first_visible(first) as usize..first as usize {
                let block = table[position / self.block_size];
                let slot = block as usize * self.block_size + position % self.block_size;
                ensure!(
                    self.slots[slot] == tagged(names[position], group),
                    "group {group} finds something else at position {position}, in block {block}"
                );
            }
        }
        Ok(())
    }

    /// Enters what a sequence writes after a beginning of this name.
    pub(super) fn write(&mut self, batch: &ForwardBatch, seq: usize, parent: Name) {
        let mut name = parent;
        for row in batch.query_start[seq] as usize..batch.query_start[seq + 1] as usize {
            name = child(name, batch.token_ids[row]);
            for (group, kv) in batch.kv.iter().enumerate() {
                self.slots[kv.slot_mapping[row] as usize] = tagged(name, group);
            }
        }
    }
}

fn tagged(name: Name, group: usize) -> u64 {
    child(name, group as u32)
}
