//! Directions that only the drop site tells: the packet had no route, no socket and no arriving interface any more, or not
//! yet.

use crate::packet_drop::Direction;

/// Functions that see packets on their way in only (drivers/net/veth.c, drivers/net/tun.c, net/core/dev.c).
const RECEIVING: [&str; 9] = [
    "bpf_prog_run_generic_xdp",
    "do_xdp_generic",
    "enqueue_to_backlog",
    "netif_rx_internal",
    "netif_receive_generic_xdp",
    "tun_get_user",
    "veth_xdp_rcv",
    "veth_xdp_rcv_one",
    "veth_xdp_rcv_skb",
];
/// Functions that see packets on their way out only; packet sockets' (net/packet/af_packet.c) see those that came in as
/// well, but of these the arriving interface is known.
const SENDING: [&str; 8] = [
    "__dev_direct_xmit",
    "__dev_queue_xmit",
    "packet_rcv",
    "packet_rcv_spkt",
    "tpacket_rcv",
    "tun_net_xmit",
    "tun_queue_purge",
    "validate_xmit_skb",
];

/// The direction of all packets that `site` drops; `None` if it may be either.
pub(super) fn of_site(site: &str) -> Option<Direction> {
    // Compilers split functions and name the parts: tun_get_user.cold.
    let site = site.split('.').next().unwrap_or(site);
    if RECEIVING.contains(&site) {
        Some(Direction::Receive)
    } else {
        SENDING.contains(&site).then_some(Direction::Transmit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_of_one_direction_tells_it() {
        assert_eq!(of_site("veth_xdp_rcv_skb"), Some(Direction::Receive));
        assert_eq!(of_site("tun_net_xmit.cold"), Some(Direction::Transmit));
        assert_eq!(of_site("kfree_skb_list_reason"), None);
    }
}
