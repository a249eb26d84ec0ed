//! The books of the KV cache: what each sequence holds in each group of layers, what can be found again, what is
//! free.

use super::prefix_cache::{GroupId, PrefixCache};
use super::{BlockId, BlockKey, BlockPool, BlockTable, HashKey};
use crate::engine::planted::{Bug, planted};
use crate::model::{BlockCopy, KvCapacity, KvGroup};

/// Pool and prefix cache, and the groups of layers that share them.
#[derive(Debug)]
pub struct KvBlocks {
    block_size: u32,
    groups: Vec<KvGroup>,
    /// Most tokens of a sequence that one step computes.
    max_step_tokens: usize,
    pool: BlockPool,
    cache: Option<PrefixCache>,
}

/// What one sequence holds.
#[derive(Debug, Default)]
pub struct SequenceBlocks {
    /// `[num_groups]`, all of the same length
    tables: Vec<BlockTable>,
    /// Names of the sequence's beginnings: entry `i` is that of its first `i` blocks. Empty without a prefix cache.
    keys: Vec<BlockKey>,
    /// Blocks whose contents were entered in the prefix cache, or found there.
    num_entered: usize,
}

impl SequenceBlocks {
    /// The block tables, one per group.
    pub fn tables(&self) -> &[BlockTable] {
        &self.tables
    }

    /// Blocks held in all groups together.
    pub fn num_held(&self) -> usize {
        self.tables.iter().map(|table| table.held().len()).sum()
    }

    /// Names of the blocks from `start` on.
    pub(in crate::engine) fn keys_from(&self, start: usize) -> &[BlockKey] {
        self.keys.get(start + 1..).unwrap_or_default()
    }

    /// Blocks that each table has room for, given back or not.
    pub(in crate::engine) fn num_places(&self) -> usize {
        self.tables.first().map_or(0, |table| table.places().len())
    }
}

/// What the prefix cache has of a sequence's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Prefix {
    /// Whole blocks.
    pub(in crate::engine) num_blocks: usize,
}

impl KvBlocks {
    /// Books of a free pool; without a `hash_key` nothing is found again.
    pub(in crate::engine) fn new(
        capacity: KvCapacity,
        groups: Vec<KvGroup>,
        max_step_tokens: usize,
        hash_key: Option<HashKey>,
    ) -> Self {
        assert!(
            !groups.is_empty() && groups.len() <= usize::from(GroupId::MAX),
            "a model has groups of layers"
        );
        let cache = hash_key.map(|key| PrefixCache::new(capacity.num_blocks as usize, key));
        let pool = BlockPool::new(capacity.num_blocks);
        Self { block_size: capacity.block_size, groups, max_step_tokens, pool, cache }
    }

    /// The pool.
    pub fn pool(&self) -> &BlockPool {
        &self.pool
    }

    /// Tokens per block.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// The groups of layers.
    pub fn groups(&self) -> &[KvGroup] {
        &self.groups
    }

    /// Blocks whose contents can be found again, held or not.
    pub fn num_cached(&self) -> usize {
        self.cache.as_ref().map_or(0, PrefixCache::num_known)
    }

    /// How many tokens of a block the prefix cache offers.
    #[cfg(test)]
    pub(in crate::engine) fn num_known_tokens(&self, block: BlockId) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.num_known_tokens(block))
    }

    /// Most blocks that a sequence of `num_tokens` tokens holds at a time, however it is computed.
    pub(in crate::engine) fn most_held(&self, num_tokens: usize) -> usize {
        let all = BlockTable::blocks_for(num_tokens, self.block_size);
        let most = |group: &KvGroup| match group.window {
            None => all,
            // The window behind a step's first token, the step's tokens, and a block that begins before them.
            Some(window) => {
                let span = (window as usize - 1).saturating_add(self.max_step_tokens);
                all.min(BlockTable::blocks_for(span, self.block_size) + 1)
            }
        };
        self.groups.iter().map(most).sum()
    }

    /// The longest sequence of at most `limit` tokens that the empty pool holds.
    pub(in crate::engine) fn longest(&self, limit: usize) -> usize {
        let (mut fits, mut beyond) = (0, limit + 1);
        while beyond - fits > 1 {
            let middle = fits + (beyond - fits) / 2;
            let is_held = self.most_held(middle) <= self.pool.num_total();
            if is_held { fits = middle } else { beyond = middle }
        }
        fits
    }

    /// What a new sequence holds.
    pub(in crate::engine) fn sequence(&self, salt: &[u8]) -> SequenceBlocks {
        let keys = self.cache.iter().map(|cache| cache.hasher().root(salt)).collect();
        SequenceBlocks { tables: self.empty_tables(), keys, num_entered: 0 }
    }

    fn empty_tables(&self) -> Vec<BlockTable> {
        vec![BlockTable::default(); self.groups.len()]
    }

    /// Names all full blocks of `tokens`.
    pub(in crate::engine) fn name(&self, blocks: &mut SequenceBlocks, tokens: &[u32]) {
        let Some(cache) = &self.cache else { return };
        let size = self.block_size as usize;
        while blocks.keys.len() <= tokens.len() / size {
            let index = blocks.keys.len() - 1;
            let parent = blocks.keys[index];
            blocks.keys.push(cache.hasher().child(parent, &tokens[index * size..(index + 1) * size]));
        }
    }

    /// The name of what follows the full blocks of `tokens`, if anything does.
    pub(in crate::engine) fn tail_key(&self, blocks: &SequenceBlocks, tokens: &[u32]) -> Option<BlockKey> {
        let cache = self.cache.as_ref()?;
        let num_full = tokens.len() / self.block_size as usize;
        let tail = &tokens[num_full * self.block_size as usize..];
        (!tail.is_empty()).then(|| cache.hasher().child(blocks.keys[num_full], tail))
    }

    /// Places in front that no token from `num_computed` on sees.
    fn num_hidden(&self, group: KvGroup, num_computed: usize) -> usize {
        let first_visible = match group.window {
            None => 0,
            Some(window) => {
                let num_visible = window as usize - usize::from(planted(Bug::WindowIsTooShort));
                (num_computed + 1).saturating_sub(num_visible)
            }
        };
        first_visible / self.block_size as usize
    }

    /// Takes blocks until `num_tokens` tokens fit; takes none and says `false` if too few are free.
    pub(in crate::engine) fn grow_to(&mut self, blocks: &mut SequenceBlocks, num_tokens: usize) -> bool {
        let wanted = match planted(Bug::LastBlockIsMissing) {
            true => (num_tokens / self.block_size as usize).max(1),
            false => BlockTable::blocks_for(num_tokens, self.block_size),
        };
        let missing = wanted.saturating_sub(blocks.num_places()) * self.groups.len();
        if missing > self.pool.num_free() {
            return false;
        }
        for table in &mut blocks.tables {
            while table.places().len() < wanted {
                let block = allocate(&mut self.pool, &mut self.cache).expect("so many are free");
                table.push(block);
            }
        }
        true
    }

    /// Tokens that a sequence can reach with the blocks that it has and those that are free.
    pub(in crate::engine) fn reach(&self, blocks: &SequenceBlocks) -> usize {
        let places = blocks.num_places() + self.pool.num_free() / self.groups.len();
        places * self.block_size as usize
    }

    /// The longest beginning of at most `max_tokens` tokens that the prefix cache has in whole blocks: every block of
    /// the layers that see all, and of the others those within the window of the next token.
    pub(in crate::engine) fn find_prefix(
        &self,
        blocks: &SequenceBlocks,
        tokens: &[u32],
        max_tokens: usize,
    ) -> Prefix {
        let mut prefix = Prefix { num_blocks: 0 };
        let Some(cache) = &self.cache else { return prefix };
        let size = self.block_size as usize;
        let mut limit = (max_tokens / size).min(blocks.keys.len() - 1);
        let find = |group: usize, index: usize| {
            cache.find(blocks.keys[index + 1], group as GroupId, &tokens[index * size..(index + 1) * size])
        };
        let is_full = |group: &KvGroup| group.window.is_none();
        for (group, _) in self.groups.iter().enumerate().filter(|(_, group)| is_full(group)) {
            limit = (0..limit).find(|&index| find(group, index).is_none()).unwrap_or(limit);
        }
        // Per group with a window: how many blocks up to here are there without a gap.
        let mut runs = vec![0; self.groups.len()];
        for end in 1..=limit {
            let mut is_whole = true;
            for (group, &kind) in self.groups.iter().enumerate().filter(|(_, group)| !is_full(group)) {
                runs[group] = if find(group, end - 1).is_some() { runs[group] + 1 } else { 0 };
                is_whole &= runs[group] >= end - self.num_hidden(kind, end * size).min(end);
            }
            if is_whole {
                prefix.num_blocks = end;
            }
        }
        prefix
    }

    /// The blocks of a beginning that was found, over all groups.
    pub(in crate::engine) fn blocks_of(
        &self,
        blocks: &SequenceBlocks,
        tokens: &[u32],
        prefix: Prefix,
    ) -> impl Iterator<Item = BlockId> {
        let size = self.block_size as usize;
        self.places_of(prefix.num_blocks).filter_map(move |(group, index)| {
            let tokens = &tokens[index * size..(index + 1) * size];
            self.cache.as_ref()?.find(blocks.keys[index + 1], group as GroupId, tokens)
        })
    }

    /// Group and index of the blocks that a sequence holds which has computed `num_blocks` whole blocks.
    fn places_of(&self, num_blocks: usize) -> impl Iterator<Item = (usize, usize)> {
        let num_computed = num_blocks * self.block_size as usize;
        self.groups.iter().enumerate().flat_map(move |(group, &kind)| {
            let hidden = self.num_hidden(kind, num_computed).min(num_blocks);
            (hidden..num_blocks).map(move |index| (group, index))
        })
    }

    /// Makes a sequence hold the beginning that was found, in place of what it held before. Returns its tokens.
    pub(in crate::engine) fn adopt(
        &mut self,
        blocks: &mut SequenceBlocks,
        tokens: &[u32],
        prefix: Prefix,
    ) -> usize {
        let Some(cache) = &self.cache else { return 0 };
        let size = self.block_size as usize;
        let num_computed = prefix.num_blocks * size;
        let hidden = |&kind| self.num_hidden(kind, num_computed).min(prefix.num_blocks);
        let mut tables: Vec<_> = self.groups.iter().map(hidden).map(BlockTable::after).collect();
        for (group, index) in self.places_of(prefix.num_blocks) {
            let tokens = &tokens[index * size..(index + 1) * size];
            let block = cache.find(blocks.keys[index + 1], group as GroupId, tokens).expect("it was found");
            tables[group].push(block);
        }
        for block in tables.iter().flat_map(BlockTable::held).filter(|_| !planted(Bug::RetainIsMissing)) {
            self.pool.retain(*block);
        }
        for table in std::mem::replace(&mut blocks.tables, tables) {
            self.release_table(table);
        }
        blocks.num_entered = prefix.num_blocks;
        num_computed
    }

    /// Copies what the prefix cache has in the middle of the next block, at most up to `max_tokens` tokens in all.
    /// Returns how many tokens that is and the copies to make; none if there is nothing or no block is free.
    pub(in crate::engine) fn copy_part(
        &mut self,
        blocks: &mut SequenceBlocks,
        tokens: &[u32],
        max_tokens: usize,
    ) -> (usize, Vec<BlockCopy>) {
        let nothing = (0, Vec::new());
        let Some(cache) = &self.cache else { return nothing };
        let index = blocks.num_places();
        let start = index * self.block_size as usize;
        let Some(&parent) = blocks.keys.get(index) else { return nothing };
        // One place of the block is left for the token that is computed next.
        let end = max_tokens.min(start + self.block_size as usize - 1);
        if start >= end {
            return nothing;
        }
        let rest = &tokens[start..end];
        let find = |group| cache.find_part(parent, group as GroupId, rest);
        let Some(found) = (0..self.groups.len()).map(find).collect::<Option<Vec<_>>>() else {
            return nothing;
        };
        let num_tokens = found.iter().map(|&(_, num_common)| num_common).min().expect("there are groups");
        // Held while the targets are taken, so that no source is overwritten as the oldest free block.
        let num_needed = found.iter().filter(|(source, _)| self.pool.ref_count(*source) == 0).count();
        if self.pool.num_free() < num_needed + self.groups.len() {
            return nothing;
        }
        if planted(Bug::PartIsShared) {
            for (table, &(source, _)) in blocks.tables.iter_mut().zip(&found) {
                self.pool.retain(source);
                table.push(source);
            }
            return (num_tokens, Vec::new());
        }
        for &(source, _) in found.iter().filter(|_| !planted(Bug::SourceIsNotHeld)) {
            self.pool.retain(source);
        }
        let mut copies = Vec::with_capacity(found.len());
        for (table, &(source, _)) in blocks.tables.iter_mut().zip(&found) {
            let target = allocate(&mut self.pool, &mut self.cache).expect("so many are free");
            table.push(target);
            copies.push(BlockCopy { from: source.0, to: target.0 });
        }
        for &(source, _) in found.iter().filter(|_| !planted(Bug::SourceIsNotHeld)) {
            self.release_block(source);
        }
        (num_tokens, copies)
    }

    /// Enters what a sequence has computed in the prefix cache: full blocks, and with `tail` also the last one as far
    /// as it is filled. Then gives back what left the windows.
    pub(in crate::engine) fn computed(
        &mut self,
        blocks: &mut SequenceBlocks,
        tokens: &[u32],
        num_computed: usize,
        tail: bool,
    ) {
        self.enter(blocks, tokens, num_computed, tail);
        for group in (0..self.groups.len()).filter(|_| !planted(Bug::WindowIsNeverLeft)) {
            let hidden = self.num_hidden(self.groups[group], num_computed);
            if hidden > blocks.tables[group].num_dropped() {
                let dropped: Vec<BlockId> = blocks.tables[group].drop_before(hidden).collect();
                dropped.into_iter().for_each(|block| self.release_block(block));
            }
        }
    }

    fn enter(&mut self, blocks: &mut SequenceBlocks, tokens: &[u32], num_computed: usize, tail: bool) {
        let size = self.block_size as usize;
        let num_full = num_computed / size;
        if num_full > blocks.num_entered {
            self.name(blocks, &tokens[..num_full * size]);
        }
        let Some(cache) = &mut self.cache else { return };
        let end = if tail { num_computed.div_ceil(size) } else { num_full };
        for index in blocks.num_entered..end {
            let parent = blocks.keys[index];
            let key = (index < num_full).then(|| blocks.keys[index + 1]);
            let num_offered = num_computed + usize::from(planted(Bug::TailIsTooLong));
            let tokens = &tokens[index * size..num_offered.min((index + 1) * size).min(tokens.len())];
            for (group, table) in blocks.tables.iter().enumerate() {
                let block = table.places()[index];
                if block != BlockTable::DROPPED {
                    cache.enter(block, group as GroupId, parent, key, tokens);
                }
            }
        }
        blocks.num_entered = num_full.max(blocks.num_entered);
    }

    /// Takes all blocks back from a sequence that has computed `num_computed` of its tokens; what it computed can
    /// still be found until it is overwritten.
    pub(in crate::engine) fn release(
        &mut self,
        blocks: &mut SequenceBlocks,
        tokens: &[u32],
        num_computed: usize,
    ) {
        self.enter(blocks, tokens, num_computed, true);
        blocks.num_entered = 0;
        for table in std::mem::replace(&mut blocks.tables, self.empty_tables()) {
            self.release_table(table);
        }
    }

    /// Takes all blocks back from a sequence whose K and V cannot be trusted: nothing of it is found again.
    pub(in crate::engine) fn discard(&mut self, blocks: &mut SequenceBlocks) {
        let tables = std::mem::replace(&mut blocks.tables, self.empty_tables());
        if let Some(cache) = &mut self.cache
            && !planted(Bug::InvalidIsOffered)
        {
            tables.iter().flat_map(BlockTable::held).for_each(|&block| cache.forget(block));
        }
        blocks.num_entered = 0;
        tables.into_iter().for_each(|table| self.release_table(table));
    }

    /// The end first, so that of one prefix the beginning stays the longest.
    fn release_table(&mut self, table: BlockTable) {
        if planted(Bug::SharedIsReleasedTwice) {
            let shared = table.held().iter().find(|&&block| self.pool.ref_count(block) > 1);
            shared.into_iter().for_each(|&block| self.release_block(block));
        }
        table.held().iter().rev().for_each(|&block| self.release_block(block));
    }

    fn release_block(&mut self, block: BlockId) {
        let is_worth_keeping = self.cache.as_ref().is_some_and(|cache| cache.knows(block));
        self.pool.release(block, is_worth_keeping);
    }
}

/// Takes a free block, whose contents are lost with that.
fn allocate(pool: &mut BlockPool, cache: &mut Option<PrefixCache>) -> Option<BlockId> {
    let block = pool.allocate()?;
    if let Some(cache) = cache
        && !planted(Bug::StaleNameIsFound)
    {
        cache.forget(block);
    }
    Some(block)
}
