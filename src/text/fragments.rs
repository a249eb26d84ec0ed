//! Pieces of control strings: what a text may add to the strings around it so that together they are one.

use std::collections::HashSet;
use std::ops::Range;

/// The proper pieces of a set of strings.
#[derive(Debug)]
pub(super) struct Fragments {
    /// All beginnings, the whole strings left out.
    beginnings: HashSet<Box<str>>,
    /// All ends, the whole strings left out.
    ends: HashSet<Box<str>>,
    /// The strings one after the other, with a character around them that no text is looked up with.
    joined: String,
    /// Bytes of the longest piece.
    longest: usize,
}

const BETWEEN: char = '\0';

impl Fragments {
    /// The pieces of these strings.
    pub(super) fn new<'a>(strings: impl IntoIterator<Item = &'a str>) -> Self {
        let mut pieces = Self {
            beginnings: HashSet::new(),
            ends: HashSet::new(),
            joined: BETWEEN.to_string(),
            longest: 0,
        };
        for string in strings {
            for (at, _) in string.char_indices().skip(1) {
                pieces.beginnings.insert(string[..at].into());
                pieces.ends.insert(string[at..].into());
                pieces.longest = pieces.longest.max(at).max(string.len() - at);
            }
            pieces.joined.push_str(string);
            pieces.joined.push(BETWEEN);
        }
        pieces
    }

    /// The parts of a text that may join with what stands before or after it, in order and apart: an end of a
    /// control string at its start, a beginning at its end, or all of it. White space around it may be cut off. Whole
    /// control strings are none of these.
    pub(super) fn edges(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let trimmed_start = text.len() - text.trim_start().len();
        let trimmed = trimmed_start..trimmed_start + text.trim().len();
        for part in [0..text.len(), trimmed] {
            self.edges_of(text, part, &mut found);
        }
        found.sort_unstable_by_key(|range| range.start);
        merge(found)
    }

    /// Whether a string holds this text and more.
    fn is_proper_piece(&self, text: &str) -> bool {
        self.joined.match_indices(text).any(|(at, _)| {
            let (before, after) = (&self.joined[..at], &self.joined[at + text.len()..]);
            !(before.ends_with(BETWEEN) && after.starts_with(BETWEEN))
        })
    }

    fn edges_of(&self, text: &str, part: Range<usize>, found: &mut Vec<Range<usize>>) {
        let inside = &text[part.clone()];
        if inside.is_empty() {
            return;
        }
        if inside.len() <= self.longest && !inside.contains(BETWEEN) && self.is_proper_piece(inside) {
            found.push(part);
            return;
        }
        let lengths = 1..=self.longest.min(inside.len());
        let is_piece = |pieces: &HashSet<Box<str>>, piece: Option<&str>| {
            piece.is_some_and(|piece| pieces.contains(piece))
        };
        if let Some(length) = lengths.clone().rev().find(|&l| is_piece(&self.ends, inside.get(..l))) {
            found.push(part.start..part.start + length);
        }
        let from = |length: usize| inside.len() - length;
        if let Some(length) = lengths.rev().find(|&l| is_piece(&self.beginnings, inside.get(from(l)..))) {
            found.push(part.start + from(length)..part.end);
        }
    }
}

/// Ranges in the order of their starts, joined where they touch or overlap.
pub(super) fn merge(ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_add_its_start_its_end_or_all_of_it() {
        let pieces = Fragments::new(["<|end|>", "[user]"]);
        let cases: [(&str, &[&str]); 10] = [
            ("plain", &[]),
            ("", &[]),
            ("end", &["end"]),
            (" user\n", &["user"]),
            ("Is a <", &["<"]),
            ("Is a <|en", &["<|en"]),
            ("|> and so on", &["|>"]),
            ("ser] or <|e ", &["ser]", "<|e"]),
            ("a < b", &[]),
            ("<|end|>", &[]),
        ];
        for (text, expected) in cases {
            let found: Vec<&str> = pieces.edges(text).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn pieces_of_many_bytes_are_cut_between_characters() {
        let pieces = Fragments::new(["【끝】"]);
        let found = |text: &str| -> Vec<String> {
            pieces.edges(text).into_iter().map(|range| text[range].to_owned()).collect()
        };
        assert_eq!(found("다 했다 【"), ["【"]);
        assert_eq!(found("】다"), ["】"]);
        assert!(found("가나다").is_empty());
    }

    #[test]
    fn touching_ranges_become_one() {
        assert_eq!(merge(vec![0..2, 1..2, 2..4, 6..7]), [0..4, 6..7]);
    }
}
