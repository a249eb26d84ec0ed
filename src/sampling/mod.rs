//! From logits to a token: temperature, top-k, top-p and a counter-based generator.

mod logprobs;
mod params;
pub mod rng;
mod sampler;

pub use logprobs::{SampledToken, TokenLogprobs};
pub use params::SamplingParams;
pub use sampler::{SampleError, Sampler};
