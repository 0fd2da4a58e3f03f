//! Devices, bridges, tunnels.

reasons! {
    DEV_READY = Device,
        "The device is not ready: it is down, or nothing is connected to it.",
        ["An interface that goes up or down.", "A tun or tap device whose process is gone; a veth whose other end is down."],
        ["`ip link show DEV`: state, carrier", "`ip monitor link`"];
    DEV_HDR = Malformed,
        "The header that a driver puts before packets is wrong.",
        ["A virtual machine or driver that is broken."],
        ["The device behind the drops: `ethtool -i DEV`", "Its version, and that of the guest"];
    FULL_RING = QueueFull,
        "The ring between the kernel and the reader of a tun, tap or similar device is full.",
        ["The virtual machine or VPN process does not read fast enough."],
        ["`ip -s link show DEV`: TX dropped", "CPU of the process behind the device", "txqueuelen: `ip link set DEV txqueuelen N`"];
    NO_TX_TARGET = Device,
        "A device has nowhere to send the packet: no port, or no tunnel endpoint.",
        ["A bridge, bond, macvlan or VXLAN without a member or an entry for the address."],
        ["`bridge fdb show dev DEV`", "`ip -d link show DEV`"];
    SKB_GSO_SEG = Malformed,
        "A large packet could not be cut into segments for sending.",
        ["A packet from a tun device or BPF program with wrong GSO fields.", "Memory that is short."],
        ["`ethtool -k DEV`: gso, tso", "The sender: a guest or BPF program"];
    SKB_BAD_GSO = Malformed,
        "A large packet claims a form of segmentation that its headers do not bear out.",
        ["A guest, tun device or packet socket that sends wrong GSO fields."],
        ["The sender: a guest or a process behind a tun device", "`ethtool -k DEV`"];
    UNHANDLED_PROTO = NotForUs,
        "Nothing takes frames of this protocol. For TCP: no IP on the interface, or a VLAN that does not exist here.",
        ["Tagged frames of a VLAN that is not configured.", "IPv6 or IPv4 that is not loaded."],
        ["`ip -d link show type vlan`", "`ip -s -s link show DEV`: RX otherhost, nohandler"];
    RECURSION_LIMIT = Device,
        "The packet would pass through too many devices inside each other: tunnels or bridges that lead back to themselves.",
        ["A tunnel whose route to the far end leads through the tunnel itself."],
        ["The kernel log: `Dead loop on virtual device`", "`ip route get REMOTE`: must not name the tunnel"];
    IP_TUNNEL_ECN = Malformed,
        "Outer and inner header of a tunnel packet disagree about congestion in a way that RFC 6040 forbids.",
        ["A network that clears or sets ECN bits wrongly."],
        ["`net.ipv4.tcp_ecn`", "A capture of outer and inner header: ECN bits"];
    TUNNEL_TXINFO = Device,
        "A tunnel that gets its target from the packet (metadata mode) was given none.",
        ["Open vSwitch or BPF rules that send to the tunnel without a target."],
        ["`ip -d link show DEV`: external", "`ovs-ofctl dump-flows`, tc rules with tunnel_key"];
    VXLAN_INVALID_HDR = Malformed,
        "The VXLAN header is wrong.",
        ["Other traffic on the VXLAN port; another dialect (VXLAN-GPE, GBP) than configured."],
        ["`ip -d link show type vxlan`", "A capture on the VXLAN port (4789 or 8472)"];
    VXLAN_VNI_NOT_FOUND = Device,
        "No VXLAN device has the network id of the packet.",
        ["The overlay is not, or no longer, set up on this host."],
        ["`ip -d link show type vxlan`: id", "The overlay's controller (flannel, Calico, Cilium)"];
    VXLAN_ENTRY_EXISTS = Device,
        "A source address was seen behind another tunnel endpoint than its fixed entry says, and may not move.",
        ["Two hosts with one MAC address; a virtual machine that moved."],
        ["`bridge fdb show dev DEV`", "Duplicate MAC addresses"];
    MAC_INVALID_SOURCE = Malformed,
        "The source MAC address cannot be one: multicast, or all zero.",
        ["A broken sender or virtual switch."],
        ["A capture with `-e`"];
    LOCAL_MAC = NotForUs,
        "The source MAC address is one of this host's: the frame came back.",
        ["A loop on the wire or between bridges.", "Two hosts with one MAC address."],
        ["`bridge link`, spanning tree", "`ip link`: duplicate MAC addresses"];
    MAC_IEEE_MAC_CONTROL = NotForUs,
        "The frame is for an address that bridges must not forward (IEEE 802.1D, 01-80-C2-00-00-0x).",
        ["Pause frames, LACP, STP of a neighbour."],
        ["`ip -d link show DEV`: group_fwd_mask of the bridge"];
    BRIDGE_INGRESS_STP_STATE = Device,
        "The bridge port may not receive yet, or at all: spanning tree has it blocked, listening or learning.",
        ["A port that was just connected: it learns for `forward_delay`.", "A loop, which spanning tree cut here."],
        ["`bridge -d link show`: state", "`ip -d link show BRIDGE`: stp_state, forward_delay"];
    MACVLAN_BROADCAST_BACKLOG = QueueFull,
        "Broadcasts and multicasts wait in a queue of macvlan, and it is full. Connections between hosts do not have this reason.",
        ["A storm of broadcasts."],
        ["`ip -d link show type macvlan`: bcqueuelen", "Who sends broadcasts"];
    IPVLAN_MULTICAST_BACKLOG = QueueFull,
        "Broadcasts and multicasts wait in a queue of ipvlan, and it is full. Connections between hosts do not have this reason.",
        ["A storm of broadcasts."],
        ["`ip -d link show type ipvlan`", "Who sends broadcasts"];
    CAN_RX_INVALID_FRAME = Malformed,
        "A CAN frame is malformed. TCP packets do not have this reason.",
        ["A broken CAN driver or injector."],
        ["`ip -d -s link show DEV`"];
    CANFD_RX_INVALID_FRAME = Malformed,
        "A CAN FD frame is malformed. TCP packets do not have this reason.",
        ["A broken CAN driver or injector."],
        ["`ip -d -s link show DEV`"];
    CANXL_RX_INVALID_FRAME = Malformed,
        "A CAN XL frame is malformed. TCP packets do not have this reason.",
        ["A broken CAN driver or injector."],
        ["`ip -d -s link show DEV`"];
}
