//! Follows an output along a text that it is expected to repeat, as an edited file repeats most of the old one.

use std::sync::Arc;

/// A predicted text, and where in it the output stands.
#[derive(Debug)]
pub(super) struct Prediction {
    text: Arc<[u32]>,
    /// What the next token of the output would be, if the output follows the text.
    next: Option<usize>,
    /// Where it last followed it.
    last: usize,
    /// Tokens of the output that were seen.
    num_seen: usize,
}

impl Prediction {
    /// Of a text at whose beginning the output begins.
    pub(super) fn new(text: Arc<[u32]>) -> Self {
        Self { text, next: Some(0), last: 0, num_seen: 0 }
    }

    /// Follows `output` as far as it has come. Where it left the text, it is looked for by its last tokens, at least
    /// `min_run` and at most `max_run` of them.
    pub(super) fn follow(&mut self, output: &[u32], min_run: usize, max_run: usize) {
        let news = &output[self.num_seen.min(output.len())..];
        if news.is_empty() {
            return;
        }
        for token_id in news {
            let follows = |place: &usize| self.text.get(*place) == Some(token_id);
            self.next = self.next.filter(follows).map(|place| place + 1);
            self.last = self.next.unwrap_or(self.last);
        }
        self.num_seen = output.len();
        if self.next.is_none() {
            self.next = self.find(output, min_run, max_run);
            self.last = self.next.unwrap_or(self.last);
        }
    }

    /// What comes next in the text.
    pub(super) fn rest(&self) -> &[u32] {
        self.next.map_or(&[], |place| &self.text[place..])
    }

    /// The end of the place in the text with which most of the output's last tokens agree. Among equals it is the
    /// first one after the place where the output left the text, or the first of all.
    fn find(&self, output: &[u32], min_run: usize, max_run: usize) -> Option<usize> {
        let last = output.last()?;
        let ends = (0..self.text.len()).filter(|&place| self.text[place] == *last).map(|place| place + 1);
        let agreement = |end: usize| {
            let pairs = self.text[..end].iter().rev().zip(output.iter().rev());
            pairs.take(max_run).take_while(|(a, b)| a == b).count()
        };
        let ranked = ends.map(|end| (agreement(end), end > self.last, std::cmp::Reverse(end)));
        let (length, _, std::cmp::Reverse(end)) = ranked.max()?;
        (length >= min_run).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest_after(text: &[u32], output: &[u32]) -> Vec<u32> {
        let mut at_once = Prediction::new(text.into());
        at_once.follow(output, 2, 4);
        let mut stepwise = Prediction::new(text.into());
        (0..=output.len()).for_each(|end| stepwise.follow(&output[..end], 2, 4));
        assert_eq!(at_once.rest(), stepwise.rest());
        stepwise.rest().to_vec()
    }

    #[test]
    fn the_output_begins_with_the_text() {
        assert_eq!(rest_after(&[1, 2, 3], &[]), [1, 2, 3]);
        assert_eq!(rest_after(&[1, 2, 3], &[1]), [2, 3]);
        assert!(rest_after(&[1, 2, 3], &[1, 2, 3]).is_empty());
        assert!(rest_after(&[], &[1, 2, 3]).is_empty());
    }

    #[test]
    fn an_output_that_left_the_text_is_found_again() {
        let text = [1, 2, 3, 4, 5, 6, 7];
        assert!(rest_after(&text, &[1, 2, 9]).is_empty());
        assert!(rest_after(&text, &[1, 2, 9, 5]).is_empty(), "one token may be chance");
        assert_eq!(rest_after(&text, &[1, 2, 9, 5, 6]), [7]);
        assert_eq!(rest_after(&text, &[9, 9, 1, 2]), [3, 4, 5, 6, 7]);
    }

    #[test]
    fn it_is_looked_for_where_it_left_off_first() {
        let text = [8, 1, 2, 3, 8, 1, 2, 4, 8, 1, 2, 5];
        assert_eq!(rest_after(&text, &[8, 1, 2, 3, 9, 1, 2])[0], 4);
        assert_eq!(rest_after(&text, &[8, 1, 2, 3, 8, 1, 2, 9, 1, 2])[0], 5);
        assert_eq!(
            rest_after(&text, &[8, 1, 2, 3, 8, 1, 2, 4, 8, 1, 2, 9, 8, 1, 2])[0],
            3,
            "none is left after it"
        );
        assert_eq!(rest_after(&[1, 2, 3, 9, 1, 2, 4], &[9, 1, 2])[0], 4, "the longest wins");
    }
}
