//! The command line: what people type and see.

pub mod classic;
