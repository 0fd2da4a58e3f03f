//! A [`Report`] as text, in Markdown.

use super::capacity::Capacity;
use super::cost::Memory;
use super::footprint::Footprint;
use super::latency::{Latencies, Latency};
use super::rates::{Beside, Rates, Row, Seen};
use super::spread::Spread;
use super::storm::StormReport;
use super::{Machine, Report};
use std::fmt::{self, Display, Formatter};

impl Display for Report {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        writeln!(out, "{}", self.machine)?;
        if let Some(rates) = &self.rates {
            write!(out, "\n{rates}")?;
        }
        if !self.storms.is_empty() {
            writeln!(out, "\n{STORM_HEAD}")?;
            self.storms.iter().try_for_each(|storm| writeln!(out, "{storm}"))?;
        }
        if let Some(latency) = &self.latency {
            writeln!(out, "\n{latency}")?;
        }
        if !self.capacity.is_empty() {
            writeln!(
                out,
                "\n| user space, stacks | flows | events/s and core | memory | records of events |\n|---|---|---|---|---|"
            )?;
            self.capacity.iter().try_for_each(|capacity| writeln!(out, "{capacity}"))?;
        }
        if let Some(footprint) = &self.footprint {
            writeln!(out, "\n{footprint}")?;
        }
        Ok(())
    }
}

impl Display for Machine {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        let Self { cpu, cpus, kernel, architecture, load_average, optimised, .. } = self;
        let build = if *optimised { "" } else { ", a build without optimisation: times are not the agent's" };
        write!(out, "{cpu}, {cpus} CPUs, Linux {kernel} {architecture}, load {load_average}{build}")
    }
}

impl Display for Rates {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        writeln!(
            out,
            "| storm | with | program, ns/drop | over empty, of a drop | a drop, ns of CPU | host, k drops/s | rate to empty | CPU s/M drops |"
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|---|")?;
        self.rows.iter().try_for_each(|row| writeln!(out, "{row}"))?;
        if !self.beside.is_empty() {
            writeln!(
                out,
                "\n| the agent beside | in | the host's rate, times | the other's CPU, times |\n|---|---|---|---|"
            )?;
            self.beside.iter().try_for_each(|beside| writeln!(out, "{beside}"))?;
        }
        writeln!(
            out,
            "\n| with | kernel's count of drops | described | counted | RSS |\n|---|---|---|---|---|"
        )?;
        self.seen.iter().try_for_each(|seen| writeln!(out, "{seen}"))
    }
}

impl Display for Row {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        write!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            self.workload.name(),
            self.subject,
            cell(self.program_ns_per_drop, |ns| format!("{ns:.0}")),
            cell(self.share_of_a_drop, |share| format!("{:.1} %", 100.0 * share)),
            cell(self.cpu_ns_per_drop, |ns| format!("{ns:.0}")),
            cell(self.drops_per_second, |rate| format!("{:.0}", rate / 1000.0)),
            cell(self.rate_to_empty, |ratio| format!("{ratio:.3}")),
            cell(self.cpu_seconds_per_million, |seconds| format!("{seconds:.3}")),
        )
    }
}

impl Display for Beside {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        let times = |spread| cell(Some(spread), |times| format!("{times:.2}"));
        let (rate, cpu) = (times(self.rate_of_agent), times(self.cpu_to_agent));
        write!(out, "| {} | {} | {rate} | {cpu} |", self.subject, self.workload.name())
    }
}

impl Display for Seen {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        let of_all = |count: Option<u64>| {
            count.map_or_else(String::new, |count| {
                format!("{count} ({:.2} %)", 100.0 * count as f64 / self.drops.max(1) as f64)
            })
        };
        write!(
            out,
            "| {} | {} | {} | {} | {} |",
            self.subject,
            self.drops,
            of_all(self.described),
            of_all(self.counted),
            cell(self.rss_kib, |kib| format!("{:.1} MiB", kib / 1024.0)),
        )
    }
}

const STORM_HEAD: &str = "| the agent in a storm | k drops/s | CPU of a core | RSS (before) | admitted | suppressed | ring full | \
                          seen | sum of the records | exact |\n|---|---|---|---|---|---|---|---|---|---|";

impl Display for StormReport {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        write!(
            out,
            "| {}, {:.0} s | {:.0} | {:.1} % | {} ({}) | {} | {} | {} | {} | {} in {} | {} |",
            self.workload.name(),
            self.seconds,
            self.drops_per_second / 1000.0,
            self.cpu_percent_of_a_core,
            self.memory_kib,
            self.memory_before_kib,
            self.admitted,
            self.suppressed,
            self.ring_lost,
            self.seen,
            self.told,
            self.records,
            if self.exact { "yes" } else { "NO" },
        )
    }
}

impl Display for Latencies {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        writeln!(
            out,
            "| from drop to record | with a record | p50 | p99 | longest |\n|---|---|---|---|---|"
        )?;
        writeln!(out, "| quiet | {} |", self.quiet)?;
        writeln!(out, "| in a storm | {} |", self.storm)?;
        writeln!(out, "| in a storm, default settings | {} |", self.storm_with_defaults)?;
        write!(out, "\nThe first two with {}.", self.settings.join(", "))
    }
}

impl Display for Latency {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        let milliseconds =
            |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.1} ms"));
        let [p50, p99, max] = [self.p50_ms, self.p99_ms, self.max_ms].map(milliseconds);
        write!(out, "{} of {} | {p50} | {p99} | {max}", self.with_record, self.drops)
    }
}

impl Display for Capacity {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        let rate = cell(Some(self.events_per_second), |rate| format!("{:.0} k", rate / 1000.0));
        write!(
            out,
            "| {} | {} | {rate} | {:.1} MiB | {} of {} |",
            self.stacks,
            self.flows,
            self.memory_kib as f64 / 1024.0,
            self.records,
            self.events
        )
    }
}

impl Display for Footprint {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        let start = |spread: Spread| {
            let Spread { median, min, max, count, .. } = spread;
            format!("{median:.1} ms ({min:.1} to {max:.1}, {count} runs)")
        };
        writeln!(out, "| on a host that is well | measured | aim |\n|---|---|---|")?;
        writeln!(
            out,
            "| `watch`: start to first drop shown | {} | 500 ms |",
            start(self.start_to_first_drop_ms)
        )?;
        writeln!(out, "| `run`: start to watching | {} | |", start(self.start_to_watching_ms))?;
        writeln!(
            out,
            "| CPU, idle for {} s | {:.2} % of a core ({} drops of others meanwhile) | 0.2 % |",
            self.idle_seconds, self.idle_cpu_percent_of_a_core, self.drops_of_others
        )?;
        writeln!(out, "| memory, idle | {} | 40 MiB |", self.memory_idle_kib)?;
        write!(out, "| memory after {} flows | {} | 40 MiB |", self.flows, self.memory_after_flows_kib)
    }
}

impl Display for Memory {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        let mebibytes = |kib: u64| kib as f64 / 1024.0;
        write!(out, "{:.1} MiB, {:.1} anonymous", mebibytes(self.rss), mebibytes(self.anonymous))
    }
}

/// The median and its interval, or the ends where there are too few values.
fn cell(spread: Option<Spread>, show: impl Fn(f64) -> String) -> String {
    let Some(spread) = spread else { return String::new() };
    let [low, high] = spread.interval.unwrap_or([spread.min, spread.max]);
    format!("{} ({} to {})", show(spread.median), show(low), show(high))
}
