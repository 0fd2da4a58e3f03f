//! The export over TLS.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod export_receiver;

use export_receiver::{ANY, Receiver, destination, request};
use rcgen::CertifiedKey;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tcpdrop_otel::export::Signal;
use tcpdrop_otel::export::answer::Answer;
use tcpdrop_otel::export::connector::OwnPortRegistry;
use tcpdrop_otel::export::http::{HttpClient, OtlpHttp};
use tcpdrop_otel::export::send::Transport;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(Default)]
struct Recorded(Mutex<Vec<u16>>);

impl OwnPortRegistry for Recorded {
    fn register(&self, _: u16, peer_port: u16) {
        self.0.lock().unwrap().push(peer_port);
    }
}

/// A receiver behind TLS, and its certificate.
async fn start() -> (SocketAddr, rustls::pki_types::CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
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
    (address, cert.der().clone())
}

/// Sends to `url`, trusting `roots`.
async fn send(url: String, roots: RootCertStore, registry: Arc<Recorded>) -> Answer {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let transport = OtlpHttp::new(HttpClient::with_tls(tls, registry), destination(url));
    transport.send(&request(Signal::Logs, "body", 1, 1)).await
}

fn why(answer: &Answer) -> &str {
    let Answer::Retry { why, .. } = answer else { panic!("{answer:?}") };
    why
}

#[tokio::test]
async fn a_trusted_receiver_is_reached_and_its_connection_registered() {
    let (address, certificate) = start().await;
    let (mut roots, registry) = (RootCertStore::empty(), Arc::new(Recorded::default()));
    roots.add(certificate).unwrap();
    let url = format!("https://localhost:{}/v1/logs", address.port());
    let answer = send(url, roots, Arc::clone(&registry)).await;
    assert_eq!(answer, Answer::Accepted { rejected: 0, message: None });
    assert!(registry.0.lock().unwrap().contains(&address.port()));
}

#[tokio::test]
async fn an_unknown_issuer_is_said() {
    let (address, _) = start().await;
    let url = format!("https://localhost:{}/v1/logs", address.port());
    let answer = send(url, RootCertStore::empty(), Arc::default()).await;
    assert!(why(&answer).contains("no CA that this host trusts"), "{answer:?}");
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
    let answer = send(format!("https://{address}/v1/logs"), RootCertStore::empty(), Arc::default()).await;
    assert!(why(&answer).contains("http:// instead of https://"), "{answer:?}");
}

#[tokio::test]
async fn the_hosts_own_certificates_are_found_or_their_lack_is_explained() {
    let destination = destination("https://localhost:4318/v1/logs".to_owned());
    if let Err(error) = HttpClient::new([&destination], Arc::new(Recorded::default())) {
        assert!(error.to_string().contains("ca-certificates"), "{error}");
    }
}
