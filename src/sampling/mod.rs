//! From logits to a token: bias, penalties and masks, temperature and cuts, a counter-based generator, and how likely
//! the token was.

mod adjust;
mod constraint;
mod grammar;
mod logprobs;
mod params;
pub mod rng;
mod sampler;
mod token_set;

pub use constraint::{Constraint, ConstraintError};
pub use grammar::GrammarSpec;
pub use logprobs::{SampledToken, TokenLogprobs};
pub use params::{Penalties, SamplingParams};
pub use sampler::{Row, SampleError, Sampler};
pub use token_set::TokenSet;
