//! The `maru` binary.

fn main() {}
