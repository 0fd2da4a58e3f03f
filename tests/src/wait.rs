//! Waiting for what happens elsewhere, with a limit.

use std::time::{Duration, Instant};

/// How long anything that should happen soon may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(20);

/// How many times longer waits may take than on a machine of flesh: for emulated ones.
pub const SLOWNESS: &str = "TCPDROP_TEST_SLOWNESS";

fn slowness() -> u32 {
    std::env::var(SLOWNESS).ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

/// Polls `probe` until it gives a value, at most for `limit`.
pub fn poll<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit * slowness();
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(POLL);
    }
}

/// Polls `probe` until it gives a value, and panics with `what` after [`PATIENCE`].
pub fn wait_for<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    poll(PATIENCE, probe).unwrap_or_else(|| panic!("waited {} s in vain for {what}", PATIENCE.as_secs()))
}
