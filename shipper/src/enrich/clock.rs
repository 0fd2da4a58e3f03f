//! Wall-clock time of moments on the kernel's boot clock.

use crate::drop_report::UnixNanos;
use crate::packet_drop::BootTime;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Both clocks, read together. To be read anew for each batch of reports: so a step of the wall clock or a suspend
/// shifts no more than what is under way.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    boot: BootTime,
    unix: UnixNanos,
}

impl WallClock {
    /// Reads the clocks. On a busy host the thread may have to wait between two readings, by which all times would be off:
    /// of a few tries, the one that took least counts.
    pub fn read() -> Self {
        const TRIES: usize = 10;
        const AT_ONCE: u64 = 20_000; // nanoseconds
        let mut best = Self::try_read();
        for _ in 1..TRIES {
            if best.1 <= AT_ONCE {
                break;
            }
            let next = Self::try_read();
            best = if next.1 < best.1 { next } else { best };
        }
        best.0
    }

    /// Both clocks, and how far apart they may have been read, in nanoseconds.
    fn try_read() -> (Self, u64) {
        let boot = boot_now();
        let unix = UnixNanos(nanos(clock_gettime(ClockId::Realtime)));
        (Self { boot, unix }, boot_now().0.saturating_sub(boot.0))
    }

    /// The clocks of a recording: `boot` was at `unix`.
    pub fn fixed(boot: BootTime, unix: UnixNanos) -> Self {
        Self { boot, unix }
    }

    /// The wall-clock time of `moment`.
    pub fn at(self, moment: BootTime) -> UnixNanos {
        UnixNanos(self.unix.0.saturating_add(moment.0).saturating_sub(self.boot.0))
    }

    /// The wall-clock time at which this was read.
    pub fn now(self) -> UnixNanos {
        self.unix
    }
}

/// The boot clock.
pub fn boot_now() -> BootTime {
    BootTime(nanos(clock_gettime(ClockId::Boottime)))
}

fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_keeps_its_distance_to_the_reading() {
        let clock = WallClock::fixed(BootTime(1_000), UnixNanos(5_000));
        assert_eq!(clock.at(BootTime(400)), UnixNanos(4_400));
        assert_eq!(clock.at(BootTime(1_600)), UnixNanos(5_600));
    }

    #[test]
    fn now_is_after_2026() {
        let clock = WallClock::read();
        assert!(clock.at(boot_now()) > UnixNanos(1_767_225_600_000_000_000));
    }
}
