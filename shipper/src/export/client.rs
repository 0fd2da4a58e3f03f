//! A client with connections of its own, whose local ports are registered before they are used.

use super::connector::{OwnPortRegistry, RegisteringConnector};
use bytes::Bytes;
use http::{HeaderMap, Request, response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;

/// Most of a response that is read. An OTLP response is a number and a sentence.
const MAX_RESPONSE_BYTES: usize = 64 << 10;

/// Idle connections are closed before the receiver does it (the Collector after a minute), so that no request meets a
/// connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What is spoken on a connection. Neither is negotiated: each protocol of OTLP needs its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpVersion {
    /// HTTP/1.1.
    One,
    /// HTTP/2, without an upgrade where there is no TLS.
    Two,
}

/// An HTTP client with a pool of connections. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct HttpClient {
    client: Client<HttpsConnector<RegisteringConnector>, Full<Bytes>>,
}

/// A response, or the start of a very long one.
pub(super) struct Response {
    pub(super) head: response::Parts,
    pub(super) body: Vec<u8>,
    /// What came after the body; `None` also if the body was too long to be read to its end.
    pub(super) trailers: Option<HeaderMap>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoResponse {
    #[error(transparent)]
    Request(#[from] Error),
    #[error(transparent)]
    Body(#[from] hyper::Error),
}

impl HttpClient {
    pub(super) fn new(version: HttpVersion, tls: ClientConfig, registry: Arc<dyn OwnPortRegistry>) -> Self {
        let connector = RegisteringConnector::new(registry);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = match version {
            HttpVersion::One => builder.enable_http1().wrap_connector(connector),
            HttpVersion::Two => builder.enable_http2().wrap_connector(connector),
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1)
            .http2_only(version == HttpVersion::Two)
            .build(connector);
        Self { client }
    }

    /// Makes one request.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response, NoResponse> {
        let (head, body) = self.client.request(request).await?.into_parts();
        let (body, trailers) = read_start(body).await?;
        Ok(Response { head, body, trailers })
    }
}

/// The body with its trailers, or its first [`MAX_RESPONSE_BYTES`].
async fn read_start(mut body: Incoming) -> Result<(Vec<u8>, Option<HeaderMap>), hyper::Error> {
    let (mut start, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                let room = MAX_RESPONSE_BYTES - start.len();
                start.extend_from_slice(&data[..data.len().min(room)]);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        if start.len() == MAX_RESPONSE_BYTES {
            break;
        }
    }
    Ok((start, trailers))
}
