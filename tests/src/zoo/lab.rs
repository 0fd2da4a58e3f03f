//! Where scenarios happen: a host under test, a wire that only test code listens to, and the kernel's counters.
//!
//! Namespaces have no names, so nothing is left behind, and all have the same addresses: scenarios run side by side.

use super::packet::{self, Seen, Segment, flag};
use super::sys::{self, PacketSocket};
use crate::netns::{Family, enter, succeed};
use crate::wait::wait_for;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A port that nothing listens at.
pub const CLOSED_PORT: u16 = 9;
/// A port of the far side.
pub const PEER_PORT: u16 = 4444;
/// How long an answer on the wire may take.
const ANSWER: Duration = Duration::from_secs(20);

/// A network namespace; gone with its last socket.
#[derive(Debug)]
pub struct Net {
    handle: File,
    /// Inode number, by which records name it.
    pub inode: u64,
    /// Its cookie, where the kernel has one (5.14).
    pub cookie: Option<u64>,
}

impl Net {
    /// A new one, with its loopback interface up.
    pub fn new() -> Self {
        const SO_NETNS_COOKIE: i32 = 71;
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
        let net = Self { handle, inode, cookie };
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
            Command::new("ip").args(words.split_whitespace()).output().expect("run ip")
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
        let address = SocketAddr::new(address.into(), 0);
        self.run(|| TcpListener::bind(address)).unwrap_or_else(|error| panic!("listen at {address}: {error}"))
    }

    /// A counter: `TcpExt.PAWSEstab` or `Ip.InHdrErrors` of `/proc/net/netstat` and `snmp`, `Ip6InHdrErrors` of `snmp6`,
    /// `nft NAME` of a named nftables counter, `link NAME rx dropped` of an interface, `qdisc NAME` drops of its qdiscs.
    pub fn counter(&self, name: &str) -> u64 {
        let words: Vec<_> = name.split_whitespace().collect();
        let value = match words.as_slice() {
            ["nft", counter] => self.nft_counter(counter),
            ["link", interface, direction, kind] => self.link_counter(interface, direction, kind),
            ["qdisc", interface] => self.qdisc_drops(interface),
            ["neighbour", kind] => self.neighbour_counter(kind),
            [name] => self.proc_counter(name),
            _ => None,
        };
        value.unwrap_or_else(|| panic!("no counter {name}"))
    }

    fn proc_counter(&self, name: &str) -> Option<u64> {
        let read = |file: &str| self.run(|| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")));
        let Some((group, name)) = name.split_once('.') else {
            let listing = read("snmp6").ok()?;
            let line = listing.lines().find(|line| line.split_whitespace().next() == Some(name))?;
            return line.split_whitespace().nth(1)?.parse().ok();
        };
        ["netstat", "snmp"].into_iter().find_map(|file| paired_lines(&read(file).ok()?, group, name))
    }

    fn nft_counter(&self, name: &str) -> Option<u64> {
        let listing = self.command("nft", "-j list counters", "");
        let listing: serde_json::Value = serde_json::from_str(&listing).ok()?;
        let counters = listing["nftables"].as_array()?.iter().map(|object| &object["counter"]);
        counters.into_iter().find(|counter| counter["name"] == name)?["packets"].as_u64()
    }

    fn link_counter(&self, interface: &str, direction: &str, kind: &str) -> Option<u64> {
        let listing = self.command("ip", &format!("-s -j link show dev {interface}"), "");
        let listing: serde_json::Value = serde_json::from_str(&listing).ok()?;
        listing[0]["stats64"][direction][kind].as_u64()
    }

    fn qdisc_drops(&self, interface: &str) -> Option<u64> {
        let listing = self.command("tc", &format!("-s -j qdisc show dev {interface}"), "");
        let listing: serde_json::Value = serde_json::from_str(&listing).ok()?;
        Some(listing.as_array()?.iter().filter_map(|qdisc| qdisc["drops"].as_u64()).sum())
    }

    /// `arp_cache` and `ndisc_cache` together.
    fn neighbour_counter(&self, kind: &str) -> Option<u64> {
        let read = |table: &str| {
            let listing =
                self.run(|| std::fs::read_to_string(format!("/proc/thread-self/net/stat/{table}"))).ok()?;
            let mut lines = listing.lines();
            let column = lines.next()?.split_whitespace().position(|name| name == kind)?;
            let values = lines.filter_map(|line| line.split_whitespace().nth(column));
            values.map(|value| u64::from_str_radix(value, 16).ok()).sum::<Option<u64>>()
        };
        Some(read("arp_cache")? + read("ndisc_cache")?)
    }
}

impl Default for Net {
    fn default() -> Self {
        Self::new()
    }
}

/// `GROUP: names…` and `GROUP: values…` in lines below each other.
fn paired_lines(listing: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = listing.lines().filter(|line| line.split(':').next() == Some(group));
    let column = lines.next()?.split_whitespace().position(|word| word == name)?;
    lines.next()?.split_whitespace().nth(column)?.parse().ok()
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Ethernet address of the host's end.
pub const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Ethernet address of the wire's end.
pub const WIRE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The far end of an interface under test: whole frames, written and read by the test. Its kernel has no addresses, so it
/// answers nothing.
#[derive(Debug)]
pub struct Wire {
    net: Net,
    socket: PacketSocket,
    to: [u8; 6],
    from: [u8; 6],
}

impl Wire {
    /// Connects `interface` of `host` to a new wire.
    pub fn new(host: &Net, interface: &str, host_mac: [u8; 6], wire_mac: [u8; 6]) -> Self {
        let net = Net::new();
        net.sysctl("ipv6/conf/default/disable_ipv6", "1");
        host.connect((interface, host_mac), &net, ("wire", wire_mac));
        let socket = net.packet_socket("wire");
        // The queue may not be ready yet.
        socket.bypass_queue().expect("bypass the queue");
        Self { net, socket, to: host_mac, from: wire_mac }
    }

    /// Changes its MTU.
    pub fn resize(&self, mtu: u32) {
        self.net.ip(&format!("link set wire mtu {mtu}"));
    }

    /// Sends an IP packet to the host.
    pub fn send(&self, packet: &[u8]) {
        self.send_frame(&packet::frame(self.to, self.from, packet));
    }

    /// Sends an IP packet with VLAN tags, outermost first.
    pub fn send_tagged(&self, tags: &[(u16, u16)], packet: &[u8]) {
        self.send_frame(&packet::tagged_frame(self.to, self.from, tags, packet));
    }

    /// Sends a frame.
    pub fn send_frame(&self, frame: &[u8]) {
        self.socket.send(frame).expect("send a frame");
    }

    /// The first segment from the host that `wanted` takes.
    ///
    /// # Panics
    /// If none comes.
    pub fn receive<T>(&self, what: &str, mut wanted: impl FnMut(Seen) -> Option<T>) -> T {
        let start = Instant::now();
        while let Some(left) = ANSWER.checked_sub(start.elapsed()) {
            let Some(frame) = self.socket.receive(left).expect("read the wire") else { break };
            // What the test sent itself is seen too.
            if frame.len() < 14 || frame[6..12] == self.from {
                continue;
            }
            if let Some(found) = Seen::parse(&frame[14..]).and_then(&mut wanted) {
                return found;
            }
        }
        panic!("waited in vain for {what} on the wire")
    }
}

/// A host with one interface, `eth0`, and a wire.
#[derive(Debug)]
pub struct Wired {
    /// The namespace under test.
    pub host: Net,
    /// The other end.
    pub wire: Wire,
    /// IP version of the scenario.
    pub family: Family,
    next_port: AtomicU16,
}

/// Addresses of `eth0`.
pub const HOST_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// See [`HOST_V4`].
pub const HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
const PEER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);

/// One of two values.
pub fn by<T>(family: Family, v4: T, v6: T) -> T {
    match family {
        Family::V4 => v4,
        Family::V6 => v6,
    }
}

impl Wired {
    /// A new host. The peer's Ethernet address is known to it.
    pub fn new(family: Family) -> Self {
        let host = Net::new();
        let wire = Wire::new(&host, "eth0", HOST_MAC, WIRE_MAC);
        let mac = mac_text(WIRE_MAC);
        host.add_addresses("eth0", HOST_V4, HOST_V6);
        host.ip(&format!(
            "neighbour replace {PEER_V4} lladdr {mac} dev eth0
             neighbour replace {PEER_V6} lladdr {mac} dev eth0
             route add default via {PEER_V4}
             route add default via {PEER_V6}"
        ));
        Self { host, wire, family, next_port: AtomicU16::new(PEER_PORT + 1) }
    }

    /// Address of `eth0`.
    pub fn address(&self) -> IpAddr {
        by(self.family, HOST_V4.into(), HOST_V6.into())
    }

    /// Address of the far side.
    pub fn peer_address(&self) -> IpAddr {
        by(self.family, PEER_V4.into(), PEER_V6.into())
    }

    /// An address and port of the far side, another one each time.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.peer_address(), self.next_port.fetch_add(1, Ordering::Relaxed))
    }

    /// The host's address with a port.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(), port)
    }

    /// A segment from the far side to a port of the host that nobody listens at.
    pub fn to_closed_port(&self, flags: u16) -> Segment {
        Segment::new(self.peer(), self.at(CLOSED_PORT), flags)
    }

    /// A connection that the far side, played by the test, made to a socket of the host.
    pub fn connection(&self) -> Conversation {
        self.connection_through(self.host.listen(self.address()), &[])
    }

    /// The same with TCP timestamps; the far side's clock stands at `clock`.
    pub fn connection_with_timestamps(&self, clock: u32) -> Conversation {
        self.connection_through(self.host.listen(self.address()), &timestamps(clock, 0))
    }

    /// The same through this listener, with these TCP options.
    pub fn connection_through(&self, listener: TcpListener, options: &[u8]) -> Conversation {
        let port = listener.local_addr().expect("an address").port();
        let far = self.open(self.at(port), options);
        let (socket, _) = listener.accept().expect("accept");
        let cookie = sys::cookie(&socket);
        Conversation { socket, listener, far, cookie }
    }

    /// A SYN to `to`, and the answer to its answer.
    pub fn open(&self, to: SocketAddr, options: &[u8]) -> Far {
        let syn = Segment { options: options.to_vec(), ..Segment::new(self.peer(), to, flag::SYN) };
        let far = self.begin(&syn);
        self.wire.send(&far.segment(flag::ACK).packet());
        far
    }

    /// Sends a SYN, and waits for the SYN-ACK.
    pub fn begin(&self, syn: &Segment) -> Far {
        self.wire.send(&syn.packet());
        let answer = self.wire.receive("a SYN-ACK", |seen| {
            (seen.destination == syn.source
                && seen.flags & (flag::SYN | flag::ACK) == (flag::SYN | flag::ACK))
                .then_some(seen)
        });
        let clock = timestamp_value(&syn.options);
        Far {
            near: syn.destination,
            own: syn.source,
            seq: syn.seq + 1,
            ack: answer.seq.wrapping_add(1),
            window: syn.window,
            clock,
            echo: timestamp_value(&answer.options).unwrap_or(0),
            near_window: answer.window,
        }
    }

    /// A connection that a socket of the host made to the far side, played by the test.
    pub fn outgoing(&self) -> (TcpStream, Far) {
        const MSS: [u8; 4] = [2, 4, 0x05, 0xb4]; // 1460
        let peer = self.peer();
        let (socket, far) = std::thread::scope(|scope| {
            let connecting = scope.spawn(|| self.host.run(|| TcpStream::connect(peer)));
            let syn = self.wire.receive("a SYN", |seen| (seen.destination == peer).then_some(seen));
            let mut far = Far {
                near: syn.source,
                own: peer,
                seq: 5_000_000,
                ack: syn.seq.wrapping_add(1),
                window: 60_000,
                clock: None,
                echo: 0,
                near_window: 0,
            };
            self.wire.send(&Segment { options: MSS.to_vec(), ..far.segment(flag::SYN | flag::ACK) }.packet());
            far.seq += 1;
            let done =
                |seen: Seen| (seen.destination == peer && seen.flags == flag::ACK).then_some(seen.window);
            far.near_window = self.wire.receive("the end of the handshake", done);
            (connecting.join().expect("the thread ends"), far)
        });
        (socket.expect("connect"), far)
    }
}

/// A host that passes packets on from `eth0` to `eth1` and back, with a wire at each.
#[derive(Debug)]
pub struct Router {
    /// The namespace under test.
    pub host: Net,
    /// What `eth0` is connected to.
    pub near: Wire,
    /// What `eth1` is connected to.
    pub far: Wire,
    family: Family,
    next_port: AtomicU16,
}

/// Address of `eth1`.
const BEYOND_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const BEYOND_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 4];

impl Router {
    /// A new one. The Ethernet addresses of both sides are known to it.
    pub fn new(family: Family) -> Self {
        let Wired { host, wire: near, next_port, .. } = Wired::new(family);
        let far = Wire::new(&host, "eth1", [2, 0, 0, 0, 0, 3], FAR_MAC);
        host.add_addresses("eth1", BEYOND_V4, BEYOND_V6);
        let mac = mac_text(FAR_MAC);
        host.ip(&format!(
            "neighbour replace 198.51.100.2 lladdr {mac} dev eth1
             neighbour replace 2001:db8:2::2 lladdr {mac} dev eth1"
        ));
        for path in ["ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"] {
            host.sysctl(path, "1");
        }
        Self { host, near, far, family, next_port }
    }

    /// An address and port on the near side, another one each time.
    pub fn peer(&self) -> SocketAddr {
        let port = self.next_port.fetch_add(1, Ordering::Relaxed);
        SocketAddr::new(by(self.family, PEER_V4.into(), PEER_V6.into()), port)
    }

    /// An address and port on the far side.
    pub fn beyond(&self) -> SocketAddr {
        let address = by(self.family, "198.51.100.2", "2001:db8:2::2");
        SocketAddr::new(address.parse().expect("an address"), 80)
    }

    /// The far side's Ethernet address is to be asked for, and soon given up.
    pub fn forget_neighbours(&self) {
        self.host.ip("neighbour flush dev eth1 nud permanent");
        for family in ["ipv4", "ipv6"] {
            let set = |key: &str, value: &str| self.host.sysctl(&format!("{family}/neigh/eth1/{key}"), value);
            set("mcast_solicit", "1");
            set("retrans_time_ms", "50");
        }
    }
}

/// Two containers on one host, joined by a veth pair, each with addresses and sockets of its own.
#[derive(Debug)]
pub struct Containers {
    /// One end.
    pub one: Net,
    /// The other end.
    pub other: Net,
    /// Address of the one.
    pub one_address: IpAddr,
    /// Address of the other.
    pub other_address: IpAddr,
}

impl Containers {
    /// New ones.
    pub fn new(family: Family) -> Self {
        let (one, other) = (Net::new(), Net::new());
        one.connect(("eth0", HOST_MAC), &other, ("eth0", WIRE_MAC));
        one.add_addresses("eth0", HOST_V4, HOST_V6);
        other.add_addresses("eth0", PEER_V4, PEER_V6);
        for (net, v4, v6, mac) in [(&one, PEER_V4, PEER_V6, WIRE_MAC), (&other, HOST_V4, HOST_V6, HOST_MAC)] {
            let mac = mac_text(mac);
            net.ip(&format!(
                "neighbour replace {v4} lladdr {mac} dev eth0
                 neighbour replace {v6} lladdr {mac} dev eth0"
            ));
        }
        let one_address = by(family, HOST_V4.into(), HOST_V6.into());
        let other_address = by(family, PEER_V4.into(), PEER_V6.into());
        Self { one, other, one_address, other_address }
    }

    /// Begins a connection from the one, and looks at the SYN as it leaves.
    pub fn begin(&self, to: SocketAddr) -> (OwnedFd, Seen) {
        let tap = self.one.packet_socket("eth0");
        let socket = self.one.run(|| sys::connect_without_waiting(to)).expect("connect");
        let syn = first_seen(&tap, |seen| seen.destination == to);
        (socket, syn)
    }
}

/// The first segment that a packet socket sees and `wanted` takes.
///
/// # Panics
/// If none comes.
pub fn first_seen(tap: &PacketSocket, wanted: impl Fn(&Seen) -> bool) -> Seen {
    loop {
        let frame = tap.receive(ANSWER).expect("read the interface").expect("a packet in time");
        if let Some(seen) = frame.get(14..).and_then(Seen::parse).filter(&wanted) {
            return seen;
        }
    }
}

/// The test's end of a TCP connection.
#[derive(Clone, Debug)]
pub struct Far {
    /// The host's end.
    pub near: SocketAddr,
    /// The test's end.
    pub own: SocketAddr,
    /// Next sequence number of the test's.
    pub seq: u32,
    /// Next sequence number expected from the host.
    pub ack: u32,
    /// Window to announce.
    pub window: u16,
    /// Value of the timestamp option, if it is used.
    pub clock: Option<u32>,
    /// Last timestamp of the host's.
    pub echo: u32,
    /// Window that the host announced in the handshake.
    pub near_window: u16,
}

impl Far {
    /// The next segment, with these flags.
    pub fn segment(&self, flags: u16) -> Segment {
        Segment {
            seq: self.seq,
            ack: if flags & flag::ACK == 0 { 0 } else { self.ack },
            window: self.window,
            options: self.clock.map(|clock| timestamps(clock, self.echo)).unwrap_or_default(),
            ..Segment::new(self.own, self.near, flags)
        }
    }

    /// The next segment with data.
    pub fn data(&self, payload: &[u8]) -> Segment {
        self.segment(flag::ACK | flag::PSH).with_payload(payload)
    }

    /// The next segment that the host would send with these flags and data.
    pub fn answer(&self, flags: u16, payload: &[u8]) -> Segment {
        let segment = Segment::new(self.near, self.own, flags).with_payload(payload);
        Segment { seq: self.ack, ack: self.seq, window: self.near_window, ..segment }
    }
}

/// The timestamp option (RFC 7323), padded.
pub fn timestamps(value: u32, echo: u32) -> Vec<u8> {
    let mut option = vec![1, 1, 8, 10];
    option.extend(value.to_be_bytes());
    option.extend(echo.to_be_bytes());
    option
}

fn timestamp_value(options: &[u8]) -> Option<u32> {
    let mut rest = options;
    loop {
        match *rest.first()? {
            0 => return None,
            1 => rest = &rest[1..],
            8 => return rest.get(2..6)?.try_into().ok().map(u32::from_be_bytes),
            _ => rest = rest.get(usize::from(*rest.get(1)?).max(2)..)?,
        }
    }
}

/// A connection between a socket of the host and the test's own TCP.
#[derive(Debug)]
pub struct Conversation {
    /// The host's socket.
    pub socket: TcpStream,
    /// Where it came in.
    pub listener: TcpListener,
    /// The test's end.
    pub far: Far,
    /// Cookie of `socket`.
    pub cookie: u64,
}

impl Conversation {
    /// The test sends `payload`, and the host's socket reads it.
    pub fn deliver(&mut self, wire: &Wire, payload: &[u8]) {
        use std::io::Read;
        self.socket.set_read_timeout(Some(ANSWER)).expect("set a timeout");
        wire.send(&self.far.data(payload).packet());
        let mut received = vec![0; payload.len()];
        self.socket.read_exact(&mut received).expect("receive");
        self.far.seq = self.far.seq.wrapping_add(u32::try_from(payload.len()).expect("a short payload"));
    }
}

/// A counter of the kernel's, watched from the start on.
#[derive(Debug)]
pub struct Watched<'a> {
    net: &'a Net,
    name: String,
    start: u64,
}

impl<'a> Watched<'a> {
    /// Watches the counter `name`; see [`Net::counter`].
    pub fn new(net: &'a Net, name: &str) -> Self {
        Self { net, name: name.to_owned(), start: net.counter(name) }
    }

    /// Its rise until now.
    pub fn so_far(&self) -> u64 {
        self.net.counter(&self.name).saturating_sub(self.start)
    }

    /// Its rise, once it is `at_least`.
    pub fn rise(&self, at_least: u64) -> Rise {
        let found = wait_for(&format!("{} to rise by {at_least}", self.name), || {
            Some(self.so_far()).filter(|&rise| rise >= at_least)
        });
        Rise { counter: self.name.clone(), found, others: false }
    }
}

/// What a counter said.
#[derive(Clone, Debug)]
pub struct Rise {
    /// Its name.
    pub counter: String,
    /// By how much it rose.
    pub found: u64,
    /// Whether it counts other packets too.
    pub others: bool,
}

impl Rise {
    /// Of a counter that counts other protocols' packets too.
    #[must_use]
    pub fn at_least(self) -> Self {
        Self { others: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_paired_lines() {
        let listing = "Ip: A B\nIp: 1 2\nTcpExt: A PAWSEstab\nTcpExt: 3 4\n";
        assert_eq!(paired_lines(listing, "TcpExt", "PAWSEstab"), Some(4));
        assert_eq!(paired_lines(listing, "TcpExt", "None"), None);
    }

    #[test]
    fn a_timestamp_is_found_behind_other_options() {
        let options = [&[2, 4, 5, 0xb4][..], &timestamps(7, 9)].concat();
        assert_eq!(timestamp_value(&options), Some(7));
        assert_eq!(timestamp_value(&[2, 4, 5, 0xb4]), None);
    }
}
