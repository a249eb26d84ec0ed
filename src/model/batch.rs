//! The input of one forward pass: token rows of several sequences packed without padding.
//!
//! There is no prefill flag. A sequence contributes the rows `query_start[s]..query_start[s + 1]`;
//! one row is a decode step, many are a (chunk of a) prompt, and both mix freely.

use super::{KvCapacity, ModelError};

/// The packed input of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardBatch {
    /// Token ids, `[num_tokens]`.
    pub token_ids: Vec<u32>,
    /// Absolute position of each token in its sequence, `[num_tokens]`.
    pub positions: Vec<u32>,
    /// Where each token's K and V are written, `[num_tokens]`: `block_id * block_size + offset`.
    pub slot_mapping: Vec<u32>,
    /// First row of each sequence, and the number of rows last, `[num_seqs + 1]`.
    pub query_start: Vec<u32>,
    /// K/V length of each sequence including this step, `[num_seqs]`.
    pub context_lens: Vec<u32>,
    /// The blocks of each sequence, in order, `[num_seqs, max_blocks]`.
    pub block_tables: BlockTables,
    /// Rows whose logits are wanted, ascending.
    pub sample_rows: Vec<u32>,
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
    /// block table says, and no two rows are written to one slot.
    ///
    /// # Errors
    /// [`ModelError::InvalidBatch`] with the field that is wrong.
    pub fn check(&self, limits: &BatchLimits) -> Result<(), ModelError> {
        self.check_shapes()?;
        if let Some(row) = self.token_ids.iter().position(|&id| id as usize >= limits.vocab_size) {
            let id = self.token_ids[row];
            return invalid(format!("token_ids[{row}] is {id}, the vocabulary has {}", limits.vocab_size));
        }
        for seq in 0..self.num_seqs() {
            self.check_sequence(seq, limits)?;
        }
        let mut slots = self.slot_mapping.clone();
        slots.sort_unstable();
        if let Some(pair) = slots.windows(2).find(|pair| pair[0] == pair[1]) {
            return invalid(format!("slot_mapping: two rows are written to slot {}", pair[0]));
        }
        Ok(())
    }

    fn check_shapes(&self) -> Result<(), ModelError> {
        let (num_tokens, num_seqs) = (self.num_tokens(), self.num_seqs());
        for (field, len) in [("positions", self.positions.len()), ("slot_mapping", self.slot_mapping.len())] {
            if len != num_tokens {
                return invalid(format!("{field} has {len} entries for {num_tokens} tokens"));
            }
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
        let table = &self.block_tables;
        if num_seqs.checked_mul(table.max_blocks) != Some(table.data.len()) {
            return invalid(format!(
                "block_tables has {} entries, expected {num_seqs} rows of {}",
                table.data.len(),
                table.max_blocks
            ));
        }
        let rows = &self.sample_rows;
        if !rows.is_sorted_by(|a, b| a < b) || rows.last().is_some_and(|&row| row as usize >= num_tokens) {
            return invalid(format!("sample_rows does not rise below {num_tokens}, the number of tokens"));
        }
        Ok(())
    }

    fn check_sequence(&self, seq: usize, limits: &BatchLimits) -> Result<(), ModelError> {
        let KvCapacity { num_blocks, block_size } = limits.kv_capacity;
        let (start, end) = (self.query_start[seq], self.query_start[seq + 1]);
        let context_len = self.context_lens[seq];
        if context_len < end - start || context_len > limits.max_positions {
            return invalid(format!(
                "context_lens[{seq}] is {context_len}, expected {} to {}",
                end - start,
                limits.max_positions
            ));
        }
        let blocks = self.block_tables.row(seq);
        let num_used = context_len.div_ceil(block_size) as usize;
        if num_used > blocks.len() {
            return invalid(format!(
                "block_tables[{seq}] has {} blocks, {context_len} tokens need {num_used}",
                blocks.len()
            ));
        }
        if let Some(block) = blocks[..num_used].iter().find(|&&block| block >= num_blocks) {
            return invalid(format!("block_tables[{seq}] has block {block}, the pool has {num_blocks}"));
        }
        let first_position = context_len - (end - start);
        for (row, position) in (start as usize..end as usize).zip(first_position..) {
            if self.positions[row] != position {
                let actual = self.positions[row];
                return invalid(format!(
                    "positions[{row}] is {actual}, expected {position} in sequence {seq}"
                ));
            }
            let slot = blocks[(position / block_size) as usize] * block_size + position % block_size;
            if self.slot_mapping[row] != slot {
                let actual = self.slot_mapping[row];
                return invalid(format!("slot_mapping[{row}] is {actual}, the block table says {slot}"));
            }
        }
        Ok(())
    }
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

    /// A decode step at position 5 over blocks 7, 2 and a prompt of three tokens in block 1.
    fn batch() -> ForwardBatch {
        let tables: [&[u32]; 2] = [&[7, 2], &[1]];
        ForwardBatch {
            token_ids: vec![9, 0, 99, 3],
            positions: vec![5, 0, 1, 2],
            slot_mapping: vec![9, 4, 5, 6],
            query_start: vec![0, 1, 4],
            context_lens: vec![6, 3],
            block_tables: BlockTables::from_rows(tables.into_iter()),
            sample_rows: vec![0, 3],
        }
    }

    #[test]
    fn a_mixed_batch_is_right() {
        batch().check(&LIMITS).unwrap();
        ForwardBatch { sample_rows: vec![], ..batch() }.check(&LIMITS).unwrap();
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut ForwardBatch);
        let cases: [(Change, &str); 16] = [
            (|b| *b = ForwardBatch { query_start: vec![0], ..ForwardBatch::default() }, "token_ids is empty"),
            (|b| b.token_ids[2] = 100, "token_ids[2] is 100"),
            (|b| b.positions[2] = 2, "positions[2] is 2, expected 1"),
            (|b| _ = b.positions.pop(), "positions has 3 entries"),
            (|b| b.slot_mapping[0] = 8, "slot_mapping[0] is 8, the block table says 9"),
            (|b| _ = b.slot_mapping.pop(), "slot_mapping has 3 entries"),
            (|b| b.query_start = vec![0, 1, 3], "query_start"),
            (|b| b.query_start = vec![0, 0, 4], "query_start"),
            (|b| b.query_start = vec![0, 4], "query_start has 2 entries"),
            (|b| b.context_lens[1] = 2, "context_lens[1] is 2"),
            (|b| b.context_lens[0] = 17, "context_lens[0] is 17, expected 1 to 16"),
            (|b| b.context_lens[0] = 9, "block_tables[0] has 2 blocks, 9 tokens need 3"),
            (|b| b.block_tables.data[1] = 8, "block_tables[0] has block 8"),
            (|b| b.block_tables.max_blocks = usize::MAX, "block_tables has 4 entries"),
            (|b| b.sample_rows = vec![3, 0], "sample_rows"),
            (|b| b.sample_rows = vec![4], "sample_rows"),
        ];
        for (change, expected) in cases {
            let mut batch = batch();
            change(&mut batch);
            let message = batch.check(&LIMITS).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}, expected {expected}");
        }
    }

    #[test]
    fn two_rows_cannot_share_a_slot() {
        let mut batch = batch();
        batch.block_tables.data[1] = 1;
        batch.slot_mapping[0] = 5;
        let message = batch.check(&LIMITS).unwrap_err().to_string();
        assert!(message.contains("two rows are written to slot 5"), "{message}");
    }
}
