//! Proofs on real models that a request's output does not depend on its company: the product's scheduler, batch
//! builder, runner and sampler give the same tokens and bit-equal logits and log probabilities whatever else is in the
//! batch, however the prompt was cut, whether a prefix was cached, whether the sequence lost its blocks on the way, and
//! whether its tokens were guessed. Equality of bits everywhere, no tolerance.
//!
//! | module | what is held equal to a request alone |
//! |---|---|
//! | `needle` | one request, hundreds of times among random traffic |
//! | `pressure` | 64 requests in a pool of a quarter of what they need |
//! | `parameters` | every sampling parameter in one batch |
//! | `constraints` | requests whose output is held to a form, under pressure and with guesses |
//! | `speculation` | guesses on and off, and their counts |
//! | `prefix` | prompts whose beginning is cached, and how much of it is |
//! | `readout` | scores of prompts and pooled hidden states, among each other and in a scarce pool |
//! | `threaded` | the same through the engine's own thread |
//! | `control` | the other way round: a kernel that depends on the batch is noticed by every one of these |
//!
//! `MARU_INVARIANCE_RUNS=<count>` makes the needle's runs more or fewer than 500. `MARU_INVARIANCE_FAULT=1` puts the
//! batch-dependent kernel into every model: all tests but those of `control` must fail then.

use maru::sampling;

mod constraints;
mod control;
#[path = "../../src/engine/simulation/dice.rs"]
mod dice;
mod drive;
mod models;
mod needle;
mod parameters;
mod prefix;
mod pressure;
mod readout;
#[path = "../../src/engine/simulation/rule.rs"]
mod rule;
mod speculation;
mod threaded;
