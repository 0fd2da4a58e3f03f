//! Connections whose ports count as the agent's own for as long as they are, and a little longer.

use super::connector::OwnPortRegistry;
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// How long a port stays the agent's after its socket was closed: the kernel's TIME_WAIT is a minute, retransmissions of
/// the peer may come later.
pub(super) const GRACE: Duration = Duration::from_secs(120);

/// A port that is registered, until [`GRACE`] after this is dropped.
pub(super) struct PortLease {
    registry: Arc<dyn OwnPortRegistry>,
    local_port: u16,
    peer_port: u16,
    runtime: Handle,
}

impl PortLease {
    /// Must be called in a tokio runtime.
    pub(super) fn register(registry: &Arc<dyn OwnPortRegistry>, local_port: u16, peer_port: u16) -> Self {
        registry.register(local_port, peer_port);
        Self { registry: Arc::clone(registry), local_port, peer_port, runtime: Handle::current() }
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        let (registry, local_port, peer_port) = (Arc::clone(&self.registry), self.local_port, self.peer_port);
        self.runtime.spawn(async move {
            tokio::time::sleep(GRACE).await;
            registry.release(local_port, peer_port);
        });
    }
}

/// A connection of the agent's own.
pub struct OwnStream {
    stream: TokioIo<TcpStream>,
    _lease: PortLease,
}

impl fmt::Debug for OwnStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket().fmt(formatter)
    }
}

impl OwnStream {
    pub(super) fn new(stream: TcpStream, lease: PortLease) -> Self {
        Self { stream: TokioIo::new(stream), _lease: lease }
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        self.stream.inner()
    }
}

impl hyper::rt::Read for OwnStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for OwnStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

impl Connection for OwnStream {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}
