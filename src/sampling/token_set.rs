//! A set of token ids as bits.

/// Tokens of a vocabulary of fixed size, one bit each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenSet {
    /// Bit `id % 32` of word `id / 32`; bits beyond the vocabulary are clear.
    words: Vec<u32>,
    vocab_size: usize,
}

const WORD_BITS: usize = u32::BITS as usize;

impl TokenSet {
    /// The empty set over `vocab_size` tokens.
    pub fn new(vocab_size: usize) -> Self {
        Self { words: vec![0; vocab_size.div_ceil(WORD_BITS)], vocab_size }
    }

    /// The set of these tokens; ids beyond the vocabulary are left out.
    pub fn of(vocab_size: usize, token_ids: impl IntoIterator<Item = u32>) -> Self {
        let mut set = Self::new(vocab_size);
        token_ids.into_iter().for_each(|token_id| set.insert(token_id));
        set
    }

    /// Tokens of the vocabulary, in the set or not.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Puts a token in; one beyond the vocabulary is left out.
    pub fn insert(&mut self, token_id: u32) {
        if (token_id as usize) < self.vocab_size {
            self.words[token_id as usize / WORD_BITS] |= 1 << (token_id as usize % WORD_BITS);
        }
    }

    /// Takes a token out.
    pub fn remove(&mut self, token_id: u32) {
        if (token_id as usize) < self.vocab_size {
            self.words[token_id as usize / WORD_BITS] &= !(1 << (token_id as usize % WORD_BITS));
        }
    }

    /// Whether a token is in; one beyond the vocabulary is not.
    pub fn contains(&self, token_id: u32) -> bool {
        let word = self.words.get(token_id as usize / WORD_BITS);
        word.is_some_and(|word| word >> (token_id as usize % WORD_BITS) & 1 == 1)
    }

    /// Takes every token out.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Puts every token of the vocabulary in.
    pub fn fill(&mut self) {
        self.words.fill(u32::MAX);
        self.clear_tail();
    }

    /// Takes out what `other` does not have.
    pub fn intersect(&mut self, other: &Self) {
        for (index, word) in self.words.iter_mut().enumerate() {
            *word &= other.words.get(index).copied().unwrap_or(0);
        }
    }

    /// Tokens in the set.
    pub fn num_tokens(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The bits: that of token `id` is bit `id % 32` of word `id / 32`.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Becomes the set with these bits, as [`Self::words`] gives them: words that are missing are empty, and what lies
    /// beyond the vocabulary is left out.
    pub fn copy_words(&mut self, words: &[u32]) {
        let num_copied = words.len().min(self.words.len());
        self.words[..num_copied].copy_from_slice(&words[..num_copied]);
        self.words[num_copied..].fill(0);
        self.clear_tail();
    }

    /// The tokens in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let of_word = |(index, &word): (usize, &u32)| {
            let first = (index * WORD_BITS) as u32;
            (0..u32::BITS).filter(move |bit| word >> bit & 1 == 1).map(move |bit| first + bit)
        };
        self.words.iter().enumerate().flat_map(of_word)
    }

    /// Clears the bits beyond the vocabulary.
    fn clear_tail(&mut self) {
        let num_used = self.vocab_size % WORD_BITS;
        if let (Some(last), true) = (self.words.last_mut(), num_used > 0) {
            *last &= (1 << num_used) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(
            vocab_size in 0_usize..100,
            inserted in prop::collection::vec(0_u32..130, 0..60),
            removed in prop::collection::vec(0_u32..130, 0..20),
            other_size in 0_usize..100,
            other in prop::collection::vec(0_u32..130, 0..60),
        ) {
            let known = |ids: &[u32], size: usize| -> BTreeSet<u32> {
                ids.iter().copied().filter(|&id| (id as usize) < size).collect()
            };
            let mut set = TokenSet::of(vocab_size, inserted.iter().copied());
            let mut expected = known(&inserted, vocab_size);
            for &id in &removed {
                set.remove(id);
                expected.remove(&id);
            }
            prop_assert_eq!(set.iter().collect::<BTreeSet<_>>(), expected.clone());
            prop_assert_eq!(set.num_tokens(), expected.len());
            for id in 0..130 {
                prop_assert_eq!(set.contains(id), expected.contains(&id));
            }
            let mut copied = TokenSet::new(vocab_size);
            copied.fill();
            prop_assert_eq!(copied.num_tokens(), vocab_size);
            copied.copy_words(set.words());
            prop_assert_eq!(&copied, &set);
            set.intersect(&TokenSet::of(other_size, other.iter().copied()));
            let common: Vec<u32> = expected.intersection(&known(&other, other_size)).copied().collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), common);
        }
    }

    #[test]
    fn bits_beyond_the_vocabulary_are_left_out() {
        let mut set = TokenSet::new(33);
        set.copy_words(&[0, u32::MAX, u32::MAX]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [32]);
        set.copy_words(&[1]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0]);
    }
}
