//! Where requests of one signal go, and how.

use crate::config::model::{Compression, Protocol, Tls};
use http::{HeaderMap, Uri};
use std::path::PathBuf;
use std::time::Duration;

/// Where requests of one signal go, and how. Made from the settings by `config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Full URL of the signal's service, `http` or `https`, with a host.
    pub url: Uri,
    /// Wire protocol.
    pub protocol: Protocol,
    /// Added to each request. Values are marked sensitive, so that `Debug` hides them.
    pub headers: HeaderMap,
    /// A file of more headers; [`headers`](Self::headers) of the same name win.
    pub headers_file: Option<PathBuf>,
    /// Limit on one attempt, from resolving the name to the end of the answer.
    pub timeout: Duration,
    /// Of request bodies.
    pub compression: Compression,
    /// Files for `https`.
    pub tls: Tls,
}

impl Destination {
    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == Some(&http::uri::Scheme::HTTPS)
    }

    /// The URL for log lines: without user, password and query, which may be secret.
    pub fn name(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or("http");
        let host = self.url.host().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{host}{port}{}", self.url.path())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn secrets_stay_out_of_names_and_debug_output() {
        let mut key = HeaderValue::from_static("hidden-key");
        key.set_sensitive(true);
        let destination = Destination {
            url: "https://user:pass@example.test:8443/v1/logs?token=hidden".parse().unwrap(),
            protocol: Protocol::HttpProtobuf,
            headers: HeaderMap::from_iter([(HeaderName::from_static("x-api-key"), key)]),
            headers_file: None,
            timeout: Duration::from_secs(1),
            compression: Compression::Gzip,
            tls: Tls::default(),
        };
        assert_eq!(destination.name(), "https://example.test:8443/v1/logs");
        assert!(destination.is_tls());
        assert!(!format!("{:?}", destination.headers).contains("hidden-key"));
    }
}
