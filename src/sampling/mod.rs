//! From logits to a token: temperature, top-k, top-p, a counter-based generator, and how likely the token was.

mod grammar;
mod logprobs;
mod params;
pub mod rng;
mod sampler;

pub use grammar::GrammarSpec;
pub use logprobs::{SampledToken, TokenLogprobs};
pub use params::SamplingParams;
pub use sampler::{SampleError, Sampler};
