//! Settings of the export, resolved for one signal.

use super::endpoint::Endpoint;
use super::model::{Config, Export, Protocol, SignalExport, SignalExporter, Tls};
use crate::export::destination::Destination;
use crate::export::service::Service;

impl Config {
    /// The settings of the export as they hold for the agent's own metrics and log lines.
    ///
    /// They go where the data goes. `telemetry.endpoint` and `.headers` take the place of what is common to all signals,
    /// and of what is set for the drops' log records: those headers may be secrets of another receiver. What is set for
    /// metrics wins over both.
    pub fn own_export(&self) -> Export {
        let own = &self.telemetry;
        let mut export = self.export.clone();
        export.logs.exporter = if own.otlp_logs { SignalExporter::Otlp } else { SignalExporter::None };
        export.protocol = own.protocol.unwrap_or(export.protocol);
        if own.endpoint.is_some() || !own.headers.is_empty() {
            export.headers = own.headers.clone();
            export.headers_file = None;
            export.logs.headers = None;
            export.logs.headers_file = None;
        }
        if own.endpoint.is_some() {
            export.endpoint = own.endpoint.clone();
            export.logs = SignalExport { exporter: export.logs.exporter, ..SignalExport::default() };
        }
        export
    }
}

impl Export {
    /// What is set for one signal alone.
    pub fn of(&self, service: Service) -> &SignalExport {
        match service {
            Service::Logs => &self.logs,
            Service::Traces => &self.traces,
            Service::Metrics => &self.metrics,
        }
    }

    /// Where a signal goes: what is set for it alone wins over what is set for all signals, one setting at a time, headers
    /// and their file as one.
    ///
    /// Over HTTP an endpoint of the signal's own is used as it is, the common one gets `v1/logs` and the like appended
    /// (OpenTelemetry specification, "OTLP Exporter Configuration", "Endpoint URLs for OTLP/HTTP"). For gRPC each gets the
    /// path of the signal's service.
    pub fn destination(&self, service: impl Into<Service>) -> Destination {
        let service = service.into();
        let own = self.of(service);
        let protocol = own.protocol.unwrap_or(self.protocol);
        let common = || self.endpoint.clone().unwrap_or_else(|| Endpoint::customary(protocol));
        let url = match (&own.endpoint, protocol) {
            (Some(own), Protocol::HttpProtobuf | Protocol::HttpJson) => own.as_uri().clone(),
            (Some(own), Protocol::Grpc) => own.join(service.grpc_path()),
            (None, Protocol::HttpProtobuf | Protocol::HttpJson) => common().join(service.http_path()),
            (None, Protocol::Grpc) => common().join(service.grpc_path()),
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::headers;
    use crate::config::model::Compression;
    use crate::export::Signal;
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

    #[test]
    fn own_telemetry_goes_where_the_data_goes_unless_it_has_a_place_of_its_own() {
        let mut config = Config::default();
        config.export.protocol = Protocol::Grpc;
        config.export.headers = headers::parse("x-api-key=secret").unwrap();
        config.export.logs.headers_file = Some("/secret".into());
        let metrics = |config: &Config| config.own_export().destination(Service::Metrics);
        let logs = |config: &Config| config.own_export().destination(Service::Logs);
        assert_eq!(metrics(&config), config.export.destination(Service::Metrics));
        assert_eq!(metrics(&config).url.port_u16(), Some(4317));
        assert_eq!(logs(&config), config.export.destination(Service::Logs));

        config.telemetry.endpoint = Some("https://watch.example.com/otlp".parse().unwrap());
        config.telemetry.protocol = Some(Protocol::HttpJson);
        let apart = [metrics(&config), logs(&config)];
        assert_eq!(apart[0].url, "https://watch.example.com/otlp/v1/metrics");
        assert_eq!(apart[1].url, "https://watch.example.com/otlp/v1/logs");
        for destination in apart {
            assert_eq!(destination.protocol, Protocol::HttpJson);
            assert!(destination.headers.is_empty(), "the data's secrets are not for others");
            assert_eq!(destination.headers_file, None);
        }
        config.telemetry.headers = headers::parse("own=1").unwrap();
        assert_eq!(logs(&config).headers, config.telemetry.headers);
        config.export.metrics.endpoint = Some("http://metrics.example.com/in".parse().unwrap());
        assert_eq!(metrics(&config).url, "http://metrics.example.com/in", "the most specific wins");
    }

    #[test]
    fn own_log_lines_are_sent_only_if_they_are_asked_for() {
        let mut config = Config::default();
        assert_eq!(config.own_export().logs.exporter, SignalExporter::None);
        config.telemetry.otlp_logs = true;
        config.export.logs.exporter = SignalExporter::None;
        assert_eq!(config.own_export().logs.exporter, SignalExporter::Otlp, "drops are another matter");
    }
}
