//! A sequence's constraint as the engine holds it. A fault or a panic in it stays with its sequence.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::planted::{Bug, planted};
use super::thread::message;
use crate::sampling::{Constraint, ConstraintError, TokenSet};

/// A constraint, and what it said of the next token.
#[derive(Debug)]
pub(super) struct Guide {
    /// Once it has failed, its fault.
    constraint: Result<Box<dyn Constraint>, ConstraintError>,
    mask: TokenSet,
    /// Whether `mask` is of the next token.
    has_mask: bool,
    /// Tokens that must come next, as far as it was asked for them.
    forced: Vec<u32>,
}

impl Guide {
    pub(super) fn new(constraint: Box<dyn Constraint>) -> Self {
        Self::from(Ok(constraint))
    }

    fn from(constraint: Result<Box<dyn Constraint>, ConstraintError>) -> Self {
        Self { constraint, mask: TokenSet::default(), has_mask: false, forced: Vec::new() }
    }

    /// Gives it away for a while. What is left in its place only says that it did not come back.
    pub(super) fn lend(&mut self) -> Self {
        std::mem::replace(self, Self::from(Err(ConstraintError("its state was lost".to_owned()))))
    }

    /// Works out which tokens of a row of `vocab_size` logits may come next, unless it knows. A fault shows when the
    /// mask is asked for.
    pub(super) fn prepare(&mut self, vocab_size: usize) {
        let _ = self.mask(vocab_size);
    }

    /// Which tokens of a row of `vocab_size` logits may come next.
    pub(super) fn mask(&mut self, vocab_size: usize) -> Result<&TokenSet, ConstraintError> {
        if self.mask.vocab_size() != vocab_size {
            self.mask = TokenSet::new(vocab_size);
            self.has_mask = false;
        }
        if !self.has_mask {
            let mut mask = std::mem::take(&mut self.mask);
            let written = self.ask(|constraint| constraint.mask(&mut mask));
            self.mask = mask;
            written?;
            self.has_mask = true;
        }
        Ok(&self.mask)
    }

    /// Whether any token may come next, as far as that is known without a mask.
    pub(super) fn is_free(&mut self) -> Result<bool, ConstraintError> {
        if self.has_mask { Ok(false) } else { self.ask(|constraint| Ok(constraint.is_free())) }
    }

    /// Whether a token may come next.
    pub(super) fn allows(&mut self, token_id: u32) -> Result<bool, ConstraintError> {
        match self.has_mask {
            true => Ok(self.mask.contains(token_id)),
            false => self.ask(|constraint| Ok(constraint.allows(token_id))),
        }
    }

    /// Takes the token that came and says whether nothing may follow it.
    pub(super) fn accept(&mut self, token_id: u32) -> Result<bool, ConstraintError> {
        self.has_mask &= planted(Bug::MaskIsStale);
        self.forced.clear();
        self.ask(|constraint| {
            constraint.accept(token_id)?;
            Ok(constraint.is_complete())
        })
    }

    /// Asks which tokens must come next. A fault shows with the next token.
    pub(super) fn look_ahead(&mut self) {
        self.forced = self.ask(|constraint| Ok(constraint.forced())).unwrap_or_default();
    }

    /// The tokens that must come next, as far as it was asked for them.
    pub(super) fn forced(&self) -> &[u32] {
        &self.forced
    }

    /// Asks the constraint. After a fault it is not asked again.
    fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut dyn Constraint) -> Result<T, ConstraintError>,
    ) -> Result<T, ConstraintError> {
        let constraint = self.constraint.as_mut().map_err(|fault| fault.clone())?;
        // Nothing of a constraint that panicked is used again.
        let answer = catch_unwind(AssertUnwindSafe(|| question(&mut **constraint)))
            .unwrap_or_else(|panic| Err(ConstraintError(format!("it panicked: {}", message(&*panic)))));
        if let Err(fault) = &answer {
            let broken = std::mem::replace(&mut self.constraint, Err(fault.clone()));
            // Nor is its end to be trusted.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::simulation::rule::Rule;

    const VOCAB_SIZE: u32 = 50;

    fn guide(seed: u64) -> Guide {
        Guide::new(Rule { seed, vocab_size: VOCAB_SIZE, num_tokens: 100 }.start())
    }

    #[test]
    fn a_token_is_allowed_if_the_mask_has_it() {
        for seed in 0..20 {
            let mut guide = guide(seed);
            for _ in 0..20 {
                let asked: Vec<bool> =
                    (0..VOCAB_SIZE).map(|id| guide.allows(id).expect("no fault")).collect();
                let mask = guide.mask(VOCAB_SIZE as usize).expect("no fault").clone();
                assert_eq!(TokenSet::of(asked.len(), (0..VOCAB_SIZE).filter(|&id| asked[id as usize])), mask);
                let last = mask.iter().last().expect("some token is always allowed");
                assert_eq!(guide.accept(last), Ok(false));
            }
        }
    }

    #[test]
    fn a_mask_fits_the_row_that_it_is_for() {
        let mut guide = guide(1);
        let narrow = guide.mask(20).expect("no fault").clone();
        let wide = guide.mask(VOCAB_SIZE as usize).expect("no fault");
        assert_eq!((narrow.vocab_size(), wide.vocab_size()), (20, 50));
        assert!((0..20).all(|id| narrow.contains(id) == wide.contains(id)));
    }

    #[test]
    fn the_first_fault_is_the_answer_from_then_on() {
        let mut guide = guide(5);
        let wrong = (0..VOCAB_SIZE).find(|&id| guide.allows(id) == Ok(false)).expect("not all are allowed");
        let fault = guide.accept(wrong).expect_err("it is not allowed");
        assert_eq!(guide.mask(10).map(|_| ()), Err(fault.clone()));
        assert_eq!(guide.allows(0), Err(fault.clone()));
        guide.look_ahead();
        assert!(guide.forced().is_empty());
        assert_eq!(guide.accept(0), Err(fault));
    }

    #[test]
    fn what_was_lent_and_is_not_back_is_a_fault() {
        let mut guide = guide(4);
        let mut lent = guide.lend();
        assert!(guide.mask(10).is_err() && guide.allows(0).is_err());
        assert!(lent.mask(10).is_ok());
    }
}
