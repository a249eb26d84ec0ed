//! A form for tests: which tokens may come depends on every token that came, so that one that is told too much or too
//! little, or twice, lets other tokens through.

use crate::sampling::{Constraint, ConstraintError, TokenSet};

/// What a rule is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) seed: u64,
    /// Tokens of the vocabulary.
    pub(crate) vocab_size: u32,
    /// Tokens after which nothing may follow.
    pub(crate) num_tokens: usize,
}

impl Rule {
    /// Its state before the first token.
    pub(crate) fn start(self) -> Box<dyn Constraint> {
        Box::new(State { rule: self, history: mix(self.seed), num_accepted: 0 })
    }
}

#[derive(Debug, Clone)]
struct State {
    rule: Rule,
    /// A hash of the tokens that came.
    history: u64,
    num_accepted: usize,
}

impl State {
    /// One token that may come in any case.
    fn pivot(&self) -> u32 {
        (mix(self.history) % u64::from(self.rule.vocab_size)) as u32
    }

    /// In a third of the states only one token may come.
    fn forces(&self) -> bool {
        self.history.is_multiple_of(3)
    }

    /// In some of the others every token may come.
    fn is_open(&self) -> bool {
        !self.forces() && self.history.is_multiple_of(4)
    }

    fn lets(&self, token_id: u32) -> bool {
        if self.is_open() {
            return token_id < self.rule.vocab_size;
        }
        let is_let = !self.forces() && !mix(self.history ^ u64::from(token_id) << 32).is_multiple_of(3);
        token_id < self.rule.vocab_size && (token_id == self.pivot() || is_let)
    }

    fn take(&mut self, token_id: u32) {
        self.history = mix(self.history.rotate_left(17) ^ u64::from(token_id));
        self.num_accepted += 1;
    }
}

impl Constraint for State {
    fn mask(&mut self, allowed: &mut TokenSet) -> Result<(), ConstraintError> {
        allowed.clear();
        (0..self.rule.vocab_size).filter(|&token_id| self.lets(token_id)).for_each(|id| allowed.insert(id));
        Ok(())
    }

    fn accept(&mut self, token_id: u32) -> Result<(), ConstraintError> {
        if !self.lets(token_id) || self.is_complete() {
            return Err(ConstraintError(format!(
                "{token_id} may not come after {} tokens",
                self.num_accepted
            )));
        }
        self.take(token_id);
        Ok(())
    }

    fn allows(&mut self, token_id: u32) -> bool {
        self.lets(token_id)
    }

    fn is_free(&mut self) -> bool {
        self.is_open()
    }

    fn is_complete(&mut self) -> bool {
        self.num_accepted >= self.rule.num_tokens
    }

    fn forced(&mut self) -> Vec<u32> {
        let mut ahead = self.clone();
        let mut forced = Vec::new();
        while ahead.forces() && !ahead.is_complete() {
            forced.push(ahead.pivot());
            ahead.take(ahead.pivot());
        }
        forced
    }
}

/// The finisher of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
