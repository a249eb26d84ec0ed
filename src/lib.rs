//! Maru: an OpenAI-compatible inference server for EXAONE language models.
//!
//! The map, from the street down (imports point downwards only; `tests/architecture.rs` holds it):
//!
//! | floor | module | what it is for |
//! |---|---|---|
//! | 5 | [`app`], [`cli`], [`config`] | the life of the process, its commands and its settings |
//! | 4 | [`api`] | HTTP: wire types, errors, SSE, authentication, health |
//! | 3 | [`serving`] | the life of one request, from prompt to stream of deltas |
//! | 2 | [`engine`] | scheduler, KV books and the loop that drives a runner |
//! | 2 | [`text`] | tokenizer, detokenizer, chat template, stop strings |
//! | 1 | [`model`] | one decoder, families as data, backends behind one seam |
//! | 1 | [`sampling`] | from logits to a token |
//! | 0 | [`telemetry`], `maru_kernels` | metrics and logs; the compute kernels |
#![forbid(unsafe_code)]

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod engine;
pub mod model;
pub mod sampling;
pub mod serving;
pub mod telemetry;
pub mod text;
