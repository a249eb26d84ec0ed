//! Token ids to text, one by one: what comes out in pieces is what decoding all ids at once would give.

use std::sync::Arc;

use super::Tokenizer;

/// Turns the tokens of one sequence into text. A character whose bytes are spread over several tokens comes out with
/// its last byte; bytes that can no longer become a character come out as U+FFFD, one for each maximal broken part,
/// as in [`String::from_utf8_lossy`].
#[derive(Debug)]
pub struct Detokenizer {
    tokenizer: Arc<Tokenizer>,
    shown: ShownTokens,
    /// The beginning of a character, at most three bytes.
    pending: Vec<u8>,
}

/// Special tokens that have text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShownTokens {
    /// These; none as a rule.
    These(Arc<[u32]>),
    /// All.
    All,
}

impl ShownTokens {
    fn contain(&self, token_id: u32) -> bool {
        match self {
            Self::These(ids) => ids.contains(&token_id),
            Self::All => true,
        }
    }
}

impl Detokenizer {
    /// At the start of a text in which special tokens have no text.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self::showing(tokenizer, ShownTokens::These(Arc::default()))
    }

    /// At the start of a text in which these special tokens stand as they are written.
    pub fn showing(tokenizer: Arc<Tokenizer>, shown: ShownTokens) -> Self {
        Self { tokenizer, shown, pending: Vec::new() }
    }

    /// The text that this token makes certain.
    pub fn push(&mut self, token_id: u32) -> String {
        let before = self.pending.len();
        self.tokenizer.decode_bytes(token_id, &mut self.pending);
        if self.pending.len() == before && self.shown.contain(token_id) {
            self.pending.extend(self.tokenizer.token_bytes(token_id).unwrap_or_default());
        }
        take_certain(&mut self.pending)
    }

    /// Whether no character has begun that is not yet whole.
    pub fn is_between_characters(&self) -> bool {
        self.pending.is_empty()
    }

    /// Ends the text: the beginning of a character that never ended becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        rest
    }
}

/// Takes from `bytes` all but a last part that more bytes may turn into a character.
fn take_certain(bytes: &mut Vec<u8>) -> String {
    let mut chunks = bytes.utf8_chunks().peekable();
    let mut text = String::new();
    let mut kept = 0;
    while let Some(chunk) = chunks.next() {
        text.push_str(chunk.valid());
        let broken = chunk.invalid();
        if broken.is_empty() {
            continue;
        }
        let incomplete = |part| std::str::from_utf8(part).is_err_and(|error| error.error_len().is_none());
        if chunks.peek().is_none() && incomplete(broken) {
            kept = broken.len();
        } else {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    bytes.drain(..bytes.len() - kept);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::SpecialText;
    use crate::text::test_support::tokenizer_with;

    fn tokenizer() -> Arc<Tokenizer> {
        // Beside the fixture: an added token that is not special and is no byte-level text.
        Arc::new(tokenizer_with(|json| {
            let added = json["added_tokens"].as_array_mut().expect("a list");
            added.push(serde_json::json!({"id": 512, "content": "〈생각〉", "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false, "special": false}));
        }))
    }

    fn piecewise(tokenizer: &Arc<Tokenizer>, ids: &[u32]) -> String {
        let mut detokenizer = Detokenizer::new(Arc::clone(tokenizer));
        let mut text = String::new();
        for &id in ids {
            let piece = detokenizer.push(id);
            assert!(detokenizer.pending.len() <= 3);
            text += &piece;
        }
        text + &detokenizer.finish()
    }

    #[test]
    fn pieces_of_texts_add_up_to_the_whole() {
        let tokenizer = tokenizer();
        let texts = [
            "안녕하세요, 세계!",
            "👨‍👩‍👧‍👦 🇰🇷🏴󠁧󠁢󠁳󠁣󠁴󠁿",
            "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}",
            "plain ASCII and 한글 〈생각〉 mixed",
            "\u{fffd} a real replacement character",
        ];
        for text in texts {
            let ids = tokenizer.encode(text, SpecialText::Control, false).expect("encodes");
            assert_eq!(piecewise(&tokenizer, &ids), text);
        }
    }

    #[test]
    fn a_character_comes_out_whole_with_its_last_byte() {
        let tokenizer = tokenizer();
        let byte = |byte: u8| {
            (0..512).find(|&id| {
                let mut bytes = Vec::new();
                tokenizer.decode_bytes(id, &mut bytes);
                bytes == [byte]
            })
        };
        let mut detokenizer = Detokenizer::new(Arc::clone(&tokenizer));
        let pieces: Vec<String> =
            "뷁".bytes().map(|b| detokenizer.push(byte(b).expect("every byte is a token"))).collect();
        assert_eq!(pieces, ["", "", "뷁"]);
        // A special token between the bytes has no text and breaks nothing.
        let ids = "뷁".bytes().filter_map(byte).flat_map(|id| [id, 8]);
        assert_eq!(piecewise(&tokenizer, &ids.collect::<Vec<_>>()), "뷁");
    }

    #[test]
    fn broken_bytes_become_replacement_characters_at_once() {
        let mut bytes = vec![b'a', 0xff, 0xe2, 0x82, b'b', 0xf0, 0x9f];
        assert_eq!(take_certain(&mut bytes), "a\u{fffd}\u{fffd}b");
        assert_eq!(bytes, [0xf0, 0x9f]);
    }

    proptest! {
        #[test]
        fn pieces_of_any_ids_add_up_to_the_decode_of_all(ids in proptest::collection::vec(0_u32..520, 0..60)) {
            let tokenizer = tokenizer();
            prop_assert_eq!(piecewise(&tokenizer, &ids), tokenizer.decode(&ids, true).expect("decodes"));
        }

        #[test]
        fn pieces_of_any_bytes_add_up(bytes in proptest::collection::vec(any::<u8>(), 0..40), cut in 1_usize..5) {
            let mut pending = Vec::new();
            let mut text = String::new();
            for part in bytes.chunks(cut) {
                pending.extend_from_slice(part);
                text += &take_certain(&mut pending);
            }
            text += &String::from_utf8_lossy(&pending);
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
