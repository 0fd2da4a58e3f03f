//! Classes that drop sites imply, for drops whose reason says nothing and for kernels without reasons (before 5.17).
//!
//! Only functions are listed whose drops are, where no reason is given, of one kind; a function with several
//! (`tcp_data_queue`: old data, full buffers, closed windows) implies nothing. From the kernel's sources, 5.10 to 7.0.

use super::Class;
use crate::packet_drop::{PacketDrop, SocketKind};

/// Functions, and what their drops are about. A trailing `*` stands for any rest of a name.
const SITES: &[(Class, &[&str])] = &[
    (
        Class::Cleanup,
        &[
            "inet_csk_destroy_sock",
            "inet_csk_listen_stop",
            "inet_sock_destruct",
            "sk_stream_kill_queues",
            "skb_queue_purge*",
            "skb_rbtree_purge",
            // A queueing discipline was deleted, or its interface went down (rtnl_kfree_skbs).
            "__rtnl_unlock",
            "tun_queue_purge",
            "tcp_close",
            "tcp_disconnect",
            "tcp_done*",
            "tcp_write_queue_purge",
            "__tcp_close",
        ],
    ),
    (Class::TcpState, &["tcp_rcv_state_process", "tcp_rcv_synsent_state_process", "tcp_validate_incoming"]),
    (Class::QueueFull, &["enqueue_to_backlog", "tcp_add_backlog", "tcp_prune_ofo_queue"]),
    (
        Class::Qdisc,
        &[
            "__dev_xmit_skb",
            "codel_*",
            "fq_codel_*",
            "fq_dequeue",
            "fq_enqueue",
            "htb_*",
            "netem_*",
            "pfifo_*",
            "pie_*",
            "red_*",
            "sfq_*",
            "tbf_*",
        ],
    ),
    (
        Class::Fragment,
        &["inet_frag_*", "inet_frags_*", "ip6_frag_*", "ip_defrag", "ip_expire", "ipv6_frag_rcv"],
    ),
    (Class::Netfilter, &["ip6t_*", "ipt_*", "nf_*", "nfqnl_*", "nft_*", "xt_*"]),
    (
        Class::Policy,
        &[
            "bpf_prog_run_generic_xdp",
            "do_xdp_generic",
            "netif_receive_generic_xdp",
            "run_lwt_bpf",
            "sk_filter_trim_cap",
            "sk_psock_*",
            "tcf_*",
            "veth_xdp_rcv_skb",
        ],
    ),
    (Class::Security, &["tcp_inbound_*", "tcp_v4_inbound_*", "tcp_v6_inbound_*", "xfrm*", "__xfrm*"]),
    (
        Class::Routing,
        &[
            "__ip_queue_xmit",
            "dst_discard",
            "dst_discard_out",
            "inet6_csk_xmit",
            "ip6_dst_lookup_*",
            "ip6_pkt_*",
            "ip_error",
            "ip_forward",
            "ip_queue_xmit",
            "ip_rcv_finish_core",
            "ip_route_*",
        ],
    ),
    (
        Class::Neighbour,
        &[
            "__neigh_event_send",
            "arp_error_report",
            "ip6_finish_output2",
            "ip_finish_output2",
            "ndisc_error_report",
            "neigh_*",
        ],
    ),
    (
        Class::Device,
        &[
            "__dev_forward_skb*",
            "br_*",
            "macvlan_*",
            "tun_net_xmit",
            "vxlan_*",
            "ip_tunnel_*",
            "ip6_tnl_*",
            "bond_*",
        ],
    ),
];

/// What a drop at the function `site` is about; `packet` is one of those that it dropped, where there is one.
pub(super) fn class(site: &str, packet: Option<&PacketDrop>) -> Option<Class> {
    // Compilers split functions and name the parts: tcp_v4_rcv.cold, neigh_event_ns.isra.0.
    let site = site.split('.').next().unwrap_or(site);
    receive_function(site, packet).or_else(|| {
        let fits = |pattern: &&str| match pattern.strip_suffix('*') {
            Some(beginning) => site.starts_with(beginning),
            None => site == *pattern,
        };
        SITES.iter().find(|(_, sites)| sites.iter().any(fits)).map(|&(class, _)| class)
    })
}

/// What a drop is about whose reason the kernel uses for something else too, by the function that gives it there.
pub(super) fn exception(reason: &str, site: Option<&str>) -> Option<Class> {
    match (reason, site?) {
        // The cookie was right, and the listener had no room (net/ipv4/syncookies.c, net/ipv6/syncookies.c).
        ("NO_SOCKET", "cookie_v4_check" | "cookie_v6_check") => Some(Class::QueueFull),
        // The header is right, its TTL or hop limit has run out.
        ("IP_INHDR", "ip_forward" | "ip6_forward") => Some(Class::Routing),
        _ => None,
    }
}

/// What a handshake drops without a reason, though it has served (`tcp_check_req` in net/ipv4/tcp_minisocks.c): a SYN that came
/// again and is answered again, and the last acknowledgement, of which a listener with `TCP_DEFER_ACCEPT` takes note until
/// data come. Kernels before 6.15 drop that without a reason, too, if the accept queue is full.
fn handshake(packet: &PacketDrop) -> Option<Class> {
    const FIN: u16 = 0x001;
    const SYN: u16 = 0x002;
    const RST: u16 = 0x004;
    const ACK: u16 = 0x010;
    let has_room = packet.listener.is_some_and(|queues| queues.backlog <= queues.backlog_max);
    match packet.tcp?.flags.0 & (FIN | SYN | RST | ACK) {
        SYN => Some(Class::Duplicate),
        ACK if has_room => Some(Class::Duplicate),
        _ => None,
    }
}

/// The receive functions of TCP drop for many causes; the packet tells some of them apart.
fn receive_function(site: &str, packet: Option<&PacketDrop>) -> Option<Class> {
    let packet = packet.filter(|_| matches!(site, "tcp_v4_rcv" | "tcp_v6_rcv"))?;
    match packet.socket {
        Some(socket) if socket.kind == SocketKind::TimeWait => Some(Class::Cleanup),
        Some(socket) if socket.kind == SocketKind::Listener => handshake(packet),
        // The addresses are there, so the packet was whole so far: the TCP header is cut.
        None if packet.tcp.is_none() && packet.flow.is_some() => Some(Class::Malformed),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::packet_drop::{Flow, ListenerQueues, Socket, TcpFlags, TcpHeader, TcpState};
    use crate::wire::{TcpDropEvent, decode};
    use zerocopy::IntoBytes;

    #[test]
    fn a_function_implies_its_class_with_any_suffix_of_the_compiler() {
        assert_eq!(class("ndisc_error_report", None), Some(Class::Neighbour));
        assert_eq!(class("ip6_pkt_drop.isra.0", None), Some(Class::Routing));
        assert_eq!(class("nf_hook_slow", None), Some(Class::Netfilter));
        assert_eq!(class("tcp_data_queue", None), None);
        assert_eq!(class("", None), None);
    }

    #[test]
    fn at_a_receive_function_the_packet_tells() {
        let mut packet = decode(TcpDropEvent::default().as_bytes()).unwrap();
        assert_eq!(class("tcp_v4_rcv", Some(&packet)), None, "nothing is known");
        let flow = Flow { source: [10, 0, 0, 1].into(), destination: [10, 0, 0, 2].into(), ports: None };
        packet.flow = Some(flow);
        assert_eq!(class("tcp_v4_rcv", Some(&packet)), Some(Class::Malformed));
        let (kind, state) = (SocketKind::TimeWait, TcpState::TimeWait);
        packet.socket = Some(Socket { kind, state, cookie: None, cgroup_id: None });
        assert_eq!(class("tcp_v6_rcv", Some(&packet)), Some(Class::Cleanup));
        assert_eq!(class("tcp_v4_rcv", None), None);
    }

    #[test]
    fn a_handshake_drops_what_has_served() {
        let mut packet = decode(TcpDropEvent::default().as_bytes()).unwrap();
        let (kind, state) = (SocketKind::Listener, TcpState::Listen);
        packet.socket = Some(Socket { kind, state, cookie: None, cgroup_id: None });
        let mut told = |flags, backlog| {
            packet.tcp = Some(TcpHeader { seq: 1, ack: 2, window: 3, flags: TcpFlags(flags) });
            packet.listener = Some(ListenerQueues { backlog, backlog_max: 5, syn_backlog: 1 });
            class("tcp_v4_rcv", Some(&packet))
        };
        assert_eq!(told(0x002, 6), Some(Class::Duplicate), "a SYN again");
        assert_eq!(told(0x010, 5), Some(Class::Duplicate), "accepted once data come");
        assert_eq!(told(0x010, 6), None, "the accept queue is full");
        assert_eq!(told(0x008, 0), None, "no ACK flag");
    }

    #[test]
    fn no_function_is_of_two_classes() {
        let all: Vec<_> = SITES.iter().flat_map(|(_, sites)| sites.iter()).collect();
        for pattern in &all {
            let name = pattern.trim_end_matches('*');
            let hits = all.iter().filter(|other| match other.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => *other == pattern,
            });
            assert_eq!(hits.count(), 1, "{pattern}");
        }
    }
}
