//! A tokenizer's vocabulary as the trie of bytes that grammars walk.

use std::sync::Arc;

use llguidance::toktrie::{INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::text::{SpecialText, Tokenizer};

/// Ids that no token has, in all: a vocabulary with more holes is cut there.
const MAX_UNUSED_IDS: usize = 1 << 16;

/// The bytes of every token by id; special tokens and ids without a token have none, for no text is spelled with them.
pub(super) fn text_bytes(tokenizer: &Tokenizer) -> Vec<Vec<u8>> {
    let num_tokens = tokenizer.vocab_size();
    let mut num_found = 0;
    let mut words = Vec::with_capacity(num_tokens);
    while num_found < num_tokens && words.len() < num_tokens + MAX_UNUSED_IDS {
        let id = u32::try_from(words.len()).expect("a vocabulary has fewer than 2^32 tokens");
        num_found += usize::from(tokenizer.id_to_token(id).is_some());
        let mut bytes = Vec::new();
        tokenizer.decode_bytes(id, &mut bytes);
        words.push(bytes);
    }
    words
}

/// The trie of a vocabulary with its tokenizer. `end_token_ids` are what ends an output.
pub(super) fn token_env(tokenizer: &Arc<Tokenizer>, end_token_ids: &[u32]) -> TokEnv {
    let mut words = text_bytes(tokenizer);
    for word in &mut words {
        // The marker of special tokens is a byte that UTF-8 does not have: text that begins with it is never wanted.
        if word.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
            word.clear();
        }
    }
    for token in tokenizer.special_tokens() {
        if let Some(word) = words.get_mut(token.id as usize) {
            word.push(TokTrie::SPECIAL_TOKEN_MARKER);
            word.extend_from_slice(token.text.as_bytes());
        }
    }
    let vocab_size = u32::try_from(words.len()).expect("a vocabulary has fewer than 2^32 tokens");
    let mut trie = TokTrie::from(&TokRxInfo::new(vocab_size, INVALID_TOKEN), &words);
    let end_token_ids: Vec<u32> = end_token_ids.iter().copied().filter(|&id| id < vocab_size).collect();
    if !end_token_ids.is_empty() {
        trie = trie.with_eos_tokens(&end_token_ids);
    }
    Arc::new(Vocabulary { trie, tokenizer: Arc::clone(tokenizer) })
}

struct Vocabulary {
    trie: TokTrie,
    tokenizer: Arc<Tokenizer>,
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let text = std::str::from_utf8(bytes).ok();
        let token_ids = text.and_then(|text| self.tokenizer.encode(text, SpecialText::Plain, false).ok());
        token_ids.unwrap_or_else(|| self.trie.greedy_tokenize(bytes))
    }

    /// A model may split forced text as it likes.
    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}
