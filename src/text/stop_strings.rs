//! Stop strings: the text ends before the first of them.
//!
//! The match that is complete first ends the text, whatever the token borders; of several that are complete at the
//! same byte, the longest. Text is held back only while its end may still become a stop string.

use std::sync::Arc;

use super::patterns::{PatternSet, SearchState};

/// Most stop strings of a request.
pub const MAX_STOP_STRINGS: usize = 16;
/// Most bytes of one stop string.
pub const MAX_STOP_STRING_BYTES: usize = 256;

/// Stop strings of a request, shared by its choices.
#[derive(Debug, Clone)]
pub struct StopStrings {
    patterns: Arc<PatternSet>,
}

impl StopStrings {
    /// Prepares the strings; empty ones never match.
    pub fn new(strings: &[String]) -> Self {
        Self { patterns: Arc::new(PatternSet::new(strings.iter().map(String::as_str))) }
    }

    /// A scanner at the start of a text.
    pub fn scanner(&self) -> StopScanner {
        StopScanner {
            patterns: Arc::clone(&self.patterns),
            state: SearchState::default(),
            held: String::new(),
        }
    }
}

/// Looks for stop strings in a text that comes in pieces.
#[derive(Debug)]
pub struct StopScanner {
    patterns: Arc<PatternSet>,
    state: SearchState,
    /// The end of the text so far that may become a stop string.
    held: String,
}

/// What a piece of text led to.
#[derive(Debug, PartialEq, Eq)]
pub struct StopScan {
    /// Text that is certain to stand before any stop string.
    pub text: String,
    /// The stop string that was met, if one was; what followed it is dropped.
    pub stop: Option<String>,
}

impl StopScanner {
    /// Takes the next piece.
    pub fn push(&mut self, piece: &str) -> StopScan {
        let read = self.held.len();
        self.held.push_str(piece);
        for (end, &byte) in piece.as_bytes().iter().enumerate().map(|(at, byte)| (read + at + 1, byte)) {
            self.state = self.patterns.step(self.state, byte);
            if let Some(length) = self.patterns.longest_match(self.state) {
                let mut text = std::mem::take(&mut self.held);
                let stop = text[end - length..end].to_owned();
                text.truncate(end - length);
                self.state = SearchState::default();
                return StopScan { text, stop: Some(stop) };
            }
        }
        // A suffix that begins a pattern begins with that pattern's first byte, so it starts on a character.
        let keep = self.held.split_off(self.held.len() - self.patterns.depth(self.state));
        StopScan { text: std::mem::replace(&mut self.held, keep), stop: None }
    }

    /// Ends the text: what was held back is text after all.
    pub fn finish(&mut self) -> String {
        self.state = SearchState::default();
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    fn scan(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut scanner = StopStrings::new(&strings(stops)).scanner();
        let mut whole = String::new();
        for piece in pieces {
            let scan = scanner.push(piece);
            whole += &scan.text;
            if let Some(stop) = scan.stop {
                assert!(stops.contains(&stop.as_str()));
                return (whole, true);
            }
        }
        (whole + &scanner.finish(), false)
    }

    /// The definition, by trying every end and every string.
    fn expected(stops: &[String], text: &str) -> (String, bool) {
        for end in 0..=text.len() {
            let ending = stops.iter().filter(|stop| !stop.is_empty());
            let longest = ending
                .filter(|stop| text.as_bytes()[..end].ends_with(stop.as_bytes()))
                .map(|s| s.len())
                .max();
            if let Some(length) = longest {
                return (text[..end - length].to_owned(), true);
            }
        }
        (text.to_owned(), false)
    }

    #[test]
    fn a_stop_string_across_pieces_ends_the_text_before_it() {
        assert_eq!(scan(&["\n\nUser"], &["Hello\n", "\nUs", "er: hi"]), ("Hello".to_owned(), true));
        assert_eq!(scan(&["그만"], &["이제 그", "만하자"]), ("이제 ".to_owned(), true));
    }

    #[test]
    fn a_beginning_that_does_not_become_a_stop_string_is_text() {
        assert_eq!(scan(&["STOP"], &["ST", "OR", "AGE ST"]), ("STORAGE ST".to_owned(), false));
    }

    #[test]
    fn the_first_complete_match_wins_and_then_the_longest() {
        assert_eq!(scan(&["abcd", "bc"], &["xabcd"]), ("xa".to_owned(), true));
        assert_eq!(scan(&["cd", "bcd"], &["abcd"]), ("a".to_owned(), true));
    }

    #[test]
    fn only_a_possible_beginning_is_held_back() {
        let mut scanner = StopStrings::new(&strings(&["END", "[stop]"])).scanner();
        assert_eq!(scanner.push("abcE").text, "abc");
        assert_eq!(scanner.push("N").text, "");
        assert_eq!(scanner.push("ough [st").text, "ENough ");
        assert_eq!(scanner.finish(), "[st");
    }

    #[test]
    fn without_stop_strings_nothing_is_held_back() {
        assert_eq!(StopStrings::new(&[]).scanner().push("안녕").text, "안녕");
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_how_the_text_is_cut(
            text in "[ab가나 ]{0,24}",
            stops in proptest::collection::vec("[ab가나 ]{0,4}", 0..4),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| borders[cut.index(borders.len())]).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let stop_refs: Vec<&str> = stops.iter().map(String::as_str).collect();
            prop_assert_eq!(scan(&stop_refs, &pieces), expected(&stops, &text));
        }
    }
}
