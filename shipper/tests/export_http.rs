//! The export against a server with scripted answers.
#![allow(clippy::unwrap_used)]

mod export_receiver;

use export_receiver::{ANY, OK, Receiver, Reply, closed_address, destination, request, transport};
use http::HeaderValue;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use prost::Message;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tcpdrop_otel::config::model::{Compression, Protocol};
use tcpdrop_otel::export::Signal;
use tcpdrop_otel::export::answer::Answer;
use tcpdrop_otel::export::send::{Exporter, Transport};
use tcpdrop_otel::export::spool::Spool;
use tcpdrop_otel::export::spool::memory::MemorySpool;
use tcpdrop_otel::ledger::{KernelCounts, Ledger};

const ACCEPTED: Answer = Answer::Accepted { rejected: 0, message: None };

async fn answer_to(reply: Reply) -> Answer {
    let receiver = Receiver::start(ANY, [reply]).await;
    let transport = transport(destination(format!("http://{}/v1/logs", receiver.address)));
    transport.send(&request(Signal::Logs, "body", 3, 5)).await
}

fn why(answer: &Answer) -> &str {
    match answer {
        Answer::Retry { why, .. } | Answer::Refused { why } => why,
        Answer::Accepted { .. } => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn a_request_is_what_otlp_asks_for_and_connections_are_kept() {
    let receiver = Receiver::start(ANY, []).await;
    let mut destination = destination(format!("http://{}/v1/logs", receiver.address));
    destination.headers.insert("x-scope-orgid", HeaderValue::from_static("tenant"));
    let transport = transport(destination);
    let body = b"encoded ".repeat(5_000);
    for _ in 0..3 {
        assert_eq!(transport.send(&request(Signal::Logs, body.clone(), 1, 1)).await, ACCEPTED);
    }
    let received = receiver.received();
    assert_eq!(received.len(), 3);
    for request in &received {
        assert_eq!(request.connection, 0, "one connection serves all");
        assert!(request.head.starts_with("post /v1/logs http/1.1\r\n"), "{}", request.head);
        for header in [
            "content-type: application/x-protobuf\r\n",
            "content-encoding: gzip\r\n",
            concat!("user-agent: tcpdrop-otel/", env!("CARGO_PKG_VERSION"), " "),
            "x-scope-orgid: tenant\r\n",
            &format!("host: {}\r\n", receiver.address),
        ] {
            assert!(request.head.contains(header), "{header} is not in {}", request.head);
        }
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&request.body[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, body);
    }
}

#[tokio::test]
async fn without_compression_the_body_goes_as_it_is() {
    let receiver = Receiver::start(ANY, []).await;
    let mut destination = destination(format!("http://{}/v1/traces", receiver.address));
    destination.compression = Compression::None;
    transport(destination).send(&request(Signal::Traces, "plain", 1, 0)).await;
    assert_eq!(receiver.received()[0].body, b"plain");
    assert!(!receiver.received()[0].head.contains("content-encoding"));
}

#[tokio::test]
async fn json_is_made_when_it_is_sent() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let body = br#"{"partialSuccess":{"rejectedLogRecords":"1"}}"#.to_vec();
    let receiver = Receiver::start(ANY, [Reply::Answer(head, body)]).await;
    let mut destination = destination(format!("http://{}/v1/logs", receiver.address));
    (destination.protocol, destination.compression) = (Protocol::HttpJson, Compression::None);
    let transport = transport(destination);
    let encoded = ExportLogsServiceRequest { resource_logs: vec![ResourceLogs::default()] }.encode_to_vec();
    let answer = transport.send(&request(Signal::Logs, encoded, 1, 1)).await;
    assert_eq!(answer, Answer::Accepted { rejected: 1, message: None });
    let received = receiver.received();
    assert_eq!(received[0].body, br#"{"resourceLogs":[{}]}"#);
    assert!(received[0].head.contains("content-type: application/json\r\n"), "{}", received[0].head);

    let answer = transport.send(&request(Signal::Logs, "not protobuf", 1, 1)).await;
    assert!(matches!(answer, Answer::Refused { .. }), "it would never become JSON: {answer:?}");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn partial_success_is_read() {
    let partial = ExportLogsPartialSuccess { rejected_log_records: 2, error_message: "too old".to_owned() };
    let body = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n";
    let expected = Answer::Accepted { rejected: 2, message: Some("too old".to_owned()) };
    assert_eq!(answer_to(Reply::Answer(head, body)).await, expected);
}

#[tokio::test]
async fn busy_receivers_say_when() {
    let head = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\n";
    let answer = answer_to(Reply::Answer(head, Vec::new())).await;
    let Answer::Retry { after, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_bad_request_is_refused_with_the_receivers_words() {
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n";
    let answer = answer_to(Reply::Answer(head, b"request body too large".to_vec())).await;
    assert!(matches!(answer, Answer::Refused { .. }));
    assert_eq!(why(&answer), r#"HTTP 400 Bad Request, "request body too large""#);
}

#[tokio::test]
async fn an_endless_response_is_cut_off() {
    let head = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain\r\n";
    let answer = answer_to(Reply::Endless(head)).await;
    assert!(why(&answer).starts_with("HTTP 500") && why(&answer).len() < 400, "{answer:?}");
}

#[tokio::test]
async fn a_receiver_that_hangs_or_hangs_up_gets_the_request_again() {
    let receiver = Receiver::start(ANY, [Reply::Hang]).await;
    let mut slow = destination(format!("http://{}/v1/logs", receiver.address));
    slow.timeout = Duration::from_millis(50);
    let answer = transport(slow).send(&request(Signal::Logs, "body", 1, 1)).await;
    assert_eq!(why(&answer), "no answer within 50ms (export.timeout)");
    assert!(matches!(answer, Answer::Retry { .. }));
    assert!(matches!(answer_to(Reply::Close).await, Answer::Retry { .. }));
}

#[tokio::test]
async fn an_absent_receiver_is_named() {
    let closed = closed_address().await;
    let transport = transport(destination(format!("http://{closed}/v1/logs")));
    let answer = transport.send(&request(Signal::Logs, "body", 1, 1)).await;
    assert!(matches!(answer, Answer::Retry { .. }));
    assert_eq!(why(&answer), format!("no connection to {closed}: connection refused, nothing listens there"));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_named() {
    // Not a valid name, so that no name server is asked.
    let transport = transport(destination("http://bad..name:4318/v1/logs".to_owned()));
    let answer = transport.send(&request(Signal::Logs, "body", 1, 1)).await;
    assert!(why(&answer).starts_with("the name bad..name cannot be resolved: "), "{answer:?}");
}

/// Waits for `reached`, bounded so that a failure ends.
async fn until(reached: impl Fn() -> bool) {
    let wait = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("reached");
}

#[tokio::test]
async fn what_waited_for_the_receiver_is_delivered_in_order_and_once() {
    let address = closed_address().await;
    let ledger = Arc::new(Ledger::default());
    let spool = Arc::new(MemorySpool::new(1 << 20, Arc::clone(&ledger)));
    let to = |path| transport(destination(format!("http://{address}{path}")));
    let exporter = Exporter::start(Arc::clone(&spool) as Arc<dyn Spool>, to("/v1/logs"), to("/v1/traces"), 7);
    ledger.received(6);
    for body in ["one", "two", "three"] {
        spool.push(request(Signal::Logs, body, 1, 2));
    }
    until(|| exporter.states().snapshot().logs.retries > 0).await;
    let receiver = Receiver::start(address, [OK]).await;
    until(|| ledger.snapshot(KernelCounts::default, 0).delivered.drops == 6).await;
    exporter.flush(Duration::from_secs(1)).await;
    let received = receiver.received();
    let bodies = received.iter().map(|request| {
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&request.body[..]).read_to_string(&mut unpacked).unwrap();
        unpacked
    });
    assert_eq!(bodies.collect::<Vec<_>>(), ["one", "two", "three"]);
}
