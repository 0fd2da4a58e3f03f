//! tcpdrop-otel: every TCP packet that the Linux kernel drops, over OpenTelemetry.
//!
//! [`pipeline`] is the map.

pub mod agent;
pub mod btf;
pub mod cli;
pub mod config;
pub mod dedup;
pub mod drop_report;
pub mod drop_summary;
pub mod enrich;
pub mod export;
pub mod filter;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod ledger;
pub mod memory;
pub mod otlp;
pub mod packet_drop;
pub mod pipeline;
pub mod probe;
pub mod rate_limit;
pub mod reasons;
pub mod recording;
pub mod reload;
pub mod serve;
pub mod silent;
pub mod stack;
pub mod state;
pub mod telemetry;
pub mod totals;
pub mod wire;
