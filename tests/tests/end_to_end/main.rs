//! The agent against a real kernel and a real Collector. One program, so that tests which wait do so side by side.
//!
//! The probe sees the drops of the whole machine, those of the other tests too: a test picks its own by network
//! namespace or port, and sums are compared with the ledger of its own agent.

mod checks;
mod doctor;
mod example_collector;
mod failures;
mod filters;
mod first_light;
mod kinds;
mod ledger;
mod own_metrics;
mod own_traffic;
mod protocols;
mod service_unit;
mod shutdown;
mod silent;
mod stack_hash;
mod storm;
mod watch;
