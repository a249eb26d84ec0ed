//! Tokens and text without a generation.

use super::prepare::expect_tokens;
use super::{GenerateError, Generator};
use crate::text::Detokenizer;

impl Generator {
    /// Turns tokens into text one by one, in the way of an output whose special tokens have no text, or all of them.
    pub fn detokenizer(&self, skip_special: bool) -> Detokenizer {
        self.text().detokenizer(skip_special)
    }

    /// The text of a special token.
    pub fn special_token(&self, token_id: u32) -> Option<&str> {
        let special = self.text().tokenizer().special_tokens();
        let at = special.binary_search_by_key(&token_id, |token| token.id).ok()?;
        Some(&special[at].text)
    }

    /// The text of tokens, special ones as they are written; those that the vocabulary does not hold have none.
    pub fn text_of(&self, token_ids: &[u32]) -> String {
        let mut detokenizer = self.detokenizer(false);
        let mut text: String = token_ids.iter().map(|&token_id| detokenizer.push(token_id)).collect();
        text += &detokenizer.finish();
        text
    }

    /// As [`Self::text_of`], for a list of any length.
    ///
    /// # Errors
    /// A token that the model does not have, or more work than can be done in time.
    pub async fn detokenize(&self, token_ids: Vec<u32>) -> Result<String, GenerateError> {
        let generator = self.clone();
        let work = move || {
            expect_tokens(generator.text(), "tokens", &token_ids)?;
            Ok(generator.text_of(&token_ids))
        };
        self.shared.on_a_place(work).await
    }

    /// Tokens as the vocabulary spells them; an id that it does not hold has no spelling.
    pub fn spellings(&self, token_ids: &[u32]) -> Vec<Option<String>> {
        let tokenizer = self.text().tokenizer();
        token_ids.iter().map(|&token_id| tokenizer.id_to_token(token_id)).collect()
    }
}
