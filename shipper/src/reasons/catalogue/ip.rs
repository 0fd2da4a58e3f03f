//! IP: headers, addresses, routes, neighbours, fragments.

reasons! {
    IP_INHDR = Malformed,
        "The IP header is wrong: version, length, options; or its TTL (hop limit) ended while the packet was forwarded.",
        ["A routing loop, if the packet was forwarded: the TTL ran out.", "traceroute, which sends such packets on purpose.", "Damaged or forged packets."],
        ["`nstat -az IpInHdrErrors Ip6InHdrErrors IpExtInTruncatedPkts`", "`tcpdrop.direction`: `forward` points to a loop; then `traceroute DESTINATION`",
         "`ip route get DESTINATION from SOURCE iif DEV`"];
    IP_CSUM = Checksum,
        "The checksum of the IPv4 header is wrong: the packet changed on its way.",
        ["Bad hardware, here or at any hop.", "A device that rewrites headers without the checksum."],
        ["`nstat -az IpExtInCsumErrors`", "`ethtool -S DEV`", "Whether all drops share an interface"];
    SKB_CSUM = Checksum,
        "A checksum could not be computed or verified, mostly while the packet left.",
        ["A packet whose checksum offsets are wrong, often from a virtual machine or a BPF program.", "Memory that is short."],
        ["`ethtool -k DEV`: offloads", "The sender: a guest, tun device or BPF program that builds packets"];
    UDP_CSUM = Checksum,
        "A UDP checksum is wrong. TCP packets have this reason only inside a UDP tunnel (VXLAN, Geneve) whose outer checksum is wrong.",
        ["A damaged tunnel packet."],
        ["`nstat -az UdpInCsumErrors`", "`ethtool -S DEV`"];
    ICMP_CSUM = Checksum,
        "An ICMP checksum is wrong. TCP packets do not have this reason.",
        ["A damaged packet."],
        ["`nstat -az IcmpInCsumErrors`"];
    PKT_TOO_SMALL = Malformed,
        "The packet is shorter than its headers say, or its TCP header claims less than 20 bytes.",
        ["Damaged or forged packets, scanners.", "A broken tunnel or driver."],
        ["`nstat -az TcpInErrs IpExtInTruncatedPkts`", "Source and interface of the drops"];
    HDR_TRUNC = Malformed,
        "A header could not be read because the packet ends before.",
        ["Cut packets from a tun device, a tunnel or a driver.", "Forged packets."],
        ["The sender or the device that it came through", "`ip -s -s link show DEV`"];
    IPV6_BAD_EXTHDR = Malformed,
        "An IPv6 extension header is wrong.",
        ["Forged packets, or a device that damages options."],
        ["`nstat -az Ip6InHdrErrors`", "A capture of the packet"];
    IPV6_TOO_MANY_EXTHDRS = Malformed,
        "The packet has more IPv6 extension headers than the kernel walks through.",
        ["Forged packets, meant to waste time.", "A stack of tunnels and options that is deeper than the limit."],
        ["`nstat -az Ip6InHdrErrors`", "A capture of the packet", "`sysctl -a --pattern net.ipv6.max_`: limits of this kernel"];
    INVALID_PROTO = Malformed,
        "The packet breaks a rule of its protocol, such as an ICMP request to a broadcast address. TCP packets hardly have this reason.",
        ["Misconfigured or hostile senders."],
        ["A capture of the packet"];
    IP_NOPROTO = NotForUs,
        "No protocol handler takes the packet's IP protocol. A TCP packet has it only inside a tunnel that is not set up here.",
        ["Tunnelled packets for a tunnel that does not exist (GRE, IP-in-IP)."],
        ["`nstat -az IpInUnknownProtos Ip6InUnknownProtos`", "`ip -d link show type gre`, `ip -d tunnel show`"];
    OTHERHOST = NotForUs,
        "The frame was for another MAC address. It was seen only because the interface listens to all (promiscuous mode, bridge port, flooding switch).",
        ["A capture or a bridge put the interface into promiscuous mode.", "A switch floods frames whose address it does not know."],
        ["`ip -d link show DEV`: promiscuity", "MAC tables of the switch", "Two hosts with one IP address: `arping -D`"];
    UNICAST_IN_L2_MULTICAST = NotForUs,
        "A frame to all or many (broadcast or multicast MAC address) holds a packet for one IP address.",
        ["Load balancers that share an address by multicast MAC.", "A misconfigured static neighbour entry at the sender."],
        ["`ip neigh` on the sender", "`net.ipv4.conf.*.drop_unicast_in_l2_multicast`"];

    IP_RPFILTER = Routing,
        "The reverse path filter: the answer to the source address would leave by another interface, so the packet is not believed.",
        ["Several uplinks or asymmetric routes, with rp_filter = 1.", "A route that is missing in this namespace or VRF, often for containers or VPNs.", "A forged source address."],
        ["`nstat -az TcpExtIPReversePathFilter`", "`ip route get SOURCE`: does it name the interface that the packet came in by?",
         "`sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.DEV.rp_filter` (the greater holds; 2 is loose)", "`net.ipv4.conf.all.log_martians = 1` logs them"];
    IP_OUTNOROUTES = Routing,
        "There is no route to send the packet by (any more).",
        ["A route or interface went away while the connection lived.", "A missing default route; a blackhole or unreachable route; policy routing."],
        ["`nstat -az IpOutNoRoutes Ip6OutNoRoutes`", "`ip route get DESTINATION`", "`ip rule`, `ip monitor route`"];
    IP_INNOROUTES = Routing,
        "A packet to be forwarded has no route onward.",
        ["A missing route in this namespace.", "A packet that was routed here by mistake."],
        ["`nstat -az IpExtInNoRoutes Ip6InNoRoutes`", "`ip route get DESTINATION from SOURCE iif DEV`"];
    IP_INADDRERRORS = Routing,
        "The destination is not reachable from here: not an address of this host, and it may not be forwarded.",
        ["Forwarding is off.", "An address that moved away, while neighbours still send here.", "An unreachable or prohibited route."],
        ["`nstat -az IpInAddrErrors Ip6InAddrErrors`", "`sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding`", "`ip addr`, `ip route get DESTINATION iif DEV`"];
    IP_LOCAL_SOURCE = Routing,
        "A packet from outside has a source address of this host.",
        ["A loop on the wire, or a duplicate address.", "A forged source address.", "Hairpin traffic through a load balancer."],
        ["`net.ipv4.conf.DEV.accept_local`", "`log_martians`", "`arping -D` for the address"];
    IP_INVALID_SOURCE = Routing,
        "The source address cannot be one: multicast, broadcast, zero or 0.0.0.0/8.",
        ["Forged or broken packets."],
        ["`net.ipv4.conf.all.log_martians = 1` logs them", "The MAC address of the sender, in a capture"];
    IP_LOCALNET = Routing,
        "A loopback address (127.0.0.0/8) came from, or would leave to, a real interface.",
        ["NAT rules that send outside traffic to 127.0.0.1.", "Forged packets."],
        ["`net.ipv4.conf.DEV.route_localnet`", "`nft list ruleset`: dnat to 127.0.0.1"];
    IP_INVALID_DEST = Routing,
        "The destination address cannot be one, such as 0.0.0.0.",
        ["Broken senders, or NAT rules."],
        ["`net.ipv4.conf.all.log_martians = 1` logs them", "NAT rules: `nft list ruleset`"];
    PKT_TOO_BIG = Routing,
        "The packet is bigger than the MTU of the next link and must not be fragmented. The sender is told by ICMP; if that is filtered, connections hang when they send much.",
        ["A tunnel or VPN with a smaller MTU.", "ICMP that is filtered (path MTU black hole)."],
        ["`tracepath DESTINATION`", "`ip link`: mtu along the path; `ip route get DESTINATION`: cached mtu", "`nstat -az IpFragFails Ip6InTooBigErrors`",
         "`net.ipv4.tcp_mtu_probing`, MSS clamping in the firewall"];
    IPV6DISABLED = Routing,
        "IPv6 is switched off on the interface.",
        ["`disable_ipv6` is set, while others still send IPv6 to this host."],
        ["`sysctl net.ipv6.conf.DEV.disable_ipv6`", "DNS: AAAA records that lead here", "`nstat -az Ip6InDiscards Ip6OutDiscards`"];

    NEIGH_FAILED = Neighbour,
        "The next hop did not answer ARP or neighbour discovery, so its packets are thrown away. To TCP the host is unreachable.",
        ["The next hop is down, or the address wrong.", "A VLAN, bridge or security group that lets no ARP through.", "A wrong netmask, or a gateway in another network."],
        ["`ip neigh show nud failed`", "`arping -I DEV NEXTHOP`, `ndisc6 NEXTHOP DEV`", "`ip route get DESTINATION`: which next hop?", "`bridge fdb show`, `bridge vlan`"];
    NEIGH_CREATEFAIL = Neighbour,
        "No entry for the next hop could be made, mostly because the neighbour table is full.",
        ["More neighbours than the table holds, in large flat networks and clusters.", "A scan of the local network."],
        ["The kernel log: `neighbor table overflow`", "`ip neigh | wc -l` against `net.ipv4.neigh.default.gc_thresh3` (and net.ipv6)", "`cat /proc/net/stat/arp_cache`: table_fulls"];
    NEIGH_QUEUEFULL = Neighbour,
        "Packets wait until the next hop has answered ARP or neighbour discovery; too many did.",
        ["A burst of traffic to a next hop whose address is not known yet.", "A next hop that does not answer."],
        ["`ip neigh show nud incomplete`", "`cat /proc/net/stat/arp_cache`: unresolved_discards", "`net.ipv4.neigh.DEV.unres_qlen_bytes`"];
    NEIGH_DEAD = Neighbour,
        "The entry of the next hop was being removed.",
        ["An interface that went down or away."],
        ["`ip monitor neigh link`"];
    NEIGH_HH_FILLFAIL = Neighbour,
        "The link-layer header could not be put in front of the packet.",
        ["An interface that changes or goes away; a device without addresses."],
        ["`ip -d link show DEV`", "`ip neigh`"];
    IPV6_NDISC_FRAG = Malformed,
        "A neighbour discovery message came in fragments, which is not allowed. TCP packets do not have this reason.",
        ["Forged packets."],
        ["`sysctl net.ipv6.conf.DEV.suppress_frag_ndisc`"];
    IPV6_NDISC_HOP_LIMIT = Malformed,
        "A neighbour discovery message came from beyond the link. TCP packets do not have this reason.",
        ["Forged packets."],
        ["The source of the message"];
    IPV6_NDISC_BAD_CODE = Malformed,
        "A neighbour discovery message has a wrong code. TCP packets do not have this reason.",
        ["Forged packets."],
        ["The source of the message"];
    IPV6_NDISC_BAD_OPTIONS = Malformed,
        "A neighbour discovery message has wrong options. TCP packets do not have this reason.",
        ["Forged packets."],
        ["The source of the message"];
    IPV6_NDISC_NS_OTHERHOST = NotForUs,
        "A neighbour solicitation asks for another host. TCP packets do not have this reason.",
        ["The ordinary work of neighbour discovery."],
        ["`ip -6 neigh`"];

    DUP_FRAG = Fragment,
        "A fragment that was there already, or overlaps others.",
        ["A path that duplicates packets.", "Attacks with overlapping fragments."],
        ["`nstat -az IpReasmFails Ip6ReasmFails IpExtReasmOverlaps`", "Why TCP is fragmented at all: see PKT_TOO_BIG"];
    FRAG_REASM_TIMEOUT = Fragment,
        "Not all fragments of a packet arrived in time.",
        ["A path that loses fragments, or a firewall that stops all but the first.", "Fragments that went different ways."],
        ["`nstat -az IpReasmTimeout Ip6ReasmTimeout`", "`net.ipv4.ipfrag_time`, `net.ipv4.ipfrag_high_thresh`", "Path MTU: `tracepath DESTINATION`"];
    FRAG_TOO_FAR = Fragment,
        "Between two fragments of a packet too many others came from the same source; they probably are of different packets.",
        ["Much fragmented traffic over several paths."],
        ["`net.ipv4.ipfrag_max_dist`", "`nstat -az IpReasmFails`"];
}
