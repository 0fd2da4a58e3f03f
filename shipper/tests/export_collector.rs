//! The export against a real Collector.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod export_receiver;
mod skip;

use export_receiver::{closed_address, destination, request, transport};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tcpdrop_otel::config::model::Compression;
use tcpdrop_otel::export::Signal;
use tcpdrop_otel::export::answer::Answer;
use tcpdrop_otel::export::send::{Exporter, Transport};
use tcpdrop_otel::export::spool::memory::MemorySpool;
use tcpdrop_otel::export::spool::{Evicted, Spool};
use tcpdrop_otel::ledger::{KernelCounts, Ledger};
use tokio::process::{Child, Command};

fn collector_binary() -> Option<PathBuf> {
    let cache = std::env::var_os("TCPDROP_TEST_CACHE").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cache/tcpdrop-otel"))
    })?;
    Some(cache.join("bin/otelcol")).filter(|binary| binary.is_file())
}

struct Collector {
    process: Child,
    address: SocketAddr,
    output: PathBuf,
    _folder: tempfile::TempDir,
}

/// Largest request body that the test's Collector takes.
const MAX_BODY: usize = 4_096;

impl Collector {
    async fn start() -> Option<Self> {
        let Some(binary) = collector_binary() else {
            skip::skip("no Collector in the cache; tests/collector/build.sh builds it");
            return None;
        };
        let (folder, address) = (tempfile::tempdir().unwrap(), closed_address().await);
        let (output, config) = (folder.path().join("logs.json"), folder.path().join("collector.yaml"));
        let settings = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: '{address}', max_request_body_size: {MAX_BODY}}}}}}}}}\n\
             exporters: {{file: {{path: '{}'}}}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines: {{logs: {{receivers: [otlp], exporters: [file]}}}}\n",
            output.display()
        );
        std::fs::write(&config, settings).unwrap();
        let process = Command::new(binary)
            .arg("--config")
            .arg(config)
            .stderr(std::fs::File::create(folder.path().join("collector.log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut collector = Self { process, address, output, _folder: folder };
        collector.listening().await;
        Some(collector)
    }

    async fn listening(&mut self) {
        let connect = || tokio::net::TcpStream::connect(self.address);
        let listens = async {
            while connect().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), listens).await.expect("the Collector listens");
    }

    /// What the Collector wrote, one JSON document a line, once it has `records` of them.
    async fn written(&self, records: usize) -> String {
        let written = async {
            loop {
                let text = std::fs::read_to_string(&self.output).unwrap_or_default();
                if text.matches("\"timeUnixNano\"").count() >= records {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), written).await.expect("the Collector writes")
    }
}

fn encoded(body: &str) -> Vec<u8> {
    let record = LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000,
        body: Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
        ..LogRecord::default()
    };
    let scope = ScopeLogs { log_records: vec![record], ..ScopeLogs::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec()
}

#[tokio::test]
async fn a_log_record_arrives_and_bad_requests_are_refused_with_a_reason() {
    let Some(mut collector) = Collector::start().await else { return };
    let url = |path| format!("http://{}{path}", collector.address);

    let ledger = Arc::new(Ledger::default());
    let spool = Arc::new(MemorySpool::new(1 << 20, Arc::clone(&ledger)));
    let (logs, traces) = (transport(destination(url("/v1/logs"))), transport(destination(url("/v1/traces"))));
    let exporter = Exporter::start(Arc::clone(&spool) as Arc<dyn Spool>, logs.clone(), traces.clone(), 1);
    ledger.received(12);
    spool.push(request(Signal::Logs, encoded("NO_SOCKET: a drop"), 1, 12));
    assert_eq!(exporter.flush(Duration::from_secs(30)).await, Evicted::default());
    let snapshot = ledger.snapshot(KernelCounts::default, 0);
    assert_eq!((snapshot.delivered.records, snapshot.delivered.drops), (1, 12));
    let written = collector.written(1).await;
    assert!(written.contains(r#""body":{"stringValue":"NO_SOCKET: a drop"}"#), "{written}");

    let answer = logs.send(&request(Signal::Logs, "not protobuf", 1, 1)).await;
    println!("not protobuf: {answer:?}");
    assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");

    let mut plain = destination(url("/v1/logs"));
    plain.compression = Compression::None;
    let answer = transport(plain).send(&request(Signal::Logs, encoded(&"x".repeat(MAX_BODY)), 1, 1)).await;
    println!("too large: {answer:?}");
    assert!(matches!(&answer, Answer::Refused { why } if why.contains("too large")), "{answer:?}");

    let answer = traces.send(&request(Signal::Traces, "", 1, 0)).await;
    println!("no such pipeline: {answer:?}");
    assert!(matches!(&answer, Answer::Refused { why } if why.contains("404")), "{answer:?}");

    collector.process.kill().await.unwrap();
    let answer = logs.send(&request(Signal::Logs, encoded("later"), 1, 1)).await;
    println!("gone: {answer:?}");
    assert!(matches!(answer, Answer::Retry { .. }), "{answer:?}");
}
