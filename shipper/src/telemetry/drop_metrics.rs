//! What the kernel counted, by reason and site: exact, whatever was told in detail. Read when metrics are collected, so
//! that a drop costs nothing here.

use super::Observed;
use crate::enrich::site_names::SiteNames;
use crate::otlp::semconv;
use crate::probe::SiteCount;
use crate::reasons::names::ReasonNames;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};
use std::collections::BTreeMap;
use std::sync::Arc;

/// On the sum of what found no room in the kernel's table of sites ("Metrics SDK", "Cardinality limits").
const OVERFLOW: &str = "otel.metric.overflow";

/// What tells one series from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    reason: Option<Arc<str>>,
    site: Option<Arc<str>>,
    overflow: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    packets: u64,
    bytes: u64,
}

impl Series {
    fn attributes(&self) -> Vec<KeyValue> {
        let text = |key, value: &Option<Arc<str>>| value.clone().map(|value| KeyValue::new(key, value));
        let overflow = self.overflow.then(|| KeyValue::new(OVERFLOW, true));
        [text(semconv::REASON, &self.reason), text(semconv::CODE_FUNCTION_NAME, &self.site), overflow]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Several sites may lie in one function. A site that was not looked up yet is left out until it was: a series that
/// changed its name would be counted twice.
fn by_series(sites: &[SiteCount], names: &SiteNames, reasons: &ReasonNames) -> BTreeMap<Series, Sums> {
    let mut all = BTreeMap::<Series, Sums>::new();
    for count in sites {
        let series = match count.site {
            None => Series { overflow: true, ..Series::default() },
            Some(site) => {
                let Some(site) = names.get(site) else { continue };
                let reason = count.reason.and_then(|code| reasons.name(code));
                Series { reason, site, overflow: false }
            }
        };
        let sums = all.entry(series).or_default();
        sums.packets += count.seen;
        sums.bytes += count.bytes;
    }
    all
}

/// Registers the instruments.
pub(super) fn register(meter: &Meter, observed: &Arc<Observed>) {
    let packets = observed.clone();
    meter
        .u64_observable_counter("tcpdrop.packet.dropped")
        .with_unit("{packet}")
        .with_description("TCP packets that the kernel dropped, filtered ones and the agent's own included.")
        .with_callback(move |observer| observe(&packets, observer, |sums| sums.packets))
        .build();
    let bytes = observed.clone();
    meter
        .u64_observable_counter("tcpdrop.packet.dropped_size")
        .with_unit("By")
        .with_description("Sum of their sizes, where those are known.")
        .with_callback(move |observer| observe(&bytes, observer, |sums| sums.bytes))
        .build();
}

fn observe(observed: &Observed, observer: &dyn AsyncInstrument<u64>, value: impl Fn(&Sums) -> u64) {
    let sites = observed.counters.sites();
    for (series, sums) in by_series(&sites, &observed.site_names, &observed.reasons) {
        observer.observe(value(&sums), &series.attributes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::enrich::symbols::FixedSymbols;

    fn count(site: Option<u64>, reason: u32) -> SiteCount {
        let reason = site.map(|_| reason);
        SiteCount { site, reason, seen: 2, bytes: 100, ..SiteCount::default() }
    }

    #[test]
    fn sites_of_one_function_are_one_series_and_new_ones_wait_for_their_name() {
        let (names, reasons) =
            (SiteNames::default(), ReasonNames::from(BTreeMap::from([(3, "NO_SOCKET".to_owned())])));
        let sites = [count(Some(0x110), 3), count(Some(0x120), 3), count(Some(0x110), 99), count(None, 0)];
        names.learn(&sites, &FixedSymbols::new([(0x100, "tcp_v4_rcv")]));
        let unnamed = count(Some(0x900), 3);
        let series = by_series(&[&sites[..], &[unnamed]].concat(), &names, &reasons);
        let site = Some("tcp_v4_rcv".into());
        let expected = BTreeMap::from([
            (Series { overflow: true, ..Series::default() }, Sums { packets: 2, bytes: 100 }),
            (Series { site: site.clone(), ..Series::default() }, Sums { packets: 2, bytes: 100 }),
            (
                Series { reason: Some("NO_SOCKET".into()), site, overflow: false },
                Sums { packets: 4, bytes: 200 },
            ),
        ]);
        assert_eq!(series, expected);
    }

    #[test]
    fn what_is_not_known_is_no_attribute() {
        assert_eq!(Series::default().attributes(), []);
        let overflow = Series { overflow: true, ..Series::default() };
        assert_eq!(overflow.attributes(), [KeyValue::new(OVERFLOW, true)]);
    }
}
