//! The books of the KV pool: which block belongs to whom. Integers only; the tensors are the runner's.

mod block_pool;
mod block_table;

pub use block_pool::{BlockId, BlockPool};
pub use block_table::BlockTable;
