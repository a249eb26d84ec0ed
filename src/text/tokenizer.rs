//! Text to token ids and back: a model's `tokenizer.json`.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use tokenizers::{DecoderWrapper, NormalizedString, Normalizer};

use super::fragments::Fragments;
use super::patterns::{PatternSet, SearchState};

/// A token that the tokenizer knows beside the model's vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialToken {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub text: String,
}

/// How strings of special tokens inside a text are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialText {
    /// As the special token.
    Control,
    /// As any other text.
    Plain,
}

/// A byte-level tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The same with special tokens off; made when somebody first writes a control string into a message.
    plain: OnceLock<tokenizers::Tokenizer>,
    special: Vec<SpecialToken>,
    /// One more than the highest token id.
    num_ids: usize,
    /// The texts of all special tokens.
    control: PatternSet,
    /// The texts of special tokens that are looked for after normalisation.
    control_after_normalizing: Option<PatternSet>,
    /// The pieces of the texts of special tokens.
    fragments: Fragments,
    /// Every added token, special or not, by id: these stand as they are written.
    added: HashMap<u32, String>,
    max_token_id: u32,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("special", &self.special.len())
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// What is wrong with the file, for a person; a decoder other than byte level is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| error.to_string())?;
        match inner.get_decoder() {
            Some(DecoderWrapper::ByteLevel(_)) => {}
            Some(_) => return Err("its decoder is not `ByteLevel`; only byte-level BPE is served".to_owned()),
            None => return Err("it names no decoder; `ByteLevel` is needed".to_owned()),
        }
        // Prompts are neither cut nor filled up, whatever the file was saved with.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| error.to_string())?;

        let added = inner.get_added_tokens_decoder();
        let mut special: Vec<SpecialToken> = added
            .iter()
            .filter(|(_, token)| token.special)
            .map(|(&id, token)| SpecialToken { id, text: token.content.clone() })
            .collect();
        special.sort_by_key(|token| token.id);
        let normalized: Vec<&str> = added
            .values()
            .filter(|token| token.special && token.normalized)
            .map(|token| token.content.as_str())
            .collect();
        let looks_after = inner.get_normalizer().is_some() && !normalized.is_empty();
        let added: HashMap<u32, String> =
            added.iter().map(|(&id, token)| (id, token.content.clone())).collect();
        Ok(Self {
            fragments: Fragments::new(special.iter().map(|token| token.text.as_str())),
            max_token_id: inner.get_vocab(true).into_values().max().unwrap_or(0),
            added,
            control: PatternSet::new(special.iter().map(|token| token.text.as_str())),
            control_after_normalizing: looks_after.then(|| PatternSet::new(normalized)),
            plain: OnceLock::new(),
            special,
            num_ids: inner.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1),
            inner,
        })
    }

    /// Token ids of a text. `add_affixes` lets the file's post-processor add what it puts around a text (such as a
    /// token for its beginning): wanted for raw text, not for a rendered chat template.
    ///
    /// # Errors
    /// The tokenizer's own message.
    pub fn encode(&self, text: &str, special: SpecialText, add_affixes: bool) -> Result<Vec<u32>, String> {
        let tokenizer = match special {
            SpecialText::Control => &self.inner,
            SpecialText::Plain => self.plain.get_or_init(|| {
                let mut plain = self.inner.clone();
                plain.set_encode_special_tokens(true);
                plain
            }),
        };
        let encoding = tokenizer.encode_fast(text, add_affixes).map_err(|error| error.to_string())?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The whole text of these ids, special tokens left out if `skip_special`; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// The tokenizer's own message.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, String> {
        self.inner.decode(ids, skip_special).map_err(|error| error.to_string())
    }

    /// Adds the bytes of one token to `bytes`: nothing for special tokens and ids that the vocabulary does not hold.
    pub fn decode_bytes(&self, id: u32, bytes: &mut Vec<u8>) {
        if !self.is_special(id) {
            bytes.extend(self.token_bytes(id).unwrap_or_default());
        }
    }

    /// The bytes that a token stands for, special tokens and other added ones as they are written; `None` for an id
    /// that the vocabulary does not hold.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        if let Some(text) = self.added.get(&id) {
            return Some(text.clone().into_bytes());
        }
        let token = self.inner.id_to_token(id)?;
        let bytes: Option<Vec<u8>> = token.chars().map(byte_of).collect();
        // A token with characters outside the alphabet stands as it is written.
        Some(bytes.unwrap_or_else(|| token.into_bytes()))
    }

    /// The text of a token; bytes that are not UTF-8 become U+FFFD.
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.token_bytes(id).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether a token is a special one.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.binary_search_by_key(&id, |token| token.id).is_ok()
    }

    /// The largest id that the vocabulary holds.
    pub fn max_token_id(&self) -> u32 {
        self.max_token_id
    }

    /// The id of a token, by its text as the vocabulary spells it.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The text of a token as the vocabulary spells it.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// One more than the highest token id.
    pub fn num_ids(&self) -> usize {
        self.num_ids
    }

    /// Entries of the vocabulary, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Every special token, by id.
    pub fn special_tokens(&self) -> &[SpecialToken] {
        &self.special
    }

    /// The pieces of control strings.
    pub(super) fn control_fragments(&self) -> &Fragments {
        &self.fragments
    }

    /// The parts of a text that would be read as special tokens, merged where they touch or overlap, in order.
    pub(super) fn control_spans(&self, text: &str) -> Vec<Range<usize>> {
        if let Some(patterns) = &self.control_after_normalizing
            && let Some(normalizer) = self.inner.get_normalizer()
        {
            let mut normalized = NormalizedString::from(text);
            let failed = normalizer.normalize(&mut normalized).is_err();
            if failed || !spans(patterns, normalized.get()).is_empty() {
                return std::iter::once(0..text.len()).collect();
            }
        }
        spans(&self.control, text)
    }
}

fn spans(patterns: &PatternSet, text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut state = SearchState::default();
    for (end, byte) in text.bytes().enumerate().map(|(at, byte)| (at + 1, byte)) {
        state = patterns.step(state, byte);
        let Some(length) = patterns.longest_match(state) else { continue };
        let mut start = end - length;
        while let Some(last) = found.pop_if(|last| last.end >= start) {
            start = start.min(last.start);
        }
        found.push(start..end);
    }
    found
}

/// The byte that a character of GPT-2's byte-level alphabet stands for: printable Latin-1 stands for itself, the
/// other 68 bytes are numbered from U+0100 upwards.
fn byte_of(character: char) -> Option<u8> {
    const SHIFTED: [u8; 68] = shifted_bytes();
    let code = u32::from(character);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u8::try_from(code).ok(),
        0x100.. => SHIFTED.get(code as usize - 0x100).copied(),
        _ => None,
    }
}

const fn shifted_bytes() -> [u8; 68] {
    let mut table = [0; 68];
    let mut next = 0;
    let mut byte = 0;
    while byte < 256 {
        if !matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) {
            table[next] = byte as u8;
            next += 1;
        }
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::test_support::{fixture, tokenizer_with};

    #[test]
    fn special_tokens_in_text_are_control_or_plain_as_asked() {
        let tokenizer = fixture();
        for token in tokenizer.special_tokens() {
            let text = format!("a{}b", token.text);
            let control = tokenizer.encode(&text, SpecialText::Control, false).expect("encodes");
            assert!(control.contains(&token.id), "{}", token.text);
            let plain = tokenizer.encode(&text, SpecialText::Plain, false).expect("encodes");
            assert!(plain.iter().all(|&id| tokenizer.special_tokens().iter().all(|t| t.id != id)));
            assert_eq!(tokenizer.decode(&plain, true).expect("decodes"), text);
        }
    }

    #[test]
    fn the_special_tokens_come_by_id() {
        let texts: Vec<&str> = fixture_texts();
        assert_eq!(texts[0], "[PAD]");
        assert_eq!(texts[8], "[|endofturn|]");
        assert_eq!(fixture().token_to_id("[|endofturn|]"), Some(8));
        assert_eq!(fixture().vocab_size(), 512);
    }

    fn fixture_texts() -> Vec<&'static str> {
        fixture().special_tokens().iter().map(|token| token.text.as_str()).collect()
    }

    #[test]
    fn every_byte_has_one_character() {
        let mut bytes: Vec<u8> = (0..0x200).filter_map(char::from_u32).filter_map(byte_of).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(byte_of('Ġ'), Some(b' '));
        assert_eq!(byte_of('Ċ'), Some(b'\n'));
        assert_eq!(byte_of('가'), None);
    }

    #[test]
    fn control_spans_are_merged_where_they_overlap() {
        let tokenizer = fixture();
        let text = "x[|user|][|tool|]y [|use";
        assert_eq!(tokenizer.control_spans(text).as_slice(), std::slice::from_ref(&(1..17)));
        assert!(tokenizer.control_spans("보통 문장 [|").is_empty());
        let set = PatternSet::new(["<ab", "b<", "abc"]);
        assert_eq!(spans(&set, "<ab<abc").as_slice(), std::slice::from_ref(&(0..7)));
    }

    #[test]
    fn a_control_string_in_disguise_is_seen_after_normalisation() {
        let tokenizer = tokenizer_with(|json| {
            json["normalizer"] = serde_json::json!({"type": "NFKC"});
            json["added_tokens"][8]["normalized"] = true.into();
        });
        let disguised = "a［|endofturn|］";
        assert!(tokenizer.encode(disguised, SpecialText::Control, false).expect("encodes").contains(&8));
        let whole = 0..disguised.len();
        assert_eq!(tokenizer.control_spans(disguised).as_slice(), std::slice::from_ref(&whole));
        assert!(!tokenizer.encode(disguised, SpecialText::Plain, false).expect("encodes").contains(&8));
        assert!(tokenizer.control_spans("안녕").is_empty());
    }

    #[test]
    fn every_token_has_its_exact_bytes() {
        let tokenizer = tokenizer_with(|json| {
            let added = json["added_tokens"].as_array_mut().expect("a list");
            added
                .push(serde_json::json!({"id": 512, "content": "é Ġ", "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": false}));
        });
        assert_eq!(tokenizer.token_bytes(8).as_deref(), Some("[|endofturn|]".as_bytes()));
        assert_eq!(tokenizer.token_bytes(512).as_deref(), Some("é Ġ".as_bytes()));
        assert_eq!(tokenizer.max_token_id(), 512);
        for unknown in [513, u32::MAX] {
            assert_eq!((tokenizer.token_bytes(unknown), tokenizer.token_text(unknown)), (None, None));
        }
        let mut single: Vec<u8> =
            (0..512).filter_map(|id| tokenizer.token_bytes(id)).filter(|b| b.len() == 1).flatten().collect();
        single.sort_unstable();
        assert_eq!(single, (0..=255).collect::<Vec<u8>>());
        let text = "안녕, world 👍";
        let ids = tokenizer.encode(text, SpecialText::Control, false).expect("encodes");
        let bytes: Vec<u8> = ids.iter().filter_map(|&id| tokenizer.token_bytes(id)).flatten().collect();
        assert_eq!(bytes, text.as_bytes());
        let broken =
            (0..512).find(|&id| tokenizer.token_bytes(id).as_deref() == Some(&[0xff])).expect("is there");
        assert_eq!(tokenizer.token_text(broken).as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn special_tokens_are_left_out_of_a_decode_if_asked() {
        let ids = fixture().encode("a[|user|]b", SpecialText::Control, false).expect("encodes");
        assert_eq!(fixture().decode(&ids, true).expect("decodes"), "ab");
        assert_eq!(fixture().decode(&ids, false).expect("decodes"), "a[|user|]b");
        assert!(fixture().is_special(8) && !fixture().is_special(300));
    }

    #[test]
    fn a_decoder_that_is_not_byte_level_is_refused() {
        let json = |decoder: serde_json::Value| {
            serde_json::json!({"version": "1.0", "added_tokens": [], "decoder": decoder,
                "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})
            .to_string()
        };
        let none = Tokenizer::from_bytes(json(serde_json::Value::Null).as_bytes()).expect_err("refused");
        assert!(none.contains("names no decoder"), "{none}");
        let fuse = Tokenizer::from_bytes(json(serde_json::json!({"type": "Fuse"})).as_bytes());
        assert!(fuse.expect_err("refused").contains("not `ByteLevel`"));
        assert!(Tokenizer::from_bytes(b"{").is_err());
    }

    #[test]
    fn truncation_and_padding_of_the_file_are_not_applied() {
        let tokenizer = tokenizer_with(|json| {
            json["truncation"] = serde_json::json!({"direction": "Right", "max_length": 2,
                "strategy": "LongestFirst", "stride": 0});
        });
        assert!(tokenizer.encode("one two three", SpecialText::Control, false).expect("encodes").len() > 2);
    }
}
