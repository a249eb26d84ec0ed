//! The input of one forward pass: token rows of several sequences packed without padding.
//!
//! There is no prefill flag. A sequence contributes the rows `query_start[s]..query_start[s + 1]`;
//! one row is a decode step, many are a (chunk of a) prompt, and both mix freely.

use super::{KvCapacity, KvGroup, ModelError};

/// The packed input of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardBatch {
    /// Token ids, `[num_tokens]`.
    pub token_ids: Vec<u32>,
    /// Absolute position of each token in its sequence, `[num_tokens]`.
    pub positions: Vec<u32>,
    /// First row of each sequence, and the number of rows last, `[num_seqs + 1]`.
    pub query_start: Vec<u32>,
    /// K/V length of each sequence including this step, `[num_seqs]`.
    pub context_lens: Vec<u32>,
    /// Where keys and values are, one per group of layers, `[num_groups]`.
    pub kv: Vec<KvGroupBatch>,
    /// Blocks that are copied whole, over all layers of the pool, one after the other and before
    /// this step writes anything.
    pub block_copies: Vec<BlockCopy>,
    /// Rows whose logits are wanted, ascending; a sequence may have several.
    pub sample_rows: Vec<u32>,
    /// Rows whose hidden state after the final norm is wanted, ascending.
    pub hidden_rows: Vec<u32>,
}

/// Where the layers of one [`KvGroup`] write and find keys and values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvGroupBatch {
    /// Where each token's K and V are written, `[num_tokens]`: `block_id * block_size + offset`.
    pub slot_mapping: Vec<u32>,
    /// The blocks of each sequence, in order, `[num_seqs, max_blocks]`.
    pub block_tables: BlockTables,
}

/// A block that takes over the content of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockCopy {
    /// The block that is read.
    pub from: u32,
    /// The block that is written.
    pub to: u32,
}

impl ForwardBatch {
    /// Number of token rows.
    pub fn num_tokens(&self) -> usize {
        self.token_ids.len()
    }

    /// Number of sequences.
    pub fn num_seqs(&self) -> usize {
        self.context_lens.len()
    }
}

/// Block tables of a batch as one rectangle; rows are padded with zeros that nobody reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockTables {
    /// Block ids, row-major, `[num_seqs, max_blocks]`.
    pub data: Vec<u32>,
    /// Width of a row in blocks.
    pub max_blocks: usize,
}

impl BlockTables {
    /// The entry of a block that no row of this step sees any more, because it left the group's
    /// window. Nobody reads it.
    pub const NONE: u32 = u32::MAX;

    /// Packs one table per sequence into a rectangle as wide as the longest.
    pub fn from_rows<'a>(rows: impl Iterator<Item = &'a [u32]> + Clone) -> Self {
        let max_blocks = rows.clone().map(<[u32]>::len).max().unwrap_or(0);
        let mut data = Vec::new();
        for row in rows {
            data.extend_from_slice(row);
            data.resize(data.len() + max_blocks - row.len(), 0);
        }
        Self { data, max_blocks }
    }

    /// The (padded) row of sequence `seq`.
    pub fn row(&self, seq: usize) -> &[u32] {
        &self.data[seq * self.max_blocks..(seq + 1) * self.max_blocks]
    }
}

/// What a batch has to fit: the model and the KV pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Token ids are below it.
    pub vocab_size: usize,
    /// Positions are below it.
    pub max_positions: u32,
    /// The pool that slots and block ids address.
    pub kv_capacity: KvCapacity,
}

impl ForwardBatch {
    /// Checks the batch whole, so that no backend has to: shapes agree, ids, positions, blocks and
    /// slots exist, each sequence's rows are the last of its context and are written where its
    /// block table says, no two rows are written to one slot, and no two of `groups` to one block.
    ///
    /// # Errors
    /// [`ModelError::InvalidBatch`] with the field that is wrong.
    pub fn check(&self, limits: &BatchLimits, groups: &[KvGroup]) -> Result<(), ModelError> {
        self.check_shapes(groups.len())?;
        if let Some(row) = self.token_ids.iter().position(|&id| id as usize >= limits.vocab_size) {
            let id = self.token_ids[row];
            return invalid(format!("token_ids[{row}] is {id}, the vocabulary has {}", limits.vocab_size));
        }
        for seq in 0..self.num_seqs() {
            self.check_positions(seq, limits)?;
            for (group, &kind) in groups.iter().enumerate() {
                self.check_blocks(seq, group, kind, limits.kv_capacity)?;
            }
        }
        self.check_no_place_is_shared(limits.kv_capacity.block_size)?;
        self.check_copies(limits.kv_capacity.num_blocks)
    }

    fn check_shapes(&self, num_groups: usize) -> Result<(), ModelError> {
        let (num_tokens, num_seqs) = (self.num_tokens(), self.num_seqs());
        if self.positions.len() != num_tokens {
            return invalid(format!(
                "positions has {} entries for {num_tokens} tokens",
                self.positions.len()
            ));
        }
        if num_tokens == 0 {
            return invalid("token_ids is empty".to_owned());
        }
        let starts = &self.query_start;
        if starts.len() != num_seqs + 1 {
            return invalid(format!("query_start has {} entries for {num_seqs} sequences", starts.len()));
        }
        let ends_fit = starts[0] == 0 && starts[num_seqs] as usize == num_tokens;
        if !ends_fit || !starts.is_sorted_by(|a, b| a < b) {
            return invalid(format!(
                "query_start does not rise from 0 to {num_tokens}, the number of tokens"
            ));
        }
        for (name, rows) in [("sample_rows", &self.sample_rows), ("hidden_rows", &self.hidden_rows)] {
            if !rows.is_sorted_by(|a, b| a < b) || rows.last().is_some_and(|&row| row as usize >= num_tokens)
            {
                return invalid(format!("{name} does not rise below {num_tokens}, the number of tokens"));
            }
        }
        if self.kv.len() != num_groups {
            return invalid(format!("kv has {} entries for {num_groups} groups", self.kv.len()));
        }
        for (group, KvGroupBatch { slot_mapping, block_tables: table }) in self.kv.iter().enumerate() {
            if slot_mapping.len() != num_tokens {
                let len = slot_mapping.len();
                return invalid(format!(
                    "kv[{group}].slot_mapping has {len} entries for {num_tokens} tokens"
                ));
            }
            if num_seqs.checked_mul(table.max_blocks) != Some(table.data.len()) {
                return invalid(format!(
                    "kv[{group}].block_tables has {} entries, expected {num_seqs} rows of {}",
                    table.data.len(),
                    table.max_blocks
                ));
            }
        }
        Ok(())
    }

    fn check_positions(&self, seq: usize, limits: &BatchLimits) -> Result<(), ModelError> {
        let (start, end) = (self.query_start[seq], self.query_start[seq + 1]);
        let context_len = self.context_lens[seq];
        if context_len < end - start || context_len > limits.max_positions {
            return invalid(format!(
                "context_lens[{seq}] is {context_len}, expected {} to {}",
                end - start,
                limits.max_positions
            ));
        }
        let first_position = context_len - (end - start);
        for (row, position) in (start as usize..end as usize).zip(first_position..) {
            if self.positions[row] != position {
                let actual = self.positions[row];
                return invalid(format!(
                    "positions[{row}] is {actual}, expected {position} in sequence {seq}"
                ));
            }
        }
        Ok(())
    }

    /// Blocks that some row sees exist, those before are there or [`BlockTables::NONE`], and the
    /// rows are written to the blocks of their positions.
    fn check_blocks(
        &self,
        seq: usize,
        group: usize,
        kind: KvGroup,
        KvCapacity { num_blocks, block_size }: KvCapacity,
    ) -> Result<(), ModelError> {
        let KvGroupBatch { slot_mapping, block_tables } = &self.kv[group];
        let blocks = block_tables.row(seq);
        let context_len = self.context_lens[seq];
        let num_used = context_len.div_ceil(block_size) as usize;
        if num_used > blocks.len() {
            return invalid(format!(
                "kv[{group}].block_tables[{seq}] has {} blocks, {context_len} tokens need {num_used}",
                blocks.len()
            ));
        }
        let rows = self.query_start[seq] as usize..self.query_start[seq + 1] as usize;
        let num_hidden = (kind.first_visible(self.positions[rows.start]) / block_size) as usize;
        for (index, &block) in blocks[..num_used].iter().enumerate() {
            if block < num_blocks || (block == BlockTables::NONE && index < num_hidden) {
                continue;
            }
            let table = format!("kv[{group}].block_tables[{seq}]");
            return match block {
                BlockTables::NONE => invalid(format!("{table}[{index}] is missing, this step sees it")),
                _ => invalid(format!("{table} has block {block}, the pool has {num_blocks}")),
            };
        }
        for row in rows {
            let position = self.positions[row];
            let slot = blocks[(position / block_size) as usize] * block_size + position % block_size;
            if slot_mapping[row] != slot {
                let actual = slot_mapping[row];
                return invalid(format!(
                    "kv[{group}].slot_mapping[{row}] is {actual}, the block table says {slot}"
                ));
            }
        }
        Ok(())
    }

    fn check_no_place_is_shared(&self, block_size: u32) -> Result<(), ModelError> {
        let slots = |(group, kv)| slots_of(group, kv);
        let mut places: Vec<(u32, usize)> = self.kv.iter().enumerate().flat_map(slots).collect();
        places.sort_unstable();
        for pair in places.windows(2) {
            let [(slot, group), (next_slot, next_group)] = [pair[0], pair[1]];
            if slot == next_slot {
                return invalid(format!("slot_mapping: two rows are written to slot {slot}"));
            }
            let block = slot / block_size;
            if block == next_slot / block_size && group != next_group {
                return invalid(format!(
                    "slot_mapping: groups {group} and {next_group} both write to block {block}"
                ));
            }
        }
        Ok(())
    }

    fn check_copies(&self, num_blocks: u32) -> Result<(), ModelError> {
        for (index, &BlockCopy { from, to }) in self.block_copies.iter().enumerate() {
            if from >= num_blocks || to >= num_blocks {
                return invalid(format!(
                    "block_copies[{index}] is from {from} to {to}, the pool has {num_blocks} blocks"
                ));
            }
            if from == to {
                return invalid(format!("block_copies[{index}] copies block {from} to itself"));
            }
        }
        Ok(())
    }
}

fn slots_of(group: usize, kv: &KvGroupBatch) -> impl Iterator<Item = (u32, usize)> {
    kv.slot_mapping.iter().map(move |&slot| (slot, group))
}

fn invalid(reason: String) -> Result<(), ModelError> {
    Err(ModelError::InvalidBatch(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BatchLimits = BatchLimits {
        vocab_size: 100,
        max_positions: 16,
        kv_capacity: KvCapacity { num_blocks: 8, block_size: 4 },
    };

    const COPY: BlockCopy = BlockCopy { from: 7, to: 5 };
    const FULL: [KvGroup; 1] = [KvGroup { window: None }];

    /// A decode step at position 5 over blocks 7, 2 and a prompt of three tokens in block 1.
    fn batch() -> ForwardBatch {
        let tables: [&[u32]; 2] = [&[7, 2], &[1]];
        ForwardBatch {
            token_ids: vec![9, 0, 99, 3],
            positions: vec![5, 0, 1, 2],
            query_start: vec![0, 1, 4],
            context_lens: vec![6, 3],
            kv: vec![KvGroupBatch {
                slot_mapping: vec![9, 4, 5, 6],
                block_tables: BlockTables::from_rows(tables.into_iter()),
            }],
            block_copies: vec![],
            sample_rows: vec![0, 3],
            hidden_rows: vec![],
        }
    }

    #[test]
    fn a_mixed_batch_is_right() {
        batch().check(&LIMITS, &FULL).unwrap();
        ForwardBatch { sample_rows: vec![], ..batch() }.check(&LIMITS, &FULL).unwrap();
        // Several rows of a sequence, and copies in a chain.
        ForwardBatch { sample_rows: vec![0, 1, 2, 3], ..batch() }.check(&LIMITS, &FULL).unwrap();
        ForwardBatch { hidden_rows: vec![1, 3], ..batch() }.check(&LIMITS, &FULL).unwrap();
        let block_copies = vec![COPY, BlockCopy { from: 5, to: 6 }];
        ForwardBatch { block_copies, ..batch() }.check(&LIMITS, &FULL).unwrap();
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut ForwardBatch);
        let cases: [(Change, &str); 24] = [
            (|b| *b = ForwardBatch { query_start: vec![0], ..ForwardBatch::default() }, "token_ids is empty"),
            (|b| b.token_ids[2] = 100, "token_ids[2] is 100"),
            (|b| b.positions[2] = 2, "positions[2] is 2, expected 1"),
            (|b| _ = b.positions.pop(), "positions has 3 entries"),
            (|b| b.kv[0].slot_mapping[0] = 8, "kv[0].slot_mapping[0] is 8, the block table says 9"),
            (|b| _ = b.kv[0].slot_mapping.pop(), "kv[0].slot_mapping has 3 entries"),
            (|b| b.query_start = vec![0, 1, 3], "query_start"),
            (|b| b.query_start = vec![0, 0, 4], "query_start"),
            (|b| b.query_start = vec![0, 4], "query_start has 2 entries"),
            (|b| b.kv.clear(), "kv has 0 entries for 1 groups"),
            (|b| b.kv.push(b.kv[0].clone()), "kv has 2 entries for 1 groups"),
            (
                |b| b.block_copies = vec![COPY, BlockCopy { from: 8, ..COPY }],
                "block_copies[1] is from 8 to 5",
            ),
            (|b| b.block_copies = vec![BlockCopy { to: 8, ..COPY }], "block_copies[0] is from 7 to 8"),
            (
                |b| b.block_copies = vec![BlockCopy { to: 7, ..COPY }],
                "block_copies[0] copies block 7 to itself",
            ),
            (|b| b.kv[0].block_tables.data[0] = BlockTables::NONE, "kv[0].block_tables[0][0] is missing"),
            (|b| b.context_lens[1] = 2, "context_lens[1] is 2"),
            (|b| b.context_lens[0] = 17, "context_lens[0] is 17, expected 1 to 16"),
            (
                |b| (b.context_lens[0], b.positions[0]) = (9, 8),
                "kv[0].block_tables[0] has 2 blocks, 9 tokens need 3",
            ),
            (|b| b.kv[0].block_tables.data[1] = 8, "kv[0].block_tables[0] has block 8"),
            (|b| b.kv[0].block_tables.max_blocks = usize::MAX, "kv[0].block_tables has 4 entries"),
            (|b| b.sample_rows = vec![3, 0], "sample_rows"),
            (|b| b.sample_rows = vec![4], "sample_rows"),
            (|b| b.hidden_rows = vec![1, 1], "hidden_rows"),
            (|b| b.hidden_rows = vec![0, 4], "hidden_rows"),
        ];
        for (change, expected) in cases {
            let mut batch = batch();
            change(&mut batch);
            let message = batch.check(&LIMITS, &FULL).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}, expected {expected}");
        }
    }

    #[test]
    fn two_rows_cannot_share_a_slot() {
        let mut batch = batch();
        batch.kv[0].block_tables.data[1] = 1;
        batch.kv[0].slot_mapping[0] = 5;
        let message = batch.check(&LIMITS, &FULL).unwrap_err().to_string();
        assert!(message.contains("two rows are written to slot 5"), "{message}");
    }

    /// One decode step at position 9, as three groups with windows of 1, 2 and 6 tokens see it.
    fn decode_step(tables: [[u32; 3]; 3]) -> Result<(), String> {
        let groups = [1, 2, 6].map(|window| KvGroup { window: Some(window) });
        let kv = tables.map(|table| KvGroupBatch {
            slot_mapping: vec![table[2] * 4 + 1],
            block_tables: BlockTables { data: table.to_vec(), max_blocks: 3 },
        });
        let batch = ForwardBatch {
            token_ids: vec![1],
            positions: vec![9],
            query_start: vec![0, 1],
            context_lens: vec![10],
            kv: kv.to_vec(),
            block_copies: vec![],
            sample_rows: vec![],
            hidden_rows: vec![],
        };
        batch.check(&LIMITS, &groups).map_err(|error| error.to_string())
    }

    #[test]
    fn only_blocks_outside_of_the_window_may_be_missing() {
        const NONE: u32 = BlockTables::NONE;
        decode_step([[NONE, NONE, 1], [NONE, NONE, 2], [NONE, 0, 3]]).unwrap();
        decode_step([[4, NONE, 1], [NONE, 5, 2], [6, 0, 3]]).unwrap();
        let message = decode_step([[NONE, NONE, 1], [NONE, NONE, 2], [NONE, NONE, 3]]).unwrap_err();
        assert!(message.contains("kv[2].block_tables[0][1] is missing"), "{message}");
        let message = decode_step([[8, NONE, 1], [NONE, NONE, 2], [NONE, 0, 3]]).unwrap_err();
        assert!(message.contains("kv[0].block_tables[0] has block 8"), "{message}");
    }

    #[test]
    fn groups_write_to_different_blocks() {
        const NONE: u32 = BlockTables::NONE;
        let message = decode_step([[NONE, NONE, 1], [NONE, NONE, 2], [NONE, 0, 2]]).unwrap_err();
        assert!(message.contains("two rows are written to slot 9"), "{message}");
        let mut batch = batch();
        batch.kv.push(KvGroupBatch {
            slot_mapping: vec![13, 11, 16, 17],
            block_tables: BlockTables { data: vec![6, 3, 2, 4], max_blocks: 2 },
        });
        batch.context_lens[1] = 6;
        batch.positions = vec![5, 3, 4, 5];
        batch.kv[0].slot_mapping = vec![9, 7, 0, 1];
        batch.kv[0].block_tables.data = vec![7, 2, 1, 0];
        let message = batch.check(&LIMITS, &[FULL[0]; 2]).unwrap_err().to_string();
        assert!(message.contains("groups 0 and 1 both write to block 2"), "{message}");
        batch.kv[1].block_tables.data[2] = 5;
        batch.kv[1].slot_mapping[1] = 23;
        batch.check(&LIMITS, &[FULL[0]; 2]).unwrap();
    }
}
