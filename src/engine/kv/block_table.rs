//! The blocks of one sequence in order: position `p` lies in block `p / block_size`.

use super::{BlockId, BlockPool};

/// The blocks of one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockTable {
    blocks: Vec<BlockId>,
    block_size: u32,
}

impl BlockTable {
    /// A table without blocks, of blocks of `block_size` tokens.
    pub fn new(block_size: u32) -> Self {
        Self { blocks: Vec::new(), block_size }
    }

    /// Blocks that `num_tokens` tokens take.
    pub fn blocks_for(num_tokens: usize, block_size: u32) -> usize {
        num_tokens.div_ceil(block_size as usize)
    }

    /// Takes blocks from the pool until `num_tokens` fit, and returns how many it took. `None` if the pool ran
    /// dry; what was taken until then stays in the table.
    pub fn grow_to(&mut self, num_tokens: usize, pool: &mut BlockPool) -> Option<usize> {
        let before = self.blocks.len();
        let needed = Self::blocks_for(num_tokens, self.block_size);
        while self.blocks.len() < needed {
            self.blocks.push(pool.allocate()?);
        }
        Some(self.blocks.len() - before)
    }

    /// Gives every block back to the pool.
    pub fn release_to(&mut self, pool: &mut BlockPool) {
        for block in self.blocks.drain(..) {
            pool.release(block);
        }
    }

    /// Where the K and V of `position` lie: `block_id * block_size + offset`.
    ///
    /// # Panics
    /// If the table is too short.
    pub fn slot(&self, position: usize) -> u32 {
        let size = self.block_size as usize;
        self.blocks[position / size].0 * self.block_size + (position % size) as u32
    }

    /// The blocks in order.
    pub fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_a_block_only_when_the_last_is_full() {
        let mut pool = BlockPool::new(3);
        let mut table = BlockTable::new(4);
        assert_eq!(table.grow_to(0, &mut pool), Some(0));
        assert_eq!(table.grow_to(4, &mut pool), Some(1));
        assert_eq!(table.grow_to(5, &mut pool), Some(1));
        assert_eq!(table.grow_to(8, &mut pool), Some(0));
        assert_eq!(table.blocks(), [BlockId(0), BlockId(1)]);
        assert_eq!((table.slot(3), table.slot(4), table.slot(7)), (3, 4, 7));
    }

    #[test]
    fn a_table_that_finds_the_pool_dry_keeps_its_books() {
        let mut pool = BlockPool::new(1);
        let mut table = BlockTable::new(4);
        assert_eq!(table.grow_to(5, &mut pool), None);
        assert_eq!((table.blocks().len(), pool.num_free()), (1, 0));
        table.release_to(&mut pool);
        assert_eq!((table.blocks().len(), pool.num_free()), (0, 1));
    }
}
