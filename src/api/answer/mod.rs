//! From output to the wire: what the answers of several endpoints have in common.

pub(super) mod best;
pub(super) mod blocks;
pub(super) mod head;
pub(super) mod logprobs;
pub(super) mod rendered;
pub(super) mod stop_reason;
pub(super) mod usage;
pub(super) mod whole;
