//! A small HTTP server that gives scripted answers and keeps what it got.

use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tcpdrop_otel::config::model::{Compression, Protocol, Tls};
use tcpdrop_otel::export::connector::NoRegistry;
use tcpdrop_otel::export::destination::Destination;
use tcpdrop_otel::export::route::Route;
use tcpdrop_otel::export::transport::OtlpTransport;
use tcpdrop_otel::export::{Contents, EncodedRequest, Signal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// What to do with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Status line and headers, each with its line end, and the body.
    Answer(&'static str, Vec<u8>),
    /// Nothing, ever.
    Hang,
    /// Status line and headers, and a body without end.
    Endless(&'static str),
    /// End the connection.
    Close,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<VecDeque<Reply>>>,
    received: Arc<Mutex<Vec<Received>>>,
}

pub(crate) const OK: Reply =
    Reply::Answer("HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n", Vec::new());

impl Receiver {
    /// Listens on `address`; after the script, everything is [`OK`].
    pub(crate) async fn start(address: SocketAddr, script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            received: Arc::default(),
        };
        let served = receiver.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let served = served.clone();
                tokio::spawn(async move { served.talk(stream, connection).await });
            }
        });
        receiver
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Serves a connection until it ends.
    pub(crate) async fn talk(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, connection: usize) {
        while let Some((head, body)) = read_request(&mut stream).await {
            self.received.lock().unwrap().push(Received { head, body, connection });
            let reply = self.script.lock().unwrap().pop_front().unwrap_or(OK);
            match reply {
                Reply::Answer(head, body) => {
                    let head = format!("{head}content-length: {}\r\n\r\n", body.len());
                    if stream.write_all(head.as_bytes()).await.is_err()
                        || stream.write_all(&body).await.is_err()
                    {
                        return;
                    }
                }
                Reply::Endless(head) => {
                    let head = format!("{head}content-length: {}\r\n\r\n", u64::MAX / 2);
                    let mut sent = stream.write_all(head.as_bytes()).await;
                    while sent.is_ok() {
                        sent = stream.write_all(&[b'x'; 4_096]).await;
                    }
                    return;
                }
                Reply::Hang => std::future::pending().await,
                Reply::Close => return,
            }
        }
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        stream.read_buf(&mut bytes).await.ok().filter(|&read| read > 0)?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = bytes.split_off(end);
    while body.len() < length.parse().unwrap() {
        stream.read_buf(&mut body).await.ok().filter(|&read| read > 0)?;
    }
    Some((head, body))
}

pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// An address where nothing listens.
pub(crate) async fn closed_address() -> SocketAddr {
    TcpListener::bind(ANY).await.unwrap().local_addr().unwrap()
}

pub(crate) fn destination(url: String) -> Destination {
    Destination {
        url: url.parse().unwrap(),
        protocol: Protocol::HttpProtobuf,
        headers: http::HeaderMap::new(),
        headers_file: None,
        timeout: Duration::from_secs(10),
        compression: Compression::Gzip,
        tls: Tls::default(),
    }
}

pub(crate) fn transport(destination: Destination) -> OtlpTransport {
    OtlpTransport::new(Route::read(destination).unwrap(), Arc::new(NoRegistry))
}

pub(crate) fn request(signal: Signal, body: impl Into<Bytes>, records: u64, drops: u64) -> EncodedRequest {
    EncodedRequest { signal, body: body.into(), contents: Contents { records, drops, totals: 0 } }
}
