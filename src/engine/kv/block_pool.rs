//! All blocks of the KV pool with the number of their owners.
//!
//! A block has as many owners as tables that list it. The last owner's release puts it at the end of the free
//! list, and allocation takes from the front, so that what was freed longest ago is overwritten first.

use std::collections::VecDeque;

/// Number of a block in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

/// Free list and reference counts of the pool.
#[derive(Debug)]
pub struct BlockPool {
    /// Owners of each block, `[num_blocks]`.
    ref_counts: Vec<u32>,
    free: VecDeque<BlockId>,
}

impl BlockPool {
    /// A pool of `num_blocks` free blocks.
    pub fn new(num_blocks: u32) -> Self {
        Self { ref_counts: vec![0; num_blocks as usize], free: (0..num_blocks).map(BlockId).collect() }
    }

    /// Takes a free block for one owner; `None` if there is none.
    pub fn allocate(&mut self) -> Option<BlockId> {
        let block = self.free.pop_front()?;
        let owners = &mut self.ref_counts[block.0 as usize];
        debug_assert_eq!(*owners, 0, "{block:?} was on the free list with owners");
        *owners = 1;
        Some(block)
    }

    /// Adds an owner to a block that has one.
    pub fn retain(&mut self, block: BlockId) {
        let owners = &mut self.ref_counts[block.0 as usize];
        assert!(*owners > 0, "{block:?} is shared though nobody owns it");
        *owners += 1;
    }

    /// Takes an owner from a block and frees it with the last.
    pub fn release(&mut self, block: BlockId) {
        let owners = &mut self.ref_counts[block.0 as usize];
        assert!(*owners > 0, "{block:?} is released though nobody owns it");
        *owners -= 1;
        if *owners == 0 {
            self.free.push_back(block);
        }
    }

    /// Owners of a block.
    pub fn ref_count(&self, block: BlockId) -> u32 {
        self.ref_counts[block.0 as usize]
    }

    /// Blocks without an owner.
    pub fn num_free(&self) -> usize {
        self.free.len()
    }

    /// Blocks with an owner.
    pub fn num_used(&self) -> usize {
        self.num_total() - self.num_free()
    }

    /// All blocks.
    pub fn num_total(&self) -> usize {
        self.ref_counts.len()
    }

    /// Blocks without an owner, the next to be taken first.
    pub fn free_blocks(&self) -> impl Iterator<Item = BlockId> {
        self.free.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_block_is_freed_with_its_last_owner() {
        let mut pool = BlockPool::new(2);
        let block = pool.allocate().expect("two are free");
        pool.retain(block);
        pool.release(block);
        assert_eq!((pool.ref_count(block), pool.num_used()), (1, 1));
        pool.release(block);
        assert_eq!((pool.ref_count(block), pool.num_used()), (0, 0));
    }

    #[test]
    fn an_empty_pool_gives_nothing() {
        let mut pool = BlockPool::new(1);
        assert_eq!(pool.allocate(), Some(BlockId(0)));
        assert_eq!(pool.allocate(), None);
    }

    #[test]
    fn the_block_freed_longest_ago_is_taken_first() {
        let mut pool = BlockPool::new(3);
        let blocks: Vec<_> = std::iter::from_fn(|| pool.allocate()).collect();
        for index in [1, 2, 0] {
            pool.release(blocks[index]);
        }
        let again: Vec<_> = std::iter::from_fn(|| pool.allocate()).collect();
        assert_eq!(again, [blocks[1], blocks[2], blocks[0]]);
    }

    #[test]
    #[should_panic(expected = "released though nobody owns it")]
    fn a_double_release_is_a_broken_invariant() {
        let mut pool = BlockPool::new(1);
        let block = pool.allocate().expect("one is free");
        pool.release(block);
        pool.release(block);
    }
}
