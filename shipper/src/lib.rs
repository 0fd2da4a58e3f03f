//! tcpdrop-otel: every TCP packet that the Linux kernel drops, over OpenTelemetry.

pub mod cli;
pub mod config;
pub mod dedup;
pub mod drop_report;
pub mod drop_summary;
pub mod enrich;
pub mod export;
pub mod ledger;
pub mod otlp;
pub mod packet_drop;
pub mod rate_limit;
pub mod stack;
pub mod serve;
