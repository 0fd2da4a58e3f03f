//! Fixtures of the end-to-end tests: network namespaces, a real Collector and the agent itself, each ended when it
//! goes out of scope. A fixture that cannot do its work panics with the reason, which fails its test.
//!
//! Environment variables of the tests begin with `TCPDROP_TEST_`: those that begin with `TCPDROP_OTEL_` are the agent's
//! settings, and it refuses what it does not know.

pub mod agent;
pub mod bench;
pub mod blaster;
pub mod collector;
mod fork;
pub mod http;
pub mod ledger;
pub mod listener;
pub mod netns;
pub mod nftables;
pub mod otlp_json;
pub mod ports;
pub mod process;
pub mod receiver;
pub mod requirements;
pub mod soak;
pub mod wait;
pub mod zoo;
