/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is known of a drop before it is described. Every drop pays for
 * is_tcp_drop(); who needs more than ports, namespace and size asks locate().
 */
#ifndef DROP_H
#define DROP_H

/* The addresses, as on the wire; IPv4 in the first four bytes. */
struct flow {
	__u8 version; /* 0: not known */
	__u8 source[16];
	__u8 destination[16];
};

/* Lives in a map: what the verifier does not know of it makes no states. */
struct drop {
	__u64 site;
	__u32 reason;
	__u32 size; /* of the IP packet; 0: not known */
	__u64 rx_sk;
	struct headers headers;
	struct socket socket;
	struct place place;
	__u8 has_reason;
	__u8 is_tcp; /* by its headers */
	__u8 located;
	struct flow flow;
};

/* Whether the packet is TCP, by its headers or by its socket. */
static __always_inline bool is_tcp_drop(struct sk_buff *skb, struct sock *rx_sk, struct drop *drop)
{
	struct headers *headers = &drop->headers;
	struct socket *socket = &drop->socket;

	find_headers(skb, headers);
	if (!headers->version)
		find_lone_tcp_header(skb, headers);
	drop->is_tcp = headers->version && headers->protocol == IPPROTO_TCP;
	drop->located = false;
	socket->sock = NULL;
	socket->net = NULL;
	socket->received = false;
	socket->asked = false;
	/* As a number first: kernels disagree on whether the argument may be NULL. Some refuse
	 * fields without the check, some take the check out. */
	*(volatile __u64 *)&drop->rx_sk = (__u64)rx_sk;
	if (*(volatile __u64 *)&drop->rx_sk && rx_sk)
		read_receiver(skb, rx_sk, headers, socket);

	if (!drop->is_tcp) {
		ask_sender(skb, socket);
		/* Other protocols' packets may hold a socket's TCP packet: tunnels. Only a
		 * full socket is sure to be TCP's. */
		if (!socket->sock || (headers->version && !is_full(socket->state)))
			return false;
		/* A socket's error queue holds what ICMP said. */
		if (headers->protocol == IPPROTO_ICMP || headers->protocol == IPPROTO_ICMPV6)
			return false;
		/* Nor a packet: a note to a socket, such as that zero-copy data was sent. */
		if (!headers->version && !headers->transport && !skb->len)
			return false;
	}
	find_ports(headers);
	find_namespace(skb, socket, &drop->place);
	drop->size = packet_size(skb, headers);
	return true;
}

static __always_inline void flow_from_headers(const struct headers *headers, struct flow *flow)
{
	flow->version = headers->version;
	if (headers->version == 4) {
		const struct ipv4_header *ip = (const void *)headers->bytes;
		__builtin_memcpy(flow->source, ip->source, sizeof(ip->source));
		__builtin_memcpy(flow->destination, ip->destination, sizeof(ip->destination));
	} else {
		const struct ipv6_header *ip = (const void *)headers->bytes;
		__builtin_memcpy(flow->source, ip->source, sizeof(ip->source));
		__builtin_memcpy(flow->destination, ip->destination, sizeof(ip->destination));
	}
}

/* The flow as the socket knows it, where the packet has no header to tell. A
 * listener knows no peer. */
static __always_inline void flow_from_socket(struct drop *drop)
{
	const struct socket *socket = &drop->socket;
	struct headers *headers = &drop->headers;
	struct flow *flow = &drop->flow;
	struct sock *sock = socket->sock;
	bool received = drop->place.direction == TCP_DROP_DIRECTION_RECEIVE;
	__u8 *local = received ? flow->destination : flow->source;
	__u8 *peer = received ? flow->source : flow->destination;

	if (!received && drop->place.direction != TCP_DROP_DIRECTION_TRANSMIT)
		return;
	struct in6_addr peer6 = READ(sock->__sk_common.skc_v6_daddr);
	const __u32 *words = (const __u32 *)&peer6;
	bool mapped = !words[0] && !words[1] && words[2] == ntohl(0xffff);
	if (socket->family == AF_INET6 && !mapped) {
		struct in6_addr local6 = READ(sock->__sk_common.skc_v6_rcv_saddr);
		if (!words[0] && !words[1] && !words[2] && !words[3])
			return;
		flow->version = 6;
		__builtin_memcpy(local, &local6, sizeof(local6));
		__builtin_memcpy(peer, &peer6, sizeof(peer6));
	} else {
		__be32 local4 = READ(sock->__sk_common.skc_rcv_saddr);
		__be32 peer4 = READ(sock->__sk_common.skc_daddr);
		if (!peer4)
			return;
		flow->version = 4;
		__builtin_memcpy(local, &local4, sizeof(local4));
		__builtin_memcpy(peer, &peer4, sizeof(peer4));
	}
	/* A closed socket has given its port back. */
	if (headers->has_ports || !socket->local_port || !socket->peer_port)
		return;
	headers->source_port = received ? socket->peer_port : socket->local_port;
	headers->destination_port = received ? socket->local_port : socket->peer_port;
	headers->has_ports = true;
}

/* Finds route, socket, direction and addresses. */
static __always_inline void locate(struct sk_buff *skb, struct drop *drop)
{
	const struct headers *headers = &drop->headers;
	struct socket *socket = &drop->socket;
	struct place *place = &drop->place;

	if (drop->located)
		return;
	drop->located = true;
	ask_sender(skb, socket);
	if (!socket->received && !place->route)
		place->route = route_of(skb);
	place->direction = find_direction(skb, place, socket, headers);

	__builtin_memset(&drop->flow, 0, sizeof(drop->flow));
	/* In a tunnel, the flow that was lost is the one inside. */
	if (drop->is_tcp)
		flow_from_headers(headers, &drop->flow);
	else if (socket->sock)
		flow_from_socket(drop);
}

/* The port that tells services of this host apart: that of the end the packet
 * came to, or that it came from. No direction is needed for it, for a packet
 * that came in has its interface's index. */
static __always_inline __u16 local_port(struct sk_buff *skb, const struct drop *drop)
{
	return skb->skb_iif || drop->socket.received ? drop->headers.destination_port : drop->headers.source_port;
}

#endif
