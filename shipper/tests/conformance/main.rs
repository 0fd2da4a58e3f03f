//! The same drops through our export and through `opentelemetry-otlp`'s, compared as a real Collector received them.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod differences;
#[allow(dead_code)]
#[path = "../export_receiver/mod.rs"]
mod export_receiver;
mod metrics;
#[allow(dead_code)]
#[path = "../golden/reports.rs"]
mod reports;
mod sdk;

use differences::{Difference, between, sort_resource_attributes};
use export_receiver::closed_address;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tcpdrop_otel::config::model::{Compression, Export, Level, Protocol, SeverityRule, SpanEvents};
use tcpdrop_otel::export::answer::Answer;
use tcpdrop_otel::export::connector::NoRegistry;
use tcpdrop_otel::export::route::Route;
use tcpdrop_otel::export::send::Transport;
use tcpdrop_otel::export::service::Service;
use tcpdrop_otel::export::transport::OtlpTransport;
use tcpdrop_otel::otlp::encode::{Exported, encode};
use tcpdrop_otel::otlp::resource::{HostView, observed_host};
use tcpdrop_otel::otlp::severity::Policy;
use tcpdrop_otel::otlp::{Entry, logs, spans};
use tokio::process::{Child, Command};

/// What may differ, and why: path, ours, theirs, reason.
const ALLOWED: [(&str, &str, &str, &str); 1] = [(
    "resourceSpans.scopeSpans.spans.flags",
    "1",
    "257",
    "bit 8 says that it is known whether the parent is remote; our root span has no parent to say it of",
)];

struct Collector {
    _process: Child,
    http: SocketAddr,
    grpc: SocketAddr,
    folder: tempfile::TempDir,
}

fn binary() -> Option<PathBuf> {
    let cache = std::env::var_os("TCPDROP_TEST_CACHE").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cache/tcpdrop-otel"))
    })?;
    Some(cache.join("bin/otelcol")).filter(|binary| binary.is_file())
}

impl Collector {
    async fn start() -> Option<Self> {
        let Some(binary) = binary() else {
            println!("skipped: no Collector in the cache; tests/collector/build.sh builds it");
            return None;
        };
        let (http, grpc) = (closed_address().await, closed_address().await);
        let folder = tempfile::tempdir().unwrap();
        let (config, output) = (folder.path().join("collector.yaml"), folder.path().display());
        let settings = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: '{http}'}}, grpc: {{endpoint: '{grpc}'}}}}}}}}\n\
             exporters:\n  file/logs: {{path: {output}/logs.json, flush_interval: 20ms}}\n  \
             file/traces: {{path: {output}/traces.json, flush_interval: 20ms}}\n  \
             file/metrics: {{path: {output}/metrics.json, flush_interval: 20ms}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    \
             logs: {{receivers: [otlp], exporters: [file/logs]}}\n    \
             traces: {{receivers: [otlp], exporters: [file/traces]}}\n    \
             metrics: {{receivers: [otlp], exporters: [file/metrics]}}\n"
        );
        std::fs::write(&config, settings).unwrap();
        let log = std::fs::File::create(folder.path().join("collector.log")).unwrap();
        let process =
            Command::new(binary).arg("--config").arg(config).stderr(log).kill_on_drop(true).spawn().unwrap();
        let collector = Self { _process: process, http, grpc, folder };
        collector.file_has("collector.log", |text| text.contains("Everything is ready")).await;
        Some(collector)
    }

    /// Our way to it.
    fn route(&self, protocol: Protocol, compression: Compression, service: impl Into<Service>) -> Route {
        let address = if protocol == Protocol::Grpc { self.grpc } else { self.http };
        let endpoint = Some(format!("http://{address}").parse().unwrap());
        let export = Export { protocol, compression, endpoint, ..Export::default() };
        Route::of(&export, service).unwrap().unwrap()
    }

    /// The text of a file, once it is as it should be; bounded, so that a failure ends.
    async fn file_has(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        let path = self.folder.path().join(name);
        let read = async {
            loop {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                if wanted(&text) {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, read).await.unwrap_or_else(|_| panic!("{name} is not as it should be"))
    }

    /// What the Collector wrote about the `number`th request of a signal, from 1.
    async fn received(&self, service: Service, number: usize) -> Value {
        let text =
            self.file_has(&format!("{service}.json"), |text| text.matches('\n').count() >= number).await;
        let mut document = serde_json::from_str(text.lines().nth(number - 1).unwrap()).unwrap();
        sort_resource_attributes(&mut document);
        document
    }
}

fn policy() -> Policy {
    Policy::new(&[SeverityRule {
        reasons: vec!["NO_SOCKET".to_owned()],
        classes: Vec::new(),
        level: Level::Info,
    }])
}

fn log_records() -> Vec<LogRecord> {
    let drops = reports::drops().into_iter().map(|(_, report)| logs::drop_record(&report, &policy(), 7));
    let totals = reports::suppressed();
    let totals = totals.into_iter().map(|(_, report)| logs::suppressed_record(&report, &policy(), 7));
    drops.chain(totals).map(|entry| entry.message).collect()
}

fn span() -> Span {
    spans::group_span(&reports::group(), &policy(), SpanEvents::Full).message
}

/// Sends each message by our export, in a request of its own.
async fn send<T: Exported>(
    collector: &Collector,
    protocol: Protocol,
    compression: Compression,
    resource: &Arc<Resource>,
    messages: Vec<T>,
) {
    let transport =
        OtlpTransport::new(collector.route(protocol, compression, T::SIGNAL), Arc::new(NoRegistry));
    for message in messages {
        let entry = Entry { message, contents: Default::default() };
        for request in encode(vec![(Arc::clone(resource), entry)]) {
            let answer = transport.send(&request).await;
            assert_eq!(answer, Answer::Accepted { rejected: 0, message: None }, "{protocol:?}");
        }
    }
}

/// Each protocol, with gzip and without.
fn ways() -> Vec<(Protocol, Compression)> {
    [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson]
        .into_iter()
        .flat_map(|protocol| [(protocol, Compression::Gzip), (protocol, Compression::None)])
        .collect()
}

fn allowed(difference: &Difference) -> bool {
    ALLOWED.iter().any(|(path, ours, theirs, _)| {
        difference.path == *path && difference.ours == *ours && difference.theirs == *theirs
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_is_what_the_sdk_s_exporters_send_but_for_the_listed_differences() {
    let Some(collector) = Collector::start().await else { return };
    let resource = Arc::new(observed_host(&HostView::default(), Some("shop"), &BTreeMap::new()));
    let (records, span) = (log_records(), span());

    let http = format!("http://{}", collector.http);
    let sdk = [
        sdk::Exporters::grpc(&format!("http://{}", collector.grpc), &resource),
        sdk::Exporters::http(opentelemetry_otlp::Protocol::HttpBinary, &http, &resource),
        sdk::Exporters::http(opentelemetry_otlp::Protocol::HttpJson, &http, &resource),
    ];
    for exporters in &sdk {
        for record in &records {
            exporters.send_log(record).await;
        }
        exporters.send_span(&span).await;
    }
    let ways = ways();
    for (protocol, compression) in &ways {
        send(&collector, *protocol, *compression, &resource, records.clone()).await;
        send(&collector, *protocol, *compression, &resource, vec![span.clone()]).await;
    }

    let mut found = BTreeSet::new();
    for their_way in 0..sdk.len() {
        for our_way in 0..ways.len() {
            let number = |way: usize, requests: usize, index: usize| way * requests + index + 1;
            for index in 0..records.len() {
                let of = |way| collector.received(Service::Logs, number(way, records.len(), index));
                found.extend(between(&of(sdk.len() + our_way).await, &of(their_way).await));
            }
            let of = |way| collector.received(Service::Traces, number(way, 1, 0));
            found.extend(between(&of(sdk.len() + our_way).await, &of(their_way).await));
        }
    }
    let unlisted: Vec<_> = found.iter().filter(|difference| !allowed(difference)).collect();
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    assert_eq!(found.len(), ALLOWED.len(), "a listed difference is gone: {found:#?}");
}
