//! The checks between steps: who owns which block, what the prefix cache offers, what nobody may read.

use std::collections::{BTreeMap, BTreeSet};

use super::Checked;
use super::tamper::Tamper;
use super::world::World;
use crate::engine::Sequence;
use crate::engine::kv::{BlockId, BlockTable};

/// Where an owner lists a block, and what it has there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Use {
    group: usize,
    index: usize,
    /// Name of what the block holds, once the owner has computed it whole.
    name: Option<u64>,
}

impl World {
    /// Free and used make the whole, owners are counted, only equal beginnings are shared, and the cache offers
    /// only what was written.
    pub(super) fn check_books(&mut self) -> Checked {
        let kv = self.scheduler.kv();
        let pool = kv.pool();
        let total = self.scenario.engine.capacity.num_blocks as usize;
        let mut is_free = vec![false; total];
        for block in pool.free_blocks() {
            ensure!(
                !std::mem::replace(&mut is_free[block.0 as usize], true),
                "{block:?} is twice on the free list"
            );
        }
        let num_free = is_free.iter().filter(|free| **free).count();
        ensure!(num_free == pool.num_free(), "{num_free} blocks are free, the books say {}", pool.num_free());
        let mut uses: BTreeMap<BlockId, Vec<Use>> = BTreeMap::new();
        for sequence in self.scheduler.running() {
            self.check_tables(sequence, &mut uses)?;
        }
        ensure!(num_free + uses.len() == total, "{num_free} free, {} used of {total}", uses.len());
        for (&block, uses) in &uses {
            ensure!(!is_free[block.0 as usize], "{block:?} is free and owned");
            let count = pool.ref_count(block) as usize;
            ensure!(count == uses.len(), "{block:?} has {} owners, the books say {count}", uses.len());
            let is_same = uses.iter().all(|other| *other == uses[0]);
            let is_whole = uses[0].name.is_some();
            ensure!(uses.len() == 1 || (is_same && is_whole), "{block:?} is shared wrongly: {uses:?}");
            self.tally.shared_blocks += usize::from(uses.len() > 1);
        }
        for block in (0..total as u32).map(BlockId) {
            let num_known = kv.num_known_tokens(block);
            ensure!(
                self.contents.are_written(block.0, num_known),
                "the cache offers {num_known} of {block:?}"
            );
        }
        for sequence in self.scheduler.waiting() {
            let (held, computed) = (sequence.blocks().num_held(), sequence.num_computed());
            ensure!((held, computed) == (0, 0), "{:?} waits and holds {held} blocks", sequence.id());
        }
        let known: BTreeSet<_> =
            self.scheduler.running().chain(self.scheduler.waiting()).map(Sequence::id).collect();
        ensure!(
            known.iter().eq(self.open.keys()),
            "the scheduler has {known:?}, open are {:?}",
            self.open.keys()
        );
        Ok(())
    }

    /// A running sequence has a block for everything that it computed and that is still seen.
    fn check_tables(&self, sequence: &Sequence, uses: &mut BTreeMap<BlockId, Vec<Use>>) -> Checked {
        let id = sequence.id();
        let size = self.scenario.engine.capacity.block_size as usize;
        let num_computed = sequence.num_computed();
        ensure!(num_computed < sequence.num_tokens(), "{id:?} has nothing left to compute");
        let names = self.open.get(&id).map_or(&[][..], |tracked| &tracked.names);
        let tables = sequence.blocks().tables();
        for (group, table) in tables.iter().enumerate() {
            let places = table.places();
            ensure!(places.len() == tables[0].places().len(), "{id:?} has tables of different lengths");
            ensure!(places.len() * size >= num_computed, "{id:?} has computed more than it has blocks");
            let window = self.scenario.engine.groups[group];
            let first_seen = window.first_visible(num_computed as u32) as usize / size;
            for (index, &block) in places.iter().enumerate() {
                let is_seen = index >= first_seen.min(places.len());
                ensure!(
                    is_seen == (block != BlockTable::DROPPED),
                    "{id:?} holds the wrong blocks: {table:?}"
                );
                if block != BlockTable::DROPPED {
                    let end = (index + 1) * size;
                    let name = (end <= num_computed).then(|| names.get(end - 1).copied()).flatten();
                    uses.entry(block).or_default().push(Use { group, index, name });
                }
            }
        }
        Ok(())
    }

    /// Spoils what must not be read any more: free blocks as far as the cache does not offer them, and what lies
    /// behind the last computed token of each sequence.
    pub(super) fn spoil_the_rest(&mut self) {
        let size = self.scenario.engine.capacity.block_size as usize;
        let kv = self.scheduler.kv();
        let mut rests: Vec<(u32, usize)> =
            kv.pool().free_blocks().map(|block| (block.0, kv.num_known_tokens(block))).collect();
        for sequence in self.scheduler.running() {
            let num_computed = sequence.num_computed();
            for table in sequence.blocks().tables() {
                self.tally.dropped_places += table.num_dropped();
                for (index, block) in table.places().iter().enumerate().skip(num_computed / size) {
                    rests.push((block.0, num_computed.saturating_sub(index * size)));
                }
            }
        }
        for (block, num_kept) in rests {
            self.spoil(block, num_kept);
        }
        if self.has(Tamper::BlockIsFreedEarly) {
            let first = self.scheduler.running().next();
            let block = first.and_then(|sequence| sequence.blocks().tables()[0].held().first().copied());
            if let Some(BlockId(block)) = block {
                self.spoil(block, 0);
            }
        }
    }

    /// Spoils a block but for its first tokens, in the cache and in the second books.
    pub(super) fn spoil(&mut self, block: u32, num_kept: usize) {
        self.runner.poison_block(block, num_kept as u32);
        self.contents.spoil(block, num_kept);
    }

    /// After the end nothing is held and everybody is accounted for.
    pub(super) fn check_idle(&self) -> Checked {
        let pool = self.scheduler.kv().pool();
        ensure!(
            pool.num_free() == pool.num_total(),
            "{} blocks are used though all is done",
            pool.num_used()
        );
        let tally = &self.tally;
        let ends = tally.refused + tally.turned_away + tally.finished + tally.aborted() + tally.failed;
        let all = self.scenario.arrivals.len();
        ensure!(ends == all, "the ends do not add up to {all}: {tally:?}");
        Ok(())
    }
}
