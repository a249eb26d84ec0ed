//! The blocks of one sequence in one group of layers: position `p` lies in block `p / block_size`.

use super::BlockId;

/// The blocks of one sequence in order. Those that left the window of the group's layers are given back; their
/// places stay, empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockTable {
    blocks: Vec<BlockId>,
    num_dropped: usize,
}

impl BlockTable {
    /// What stands in the place of a block that was given back.
    pub const DROPPED: BlockId = BlockId(u32::MAX);

    /// A table whose first `num_dropped` places are empty.
    pub(super) fn after(num_dropped: usize) -> Self {
        Self { blocks: vec![Self::DROPPED; num_dropped], num_dropped }
    }

    /// Blocks that `num_tokens` tokens take.
    pub fn blocks_for(num_tokens: usize, block_size: u32) -> usize {
        num_tokens.div_ceil(block_size as usize)
    }

    pub(super) fn push(&mut self, block: BlockId) {
        self.blocks.push(block);
    }

    /// Empties the places before `end` and returns what lay there.
    pub(super) fn drop_before(&mut self, end: usize) -> impl Iterator<Item = BlockId> {
        let end = end.clamp(self.num_dropped, self.blocks.len());
        let dropped = self.num_dropped..end;
        self.num_dropped = end;
        self.blocks[dropped].iter_mut().map(|block| std::mem::replace(block, Self::DROPPED))
    }

    /// Where the K and V of `position` lie: `block_id * block_size + offset`.
    ///
    /// # Panics
    /// If the table is too short. The place must not be empty.
    pub fn slot(&self, position: usize, block_size: u32) -> u32 {
        let size = block_size as usize;
        let block = self.blocks[position / size];
        debug_assert_ne!(block, Self::DROPPED, "position {position} left the window");
        block.0 * block_size + (position % size) as u32
    }

    /// All places in order, [`Self::DROPPED`] where one is empty.
    pub fn places(&self) -> &[BlockId] {
        &self.blocks
    }

    /// The blocks that it holds, in order.
    pub fn held(&self) -> &[BlockId] {
        &self.blocks[self.num_dropped..]
    }

    /// Places that are empty.
    pub fn num_dropped(&self) -> usize {
        self.num_dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_left_the_window_is_given_back_once_and_keeps_its_place() {
        let mut table = BlockTable::default();
        for id in 4..8 {
            table.push(BlockId(id));
        }
        assert_eq!(table.slot(9, 4), 6 * 4 + 1);
        assert_eq!(table.drop_before(2).collect::<Vec<_>>(), [BlockId(4), BlockId(5)]);
        assert_eq!(table.drop_before(1).count(), 0);
        assert_eq!(table.drop_before(3).collect::<Vec<_>>(), [BlockId(6)]);
        assert_eq!(table.held(), [BlockId(7)]);
        assert_eq!(table.places()[..3], [BlockTable::DROPPED; 3]);
        assert_eq!((table.num_dropped(), table.slot(12, 4)), (3, 28));
    }
}
