use super::*;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json; charset=utf-8";

fn answer_with(signal: Service, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    classify(signal, StatusCode::from_u16(status).unwrap(), &map, body, now)
}

fn answer(status: u16, media: &str, body: &[u8]) -> Answer {
    answer_with(Service::Logs, status, &[("content-type", media)], body)
}

fn why(answer: Answer) -> String {
    match answer {
        Answer::Retry { why, .. } | Answer::Refused { why } => why,
        Answer::Accepted { .. } => panic!("accepted"),
    }
}

fn logs_response(rejected: i64, message: &str) -> Vec<u8> {
    let partial =
        ExportLogsPartialSuccess { rejected_log_records: rejected, error_message: message.to_owned() };
    ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
}

const FULL: Answer = Answer::Accepted { rejected: 0, message: None };

#[test]
fn success_in_each_form_that_receivers_use() {
    assert_eq!(answer(200, PROTOBUF, b""), FULL);
    assert_eq!(answer(204, "", b""), FULL);
    assert_eq!(answer(200, JSON, b""), FULL);
    assert_eq!(answer(200, PROTOBUF, &logs_response(0, "")), FULL);
    assert_eq!(answer(200, JSON, b"{}"), FULL);
    assert_eq!(answer(200, JSON, br#"{"partialSuccess":{}}"#), FULL);
}

#[test]
fn partial_success_is_read_in_both_encodings() {
    let partial = Answer::Accepted { rejected: 2, message: Some("too old".to_owned()) };
    assert_eq!(answer(200, PROTOBUF, &logs_response(2, "too\nold")), partial);
    let json = br#"{"partialSuccess":{"rejectedLogRecords":2,"errorMessage":"too old"}}"#;
    assert_eq!(answer(200, JSON, json), partial);
    let traces = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 2,
            error_message: "too old".to_owned(),
        }),
    };
    let headers = [("content-type", PROTOBUF)];
    assert_eq!(answer_with(Service::Traces, 200, &headers, &traces.encode_to_vec()), partial);
}

#[test]
fn int64_as_a_json_string_is_read_too() {
    let json = br#"{"partialSuccess":{"rejectedLogRecords":"2"}}"#;
    assert_eq!(answer(200, JSON, json), Answer::Accepted { rejected: 2, message: None });
}

#[test]
fn odd_partial_success_is_taken_with_care() {
    assert_eq!(answer(200, PROTOBUF, &logs_response(-3, "")), FULL);
    let warning = Answer::Accepted { rejected: 0, message: Some("near the limit".to_owned()) };
    assert_eq!(answer(200, PROTOBUF, &logs_response(0, "near the limit")), warning);
    let unreadable = answer(200, PROTOBUF, b"\xff\xff");
    assert!(matches!(unreadable, Answer::Accepted { rejected: 0, message: Some(_) }), "{unreadable:?}");
}

#[test]
fn a_web_page_is_no_acknowledgement() {
    let answer = answer(200, "text/html; charset=utf-8", b"<html>welcome</html>");
    assert!(matches!(answer, Answer::Retry { .. }));
    assert!(why(answer).contains("export.endpoint"));
}

#[test]
fn the_specification_says_what_is_sent_again() {
    for status in [429, 502, 503, 504] {
        assert!(matches!(answer(status, "", b""), Answer::Retry { .. }), "{status}");
    }
    for status in [400, 401, 403, 404, 405, 408, 413, 415, 500, 501, 505] {
        assert!(matches!(answer(status, "", b""), Answer::Refused { .. }), "{status}");
    }
}

#[test]
fn retry_after_comes_as_seconds_or_date_and_is_bounded() {
    let after = |value| match answer_with(Service::Logs, 503, &[("retry-after", value)], b"") {
        Answer::Retry { after, .. } => after.map(|after| after.as_secs()),
        other => panic!("{other:?}"),
    };
    assert_eq!(after("7"), Some(7));
    assert_eq!(after("99999999999"), Some(300));
    assert_eq!(after("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
    assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "a date in the past");
    assert_eq!(after("soon"), None);
}

#[test]
fn failures_say_what_the_receiver_said() {
    let status = RpcStatus { message: "body\n too   large".to_owned() }.encode_to_vec();
    assert_eq!(why(answer(400, PROTOBUF, &status)), r#"HTTP 400 Bad Request, "body too large""#);
    assert_eq!(why(answer(400, JSON, br#"{"code":3,"message":"bad"}"#)), r#"HTTP 400 Bad Request, "bad""#);
    assert_eq!(
        why(answer(503, "text/plain", b"busy\x1b[31m")),
        r#"HTTP 503 Service Unavailable, "busy [31m""#
    );
    assert_eq!(why(answer(502, "text/html", b"<html>")), "HTTP 502 Bad Gateway");
}

#[test]
fn failures_name_the_remedy_where_there_is_one() {
    assert!(why(answer(401, "", b"")).contains("export.headers"));
    assert!(why(answer(404, "", b"")).contains("export.endpoint"));
    let moved =
        answer_with(Service::Logs, 308, &[("location", "https://other.test/v1/logs?key=hidden")], b"");
    assert!(matches!(moved, Answer::Retry { .. }));
    let moved = why(moved);
    assert!(moved.contains("https://other.test/v1/logs") && !moved.contains("hidden"), "{moved}");
}

#[test]
fn long_messages_are_cut() {
    let text = "ä".repeat(5_000);
    assert_eq!(one_line(&text).chars().count(), 241);
}

fn contents(records: u64, drops: u64, totals: u64) -> Contents {
    Contents { records, drops, totals }
}

#[test]
fn rejected_records_are_exact_and_their_drops_an_upper_bound() {
    let outcome = partial(contents(10, 100, 0), 4);
    assert_eq!(outcome.refused, contents(4, 94, 0));
    assert_eq!(outcome.delivered, contents(6, 6, 0));
    let with_totals = partial(contents(10, 100, 50), 4);
    assert_eq!(with_totals.refused, contents(4, 100, 50));
    assert_eq!(with_totals.delivered, contents(6, 0, 0));
}

#[test]
fn whatever_is_rejected_the_parts_add_up() {
    for records in 0..6 {
        for drops in 0..6 {
            for totals in 0..3 {
                for rejected in 0..9 {
                    let whole = contents(records, drops, totals);
                    let outcome = partial(whole, rejected);
                    assert_eq!(outcome.contents(), whole);
                    assert_eq!(outcome.refused.records, rejected.min(records));
                }
            }
        }
    }
    assert_eq!(partial(contents(3, 9, 2), 3), Outcome::refused(contents(3, 9, 2)));
    assert_eq!(partial(contents(3, 9, 2), 0), Outcome::delivered(contents(3, 9, 2)));
}

#[test]
fn only_a_retry_keeps_the_request() {
    let whole = contents(2, 3, 0);
    assert_eq!(FULL.outcome(whole), Some(Outcome::delivered(whole)));
    assert_eq!(Answer::Refused { why: String::new() }.outcome(whole), Some(Outcome::refused(whole)));
    assert_eq!(Answer::Retry { after: None, why: String::new() }.outcome(whole), None);
}

#[test]
fn a_receiver_without_metrics_is_told_from_a_wrong_path() {
    let why = |service| match answer_with(service, 404, &[], b"") {
        Answer::Refused { why } => why,
        other => panic!("{other:?}"),
    };
    assert!(why(Service::Metrics).contains("export.metrics.exporter = \"none\""));
    assert!(why(Service::Logs).contains("see export.endpoint"));
}
