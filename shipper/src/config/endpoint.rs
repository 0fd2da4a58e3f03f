//! [`Endpoint`]: a URL that can be sent to.

use super::model::Protocol;
use super::nearest::hint;
use http::Uri;
use std::fmt;
use std::str::FromStr;

/// Long enough for any real one, and short enough that a signal's path always fits behind it.
const MAX_LENGTH: usize = 2048;

/// An absolute `http` or `https` URL with a host, without user name and password, of at most 2048 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Uri);

impl Endpoint {
    /// The URL itself.
    pub fn as_uri(&self) -> &Uri {
        &self.0
    }

    /// The URL with `path` behind its own: `http://host/base/` and `v1/logs` make `http://host/base/v1/logs`
    /// (OpenTelemetry specification, OTLP exporter, "Endpoint URLs for OTLP/HTTP"). A query stays.
    pub fn join(&self, path: &str) -> Uri {
        let base = self.0.path().trim_end_matches('/');
        let query = self.0.query().map_or_else(String::new, |query| format!("?{query}"));
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = format!("{base}/{path}{query}").parse().ok();
        Uri::from_parts(parts).expect("an endpoint has scheme and host, and is too short to outgrow a URL")
    }
}

impl Endpoint {
    /// Where a receiver of this host is by custom (OpenTelemetry specification, "OTLP Exporter Configuration",
    /// "Endpoint").
    pub fn customary(protocol: Protocol) -> Self {
        Self(Uri::from_static(match protocol {
            Protocol::Grpc => "http://localhost:4317",
            Protocol::HttpProtobuf | Protocol::HttpJson => "http://localhost:4318",
        }))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no [`Endpoint`]: reads on after the name of the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidEndpoint(String);

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        check(text).map_err(|cause| InvalidEndpoint(format!("{cause}{}", hint(repaired(text)))))
    }
}

fn check(text: &str) -> Result<Endpoint, String> {
    if text.contains('@') {
        // Not shown: it may hold a password.
        return Err("must not hold a user name or password: send them in `export.headers`".to_owned());
    }
    if text.len() > MAX_LENGTH {
        return Err(format!("must be at most {MAX_LENGTH} bytes long, not {}", text.len()));
    }
    if text.contains(char::is_whitespace) {
        return Err(format!("must be a URL without spaces, not {text:?}"));
    }
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return Err(format!("must begin with http:// or https://, not {text:?}"));
    }
    let uri: Uri = text.parse().map_err(|cause| format!("must be a URL, not {text:?}: {cause}"))?;
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err(format!("must name a host, unlike {text:?}"));
    };
    // `Authority` takes any digits for a port; what is not one is only missing from `port`.
    let after_host = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if !after_host.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(format!("must have a port from 1 to 65535, unlike {text:?}"));
    }
    Ok(Endpoint(uri))
}

/// The URL that `text` was likely meant to be.
fn repaired(text: &str) -> Option<String> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let text: String = text.split_whitespace().collect();
    let (word, rest) = text.split_at(text.find([':', '/']).unwrap_or(0));
    let distance = |scheme| strsim::damerau_levenshtein(&word.to_ascii_lowercase(), scheme);
    let is_scheme = rest.starts_with(":/") || distance("http").min(distance("https")) <= 2;
    let scheme = if distance("https") < distance("http") { "https" } else { "http" };
    let rest = if is_scheme { rest.strip_prefix(':').unwrap_or(rest) } else { &text };
    let repaired = format!("{scheme}://{}", rest.trim_start_matches('/'));
    check(&repaired).is_ok().then_some(repaired)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        text.parse::<Endpoint>().unwrap_err().to_string()
    }

    #[test]
    fn urls_with_a_host_are_taken() {
        for text in ["http://localhost:4318", "https://otlp.example.com", "http://[::1]:4318/base?key=1"] {
            assert!(text.parse::<Endpoint>().is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_misspelt_is_refused_with_what_is_likely_right() {
        for (text, right) in [
            ("localhost:4318", "http://localhost:4318"),
            ("collector", "http://collector"),
            ("htpp://localhost:4318", "http://localhost:4318"),
            ("htpps://localhost:4318", "https://localhost:4318"),
            ("http:/localhost:4318", "http://localhost:4318"),
            ("http:localhost:4318", "http://localhost:4318"),
            ("http//localhost:4318", "http://localhost:4318"),
            ("HTTPS://localhost:4318", "https://localhost:4318"),
            ("grpc://localhost:4317", "http://localhost:4317"),
            (" http://localhost:4318 ", "http://localhost:4318"),
            ("http://local host:4318", "http://localhost:4318"),
            ("//localhost:4318/base", "http://localhost:4318/base"),
        ] {
            let complaint = complaint(text);
            assert!(complaint.ends_with(&format!("; did you mean `{right}`?")), "{text}: {complaint}");
        }
    }

    #[test]
    fn what_cannot_be_guessed_is_refused_without_a_hint() {
        for text in [
            "",
            "http://",
            "http://:4318",
            "http://host:99999",
            "http://host:0",
            "http://host:",
            "http://a\"b",
            "/",
        ] {
            let complaint = complaint(text);
            assert!(!complaint.contains("did you mean"), "{text}: {complaint}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        assert!(!complaint("https://user:secret@host").contains("secret"));
    }

    #[test]
    fn a_path_is_put_behind_the_url_s_own() {
        let join = |text: &str| text.parse::<Endpoint>().unwrap().join("v1/logs").to_string();
        assert_eq!(join("http://h:4318"), "http://h:4318/v1/logs");
        assert_eq!(join("http://h:4318/"), "http://h:4318/v1/logs");
        assert_eq!(join("https://h/base//"), "https://h/base/v1/logs");
        assert_eq!(join("https://h/base?key=1"), "https://h/base/v1/logs?key=1");
        join(&format!("http://h/{}", "x".repeat(MAX_LENGTH - 9)));
    }
}
