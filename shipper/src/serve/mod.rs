//! The agent's own HTTP server: `/livez`, `/readyz`, `/status` and `/metrics`.

pub mod sd_notify;
pub mod status;

pub use status::{NotReady, Status, StatusSource};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 16;

/// Time to send the head of a request, which also ends idle connections.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Life of a connection, so that a client that does not read frees its place.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Prometheus' text format ("Exposition formats").
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// For whoever looks with a browser.
const INDEX: &str = "tcpdrop-otel\n\n/readyz   whether it sees drops\n/livez    whether it answers\n\
                     /status   where each drop is, and how the export goes\n/metrics  the same for Prometheus\n";

/// Pause after a failed accept, such as without a free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port is taken.
    #[error(
        "{address} is in use by another process, so that /status cannot be served there; `ss -ltnp 'sport = :{}'` \
         shows by which, health.listen chooses another address", .address.port()
    )]
    InUse {
        /// As configured.
        address: SocketAddr,
    },
    /// Not an address of this host.
    #[error("{address} is not an address of this host; health.listen chooses another")]
    NotHere {
        /// As configured.
        address: SocketAddr,
    },
    /// A port below 1024, without the rights to it.
    #[error("{address} needs the capability CAP_NET_BIND_SERVICE, or a port from 1024 up in health.listen")]
    NotPermitted {
        /// As configured.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address} (health.listen): {source}")]
    Other {
        /// As configured.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl ServeError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::AddrNotAvailable => Self::NotHere { address },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address },
            _ => Self::Other { address, source },
        }
    }
}

/// A bound port, not served yet.
#[derive(Debug)]
pub struct Listener {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// The address, with the port that was chosen if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Binds `address`. To be done before anything is attached to the kernel, so that a second agent ends here.
pub fn bind(address: SocketAddr) -> Result<Listener, ServeError> {
    let listen = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Listener { listener, address })
    };
    listen().map_err(|source| ServeError::new(address, source))
}

/// Serves what `source` knows, until it is dropped. Must be called in a tokio runtime.
pub async fn serve(listener: Listener, source: Arc<dyn StatusSource>) -> Result<(), ServeError> {
    let address = listener.address;
    let listener = tokio::net::TcpListener::from_std(listener.listener)
        .map_err(|source| ServeError::new(address, source))?;
    let (router, places) = (router(source), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = tokio::time::timeout(CONNECTION_TIMEOUT, talk(stream, router.clone()));
                tokio::spawn(async move {
                    let _place = place;
                    // A client that went away or dawdled is its own affair.
                    let _ = connection.await;
                });
            }
            Err(error) => {
                tracing::warn!("no connection to {address} (health.listen) can be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}

fn router(source: Arc<dyn StatusSource>) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .with_state(source)
}

async fn ready(State(source): State<Arc<dyn StatusSource>>) -> Response {
    let reasons = source.ready();
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(json!({"ready": reasons.is_empty(), "reasons": reasons}))).into_response()
}

/// Collecting reads `/proc` and the kernel's tables: not on the thread that reads the ring.
async fn metrics(State(source): State<Arc<dyn StatusSource>>) -> Response {
    let text = tokio::task::spawn_blocking(move || source.metrics()).await;
    match text.map_err(|error| error.to_string()).flatten() {
        Ok(text) => ([(CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")).into_response(),
    }
}

async fn status(State(source): State<Arc<dyn StatusSource>>) -> Response {
    axum::Json(source.status()).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "serve_tests.rs"]
mod tests;
