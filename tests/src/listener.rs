//! Listeners whose queues overflow on purpose.

use crate::netns::{Family, Namespace};
use crate::process::Process;
use crate::wait::wait_for;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// A TCP socket that listens and never accepts.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Listener {
    /// Listens inside `namespace`. The kernel lets `backlog` + 1 connections wait for `accept()`.
    pub fn start(namespace: &Namespace, family: Family, backlog: i32) -> Self {
        let address = SocketAddr::new(namespace.address(family), 0);
        let socket = namespace.run(|| {
            let socket = tcp_socket(family, SocketFlags::empty());
            rustix::net::bind(&socket, &address).expect("bind");
            rustix::net::listen(&socket, backlog).expect("listen");
            socket
        });
        let address = SocketAddr::try_from(rustix::net::getsockname(&socket).expect("getsockname"));
        Self { socket, address: address.expect("an IP address") }
    }

    /// Changes how many may wait.
    pub fn limit(&self, backlog: i32) {
        rustix::net::listen(&self.socket, backlog).expect("listen");
    }
}

fn tcp_socket(family: Family, flags: SocketFlags) -> OwnedFd {
    let family = match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
    };
    rustix::net::socket_with(family, SocketType::STREAM, flags, None).expect("socket")
}

/// Sends a SYN to `peer` and does not wait for the answer. The kernel sends it again, after a second at first, until the
/// socket is dropped.
pub fn send_syn(from: &Namespace, peer: SocketAddr) -> OwnedFd {
    let family = if peer.is_ipv4() { Family::V4 } else { Family::V6 };
    from.run(|| {
        let socket = tcp_socket(family, SocketFlags::NONBLOCK);
        let outcome = rustix::net::connect(&socket, &peer);
        assert!(matches!(outcome, Ok(()) | Err(Errno::INPROGRESS)), "connect to {peer}: {outcome:?}");
        socket
    })
}

/// Port of this end.
pub fn local_port(socket: &OwnedFd) -> u16 {
    let name = rustix::net::getsockname(socket).expect("getsockname");
    SocketAddr::try_from(name).expect("an IP address").port()
}

/// Sets a setting of IPv4 and IPv6 below `net.ipv4` in `namespace`.
pub fn set_sysctl(namespace: &Namespace, name: &str, value: &str) {
    namespace.run(|| std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value).expect("set it"));
}

/// A counter of `TcpExt` in `namespace`, as nstat has it.
pub fn counter(namespace: &Namespace, name: &str) -> u64 {
    let text =
        namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/netstat").expect("read netstat"));
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let value = pairs.find(|(found, _)| *found == name).map(|(_, value)| value.parse());
    value.unwrap_or_else(|| panic!("no counter {name}")).expect("a number")
}

/// Sends `count` SYNs, one after the other as each is refused, and takes each back before it is sent again: the client's
/// ports. `counter_name` is what the kernel counts them by.
pub fn refused_syns(
    from: &Namespace,
    to: &Namespace,
    peer: SocketAddr,
    counter_name: &str,
    count: u64,
) -> Vec<u16> {
    let before = counter(to, counter_name);
    let refuse = |number: u64| {
        let socket = send_syn(from, peer);
        wait_for("a SYN to be refused", || (counter(to, counter_name) >= before + number).then_some(()));
        local_port(&socket)
    };
    (1..=count).map(refuse).collect()
}

/// A process that is in `namespace` and does nothing.
pub fn inhabitant(namespace: &Namespace, directory: &Path) -> Process {
    let mut command = Command::new("sleep");
    command.arg("600");
    Process::start(command, Some(namespace), &directory.join(format!("{}.txt", namespace.inode)))
}
