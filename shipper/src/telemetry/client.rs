//! The way of the agent's own telemetry: the libraries encode, the agent's own connections carry it, so that what the
//! kernel drops of them counts as own.

use crate::config::Endpoint;
use crate::config::model::{Compression, Config, Protocol};
use crate::export::connector::OwnPortRegistry;
use crate::export::destination::Destination;
use crate::export::route::Route;
use crate::export::transport::OtlpTransport;
use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_http::HttpError;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// A client for the OpenTelemetry libraries, whose threads have no runtime of their own.
#[derive(Clone, Debug)]
pub struct OwnClient {
    transport: OtlpTransport,
    destination: Destination,
    what: &'static str,
    runtime: Handle,
}

impl OwnClient {
    /// Sends `what` ("metrics") along `route`. Must be made in the runtime that is to do it.
    pub fn new(route: Route, registry: Arc<dyn OwnPortRegistry>, what: &'static str) -> Self {
        let destination = route.destination.clone();
        let transport = OtlpTransport::new(route, registry);
        Self { transport, destination, what, runtime: Handle::current() }
    }

    pub(super) fn url(&self) -> String {
        self.destination.url.to_string()
    }

    pub(super) fn timeout(&self) -> Duration {
        self.destination.timeout
    }

    pub(super) fn compression(&self) -> Option<opentelemetry_otlp::Compression> {
        match self.destination.compression {
            Compression::Gzip => Some(opentelemetry_otlp::Compression::Gzip),
            Compression::None => None,
        }
    }

    fn say(&self, why: &str) {
        let (what, to) = (self.what, self.destination.name());
        tracing::warn!("own {what} cannot be delivered to {to}: {why}");
    }
}

#[async_trait]
impl opentelemetry_http::HttpClient for OwnClient {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let transport = self.transport.clone();
        let answer = self.runtime.spawn(async move { transport.forward(request).await }).await?;
        match &answer {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.say(&refusal(response.status(), self.what)),
            Err(error) => self.say(error),
        }
        Ok(answer?)
    }
}

fn refusal(status: http::StatusCode, what: &str) -> String {
    match status.as_u16() {
        404 => format!(
            "the receiver takes no {what} there (404 Not Found); see [telemetry] in the configuration"
        ),
        _ => format!("the receiver answered {status}"),
    }
}

/// Where own telemetry of the kind `what` goes, over OTLP/HTTP: `telemetry.endpoint`, else where the data goes, and
/// nowhere if that is gRPC. The data's headers may be secret, so an endpoint of its own gets `telemetry.headers` only.
pub(super) fn destination(config: &Config, what: &str) -> Option<Destination> {
    let (own, export) = (&config.telemetry, &config.export);
    let base = match (&own.endpoint, export.protocol) {
        (Some(endpoint), _) => endpoint.clone(),
        (None, Protocol::Grpc) => return None,
        (None, _) => export.endpoint.clone().unwrap_or_else(|| Endpoint::customary(Protocol::HttpProtobuf)),
    };
    let shares_headers = own.endpoint.is_none() && own.headers.is_empty();
    Some(Destination {
        url: base.join(&format!("v1/{what}")),
        protocol: Protocol::HttpProtobuf,
        headers: if shares_headers { export.headers.clone() } else { own.headers.clone() },
        headers_file: export.headers_file.clone().filter(|_| shares_headers),
        timeout: export.timeout,
        compression: export.compression,
        tls: export.tls.clone(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn own_telemetry_goes_where_the_data_goes_unless_it_has_a_place_of_its_own() {
        let mut config = Config::default();
        config.export.headers.insert("x-api-key", http::HeaderValue::from_static("secret"));
        let with_data = destination(&config, "metrics").unwrap();
        assert_eq!(with_data.url, "http://localhost:4318/v1/metrics");
        assert_eq!(with_data.headers, config.export.headers);
        config.telemetry.endpoint = Some("https://watch.example.com/otlp".parse().unwrap());
        let apart = destination(&config, "logs").unwrap();
        assert_eq!(apart.url, "https://watch.example.com/otlp/v1/logs");
        assert!(apart.headers.is_empty(), "the data's secrets are not for others");
        config.export.protocol = Protocol::Grpc;
        assert_eq!(destination(&config, "logs").unwrap(), apart);
        config.telemetry.endpoint = None;
        assert_eq!(destination(&config, "logs"), None, "it is sent over HTTP only");
    }
}
