//! The real Collector: OTLP in, files out.

use crate::netns::Namespace;
use crate::otlp_json::{self, LogRecord, Point, Span};
use crate::ports;
use crate::process::Process;
use crate::wait::{PATIENCE, poll, wait_for};
use rustix::process::Signal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The folder that `tests/setup.sh` builds into.
pub const CACHE: &str = "TCPDROP_TEST_CACHE";

/// The Collector's program, whether it is there or not.
pub fn binary() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let cache = std::env::var_os(CACHE).map_or_else(|| home().join(".cache/tcpdrop-otel"), PathBuf::from);
    cache.join("bin/otelcol")
}

/// The command that runs the Collector with these configuration files, later ones over earlier ones.
pub fn command(configs: &[&Path]) -> Command {
    let mut command = Command::new(binary());
    command.args(configs.iter().flat_map(|config| ["--config".as_ref(), config.as_os_str()]));
    command
}

/// Whether the Collector that printed `output` takes requests. Its own word: knocking until it opens would be drops.
pub fn is_ready(output: &str) -> bool {
    output.contains("Everything is ready")
}

/// A Collector with ports and files of its own. It can be stopped and started again; the files go on.
#[derive(Debug)]
pub struct Collector {
    directory: TempDir,
    http: SocketAddr,
    grpc: SocketAddr,
    process: Option<Process>,
}

impl Collector {
    /// Starts one on 127.0.0.1 and waits until it takes requests.
    pub fn start() -> Self {
        let mut collector = Self::stopped();
        collector.restart(None);
        collector
    }

    /// One that does not run yet: nobody listens at its endpoints on 127.0.0.1.
    pub fn stopped() -> Self {
        Self::stopped_at(Ipv4Addr::LOCALHOST.into())
    }

    /// The same with endpoints at another address.
    pub fn stopped_at(address: IpAddr) -> Self {
        let directory = tempfile::tempdir().expect("make a folder");
        let http = SocketAddr::new(address, ports::free());
        let grpc = SocketAddr::new(address, ports::free());
        std::fs::write(directory.path().join("config.yaml"), config(http, grpc, directory.path()))
            .expect("write the Collector's configuration");
        Self { directory, http, grpc, process: None }
    }

    /// Starts it, inside `namespace` if one is given, and waits until it takes requests.
    pub fn restart(&mut self, namespace: Option<&Namespace>) {
        self.kill();
        let output = self.directory.path().join("output.txt");
        // Of an earlier start; a file that is not there is as good.
        let _ = std::fs::remove_file(&output);
        let config = self.directory.path().join("config.yaml");
        let process = self.process.insert(Process::start(command(&[&config]), namespace, &output));
        let ready = poll(PATIENCE, || is_ready(&process.output()).then_some(()));
        assert!(ready.is_some(), "the Collector does not start:\n{}", process.output());
    }

    /// Ends it in good order; what it took is in its files afterwards.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            process.wait(PATIENCE);
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Address of OTLP/HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Address of OTLP/gRPC.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Base URL of OTLP/HTTP.
    pub fn http_endpoint(&self) -> String {
        format!("http://{}", self.http)
    }

    /// All log records that it wrote so far.
    pub fn records(&self) -> Vec<LogRecord> {
        otlp_json::log_records(&self.file("logs.jsonl"))
    }

    /// All spans that it wrote so far.
    pub fn spans(&self) -> Vec<Span> {
        otlp_json::spans(&self.file("traces.jsonl"))
    }

    /// The points of the metric `name` in the last request of metrics that has it.
    pub fn metric(&self, name: &str) -> Vec<Point> {
        otlp_json::last_points(&self.file("metrics.jsonl"), name)
    }

    /// Waits until the records that `select` picks stand for `count` drops, and gives them.
    ///
    /// # Panics
    /// If they stand for more, or do not come.
    pub fn records_for(&self, count: u64, select: impl Fn(&LogRecord) -> bool) -> Vec<LogRecord> {
        wait_for(&format!("records of {count} drops"), || {
            let records: Vec<_> = self.records().into_iter().filter(&select).collect();
            let sum: u64 = records.iter().map(LogRecord::count).sum();
            assert!(sum <= count, "records of {sum} drops where there were {count}: {records:#?}");
            (sum == count).then_some(records)
        })
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }
}

fn config(http: SocketAddr, grpc: SocketAddr, directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "receivers:
  otlp:
    protocols:
      http: {{endpoint: '{http}'}}
      grpc: {{endpoint: '{grpc}'}}
exporters:
  file/logs: {{path: {directory}/logs.jsonl, append: true, flush_interval: 50ms}}
  file/traces: {{path: {directory}/traces.jsonl, append: true, flush_interval: 50ms}}
  file/metrics: {{path: {directory}/metrics.jsonl, append: true, flush_interval: 50ms}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    logs: {{receivers: [otlp], exporters: [file/logs]}}
    traces: {{receivers: [otlp], exporters: [file/traces]}}
    metrics: {{receivers: [otlp], exporters: [file/metrics]}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;
    use crate::require;

    const RECORD: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"tcpdrop.packet.dropped",
        "attributes":[{"key":"tcpdrop.count","value":{"intValue":"3"}}]}]}]}]}"#;

    fn post(collector: &Collector) -> u16 {
        http::post_json(collector.http(), "/v1/logs", RECORD).expect("post a record").status
    }

    #[test]
    fn a_posted_record_is_read_back_also_after_a_crash_and_a_restart() {
        require!(Collector);
        let mut collector = Collector::start();
        assert_eq!(post(&collector), 200);
        collector.records_for(3, |record| record.event_name == "tcpdrop.packet.dropped");
        collector.kill();
        assert!(http::post_json(collector.http(), "/v1/logs", RECORD).is_err());
        collector.restart(None);
        assert_eq!(post(&collector), 200);
        assert_eq!(collector.records_for(6, |_| true).len(), 2);
        collector.stop();
        assert_eq!(collector.records().len(), 2);
    }

    #[test]
    fn it_can_listen_inside_a_namespace() {
        require!(Root, Tool("ip"), Collector);
        let pair = crate::netns::VethPair::new();
        let mut collector = Collector::stopped_at(pair.server.v4.into());
        collector.restart(Some(&pair.server));
        assert_eq!(pair.client.run(|| post(&collector)), 200);
        collector.records_for(3, |_| true);
    }
}
