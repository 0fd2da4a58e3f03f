//! Where scenarios happen: a host under test, a wire that only test code listens to, and the kernel's counters.
//!
//! Namespaces have no names, so nothing is left behind, and all have the same addresses: scenarios run side by side.

mod counters;
mod far;
mod hosts;
mod net;
mod wire;

pub use counters::{Rise, Watched};
pub use far::{Conversation, Far, timestamps};
pub use hosts::{Containers, HOST_V4, HOST_V6, Router, Wired};
pub use net::Net;
pub use wire::{HOST_MAC, WIRE_MAC, Wire, first_seen};

use crate::netns::Family;
use std::time::Duration;

/// A port that nothing listens at.
pub const CLOSED_PORT: u16 = 9;
/// A port of the far side.
pub const PEER_PORT: u16 = 4444;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// One of two values.
pub fn by<T>(family: Family, v4: T, v6: T) -> T {
    match family {
        Family::V4 => v4,
        Family::V6 => v6,
    }
}
