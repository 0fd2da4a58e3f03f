//! What this process uses: as the semantic conventions for process metrics have it, from `/proc/self`.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use opentelemetry_semantic_conventions::attribute::CPU_MODE;
use opentelemetry_semantic_conventions::metric as conventional;
use rustix::param::{clock_ticks_per_second, page_size};

/// Numbers of `/proc/self/stat`, in the kernel's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    user_ticks: u64,
    system_ticks: u64,
    threads: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Fields 14, 15, 20, 23 and 24 of proc_pid_stat(5). The second, a name in brackets, may hold anything.
    fn parse(line: &str) -> Option<Self> {
        let (_, after_name) = line.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self {
            user_ticks: field(14)?,
            system_ticks: field(15)?,
            threads: field(20)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Registers the instruments.
pub(super) fn register(meter: &Meter) {
    cpu_time(meter);
    gauge(meter, conventional::PROCESS_MEMORY_USAGE, "By", "Physical memory in use.", || {
        Stat::read().map(|stat| stat.resident_pages * page_size() as u64)
    });
    gauge(meter, conventional::PROCESS_MEMORY_VIRTUAL, "By", "Virtual memory.", || {
        Stat::read().map(|stat| stat.virtual_bytes)
    });
    gauge(meter, conventional::PROCESS_THREAD_COUNT, "{thread}", "Threads.", || {
        Stat::read().map(|stat| stat.threads)
    });
    gauge(
        meter,
        conventional::PROCESS_UNIX_FILE_DESCRIPTOR_COUNT,
        "{file_descriptor}",
        "Open file descriptors.",
        || Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64),
    );
}

fn cpu_time(meter: &Meter) {
    let instrument = meter.f64_observable_counter(conventional::PROCESS_CPU_TIME);
    let instrument = instrument.with_unit("s").with_description("CPU time used.");
    let [user, system] = ["user", "system"].map(|mode| [KeyValue::new(CPU_MODE, mode)]);
    let seconds = |ticks: u64| ticks as f64 / clock_ticks_per_second() as f64;
    let instrument = instrument.with_callback(move |observer| {
        if let Some(stat) = Stat::read() {
            observer.observe(seconds(stat.user_ticks), &user);
            observer.observe(seconds(stat.system_ticks), &system);
        }
    });
    instrument.build();
}

fn gauge(
    meter: &Meter,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    read: impl Fn() -> Option<u64> + Send + Sync + 'static,
) {
    let instrument = meter.i64_observable_up_down_counter(name).with_unit(unit).with_description(description);
    let instrument = instrument.with_callback(move |observer| {
        if let Some(value) = read().and_then(|value| i64::try_from(value).ok()) {
            observer.observe(value, &[]);
        }
    });
    instrument.build();
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_counted_from_the_end_of_the_name() {
        let line =
            "42 (a) b (c)) S 1 42 42 0 -1 4194304 9 0 0 0 150 25 0 0 20 0 4 0 99 1048576 300 18446 1 1";
        let expected = Stat {
            user_ticks: 150,
            system_ticks: 25,
            threads: 4,
            virtual_bytes: 1 << 20,
            resident_pages: 300,
        };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse("42 (short) S 1"), None);
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(Stat::read().unwrap().resident_pages > 0);
    }
}
