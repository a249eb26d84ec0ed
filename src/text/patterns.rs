//! A set of strings searched in one pass, byte by byte: the automaton of Aho and Corasick.
//!
//! A state is the longest suffix of what was read that begins some pattern; so [`PatternSet::depth`] is exactly what
//! must be held back while a match may still come, and each byte costs a constant number of steps on average.

use std::collections::{HashMap, VecDeque};

/// Patterns ready to be searched.
#[derive(Debug, Clone)]
pub(super) struct PatternSet {
    nodes: Vec<Node>,
    edges: HashMap<(u32, u8), u32>,
    /// Whether a pattern begins with this byte: most bytes of a text need no look-up.
    begins: [bool; 256],
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// Bytes from the root to here.
    depth: u32,
    /// The node of the longest proper suffix that begins a pattern.
    fail: u32,
    /// Bytes of the longest pattern that ends here; 0 if none does.
    matched: u32,
}

/// Where a search stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SearchState(u32);

impl PatternSet {
    /// Builds the automaton; empty patterns are left out.
    pub(super) fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let mut set = Self { nodes: vec![Node::default()], edges: HashMap::new(), begins: [false; 256] };
        for pattern in patterns {
            set.insert(pattern.as_bytes());
        }
        set.link();
        set
    }

    fn insert(&mut self, pattern: &[u8]) {
        let Some(&first) = pattern.first() else { return };
        self.begins[usize::from(first)] = true;
        let mut node = 0;
        for (&byte, depth) in pattern.iter().zip(1..) {
            let next = u32::try_from(self.nodes.len()).expect("patterns of less than 4 GiB");
            node = *self.edges.entry((node, byte)).or_insert(next);
            if node == next {
                self.nodes.push(Node { depth, ..Node::default() });
            }
        }
        let end = &mut self.nodes[node as usize];
        end.matched = end.depth;
    }

    /// Fills `fail` and carries matches of suffixes over, parents before children.
    fn link(&mut self) {
        let mut children: HashMap<u32, Vec<(u8, u32)>> = HashMap::new();
        for (&(parent, byte), &child) in &self.edges {
            children.entry(parent).or_default().push((byte, child));
        }
        let mut queue = VecDeque::from([0]);
        while let Some(parent) = queue.pop_front() {
            for &(byte, child) in children.get(&parent).into_iter().flatten() {
                if parent != 0 {
                    let fail = self.step(SearchState(self.nodes[parent as usize].fail), byte).0;
                    let inherited = self.nodes[fail as usize].matched;
                    let node = &mut self.nodes[child as usize];
                    node.fail = fail;
                    if node.matched == 0 {
                        node.matched = inherited;
                    }
                }
                queue.push_back(child);
            }
        }
    }

    /// The state after one more byte.
    pub(super) fn step(&self, state: SearchState, byte: u8) -> SearchState {
        let mut node = state.0;
        if node == 0 && !self.begins[usize::from(byte)] {
            return state;
        }
        loop {
            if let Some(&next) = self.edges.get(&(node, byte)) {
                return SearchState(next);
            }
            if node == 0 {
                return SearchState(0);
            }
            node = self.nodes[node as usize].fail;
        }
    }

    /// Bytes just read that may still grow into a match (or are one).
    pub(super) fn depth(&self, state: SearchState) -> usize {
        self.nodes[state.0 as usize].depth as usize
    }

    /// Bytes of the longest pattern that ends with the byte just read.
    pub(super) fn longest_match(&self, state: SearchState) -> Option<usize> {
        let matched = self.nodes[state.0 as usize].matched;
        (matched > 0).then_some(matched as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(patterns: &[&str], text: &str) -> Vec<(usize, usize)> {
        let set = PatternSet::new(patterns.iter().copied());
        let mut state = SearchState::default();
        let mut found = Vec::new();
        for (position, byte) in text.bytes().enumerate() {
            state = set.step(state, byte);
            if let Some(length) = set.longest_match(state) {
                found.push((position + 1, length));
            }
        }
        found
    }

    #[test]
    fn every_end_of_a_pattern_is_found_with_the_longest_pattern() {
        assert_eq!(ends(&["he", "she", "hers"], "ushers"), [(4, 3), (6, 4)]);
        assert_eq!(ends(&["aa"], "aaaa"), [(2, 2), (3, 2), (4, 2)]);
        assert_eq!(ends(&["bc", "abcd"], "abcd"), [(3, 2), (4, 4)]);
        assert_eq!(ends(&["가나", "나다"], "가나다"), [(6, 6), (9, 6)]);
        assert_eq!(ends(&[""], "abc"), []);
    }

    #[test]
    fn the_depth_is_the_longest_suffix_that_begins_a_pattern() {
        let patterns = ["abab", "bac"];
        let set = PatternSet::new(patterns);
        let text = "xababacbab";
        let mut state = SearchState::default();
        for end in 1..=text.len() {
            state = set.step(state, text.as_bytes()[end - 1]);
            let begins = |start: &usize| patterns.iter().any(|p| p.starts_with(&text[*start..end]));
            let expected = (0..end).find(begins).map_or(0, |start| end - start);
            assert_eq!(set.depth(state), expected, "after {:?}", &text[..end]);
        }
    }
}
