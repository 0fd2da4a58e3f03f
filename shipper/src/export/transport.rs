//! OTLP to one destination, over whichever of its protocols.

use super::answer::{self, Answer};
use super::client::{HttpClient, HttpVersion, Response};
use super::connector::{ConnectError, OwnPortRegistry};
use super::destination::Destination;
use super::route::Route;
use super::send::Transport;
use super::service::Service;
use super::{EncodedRequest, body, grpc, grpc_answer, http};
use crate::config::model::{Protocol, Tls};
use ::http::header::USER_AGENT;
use ::http::{HeaderValue, Request};
use bytes::Bytes;
use http_body_util::Full;
use rustls::ClientConfig;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Exporter, version and language, as the OTLP exporter specification asks for.
const AGENT: &str = concat!("tcpdrop-otel/", env!("CARGO_PKG_VERSION"), " (OTLP exporter; rust)");

/// Sends requests to one destination.
#[derive(Clone)]
pub struct OtlpTransport {
    destination: Arc<Destination>,
    tls: ClientConfig,
    registry: Arc<dyn OwnPortRegistry>,
    client: Arc<Mutex<HttpClient>>,
}

impl fmt::Debug for OtlpTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OtlpTransport")
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}

impl OtlpTransport {
    /// Sends along `route`, with connections that `registry` is told of before they are made.
    pub fn new(route: Route, registry: Arc<dyn OwnPortRegistry>) -> Self {
        let Route { destination, tls } = route;
        let client = new_client(&destination, &tls, &registry);
        Self { destination: Arc::new(destination), tls, registry, client: Arc::new(Mutex::new(client)) }
    }

    /// Sends one request, encoded as protobuf; within the destination's timeout.
    pub async fn deliver(&self, service: Service, encoded: Bytes) -> Answer {
        let limit = self.destination.timeout;
        match tokio::time::timeout(limit, self.attempt(service, encoded)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.forget_connections();
                Answer::Retry { after: None, why: format!("no answer within {limit:?} (export.timeout)") }
            }
        }
    }

    async fn attempt(&self, service: Service, encoded: Bytes) -> Answer {
        let body = match self.body(service, encoded).await {
            Ok(body) => body,
            Err(why) => return Answer::Refused { why },
        };
        let sent = match self.request(body) {
            Ok(sent) => sent,
            Err(error) => return Answer::Refused { why: format!("no request can be made: {error}") },
        };
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match client.send(sent).await {
            Ok(response) => self.classify(service, &response),
            Err(error) => Answer::Retry { after: None, why: explain(&self.destination, &error) },
        }
    }

    /// On a thread of its own, so that the ring is read on.
    async fn body(&self, service: Service, encoded: Bytes) -> Result<Bytes, String> {
        let destination = Arc::clone(&self.destination);
        let made = tokio::task::spawn_blocking(move || body::make(&destination, service, encoded)).await;
        made.unwrap_or_else(|error| Err(error.into()))
            .map_err(|error| format!("the waiting request cannot be read: {error}"))
    }

    fn request(&self, body: Bytes) -> ::http::Result<Request<Full<Bytes>>> {
        let mut request = Request::post(&self.destination.url).body(Full::new(body))?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in &self.destination.headers {
            headers.insert(name, value.clone());
        }
        match self.destination.protocol {
            Protocol::Grpc => grpc::describe_body(headers, &self.destination),
            Protocol::HttpProtobuf | Protocol::HttpJson => http::describe_body(headers, &self.destination),
        }
        Ok(request)
    }

    fn classify(&self, service: Service, response: &Response) -> Answer {
        let Response { head, body, trailers } = response;
        let by_http = || answer::classify(service, head.status, &head.headers, body, SystemTime::now());
        if self.destination.protocol != Protocol::Grpc {
            return by_http();
        }
        let status = trailers.as_ref().unwrap_or(&head.headers);
        grpc_answer::classify(service, status, body).unwrap_or_else(|| {
            if head.status.is_success() {
                let why =
                    "an answer without a gRPC status: this is not an OTLP/gRPC receiver, see export.endpoint";
                return Answer::Retry { after: None, why: why.to_owned() };
            }
            by_http()
        })
    }

    /// HTTP/2 keeps a connection whose request got no answer, and the next would get none either if the peer is gone.
    fn forget_connections(&self) {
        let fresh = new_client(&self.destination, &self.tls, &self.registry);
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
    }
}

fn new_client(
    destination: &Destination,
    tls: &ClientConfig,
    registry: &Arc<dyn OwnPortRegistry>,
) -> HttpClient {
    let version = match destination.protocol {
        Protocol::Grpc => HttpVersion::Two,
        Protocol::HttpProtobuf | Protocol::HttpJson => HttpVersion::One,
    };
    HttpClient::new(version, tls.clone(), Arc::clone(registry))
}

impl Transport for OtlpTransport {
    fn name(&self) -> String {
        self.destination.name()
    }

    async fn send(&self, request: &EncodedRequest) -> Answer {
        self.deliver(request.signal.into(), request.body.clone()).await
    }
}

/// How a signal leaves the host, if it does.
#[derive(Clone, Debug)]
pub enum SignalTransport {
    /// To a receiver.
    Otlp(Box<OtlpTransport>),
    /// Not at all: nothing is made of this signal, and so there is nothing to send.
    None,
}

impl SignalTransport {
    /// Along `route`, if there is one.
    pub fn new(route: Option<Route>, registry: Arc<dyn OwnPortRegistry>) -> Self {
        route.map_or(Self::None, |route| Self::Otlp(Box::new(OtlpTransport::new(route, registry))))
    }
}

impl Transport for SignalTransport {
    fn name(&self) -> String {
        match self {
            Self::Otlp(transport) => transport.name(),
            Self::None => "nowhere (its exporter is \"none\")".to_owned(),
        }
    }

    async fn send(&self, request: &EncodedRequest) -> Answer {
        match self {
            Self::Otlp(transport) => transport.send(request).await,
            Self::None => Answer::Refused { why: "its exporter is \"none\"".to_owned() },
        }
    }
}

fn explain(destination: &Destination, error: &(dyn Error + 'static)) -> String {
    let cause = deepest(error);
    let cause_text = cause.to_string();
    match hint(destination, &cause_text, !cause.is::<ConnectError>()) {
        Some(hint) => format!("{cause_text} ({hint})"),
        None => cause_text,
    }
}

/// The error at the bottom, which says what happened; those above it say what was being done.
fn deepest<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = error.source() {
        // A connector's error says where, its source does not.
        if error.is::<ConnectError>() {
            break;
        }
        error = source;
    }
    error
}

fn hint(destination: &Destination, cause: &str, is_connected: bool) -> Option<&'static str> {
    let (port, is_grpc) = (destination.url.port_u16(), destination.protocol == Protocol::Grpc);
    if cause.contains("UnknownIssuer") || cause.contains("BadSignature") {
        Some(unknown_issuer(&destination.tls))
    } else if cause.contains("CertificateRequired") {
        Some("the receiver asks for a client certificate: export.tls.cert_file and export.tls.key_file")
    } else if destination.is_tls() && cause.contains("InvalidContentType") {
        Some("the receiver does not speak TLS on this port: http:// instead of https://?")
    } else if cause.contains("NoApplicationProtocol") {
        Some("the receiver does not speak HTTP/2, which gRPC needs: export.protocol = \"http/protobuf\"?")
    } else if destination.tls.cert_file.is_some() && cause.contains("fatal alert") {
        Some("the receiver may not accept the client certificate of export.tls.cert_file")
    } else if !is_grpc
        && (cause.contains("invalid HTTP version") || cause.contains("unexpected message from connection"))
    {
        Some(
            "is this a port of OTLP/gRPC? export.protocol = \"grpc\", or the receiver's HTTP port, by custom 4318",
        )
    } else if port == Some(4317) && !is_grpc {
        Some("4317 is by custom the port of OTLP/gRPC: export.protocol = \"grpc\", or port 4318?")
    } else if port == Some(4318) && is_grpc {
        Some("4318 is by custom the port of OTLP/HTTP: export.protocol = \"http/protobuf\", or port 4317?")
    } else if is_grpc && is_connected {
        // HTTP/1.1 shows as a broken frame, a broken pipe or a reset, whichever comes first.
        Some("does the receiver speak HTTP/2 on this port, which gRPC needs?")
    } else {
        None
    }
}

fn unknown_issuer(tls: &Tls) -> &'static str {
    match tls.ca_file {
        Some(_) => "no CA of export.tls.ca_file has signed the receiver's certificate",
        None => {
            "no CA that this host trusts has signed the receiver's certificate; export.tls.ca_file can name another"
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::model::{Compression, Export};
    use crate::export::Signal;
    use crate::export::connector::NoRegistry;

    fn export(protocol: Protocol, endpoint: &str) -> Destination {
        let endpoint = Some(endpoint.parse().unwrap());
        Export { protocol, endpoint, ..Export::default() }.destination(Signal::Logs)
    }

    fn request(protocol: Protocol, compression: Compression) -> Request<Full<Bytes>> {
        let mut destination = export(protocol, "http://collector.test");
        destination.compression = compression;
        for (name, value) in [("content-type", "text/plain"), ("x-scope-orgid", "a")] {
            destination.headers.insert(name, HeaderValue::from_static(value));
        }
        let transport = OtlpTransport::new(Route::read(destination).unwrap(), Arc::new(NoRegistry));
        transport.request(Bytes::new()).unwrap()
    }

    #[tokio::test]
    async fn configured_headers_do_not_change_what_the_body_is() {
        for (protocol, media, encoding) in [
            (Protocol::HttpProtobuf, "application/x-protobuf", "content-encoding"),
            (Protocol::HttpJson, "application/json", "content-encoding"),
            (Protocol::Grpc, "application/grpc", "grpc-encoding"),
        ] {
            let request = request(protocol, Compression::Gzip);
            assert_eq!(request.headers()["content-type"], media);
            assert_eq!(request.headers()[encoding], "gzip");
            assert_eq!(request.headers()["x-scope-orgid"], "a");
            assert_eq!(request.headers()["user-agent"], AGENT);
            let plain = self::request(protocol, Compression::None);
            assert!(!plain.headers().contains_key(encoding));
        }
    }

    #[test]
    fn hints_fit_the_cause() {
        let hint_of =
            |protocol, endpoint, cause| hint(&export(protocol, endpoint), cause, true).unwrap_or_default();
        let (http, grpc) = (Protocol::HttpProtobuf, Protocol::Grpc);
        let issuer = "invalid peer certificate: UnknownIssuer";
        assert!(hint_of(http, "https://h", issuer).contains("that this host trusts"));
        let mut own_ca = export(http, "https://h");
        own_ca.tls.ca_file = Some("/ca".into());
        assert!(hint(&own_ca, issuer, true).unwrap().contains("no CA of export.tls.ca_file"));
        let corrupt = "received corrupt message of type InvalidContentType";
        assert!(hint_of(http, "https://h", corrupt).contains("http://"));
        assert!(hint_of(http, "http://h:4317", "connection closed").contains("4318"));
        assert!(hint_of(grpc, "http://h:4318", "connection closed").contains("4317"));
        assert_eq!(hint_of(http, "http://h:4318", "connection refused"), "");
        assert!(hint_of(grpc, "http://h:4317", "broken pipe").contains("HTTP/2"));
        assert_eq!(hint(&export(grpc, "http://h:4317"), "connection refused", false), None);
    }
}
