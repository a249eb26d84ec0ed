//! All blocks of the KV pool with the number of their owners.
//!
//! A block has as many owners as tables that list it. A block without an owner is free, whether or not its contents
//! are still worth something: those that are go to the end of the free list, the others to its front, and allocation
//! takes from the front. So cached contents are overwritten last, and among them those used longest ago first.

use crate::engine::planted::{Bug, planted};

/// Number of a block in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

/// End of the free list, and the link of a block that is not on it.
const NO_LINK: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Block {
    /// Tables that list it.
    num_owners: u32,
    /// Neighbours on the free list.
    previous: u32,
    next: u32,
}

/// Reference counts and the free list, a list of links so that a block can be taken from its middle.
#[derive(Debug)]
pub struct BlockPool {
    /// `[num_blocks]`
    blocks: Vec<Block>,
    first_free: u32,
    last_free: u32,
    num_free: usize,
    /// Owners of all blocks together.
    num_references: usize,
}

impl BlockPool {
    /// A pool of `num_blocks` free blocks.
    pub fn new(num_blocks: u32) -> Self {
        let block = Block { num_owners: 0, previous: NO_LINK, next: NO_LINK };
        let mut pool = Self {
            blocks: vec![block; num_blocks as usize],
            first_free: NO_LINK,
            last_free: NO_LINK,
            num_free: 0,
            num_references: 0,
        };
        for id in 0..num_blocks {
            pool.put_last(id);
        }
        pool
    }

    /// Takes the free block that may be overwritten first, for one owner; `None` if there is none.
    pub(super) fn allocate(&mut self) -> Option<BlockId> {
        if self.first_free == NO_LINK {
            return None;
        }
        let block = BlockId(self.first_free);
        self.retain(block);
        Some(block)
    }

    /// Adds an owner to a block; one that was free no longer is.
    pub(super) fn retain(&mut self, block: BlockId) {
        if self.blocks[block.0 as usize].num_owners == 0 && !planted(Bug::HeldBlockIsFree) {
            self.unlink(block.0);
        }
        self.blocks[block.0 as usize].num_owners += 1;
        self.num_references += 1;
    }

    /// Takes an owner from a block and frees it with the last, in front of all others unless its contents are worth
    /// keeping.
    pub(super) fn release(&mut self, block: BlockId, is_worth_keeping: bool) {
        if planted(Bug::ReleaseIsLost) {
            return;
        }
        let owners = &mut self.blocks[block.0 as usize].num_owners;
        assert!(*owners > 0, "{block:?} is released though nobody owns it");
        *owners -= 1;
        self.num_references -= 1;
        if *owners == 0 {
            if is_worth_keeping { self.put_last(block.0) } else { self.put_first(block.0) }
        }
    }

    fn put_last(&mut self, id: u32) {
        let last = std::mem::replace(&mut self.last_free, id);
        self.link(last, id);
        self.link(id, NO_LINK);
        self.num_free += 1;
    }

    fn put_first(&mut self, id: u32) {
        let first = std::mem::replace(&mut self.first_free, id);
        self.link(id, first);
        self.link(NO_LINK, id);
        self.num_free += 1;
    }

    fn unlink(&mut self, id: u32) {
        let Block { previous, next, .. } = self.blocks[id as usize];
        self.link(previous, next);
        self.num_free -= 1;
    }

    /// Makes two blocks neighbours on the free list; no block stands for an end of the list.
    fn link(&mut self, previous: u32, next: u32) {
        match self.blocks.get_mut(previous as usize) {
            Some(block) => block.next = next,
            None => self.first_free = next,
        }
        match self.blocks.get_mut(next as usize) {
            Some(block) => block.previous = previous,
            None => self.last_free = previous,
        }
    }

    /// Owners of a block.
    pub fn ref_count(&self, block: BlockId) -> u32 {
        self.blocks[block.0 as usize].num_owners
    }

    /// Owners of all blocks together.
    pub fn num_references(&self) -> usize {
        self.num_references
    }

    /// Blocks without an owner.
    pub fn num_free(&self) -> usize {
        self.num_free
    }

    /// Blocks with an owner.
    pub fn num_used(&self) -> usize {
        self.num_total() - self.num_free()
    }

    /// All blocks.
    pub fn num_total(&self) -> usize {
        self.blocks.len()
    }

    /// Blocks without an owner, the next to be taken first.
    pub fn free_blocks(&self) -> impl Iterator<Item = BlockId> {
        let on_list = |id: u32| (id != NO_LINK).then_some(id);
        std::iter::successors(on_list(self.first_free), move |&id| on_list(self.blocks[id as usize].next))
            .map(BlockId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(pool: &BlockPool) -> Vec<u32> {
        let ids: Vec<u32> = pool.free_blocks().map(|block| block.0).collect();
        assert_eq!(ids.len(), pool.num_free());
        ids
    }

    #[test]
    fn a_shared_block_is_freed_with_its_last_owner() {
        let mut pool = BlockPool::new(2);
        let block = pool.allocate().expect("two are free");
        pool.retain(block);
        pool.release(block, true);
        assert_eq!((pool.ref_count(block), pool.num_used(), pool.num_references()), (1, 1, 1));
        pool.release(block, true);
        assert_eq!((pool.ref_count(block), pool.num_used(), pool.num_references()), (0, 0, 0));
    }

    #[test]
    fn an_empty_pool_gives_nothing() {
        let mut pool = BlockPool::new(1);
        assert_eq!(pool.allocate(), Some(BlockId(0)));
        assert_eq!(pool.allocate(), None);
        assert!(free(&pool).is_empty());
    }

    #[test]
    fn worthless_contents_are_overwritten_first_and_then_those_used_longest_ago() {
        let mut pool = BlockPool::new(4);
        let blocks: Vec<_> = std::iter::from_fn(|| pool.allocate()).collect();
        for (index, is_worth_keeping) in [(1, true), (3, true), (2, false), (0, true)] {
            pool.release(blocks[index], is_worth_keeping);
        }
        assert_eq!(free(&pool), [2, 1, 3, 0]);
    }

    #[test]
    fn a_free_block_can_be_taken_from_anywhere_on_the_list() {
        for taken in 0..3 {
            let mut pool = BlockPool::new(3);
            pool.retain(BlockId(taken));
            let rest: Vec<u32> = (0..3).filter(|&id| id != taken).collect();
            assert_eq!(free(&pool), rest);
            pool.release(BlockId(taken), true);
            assert_eq!(free(&pool), [rest, vec![taken]].concat());
        }
    }

    #[test]
    #[should_panic(expected = "released though nobody owns it")]
    fn a_double_release_is_a_broken_invariant() {
        let mut pool = BlockPool::new(1);
        let block = pool.allocate().expect("one is free");
        pool.release(block, true);
        pool.release(block, true);
    }
}
