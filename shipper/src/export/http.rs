//! OTLP over HTTP with protobuf bodies.

use super::answer::{Answer, classify};
use super::connector::{OwnPortRegistry, RegisteringConnector};
use super::destination::Destination;
use super::send::Transport;
use super::{EncodedRequest, Signal};
use crate::config::model::Compression;
use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Exporter, version and language, as the OTLP exporter specification asks for.
const AGENT: &str = concat!("tcpdrop-otel/", env!("CARGO_PKG_VERSION"), " (OTLP exporter; rust)");

/// Most of a response that is read. An OTLP response is a number and a sentence.
const MAX_RESPONSE_BYTES: usize = 64 << 10;

/// Idle connections are closed before the receiver does it (the Collector after a minute), so that no request meets a
/// connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No CA certificates.
    #[error(
        "https needs the host's CA certificates: {0}; install them (the package is often named ca-certificates), or \
         name a file of them in the environment variable SSL_CERT_FILE"
    )]
    NoRoots(io::Error),
    /// The TLS library refused its configuration.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// An HTTP client with a pool of connections, shared by the signals. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: Client<HttpsConnector<RegisteringConnector>, Full<Bytes>>,
}

impl HttpClient {
    /// A client for `destinations`, whose connections are registered before they are made. The CA certificates that
    /// the host trusts are read if one of them is `https`.
    pub fn new<'a>(
        destinations: impl IntoIterator<Item = &'a Destination>,
        registry: Arc<dyn OwnPortRegistry>,
    ) -> Result<Self, ClientError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = if destinations.into_iter().any(Destination::is_tls) {
            tls.with_native_roots().map_err(ClientError::NoRoots)?
        } else {
            tls.with_root_certificates(RootCertStore::empty())
        };
        Ok(Self::with_tls(tls.with_no_client_auth(), registry))
    }

    /// A client with TLS settings of the caller's.
    pub fn with_tls(tls: ClientConfig, registry: Arc<dyn OwnPortRegistry>) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(RegisteringConnector::new(registry));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(Signal::ALL.len())
            .build(connector);
        Self { client }
    }
}

/// Sends requests to one destination.
#[derive(Clone, Debug)]
pub struct OtlpHttp {
    client: HttpClient,
    destination: Destination,
}

impl OtlpHttp {
    /// Sends to `destination`.
    pub fn new(client: HttpClient, destination: Destination) -> Self {
        Self { client, destination }
    }

    async fn attempt(&self, request: &EncodedRequest) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let body = compress(self.destination.compression, request.body.clone()).await?;
        let response = self.client.client.request(self.request(body)?).await?;
        let (head, body) = response.into_parts();
        let body = read_start(body).await?;
        Ok(classify(request.signal, head.status, &head.headers, &body, SystemTime::now()))
    }

    fn request(&self, body: Bytes) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::post(&self.destination.url).body(Full::new(body))?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in &self.destination.headers {
            headers.insert(name, value.clone());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if self.destination.compression == Compression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(request)
    }

    /// Sends a request that a library has encoded: its body and what it says of it are kept, the rest is the
    /// destination's. Of the response no more than 64 KiB are read.
    ///
    /// # Errors
    /// Why there was no answer, for people.
    pub async fn forward(&self, request: Request<Bytes>) -> Result<http::Response<Bytes>, String> {
        let (mut head, body) = request.into_parts();
        head.uri = self.destination.url.clone();
        for (name, value) in &self.destination.headers {
            if ![CONTENT_TYPE, CONTENT_ENCODING].contains(name) {
                head.headers.insert(name, value.clone());
            }
        }
        let exchange = async {
            let response = self.client.client.request(Request::from_parts(head, Full::new(body))).await?;
            let (head, body) = response.into_parts();
            Ok(http::Response::from_parts(head, Bytes::from(read_start(body).await?)))
        };
        let limit = self.destination.timeout;
        match tokio::time::timeout(limit, exchange).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err::<_, Box<dyn Error + Send + Sync>>(error)) => Err(self.explain(error.as_ref())),
            Err(_) => Err(format!("no answer within {limit:?} (export.timeout)")),
        }
    }

    fn explain(&self, error: &(dyn Error + 'static)) -> String {
        let cause = deepest(error);
        match hint(self.destination.url.port_u16(), self.destination.is_tls(), &cause) {
            Some(hint) => format!("{cause} ({hint})"),
            None => cause,
        }
    }
}

impl Transport for OtlpHttp {
    fn name(&self) -> String {
        self.destination.name()
    }

    async fn send(&self, request: &EncodedRequest) -> Answer {
        let limit = self.destination.timeout;
        match tokio::time::timeout(limit, self.attempt(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Retry { after: None, why: self.explain(error.as_ref()) },
            Err(_) => {
                Answer::Retry { after: None, why: format!("no answer within {limit:?} (export.timeout)") }
            }
        }
    }
}

/// Fast rather than small: the host may be in trouble already. On a thread of its own, so that the ring is read on.
async fn compress(compression: Compression, body: Bytes) -> io::Result<Bytes> {
    match compression {
        Compression::None => Ok(body),
        Compression::Gzip => tokio::task::spawn_blocking(move || gzip(&body)).await?,
    }
}

fn gzip(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    encoder.write_all(body)?;
    Ok(encoder.finish()?.into())
}

/// The body, or its first [`MAX_RESPONSE_BYTES`].
async fn read_start(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut start = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            let room = MAX_RESPONSE_BYTES - start.len();
            start.extend_from_slice(&data[..data.len().min(room)]);
        }
        if start.len() == MAX_RESPONSE_BYTES {
            break;
        }
    }
    Ok(start)
}

/// The error at the bottom, which says what happened; those above it say what was being done.
fn deepest(mut error: &(dyn Error + 'static)) -> String {
    while let Some(source) = error.source() {
        // A connector's error says where, its source does not.
        if error.is::<super::connector::ConnectError>() {
            break;
        }
        error = source;
    }
    error.to_string()
}

fn hint(port: Option<u16>, tls: bool, cause: &str) -> Option<&'static str> {
    if cause.contains("UnknownIssuer") {
        Some("no CA that this host trusts has signed the receiver's certificate")
    } else if tls && cause.contains("InvalidContentType") {
        Some("the receiver does not speak TLS on this port: http:// instead of https://?")
    } else if port == Some(4317) {
        Some("4317 is by custom the port of OTLP/gRPC; OTLP/HTTP has 4318")
    } else {
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::export::connector::NoRegistry;
    use http::HeaderName;
    use std::io::Read;

    fn sender(compression: Compression, headers: &[(&str, &str)]) -> OtlpHttp {
        let headers = headers.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::try_from(*value).unwrap())
        });
        let destination = Destination {
            url: "http://collector.test:4318/v1/logs".parse().unwrap(),
            headers: headers.collect(),
            timeout: Duration::from_secs(1),
            compression,
        };
        let client = HttpClient::new([&destination], Arc::new(NoRegistry)).unwrap();
        OtlpHttp::new(client, destination)
    }

    #[tokio::test]
    async fn configured_headers_do_not_change_what_the_body_is() {
        let sender = sender(Compression::Gzip, &[("content-type", "text/plain"), ("x-scope-orgid", "a")]);
        let request = sender.request(Bytes::new()).unwrap();
        assert_eq!(request.headers()["content-type"], "application/x-protobuf");
        assert_eq!(request.headers()["content-encoding"], "gzip");
        assert_eq!(request.headers()["x-scope-orgid"], "a");
        assert_eq!(request.headers()["user-agent"], AGENT);
    }

    #[tokio::test]
    async fn an_uncompressed_body_has_no_encoding() {
        let request = sender(Compression::None, &[]).request(Bytes::new()).unwrap();
        assert!(!request.headers().contains_key("content-encoding"));
    }

    #[test]
    fn gzip_is_undone_by_gunzip() {
        let body = b"abc".repeat(1_000);
        let packed = gzip(&body).unwrap();
        assert!(packed.len() < 100);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, body);
    }

    #[test]
    fn hints_fit_the_cause() {
        assert!(hint(Some(443), true, "invalid peer certificate: UnknownIssuer").unwrap().contains("CA"));
        assert!(
            hint(None, true, "received corrupt message of type InvalidContentType")
                .unwrap()
                .contains("http://")
        );
        assert!(hint(Some(4317), false, "connection closed").unwrap().contains("4318"));
        assert_eq!(hint(Some(4318), false, "connection refused"), None);
    }
}
