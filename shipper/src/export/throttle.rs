//! Keeps a log line that could come with each request down to one a minute, without losing what it would have said.

use super::Contents;
use std::time::{Duration, Instant};

/// Least time between two lines.
const INTERVAL: Duration = Duration::from_secs(60);

/// What a line stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Requests.
    pub(super) requests: u64,
    /// What they held.
    pub(super) contents: Contents,
}

/// Lets the first of a row of events through, then once a minute the sum of those since.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    said: Option<Instant>,
    held: Held,
}

impl Throttle {
    /// Adds a request; returns what is to be said now, if anything.
    pub(super) fn add(&mut self, contents: Contents, now: Instant) -> Option<Held> {
        self.held.requests += 1;
        self.held.contents += contents;
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < INTERVAL) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_the_rest_once_a_minute_in_sum() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let one = Contents { records: 1, drops: 5, totals: 0 };
        let mut at =
            |seconds| throttle.add(one, start + Duration::from_secs(seconds)).map(|held| held.requests);
        assert_eq!(at(0), Some(1));
        assert_eq!(at(1), None);
        assert_eq!(at(59), None);
        assert_eq!(at(60), Some(3));
        assert_eq!(at(61), None);
        let held = throttle.add(one, start + Duration::from_secs(200));
        assert_eq!(held, Some(Held { requests: 2, contents: Contents { records: 2, drops: 10, totals: 0 } }));
    }
}
