//! Settings of the export, resolved for one signal.

use super::endpoint::Endpoint;
use super::model::{Export, Protocol, Tls};
use crate::export::Signal;
use crate::export::destination::Destination;

impl Export {
    /// Where `signal` goes: what is set for it alone wins over what is set for all signals, one setting at a time, headers
    /// and their file as one.
    ///
    /// Over HTTP an endpoint of the signal's own is used as it is, the common one gets `v1/logs` or `v1/traces` appended
    /// (OpenTelemetry specification, "OTLP Exporter Configuration", "Endpoint URLs for OTLP/HTTP"). For gRPC each gets the
    /// path of the signal's service.
    pub fn destination(&self, signal: Signal) -> Destination {
        let own = match signal {
            Signal::Logs => &self.logs,
            Signal::Traces => &self.traces,
        };
        let protocol = own.protocol.unwrap_or(self.protocol);
        let common = || self.endpoint.clone().unwrap_or_else(|| Endpoint::customary(protocol));
        let url = match (&own.endpoint, protocol) {
            (Some(own), Protocol::HttpProtobuf | Protocol::HttpJson) => own.as_uri().clone(),
            (Some(own), Protocol::Grpc) => own.join(service_path(signal)),
            (None, Protocol::HttpProtobuf | Protocol::HttpJson) => common().join(http_path(signal)),
            (None, Protocol::Grpc) => common().join(service_path(signal)),
        };
        let (headers, headers_file) = match (&own.headers, &own.headers_file) {
            (None, None) => (self.headers.clone(), self.headers_file.clone()),
            (headers, file) => (headers.clone().unwrap_or_default(), file.clone()),
        };
        Destination {
            url,
            protocol,
            headers,
            headers_file,
            timeout: own.timeout.unwrap_or(self.timeout),
            compression: own.compression.unwrap_or(self.compression),
            tls: Tls {
                ca_file: own.tls.ca_file.clone().or_else(|| self.tls.ca_file.clone()),
                cert_file: own.tls.cert_file.clone().or_else(|| self.tls.cert_file.clone()),
                key_file: own.tls.key_file.clone().or_else(|| self.tls.key_file.clone()),
            },
        }
    }
}

fn http_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "v1/logs",
        Signal::Traces => "v1/traces",
    }
}

/// The gRPC method (opentelemetry-proto, `collector/logs/v1/logs_service.proto` and its sister).
fn service_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Traces => "opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::headers;
    use crate::config::model::Compression;
    use std::path::PathBuf;
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
        export.headers_file = Some("/common".into());
        let common = export.destination(Signal::Logs);
        export.traces.endpoint = Some("https://traces.example.com".parse().unwrap());
        export.traces.headers = Some(headers::parse("b=2").unwrap());
        export.traces.timeout = Some(Duration::from_secs(1));
        export.traces.compression = Some(Compression::None);
        let traces = export.destination(Signal::Traces);
        assert_eq!(traces.url, "https://traces.example.com/", "used as it is");
        assert_eq!(traces.headers, headers::parse("b=2").unwrap(), "in the place of the common ones");
        assert_eq!(traces.headers_file, None, "a key of the common receiver must not go to another");
        assert_eq!((traces.timeout, traces.compression), (Duration::from_secs(1), Compression::None));
        assert_eq!(export.destination(Signal::Logs), common);
        export.logs.headers_file = Some("/own".into());
        let logs = export.destination(Signal::Logs);
        assert!(logs.headers.is_empty());
        assert_eq!(logs.headers_file, Some("/own".into()));
    }

    #[test]
    fn the_protocol_decides_on_port_and_path() {
        let mut export = Export { protocol: Protocol::Grpc, ..Export::default() };
        export.traces.protocol = Some(Protocol::HttpJson);
        let logs = "http://localhost:4317/opentelemetry.proto.collector.logs.v1.LogsService/Export";
        assert_eq!(export.destination(Signal::Logs).url, logs);
        assert_eq!(export.destination(Signal::Traces).url, "http://localhost:4318/v1/traces");
        export.traces.protocol = None;
        export.traces.endpoint = Some("https://traces.example.com".parse().unwrap());
        let traces = "https://traces.example.com/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        assert_eq!(export.destination(Signal::Traces).url, traces);
    }

    #[test]
    fn tls_files_are_taken_one_by_one() {
        let mut export = Export::default();
        export.tls.ca_file = Some(PathBuf::from("/ca"));
        export.tls.key_file = Some(PathBuf::from("/key"));
        export.logs.tls.key_file = Some(PathBuf::from("/logs-key"));
        let tls = export.destination(Signal::Logs).tls;
        assert_eq!((tls.ca_file, tls.key_file), (Some("/ca".into()), Some("/logs-key".into())));
        assert_eq!(export.destination(Signal::Traces).tls, export.tls);
    }
}
