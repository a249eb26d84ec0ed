//! Answers that are kept for later requests to build on: in memory, bounded in number and in bytes.
//!
//! Each answer is kept with the whole conversation that led to it, whose items it shares with the answers before it. So
//! an answer that is still kept can be built on, whatever became of those before; and what an answer is counted for is
//! never less than what dropping it could leave behind. An answer belongs to the API key that asked for it: another
//! key's is as if it were not there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use super::items::Item;
use crate::serving::TenantId;

/// An answer that is kept.
#[derive(Debug)]
pub(super) struct Stored {
    /// The answer as it was sent, as JSON.
    pub(super) json: String,
    /// The items that it was made from, the oldest first, then its own.
    pub(super) conversation: Vec<Arc<Item>>,
    /// How many of them it was made from.
    pub(super) num_input: usize,
}

impl Stored {
    fn num_bytes(&self) -> usize {
        let items: usize =
            self.conversation.iter().map(|item| item.num_bytes() + size_of::<Arc<Item>>()).sum();
        items + self.json.len()
    }
}

/// Whose answer it is, and its id.
type Key = (TenantId, Arc<str>);

/// Answers that are kept.
#[derive(Debug)]
pub(in crate::api) struct ResponseStore {
    max_count: usize,
    max_bytes: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    entries: HashMap<Key, Entry>,
    /// Keys by when they were last used.
    by_use: BTreeMap<u64, Key>,
    num_uses: u64,
    num_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    stored: Arc<Stored>,
    num_bytes: usize,
    used: u64,
}

impl ResponseStore {
    /// An empty store for so many answers and bytes.
    pub(in crate::api) fn new(max_count: usize, max_bytes: usize) -> Self {
        Self { max_count, max_bytes, shelf: Mutex::default() }
    }

    /// Whether it keeps anything at all.
    pub(super) fn is_off(&self) -> bool {
        self.max_count == 0 || self.max_bytes == 0
    }

    /// Keeps an answer; what was not used for the longest time makes room. One that is too large for the whole store is
    /// not kept.
    pub(super) fn insert(&self, owner: TenantId, id: &str, stored: Stored) {
        let num_bytes = stored.num_bytes();
        if self.is_off() || num_bytes > self.max_bytes {
            return;
        }
        let mut shelf = self.shelf();
        let key = (owner, Arc::from(id));
        shelf.remove(&key);
        while shelf.entries.len() >= self.max_count || shelf.num_bytes + num_bytes > self.max_bytes {
            shelf.drop_oldest();
        }
        let used = shelf.next_use();
        shelf.num_bytes += num_bytes;
        shelf.by_use.insert(used, key.clone());
        shelf.entries.insert(key, Entry { stored: Arc::new(stored), num_bytes, used });
    }

    /// An answer of this owner, which is thereby used.
    pub(super) fn get(&self, owner: TenantId, id: &str) -> Option<Arc<Stored>> {
        let mut shelf = self.shelf();
        let key = (owner, Arc::from(id));
        let used = shelf.next_use();
        let entry = shelf.entries.get_mut(&key)?;
        let before = std::mem::replace(&mut entry.used, used);
        let stored = Arc::clone(&entry.stored);
        shelf.by_use.remove(&before);
        shelf.by_use.insert(used, key);
        Some(stored)
    }

    /// Forgets an answer of this owner; `false` if there was none.
    pub(super) fn remove(&self, owner: TenantId, id: &str) -> bool {
        self.shelf().remove(&(owner, Arc::from(id)))
    }

    /// The items of all of this owner's answers, and of what led to them, by their ids.
    pub(super) fn items(&self, owner: TenantId) -> HashMap<String, Arc<Item>> {
        let shelf = self.shelf();
        let of_owner = shelf.entries.iter().filter(|((tenant, _), _)| *tenant == owner);
        let items = of_owner.flat_map(|(_, entry)| &entry.stored.conversation);
        items.map(|item| (item.id().to_owned(), Arc::clone(item))).collect()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("nobody panics with the lock held")
    }
}

impl Shelf {
    fn next_use(&mut self) -> u64 {
        self.num_uses += 1;
        self.num_uses
    }

    fn remove(&mut self, key: &Key) -> bool {
        let Some(entry) = self.entries.remove(key) else { return false };
        self.by_use.remove(&entry.used);
        self.num_bytes -= entry.num_bytes;
        true
    }

    fn drop_oldest(&mut self) {
        let (_, key) = self.by_use.pop_first().expect("a store that is full has an oldest entry");
        let entry = self.entries.remove(&key).expect("each use belongs to an entry");
        self.num_bytes -= entry.num_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: TenantId = TenantId(1);
    const THEIRS: TenantId = TenantId(2);

    fn stored(num_bytes: usize) -> Stored {
        Stored { json: "x".repeat(num_bytes), conversation: Vec::new(), num_input: 0 }
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_makes_room() {
        let store = ResponseStore::new(2, 1000);
        for id in ["a", "b"] {
            store.insert(MINE, id, stored(10));
        }
        assert!(store.get(MINE, "a").is_some(), "now b is the oldest");
        store.insert(MINE, "c", stored(10));
        let kept: Vec<bool> = ["a", "b", "c"].map(|id| store.get(MINE, id).is_some()).into();
        assert_eq!(kept, [true, false, true]);
    }

    #[test]
    fn the_bytes_are_bounded_too() {
        let store = ResponseStore::new(100, 100);
        for id in ["a", "b", "c"] {
            store.insert(MINE, id, stored(40));
        }
        assert!(store.get(MINE, "a").is_none());
        store.insert(MINE, "d", stored(101));
        assert!(store.get(MINE, "d").is_none(), "it is larger than the store");
        assert!(store.get(MINE, "b").is_some() && store.get(MINE, "c").is_some(), "and pushed nothing out");
        assert_eq!(store.shelf().num_bytes, 80);
        store.insert(MINE, "b", stored(10));
        assert_eq!(
            store.shelf().num_bytes,
            50,
            "a second answer of the same id takes the place of the first"
        );
        assert_eq!(store.shelf().by_use.len(), 2);
    }

    #[test]
    fn an_answer_of_another_key_is_not_there() {
        let store = ResponseStore::new(10, 1000);
        store.insert(MINE, "a", stored(10));
        assert!(store.get(THEIRS, "a").is_none());
        assert!(!store.remove(THEIRS, "a"));
        assert!(store.remove(MINE, "a"));
        assert!(store.get(MINE, "a").is_none());
        assert_eq!(store.shelf().num_bytes, 0);
    }

    #[test]
    fn a_store_of_no_size_keeps_nothing() {
        for store in [ResponseStore::new(0, 1000), ResponseStore::new(10, 0)] {
            assert!(store.is_off());
            store.insert(MINE, "a", stored(0));
            assert!(store.get(MINE, "a").is_none());
        }
    }
}
