//! Network namespaces.

use super::{ANSWER, Watched};
use crate::netns::{enter, output_of, succeed};
use crate::wait::wait_for;
use crate::zoo::now;
use crate::zoo::sys::{self, PacketSocket};
use socket2::{Protocol, SockAddr, Socket, Type};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// A network namespace; gone with its last socket.
#[derive(Debug)]
pub struct Net {
    handle: File,
    /// When it was made, in nanoseconds since the epoch: an inode number may have been another namespace's before.
    pub since: u64,
    /// Inode number, by which records name it.
    pub inode: u64,
    /// Its cookie, where the kernel has one (5.14).
    pub cookie: Option<u64>,
}

impl Net {
    /// A new one, with its loopback interface up.
    pub fn new() -> Self {
        const SO_NETNS_COOKIE: i32 = 71;
        let since = now();
        let (handle, cookie) = std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                sys::enter_new_network_namespace().expect("make a network namespace");
                let handle = File::open("/proc/thread-self/ns/net").expect("open the namespace");
                let socket = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
                (handle, sys::long_option(&socket, libc::SOL_SOCKET, SO_NETNS_COOKIE).ok())
            });
            made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let inode = handle.metadata().expect("stat the namespace").ino();
        let net = Self { handle, since, inode, cookie };
        net.ip("link set lo up");
        net
    }

    /// Runs `work` on a thread that is inside. Sockets that it opens belong there for as long as they live.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        enter(&self.handle, work)
    }

    /// Runs a program inside, with `input`: its standard output.
    pub fn command(&self, program: &str, arguments: &str, input: &str) -> String {
        self.run(|| succeed(Command::new(program).args(arguments.split_whitespace()), input))
    }

    /// Lines of `ip`.
    pub fn ip(&self, lines: &str) {
        self.command("ip", "-batch -", lines);
    }

    /// Lines of `tc`.
    pub fn tc(&self, lines: &str) {
        self.command("tc", "-batch -", lines);
    }

    /// Rules of `nft`.
    pub fn nft(&self, rules: &str) {
        self.command("nft", "-f -", rules);
    }

    /// Drops packets that fit `rule` at a hook of nftables (`input`; `ingress device eth0` in table `netdev`): what it
    /// counts.
    pub fn drop_at(&self, table: &str, hook: &str, rule: &str) -> Watched<'_> {
        self.nft(&format!(
            "table {table} zoo {{
                counter dropped {{ }}
                chain drops {{ type filter hook {hook} priority 0; {rule} counter name dropped drop; }}
            }}"
        ));
        Watched::new(self, "nft dropped")
    }

    /// Sets a value below `/proc/sys/net`.
    pub fn sysctl(&self, path: &str, value: &str) {
        self.run(|| std::fs::write(format!("/proc/sys/net/{path}"), value))
            .unwrap_or_else(|error| panic!("set {path}: {error}"));
    }

    /// Adds addresses to an interface, of both families, and waits until the kernel takes packets for them: with IPv6 that
    /// is a moment later.
    pub fn add_addresses(&self, interface: &str, v4: Ipv4Addr, v6: Ipv6Addr) {
        self.ip(&format!(
            "address add {v4}/24 dev {interface}
             address add {v6}/64 dev {interface} nodad"
        ));
        let destination = format!("{:032x} 80 ", v6.to_bits());
        let routes = || self.run(|| std::fs::read_to_string("/proc/thread-self/net/ipv6_route"));
        let is_local = || routes().is_ok_and(|routes| routes.contains(&destination));
        wait_for("the local route of an address", || is_local().then_some(()));
    }

    /// A path by which other processes can name this namespace.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }

    /// Adds a veth pair between this namespace and another: name and address of each end.
    pub fn connect(&self, here: (&str, [u8; 6]), other: &Net, there: (&str, [u8; 6])) {
        self.ip(&format!(
            "link add {} address {} type veth peer name {} address {} netns {}",
            here.0,
            mac_text(here.1),
            there.0,
            mac_text(there.1),
            other.path()
        ));
        // In this order the near end is ready at once; the far end's queue a moment later.
        other.ip(&format!("link set {} up", there.0));
        self.ip(&format!("link set {} up", here.0));
    }

    /// Waits until the carrier was noticed: before, IPv6 does little on an interface, and queues drop all.
    pub fn wait_until_running(&self, interface: &str) {
        let is_running = || self.run(|| sys::is_running(interface)).expect("flags of an interface");
        wait_for("the carrier", || is_running().then_some(()));
    }

    /// Whether the kernel has this kind of interface, told as `ip link add … type` takes it.
    pub fn can_have_link(&self, kind: &str) -> bool {
        let add = || {
            let words = format!("link add probe type {kind}");
            output_of(Command::new("ip").args(words.split_whitespace()), "").expect("run ip")
        };
        let told = self.run(add).stderr;
        let told = String::from_utf8_lossy(&told);
        !told.contains("Unknown device type") && !told.contains("not supported")
    }

    /// Index of an interface.
    pub fn index(&self, interface: &str) -> u32 {
        let listing = self.command("ip", &format!("-o link show dev {interface}"), "");
        let index = listing.split(':').next().and_then(|number| number.trim().parse().ok());
        index.unwrap_or_else(|| panic!("no index in {listing}"))
    }

    /// A packet socket on an interface.
    pub fn packet_socket(&self, interface: &str) -> PacketSocket {
        let index = self.index(interface);
        self.run(|| PacketSocket::open(index))
            .unwrap_or_else(|error| panic!("listen on {interface}: {error}"))
    }

    /// Sends a whole IP packet through a raw socket.
    pub fn send_raw(&self, packet: &[u8], destination: IpAddr) -> std::io::Result<()> {
        self.run(|| sys::send_raw(packet, destination))
    }

    /// A listener.
    pub fn listen(&self, address: impl Into<IpAddr>) -> TcpListener {
        self.listen_with(address, |_| ())
    }

    /// A listener whose socket is prepared before it is bound.
    pub fn listen_with(
        &self,
        address: impl Into<IpAddr>,
        prepare: impl FnOnce(&Socket) + Send,
    ) -> TcpListener {
        self.listen_by(Protocol::TCP, address.into(), prepare)
    }

    /// A listener of this protocol, which may be multipath TCP.
    pub fn listen_by(
        &self,
        protocol: Protocol,
        address: IpAddr,
        prepare: impl FnOnce(&Socket) + Send,
    ) -> TcpListener {
        let address = SockAddr::from(SocketAddr::new(address, 0));
        let listen = || {
            let socket = Socket::new(address.domain(), Type::STREAM, Some(protocol))?;
            prepare(&socket);
            socket.bind(&address)?;
            socket.listen(128)?;
            // So that nobody waits for ever for a connection.
            socket.set_read_timeout(Some(ANSWER))?;
            Ok(socket.into())
        };
        self.run(listen).unwrap_or_else(|error: std::io::Error| panic!("listen: {error}"))
    }
}

impl Default for Net {
    fn default() -> Self {
        Self::new()
    }
}

/// An Ethernet address as tools take it.
pub(super) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
