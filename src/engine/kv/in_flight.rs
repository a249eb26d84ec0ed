//! Which blocks are being computed and by whom, so that of two equal prompts only one is computed.

use std::collections::HashMap;

use super::BlockKey;
use crate::engine::SequenceId;
use crate::engine::planted::{Bug, planted};

/// Names of blocks whose tokens a running sequence is about to compute.
#[derive(Debug, Default)]
pub(in crate::engine) struct InFlight {
    owners: HashMap<BlockKey, SequenceId>,
}

impl InFlight {
    /// Somebody else who computes the block of this name.
    pub(in crate::engine) fn other(&self, key: BlockKey, id: SequenceId) -> Option<SequenceId> {
        let is_other = |&owner: &SequenceId| owner != id && !planted(Bug::NeighbourIsNotAwaited);
        self.owners.get(&key).copied().filter(is_other)
    }

    /// `id` computes these blocks, except those that somebody computes already.
    pub(in crate::engine) fn enter(&mut self, id: SequenceId, keys: impl IntoIterator<Item = BlockKey>) {
        for key in keys {
            self.owners.entry(key).or_insert(id);
        }
    }

    /// `id` has computed these blocks, or will not.
    pub(in crate::engine) fn leave(&mut self, id: SequenceId, keys: impl IntoIterator<Item = BlockKey>) {
        for key in keys.into_iter().filter(|_| !planted(Bug::ClaimIsNeverLeft)) {
            if self.owners.get(&key) == Some(&id) {
                self.owners.remove(&key);
            }
        }
    }

    /// Whether nothing is being computed.
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }
}
