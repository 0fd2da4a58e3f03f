/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the probe tells user space. shipper/src/wire.rs has the same structs; a
 * test compares its layout with the BTF of the compiled object.
 *
 * Integers are in the byte order of the host, addresses as on the wire, IPv4
 * in the first four bytes. A field is only meaningful if its TCP_DROP_HAS_ bit
 * in `present` is set; fields without such a bit always are.
 */
#ifndef TCP_DROP_H
#define TCP_DROP_H

#define TCP_DROP_STACK_DEPTH 64
#define TCP_DROP_SITES 512 /* the first is for all that find no other */

enum tcp_drop_present {
	TCP_DROP_HAS_REASON = 1 << 0,
	TCP_DROP_HAS_ADDRESSES = 1 << 1, /* ip_version, source, destination */
	TCP_DROP_HAS_PORTS = 1 << 2,
	TCP_DROP_HAS_TCP_HEADER = 1 << 3, /* seq, ack, window, tcp_flags */
	TCP_DROP_HAS_PACKET_SIZE = 1 << 4,
	TCP_DROP_HAS_INTERFACE = 1 << 5,
	TCP_DROP_HAS_NETNS = 1 << 6,
	TCP_DROP_HAS_NETNS_COOKIE = 1 << 7,
	TCP_DROP_HAS_SOCKET = 1 << 8, /* socket_kind, socket_state */
	TCP_DROP_HAS_SOCKET_COOKIE = 1 << 9,
	TCP_DROP_HAS_SOCKET_CGROUP = 1 << 10,
	TCP_DROP_STACK_TRUNCATED = 1 << 11,
	TCP_DROP_HAS_INTERFACE_NAME = 1 << 12,
	TCP_DROP_HAS_LISTENER = 1 << 13, /* listener_backlog and what follows it */
};

/* What the IP header was found in; in `present` from this bit on. */
#define TCP_DROP_TUNNEL_SHIFT 24
enum tcp_drop_tunnel {
	TCP_DROP_NO_TUNNEL = 0,
	TCP_DROP_TUNNEL_IPIP = 1,
	TCP_DROP_TUNNEL_GRE = 2,
	TCP_DROP_TUNNEL_VXLAN = 3,
	TCP_DROP_TUNNEL_GENEVE = 4,
};

enum tcp_drop_direction {
	TCP_DROP_DIRECTION_UNKNOWN = 0,
	TCP_DROP_DIRECTION_RECEIVE = 1,
	TCP_DROP_DIRECTION_TRANSMIT = 2,
	TCP_DROP_DIRECTION_FORWARD = 3,
};

enum tcp_drop_socket_kind {
	TCP_DROP_SOCKET_FULL = 1,
	TCP_DROP_SOCKET_REQUEST = 2,
	TCP_DROP_SOCKET_TIMEWAIT = 3,
	TCP_DROP_SOCKET_LISTENER = 4,
};

/* One admitted drop: this header, then `stack_frames` return addresses of
 * eight bytes each, innermost first. */
struct tcp_drop_event {
	__u64 boot_ns; /* CLOCK_BOOTTIME */
	__u64 site;    /* the tracepoint's `location` */
	__u64 netns_cookie;
	__u64 socket_cookie;
	__u64 socket_cgroup;
	__u64 task_cgroup;
	__u32 present;
	__u32 reason;
	__u32 netns_inode;
	__u32 interface_index;
	__u32 packet_size;
	__u32 seq;
	__u32 ack;
	__u32 pid;
	__u16 window;
	__u16 tcp_flags;
	__u16 source_port;
	__u16 destination_port;
	__u16 segments;
	__u16 stack_frames;
	__u8 ip_version; /* 4 or 6 */
	__u8 direction;
	__u8 socket_kind;
	__u8 socket_state;
	__u8 source[16];
	__u8 destination[16];
	__u8 comm[16];
	__u8 interface_name[16];
	__u32 listener_backlog; /* connections that wait to be accepted */
	__u32 listener_backlog_max;
	__u32 listener_syn_backlog; /* handshakes under way */
	__u32 silent; /* enum tcp_drop_silent; 0: told by the tracepoint */
};

/* SYNs that a listener refused, which the tracepoint does not tell: by the
 * counter of the namespace that each one moves. ListenDrops counts them all;
 * here it stands for those that neither of the others counts. */
enum tcp_drop_silent {
	TCP_DROP_SILENT_LISTEN_OVERFLOWS = 1, /* accept queue full */
	TCP_DROP_SILENT_REQUEST_QUEUE_FULL = 2, /* SYN queue full, no cookies */
	TCP_DROP_SILENT_LISTEN_DROPS = 3,
};
#define TCP_DROP_SILENT_KINDS 4

/* Refused SYNs per CPU, by enum tcp_drop_silent. */
struct tcp_drop_silent_counts {
	__u64 refused[TCP_DROP_SILENT_KINDS];
	__u64 untold[TCP_DROP_SILENT_KINDS]; /* of these: no event was sent */
};

/* A process and its network namespace. */
struct tcp_drop_process {
	__u64 netns_cookie; /* 0: unknown */
	__u32 pid; /* in the reader's pid namespace */
	__u32 netns_inode;
};

/* Every event on the hook, per CPU: seen = filtered + own + suppressed +
 * ring_lost + admitted. The agent's own traffic is own, wanted or not. */
struct tcp_drop_ledger {
	__u64 seen;
	__u64 filtered;
	__u64 own;
	__u64 suppressed;
	__u64 ring_lost;
	__u64 admitted;
	__u64 missed; /* beside it: the program was running on this CPU */
};

/* The same per drop site and reason, per CPU. A slot is free while `site` is 0;
 * the first takes what finds no other. */
struct tcp_drop_site {
	__u64 site;
	__u32 reason;
	__u32 refilled; /* in jiffies; and */
	__u64 spent;	/* tokens of the bucket that admits: see admission.h */
	__u64 seen;
	__u64 bytes;
	__u64 suppressed;
	__u64 ring_lost;
	__u64 hash; /* of the two */
};

/* What a CPU counts. */
struct tcp_drop_counts {
	struct tcp_drop_ledger ledger;
	__u64 no_slot; /* 0: number of the slot for all that find no other */
	struct tcp_drop_site sites[TCP_DROP_SITES];
};

/* What is admitted, on each CPU. */
struct tcp_drop_admission {
	__u64 site_cost; /* tokens for a drop; 0: all are admitted */
	__u64 site_refill; /* tokens a jiffy */
	__u64 site_capacity;
	__u32 key_limit;     /* drops a beat */
	__u32 reserve_limit; /* new keys a beat */
	__u32 beat_shift;    /* a beat is 2^this jiffies */
	__u32 quiet_jiffies; /* without an event, after which one wakes the reader */
};

/* A bit for each port. */
struct tcp_drop_ports {
	__u64 words[1024];
};

/* A TCP port of the agent's own exporters. */
struct tcp_drop_own_port {
	__u32 netns_inode; /* 0: any but the agent's own */
	__u16 local_port;
	__u16 peer_port; /* 0 in the agent's own namespace: any */
};

/* Filters: see filter.h. Bounds are for each list. */
#define TCP_DROP_FILTER_VALUES 512 /* namespaces and reasons together */
#define TCP_DROP_FILTER_PREFIXES 1024

enum tcp_drop_filter_kind {
	TCP_DROP_FILTER_NETNS = 1 << 0,
	TCP_DROP_FILTER_PORTS = 1 << 1,
	TCP_DROP_FILTER_ADDRESSES = 1 << 2,
	TCP_DROP_FILTER_REASONS = 1 << 3,
	TCP_DROP_FILTER_DIRECTION = 1 << 4,
};

enum tcp_drop_filter_list {
	TCP_DROP_FILTER_INCLUDE = 0,
	TCP_DROP_FILTER_EXCLUDE = 1,
};

/* What the lists of a set hold: kinds, and a bit for each direction. */
struct tcp_drop_filter_set {
	__u32 include_kinds;
	__u32 include_directions;
	__u32 exclude_kinds;
	__u32 exclude_directions;
};

struct tcp_drop_filter_value {
	__u32 value;
	__u8 kind;
	__u8 set;
	__u8 list;
	__u8 _padding;
};

struct tcp_drop_filter_prefix {
	__u32 bits; /* of what follows: 32 and the prefix's length */
	__u8 set;
	__u8 list;
	__u8 version; /* 4 or 6 */
	__u8 _padding;
	__u8 address[16];
};

#endif
