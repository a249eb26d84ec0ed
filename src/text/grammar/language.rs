//! The language lock: an output may hold only characters of the scripts that a language is written with.
//!
//! Both languages have Latin, Greek (for formulas), digits, punctuation, symbols and emoji; Korean has Hangul beside
//! them. Han, kana, Cyrillic, Arabic, Hebrew, Thai, Devanagari and every other script are locked out, and with them
//! private and unassigned characters.
//!
//! A token may hold part of a character, so a set of tokens alone cannot tell whether a character will be allowed.
//! [`language_set`] therefore lets through every fragment that some allowed character has; [`LanguageLock`] also
//! remembers the bytes of the character that is not yet whole, and is exact.

use std::sync::Arc;

use super::vocabulary::text_bytes;
use crate::sampling::{Constraint, ConstraintError, TokenSet};
use crate::text::Tokenizer;

/// A language that an output may be locked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Hangul beside what every language has.
    Korean,
    /// What every language has.
    English,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::Korean, Self::English];
}

/// Characters of every language, in order: Latin, Greek, combining marks, punctuation, symbols, emoji.
const COMMON: [(u32, u32); 53] = [
    (0x0000, 0x03e1), // ASCII to Greek, with Latin, phonetic letters and combining marks between
    (0x03f0, 0x03ff), // Greek symbols, without the Coptic letters before them
    (0x1ab0, 0x1aff), // combining marks
    (0x1d00, 0x1d2a), // phonetic extensions, without their one Cyrillic letter
    (0x1d2c, 0x1d77),
    (0x1d79, 0x1dff),
    (0x1e00, 0x1fff), // Latin additional, Greek extended
    (0x2000, 0x2064), // general punctuation
    (0x2066, 0x218f), // directions, super- and subscripts, currency, letter-like, number forms
    (0x2190, 0x23ff), // arrows, mathematics, technical
    (0x2400, 0x245f), // control pictures
    (0x2460, 0x27ff), // enclosed letters, lines, shapes, symbols, dingbats
    (0x2800, 0x2bff), // Braille, arrows, mathematics
    (0x2c60, 0x2c7f), // Latin extended-C
    (0x2e00, 0x2e7f), // further punctuation
    (0x3000, 0x3004), // CJK punctuation, without ideographs and kana marks
    (0x3008, 0x3020),
    (0x3030, 0x3030),
    (0x303d, 0x303f),
    (0x3248, 0x324f), // circled numbers
    (0x3250, 0x325f),
    (0x32b1, 0x32bf),
    (0x32cc, 0x32cf), // units
    (0x3371, 0x337a),
    (0x3380, 0x33df),
    (0x33ff, 0x33ff),
    (0xa700, 0xa7ff), // tone marks, Latin extended-D
    (0xab30, 0xab6f), // Latin extended-E
    (0xfb00, 0xfb06), // Latin ligatures
    (0xfe00, 0xfe1f), // variation selectors, vertical forms
    (0xfe20, 0xfe2d), // combining half marks, without the Cyrillic ones
    (0xfe30, 0xfe6f), // compatibility and small forms
    (0xfeff, 0xfeff),
    (0xff01, 0xff60), // full width
    (0xffe0, 0xffe6),
    (0xffe8, 0xffee),
    (0xfff9, 0xfffd),
    (0x10100, 0x1013f), // Aegean numbers and weights
    (0x10140, 0x101cf), // Greek numbers, ancient symbols
    (0x1d100, 0x1d24f), // music
    (0x1d400, 0x1d7ff), // mathematical letters
    (0x1df00, 0x1dfff), // Latin extended-G
    (0x1f000, 0x1f1ff), // tiles, cards, enclosed letters, flags
    (0x1f300, 0x1f5ff), // emoji and pictographs
    (0x1f600, 0x1f64f),
    (0x1f650, 0x1f6ff),
    (0x1f700, 0x1f7ff),
    (0x1f800, 0x1f8ff),
    (0x1f900, 0x1f9ff),
    (0x1fa00, 0x1faff),
    (0x1fb00, 0x1fbff),
    (0xe0001, 0xe0001), // tags, of which some flags are made
    (0xe0020, 0xe007f),
];

/// Hangul, in order.
const HANGUL: [(u32, u32); 9] = [
    (0x1100, 0x11ff), // jamo
    (0x302e, 0x302f), // tone marks
    (0x3131, 0x318e), // compatibility jamo
    (0x3200, 0x321e), // in parentheses
    (0x3260, 0x327f), // in circles
    (0xa960, 0xa97f), // jamo extended
    (0xac00, 0xd7a3), // syllables
    (0xd7b0, 0xd7ff), // jamo extended
    (0xffa0, 0xffdc), // half width
];

/// The beginning of a character: up to three bytes, of which some allowed character goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Pending {
    bytes: [u8; 3],
    len: u8,
}

impl Language {
    /// Whether an allowed character has a code point of this range.
    fn has_any(self, first: u32, last: u32) -> bool {
        let meets = |ranges: &[(u32, u32)]| {
            let next = ranges.partition_point(|&(_, end)| end < first);
            ranges.get(next).is_some_and(|&(start, _)| start <= last)
        };
        meets(&COMMON) || (self == Self::Korean && meets(&HANGUL))
    }

    /// What is pending after one more byte; none if no allowed character has these bytes.
    fn step(self, pending: Pending, byte: u8) -> Option<Pending> {
        let mut bytes = [pending.bytes[0], pending.bytes[1], pending.bytes[2], 0];
        let len = usize::from(pending.len) + 1;
        bytes[len - 1] = byte;
        let (length, lead_bits) = match bytes[0] {
            0x00..=0x7f => (1, bytes[0] & 0x7f),
            0xc2..=0xdf => (2, bytes[0] & 0x1f),
            0xe0..=0xef => (3, bytes[0] & 0x0f),
            0xf0..=0xf4 => (4, bytes[0] & 0x07),
            _ => return None,
        };
        if !bytes[1..len].iter().all(|&byte| byte & 0xc0 == 0x80) {
            return None;
        }
        let known =
            bytes[1..len].iter().fold(u32::from(lead_bits), |code, &byte| code << 6 | u32::from(byte & 0x3f));
        let open_bits = 6 * (length - len);
        let shortest = [0, 0, 0x80, 0x800, 0x1_0000][length];
        let (first, last) =
            ((known << open_bits).max(shortest), (known << open_bits) | ((1 << open_bits) - 1));
        if first > last || !self.has_any(first, last) {
            return None;
        }
        let done = len == length;
        Some(if done {
            Pending::default()
        } else {
            Pending { bytes: [bytes[0], bytes[1], bytes[2]], len: len as u8 }
        })
    }

    fn walk(self, pending: Pending, bytes: &[u8]) -> Option<Pending> {
        bytes.iter().try_fold(pending, |pending, &byte| self.step(pending, byte))
    }

    /// Every beginning of an allowed character.
    fn beginnings(self) -> Vec<Pending> {
        let mut all = vec![Pending::default()];
        let mut next = 0;
        while let Some(&beginning) = all.get(next) {
            let longer = (0x80..=0xff).filter_map(|byte| self.step(beginning, byte));
            all.extend(longer.filter(|pending| pending.len > 0));
            next += 1;
        }
        all
    }
}

/// What a language lets through of one vocabulary.
#[derive(Debug)]
pub(super) struct LanguageTable {
    language: Language,
    bytes: Vec<Vec<u8>>,
    /// Tokens that may come between two characters.
    between: TokenSet,
    /// Tokens that begin inside a character.
    inside: Vec<u32>,
    special: Vec<u32>,
    /// Tokens that may come somewhere.
    somewhere: Arc<TokenSet>,
}

impl LanguageTable {
    pub(super) fn new(tokenizer: &Tokenizer, language: Language) -> Self {
        let bytes = text_bytes(tokenizer);
        let special: Vec<u32> = tokenizer.special_tokens().iter().map(|token| token.id).collect();
        let mut between = TokenSet::of(bytes.len(), special.iter().copied());
        let mut inside = Vec::new();
        for (id, bytes) in (0..).zip(&bytes) {
            match bytes.first() {
                None => {}
                Some(byte) if byte & 0xc0 == 0x80 => inside.push(id),
                Some(_) if language.walk(Pending::default(), bytes).is_some() => between.insert(id),
                Some(_) => {}
            }
        }
        let mut somewhere = between.clone();
        let beginnings = language.beginnings();
        for &id in &inside {
            let bytes = &bytes[id as usize];
            if beginnings.iter().any(|&beginning| language.walk(beginning, bytes).is_some()) {
                somewhere.insert(id);
            }
        }
        Self { language, bytes, between, inside, special, somewhere: Arc::new(somewhere) }
    }

    pub(super) fn somewhere(&self) -> &Arc<TokenSet> {
        &self.somewhere
    }

    fn bytes(&self, token_id: u32) -> &[u8] {
        self.bytes.get(token_id as usize).map_or(&[], Vec::as_slice)
    }

    fn allows(&self, pending: Pending, token_id: u32) -> bool {
        if pending.len == 0 || self.bytes(token_id).is_empty() {
            return self.between.contains(token_id);
        }
        self.language.walk(pending, self.bytes(token_id)).is_some()
    }
}

/// Tokens that a language lock lets through somewhere: whole characters of its scripts, fragments that such a
/// character has, and special tokens. Exact for whole characters; see [`LanguageLock`] for fragments. Reads the whole
/// vocabulary: [`GrammarCompiler::language_set`](super::GrammarCompiler::language_set) keeps what it finds.
pub fn language_set(tokenizer: &Tokenizer, language: Language) -> TokenSet {
    TokenSet::clone(LanguageTable::new(tokenizer, language).somewhere())
}

/// Holds an output to the characters of a language, and to another constraint beside it if there is one.
#[derive(Debug)]
pub struct LanguageLock {
    table: Arc<LanguageTable>,
    pending: Pending,
    end_token_ids: Vec<u32>,
    inner: Option<Box<dyn Constraint>>,
    ended: bool,
}

impl LanguageLock {
    pub(super) fn new(
        table: Arc<LanguageTable>,
        end_token_ids: Vec<u32>,
        inner: Option<Box<dyn Constraint>>,
    ) -> Self {
        Self { table, pending: Pending::default(), end_token_ids, inner, ended: false }
    }

    /// Writes what the language alone lets through.
    fn language_mask(&self, allowed: &mut TokenSet) {
        if self.pending.len == 0 {
            allowed.copy_words(self.table.between.words());
            return;
        }
        allowed.clear();
        self.table.special.iter().for_each(|&id| allowed.insert(id));
        self.table
            .inside
            .iter()
            .filter(|&&id| self.table.allows(self.pending, id))
            .for_each(|&id| allowed.insert(id));
    }
}

impl Constraint for LanguageLock {
    fn mask(&mut self, allowed: &mut TokenSet) -> Result<(), ConstraintError> {
        if self.ended {
            allowed.clear();
            return Ok(());
        }
        let Some(inner) = &mut self.inner else {
            self.language_mask(allowed);
            return Ok(());
        };
        inner.mask(allowed)?;
        let mut language = TokenSet::new(allowed.vocab_size());
        self.language_mask(&mut language);
        allowed.intersect(&language);
        if allowed.num_tokens() == 0 {
            return Err(ConstraintError(
                "the form of the output needs characters that its language does not have".to_owned(),
            ));
        }
        Ok(())
    }

    fn accept(&mut self, token_id: u32) -> Result<(), ConstraintError> {
        if !self.allows(token_id) {
            return Err(ConstraintError(format!("token {token_id} may not come here")));
        }
        if let Some(inner) = &mut self.inner {
            inner.accept(token_id)?;
        }
        self.ended = self.end_token_ids.contains(&token_id);
        // A special token between the bytes of a character has no text and breaks nothing.
        let bytes = self.table.bytes(token_id);
        self.pending = self.table.language.walk(self.pending, bytes).unwrap_or(self.pending);
        Ok(())
    }

    fn allows(&mut self, token_id: u32) -> bool {
        !self.ended
            && self.table.allows(self.pending, token_id)
            && self.inner.as_mut().is_none_or(|inner| inner.allows(token_id))
    }

    fn is_complete(&mut self) -> bool {
        self.ended || self.inner.as_mut().is_some_and(|inner| inner.is_complete())
    }

    fn forced(&mut self) -> Vec<u32> {
        let mut forced = self.inner.as_mut().map_or_else(Vec::new, |inner| inner.forced());
        let mut pending = self.pending;
        let mut is_held = |token_id: u32| {
            let held = self.table.allows(pending, token_id);
            pending = self.table.language.walk(pending, self.table.bytes(token_id)).unwrap_or(pending);
            held
        };
        let num_held = forced.iter().take_while(|&&token_id| is_held(token_id)).count();
        forced.truncate(num_held);
        forced
    }
}

#[cfg(test)]
pub(super) fn ranges() -> [&'static [(u32, u32)]; 2] {
    [&COMMON, &HANGUL]
}
