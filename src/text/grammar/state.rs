//! The state of one sequence under a compiled grammar.

use std::fmt;

use llguidance::toktrie::{SimpleVob, TokEnv, TokTrie};
use llguidance::{Matcher, TokenParser};

use crate::sampling::{Constraint, ConstraintError, TokenSet};

/// Guesses given at once.
const MAX_FORCED_TOKENS: usize = 64;

/// One sequence under a grammar.
pub(super) struct GrammarState {
    matcher: Matcher,
    vocabulary: TokEnv,
    /// What may come next, if it was asked since the last token.
    next: Option<SimpleVob>,
    /// Whether an end token came.
    ended: bool,
}

impl fmt::Debug for GrammarState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrammarState")
            .field("ended", &self.ended)
            .field("stop_reason", &self.matcher.stop_reason())
            .finish_non_exhaustive()
    }
}

impl GrammarState {
    pub(super) fn new(parser: TokenParser, vocabulary: TokEnv) -> Self {
        Self { matcher: Matcher::new(Ok(parser)), vocabulary, next: None, ended: false }
    }

    fn is_end(&self, token_id: u32) -> bool {
        self.vocabulary.tok_trie().eos_tokens().contains(&token_id)
    }

    fn next(&mut self) -> Result<&SimpleVob, ConstraintError> {
        if self.next.is_none() {
            self.next = Some(self.matcher.compute_mask_or_eos().map_err(failed)?);
        }
        Ok(self.next.as_ref().expect("it was just filled"))
    }
}

/// An error of the matcher without what it adds for its own developers.
fn failed(error: impl fmt::Display) -> ConstraintError {
    ConstraintError(super::compiler::first_line(&error.to_string()))
}

impl Constraint for GrammarState {
    fn mask(&mut self, allowed: &mut TokenSet) -> Result<(), ConstraintError> {
        let num_words = self.vocabulary.tok_trie().vocab_size().div_ceil(32);
        if self.ended {
            allowed.clear();
            return Ok(());
        }
        let words = self.next()?.as_slice();
        allowed.copy_words(&words[..num_words.min(words.len())]);
        Ok(())
    }

    fn accept(&mut self, token_id: u32) -> Result<(), ConstraintError> {
        if !self.allows(token_id) {
            return Err(ConstraintError(format!("the grammar does not let token {token_id} come here")));
        }
        if self.is_end(token_id) {
            self.ended = true;
            return Ok(());
        }
        self.next = None;
        self.matcher.consume_token(token_id).map_err(failed)
    }

    fn allows(&mut self, token_id: u32) -> bool {
        if self.ended || token_id as usize >= self.vocabulary.tok_trie().vocab_size() {
            return false;
        }
        if let Some(next) = &self.next {
            return next.is_allowed(token_id);
        }
        if self.matcher.is_stopped() {
            return !self.matcher.is_error() && self.is_end(token_id);
        }
        self.matcher.validate_tokens(&[token_id]).is_ok_and(|num_valid| num_valid == 1)
    }

    fn is_complete(&mut self) -> bool {
        if self.ended {
            return true;
        }
        if self.matcher.is_error() {
            return false;
        }
        if self.matcher.is_stopped() {
            return true;
        }
        if !self.matcher.is_accepting().unwrap_or(false) {
            return false;
        }
        let ends = self.vocabulary.tok_trie().eos_token_set().num_set();
        self.next().is_ok_and(|next| next.num_set() == ends)
    }

    fn forced(&mut self) -> Vec<u32> {
        if self.ended || self.matcher.is_stopped() {
            return Vec::new();
        }
        let bytes = self.matcher.compute_ff_bytes();
        if bytes.is_empty() {
            return Vec::new();
        }
        let (mut token_ids, num_fixed) = self.vocabulary.tokenize_bytes_marker(&bytes);
        // The last token of text may be longer once it is known what follows.
        if token_ids.len() > num_fixed && bytes.last() != Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
            token_ids.pop();
        }
        token_ids.truncate(MAX_FORCED_TOKENS);
        let num_valid = self.matcher.validate_tokens(&token_ids).unwrap_or(0);
        token_ids.truncate(num_valid);
        token_ids
    }
}
