//! Which blocks hold which tokens: an index over the contents of the pool, for prompts that begin like earlier ones.
//!
//! A block is entered once its tokens are computed, and forgotten when the pool gives it to somebody else. Full
//! blocks are found by their name. A prompt that leaves the known paths in the middle of a block finds the block that
//! was last entered after the same prefix, and may copy what it has in common with it.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;

use super::block_key::BlockHasher;
use super::{BlockId, BlockKey, HashKey};
use crate::engine::planted::{Bug, planted};

/// Number of a group of layers with block tables of their own.
pub(super) type GroupId = u16;

/// The index.
#[derive(Debug)]
pub(super) struct PrefixCache {
    hasher: BlockHasher,
    /// Full blocks by name.
    full: HashMap<(BlockKey, GroupId), BlockId>,
    /// The block last entered after each prefix, full or not.
    children: HashMap<(BlockKey, GroupId), BlockId>,
    /// What is known of each block, `[num_blocks]`.
    entries: Vec<Option<Entry>>,
}

#[derive(Debug)]
struct Entry {
    group: GroupId,
    /// Name of what comes before the block.
    parent: BlockKey,
    /// Its own name, once it is full.
    key: Option<BlockKey>,
    /// Its first tokens; all of them once it is full.
    tokens: Vec<u32>,
}

impl PrefixCache {
    pub(super) fn new(num_blocks: usize, key: HashKey) -> Self {
        Self {
            hasher: BlockHasher::new(key),
            full: HashMap::new(),
            children: HashMap::new(),
            entries: std::iter::repeat_with(|| None).take(num_blocks).collect(),
        }
    }

    pub(super) fn hasher(&self) -> BlockHasher {
        self.hasher
    }

    /// Whether a block's contents can be found.
    pub(super) fn knows(&self, block: BlockId) -> bool {
        self.entries[block.0 as usize].is_some()
    }

    /// How many of a block's first tokens can be found.
    #[cfg(test)]
    pub(super) fn num_known_tokens(&self, block: BlockId) -> usize {
        self.entries[block.0 as usize].as_ref().map_or(0, |entry| entry.tokens.len())
    }

    /// Blocks whose contents can be found.
    pub(super) fn num_known(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    /// The full block of this name. Debug builds compare `tokens` with its own.
    pub(super) fn find(&self, key: BlockKey, group: GroupId, tokens: &[u32]) -> Option<BlockId> {
        let group = if planted(Bug::NameForgetsGroup) { 0 } else { group };
        let block = *self.full.get(&(key, group))?;
        debug_assert_eq!(
            self.entries[block.0 as usize].as_ref().map(|entry| entry.tokens.as_slice()),
            Some(tokens),
            "two prefixes have one name"
        );
        Some(block)
    }

    /// The block last entered after `parent`, and how many of its first tokens are those of `tokens`, at least one.
    pub(super) fn find_part(
        &self,
        parent: BlockKey,
        group: GroupId,
        tokens: &[u32],
    ) -> Option<(BlockId, usize)> {
        let block = *self.children.get(&(parent, group))?;
        let entry = self.entries[block.0 as usize].as_ref().expect("a child is entered");
        let num_common = entry.tokens.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        let num_common = num_common + usize::from(planted(Bug::PartIsTooLong) && num_common < tokens.len());
        (num_common > 0).then_some((block, num_common))
    }

    /// Enters a block that holds `tokens` after `parent`; `key` is its name if it is full. What was known of it is
    /// replaced. If another block can already give all of that, this one is of no use and forgotten.
    pub(super) fn enter(
        &mut self,
        block: BlockId,
        group: GroupId,
        parent: BlockKey,
        key: Option<BlockKey>,
        tokens: &[u32],
    ) {
        self.forget(block);
        if let Some(key) = key {
            match self.full.entry((key, group)) {
                Place::Occupied(place) => {
                    self.children.insert((parent, group), *place.get());
                    return;
                }
                Place::Vacant(place) => drop(place.insert(block)),
            }
        } else if self.find_part(parent, group, tokens).is_some_and(|(_, num)| num == tokens.len()) {
            return;
        }
        self.children.insert((parent, group), block);
        self.entries[block.0 as usize] = Some(Entry { group, parent, key, tokens: tokens.to_vec() });
    }

    /// Forgets what a block holds, because it is about to be overwritten.
    pub(super) fn forget(&mut self, block: BlockId) {
        let Some(Entry { group, parent, key, .. }) = self.entries[block.0 as usize].take() else { return };
        if let Some(key) = key {
            self.full.remove(&(key, group));
        }
        if let Place::Occupied(place) = self.children.entry((parent, group))
            && *place.get() == block
        {
            place.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: BlockId = BlockId(0);
    const B: BlockId = BlockId(1);

    fn cache() -> (PrefixCache, BlockKey, BlockKey) {
        let cache = PrefixCache::new(2, HashKey([1; 16]));
        let root = cache.hasher().root(b"");
        let key = cache.hasher().child(root, &[1, 2]);
        (cache, root, key)
    }

    #[test]
    fn a_full_block_is_found_by_name_and_group_until_it_is_forgotten() {
        let (mut cache, root, key) = cache();
        cache.enter(A, 0, root, Some(key), &[1, 2]);
        assert_eq!(cache.find(key, 0, &[1, 2]), Some(A));
        assert_eq!(cache.find(key, 1, &[1, 2]), None);
        cache.forget(A);
        assert_eq!((cache.find(key, 0, &[1, 2]), cache.knows(A)), (None, false));
        assert_eq!(cache.find_part(root, 0, &[1]), None);
    }

    #[test]
    fn the_common_part_of_the_last_block_after_a_prefix_is_found() {
        let (mut cache, root, key) = cache();
        cache.enter(A, 0, root, Some(key), &[1, 2]);
        assert_eq!(cache.find_part(root, 0, &[1, 3]), Some((A, 1)));
        assert_eq!(cache.find_part(root, 0, &[2, 1]), None);
        cache.enter(B, 0, root, None, &[2]);
        assert_eq!(cache.find_part(root, 0, &[2, 1]), Some((B, 1)));
        cache.forget(A);
        assert_eq!(cache.find_part(root, 0, &[2, 1]), Some((B, 1)), "another's leaving changes nothing");
        cache.forget(B);
        assert_eq!(cache.num_known(), 0);
        assert!(cache.full.is_empty() && cache.children.is_empty());
    }

    #[test]
    fn a_second_block_of_one_name_is_of_no_use() {
        let (mut cache, root, key) = cache();
        cache.enter(A, 0, root, Some(key), &[1, 2]);
        cache.enter(B, 0, root, None, &[1]);
        cache.enter(B, 0, root, Some(key), &[1, 2]);
        assert_eq!(cache.find(key, 0, &[1, 2]), Some(A));
        assert!(!cache.knows(B));
        assert_eq!(
            cache.find_part(root, 0, &[1, 3]),
            Some((A, 1)),
            "what the second could give is still found"
        );
    }

    #[test]
    fn a_part_that_another_block_can_give_is_not_entered() {
        let (mut cache, root, key) = cache();
        cache.enter(A, 0, root, Some(key), &[1, 2]);
        cache.enter(B, 0, root, None, &[1]);
        assert!(!cache.knows(B));
        cache.enter(B, 0, root, None, &[2]);
        assert!(cache.knows(B));
    }
}
