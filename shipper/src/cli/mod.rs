//! The command line: [`args`] is its grammar, and each command has a file of its own.

pub mod args;
pub mod config;
