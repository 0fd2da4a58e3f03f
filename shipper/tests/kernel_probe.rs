//! The probe in the running kernel, on traffic that the tests make in network namespaces of their own.
#![allow(clippy::unwrap_used)]

mod skip;

use rustix::net::sockopt::socket_cookie;
use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;
use tcpdrop_otel::config::model;
use tcpdrop_otel::filter::{Filter, Selection, parse};
use tcpdrop_otel::ledger::KernelCounts;
use tcpdrop_otel::packet_drop::{Direction, IpVersion, PacketDrop, SocketKind, TcpState};
use tcpdrop_otel::probe::{Probe, Ring};
use tcpdrop_otel::wire::decode;

const PATIENCE: Duration = Duration::from_secs(10);
const CLOSED_PORT: u16 = 9;

/// Runs `test` in a thread that has a network namespace of its own, with loopback up.
fn in_namespace<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if let Some(lack) = lack() {
        skip::skip(&format!("needs {lack}"));
        return None;
    }
    let thread = std::thread::spawn(|| {
        // SAFETY: the thread shares no file descriptor table that this would part.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
        run("ip", "link set lo up");
        test()
    });
    Some(thread.join().unwrap())
}

/// What this machine lacks for these tests.
fn lack() -> Option<&'static str> {
    let runs = |program| Command::new(program).arg("-V").output().is_ok();
    [
        ("root", rustix::process::geteuid().is_root()),
        ("a kernel with BTF", std::fs::exists(tcpdrop_otel::btf::KERNEL_BTF).unwrap()),
        ("the command ip", runs("ip")),
        ("the command nft", runs("nft")),
    ]
    .into_iter()
    .find_map(|(need, met)| (!met).then_some(need))
}

fn run(program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn run_line(line: &str) {
    let (program, arguments) = line.split_once(' ').unwrap();
    run(program, arguments);
}

fn own_netns() -> u32 {
    std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino().try_into().unwrap()
}

/// A probe under test: its events are those of the namespaces given to [`Bench::collect`].
struct Bench {
    probe: Probe,
    ring: Ring,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new(settings: &model::Probe) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut probe = Probe::load(settings).unwrap();
        let ring = {
            let _context = runtime.enter();
            probe.take_ring().unwrap().unwrap()
        };
        probe.attach().unwrap();
        Self { probe, ring, runtime }
    }

    /// The next `count` drops that `fit`.
    fn collect(&mut self, count: usize, fit: impl Fn(&PacketDrop) -> bool) -> Vec<PacketDrop> {
        let mut drops = Vec::new();
        let ring = &mut self.ring;
        let collected = self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, async {
                while drops.len() < count {
                    ring.readable().await.unwrap();
                    ring.drain(16, |bytes| drops.extend(Some(decode(bytes).unwrap()).filter(&fit)));
                }
            })
            .await
        });
        assert!(collected.is_ok(), "{} of {count} drops came: {drops:#?}", drops.len());
        drops
    }

    /// Detaches, and takes what is left in the ring.
    fn finish(&mut self) -> (KernelCounts, Vec<PacketDrop>) {
        self.probe.detach().unwrap();
        let mut drops = Vec::new();
        while self.ring.drain(1000, |bytes| drops.push(decode(bytes).unwrap())) > 0 {}
        (self.probe.counters().kernel().unwrap(), drops)
    }
}

fn is_in(netns: u32) -> impl Fn(&PacketDrop) -> bool {
    move |drop| drop.network_namespace.is_some_and(|namespace| namespace.inode == netns)
}

fn assert_balanced(counts: KernelCounts) {
    let KernelCounts { seen, filtered, own, suppressed, ring_lost, admitted, .. } = counts;
    assert_eq!(seen, filtered + own + suppressed + ring_lost + admitted, "{counts:?}");
}

/// Knocks at a closed port from a port of its own, which it returns.
fn knock(address: IpAddr) -> u16 {
    knock_at(SocketAddr::new(address, CLOSED_PORT))
}

/// The same at another closed port.
fn knock_at(closed: SocketAddr) -> u16 {
    use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, socket};
    let family = if closed.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::new(closed.ip(), 0)).unwrap();
    let local = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap().port();
    let refused = connect(&socket, &closed).unwrap_err();
    assert_eq!(refused, rustix::io::Errno::CONNREFUSED);
    local
}

#[test]
fn refused_connections_are_seen_as_they_were() {
    in_namespace(|| {
        let mut bench = Bench::new(&model::Probe::default());
        for (address, version, size) in [
            (IpAddr::from(Ipv4Addr::LOCALHOST), IpVersion::V4, 60),
            (IpAddr::from(Ipv6Addr::LOCALHOST), IpVersion::V6, 80),
        ] {
            let ports: Vec<_> = (0..5).map(|_| knock(address)).collect();
            let drops = bench.collect(5, is_in(own_netns()));
            for (drop, port) in drops.iter().zip(ports) {
                let flow = drop.flow.unwrap();
                let flow_ports = flow.ports.unwrap();
                assert_eq!((flow.source, flow.destination), (address, address));
                assert_eq!((flow_ports.source, flow_ports.destination), (port, CLOSED_PORT));
                assert_eq!(drop.ip_version, Some(version));
                assert_eq!(drop.packet_size, Some(size));
                assert_eq!(drop.tcp.unwrap().flags.names().collect::<Vec<_>>(), ["SYN"]);
                assert_eq!(drop.direction, Direction::Receive);
                assert_eq!(drop.interface_index, Some(1));
                assert_eq!(drop.socket, None);
                let reason = drop.reason.and_then(|reason| bench.probe.reason_names().name(reason));
                assert_eq!(reason.as_deref(), Some("NO_SOCKET"));
                assert!(drop.stack.contains(&drop.site), "{:#x} in {:#x?}", drop.site, drop.stack);
                assert!(drop.time.0 > 0);
            }
        }
        let (counts, _) = bench.finish();
        assert_balanced(counts);
        assert!(counts.admitted >= 10, "{counts:?}");
        let sites = bench.probe.counters().sites();
        assert_eq!(sites.iter().map(|site| site.seen).sum::<u64>(), counts.seen);
    });
}

#[test]
fn each_drop_arrives_without_a_next_one() {
    in_namespace(|| {
        let mut bench = Bench::new(&model::Probe::default());
        // What others lose would wake the reader.
        let here = Selection { netns: vec![parse::namespace("self").unwrap()], ..Selection::default() };
        bench.probe.set_filter(&Filter { include: here, ..Filter::default() }).unwrap();
        // Drops that follow soon wake nobody.
        for _ in 0..20 {
            let port = knock(Ipv4Addr::LOCALHOST.into());
            bench.collect(1, |drop| {
                is_in(own_netns())(drop) && drop.flow.unwrap().ports.unwrap().source == port
            });
        }
    });
}

#[test]
fn the_agents_own_connections_are_counted_and_not_told() {
    in_namespace(|| {
        use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, socket};
        let mut bench = Bench::new(&model::Probe::default());
        let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, CLOSED_PORT));
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let own_port = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap().port();
        bench.probe.own_ports().register(own_port, CLOSED_PORT).unwrap();
        connect(&socket, &closed).unwrap_err();
        let other_port = knock(closed.ip());

        let (counts, drops) = bench.finish();
        assert_balanced(counts);
        assert_eq!(counts.own, 1);
        let told: Vec<_> = drops
            .into_iter()
            .filter(is_in(own_netns()))
            .map(|drop| drop.flow.unwrap().ports.unwrap().source)
            .collect();
        assert_eq!(told, [other_port]);
    });
}

#[test]
fn a_ring_that_is_full_costs_detail_and_no_count() {
    in_namespace(|| {
        let mut bench = Bench::new(&model::Probe { ring_bytes: 4096, ..model::Probe::default() });
        for _ in 0..100 {
            knock(Ipv4Addr::LOCALHOST.into());
        }
        let (counts, drops) = bench.finish();
        assert_balanced(counts);
        assert_eq!(counts.admitted, u64::try_from(drops.len()).unwrap());
        assert!(counts.admitted > 0 && counts.ring_lost > 0 && counts.seen >= 100, "{counts:?}");
        let sites = bench.probe.counters().sites();
        assert_eq!(sites.iter().map(|site| site.ring_lost).sum::<u64>(), counts.ring_lost);
        assert_eq!(sites.iter().map(|site| site.seen).sum::<u64>(), counts.seen);
    });
}

#[test]
fn a_ring_that_is_nearly_full_takes_only_what_its_site_has_a_budget_for() {
    in_namespace(|| {
        const NEW_PORTS: u16 = 200;
        const ROOM_FOR: u16 = 50;
        let knock_at_new_ports = |from: u16, count: u16| {
            (from..from + count).for_each(|port| _ = knock_at((Ipv4Addr::LOCALHOST, port).into()));
        };
        let mut bench = Bench::new(&model::Probe { ring_bytes: 65536, ..model::Probe::default() });
        let here = Selection { netns: vec![parse::namespace("self").unwrap()], ..Selection::default() };
        bench.probe.set_filter(&Filter { include: here, ..Filter::default() }).unwrap();
        let counts = |bench: &Bench| bench.probe.counters().kernel().unwrap();
        while counts(&bench).ring_lost == 0 {
            knock(Ipv4Addr::LOCALHOST.into());
        }

        // Ten a second and CPU for the site, as many new ports as there are.
        let budget = model::Admission { per_site_per_second: 1, burst: 1, first_seen_reserve: 100_000 };
        bench.probe.set_admission(&budget).unwrap();
        let before = counts(&bench);
        knock_at_new_ports(10_000, NEW_PORTS);
        let after = counts(&bench);
        let (by_site, by_key) = (after.ring_lost - before.ring_lost, after.suppressed - before.suppressed);
        assert_eq!((by_site + by_key, after.admitted), (NEW_PORTS.into(), before.admitted));
        assert!(by_site > 0 && by_key > 0, "{by_site} for the site, {by_key} for keys");

        while bench.ring.drain(1000, |_| ()) > 0 {}
        knock_at_new_ports(20_000, ROOM_FOR);
        assert_eq!(counts(&bench).admitted, after.admitted + u64::from(ROOM_FOR), "there is room again");
        assert_balanced(counts(&bench));
    });
}

#[test]
fn what_is_over_budget_is_counted_by_site_and_the_budget_changes_at_run_time() {
    in_namespace(|| {
        const KNOCKS: usize = 300;
        let knocks = || (0..KNOCKS).for_each(|_| _ = knock(Ipv4Addr::LOCALHOST.into()));
        let mut bench = Bench::new(&model::Probe::default());
        let smallest = model::Admission { per_site_per_second: 1, burst: 1, first_seen_reserve: 1 };
        bench.probe.set_admission(&smallest).unwrap();
        knocks();
        bench.probe.set_admission(&model::Admission { per_site_per_second: 0, ..smallest }).unwrap();
        let over = bench.probe.counters().kernel().unwrap().suppressed;
        knocks();
        let (counts, drops) = bench.finish();
        let here = drops.into_iter().filter(is_in(own_netns())).count();

        assert_balanced(counts);
        assert!(over > 0 && here > KNOCKS && here < 2 * KNOCKS, "{here} told, {over} suppressed");
        assert_eq!(counts.suppressed, over, "none once there is no limit");
        let sites = bench.probe.counters().sites();
        assert_eq!(sites.iter().map(|site| site.suppressed).sum::<u64>(), counts.suppressed);
        assert_eq!(sites.iter().map(|site| site.seen).sum::<u64>(), counts.seen);
    });
}

#[test]
fn the_stack_is_cut_where_the_settings_say() {
    in_namespace(|| {
        let mut bench = Bench::new(&model::Probe { stack_depth: 5, ..model::Probe::default() });
        knock(Ipv4Addr::LOCALHOST.into());
        let drops = bench.collect(1, is_in(own_netns()));
        assert_eq!((drops[0].stack.len(), drops[0].stack_truncated), (5, true));
    });
}

/// An established connection over a veth pair, the client in this namespace, the server in that of a thread.
struct Connection {
    client: TcpStream,
    server: TcpStream,
    server_netns: u32,
    /// Runs a command in the server's namespace.
    commands: std::sync::mpsc::Sender<String>,
    done: std::sync::mpsc::Receiver<()>,
}

impl Connection {
    const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
    const PORT: u16 = 8080;

    fn new() -> Self {
        let (commands, orders) = std::sync::mpsc::channel::<String>();
        let (ready, done) = std::sync::mpsc::channel();
        let (thread_id, host) = std::sync::mpsc::channel();
        let (listening, listener) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: the thread shares no file descriptor table that this would part.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            thread_id.send((gettid(), own_netns())).unwrap();
            // The first order comes when the interface is there.
            run_line(&orders.recv().unwrap());
            run("ip", "link set server up");
            listening.send(TcpListener::bind((Self::SERVER, Self::PORT)).unwrap()).unwrap();
            for order in orders {
                run_line(&order);
                ready.send(()).unwrap();
            }
        });
        let (thread, server_netns) = host.recv().unwrap();
        let peer = thread.as_raw_nonzero();
        run("ip", &format!("link add client type veth peer name server netns {peer}"));
        run("ip", &format!("address add {}/24 dev client", Self::CLIENT));
        run("ip", "link set client up");
        commands.send(format!("ip address add {}/24 dev server", Self::SERVER)).unwrap();
        let listener: TcpListener = listener.recv().unwrap();
        let client = TcpStream::connect((Self::SERVER, Self::PORT)).unwrap();
        let (server, _) = listener.accept().unwrap();
        // A byte each way, so that both ends have seen the handshake's end.
        let mut connection = Self { client, server, server_netns, commands, done };
        connection.client.write_all(b"x").unwrap();
        connection.server.read_exact(&mut [0]).unwrap();
        connection
    }

    fn run_at_server(&self, command: &str) {
        self.commands.send(command.to_owned()).unwrap();
        self.done.recv().unwrap();
    }
}

fn interface_index(name: &str) -> u32 {
    let output = Command::new("ip").args(["-o", "link", "show", name]).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    line.split(':').next().unwrap().parse().unwrap()
}

const DROP_INPUT: &str = "nft add table ip t ; add chain ip t input { type filter hook input priority 0 ; } ; \
                          add rule ip t input tcp dport 8080 drop";
const DROP_OUTPUT: &str = "nft add table ip t ; add chain ip t output { type filter hook output priority 0 ; } ; \
                           add rule ip t output tcp dport 8080 drop";

#[test]
fn what_a_firewall_drops_of_a_connection_names_the_connection() {
    in_namespace(|| {
        let mut bench = Bench::new(&model::Probe::default());
        let mut connection = Connection::new();
        let client_port = connection.client.local_addr().unwrap().port();
        let expect = |drop: &PacketDrop, direction, cookie| {
            let flow = drop.flow.unwrap();
            let ports = flow.ports.unwrap();
            assert_eq!(flow.source, IpAddr::from(Connection::CLIENT));
            assert_eq!(flow.destination, IpAddr::from(Connection::SERVER));
            assert_eq!((ports.source, ports.destination), (client_port, Connection::PORT));
            assert_eq!(drop.direction, direction);
            assert_eq!(drop.packet_size, Some(20 + 32 + 5));
            let socket = drop.socket.unwrap();
            assert_eq!((socket.kind, socket.state), (SocketKind::Full, TcpState::Established));
            assert_eq!(socket.cookie, Some(cookie));
            assert!(socket.cgroup_id.is_some());
        };

        let server_cookie = socket_cookie(&connection.server).unwrap();
        connection.run_at_server(DROP_INPUT);
        connection.client.write_all(b"hello").unwrap();
        let drops = bench.collect(1, is_in(connection.server_netns));
        expect(&drops[0], Direction::Receive, server_cookie);

        let client_cookie = socket_cookie(&connection.client).unwrap();
        run_line(DROP_OUTPUT);
        // What was lost is sent again, into the rule on the way out.
        let drops = bench.collect(1, is_in(own_netns()));
        expect(&drops[0], Direction::Transmit, client_cookie);
        assert_eq!(drops[0].interface_index, Some(interface_index("client")));
    });
}

#[test]
fn a_packet_whose_route_is_gone_has_its_sockets_flow_and_no_size() {
    in_namespace(|| {
        let mut bench = Bench::new(&model::Probe::default());
        let mut connection = Connection::new();
        run("ip", "route flush dev client");
        connection.client.write_all(b"hello").unwrap();
        let drops = bench.collect(1, is_in(own_netns()));
        let flow = drops[0].flow.unwrap();
        let ports = flow.ports.unwrap();
        assert_eq!(flow.source, IpAddr::from(Connection::CLIENT));
        assert_eq!(flow.destination, IpAddr::from(Connection::SERVER));
        assert_eq!(ports.source, connection.client.local_addr().unwrap().port());
        assert_eq!(ports.destination, Connection::PORT);
        assert_eq!(drops[0].tcp.unwrap().flags.names().collect::<Vec<_>>(), ["PSH", "ACK"]);
        assert_eq!((drops[0].direction, drops[0].packet_size), (Direction::Transmit, None));
    });
}

#[test]
fn a_segment_purged_with_its_closed_socket_has_a_namespace_and_a_state() {
    in_namespace(|| {
        std::fs::write("/proc/sys/net/ipv4/tcp_fin_timeout", "120").unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut bench = Bench::new(&model::Probe::default());
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let client_port = client.local_addr().unwrap().port();
        // The first closer never reads the other's FIN. Its socket waits for it whole, since a timewait socket would
        // last no longer.
        drop(client);
        drop(server);
        let drops = bench.collect(1, is_in(own_netns()));
        assert_eq!(drops[0].direction, Direction::Receive);
        assert_eq!(drops[0].flow.unwrap().ports.unwrap().destination, client_port);
        assert_eq!(drops[0].packet_size, Some(52));
        let socket = drops[0].socket.unwrap();
        assert_eq!((socket.kind, socket.state), (SocketKind::Full, TcpState::Close));
    });
}

#[test]
fn a_gso_packet_is_one_drop_of_its_whole_size() {
    in_namespace(|| {
        let mut bench = Bench::new(&model::Probe::default());
        let mut connection = Connection::new();
        run_line(DROP_OUTPUT);
        connection.client.write_all(&[b'y'; 20_000]).unwrap();
        let drops = bench.collect(1, |drop| is_in(own_netns())(drop) && drop.segments.is_some());
        let payload = drops[0].packet_size.unwrap() - 52;
        assert_eq!(payload.div_ceil(1500 - 52), u32::from(drops[0].segments.unwrap()), "{payload} bytes");
    });
}
