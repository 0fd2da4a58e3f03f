//! [`Route`]: a destination with what its files hold, read and checked before anything is started.

use super::destination::Destination;
use super::service::Service;
use crate::config::headers;
use crate::config::model::{Export, SignalExporter, Tls};
use hyper_rustls::ConfigBuilderExt;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// More than any bundle of certificates; a device that was named by mistake must not fill the memory.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Why there is no route to a destination: something is wrong on this host, whatever the receiver does.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// No CA certificates.
    #[error(
        "https needs the host's CA certificates: {0}; install them (the package is often named ca-certificates), or \
         name a file of them in export.tls.ca_file"
    )]
    NoRoots(io::Error),
    /// A file that the settings name is not there, or is not what it should be.
    #[error("{setting} {}: {what}", path.display())]
    File {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause and remedy.
        what: String,
    },
    /// A certificate without its key, or the other way round.
    #[error(
        "export.tls.{given} is set and export.tls.{missing} is not: a client certificate needs both, or neither"
    )]
    Unpaired {
        /// The setting that is there.
        given: &'static str,
        /// The setting that is not.
        missing: &'static str,
    },
    /// The certificate and its key do not belong together, or are of a kind that the TLS library does not know.
    #[error("export.tls.cert_file {} cannot be used with its export.tls.key_file: {source}", cert.display())]
    ClientCertificate {
        /// The certificate's file.
        cert: PathBuf,
        /// The library's answer.
        source: rustls::Error,
    },
    /// The TLS library refused its configuration.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A destination, complete: with the headers and certificates of its files.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where to, with all headers.
    pub(crate) destination: Destination,
    pub(super) tls: ClientConfig,
}

impl Route {
    /// The route of a signal; `None` if it is not exported.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of(export: &Export, service: impl Into<Service>) -> Result<Option<Self>, RouteError> {
        let service = service.into();
        match export.of(service).exporter {
            SignalExporter::Otlp => Self::read(export.destination(service)).map(Some),
            SignalExporter::None => Ok(None),
        }
    }

    /// Reads the files that `destination` names; the certificates only if it is `https`. They are read once: what changes
    /// in them later needs a new route.
    ///
    /// # Errors
    /// A file is missing or wrong. See [`RouteError`].
    pub fn read(mut destination: Destination) -> Result<Self, RouteError> {
        if let Some(path) = &destination.headers_file {
            let mut headers = read_headers(path)?;
            headers.extend(std::mem::take(&mut destination.headers));
            destination.headers = headers;
        }
        let tls = if destination.is_tls() { client_config(&destination.tls)? } else { without_roots()? };
        Ok(Self { destination, tls })
    }
}

fn read_headers(path: &Path) -> Result<http::HeaderMap, RouteError> {
    let wrong = |what| RouteError::File { setting: "export.headers_file", path: path.to_owned(), what };
    let text = read(path).map_err(|error| wrong(unreadable(&error)))?;
    let text = String::from_utf8(text).map_err(|_| wrong("it is not UTF-8 text".to_owned()))?;
    headers::parse_file(&text).map_err(wrong)
}

fn builder() -> Result<ConfigBuilder<ClientConfig, rustls::WantsVerifier>, RouteError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?)
}

fn without_roots() -> Result<ClientConfig, RouteError> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn client_config(files: &Tls) -> Result<ClientConfig, RouteError> {
    let roots = match &files.ca_file {
        Some(path) => builder()?.with_root_certificates(read_roots(path)?),
        None => builder()?.with_native_roots().map_err(RouteError::NoRoots)?,
    };
    let unpaired = |given, missing| Err(RouteError::Unpaired { given, missing });
    match (&files.cert_file, &files.key_file) {
        (Some(cert), Some(key)) => with_client_certificate(roots, cert, key),
        (None, None) => Ok(roots.with_no_client_auth()),
        (Some(_), None) => unpaired("cert_file", "key_file"),
        (None, Some(_)) => unpaired("key_file", "cert_file"),
    }
}

fn with_client_certificate(
    roots: ConfigBuilder<ClientConfig, WantsClientCert>,
    cert: &Path,
    key: &Path,
) -> Result<ClientConfig, RouteError> {
    let chain = read_certificates("export.tls.cert_file", cert)?;
    let wrong_key = |what| RouteError::File { setting: "export.tls.key_file", path: key.to_owned(), what };
    let pem = read(key).map_err(|error| wrong_key(unreadable(&error)))?;
    let private_key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| wrong_key(no_key(&error)))?;
    roots
        .with_client_auth_cert(chain, private_key)
        .map_err(|source| RouteError::ClientCertificate { cert: cert.to_owned(), source })
}

fn read_roots(path: &Path) -> Result<RootCertStore, RouteError> {
    const SETTING: &str = "export.tls.ca_file";
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(SETTING, path)? {
        roots.add(certificate).map_err(|error| RouteError::File {
            setting: SETTING,
            path: path.to_owned(),
            what: format!("a certificate of it cannot be used: {error}"),
        })?;
    }
    Ok(roots)
}

fn read_certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, RouteError> {
    let wrong = |what| RouteError::File { setting, path: path.to_owned(), what };
    let pem = read(path).map_err(|error| wrong(unreadable(&error)))?;
    let certificates: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| wrong(format!("it is not a PEM file: {error}")))?;
    if certificates.is_empty() {
        return Err(wrong("it holds no certificate, \"-----BEGIN CERTIFICATE-----\" (PEM)".to_owned()));
    }
    Ok(certificates)
}

fn no_key(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => {
            "it holds no private key, \"-----BEGIN PRIVATE KEY-----\" (PEM, without a password)".to_owned()
        }
        // Not shown in full: the library may repeat a part of the file.
        _ => "it is not a PEM file".to_owned(),
    }
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            "the user that the agent runs as may not read it; give the file to that user or its group"
                .to_owned()
        }
        ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other("it is over 4 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "route_tests.rs"]
mod tests;
