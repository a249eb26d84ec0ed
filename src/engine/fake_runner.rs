//! A runner without a model, for tests and for measuring the engine alone.
//!
//! Instead of K and V it keeps one number per slot: a hash of the token, its position and everything that the token
//! saw **through its sequence's block tables** when it was written. The logits of a row are a hash of all slots that
//! the row addresses, in every group of layers those within the group's window. So a wrong, stale, freed or
//! overwritten block changes the tokens that come out, and the hidden states, as it would with a real model, and a step's result depends on
//! the sequence alone, never on the batch.

use crate::model::{
    BatchLimits, ForwardBatch, ForwardOutput, HiddenStates, KvCapacity, KvGroup, Logits, ModelError, Runner,
};

/// What an unwritten or poisoned slot holds.
const POISON: u64 = 0xdead_beef_dead_beef;
/// Start of every sequence's hash.
const EMPTY_CONTEXT: u64 = 0x6d61_7275;
/// Width of a hidden state.
const HIDDEN_SIZE: usize = 3;

/// A runner whose next token is a hash of the context that it really reads.
#[derive(Debug, Clone)]
pub struct FakeRunner {
    capacity: KvCapacity,
    groups: Vec<KvGroup>,
    vocab_size: usize,
    /// `[num_blocks * block_size]`, for whichever group a block serves
    slots: Vec<u64>,
}

impl FakeRunner {
    /// A runner over an unwritten pool, whose layers see everything.
    pub fn new(capacity: KvCapacity, vocab_size: usize) -> Self {
        Self::with_groups(capacity, vec![KvGroup { window: None }], vocab_size)
    }

    /// A runner with these groups of layers.
    pub fn with_groups(capacity: KvCapacity, groups: Vec<KvGroup>, vocab_size: usize) -> Self {
        assert!(vocab_size > 0 && !groups.is_empty(), "a model has a vocabulary and layers");
        let num_slots = capacity.num_tokens() as usize;
        Self { capacity, groups, vocab_size, slots: vec![POISON; num_slots] }
    }

    /// The logits after `tokens` of a model whose layers see everything, when nothing goes wrong, `[vocab_size]`:
    /// the definition, without any cache.
    pub fn logits_after(tokens: &[u32], vocab_size: usize) -> Vec<f32> {
        Self::logits_after_in(&[KvGroup { window: None }], tokens, vocab_size)
    }

    /// The same for a model with these groups of layers.
    pub fn logits_after_in(groups: &[KvGroup], tokens: &[u32], vocab_size: usize) -> Vec<f32> {
        let last = Self::contexts(groups, tokens).last().copied();
        logits_row(last.unwrap_or(EMPTY_CONTEXT), vocab_size).collect()
    }

    /// The logits of every row of `tokens`, as [`Self::logits_after_in`] gives those of the last.
    pub fn logits_of_all_in(groups: &[KvGroup], tokens: &[u32], vocab_size: usize) -> Vec<Vec<f32>> {
        let contexts = Self::contexts(groups, tokens);
        contexts.into_iter().map(|context| logits_row(context, vocab_size).collect()).collect()
    }

    /// The hidden states of every row of `tokens` of a model with these groups of layers, when nothing goes wrong.
    pub fn hidden_of_all_in(groups: &[KvGroup], tokens: &[u32]) -> Vec<Vec<f32>> {
        Self::contexts(groups, tokens).into_iter().map(|context| hidden_row(context).collect()).collect()
    }

    /// What every row of `tokens` knows, by the definition.
    fn contexts(groups: &[KvGroup], tokens: &[u32]) -> Vec<u64> {
        let mut slots = vec![Vec::with_capacity(tokens.len()); groups.len()];
        let mut readings = vec![Reading::default(); groups.len()];
        let mut contexts = Vec::with_capacity(tokens.len());
        for (position, &token_id) in (0_u32..).zip(tokens) {
            for (group, reading) in readings.iter_mut().enumerate() {
                reading.before(position, groups[group], |position| slots[group][position as usize]);
            }
            let before = context_before(position, &readings);
            for (group, reading) in readings.iter_mut().enumerate() {
                let value = written(before, token_id, position, group);
                slots[group].push(value);
                reading.take(value);
            }
            contexts.push(combined(&readings));
        }
        contexts
    }

    /// Spoils a block but for its first `num_kept` slots, so that a later read of the others shows.
    pub fn poison_block(&mut self, block_id: u32, num_kept: u32) {
        let start = block_id * self.capacity.block_size;
        let slots = (start + num_kept) as usize..(start + self.capacity.block_size) as usize;
        self.slots[slots].fill(POISON);
    }

    fn check(&self, batch: &ForwardBatch) -> Result<(), ModelError> {
        let limits =
            BatchLimits { vocab_size: self.vocab_size, max_positions: u32::MAX, kv_capacity: self.capacity };
        batch.check(&limits, &self.groups)
    }

    fn copy_blocks(&mut self, batch: &ForwardBatch) {
        let size = self.capacity.block_size as usize;
        for copy in &batch.block_copies {
            let from = copy.from as usize * size;
            self.slots.copy_within(from..from + size, copy.to as usize * size);
        }
    }
}

impl Runner for FakeRunner {
    fn forward(&mut self, batch: &ForwardBatch) -> Result<ForwardOutput, ModelError> {
        self.check(batch)?;
        self.copy_blocks(batch);
        let size = self.capacity.block_size;
        let mut contexts = Vec::with_capacity(batch.num_tokens());
        for seq in 0..batch.num_seqs() {
            let mut readings = vec![Reading::default(); self.groups.len()];
            for row in batch.query_start[seq] as usize..batch.query_start[seq + 1] as usize {
                let position = batch.positions[row];
                for (group, reading) in readings.iter_mut().enumerate() {
                    let table = batch.kv[group].block_tables.row(seq);
                    let slot = |position| table[(position / size) as usize] * size + position % size;
                    reading
                        .before(position, self.groups[group], |position| self.slots[slot(position) as usize]);
                }
                let before = context_before(position, &readings);
                for (group, reading) in readings.iter_mut().enumerate() {
                    let value = written(before, batch.token_ids[row], position, group);
                    self.slots[batch.kv[group].slot_mapping[row] as usize] = value;
                    reading.take(value);
                }
                contexts.push(combined(&readings));
            }
        }
        let rows = batch.sample_rows.iter().map(|&row| contexts[row as usize]);
        let data = rows.flat_map(|context| logits_row(context, self.vocab_size)).collect();
        let logits = Logits::new(data, self.vocab_size);
        let rows = batch.hidden_rows.iter().map(|&row| contexts[row as usize]);
        let hidden = HiddenStates::new(rows.flat_map(hidden_row).collect(), HIDDEN_SIZE);
        Ok(ForwardOutput { logits, hidden })
    }

    fn kv_capacity(&self) -> KvCapacity {
        self.capacity
    }

    fn kv_groups(&self) -> Vec<KvGroup> {
        self.groups.clone()
    }
}

/// One group's reading of a sequence, which goes on where it stopped if the group sees everything.
#[derive(Debug, Clone, Default)]
struct Reading {
    state: u64,
    next: u32,
}

impl Reading {
    /// Reads what the row at `position` sees before itself, and nothing else: what left the window may be gone.
    fn before(&mut self, position: u32, group: KvGroup, slot: impl Fn(u32) -> u64) {
        if group.window.is_some() {
            (self.state, self.next) = (0, group.first_visible(position));
        }
        while self.next < position {
            self.take(slot(self.next));
        }
    }

    fn take(&mut self, value: u64) {
        self.state = mix(self.state.rotate_left(1) ^ value);
        self.next += 1;
    }
}

/// What the row at `position` knows when it is written.
fn context_before(position: u32, readings: &[Reading]) -> u64 {
    if position == 0 { EMPTY_CONTEXT } else { combined(readings) }
}

/// What a token leaves in its slot of a group.
fn written(context: u64, token_id: u32, position: u32, group: usize) -> u64 {
    mix(context ^ mix(u64::from(position) << 32 | u64::from(token_id)) ^ mix(group as u64))
}

/// The context that all groups' readings make.
fn combined(readings: &[Reading]) -> u64 {
    readings.iter().fold(EMPTY_CONTEXT, |context, reading| mix(context.rotate_left(1) ^ reading.state))
}

/// Logits between -8 and 8.
fn logits_row(context: u64, vocab_size: usize) -> impl Iterator<Item = f32> {
    (0..vocab_size as u64).map(move |token_id| {
        let bits = mix(context.wrapping_add(token_id.wrapping_mul(0x9e37_79b9_7f4a_7c15))) >> 40;
        bits as f32 / (1_u32 << 20) as f32 - 8.0
    })
}

/// Hidden values between -1 and 1, which have nothing to do with the logits.
fn hidden_row(context: u64) -> impl Iterator<Item = f32> {
    (1..=HIDDEN_SIZE as u64).map(move |index| {
        let bits = mix(mix(context ^ index)) >> 40;
        bits as f32 / (1_u32 << 23) as f32 - 1.0
    })
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): a bijection in which every input bit matters.
fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BlockTables, KvGroupBatch};

    const CAPACITY: KvCapacity = KvCapacity { num_blocks: 4, block_size: 2 };
    const VOCAB: usize = 16;

    /// The tokens `start..end` of `[5, 6, 7]` in blocks 3 and 1.
    fn part(start: u32, end: u32) -> ForwardBatch {
        let slots = [6, 7, 2];
        let range = start as usize..end as usize;
        ForwardBatch {
            token_ids: [5, 6, 7][range.clone()].to_vec(),
            positions: (start..end).collect(),
            query_start: vec![0, end - start],
            context_lens: vec![end],
            kv: vec![KvGroupBatch {
                slot_mapping: slots[range].to_vec(),
                block_tables: BlockTables { data: vec![3, 1], max_blocks: 2 },
            }],
            block_copies: vec![],
            sample_rows: vec![end - start - 1],
            hidden_rows: vec![],
        }
    }

    fn last_row(runner: &mut FakeRunner, batch: &ForwardBatch) -> Vec<f32> {
        runner.forward(batch).expect("a valid batch").logits.row(0).to_vec()
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let expected = FakeRunner::logits_after(&[5, 6, 7], VOCAB);
        assert_eq!(last_row(&mut FakeRunner::new(CAPACITY, VOCAB), &part(0, 3)), expected);
        let mut runner = FakeRunner::new(CAPACITY, VOCAB);
        last_row(&mut runner, &part(0, 1));
        assert_eq!(last_row(&mut runner, &part(1, 3)), expected);
    }

    #[test]
    fn a_spoilt_block_changes_the_logits() {
        let mut runner = FakeRunner::new(CAPACITY, VOCAB);
        last_row(&mut runner, &part(0, 2));
        runner.poison_block(3, 1);
        assert_ne!(last_row(&mut runner, &part(2, 3)), FakeRunner::logits_after(&[5, 6, 7], VOCAB));
    }

    #[test]
    fn a_block_table_that_names_another_block_changes_the_logits() {
        let mut runner = FakeRunner::new(CAPACITY, VOCAB);
        last_row(&mut runner, &part(0, 2));
        let mut batch = part(2, 3);
        batch.kv[0].block_tables.data = vec![2, 1];
        assert_ne!(last_row(&mut runner, &batch), FakeRunner::logits_after(&[5, 6, 7], VOCAB));
    }

    #[test]
    fn what_left_the_window_is_not_read_again() {
        let groups = vec![KvGroup { window: Some(2) }];
        let expected = FakeRunner::logits_after_in(&groups, &[5, 6, 7], VOCAB);
        let mut runner = FakeRunner::with_groups(CAPACITY, groups, VOCAB);
        last_row(&mut runner, &part(0, 2));
        // The row at 2 sees the positions 1 and 2; block 3 holds the positions 0 and 1.
        runner.slots[6] = POISON;
        assert_eq!(last_row(&mut runner, &part(2, 3)), expected);
        let mut runner = FakeRunner::with_groups(CAPACITY, vec![KvGroup { window: Some(1) }], VOCAB);
        let mut batch = part(2, 3);
        batch.kv[0].block_tables.data[0] = BlockTables::NONE;
        last_row(&mut runner, &batch);
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let mut runner = FakeRunner::new(CAPACITY, VOCAB);
        let mut token = part(0, 3);
        token.token_ids[1] = VOCAB as u32;
        let mut block = part(0, 3);
        block.kv[0].block_tables.data[0] = CAPACITY.num_blocks;
        let mut slot = part(0, 3);
        slot.kv[0].slot_mapping[2] = 8;
        for batch in [token, block, slot] {
            assert!(matches!(runner.forward(&batch), Err(ModelError::InvalidBatch(_))));
        }
    }
}
