//! Cuts a stream of text on grapheme borders, so that no event shows half of what a reader sees as one character.
//!
//! Whether a border stands before a character depends on that character and on what comes before it, never on what
//! follows it. So every border but the last is certain, and holding back the last cluster is enough.

use unicode_segmentation::UnicodeSegmentation;

/// Most characters of a cluster held back; a longer one is cut.
const MAX_HELD_CHARS: usize = 32;
/// Most bytes of a cluster held back; a longer one is cut.
const MAX_HELD_BYTES: usize = 128;

/// Holds back the last grapheme cluster of a text that comes in pieces.
#[derive(Debug, Default)]
pub struct GraphemeBuffer {
    held: String,
}

impl GraphemeBuffer {
    /// Takes the next piece and gives what ends on a certain grapheme border.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        // A border follows every line feed.
        if self.held.ends_with('\n') {
            return std::mem::take(&mut self.held);
        }
        let last = self.held.grapheme_indices(true).next_back();
        let Some((border, cluster)) = last else { return String::new() };
        if cluster.len() > MAX_HELD_BYTES || cluster.chars().count() > MAX_HELD_CHARS {
            return std::mem::take(&mut self.held);
        }
        let keep = self.held.split_off(border);
        std::mem::replace(&mut self.held, keep)
    }

    /// Ends the text and gives the rest.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Families, flags, skin tones, keycaps, conjoining jamo, Devanagari conjuncts, line ends, Hangul.
    const TEXTS: [&str; 9] = [
        "👨‍👩‍👧‍👦👩🏽‍💻",
        "🇰🇷🇺🇸🇯🇵x🇰🇷",
        "1️⃣#️⃣👍🏿",
        "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}",
        "क्षत्रिय",
        "a\r\nb\n\r\n",
        "안녕하세요, Maru!",
        "e\u{301}o\u{308}\u{323}",
        "각\u{11a8}가\u{11ab}",
    ];

    fn holds_for_split(text: &str, cuts: &[usize]) {
        let borders: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
        let mut buffer = GraphemeBuffer::default();
        let mut whole = String::new();
        for pair in cuts.windows(2) {
            whole += &buffer.push(&text[pair[0]..pair[1]]);
            assert!(borders.contains(&whole.len()), "{whole:?} of {text:?} ends inside a cluster");
        }
        whole += &buffer.finish();
        assert_eq!(whole, text);
    }

    #[test]
    fn no_piece_ends_inside_a_cluster_when_characters_come_one_by_one() {
        for text in TEXTS {
            let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            holds_for_split(text, &cuts);
        }
    }

    #[test]
    fn a_line_feed_is_not_held_back() {
        let mut buffer = GraphemeBuffer::default();
        assert_eq!(buffer.push("끝\n"), "끝\n");
        assert_eq!(buffer.push("a\r"), "a");
        assert_eq!(buffer.push("\n"), "\r\n");
    }

    #[test]
    fn an_endless_cluster_is_cut() {
        let mut buffer = GraphemeBuffer::default();
        let mut whole = buffer.push("a");
        for _ in 0..10_000 {
            whole += &buffer.push("\u{301}");
            assert!(buffer.held.len() <= MAX_HELD_BYTES);
        }
        whole += &buffer.finish();
        assert_eq!(whole, format!("a{}", "\u{301}".repeat(10_000)));
    }

    proptest! {
        #[test]
        fn no_piece_ends_inside_a_cluster(
            picks in proptest::collection::vec((0..TEXTS.len(), any::<prop::sample::Index>()), 0..12),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let pick = |&(text, at): &(usize, prop::sample::Index)| {
                let chars: Vec<char> = TEXTS[text].chars().collect();
                chars[at.index(chars.len())..].iter().take(4).collect::<String>()
            };
            let text: String = picks.iter().map(pick).collect();
            let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| borders[cut.index(borders.len())]).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            holds_for_split(&text, &cuts);
        }
    }
}
