//! Names for the contents of blocks: equal names mean equal tokens after an equal prefix.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::engine::planted::{Bug, planted};

/// Names everything up to the end of a block: the block's tokens and all that came before, salt included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockKey(u128);

/// Secret that makes names unforeseeable, so that nobody can prepare two prompts of one name.
#[derive(Clone, Copy)]
pub struct HashKey(pub [u8; 16]);

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

/// Makes names: SipHash-1-3 of 128 bits (Aumasson and Bernstein, 2012).
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockHasher(HashKey);

impl BlockHasher {
    pub(super) fn new(key: HashKey) -> Self {
        Self(key)
    }

    /// The name of nothing, as the beginning of all sequences with this salt.
    pub(super) fn root(self, salt: &[u8]) -> BlockKey {
        let mut hasher = SipHasher13::new_with_key(&self.0.0);
        hasher.write(b"root");
        if !planted(Bug::NameForgetsSalt) {
            hasher.write(salt);
        }
        BlockKey(hasher.finish128().as_u128())
    }

    /// The name of `tokens` after `parent`.
    pub(super) fn child(self, parent: BlockKey, tokens: &[u32]) -> BlockKey {
        let mut hasher = SipHasher13::new_with_key(&self.0.0);
        if !planted(Bug::NameForgetsParent) {
            hasher.write_u128(parent.0);
        }
        hasher.write(bytemuck::cast_slice(tokens));
        BlockKey(hasher.finish128().as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_depends_on_key_salt_prefix_tokens_and_their_number() {
        let hasher = BlockHasher::new(HashKey([7; 16]));
        let root = hasher.root(b"");
        let names = [
            root,
            hasher.root(b"x"),
            hasher.child(root, &[1, 2]),
            hasher.child(root, &[2, 1]),
            hasher.child(root, &[1]),
            hasher.child(root, &[1, 2, 0]),
            hasher.child(hasher.root(b"x"), &[1, 2]),
            hasher.child(hasher.child(root, &[1]), &[2]),
            BlockHasher::new(HashKey([8; 16])).child(root, &[1, 2]),
        ];
        for (i, a) in names.iter().enumerate() {
            assert!(names[i + 1..].iter().all(|b| a != b), "name {i} is not unique");
        }
        assert_eq!(hasher.child(root, &[1, 2]), hasher.child(hasher.root(b""), &[1, 2]));
    }
}
