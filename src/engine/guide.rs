//! A sequence's constraint as the engine holds it. A fault or a panic in it stays with its sequence.

use std::panic::{AssertUnwindSafe, catch_unwind};

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

    /// Whether a token may come next.
    pub(super) fn allows(&mut self, token_id: u32) -> Result<bool, ConstraintError> {
        match self.has_mask {
            true => Ok(self.mask.contains(token_id)),
            false => self.ask(|constraint| Ok(constraint.allows(token_id))),
        }
    }

    /// Takes the token that came and says whether nothing may follow it.
    pub(super) fn accept(&mut self, token_id: u32) -> Result<bool, ConstraintError> {
        self.has_mask = false;
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
