//! The input of one forward pass: token rows of several sequences packed without padding.
//!
//! There is no prefill flag. A sequence contributes the rows `query_start[s]..query_start[s + 1]`;
//! one row is a decode step, many are a (chunk of a) prompt, and both mix freely.

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
