//! Network namespaces with a veth pair between them, and the connections that tests make there.

use crate::fork;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, Once};
use std::time::Duration;

const NAME_PREFIX: &str = "tcpdrop-test-";

/// A network namespace with one end of a veth pair; gone when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: File,
    /// Inode number, by which records name it.
    pub inode: u64,
    /// Its end of the veth pair.
    pub interface: &'static str,
    /// Address of `interface`.
    pub v4: Ipv4Addr,
    /// Address of `interface`.
    pub v6: Ipv6Addr,
}

impl Namespace {
    fn create(name: String, interface: &'static str, v4: Ipv4Addr, v6: Ipv6Addr) -> Self {
        ip(&format!("netns add {name}"));
        let handle = File::open(format!("/run/netns/{name}")).expect("open the namespace");
        let inode = handle.metadata().expect("stat the namespace").ino();
        Self { name, handle, inode, interface, v4, v6 }
    }

    fn bring_up(&self) {
        let Self { name, interface, v4, v6, .. } = self;
        ip(&format!("-n {name} address add {v4}/30 dev {interface}"));
        ip(&format!("-n {name} address add {v6}/64 dev {interface} nodad"));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} link set {interface} up"));
    }

    /// Runs `work` on a thread that is inside the namespace. Sockets that it opens and processes that it starts belong
    /// there, for as long as they live.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        enter(&self.handle, work)
    }

    /// Runs a program inside the namespace, with `input`, and gives its standard output.
    pub fn command(&self, program: &str, arguments: &[&str], input: &str) -> String {
        self.run(|| succeed(Command::new(program).args(arguments), input))
    }

    /// Adds rules in the language of nft.
    pub fn nft(&self, rules: &str) {
        self.command("nft", &["-f", "-"], rules);
    }

    /// Address of `interface` of the given family.
    pub fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }

    /// Connects to `peer` once for each of `times`, and is refused: gives the local ports that were used.
    pub fn connect_refused(&self, peer: SocketAddr, times: usize) -> Vec<u16> {
        self.run(|| (0..times).map(|_| connect_refused(peer)).collect())
    }

    /// A connection from this namespace to `server`: both ends.
    pub fn connect_to(&self, server: &Namespace, family: Family) -> Connection {
        let listener = server.run(|| TcpListener::bind((server.address(family), 0)).expect("listen"));
        let peer = listener.local_addr().expect("address of the listener");
        let client = self.run(|| TcpStream::connect(peer).expect("connect"));
        let (server, _) = listener.accept().expect("accept");
        Connection { client, server }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A namespace that could not be removed is found again by the next run.
        let _ = output_of(Command::new("ip").args(["netns", "delete", &self.name]), "");
    }
}

/// IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Value of `network.type`.
    pub fn network_type(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

/// Both ends of a TCP connection.
#[derive(Debug)]
pub struct Connection {
    /// The end that connected.
    pub client: TcpStream,
    /// The end that accepted.
    pub server: TcpStream,
}

impl Connection {
    /// Sends a few bytes from the client and waits until the server has them.
    pub fn exchange(&mut self) {
        use std::io::Read;
        const GREETING: &[u8] = b"hello";
        self.server.set_read_timeout(Some(Duration::from_secs(10))).expect("set a timeout");
        self.client.write_all(GREETING).expect("send");
        let mut received = [0; GREETING.len()];
        self.server.read_exact(&mut received).expect("receive");
    }
}

/// Two network namespaces with a veth pair between them.
#[derive(Debug)]
pub struct VethPair {
    /// One end.
    pub client: Namespace,
    /// The other end.
    pub server: Namespace,
}

impl VethPair {
    /// Makes a pair. Its addresses are its own among the tests of this process.
    pub fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        static LEFTOVERS: Once = Once::new();
        LEFTOVERS.call_once(remove_leftovers);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let end = |role, interface, host: u8| {
            Namespace::create(
                format!("{NAME_PREFIX}{}-{number}-{role}", std::process::id()),
                interface,
                Ipv4Addr::new(10, 213, number, host),
                Ipv6Addr::new(0xfd13, u16::from(number), 0, 0, 0, 0, 0, u16::from(host)),
            )
        };
        let pair = Self { client: end("client", "to-server", 1), server: end("server", "to-client", 2) };
        ip(&format!(
            "link add {} netns {} type veth peer name {} netns {}",
            pair.client.interface, pair.client.name, pair.server.interface, pair.server.name
        ));
        pair.client.bring_up();
        pair.server.bring_up();
        pair
    }
}

impl Default for VethPair {
    fn default() -> Self {
        Self::new()
    }
}

/// Connects to `peer` from the current namespace and is refused: gives the local port that was used.
///
/// # Panics
/// If the connection comes about, or fails otherwise.
pub fn connect_refused(peer: SocketAddr) -> u16 {
    let (socket, port) = bound_socket(peer, SocketFlags::empty());
    // A SYN that vanishes instead would be sent again for two minutes.
    sockopt::set_tcp_user_timeout(&socket, 3000).expect("set a timeout");
    let outcome = rustix::net::connect(&socket, &peer);
    assert_eq!(outcome, Err(Errno::CONNREFUSED), "connect to {peer}");
    port
}

/// Sends one SYN to `peer` from the current namespace and waits for no answer: gives the local port that was used.
///
/// # Panics
/// If it cannot be sent, or an answer is there already.
pub fn connect_in_vain(peer: SocketAddr) -> u16 {
    let (socket, port) = bound_socket(peer, SocketFlags::NONBLOCK);
    let outcome = rustix::net::connect(&socket, &peer);
    assert_eq!(outcome, Err(Errno::INPROGRESS), "connect to {peer}");
    port
}

/// A TCP socket for connecting to `peer`, and its local port.
fn bound_socket(peer: SocketAddr, flags: SocketFlags) -> (OwnedFd, u16) {
    let (family, any) = match peer {
        SocketAddr::V4(_) => (AddressFamily::INET, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        SocketAddr::V6(_) => (AddressFamily::INET6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).expect("socket");
    rustix::net::bind(&socket, &SocketAddr::new(any, 0)).expect("bind");
    let local = SocketAddr::try_from(rustix::net::getsockname(&socket).expect("getsockname"));
    (socket, local.expect("an IP address").port())
}

/// Namespaces of earlier runs that were killed: each name holds the process id of its run.
fn remove_leftovers() {
    let Ok(names) = std::fs::read_dir("/run/netns") else { return };
    for name in names.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        let owner = name.strip_prefix(NAME_PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            ip(&format!("netns delete {name}"));
        }
    }
}

/// Runs `work` on a thread that is inside the namespace of `handle`.
pub(crate) fn enter<T: Send>(handle: &File, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("enter the namespace");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn ip(arguments: &str) {
    // `ip netns add` sets up /run/netns on first use, and two at a time get in each other's way.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    succeed(Command::new("ip").args(arguments.split_whitespace()), "");
}

/// Runs a command with `input`: its standard output.
///
/// # Panics
/// If it fails.
pub(crate) fn succeed(command: &mut Command, input: &str) -> String {
    let Output { status, stdout, stderr } =
        output_of(command, input).unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?} with {input:?}: {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

pub(crate) fn output_of(command: &mut Command, input: &str) -> std::io::Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = fork::spawn(command)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;

    #[test]
    fn a_closed_port_across_the_veth_refuses() {
        require!(Root, Tool("ip"));
        let pair = VethPair::new();
        for family in [Family::V4, Family::V6] {
            let ports = pair.client.connect_refused(SocketAddr::new(pair.server.address(family), 9), 3);
            assert_eq!(ports.len(), 3);
            assert!(ports.iter().all(|port| *port != 0), "{ports:?}");
        }
    }

    #[test]
    fn a_connection_across_the_veth_carries_data() {
        require!(Root, Tool("ip"));
        let pair = VethPair::new();
        for family in [Family::V4, Family::V6] {
            let mut connection = pair.client.connect_to(&pair.server, family);
            connection.exchange();
            let local = connection.client.local_addr().expect("local address");
            assert_eq!(local.ip(), pair.client.address(family));
        }
    }

    #[test]
    fn a_namespace_is_named_by_the_inode_that_its_processes_see() {
        require!(Root, Tool("ip"));
        let pair = VethPair::new();
        let seen = pair.server.command("readlink", &["/proc/self/ns/net"], "");
        assert_eq!(seen.trim(), format!("net:[{}]", pair.server.inode));
    }

    #[test]
    fn a_namespace_is_gone_when_dropped() {
        require!(Root, Tool("ip"));
        let name = VethPair::new().client.name.clone();
        assert!(!Path::new("/run/netns").join(name).exists());
    }
}
