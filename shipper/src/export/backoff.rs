//! When to try again.

use std::time::Duration;

/// The longest that a receiver's `Retry-After` is heeded: a wrong header must not silence the agent for hours.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// How long to wait after `failures` attempts in a row, at least 1: one second, doubled up to thirty. `random`, from 0
/// to 1, places it between half of that and the whole, so that the agents of a fleet do not knock at the same moment.
/// A receiver that says when (`retry_after`) gets at least that long, up to [`MAX_RETRY_AFTER`].
pub fn delay(failures: u32, random: f64, retry_after: Option<Duration>) -> Duration {
    let doublings = failures.saturating_sub(1).min(5);
    let whole = (FIRST * (1 << doublings)).min(LONGEST);
    let jittered = whole.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
    jittered.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_thirty_seconds() {
        let whole = |failures| delay(failures, 1.0, None).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 7, u32::MAX].map(whole), [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(delay(0, 1.0, None), FIRST);
    }

    #[test]
    fn jitter_takes_away_up_to_half() {
        assert_eq!(delay(3, 0.0, None), Duration::from_secs(2));
        assert_eq!(delay(3, 0.5, None), Duration::from_secs(3));
        assert_eq!(delay(3, f64::INFINITY, None), Duration::from_secs(4));
    }

    #[test]
    fn retry_after_is_a_lower_bound_with_a_limit() {
        let after = |seconds| delay(2, 1.0, Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!([0, 1, 7, 86_400].map(after), [2, 2, 7, 300]);
    }
}
