//! tcpdrop-otel: every TCP packet that the Linux kernel drops, over OpenTelemetry.

pub mod btf;
pub mod config;
pub mod drop_report;
pub mod drop_summary;
pub mod export;
pub mod ledger;
pub mod packet_drop;
pub mod probe;
pub mod wire;
