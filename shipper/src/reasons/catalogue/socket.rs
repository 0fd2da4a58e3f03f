//! What happens at sockets: none there, full, filtered, closed; and what says nothing.

reasons! {
    NOT_SPECIFIED = None,
        "The kernel dropped the packet at a place that gives no reason. The drop site and the stack tell more; where the site allows one cause only, the record has `tcpdrop.class` with `tcpdrop.class_source` = `site`.",
        ["Places that nobody gave a reason yet: IPv6 routes and neighbours, blackhole routes, generic and veth XDP, segments for TIME_WAIT, data after a FIN, cut headers."],
        ["`code.function.name` and `tcpdrop.stack.frames` of the record", "`nstat`: which counter rises with it",
         "A newer kernel: each release gives more reasons"];
    NO_SOCKET = NoListener,
        "No socket takes the segment: nothing listens on the port, or the connection does not exist (any more). TCP answers a SYN, and most else, with RST.",
        ["The service is down, restarting, or listens on another address or port.", "Clients with an old address; probes and scans.",
         "A connection that this host forgot, after a restart or a failover.",
         "With SYN cookies: the last ACK of a handshake whose cookie is wrong, or for which the accept queue is full (the listener is in the record then)."],
        ["`ss -ltnp`: who listens, in the same network namespace", "`nstat -az TcpOutRsts TcpExtSyncookiesFailed TcpExtListenOverflows`",
         "Firewalls that drop before would hide it: those who see RST get here"];
    SOCKET_CLOSE = Cleanup,
        "What was left in the queues of a socket when it was closed.",
        ["A process that ended, or closed a connection with unread data."],
        ["`nstat -az TcpExtTCPAbortOnClose`", "Whether the peer had more to say: a RST follows then"];
    QUEUE_PURGE = Cleanup,
        "A queue was emptied as a whole: of a socket at its end, or of a device. Every connection whose first closer used close() shows it once, for the peer's FIN.",
        ["The ordinary end of a connection (state closed, no data).", "An interface or qdisc that is removed with packets in it."],
        ["Drop site: `sk_stream_kill_queues`, `tcp_write_queue_purge` and their like are sockets",
         "With data and an open connection: who removed the device or changed the qdisc?"];
    SOCKET_FILTER = Policy,
        "A filter of the socket refused the packet: SO_ATTACH_FILTER or SO_ATTACH_BPF, or a BPF program of its cgroup for incoming packets. On kernels without SECURITY_HOOK also a security module.",
        ["A cgroup program for ingress (systemd's `IPAddressDeny=`, container network policy).", "A filter that the application sets itself.",
         "SELinux or AppArmor rules for packets."],
        ["`bpftool cgroup tree`: programs of the cgroups", "`systemctl show UNIT -p IPAddressAllow -p IPAddressDeny`", "`ss -tb`: filters of sockets",
         "The audit log"];
    SOCKET_RCVBUFF = QueueFull,
        "The receive buffer of the socket is full. The peer sends again, more slowly.",
        ["An application that reads slowly.", "A buffer that is too small for the rate."],
        ["`ss -tmp`: Recv-Q and skmem (r: used, rb: limit), and who owns it", "`nstat -az TcpExtTCPRcvQDrop TcpExtRcvPruned TcpExtPruneCalled`",
         "`net.ipv4.tcp_rmem`, `net.core.rmem_max`, SO_RCVBUF in the application"];
    SOCKET_BACKLOG = QueueFull,
        "The backlog of a socket is full: packets that arrive while the application holds the socket wait there.",
        ["An application that spends long in one call on the socket, on a fast connection.", "Many small segments; a CPU that is overloaded."],
        ["`nstat -az TcpExtTCPBacklogDrop TcpExtTCPBacklogCoalesce`", "`ss -tm`: bl in skmem", "`net.ipv4.tcp_rmem`: the limit grows with the buffer"];
    PROTO_MEM = Memory,
        "The memory that TCP, or this socket, may use is used up; the segment is dropped although it fits the window.",
        ["`net.ipv4.tcp_mem` is reached: too many connections with full buffers.", "A cgroup at its memory limit.", "An application that does not read."],
        ["`cat /proc/net/sockstat`: TCP mem, in pages, against `net.ipv4.tcp_mem`", "`nstat -az TcpExtTCPMemoryPressures TcpExtTCPRcvQDrop TcpExtTCPOFODrop`",
         "`memory.events` and `memory.stat` (sock) of the cgroup", "`ss -tmp`: whose Recv-Q is long"];
    PFMEMALLOC = Memory,
        "The packet was received into the kernel's emergency reserve because memory was short, and its socket does not help to free memory.",
        ["The host is out of memory."],
        ["`nstat -az TcpExtPFMemallocDrop`", "The kernel log: page allocation failure, OOM", "`vm.min_free_kbytes`, `/proc/pressure/memory`"];
    NOMEM = Memory,
        "The kernel could not allocate memory for the packet.",
        ["The host or a cgroup is out of memory.", "Bursts of large packets that need contiguous pages."],
        ["The kernel log: page allocation failure, OOM", "`/proc/pressure/memory`, `vm.min_free_kbytes`", "`memory.events` of the cgroup"];
    SECURITY_HOOK = Security,
        "A security module (SELinux, AppArmor, Smack, BPF LSM) refused the packet for the socket.",
        ["A policy for labelled packets or sockets."],
        ["`ausearch -m avc -ts recent`, or the kernel log", "`cat /sys/kernel/security/lsm`", "`bpftool prog list`: programs of type lsm"];
    XFRM_POLICY = Security,
        "IPsec demands protection that the packet does not have, or no policy allows it.",
        ["The tunnel is down, and its policies are still there.", "Selectors that differ between the two sides."],
        ["`cat /proc/net/xfrm_stat`: XfrmInNoPols, XfrmInTmplMismatch, XfrmInPolBlock", "`ip xfrm policy`, `ip xfrm state`", "The log of the IKE daemon"];
    PSP_INPUT = Security,
        "The checks of PSP (encryption by the network card) on an incoming segment failed.",
        ["A segment in clear on a connection that is encrypted, or with the keys of another.", "A key rotation that one side missed."],
        ["Keys and associations of the connection on both sides", "`ethtool -S DEV`: psp counters"];
    PSP_OUTPUT = Security,
        "The checks of PSP on an outgoing segment failed: it would have left by a device that cannot encrypt it.",
        ["A route that changed to another interface."],
        ["`ip route get PEER`", "Which devices offer PSP"];
    UNIX_DISCONNECT = Cleanup,
        "A Unix-domain socket was disconnected, and what waited in it is dropped. TCP packets do not have this reason.",
        ["The end of a local connection."],
        ["`ss -x`"];
    UNIX_SKIP_OOB = Cleanup,
        "Out-of-band data of a Unix-domain socket was skipped. TCP packets do not have this reason.",
        ["A reader that does not ask for MSG_OOB."],
        ["`ss -x`"];
    SKB_UCOPY_FAULT = Device,
        "Copying between the packet and the memory of a process failed (tun, tap, packet sockets, zero copy).",
        ["A process that gave a bad address, or ended meanwhile.", "A virtual machine monitor in trouble."],
        ["The process behind the tun or tap device: `ip -d link show DEV`", "Its log"];
    PACKET_SOCK_ERROR = Device,
        "A packet socket (AF_PACKET) could not take its copy. The packet itself goes its way.",
        ["A capture that cannot keep up.", "Memory that is short."],
        ["`ss -0 -mp`: who captures", "The capture's own count of drops"];
}
