//! Tells systemd how the service is (`sd_notify(3)`).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// The start is finished: `Type=notify` units count as started now.
    Ready,
    /// The end has begun.
    Stopping,
}

impl ServiceState {
    fn message(self) -> &'static [u8] {
        match self {
            Self::Ready => b"READY=1",
            Self::Stopping => b"STOPPING=1",
        }
    }
}

/// Tells `state` to the service manager, if there is one that wants to know (`NOTIFY_SOCKET`).
pub fn notify(state: ServiceState) -> io::Result<()> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(socket) => send(&socket, state),
        None => Ok(()),
    }
}

fn send(socket: &OsStr, state: ServiceState) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.message(), &address)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn received(manager: &UnixDatagram) -> Vec<u8> {
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn the_manager_is_told_on_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), ServiceState::Ready).unwrap();
        assert_eq!(received(&manager), b"READY=1");
    }

    #[test]
    fn the_manager_is_told_on_an_abstract_name() {
        let name = format!("tcpdrop-otel-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), ServiceState::Stopping).unwrap();
        assert_eq!(received(&manager), b"STOPPING=1");
    }

    #[test]
    fn an_absent_manager_is_an_error() {
        assert!(send(OsStr::new("/nonexistent/notify"), ServiceState::Ready).is_err());
    }
}
