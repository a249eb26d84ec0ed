//! Where weights come from.

pub mod hub;
