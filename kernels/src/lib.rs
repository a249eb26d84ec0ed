//! Compute kernels of Maru: the only crate with `unsafe` code.
//!
//! What a decoder step needs on a CPU: a thread pool ([`ComputePool`]), the choice of the
//! instruction set ([`Isa`]), read-only file maps ([`MappedFile`]) and the operations
//! themselves ([`cpu`]). The crate knows nothing of models, requests or scheduling: slices of
//! numbers go in and come out, and a wrong shape comes back as a [`KernelError`].
//!
//! # Batch invariance
//!
//! A row's result is the same, bit for bit, whatever the number of rows, the number of threads,
//! the placement of KV blocks and the chunking of a prompt. Every reduction has one order that
//! depends on the row alone; threads split outputs, never reductions. All instruction sets run
//! the same source over sixteen virtual lanes with fused multiply-add, so they agree bit for bit
//! with each other as well. The tests compare with `==`.

pub mod cpu;
mod error;
mod isa;
mod mmap;
mod pool;

pub use error::KernelError;
pub use isa::Isa;
pub use mmap::MappedFile;
pub use pool::{ComputePool, default_num_threads};
