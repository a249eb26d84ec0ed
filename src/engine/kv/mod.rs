//! The books of the KV pool: which block belongs to whom and what it holds. Integers only; the tensors are the
//! runner's.
//!
//! | part | what it is for |
//! |---|---|
//! | [`BlockPool`] | owners of each block, and the free list in the order of reuse |
//! | [`BlockTable`] | one sequence's blocks in one group of layers |
//! | `PrefixCache` | which block holds which tokens |
//! | `InFlight` | which blocks are being computed right now |
//! | [`KvBlocks`] | all of these together, as the scheduler uses them |

mod block_key;
mod block_pool;
mod block_table;
mod blocks;
mod in_flight;
mod prefix_cache;

pub use block_key::{BlockKey, HashKey};
pub use block_pool::{BlockId, BlockPool};
pub use block_table::BlockTable;
pub use blocks::{KvBlocks, SequenceBlocks};
pub(super) use in_flight::InFlight;
