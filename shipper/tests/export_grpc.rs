//! The export against a gRPC server with scripted answers.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod export_receiver;

use bytes::Bytes;
use export_receiver::{ANY, Receiver, Reply, closed_address, destination, request, transport};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tcpdrop_otel::config::model::{Compression, Protocol};
use tcpdrop_otel::export::Signal;
use tcpdrop_otel::export::answer::Answer;
use tcpdrop_otel::export::destination::Destination;
use tcpdrop_otel::export::send::Transport;
use tokio::net::TcpListener;

/// What to do with a call.
enum Script {
    /// A message, then the status.
    Answer(Vec<u8>, &'static [(&'static str, &'static str)]),
    /// The status alone, as gRPC servers refuse.
    HeadersOnly(&'static [(&'static str, &'static str)]),
    /// An answer of something else, such as a proxy.
    Http(StatusCode),
    /// Nothing, ever.
    Hang,
}

struct Call {
    path: String,
    headers: HeaderMap,
    body: Bytes,
    connection: usize,
}

#[derive(Clone)]
struct Server {
    address: SocketAddr,
    script: Arc<Mutex<VecDeque<Script>>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Server {
    /// After the script, all is accepted.
    async fn start(script: impl IntoIterator<Item = Script>) -> Self {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            calls: Arc::default(),
        };
        let served = server.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let served = served.clone();
                let service = service_fn(move |call| {
                    let served = served.clone();
                    async move { Ok::<_, Infallible>(served.answer(call, connection).await) }
                });
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        server
    }

    async fn answer(
        &self,
        call: http::Request<Incoming>,
        connection: usize,
    ) -> Response<BoxBody<Bytes, Infallible>> {
        let (head, body) = call.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let path = head.uri.path().to_owned();
        self.calls.lock().unwrap().push(Call { path, headers: head.headers, body, connection });
        let script = self.script.lock().unwrap().pop_front();
        match script.unwrap_or(Script::Answer(Vec::new(), &[("grpc-status", "0")])) {
            Script::Answer(message, status) => {
                let length = u32::try_from(message.len()).unwrap().to_be_bytes();
                let message = Bytes::from([&[0][..], &length, &message].concat());
                let frames = [Ok(Frame::data(message)), Ok(Frame::trailers(headers(status)))];
                Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed())
            }
            Script::HeadersOnly(status) => {
                let mut response = Response::new(Full::new(Bytes::new()).boxed());
                *response.headers_mut() = headers(status);
                response
            }
            Script::Http(status) => {
                let mut response = Response::new(Full::new(Bytes::from_static(b"a page")).boxed());
                *response.status_mut() = status;
                response
            }
            Script::Hang => std::future::pending().await,
        }
    }

    fn destination(&self, signal: &str) -> Destination {
        grpc(format!("http://{}/{signal}Service/Export", self.address))
    }
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

fn grpc(url: String) -> Destination {
    Destination { protocol: Protocol::Grpc, ..destination(url) }
}

async fn answer_to(script: Script) -> Answer {
    let server = Server::start([script]).await;
    transport(server.destination("Logs")).send(&request(Signal::Logs, "body", 3, 5)).await
}

fn why(answer: &Answer) -> &str {
    match answer {
        Answer::Retry { why, .. } | Answer::Refused { why } => why,
        Answer::Accepted { .. } => panic!("{answer:?}"),
    }
}

const ACCEPTED: Answer = Answer::Accepted { rejected: 0, message: None };

#[tokio::test]
async fn a_call_is_what_grpc_asks_for_and_the_connection_is_kept() {
    let server = Server::start([]).await;
    let mut destination = server.destination("Logs");
    destination.headers.insert("x-scope-orgid", HeaderValue::from_static("tenant"));
    let transport = transport(destination);
    let body = b"encoded ".repeat(50_000);
    for _ in 0..3 {
        assert_eq!(transport.send(&request(Signal::Logs, body.clone(), 1, 1)).await, ACCEPTED);
    }
    let calls = server.calls.lock().unwrap();
    assert_eq!(calls.len(), 3);
    for call in calls.iter() {
        assert_eq!(call.connection, 0, "one connection serves all");
        assert_eq!(call.path, "/LogsService/Export");
        for (name, value) in [
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-encoding", "gzip"),
            ("grpc-timeout", "10000m"),
            ("x-scope-orgid", "tenant"),
        ] {
            assert_eq!(call.headers[name], value);
        }
        assert!(call.headers["user-agent"].to_str().unwrap().starts_with("tcpdrop-otel/"));
        let (prefix, packed) = call.body.split_at(5);
        assert_eq!(prefix[0], 1);
        assert_eq!(prefix[1..], u32::try_from(packed.len()).unwrap().to_be_bytes());
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, body);
    }
}

#[tokio::test]
async fn without_compression_the_message_goes_as_it_is() {
    let server = Server::start([]).await;
    let plain = Destination { compression: Compression::None, ..server.destination("Trace") };
    transport(plain).send(&request(Signal::Traces, "plain", 1, 0)).await;
    let calls = server.calls.lock().unwrap();
    assert_eq!(calls[0].body, b"\0\0\0\0\x05plain"[..]);
    assert!(!calls[0].headers.contains_key("grpc-encoding"));
}

#[tokio::test]
async fn partial_success_is_read() {
    let partial = ExportLogsPartialSuccess { rejected_log_records: 2, error_message: "too old".to_owned() };
    let message = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let expected = Answer::Accepted { rejected: 2, message: Some("too old".to_owned()) };
    assert_eq!(answer_to(Script::Answer(message, &[("grpc-status", "0")])).await, expected);
}

/// `google.rpc.Status` with the code 8 and a `RetryInfo` of seven seconds, as other implementations write it.
const SEVEN_SECONDS: &str = "CAgaMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIBw";

#[tokio::test]
async fn failures_come_in_trailers_and_in_headers() {
    let unavailable: &[_] = &[("grpc-status", "14"), ("grpc-message", "no%20space")];
    for script in [Script::Answer(Vec::new(), unavailable), Script::HeadersOnly(unavailable)] {
        let answer = answer_to(script).await;
        let why = r#"gRPC status UNAVAILABLE, "no space""#.to_owned();
        assert_eq!(answer, Answer::Retry { after: None, why });
    }
    let answer = answer_to(Script::HeadersOnly(&[("grpc-status", "3"), ("grpc-message", "bad")])).await;
    assert_eq!(answer, Answer::Refused { why: r#"gRPC status INVALID_ARGUMENT, "bad""#.to_owned() });
    let answer = answer_to(Script::HeadersOnly(&[("grpc-status", "8")])).await;
    assert!(matches!(answer, Answer::Refused { .. }), "no RetryInfo: {answer:?}");
}

#[tokio::test]
async fn a_full_receiver_says_when() {
    let status: &[_] = &[("grpc-status", "8"), ("grpc-status-details-bin", SEVEN_SECONDS)];
    let answer = answer_to(Script::HeadersOnly(status)).await;
    let Answer::Retry { after, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(after, Some(Duration::from_secs(7)));
    // Broken details are no reason to fall over.
    let status: &[_] = &[("grpc-status", "14"), ("grpc-status-details-bin", "%%%")];
    assert!(matches!(answer_to(Script::HeadersOnly(status)).await, Answer::Retry { after: None, .. }));
}

#[tokio::test]
async fn what_a_proxy_says_counts_as_over_http() {
    assert!(matches!(answer_to(Script::Http(StatusCode::BAD_GATEWAY)).await, Answer::Retry { .. }));
    assert!(matches!(answer_to(Script::Http(StatusCode::FORBIDDEN)).await, Answer::Refused { .. }));
    let page = answer_to(Script::Http(StatusCode::OK)).await;
    assert!(matches!(page, Answer::Retry { .. }), "{page:?}");
    assert!(why(&page).contains("not an OTLP/gRPC receiver"), "{page:?}");
}

#[tokio::test]
async fn a_receiver_that_hangs_gets_the_request_again_on_a_new_connection() {
    let server = Server::start([Script::Hang]).await;
    let slow = Destination { timeout: Duration::from_millis(200), ..server.destination("Logs") };
    let transport = transport(slow);
    let answer = transport.send(&request(Signal::Logs, "body", 1, 1)).await;
    assert_eq!(why(&answer), "no answer within 200ms (export.timeout)");
    // The answer itself does not matter here: a busy machine may take longer than the limit.
    let _ = transport.send(&request(Signal::Logs, "body", 1, 1)).await;
    let connections: Vec<_> = server.calls.lock().unwrap().iter().map(|call| call.connection).collect();
    assert!(connections.starts_with(&[0]) && !connections[1..].contains(&0), "{connections:?}");
}

#[tokio::test]
async fn an_absent_receiver_is_named() {
    let closed = closed_address().await;
    let answer =
        transport(grpc(format!("http://{closed}/x"))).send(&request(Signal::Logs, "body", 1, 1)).await;
    assert!(matches!(answer, Answer::Retry { .. }));
    assert_eq!(why(&answer), format!("no connection to {closed}: connection refused, nothing listens there"));
}

#[tokio::test]
async fn a_receiver_of_http_1_is_told_apart() {
    let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n";
    let receiver = Receiver::start(ANY, [Reply::Answer(head, Vec::new())]).await;
    let answer = transport(grpc(format!("http://{}/x", receiver.address)))
        .send(&request(Signal::Logs, "", 1, 1))
        .await;
    assert!(matches!(answer, Answer::Retry { .. }), "{answer:?}");
    assert!(why(&answer).contains("does the receiver speak HTTP/2"), "{answer:?}");
}
