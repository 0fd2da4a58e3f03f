//! Settings: `model` says which there are, the rest reads and checks them.

pub mod model;
