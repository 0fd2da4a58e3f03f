//! Reasons of kernel subsystems: `SUBSYSTEM_`, then the kernel's name after `DROP_`.

reasons! {
    OPENVSWITCH_LAST_ACTION = Policy,
        "Open vSwitch ran all actions of the flow, and none sent the packet on (OVS_DROP_LAST_ACTION).",
        ["A flow that drops: no rule fits, or a network policy denies.", "A security group of OpenStack or OVN."],
        ["`ovs-appctl ofproto/trace BRIDGE FLOW`: which rule", "`ovs-appctl dpctl/dump-flows`: flows with `actions:drop`", "`ovn-trace`"];
    OPENVSWITCH_ACTION_ERROR = Device,
        "An action of an Open vSwitch flow failed (OVS_DROP_ACTION_ERROR).",
        ["A header that cannot be changed as asked; memory that is short."],
        ["`ovs-appctl dpctl/dump-flows`", "The log of ovs-vswitchd"];
    OPENVSWITCH_EXPLICIT = Policy,
        "An explicit drop action of Open vSwitch (OVS_DROP_EXPLICIT).",
        ["A rule that denies, such as an ACL of OVN."],
        ["`ovs-appctl ofproto/trace BRIDGE FLOW`", "`ovn-trace`, ACL logs of OVN"];
    OPENVSWITCH_EXPLICIT_WITH_ERROR = Device,
        "A drop action that ovs-vswitchd installed because something is wrong with the flow (OVS_DROP_EXPLICIT_WITH_ERROR).",
        ["Rules that recirculate too deep, or a bridge that is misconfigured."],
        ["The log of ovs-vswitchd", "`ovs-appctl coverage/show | grep drop_action`"];
    OPENVSWITCH_METER = Policy,
        "A meter of Open vSwitch limits the rate, and the packet is over it (OVS_DROP_METER).",
        ["A rate limit, such as a QoS rule of OVN."],
        ["`ovs-ofctl -O OpenFlow13 meter-stats BRIDGE`"];
    OPENVSWITCH_RECURSION_LIMIT = Device,
        "Actions of Open vSwitch are nested too deep (OVS_DROP_RECURSION_LIMIT).",
        ["Flows that recirculate in a circle."],
        ["`ovs-appctl dpctl/dump-flows`: recirc actions", "The kernel log"];
    OPENVSWITCH_DEFERRED_LIMIT = QueueFull,
        "Open vSwitch has more actions to finish later than it may keep (OVS_DROP_DEFERRED_LIMIT).",
        ["Flows that clone or recirculate much."],
        ["`ovs-appctl dpctl/dump-flows`: clone, recirc, sample actions", "The kernel log: deferred action limit"];
    OPENVSWITCH_FRAG_L2_TOO_LONG = Malformed,
        "The link-layer header is too long to fragment the packet (OVS_DROP_FRAG_L2_TOO_LONG).",
        ["Many VLAN or MPLS tags on a packet over the MTU."],
        ["`ovs-appctl dpctl/show`, MTU of the ports"];
    OPENVSWITCH_FRAG_INVALID_PROTO = Malformed,
        "A packet that is neither IPv4 nor IPv6 would have to be fragmented (OVS_DROP_FRAG_INVALID_PROTO).",
        ["An MTU that is too small for other protocols."],
        ["MTU of the ports"];
    OPENVSWITCH_CONNTRACK = Netfilter,
        "Connection tracking failed for the packet in an Open vSwitch flow (OVS_DROP_CONNTRACK).",
        ["The table of connections, or its limit for the zone, is full.", "A packet that cannot be tracked; NAT without a free port."],
        ["`ovs-appctl dpctl/ct-stats-show`, `conntrack -S`", "`net.netfilter.nf_conntrack_max`, `ovs-appctl dpctl/ct-get-limits`"];
    OPENVSWITCH_IP_TTL = Routing,
        "The TTL ended in Open vSwitch (OVS_DROP_IP_TTL).",
        ["A loop between logical routers; traceroute."],
        ["`ovn-trace`, `ovs-appctl ofproto/trace`"];

    QDISC_GENERIC = Qdisc,
        "The queue of the outgoing interface dropped the packet for a reason of its own (QDISC_DROP_GENERIC).",
        ["The interface is slower than what is sent.", "A rate limit or a classifier of the qdisc."],
        ["`tc -s qdisc show dev DEV`, `tc -s class show dev DEV`"];
    QDISC_MAXFLOWS = Qdisc,
        "The qdisc tracks as many flows as it may (QDISC_DROP_MAXFLOWS).",
        ["More flows at a time than configured."],
        ["`tc -s qdisc show dev DEV`: flows", "`tc qdisc change ... sfq flows N`"];
    QDISC_FLOOD_PROTECTION = Qdisc,
        "The qdisc protects against a flow that does not react to congestion (QDISC_DROP_FLOOD_PROTECTION; CAKE_FLOOD before).",
        ["A flow that floods."],
        ["`tc -s qdisc show dev DEV`", "Which flow has most drops"];
    QDISC_BAND_LIMIT = Qdisc,
        "A priority band of the qdisc is full (QDISC_DROP_BAND_LIMIT; FQ_BAND_LIMIT before).",
        ["The interface is slower than what is sent."],
        ["`tc -s qdisc show dev DEV`: band drops"];
    QDISC_HORIZON_LIMIT = Qdisc,
        "The packet asked to be sent later than the qdisc allows (QDISC_DROP_HORIZON_LIMIT; FQ_HORIZON_LIMIT before).",
        ["A wrong SO_TXTIME or pacing rate; a BPF program that sets departure times."],
        ["`tc -s qdisc show dev DEV`: horizon_drops"];
    QDISC_FLOW_LIMIT = Qdisc,
        "One flow has as many packets in the qdisc as it may (QDISC_DROP_FLOW_LIMIT; FQ_FLOW_LIMIT before).",
        ["A sender that is not paced, or a connection with a very large window."],
        ["`tc -s qdisc show dev DEV`: flows_plimit"];
    QDISC_L4S_STEP_NON_ECN = Qdisc,
        "The dualpi2 qdisc wanted to mark the packet for congestion, but it does not support ECN (QDISC_DROP_L4S_STEP_NON_ECN; DUALPI2_STEP_DROP before).",
        ["A bottleneck at this interface, and a sender without ECN."],
        ["`tc -s qdisc show dev DEV`", "`net.ipv4.tcp_ecn`"];

    MAC80211_UNUSABLE = Device,
        "A Wi-Fi frame that cannot be used; what follows in the name says why (RX_DROP_U_ in net/mac80211/drop.h). TCP packets hardly have such a reason: it is given before IP.",
        ["Frames that are not, or wrongly, encrypted; repeated or out of order; damaged by a weak signal."],
        ["`iw dev DEV station dump`: rx drop misc, signal", "The logs of hostapd or wpa_supplicant"];
    MAC80211_MONITOR = Device,
        "A Wi-Fi frame that is of use to monitors only; what follows in the name says why (RX_DROP_M_ in net/mac80211/drop.h).",
        ["Frames with a wrong key id, or in a form that is not expected."],
        ["`iw dev DEV station dump`", "The logs of hostapd or wpa_supplicant"];
}
