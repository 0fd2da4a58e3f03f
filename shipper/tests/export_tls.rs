//! The export over TLS: who is trusted, and what is said otherwise.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod export_receiver;

use export_receiver::{ANY, Receiver, destination, request};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tcpdrop_otel::config::model::{Protocol, Tls};
use tcpdrop_otel::export::Signal;
use tcpdrop_otel::export::answer::Answer;
use tcpdrop_otel::export::connector::OwnPortRegistry;
use tcpdrop_otel::export::destination::Destination;
use tcpdrop_otel::export::route::Route;
use tcpdrop_otel::export::send::Transport;
use tcpdrop_otel::export::transport::OtlpTransport;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(Default)]
struct Recorded(Mutex<Vec<u16>>);

impl OwnPortRegistry for Recorded {
    fn register(&self, _: u16, peer_port: u16) {
        self.0.lock().unwrap().push(peer_port);
    }

    fn release(&self, _: u16, _: u16) {}
}

/// A CA and what it signed, as files.
struct Authority {
    folder: TempDir,
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mut params = CertificateParams::new([]).unwrap();
        let name = format!("CA {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let authority =
            Self { folder: tempfile::tempdir().unwrap(), certificate, issuer: Issuer::new(params, key) };
        std::fs::write(authority.ca_file(), authority.certificate.pem()).unwrap();
        authority
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A client's certificate and key, as settings.
    fn client(&self, trusted: &Self) -> Tls {
        let (certificate, key) = self.sign("agent");
        let file = |name, text: String| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        Tls {
            ca_file: Some(trusted.ca_file()),
            cert_file: file("agent.pem", certificate.pem()),
            key_file: file("agent.key", key.serialize_pem()),
        }
    }

    fn server(&self, asks_for_certificates: bool) -> ServerConfig {
        let (certificate, key) = self.sign("localhost");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let verifier = match asks_for_certificates {
            true => WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .unwrap(),
            false => WebPkiClientVerifier::no_client_auth(),
        };
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap()
    }
}

/// A receiver behind TLS.
async fn start(server: ServerConfig) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let (receiver, listener) = (Receiver::start(ANY, []).await, TcpListener::bind(ANY).await.unwrap());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                let receiver = receiver.clone();
                tokio::spawn(async move { receiver.talk(stream, 0).await });
            }
        }
    });
    address
}

fn trusting(ca: &Authority) -> Tls {
    Tls { ca_file: Some(ca.ca_file()), ..Tls::default() }
}

async fn send(destination: Destination, registry: Arc<Recorded>) -> Answer {
    let transport = OtlpTransport::new(Route::read(destination).unwrap(), registry);
    transport.send(&request(Signal::Logs, "body", 1, 1)).await
}

async fn send_to(address: SocketAddr, tls: Tls) -> Answer {
    let url = format!("https://localhost:{}/v1/logs", address.port());
    send(Destination { tls, ..destination(url) }, Arc::default()).await
}

fn why(answer: &Answer) -> &str {
    let Answer::Retry { why, .. } = answer else { panic!("{answer:?}") };
    why
}

const ACCEPTED: Answer = Answer::Accepted { rejected: 0, message: None };

#[tokio::test]
async fn a_trusted_receiver_is_reached_and_its_connection_registered() {
    let authority = Authority::new();
    let address = start(authority.server(false)).await;
    let registry = Arc::new(Recorded::default());
    let url = format!("https://localhost:{}/v1/logs", address.port());
    let destination = Destination { tls: trusting(&authority), ..destination(url) };
    assert_eq!(send(destination, Arc::clone(&registry)).await, ACCEPTED);
    assert!(registry.0.lock().unwrap().contains(&address.port()));
}

#[tokio::test]
async fn an_unknown_issuer_is_said() {
    let address = start(Authority::new().server(false)).await;
    let answer = send_to(address, trusting(&Authority::new())).await;
    assert!(why(&answer).contains("no CA of export.tls.ca_file has signed"), "{answer:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_said() {
    let authority = Authority::new();
    let address = start(authority.server(false)).await;
    let url = format!("https://127.0.0.1:{}/v1/logs", address.port());
    let answer = send(Destination { tls: trusting(&authority), ..destination(url) }, Arc::default()).await;
    assert!(why(&answer).contains("not valid for name \"127.0.0.1\""), "{answer:?}");
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_certificate_gets_it() {
    let authority = Authority::new();
    let address = start(authority.server(true)).await;
    assert_eq!(send_to(address, authority.client(&authority)).await, ACCEPTED);

    let without = send_to(address, trusting(&authority)).await;
    assert!(why(&without).contains("export.tls.cert_file"), "{without:?}");
    let stranger = send_to(address, Authority::new().client(&authority)).await;
    assert!(why(&stranger).contains("may not accept the client certificate"), "{stranger:?}");
}

#[tokio::test]
async fn grpc_needs_http_2() {
    let authority = Authority::new();
    let mut server = authority.server(false);
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let address = start(server).await;
    let url = format!("https://localhost:{}/Export", address.port());
    let grpc = Destination { protocol: Protocol::Grpc, tls: trusting(&authority), ..destination(url) };
    let answer = send(grpc, Arc::default()).await;
    assert!(why(&answer).contains("does not speak HTTP/2"), "{answer:?}");
}

#[tokio::test]
async fn tls_to_a_plain_port_is_said() {
    let plain = Receiver::start(ANY, []).await;
    let plain_port = TcpListener::bind(ANY).await.unwrap();
    let address = plain_port.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = plain_port.accept().await.unwrap();
        let refusal = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, refusal).await.unwrap();
        plain.talk(stream, 0).await;
    });
    let answer = send_to(address, trusting(&Authority::new())).await;
    assert!(why(&answer).contains("http:// instead of https://"), "{answer:?}");
}

#[tokio::test]
async fn the_hosts_own_certificates_are_found_or_their_lack_is_explained() {
    if let Err(error) = Route::read(destination("https://localhost:4318/v1/logs".to_owned())) {
        assert!(error.to_string().contains("ca-certificates"), "{error}");
    }
}
