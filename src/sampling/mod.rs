//! From logits to a token: temperature, top-k, top-p and a counter-based generator.

mod params;

pub use params::SamplingParams;
