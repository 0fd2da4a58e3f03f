//! [`Admission`]: how many drops the program describes.

use super::ring::LOOK_AGAIN;
use super::{ProbeError, take_map};
use crate::config::model;
use crate::wire::TcpDropAdmission;
use aya::Ebpf;
use aya::maps::{Array, MapData};
use rustix::time::{ClockId, clock_getres};
use std::sync::{Arc, Mutex, PoisonError};

/// Drops a beat of one namespace, local port, site and reason, when the site's budget is spent.
const KEY_LIMIT: u32 = 10;
/// No CPU describes fewer a second, however many share.
const FLOOR: u32 = 10;
/// Parts of a token in which rates are shared out.
const PARTS: u64 = 1000;

/// Changes the budget, also while the program is attached. Counts stay exact: what is over budget is counted as
/// suppressed.
#[derive(Clone)]
pub struct Admission {
    map: Arc<Mutex<Array<MapData, TcpDropAdmission>>>,
    cpus: u32,
    jiffies_per_second: u32,
}

// SAFETY: repr(C), integers only, no padding.
unsafe impl aya::Pod for TcpDropAdmission {}

impl Admission {
    /// Admits everything.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, ProbeError> {
        let map = Array::try_from(take_map(ebpf, ".data.admission")?)?;
        let cpus = aya::util::online_cpus().map_or(1, |cpus| cpus.len()).max(1);
        let admission = Self {
            map: Arc::new(Mutex::new(map)),
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            jiffies_per_second: jiffies_per_second(),
        };
        admission.set(&model::Admission { per_site_per_second: 0, ..model::Admission::default() })?;
        Ok(admission)
    }

    /// From here on, drops are admitted at these rates.
    ///
    /// # Errors
    /// If the kernel refuses the entry.
    pub fn set(&self, settings: &model::Admission) -> Result<(), ProbeError> {
        let rates = rates(settings, self.cpus, self.jiffies_per_second);
        Ok(self.map.lock().unwrap_or_else(PoisonError::into_inner).set(0, rates, 0)?)
    }
}

/// The kernel's `HZ`. A coarse clock moves once a jiffy (kernel/time/posix-timers.c), and says so.
fn jiffies_per_second() -> u32 {
    let nanoseconds = clock_getres(ClockId::MonotonicCoarse).tv_nsec.max(1);
    u32::try_from((1_000_000_000 + nanoseconds / 2) / nanoseconds).unwrap_or(1000).clamp(24, 10_000)
}

/// The host's rates, shared out over `cpus`, each of which ticks `hz` times a second.
fn rates(settings: &model::Admission, cpus: u32, hz: u32) -> TcpDropAdmission {
    let share = |rate: u32| rate.div_ceil(cpus).max(FLOOR);
    let site_cost = u64::from(hz) * PARTS;
    let site_refill = (u64::from(settings.per_site_per_second) * PARTS).div_ceil(cpus.into());
    let site_refill = site_refill.max(u64::from(FLOOR) * PARTS);
    let site_capacity = u64::from(share(settings.burst)) * site_cost;
    TcpDropAdmission {
        site_cost: if settings.per_site_per_second == 0 { 0 } else { site_cost },
        site_refill,
        site_capacity,
        key_limit: KEY_LIMIT,
        // The program counts them in 16 bits.
        reserve_limit: share(settings.first_seen_reserve).min(u16::MAX.into()),
        // The power of two that is nearest to a second.
        beat_shift: (hz * 4 / 3).ilog2(),
        quiet_jiffies: quiet_jiffies(hz),
    }
}

/// What surely lies between two events if the reader found nothing in between: it looks again after [`LOOK_AGAIN`], and
/// an event may be a millisecond on its way into the ring.
fn quiet_jiffies(hz: u32) -> u32 {
    let milliseconds = u32::try_from(LOOK_AGAIN.as_millis()).unwrap_or(u32::MAX) - 1;
    milliseconds * hz / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(per_site_per_second: u32, burst: u32, first_seen_reserve: u32) -> model::Admission {
        model::Admission { per_site_per_second, burst, first_seen_reserve }
    }

    /// Drops a second of one site, of all CPUs.
    fn site_rate(rates: &TcpDropAdmission, cpus: u32, hz: u32) -> u64 {
        u64::from(cpus) * u64::from(hz) * rates.site_refill / rates.site_cost
    }

    #[test]
    fn rates_are_shared_out_over_the_cpus() {
        for hz in [100, 250, 300, 1000] {
            for cpus in [1, 2, 3, 48] {
                let rates = rates(&settings(600, 960, 1200), cpus, hz);
                assert_eq!(site_rate(&rates, cpus, hz), 600);
                assert_eq!(rates.site_capacity / rates.site_cost * u64::from(cpus), 960);
                assert_eq!(rates.reserve_limit * cpus, 1200);
            }
        }
    }

    #[test]
    fn no_cpu_is_left_without_a_budget() {
        let rates = rates(&settings(1, 1, 1), 512, 250);
        assert_eq!(site_rate(&rates, 1, 250), u64::from(FLOOR));
        assert_eq!(rates.site_capacity / rates.site_cost, u64::from(FLOOR));
        assert_eq!(rates.reserve_limit, FLOOR);
    }

    #[test]
    fn a_rate_of_zero_admits_all() {
        assert_eq!(rates(&settings(0, 1, 1), 2, 250).site_cost, 0);
    }

    #[test]
    fn the_program_can_count_what_the_longest_pause_refills() {
        let largest = rates(&settings(1_000_000, 1_000_000, 1), 1, 10_000);
        assert!(largest.site_refill.checked_mul(u32::MAX.into()).is_some());
        assert!(largest.site_capacity.checked_add(largest.site_cost).is_some());
    }

    #[test]
    fn a_beat_is_about_a_second_and_the_reader_is_woken_before_it_would_wait_long() {
        for hz in [24, 100, 250, 300, 1000, 1024] {
            let seconds = f64::from(1 << rates(&settings(1, 1, 1), 1, hz).beat_shift) / f64::from(hz);
            assert!((0.66..=1.5).contains(&seconds), "{hz}: {seconds} s");
            assert!(u128::from(quiet_jiffies(hz) * 1000 / hz) < LOOK_AGAIN.as_millis());
        }
    }

    #[test]
    fn the_kernels_tick_is_known() {
        assert!((100..=1000).contains(&jiffies_per_second()), "{}", jiffies_per_second());
    }
}
