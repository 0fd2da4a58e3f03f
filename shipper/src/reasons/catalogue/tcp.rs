//! What TCP itself refuses.

reasons! {
    TCP_OLD_DATA = Duplicate,
        "All bytes of the segment had arrived before. TCP answers with an acknowledgement and drops it; nothing is lost.",
        ["A retransmission that was not needed: the acknowledgement was late or lost.",
         "A path that duplicates or delays packets; keep-alive probes of the peer."],
        ["`nstat -az TcpExtDelayedACKLost TcpExtTCPDSACKOldSent`: how often",
         "`ss -ti`: rtt, retrans and dsack_dups of the connection, on the sending host"];
    TCP_OFOMERGE = Duplicate,
        "The data waits in the out-of-order queue already, so this copy is not needed. Nothing is lost.",
        ["Retransmissions while an earlier segment is missing."],
        ["`nstat -az TcpExtTCPOFOMerge TcpExtTCPDSACKOfoSent`",
         "Losses of the same flow: they are why the queue exists"];
    TCP_OFO_DROP = Duplicate,
        "A segment in the out-of-order queue became old when the gap before it was filled by data that covers it. Nothing is lost.",
        ["Overlapping retransmissions."],
        ["`nstat -az TcpExtTCPOFOQueue`: how often segments come out of order",
         "`ss -ti`: rcv_ooopack of the connection"];
    TCP_OLD_SEQUENCE = Duplicate,
        "The segment ends before the window: an old duplicate. TCP answers with an acknowledgement.",
        ["A needless retransmission, or a packet that was long under way.",
         "Keep-alive probes with a sequence number below the window."],
        ["`nstat -az TcpExtDelayedACKLost TcpExtTCPACKSkippedSeq`",
         "`ss -ti` on the sending host: retrans, rto"];
    TCP_OLD_ACK = Duplicate,
        "The segment acknowledges what was acknowledged before, and brings nothing else. Nothing is lost.",
        ["Acknowledgements that overtook each other on different paths or queues."],
        ["`ss -ti`: reordering seen by the connection", "Whether several paths or receive queues carry the flow"];
    TCP_TOO_OLD_ACK = Duplicate,
        "The acknowledgement is so far behind that it cannot be of this connection's last window. TCP challenges the peer with an acknowledgement of its own (RFC 5961).",
        ["A packet that was very long under way.", "Somebody injects packets into the connection."],
        ["`nstat -az TcpExtTCPChallengeACK`", "`net.ipv4.tcp_challenge_ack_limit`: how many challenges are sent"];
    TCP_RFC7323_PAWS_ACK = Duplicate,
        "An acknowledgement without data whose timestamp is a little older than the last: it was overtaken. Nothing is lost.",
        ["Acknowledgements that overtook each other."],
        ["`nstat -az TcpExtPAWSOldAck`"];
    TCP_RFC7323_TW_PAWS = Duplicate,
        "A segment for a connection in TIME_WAIT has a timestamp older than the last one seen: an old duplicate.",
        ["The rest of a closed connection arrives late.",
         "A client behind NAT reuses the port, but its clock is behind that of the host which used it before: its SYN is not taken."],
        ["`nstat -az TcpExtPAWSTimewait TcpExtPAWSActive`", "`ss -tan state time-wait`",
         "If it hurts new connections through NAT: shorten the source port reuse there"];

    TCP_RFC7323_PAWS = TcpState,
        "The timestamp of the segment is older than the last one accepted (protection against wrapped sequence numbers). TCP answers with an acknowledgement.",
        ["An old duplicate.", "A device on the way rewrites timestamps, or several hosts behind NAT share a port pair.",
         "A proxy or load balancer mixes two connections."],
        ["`nstat -az TcpExtPAWSEstab`", "A capture on both hosts: compare TSval", "`net.ipv4.tcp_timestamps`"];
    TCP_RFC7323_TSECR = TcpState,
        "The segment echoes a timestamp that this host did not send yet or no longer expects.",
        ["A device on the way rewrites timestamps.", "Injected packets."],
        ["`nstat -az TcpExtTSEcrRejected`", "A capture on both hosts: compare TSecr"];
    TCP_INVALID_SEQUENCE = TcpState,
        "The segment lies outside the receive window. TCP answers with an acknowledgement that says what is expected.",
        ["A peer that sends beyond the window.", "A firewall or NAT that translates sequence numbers wrongly or has lost the connection.",
         "Injected packets, or a connection that one side thinks is new."],
        ["`nstat -az TcpExtTCPACKSkippedSeq TcpExtTCPChallengeACK TcpExtBeyondWindow`", "`ss -ti`: rcv_space and rcv_ssthresh",
         "A capture on both hosts"];
    TCP_INVALID_END_SEQUENCE = TcpState,
        "The segment begins inside the receive window but ends beyond it, and there is no room to take it all.",
        ["A peer that ignores the window, or whose view of it is old because the window shrank.",
         "A receiver that reads slowly."],
        ["`nstat -az TcpExtBeyondWindow TcpExtTCPRcvQDrop`", "`ss -tmi`: Recv-Q and skmem of the connection",
         "`net.ipv4.tcp_rmem`, `net.ipv4.tcp_shrink_window`"];
    TCP_INVALID_ACK_SEQUENCE = TcpState,
        "The acknowledgement number is neither for something that was sent nor for what is outstanding.",
        ["An answer to another incarnation of the connection, often while it is set up.", "Injected packets."],
        ["`ss -tan`: state of the connection", "A capture on both hosts"];
    TCP_ACK_UNSENT_DATA = TcpState,
        "The segment acknowledges data that this host has not sent. TCP challenges the peer.",
        ["The peer, or a proxy between, mixes up connections.", "One side was restored from a snapshot or failed over without its TCP state.",
         "Injected packets."],
        ["`nstat -az TcpExtTCPChallengeACK TcpExtTCPACKSkippedSynRecv`", "`ss -tan`: does the peer have the same connection?",
         "Proxies and load balancers on the path"];
    TCP_OVERWINDOW = TcpState,
        "The data begins beyond the receive window.",
        ["The peer sends more than was advertised.", "The window was reduced after the peer sent.", "Zero-window probes of some stacks."],
        ["`ss -tmi`: Recv-Q: does the application read?", "`nstat -az TcpExtTCPWantZeroWindowAdv TcpExtTCPToZeroWindowAdv`",
         "`net.ipv4.tcp_rmem`"];
    TCP_ZEROWINDOW = TcpState,
        "Data arrived while the receive window is closed: the application does not read as fast as the peer sends. A peer that probes a closed window shows this once per probe.",
        ["An application that is slow, blocked or stopped.", "A receive buffer that is small for the rate."],
        ["`ss -tmp`: Recv-Q of the connection, and who owns it", "`nstat -az TcpExtTCPZeroWindowDrop TcpExtTCPToZeroWindowAdv`",
         "What the process waits for: `cat /proc/PID/stack`, its own metrics"];
    TCP_RESET = TcpState,
        "A RST that lies in the window but is not at its edge, or does not fit otherwise. It is not believed; TCP challenges the peer, and a genuine peer then sends an exact one (RFC 5961).",
        ["A peer that lost some of the last segments and resets.", "A firewall or scanner that sends RSTs of its own.",
         "Somebody tries to break the connection."],
        ["`nstat -az TcpExtTCPChallengeACK TcpEstabResets`", "Whether the connection ends right after it: then it was genuine"];
    TCP_INVALID_SYN = TcpState,
        "A SYN arrived on an existing connection. TCP challenges the peer (RFC 5961).",
        ["The peer restarted, and reuses the port pair while this side still holds the old connection.",
         "A load balancer or NAT that reuses ports too early."],
        ["`ss -tan`: how old is the connection here?", "`nstat -az TcpExtTCPSYNChallenge TcpExtTCPChallengeACK`",
         "Keep-alive settings: `net.ipv4.tcp_keepalive_time`"];
    TCP_FLAGS = TcpState,
        "The flags make no sense in the state of the socket, such as SYN with FIN or a segment without ACK.",
        ["Port scanners.", "Broken devices on the way."],
        ["The source address: is it known?", "Flags of the record: `tcpdrop.tcp.flags`"];
    TCP_FASTOPEN = TcpState,
        "A segment for a connection that was opened with TCP Fast Open and is not established yet did not fit.",
        ["A retransmitted or reordered handshake.", "A middlebox that interferes with data in the SYN."],
        ["`nstat -az TcpExtTCPFastOpenPassive TcpExtTCPFastOpenPassiveFail TcpExtTCPFastOpenListenOverflow`",
         "`net.ipv4.tcp_fastopen`, `net.ipv4.tcp_fastopen_blackhole_timeout_sec`"];
    TCP_ABORT_ON_DATA = TcpState,
        "Data arrived for a connection that the application had closed. It is answered with RST: the peer sees `connection reset`, and the data is lost.",
        ["The application closed without waiting for the end of the peer's data.",
         "Protocols whose sides close at the same time."],
        ["`nstat -az TcpExtTCPAbortOnData TcpExtTCPAbortOnClose`", "How the application closes: shutdown before close",
         "Time-outs of the application and of its peer"];
    TCP_CLOSE = Cleanup,
        "The segment reached a socket that is closed.",
        ["Segments still under way when the connection ended.", "A process that ended while data was in its backlog."],
        ["`nstat -az TcpExtTCPAbortOnData TcpExtTCPAbortOnClose`", "Whether it comes in bursts: a process that restarts"];

    TCP_LISTEN_OVERFLOW = QueueFull,
        "The accept queue of the listener is full: the handshake was complete, but the application had not accepted earlier connections. The client retries, then fails.",
        ["An application that accepts slowly, or is blocked.", "A backlog that is too small for the bursts of connections."],
        ["`ss -ltn`: Recv-Q (waiting) against Send-Q (limit) of the listener", "`nstat -az TcpExtListenOverflows TcpExtListenDrops`",
         "`net.core.somaxconn`, and the backlog in the application's listen()"];
    TCP_OFO_QUEUE_PRUNE = QueueFull,
        "Segments that waited out of order were thrown away, although received, to make room in the receive buffer. The peer sends them again.",
        ["Losses on a fast path, with a receive buffer that is small for it.", "An application that does not read.",
         "TCP as a whole is short of memory."],
        ["`nstat -az TcpExtOfoPruned TcpExtRcvPruned TcpExtPruneCalled`", "`ss -tmi`: skmem, rcv_ooopack", "`net.ipv4.tcp_rmem`, `net.ipv4.tcp_mem`"];

    TCP_CSUM = Checksum,
        "The TCP checksum is wrong: the segment changed on its way. The peer sends it again.",
        ["A bad cable, optic, memory or network card, here or at any hop.", "A device or tunnel that rewrites headers without the checksum.",
         "A checksum offload that does not work, often in virtual machines and overlays."],
        ["`nstat -az TcpInCsumErrors`", "`ethtool -S DEV`: errors of the interface", "`ethtool -k DEV`: try `ethtool -K DEV rx off tx off` on both sides",
         "Whether all drops share a source or an interface"];
    TCP_MINTTL = Security,
        "TTL or hop limit is below the least that the socket accepts (IP_MINTTL, IPV6_MINHOPCOUNT; GTSM, RFC 5082).",
        ["A peer that is more hops away than configured, as in BGP with `ttl-security`.", "A forged packet from afar."],
        ["`nstat -az TcpExtTCPMinTTLDrop`", "`ttl-security` or `neighbor ... ttl` in the routing daemon", "traceroute to the peer"];
    TCP_AUTH_HDR = Security,
        "The options for authentication (MD5, AO) are there twice, both at once, or malformed.",
        ["A broken peer.", "A device that changes TCP options."],
        ["A capture: options of the segment", "Configuration of the peer"];
    TCP_MD5NOTFOUND = Security,
        "The socket demands an MD5 signature for this peer, and the segment has none.",
        ["The peer has no password configured.", "A port scan, or a connection from an unexpected address."],
        ["`nstat -az TcpExtTCPMD5NotFound`", "Passwords of the BGP neighbours on both sides"];
    TCP_MD5UNEXPECTED = Security,
        "The segment has an MD5 signature, and the socket has no key for this peer.",
        ["The password is configured on the other side only, or for another address."],
        ["`nstat -az TcpExtTCPMD5Unexpected`", "Passwords of the BGP neighbours on both sides"];
    TCP_MD5FAILURE = Security,
        "The MD5 signature is wrong.",
        ["Passwords differ.", "NAT or a proxy between changed addresses or ports, which the signature covers."],
        ["`nstat -az TcpExtTCPMD5Failure`", "The kernel log: `MD5 Hash failed`", "Passwords on both sides"];
    TCP_AONOTFOUND = Security,
        "The socket demands TCP-AO (RFC 5925), and the segment is not signed.",
        ["The peer has no key configured."],
        ["`nstat -az TcpExtTCPAORequired`", "Key chains on both sides"];
    TCP_AOUNEXPECTED = Security,
        "The segment is signed with TCP-AO, and the socket does not use it.",
        ["Keys are configured on the other side only."],
        ["`nstat -az TcpExtTCPAOKeyNotFound`", "Key chains on both sides"];
    TCP_AOKEYNOTFOUND = Security,
        "The segment is signed with a TCP-AO key that is not known here.",
        ["Key ids differ, or a key rollover happened on one side only."],
        ["`nstat -az TcpExtTCPAOKeyNotFound`", "KeyID and RNextKeyID on both sides"];
    TCP_AOFAILURE = Security,
        "The TCP-AO signature is wrong.",
        ["Keys or algorithms differ.", "NAT or a proxy between changed what the signature covers."],
        ["`nstat -az TcpExtTCPAOBad`", "Keys on both sides"];
}
