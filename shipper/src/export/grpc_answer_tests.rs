use super::*;
use crate::config::model::Compression;
use crate::export::grpc::frame;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};

fn status(code: usize, headers: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert("grpc-status", code.to_string().parse().unwrap());
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    map
}

fn answer(code: usize, headers: &[(&'static str, &str)]) -> Answer {
    classify(Service::Logs, &status(code, headers), b"").unwrap()
}

fn why(answer: &Answer) -> &str {
    match answer {
        Answer::Retry { why, .. } | Answer::Refused { why } => why,
        Answer::Accepted { .. } => panic!("{answer:?}"),
    }
}

fn retry_info(delay: Option<Delay>, type_url: &str) -> String {
    let value = RetryInfo { retry_delay: delay }.encode_to_vec();
    let other = Any { type_url: "type.googleapis.com/google.rpc.DebugInfo".to_owned(), value: vec![255] };
    let details = vec![other, Any { type_url: type_url.to_owned(), value }];
    BASE64.encode(RpcStatus { details }.encode_to_vec())
}

fn after(code: usize, details: &str) -> Option<Option<Duration>> {
    match answer(code, &[("grpc-status-details-bin", details)]) {
        Answer::Retry { after, .. } => Some(after),
        _ => None,
    }
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

#[test]
fn the_specification_says_what_is_sent_again() {
    for code in [1, 4, 10, 11, 14, 15] {
        assert!(matches!(answer(code, &[]), Answer::Retry { after: None, .. }), "{code}");
    }
    for code in [2, 3, 5, 6, 7, 8, 9, 12, 13, 16, 17, 999] {
        assert!(matches!(answer(code, &[]), Answer::Refused { .. }), "{code}");
    }
}

#[test]
fn success_may_be_partial() {
    let full = Answer::Accepted { rejected: 0, message: None };
    let classify = |body: &[u8]| classify(Service::Traces, &status(0, &[]), body).unwrap();
    assert_eq!(classify(&frame(Compression::None, b"").unwrap()), full);
    let partial = ExportTracePartialSuccess { rejected_spans: 2, error_message: "too\nold".to_owned() };
    let response = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let told = Answer::Accepted { rejected: 2, message: Some("too old".to_owned()) };
    assert_eq!(classify(&frame(Compression::None, &response).unwrap()), told);
    let odd = classify(b"nonsense");
    assert!(matches!(odd, Answer::Accepted { rejected: 0, message: Some(_) }), "{odd:?}");
}

#[test]
fn a_full_receiver_is_asked_again_only_if_it_says_when() {
    let seven = Some(Delay { seconds: 7, nanos: 500_000_000 });
    assert_eq!(after(8, &retry_info(seven, RETRY_INFO)), Some(Some(Duration::from_millis(7_500))));
    assert_eq!(after(8, &retry_info(None, RETRY_INFO)), Some(Some(Duration::ZERO)));
    assert_eq!(after(8, &retry_info(None, "type.googleapis.com/google.rpc.ErrorInfo")), None);
    assert_eq!(after(8, "AA?"), None, "not base64");
    assert_eq!(after(8, "////"), None, "not protobuf");
}

#[test]
fn delays_are_honoured_within_bounds() {
    let after = |seconds, nanos| after(14, &retry_info(Some(Delay { seconds, nanos }), RETRY_INFO)).unwrap();
    assert_eq!(after(2, 0), Some(Duration::from_secs(2)));
    assert_eq!(after(i64::MAX, 0), Some(MAX_RETRY_AFTER));
    assert_eq!(after(-1, -1), Some(Duration::ZERO));
    let unpadded = retry_info(Some(Delay { seconds: 3, nanos: 0 }), RETRY_INFO);
    assert_eq!(super::tests::after(14, unpadded.trim_end_matches('=')), Some(Some(Duration::from_secs(3))));
}

#[test]
fn failures_say_what_the_receiver_said_and_the_remedy() {
    let answer_with = |message| answer(13, &[("grpc-message", message)]);
    assert_eq!(why(&answer_with("no%20room%0Ain it")), r#"gRPC status INTERNAL, "no room in it""#);
    assert_eq!(why(&answer_with("")), "gRPC status INTERNAL");
    assert!(why(&answer(16, &[])).contains("export.headers"));
    assert!(why(&answer(8, &[])).contains("limit"));
    assert!(why(&answer(12, &[])).contains("no OTLP receiver"));
}

#[test]
fn without_a_status_it_was_not_grpc_that_answered() {
    assert_eq!(classify(Service::Logs, &HeaderMap::new(), b""), None);
}
