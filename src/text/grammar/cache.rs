//! Compiled grammars that may be wanted again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::CompiledGrammar;

/// Grammars kept at most.
const MAX_GRAMMARS: usize = 64;

/// Bytes kept at most, keys and automata together.
const MAX_BYTES: usize = 64 << 20;

/// The grammars that were used last, bounded in number and bytes.
#[derive(Default)]
pub(super) struct GrammarCache {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: HashMap<String, Entry>,
    num_bytes: usize,
    /// Counts look-ups: an entry's time of use.
    clock: u64,
}

struct Entry {
    grammar: CompiledGrammar,
    num_bytes: usize,
    used: u64,
}

impl fmt::Debug for GrammarCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("GrammarCache")
            .field("num_grammars", &kept.entries.len())
            .field("num_bytes", &kept.num_bytes)
            .finish()
    }
}

impl GrammarCache {
    pub(super) fn get(&self, key: &str) -> Option<CompiledGrammar> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let used = kept.clock;
        let entry = kept.entries.get_mut(key)?;
        entry.used = used;
        Some(entry.grammar.clone())
    }

    pub(super) fn insert(&self, key: String, grammar: CompiledGrammar) {
        let num_bytes = key.len() + grammar.num_bytes();
        if num_bytes > MAX_BYTES {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let entry = Entry { grammar, num_bytes, used: kept.clock };
        kept.num_bytes += num_bytes;
        if let Some(replaced) = kept.entries.insert(key, entry) {
            kept.num_bytes -= replaced.num_bytes;
        }
        while kept.entries.len() > MAX_GRAMMARS || kept.num_bytes > MAX_BYTES {
            let oldest = kept.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(removed) = oldest.and_then(|key| kept.entries.remove(&key)) else { break };
            kept.num_bytes -= removed.num_bytes;
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).entries.len()
    }
}
