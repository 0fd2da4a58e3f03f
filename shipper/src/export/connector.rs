//! Connections whose local port is known before the first packet leaves.
//!
//! The agent's own packets may be dropped too, and a refused SYN has no socket to recognise it by. So each socket is
//! bound first and its port registered, which the kernel side asks before it admits a drop; then it connects.
//! `docs/decisions/export-connector.md` has the alternatives.

use super::own_stream::{OwnStream, PortLease};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpSocket, lookup_host};
use tokio::time::timeout;

/// Is told of the export's local ports.
pub trait OwnPortRegistry: Send + Sync {
    /// A socket of the agent, bound to `local_port`, is about to connect to `peer_port`. Called before the SYN leaves;
    /// must not block.
    fn register(&self, local_port: u16, peer_port: u16);

    /// That socket is gone, and so are its last packets: others may have the port.
    fn release(&self, local_port: u16, peer_port: u16);
}

/// For uses without a kernel side.
#[derive(Clone, Copy, Debug)]
pub struct NoRegistry;

impl OwnPortRegistry for NoRegistry {
    fn register(&self, _local_port: u16, _peer_port: u16) {}

    fn release(&self, _local_port: u16, _peer_port: u16) {}
}

/// Addresses of one name that are tried, at most.
const MAX_ADDRESSES: usize = 8;

/// Limit on connecting, all addresses of the name together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL names no host; the settings are checked for that.
    #[error("the URL names no host")]
    NoHost,
    /// The resolver failed.
    #[error("the name {host} cannot be resolved: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's answer.
        source: io::Error,
    },
    /// No address of the name took the connection; this is the last that was tried.
    #[error("no connection to {address}: {}", describe(.source))]
    Connect {
        /// The address.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What the kernel says, without the error number.
fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused, nothing listens there".to_owned(),
        io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no route to it".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no free local port, or no local address of its kind".to_owned(),
        _ => error.to_string(),
    }
}

/// Connects for hyper's client: binds, registers, connects.
#[derive(Clone)]
pub struct RegisteringConnector {
    registry: Arc<dyn OwnPortRegistry>,
}

impl fmt::Debug for RegisteringConnector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RegisteringConnector").finish_non_exhaustive()
    }
}

impl RegisteringConnector {
    /// A connector that tells `registry`.
    pub fn new(registry: Arc<dyn OwnPortRegistry>) -> Self {
        Self { registry }
    }

    /// Connects to the first address of `host` that takes the connection.
    pub async fn connect(&self, host: &str, port: u16) -> Result<OwnStream, ConnectError> {
        let unresolved = |source| ConnectError::Resolve { host: host.to_owned(), source };
        let addresses: Vec<SocketAddr> =
            lookup_host((host, port)).await.map_err(unresolved)?.take(MAX_ADDRESSES).collect();
        self.connect_first(&addresses, unresolved(io::ErrorKind::NotFound.into())).await
    }

    /// Tries the addresses in their order. Fails as the last of them did, or with `failure` if there are none.
    async fn connect_first(
        &self,
        addresses: &[SocketAddr],
        mut failure: ConnectError,
    ) -> Result<OwnStream, ConnectError> {
        for &address in addresses {
            match timeout(share(addresses.len()), self.connect_address(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(source)) => failure = ConnectError::Connect { address, source },
                Err(_) => failure = ConnectError::Connect { address, source: io::ErrorKind::TimedOut.into() },
            }
        }
        Err(failure)
    }

    async fn connect_address(&self, address: SocketAddr) -> io::Result<OwnStream> {
        let (socket, any) = match address {
            SocketAddr::V4(_) => (TcpSocket::new_v4()?, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (TcpSocket::new_v6()?, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        // Neither SO_REUSEADDR (another process could share the port, and its drops would pass for ours) nor
        // IP_BIND_ADDRESS_NO_PORT (the port would be chosen with the SYN, too late to register it).
        socket.bind(any)?;
        let lease = PortLease::register(&self.registry, socket.local_addr()?.port(), address.port());
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(OwnStream::new(stream, lease))
    }
}

/// An address's share of the time to connect, so that a silent one does not use up the time of those after it.
fn share(addresses: usize) -> Duration {
    CONNECT_TIMEOUT / u32::try_from(addresses).unwrap_or(u32::MAX).max(1)
}

impl tower_service::Service<http::Uri> for RegisteringConnector {
    type Response = OwnStream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: http::Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let host = url.host().ok_or(ConnectError::NoHost)?;
            let default_port = if url.scheme_str() == Some("https") { 443 } else { 80 };
            let port = url.port_u16().unwrap_or(default_port);
            connector.connect(without_brackets(host), port).await
        })
    }
}

/// `[::1]` of a URL as the resolver knows it.
fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::export::own_stream::GRACE;
    use std::sync::Mutex;
    use tokio::net::TcpListener;

    #[derive(Default)]
    struct Recorded(Mutex<Vec<(u16, u16)>>);

    impl OwnPortRegistry for Recorded {
        fn register(&self, local_port: u16, peer_port: u16) {
            self.0.lock().unwrap().push((local_port, peer_port));
        }

        fn release(&self, local_port: u16, peer_port: u16) {
            let mut registered = self.0.lock().unwrap();
            let index = registered.iter().position(|&ports| ports == (local_port, peer_port));
            registered.remove(index.expect("it was registered"));
        }
    }

    /// Looks, at the time of registering, whether the listener got a connection already.
    struct NothingCameYet(std::net::TcpListener);

    impl OwnPortRegistry for NothingCameYet {
        fn register(&self, local_port: u16, _: u16) {
            assert!(local_port > 0);
            assert_eq!(self.0.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }

        fn release(&self, _: u16, _: u16) {}
    }

    #[tokio::test]
    async fn the_port_is_registered_before_the_connection_and_is_the_peers() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(any).await else {
                println!("skipped: this host has no {any}");
                continue;
            };
            let address = listener.local_addr().unwrap();
            let registry = Arc::new(Recorded::default());
            let connector = RegisteringConnector::new(Arc::clone(&registry) as Arc<dyn OwnPortRegistry>);
            let _stream = connector.connect(&address.ip().to_string(), address.port()).await.unwrap();
            let (_, peer) = listener.accept().await.unwrap();
            assert_eq!(*registry.0.lock().unwrap(), [(peer.port(), address.port())]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_stays_registered_for_a_while_after_its_connection_and_no_longer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = Arc::new(Recorded::default());
        let connector = RegisteringConnector::new(Arc::clone(&registry) as Arc<dyn OwnPortRegistry>);
        let registered = || registry.0.lock().unwrap().len();
        let stream = connector.connect_address(listener.local_addr().unwrap()).await.unwrap();
        tokio::time::sleep(2 * GRACE).await;
        assert_eq!(registered(), 1, "as long as it is open");
        drop(stream);
        tokio::time::sleep(GRACE / 2).await;
        assert_eq!(registered(), 1, "late packets are own too");
        tokio::time::sleep(GRACE).await;
        assert_eq!(registered(), 0);
    }

    #[tokio::test]
    async fn no_syn_leaves_before_the_port_is_registered() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connector = RegisteringConnector::new(Arc::new(NothingCameYet(listener)));
        connector.connect("127.0.0.1", port).await.unwrap();
    }

    #[tokio::test]
    async fn a_refused_connection_was_registered_and_says_where() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let registry = Arc::new(Recorded::default());
        let connector = RegisteringConnector::new(Arc::clone(&registry) as Arc<dyn OwnPortRegistry>);
        let error = connector.connect("127.0.0.1", closed.port()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("no connection to {closed}: connection refused, nothing listens there")
        );
        assert_eq!(registry.0.lock().unwrap()[0].1, closed.port());
    }

    #[tokio::test]
    async fn the_next_address_is_tried() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let connector = RegisteringConnector::new(Arc::new(NoRegistry));
        let stream = connector.connect_first(&[closed, open], ConnectError::NoHost).await.unwrap();
        assert_eq!(stream.socket().peer_addr().unwrap(), open);
        let error = connector.connect_first(&[], ConnectError::NoHost).await.unwrap_err();
        assert!(matches!(error, ConnectError::NoHost));
    }

    #[test]
    fn addresses_share_the_time() {
        assert_eq!(share(0), CONNECT_TIMEOUT);
        assert_eq!(share(5), CONNECT_TIMEOUT / 5);
    }

    #[test]
    fn ipv6_literals_lose_their_brackets() {
        assert_eq!(without_brackets("[::1]"), "::1");
        assert_eq!(without_brackets("example.test"), "example.test");
    }
}
