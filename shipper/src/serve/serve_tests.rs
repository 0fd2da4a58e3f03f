use super::*;
use crate::export::send::ExportSnapshot;
use crate::ledger::Snapshot;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Default)]
struct Agent {
    missing: Mutex<Vec<NotReady>>,
}

impl StatusSource for Agent {
    fn status(&self) -> Status {
        Status {
            healthy: true,
            version: "1.2.3",
            uptime_seconds: 4,
            silent: crate::silent::books::SilentSnapshot::default(),
            reloads: crate::reload::ReloadCounts::default(),
            ledger: Snapshot { balanced: true, ..Snapshot::default() },
            export: ExportSnapshot::default(),
            probe: json!({"program": "rx_sk"}),
        }
    }

    fn metrics(&self) -> Result<String, String> {
        match self.missing.lock().unwrap().is_empty() {
            true => Ok("# TYPE up gauge\nup 1\n".to_owned()),
            false => Err("they cannot be collected".to_owned()),
        }
    }

    fn ready(&self) -> Vec<NotReady> {
        self.missing.lock().unwrap().clone()
    }
}

fn serving() -> (SocketAddr, Arc<Agent>) {
    let (listener, agent) = (bind(([127, 0, 0, 1], 0).into()).unwrap(), Arc::new(Agent::default()));
    let address = listener.address();
    tokio::spawn(serve(listener, Arc::clone(&agent) as Arc<dyn StatusSource>));
    (address, agent)
}

/// The whole response to a request for `path`.
async fn response(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

fn body(response: &str) -> serde_json::Value {
    serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn the_agent_is_alive_and_other_paths_are_not_there() {
    let (address, _) = serving();
    assert!(response(address, "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(response(address, "/").await.contains("/status "), "the paths are named");
    assert!(response(address, "/other").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn readiness_is_a_status_code_with_reasons() {
    let (address, agent) = serving();
    let ready = response(address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert_eq!(body(&ready), json!({"ready": true, "reasons": []}));
    let missing = NotReady { part: "probe", reason: "the program is not attached".to_owned() };
    agent.missing.lock().unwrap().push(missing);
    let not_ready = response(address, "/readyz").await;
    assert!(not_ready.starts_with("HTTP/1.1 503"), "{not_ready}");
    let reasons = json!([{"part": "probe", "reason": "the program is not attached"}]);
    assert_eq!(body(&not_ready), json!({"ready": false, "reasons": reasons}));
}

#[tokio::test]
async fn status_has_the_designs_shape() {
    let (address, _) = serving();
    let status = body(&response(address, "/status").await);
    assert_eq!(status["healthy"], true);
    for term in ["seen", "filtered", "own", "suppressed", "ring_lost", "admitted", "missed", "in_ring"] {
        assert_eq!(status["ledger"][term], 0, "{term}");
    }
    for term in ["in_pipeline", "pending", "decode_errors"] {
        assert_eq!(status["ledger"][term], 0, "{term}");
    }
    assert_eq!(status["ledger"]["waiting"], json!({"records": 0, "drops": 0, "bytes": 0}));
    for term in ["spooled", "delivered", "refused", "evicted"] {
        assert_eq!(status["ledger"][term], json!({"records": 0, "drops": 0}), "{term}");
    }
    assert_eq!(status["ledger"]["balanced"], true);
    assert_eq!((&status["version"], &status["uptime_seconds"]), (&json!("1.2.3"), &json!(4)));
    assert_eq!(status["export"]["logs"]["attempts"], 0);
    assert_eq!(status["probe"]["program"], "rx_sk");
}

#[tokio::test]
async fn metrics_are_in_prometheus_format_or_an_error_that_says_why() {
    let (address, agent) = serving();
    let shown = response(address, "/metrics").await;
    assert!(shown.starts_with("HTTP/1.1 200") && shown.ends_with("\nup 1\n"), "{shown}");
    assert!(shown.contains("content-type: text/plain; version=0.0.4"), "{shown}");
    agent.missing.lock().unwrap().push(NotReady { part: "metrics", reason: String::new() });
    let failed = response(address, "/metrics").await;
    assert!(failed.starts_with("HTTP/1.1 500") && failed.ends_with("they cannot be collected\n"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_cut_off() {
    let (server, _client) = tokio::io::duplex(64);
    let start = tokio::time::Instant::now();
    assert!(talk(server, router(Arc::new(Agent::default()))).await.is_err());
    assert_eq!(start.elapsed(), HEADER_TIMEOUT);
}

#[tokio::test]
async fn clients_that_leave_free_their_places() {
    let (address, _) = serving();
    for _ in 0..2 {
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
    }
    assert!(response(address, "/livez").await.starts_with("HTTP/1.1 200"));
}

#[test]
fn a_busy_port_is_named_with_the_remedy() {
    let holder = bind(([127, 0, 0, 1], 0).into()).unwrap();
    let error = bind(holder.address()).unwrap_err().to_string();
    let port = holder.address().port();
    assert!(error.starts_with(&format!("127.0.0.1:{port} is in use by another process")), "{error}");
    assert!(
        error.contains(&format!("ss -ltnp 'sport = :{port}'")) && error.contains("health.listen"),
        "{error}"
    );
}

#[test]
fn an_address_of_another_host_is_named() {
    let error = bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
    assert!(matches!(error, ServeError::NotHere { .. }), "{error}");
}
