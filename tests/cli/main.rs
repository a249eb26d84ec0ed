//! The command line, the configuration and the hub, seen from outside.

mod config;
mod hub;
mod hub_stand_in;
mod models;
mod program;
