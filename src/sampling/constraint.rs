//! What holds an output to a form, token by token.

use std::fmt::Debug;

use super::TokenSet;

/// The state of one sequence under a grammar. It is asked and told in turns: which tokens may come, which one came.
pub trait Constraint: Send + Debug {
    /// Writes which tokens may come next, stop tokens included when the output may end here. `allowed` has the width
    /// of a row of logits and may hold anything before.
    ///
    /// # Errors
    /// [`ConstraintError`] if that cannot be told; the sequence fails.
    fn mask(&mut self, allowed: &mut TokenSet) -> Result<(), ConstraintError>;

    /// Takes the token that came. A stop token ends it.
    ///
    /// # Errors
    /// [`ConstraintError`] if the token may not come here; the sequence fails.
    fn accept(&mut self, token_id: u32) -> Result<(), ConstraintError>;

    /// Whether this token may come next: what [`Self::mask`] would say of it, cheaper.
    fn allows(&mut self, token_id: u32) -> bool;

    /// Whether any token may come next, stop tokens included: then no mask is asked for. A constraint that cannot tell
    /// without making the mask says no.
    fn is_free(&mut self) -> bool {
        false
    }

    /// Whether nothing but the end may follow.
    fn is_complete(&mut self) -> bool;

    /// Tokens that must come next whatever the model says, possibly none: free guesses.
    fn forced(&mut self) -> Vec<u32>;
}

/// A constraint cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConstraintError(pub String);
