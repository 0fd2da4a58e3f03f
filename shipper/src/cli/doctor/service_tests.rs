//! Made-up settings and receivers.

use super::*;
use crate::cli::doctor::Verdict;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn reached(step: Step) -> Check {
    let (name, setting) = ("http://c:4318/v1/logs".to_owned(), "export.endpoint");
    receiver(&Reached { service: Service::Logs, name, setting, step })
}

#[test]
fn away_is_a_warning_refused_a_failure() {
    let error = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let why = || "404 Not Found".to_owned();
    for (step, verdict, part) in [
        (Step::Unresolved(error()), Verdict::Warn, "DNS"),
        (Step::Unconnected(error()), Verdict::Warn, "start the Collector"),
        (
            Step::NoRoute(RouteError::Unpaired { given: "cert_file", missing: "key_file" }),
            Verdict::Fail,
            "export.tls.cert_file",
        ),
        (Step::NotExported, Verdict::Ok, "not exported"),
        (
            Step::Answered(Answer::Accepted { rejected: 0, message: None }),
            Verdict::Ok,
            "takes an empty request",
        ),
        (Step::Answered(Answer::Retry { after: None, why: why() }), Verdict::Warn, "waits in the spool"),
        (Step::Answered(Answer::Refused { why: why() }), Verdict::Fail, "is refused is lost"),
    ] {
        let check = reached(step);
        assert_eq!(check.verdict, verdict, "{check:?}");
        let text = format!("{} {}", check.found, check.remedy.unwrap_or_default());
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_spool_must_fit_into_memory() {
    assert_eq!(spool(16 << 20, Some(1 << 30)).verdict, Verdict::Ok);
    assert_eq!(spool(16 << 20, None).verdict, Verdict::Ok);
    let check = spool(600 << 20, Some(1 << 30));
    assert_eq!(check.verdict, Verdict::Warn);
    assert_eq!(check.found, "may grow to 600 MiB in memory, of which 1024 MiB are available");
}

/// Answers each connection's requests with `status` and `body`.
async fn answering(status: &'static str, body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                if stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    address
}

async fn checks_with(endpoint: &str) -> Vec<Check> {
    let mut config = Config::default();
    config.export.endpoint = Some(endpoint.parse().unwrap());
    config.health.listen = ([127, 0, 0, 1], 0).into();
    checks(Ok(&(config, Sources::default())), None).await
}

#[tokio::test]
async fn receivers_are_asked_for_each_signal() {
    for (status, verdict) in
        [("200 OK", Verdict::Ok), ("404 Not Found", Verdict::Fail), ("503 Busy", Verdict::Warn)]
    {
        let address = answering(status, "").await;
        let checks = checks_with(&format!("http://{address}")).await;
        let verdicts: Vec<_> = checks.iter().map(|check| (check.name, check.verdict)).collect();
        let expected = [
            ("configuration", Verdict::Ok),
            ("health port", Verdict::Ok),
            ("spool", Verdict::Ok),
            ("logs", verdict),
            ("traces", verdict),
            ("metrics", if verdict == Verdict::Ok { Verdict::Ok } else { Verdict::Warn }),
        ];
        assert_eq!(verdicts, expected, "{status}: {checks:#?}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_away_is_told_from_one_without_an_address() {
    let closed = TcpListener::bind("[::1]:0").await.unwrap().local_addr().unwrap();
    let away = checks_with(&format!("http://{closed}")).await.pop().unwrap();
    assert!(away.found.contains("takes no connections"), "{away:?}");
    let nameless = checks_with("http://nowhere.invalid:4318").await.pop().unwrap();
    assert!(nameless.found.contains("has no address"), "{nameless:?}");
}

#[test]
fn variables_that_change_nothing_are_told() {
    assert_eq!(configuration(&[]).verdict, Verdict::Ok);
    let check = configuration(&["OTEL_BSP_SCHEDULE_DELAY is ignored: so it is".to_owned()]);
    assert_eq!(check.verdict, Verdict::Warn);
    assert!(check.found.contains("OTEL_BSP_SCHEDULE_DELAY"), "{check:?}");
}

#[tokio::test]
async fn an_agent_that_runs_already_is_no_failure() {
    let check_with = async |status, body| {
        let address = answering(status, body).await;
        let port = Port::Taken(address, ask_agent(address).await);
        health_port(port)
    };
    let ready = check_with("200 OK", r#"{"ready":true,"reasons":[]}"#).await;
    assert_eq!(ready.verdict, Verdict::Ok, "{ready:?}");
    let waiting = check_with("503 Busy", r#"{"ready":false,"reasons":["the probe is not attached"]}"#).await;
    assert_eq!(waiting.verdict, Verdict::Warn);
    assert!(waiting.found.contains("the probe is not attached"), "{waiting:?}");
    let other = check_with("200 OK", "hello").await;
    assert_eq!(other.verdict, Verdict::Fail);
    assert!(other.found.contains("is in use by another process"), "{other:?}");
}
