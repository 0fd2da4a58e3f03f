//! rate limit: how many records may leave at once.
//!
//! It decides on immediate records only. What it denies stays in its group and leaves in a summary: a limit costs
//! detail, never a count. Time is passed in.

use crate::config::model;
use crate::packet_drop::BootTime;
use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, keyed::HashMapStateStore};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cells for stack groups. Groups whose hashes have the same remainder share one, so that the limiter's memory is bounded without
/// ever having to forget.
const CELLS: u64 = 4096;

/// The stage: a cell for each stack group, and one for all.
pub struct StackLimiter {
    settings: model::Limit,
    clock: PassedTime,
    stacks: RateLimiter<u64, HashMapStateStore<u64>, PassedTime, NoOpMiddleware<Moment>>,
    global: RateLimiter<NotKeyed, InMemoryState, PassedTime, NoOpMiddleware<Moment>>,
}

impl StackLimiter {
    /// With the rates of the configuration; a rate of zero counts as one.
    pub fn new(settings: &model::Limit) -> Self {
        let clock = PassedTime::default();
        let per_second = |rate: u32, burst: u32| {
            Quota::per_second(NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN))
                .allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN))
        };
        let stack = per_second(settings.per_stack_per_second, settings.burst);
        let global = per_second(settings.global_per_second, settings.global_per_second);
        Self {
            settings: settings.clone(),
            stacks: RateLimiter::new(stack, HashMapStateStore::default(), clock.clone()),
            global: RateLimiter::direct_with_clock(global, clock.clone()),
            clock,
        }
    }

    /// Takes over new rates. Those that are the same leave what was used up as it is.
    pub fn reconfigure(&mut self, settings: &model::Limit) {
        if self.settings != *settings {
            *self = Self::new(settings);
        }
    }

    /// Whether a record of the stack group with this hash may leave at `now`.
    pub fn allows(&self, group: u64, now: BootTime) -> bool {
        self.clock.0.store(now.0, Ordering::Relaxed);
        self.stacks.check_key(&(group % CELLS)).is_ok() && self.global.check().is_ok()
    }
}

/// A clock that shows the time it was last told.
#[derive(Clone, Debug, Default)]
struct PassedTime(Arc<AtomicU64>);

impl Clock for PassedTime {
    type Instant = Moment;

    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, other: Nanos) -> Self {
        Self(self.0.saturating_add(other.as_u64()))
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration.as_u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn limiter(per_stack_per_second: u32, burst: u32, global_per_second: u32) -> StackLimiter {
        StackLimiter::new(&model::Limit { per_stack_per_second, burst, global_per_second })
    }

    fn allowed(limiter: &StackLimiter, stack: u64, tries: u32, now: u64) -> usize {
        (0..tries).filter(|_| limiter.allows(stack, BootTime(now))).count()
    }

    #[test]
    fn a_stack_has_its_burst_and_then_its_rate() {
        let limiter = limiter(2, 5, 1000);
        assert_eq!(allowed(&limiter, 1, 100, SECOND), 5);
        assert_eq!(allowed(&limiter, 1, 100, 2 * SECOND), 2);
        assert_eq!(allowed(&limiter, 2, 100, 2 * SECOND), 5, "another stack has its own");
    }

    #[test]
    fn all_stacks_share_the_global_rate() {
        let limiter = limiter(10, 10, 15);
        let first: usize = (0..10).map(|stack| allowed(&limiter, stack, 10, SECOND)).sum();
        assert_eq!(first, 15);
    }

    #[test]
    fn new_rates_hold_at_once_and_the_same_ones_give_no_second_burst() {
        let mut limiter = limiter(2, 5, 1000);
        let settings = |burst| model::Limit { per_stack_per_second: 2, burst, global_per_second: 1000 };
        assert_eq!(allowed(&limiter, 1, 100, SECOND), 5);
        limiter.reconfigure(&settings(5));
        assert_eq!(allowed(&limiter, 1, 100, SECOND), 0);
        limiter.reconfigure(&settings(7));
        assert_eq!(allowed(&limiter, 1, 100, SECOND), 7);
    }

    #[test]
    fn any_number_of_stacks_needs_the_same_memory() {
        let limiter = limiter(10, 10, 1_000_000);
        for stack in 0..20_000 {
            limiter.allows(stack, BootTime(SECOND));
        }
        assert_eq!(limiter.stacks.len() as u64, CELLS);
    }
}
