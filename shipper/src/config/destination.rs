//! Settings of the export, resolved for one signal.

use super::model::Export;
use crate::export::Signal;
use crate::export::destination::Destination;

impl Export {
    /// Where `signal` goes: what is set for it alone wins over what is set for all signals, one setting at a time. An
    /// endpoint of its own is used as it is, the common one gets `v1/logs` or `v1/traces` appended (OpenTelemetry
    /// specification, OTLP exporter, "Endpoint URLs for OTLP/HTTP").
    pub fn destination(&self, signal: Signal) -> Destination {
        let (own, path) = match signal {
            Signal::Logs => (&self.logs, "v1/logs"),
            Signal::Traces => (&self.traces, "v1/traces"),
        };
        Destination {
            url: own.endpoint.as_ref().map_or_else(|| self.endpoint.join(path), |own| own.as_uri().clone()),
            headers: own.headers.as_ref().unwrap_or(&self.headers).clone(),
            timeout: own.timeout.unwrap_or(self.timeout),
            compression: own.compression.unwrap_or(self.compression),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::headers;
    use crate::config::model::Compression;
    use std::time::Duration;

    #[test]
    fn the_common_settings_hold_for_both_signals() {
        let export = Export { headers: headers::parse("a=1").unwrap(), ..Export::default() };
        let [logs, traces] = [Signal::Logs, Signal::Traces].map(|signal| export.destination(signal));
        assert_eq!(logs.url, "http://localhost:4318/v1/logs");
        assert_eq!(traces.url, "http://localhost:4318/v1/traces");
        assert_eq!(logs.headers, export.headers);
        assert_eq!(Destination { url: logs.url.clone(), ..traces }, logs);
    }

    #[test]
    fn what_is_set_for_a_signal_wins_for_it_alone() {
        let mut export = Export { headers: headers::parse("a=1").unwrap(), ..Export::default() };
        let common = export.destination(Signal::Logs);
        export.traces.endpoint = Some("https://traces.example.com".parse().unwrap());
        export.traces.headers = Some(headers::parse("b=2").unwrap());
        export.traces.timeout = Some(Duration::from_secs(1));
        export.traces.compression = Some(Compression::None);
        let traces = export.destination(Signal::Traces);
        assert_eq!(traces.url, "https://traces.example.com/", "used as it is");
        assert_eq!(traces.headers, headers::parse("b=2").unwrap(), "in the place of the common ones");
        assert_eq!((traces.timeout, traces.compression), (Duration::from_secs(1), Compression::None));
        assert_eq!(export.destination(Signal::Logs), common);
    }
}
