//! What was set up to look at traffic: firewall, BPF, traffic control; and the queues of interfaces.

reasons! {
    NETFILTER_DROP = Netfilter,
        "A rule of nftables or iptables, or connection tracking, dropped the packet.",
        ["A DROP rule or policy: of the firewall, of Docker or Kubernetes network policy, of fail2ban.", "The table of connections is full.", "A packet that connection tracking calls invalid, and a rule for those."],
        ["The stack: `nft_do_chain` or `ipt_do_table`, and the hook above it (`ip_rcv` prerouting, `ip_local_deliver` input, `ip_forward` forward, `__ip_local_out` output)",
         "`nft list ruleset`, `iptables-save -c`: rules with counters", "`nft add rule ... meta nftrace set 1` and `nft monitor trace`",
         "`conntrack -S`; `net.netfilter.nf_conntrack_count` against `nf_conntrack_max`"];
    BPF_CGROUP_EGRESS = Policy,
        "A BPF program of the sender's cgroup refused the packet.",
        ["systemd's `IPAddressDeny=`, or a container network policy."],
        ["`bpftool cgroup tree`", "`systemctl show UNIT -p IPAddressAllow -p IPAddressDeny`"];
    XDP = Policy,
        "An XDP program dropped the packet, or failed on it.",
        ["A filter or load balancer (Cilium, Katran, DDoS protection).", "A program that aborts, or redirects to where nothing is."],
        ["`bpftool net`, `ip link show DEV`: which program", "`bpftool prog show`, and the program's own maps", "Tracepoint xdp:xdp_exception"];
    TC_INGRESS = Policy,
        "A filter or action of traffic control dropped the packet on its way in.",
        ["A BPF program at tc or tcx (Cilium, Calico).", "A policer that limits the rate."],
        ["`tc -s filter show dev DEV ingress`, `bpftool net`", "`tc -s actions list action police`"];
    TC_EGRESS = Policy,
        "A filter or action of traffic control dropped the packet on its way out.",
        ["A BPF program at tc or tcx (Cilium, Calico).", "A policer that limits the rate."],
        ["`tc -s filter show dev DEV egress`, `bpftool net`", "`tc -s actions list action police`"];
    TC_COOKIE_ERROR = Policy,
        "Traffic control lost the state that belongs to a packet whose processing was to be continued.",
        ["An error in offloaded tc rules, or memory that is short."],
        ["`tc -s filter show dev DEV ingress`", "The kernel log"];
    TC_CHAIN_NOTFOUND = Policy,
        "A tc rule jumps to a chain that does not exist.",
        ["Rules that were removed or added in the wrong order, mostly offloaded ones (Open vSwitch)."],
        ["`tc filter show dev DEV ingress`, `tc chain show dev DEV`"];
    TC_RECLASSIFY_LOOP = Policy,
        "tc rules sent the packet round in a circle.",
        ["Rules with `reclassify` or `goto chain` that lead back."],
        ["`tc filter show dev DEV ingress`"];
    TAP_FILTER = Policy,
        "A BPF filter on a tun or tap device refused the packet.",
        ["A virtual machine monitor that filters for its guest."],
        ["`ip -d link show DEV`", "The configuration of the process behind the device"];
    TAP_TXFILTER = Policy,
        "The address filter of a tap device let the frame not through: its MAC address is not for the guest.",
        ["A bridge that floods to all ports."],
        ["`bridge fdb show`", "`ip -d link show DEV`"];
    ARP_PVLAN_DISABLE = Policy,
        "A private VLAN setting forbids the answer to an ARP or neighbour message. TCP packets do not have this reason.",
        ["`proxy_arp_pvlan` is off."],
        ["`sysctl net.ipv4.conf.DEV.proxy_arp_pvlan`"];

    QDISC_DROP = Qdisc,
        "The queue of the outgoing interface did not take the packet.",
        ["The interface is slower than what is sent: its queue is full.", "A rate limit (tbf, htb, a cloud's shaping).", "Queue management that drops early."],
        ["`tc -s qdisc show dev DEV`: dropped, overlimits, backlog", "`tc -s class show dev DEV`", "`ip -s link show DEV`, txqueuelen", "The limits of the virtual machine"];
    QDISC_OVERLIMIT = Qdisc,
        "A queue of the outgoing interface is as long as it may be.",
        ["The interface is slower than what is sent.", "A limit that is small for the bursts."],
        ["`tc -s qdisc show dev DEV`: dropped, backlog, limit", "`tc qdisc change ... limit N`"];
    QDISC_CONGESTED = Qdisc,
        "Queue management (CoDel, FQ-PIE, RED) drops to tell the sender that the queue is getting long. It is how congestion control works.",
        ["A bottleneck at this interface."],
        ["`tc -s qdisc show dev DEV`: drops, marks, target", "ECN: `net.ipv4.tcp_ecn = 1` lets it mark instead"];
    QDISC_BURST_DROP = Qdisc,
        "More packets waited to enter the queue of the outgoing interface than `net.core.qdisc_max_burst` allows.",
        ["Many CPUs send to one queue at once.", "A qdisc that is slow or locked for long."],
        ["`sysctl net.core.qdisc_max_burst`", "`tc -s qdisc show dev DEV`", "A multi-queue qdisc (mq) where the device has several queues"];
    CAKE_FLOOD = Qdisc,
        "CAKE protects against a flow that does not react to congestion, and drops from it.",
        ["A flow that floods."],
        ["`tc -s qdisc show dev DEV`", "Which flow has most drops"];
    FQ_BAND_LIMIT = Qdisc,
        "The priority band of the fq qdisc is full.",
        ["The interface is slower than what is sent."],
        ["`tc -s qdisc show dev DEV`: band drops", "`tc qdisc change ... fq limit N`"];
    FQ_FLOW_LIMIT = Qdisc,
        "One flow has as many packets in the fq qdisc as it may (flow_limit).",
        ["A sender that is not paced, such as UDP or raw sockets, or a connection with a very large window."],
        ["`tc -s qdisc show dev DEV`: flows_plimit", "`tc qdisc change ... fq flow_limit N`"];
    FQ_HORIZON_LIMIT = Qdisc,
        "The packet asked to be sent later than the horizon of the fq qdisc allows.",
        ["A wrong SO_TXTIME or pacing rate; a BPF program that sets departure times."],
        ["`tc -s qdisc show dev DEV`: horizon_drops", "`tc qdisc change ... fq horizon TIME`"];
    DUALPI2_STEP_DROP = Qdisc,
        "The dualpi2 qdisc wanted to mark the packet for congestion, but it does not support ECN, so it is dropped.",
        ["A bottleneck at this interface, and a sender without ECN."],
        ["`tc -s qdisc show dev DEV`", "`net.ipv4.tcp_ecn`"];

    CPU_BACKLOG = QueueFull,
        "The queue of received packets of a CPU is full, or one flow has too much of it.",
        ["A CPU that cannot keep up with its interrupts, or all traffic on one CPU.", "Veth and loopback at high rates."],
        ["`cat /proc/net/softnet_stat`: second column drops, third squeezed, one row a CPU", "`net.core.netdev_max_backlog`, `net.core.netdev_budget`",
         "RSS and RPS: `ethtool -l DEV`, `/sys/class/net/DEV/queues/rx-*/rps_cpus`", "`net.core.flow_limit_cpu_bitmap`"];
}
