//! The kernel side's filters, on real drops: each verdict is compared with that of [`Rules`].
#![allow(clippy::unwrap_used)]

mod skip;

use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use tcpdrop_otel::config::model;
use tcpdrop_otel::filter::{Facts, Filter, Names, Rules, Selection, namespaces, parse};
use tcpdrop_otel::ledger::KernelCounts;
use tcpdrop_otel::packet_drop::PacketDrop;
use tcpdrop_otel::probe::{Probe, Ring};
use tcpdrop_otel::wire::decode;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V4_OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 9, 9, 9));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A probe under test. It sees the drops of all namespaces; those of the test's own are kept.
struct Bench {
    probe: Probe,
    ring: Ring,
    _runtime: tokio::runtime::Runtime,
    drops: Vec<PacketDrop>,
}

fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let has_btf = std::fs::exists(tcpdrop_otel::btf::KERNEL_BTF).unwrap();
    let has_tools = ["ip", "nft"].iter().all(|tool| Command::new(tool).arg("-V").output().is_ok());
    if !rustix::process::geteuid().is_root() || !has_btf || !has_tools {
        return skip::skip("needs root, a kernel with BTF, and the commands ip and nft");
    }
    let thread = std::thread::spawn(|| {
        // SAFETY: the thread shares no file descriptor table that this would part.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
        run("ip link set lo up");
        test();
    });
    thread.join().unwrap();
}

fn run(line: &str) {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn own_netns() -> u32 {
    std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino().try_into().unwrap()
}

/// A SYN to a port where nobody listens: dropped as NO_SOCKET.
fn knock(address: IpAddr, port: u16) {
    let refused = TcpStream::connect(SocketAddr::new(address, port)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut probe = Probe::load(&model::Probe::default()).unwrap();
        let ring = {
            let _context = runtime.enter();
            probe.take_ring().unwrap().unwrap()
        };
        Self { probe, ring, _runtime: runtime, drops: Vec::new() }
    }

    /// The drops of `traffic` in this namespace that the program lets pass, with `filter`.
    fn pass(&mut self, filter: &Filter, traffic: impl Fn()) -> Vec<PacketDrop> {
        self.probe.set_filter(filter).unwrap();
        self.probe.attach().unwrap();
        traffic();
        self.probe.detach().unwrap();
        self.balance();
        std::mem::take(&mut self.drops)
    }

    /// Empties the ring, and checks the ledger of the detached program.
    fn balance(&mut self) -> KernelCounts {
        let here = own_netns();
        let is_here = |drop: &PacketDrop| drop.network_namespace.is_some_and(|netns| netns.inode == here);
        let drops = &mut self.drops;
        while self.ring.drain(1000, |bytes| drops.extend(Some(decode(bytes).unwrap()).filter(is_here))) > 0 {}
        let counts = self.probe.counters().kernel().unwrap();
        let KernelCounts { seen, filtered, own, suppressed, ring_lost, admitted, .. } = counts;
        assert_eq!(seen, filtered + own + suppressed + ring_lost + admitted, "{counts:?}");
        assert_eq!(ring_lost, 0, "{counts:?}");
        counts
    }

    fn rules(&self, filter: &Filter) -> Rules {
        let reasons = &self.probe.reason_names().all();
        let names = Names { own_netns: own_netns(), host_netns: namespaces::host, reasons };
        filter.resolve(&names).unwrap().0
    }

    /// What passes of `traffic` is what the rules in Rust want of it, both when the filter includes and when it
    /// excludes `selection`; and each lets `included` and the others pass.
    fn judge(&mut self, selection: &Selection, included: usize, traffic: impl Fn()) {
        let all = self.pass(&Filter::default(), &traffic);
        assert!(included > 0 && included < all.len(), "traffic on both sides of {selection:?}: {all:#?}");
        let include = Filter { include: selection.clone(), ..Filter::default() };
        let exclude = Filter { exclude: selection.clone(), ..Filter::default() };
        for (filter, expected) in [(include, included), (exclude, all.len() - included)] {
            let rules = self.rules(&filter);
            let before = self.balance();
            let passed = self.pass(&filter, &traffic);
            let filtered = self.balance().filtered - before.filtered;
            assert_eq!(passed.len(), expected, "{filter:?}: {passed:#?}");
            assert!(passed.iter().all(|drop| rules.wants(&Facts::from(drop))), "{filter:?}: {passed:#?}");
            assert_eq!(
                all.iter().filter(|drop| rules.wants(&Facts::from(*drop))).count(),
                expected,
                "{filter:?}"
            );
            assert!(filtered >= u64::try_from(all.len() - expected).unwrap(), "{filter:?}: {filtered}");
        }
    }
}

fn entries<T>(texts: &[&str], parse: fn(&str) -> Result<T, String>) -> Vec<T> {
    texts.iter().map(|text| parse(text).unwrap()).collect()
}

#[test]
fn ports() {
    in_namespace(|| {
        let traffic = || [1, 7, 8, 9, 10, 60_001].into_iter().for_each(|port| knock(V4, port));
        // Ports that the kernel chooses for clients must not be listed.
        run("echo '32000 39999' > /proc/sys/net/ipv4/ip_local_port_range");
        let ports = entries(&["1", "8-9", "60000-65535"], parse::ports);
        Bench::new().judge(&Selection { ports, ..Selection::default() }, 4, traffic);
    });
}

#[test]
fn addresses_of_both_families() {
    in_namespace(|| {
        let traffic = || [V4, V4_OTHER, V6].into_iter().for_each(|address| knock(address, 9));
        let mut bench = Bench::new();
        for (prefixes, included) in [
            (&["127.9.0.0/16"] as &[_], 1),
            (&["127.9.9.9"], 1),
            (&["::1"], 1),
            (&["::/0"], 1),
            (&["0.0.0.0/0"], 2),
            (&["::ffff:127.0.0.0/104"], 2),
            (&["127.9.9.8/31", "::1/128", "10.0.0.0/8"], 2),
        ] {
            let addresses = entries(prefixes, parse::prefix);
            bench.judge(&Selection { addresses, ..Selection::default() }, included, traffic);
        }
    });
}

#[test]
fn packets_of_an_ipv4_mapped_socket_are_ipv4_packets() {
    in_namespace(|| {
        let traffic = || {
            knock("::ffff:127.0.0.1".parse().unwrap(), 9);
            knock(V6, 9);
        };
        let mut bench = Bench::new();
        for prefix in ["127.0.0.0/8", "::ffff:127.0.0.1", "::/0"] {
            let addresses = entries(&[prefix], parse::prefix);
            bench.judge(&Selection { addresses, ..Selection::default() }, 1, traffic);
        }
    });
}

#[test]
fn reasons_and_directions() {
    in_namespace(|| {
        run("nft 'add table ip t; add chain ip t output { type filter hook output priority 0; }; \
             add rule ip t output tcp dport 8 counter drop'");
        let traffic = || {
            knock(V4, 9);
            // The rule eats the SYN on its way out; nothing comes back.
            let peer = SocketAddr::new(V4, 8);
            let _ = TcpStream::connect_timeout(&peer, std::time::Duration::from_millis(50)).unwrap_err();
        };
        let mut bench = Bench::new();
        let reasons = entries(&["netfilter_drop", "NO_SUCH_REASON"], parse::reason);
        bench.judge(&Selection { reasons, ..Selection::default() }, 1, traffic);
        let direction = entries(&["transmit", "forward"], parse::direction);
        bench.judge(&Selection { direction, ..Selection::default() }, 1, traffic);
        let direction = entries(&["receive"], parse::direction);
        bench.judge(&Selection { direction, ..Selection::default() }, 1, traffic);
    });
}

/// A namespace with a name, which the commands can enter.
struct Peer(String);

impl Drop for Peer {
    fn drop(&mut self) {
        run(&format!("ip netns del {}", self.0));
    }
}

#[test]
fn packets_that_pass_through() {
    in_namespace(|| {
        let peer = Peer(format!("tcpdrop-test-{}-peer", std::process::id()));
        let name = &peer.0;
        run(&format!("ip netns add {name} && ip link add east type veth peer name west netns {name}"));
        run("ip link add out type veth peer name nowhere && ip link set nowhere up");
        run("for d in east out; do ip link set $d up; done; echo 1 > /proc/sys/net/ipv4/ip_forward");
        run("ip addr add 10.88.0.1/24 dev east && ip addr add 10.99.0.1/24 dev out");
        run(&format!("ip -n {name} addr add 10.88.0.2/24 dev west && ip -n {name} link set west up"));
        run(&format!("ip -n {name} route add default via 10.88.0.1"));
        run("nft 'add table ip t; add chain ip t pass { type filter hook forward priority 0; }; \
             add rule ip t pass tcp dport 80 drop'");
        let traffic = || {
            knock(V4, 9);
            run(&format!(
                "! timeout 0.3 ip netns exec {name} bash -c ': < /dev/tcp/10.99.0.9/80' 2> /dev/null"
            ));
        };
        let direction = entries(&["forward"], parse::direction);
        Bench::new().judge(&Selection { direction, ..Selection::default() }, 1, traffic);
    });
}

#[test]
fn network_namespaces() {
    in_namespace(|| {
        let mut bench = Bench::new();
        let by_inode = own_netns().to_string();
        // The probe is loaded in this namespace: it is the agent's own.
        for name in ["self", by_inode.as_str()] {
            let netns = entries(&[name], parse::namespace);
            let here = Selection { netns, ..Selection::default() };
            let include = Filter { include: here.clone(), ..Filter::default() };
            let exclude = Filter { exclude: here, ..Filter::default() };
            assert_eq!(bench.pass(&include, || knock(V4, 9)).len(), 1);
            assert_eq!(bench.pass(&exclude, || knock(V4, 9)).len(), 0);
            assert_eq!(drops_elsewhere(&mut bench, &include), 0);
            assert_eq!(drops_elsewhere(&mut bench, &exclude), 1);
        }
    });
}

/// Drops of one knock in a third namespace that pass.
fn drops_elsewhere(bench: &mut Bench, filter: &Filter) -> usize {
    bench.probe.set_filter(filter).unwrap();
    bench.probe.attach().unwrap();
    let other = std::thread::scope(|scope| {
        let knocker = scope.spawn(|| {
            // SAFETY: the thread shares no file descriptor table that this would part.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            run("ip link set lo up");
            knock(V4, 9);
            own_netns()
        });
        knocker.join().unwrap()
    });
    bench.probe.detach().unwrap();
    let mut count = 0;
    let is_there = |drop: &PacketDrop| drop.network_namespace.is_some_and(|netns| netns.inode == other);
    while bench.ring.drain(1000, |bytes| count += usize::from(is_there(&decode(bytes).unwrap()))) > 0 {}
    count
}

#[test]
fn kinds_add_up_and_exclude_wins() {
    in_namespace(|| {
        let traffic = || {
            for address in [V4, V6] {
                [7, 8, 9].into_iter().for_each(|port| knock(address, port));
            }
        };
        let mut bench = Bench::new();
        let all = bench.pass(&Filter::default(), traffic);
        let filter = Filter {
            include: Selection {
                ports: entries(&["7-8"], parse::ports),
                addresses: entries(&["127.0.0.0/8", "::1"], parse::prefix),
                direction: entries(&["receive"], parse::direction),
                ..Selection::default()
            },
            exclude: Selection {
                addresses: entries(&["::/0"], parse::prefix),
                ports: entries(&["8"], parse::ports),
                ..Selection::default()
            },
        };
        let rules = bench.rules(&filter);
        let passed = bench.pass(&filter, traffic);
        assert_eq!(all.len(), 6);
        assert_eq!(all.iter().filter(|drop| rules.wants(&Facts::from(*drop))).count(), 1);
        let ports: Vec<_> = passed.iter().map(|drop| drop.flow.unwrap().ports.unwrap().destination).collect();
        assert_eq!(ports, [7]);
        assert_eq!(bench.pass(&filter, traffic).len(), 1, "the same filter again");
        // The other set, and back to none: nothing of the first stays.
        let seven = Selection { ports: entries(&["7"], parse::ports), ..Selection::default() };
        assert_eq!(bench.pass(&Filter { exclude: seven, ..Filter::default() }, traffic).len(), 4);
        assert_eq!(bench.pass(&Filter::default(), traffic).len(), 6);
    });
}

#[test]
fn a_drop_without_ports_passes_no_included_port() {
    in_namespace(|| {
        let mut bench = Bench::new();
        // A closed socket purges what was never read: no header is left.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let traffic = || {
            let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            let (server, _) = listener.accept().unwrap();
            drop(client);
            drop(server);
        };
        let all = bench.pass(&Filter::default(), traffic);
        let without_ports = all.iter().filter(|drop| Facts::from(*drop).ports.is_none()).count();
        let every_port = Selection { ports: entries(&["0-65535"], parse::ports), ..Selection::default() };
        let included = Filter { include: every_port.clone(), ..Filter::default() };
        let excluded = Filter { exclude: every_port, ..Filter::default() };
        assert_eq!(bench.pass(&included, traffic).len(), all.len() - without_ports);
        assert_eq!(bench.pass(&excluded, traffic).len(), without_ports);
    });
}

#[test]
fn the_filter_changes_while_drops_come() {
    in_namespace(|| {
        let mut bench = Bench::new();
        let filters = bench.probe.filters();
        // Each of these wants port 8 and never port 7, and they share entries.
        let here = || Selection {
            addresses: entries(&["127.0.0.0/8"], parse::prefix),
            reasons: entries(&["NO_SOCKET"], parse::reason),
            ..Selection::default()
        };
        let ports = |text| entries(&[text], parse::ports);
        let eight = Filter { include: Selection { ports: ports("8"), ..here() }, ..Filter::default() };
        let not_seven =
            Filter { include: here(), exclude: Selection { ports: ports("7"), ..Selection::default() } };
        bench.probe.set_filter(&eight).unwrap();
        bench.probe.attach().unwrap();
        std::thread::scope(|scope| {
            let knocker = scope.spawn(|| {
                for _ in 0..400 {
                    knock(V4, 7);
                    knock(V4, 8);
                }
            });
            let mut changes = 0;
            while !knocker.is_finished() || changes < 20 {
                filters.set(if changes % 2 == 0 { &not_seven } else { &eight }).unwrap();
                changes += 1;
            }
        });
        bench.probe.detach().unwrap();
        bench.balance();
        let ports: Vec<_> =
            bench.drops.iter().map(|drop| drop.flow.unwrap().ports.unwrap().destination).collect();
        assert_eq!(ports, vec![8; 400]);
    });
}
