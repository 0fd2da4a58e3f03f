/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The headers of the packet. Truncated and corrupt packets are dropped too, so
 * nothing is read but what lies between skb->head and the tail, whatever the
 * packet says about itself.
 */
#ifndef HEADERS_H
#define HEADERS_H

#define EXTENSION_HEADERS_MAX 8
#define PROTOCOL_UNKNOWN 255

/* Where the headers are, in bytes from `head`. */
struct headers {
	const unsigned char *head;
	__u32 data;
	__u32 tail;
	__u32 network;	    /* if version */
	__u32 transport;    /* 0: no TCP header to read */
	__u32 total_length; /* what the IP header says; 0: nothing */
	__u8 version;	    /* 4 or 6; 0: no IP header */
	__u8 protocol;	    /* inside IP */
};

struct ipv4_header {
	__u8 version_ihl;
	__u8 tos;
	__be16 total_length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__u8 source[4];
	__u8 destination[4];
};

struct ipv6_header {
	__be32 version_flow;
	__be16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	__u8 source[16];
	__u8 destination[16];
};

struct tcp_header {
	__be16 source;
	__be16 destination;
	__be32 seq;
	__be32 ack;
	__u8 offset_ae;
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
};

static __always_inline bool read_header(const struct headers *headers, __u32 offset, void *to, __u32 size)
{
	if (offset + size > headers->tail)
		return false;
	return bpf_probe_read_kernel(to, size, headers->head + offset) == 0;
}

/* An IP version that the link layer does not contradict. Under a VLAN device
 * without offload the protocol is the tag's. */
static __always_inline bool protocol_allows(struct sk_buff *skb, __u8 version)
{
	switch (ntohs(skb->protocol)) {
	case ETH_P_IP:
		return version == 4;
	case ETH_P_IPV6:
		return version == 6;
	case 0:
	case ETH_P_8021Q:
	case ETH_P_8021AD:
		return version == 4 || version == 6;
	default:
		return false;
	}
}

static __always_inline void find_in_ipv4(struct headers *headers, struct tcp_drop_event *event)
{
	struct ipv4_header ip;
	if (!read_header(headers, headers->network, &ip, sizeof(ip)))
		return;
	headers->version = 4;
	headers->protocol = ip.protocol;
	headers->total_length = ntohs(ip.total_length);
	event->ip_version = 4;
	__builtin_memcpy(event->source, ip.source, sizeof(ip.source));
	__builtin_memcpy(event->destination, ip.destination, sizeof(ip.destination));
	event->present |= TCP_DROP_HAS_ADDRESSES;

	__u32 length = (ip.version_ihl & 0x0f) * 4;
	bool first_fragment = (ntohs(ip.fragment) & 0x1fff) == 0;
	if (ip.protocol == IPPROTO_TCP && length >= sizeof(ip) && first_fragment)
		headers->transport = headers->network + length;
}

static __always_inline void find_in_ipv6(struct headers *headers, struct tcp_drop_event *event)
{
	struct ipv6_header ip;
	if (!read_header(headers, headers->network, &ip, sizeof(ip)))
		return;
	headers->version = 6;
	headers->protocol = PROTOCOL_UNKNOWN;
	if (ip.payload_length)
		headers->total_length = sizeof(ip) + ntohs(ip.payload_length);
	event->ip_version = 6;
	__builtin_memcpy(event->source, ip.source, sizeof(ip.source));
	__builtin_memcpy(event->destination, ip.destination, sizeof(ip.destination));
	event->present |= TCP_DROP_HAS_ADDRESSES;

	__u8 next = ip.next_header;
	__u32 offset = headers->network + sizeof(ip);
	bool first_fragment = true;
	for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
		__u8 extension[4];
		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_FRAGMENT:
		case IPPROTO_AH:
			break;
		default:
			headers->protocol = next;
			if (next == IPPROTO_TCP && first_fragment)
				headers->transport = offset;
			return;
		}
		if (!read_header(headers, offset, extension, sizeof(extension)))
			return;
		if (next == IPPROTO_FRAGMENT) {
			offset += 8;
			if ((extension[2] << 8 | extension[3]) & 0xfff8) {
				/* What follows is payload of whatever was named in the first. */
				headers->protocol = extension[0];
				return;
			}
		} else if (next == IPPROTO_AH) {
			offset += (extension[1] + 2) * 4;
		} else {
			offset += (extension[1] + 1) * 8;
		}
		next = extension[0];
	}
}

static __always_inline void find_headers(struct sk_buff *skb, struct headers *headers,
					 struct tcp_drop_event *event)
{
	__u8 first;
	headers->head = skb->head;
	headers->data = skb->data - skb->head;
	headers->tail = skb->tail;
	headers->network = skb->network_header;
	/* 0 is what a new skb has: unset. */
	if (!headers->network || !read_header(headers, headers->network, &first, 1) ||
	    !protocol_allows(skb, first >> 4))
		return;
	if (first >> 4 == 4)
		find_in_ipv4(headers, event);
	else
		find_in_ipv6(headers, event);
}

/* TCP writes its header first: where the route is gone it is all there is. */
static __always_inline void find_lone_tcp_header(struct sk_buff *skb, struct headers *headers)
{
	if (headers->data && skb->transport_header == headers->data)
		headers->transport = headers->data;
}

static __always_inline void read_tcp_header(const struct headers *headers, struct tcp_drop_event *event)
{
	struct tcp_header tcp;
	if (!headers->transport)
		return;
	if (read_header(headers, headers->transport, &tcp, sizeof(tcp))) {
		event->seq = ntohl(tcp.seq);
		event->ack = ntohl(tcp.ack);
		event->window = ntohs(tcp.window);
		event->tcp_flags = (tcp.offset_ae & 1) << 8 | tcp.flags;
		event->present |= TCP_DROP_HAS_TCP_HEADER;
	} else if (!read_header(headers, headers->transport, &tcp, 4)) {
		return;
	}
	event->source_port = ntohs(tcp.source);
	event->destination_port = ntohs(tcp.destination);
	event->present |= TCP_DROP_HAS_PORTS;
}

/* The IP packet's length. skb->len counts from skb->data, which may be before,
 * at or after the IP header. */
static __always_inline void measure(struct sk_buff *skb, const struct headers *headers,
				    struct tcp_drop_event *event)
{
	__s64 size = (__s64)skb->len + headers->data - headers->network;
	struct skb_shared_info *shared = (void *)(skb->head + skb->end);
	__u32 gso_size = READ(shared->gso_size);
	__u32 minimum = headers->version == 4 ? sizeof(struct ipv4_header) : sizeof(struct ipv6_header);

	/* Ethernet pads short packets; only the IP header knows. */
	if (!gso_size && headers->total_length >= minimum && size > headers->total_length)
		size = headers->total_length;
	if (size < minimum || size > 0xffffffff)
		return;
	event->packet_size = size;
	event->present |= TCP_DROP_HAS_PACKET_SIZE;
	if (!gso_size)
		return;

	event->segments = READ(shared->gso_segs);
	if (event->segments || !headers->transport)
		return;
	__u8 offset;
	if (!read_header(headers, headers->transport + 12, &offset, 1))
		return;
	__u32 header_size = headers->transport - headers->network + (offset >> 4) * 4;
	if (event->packet_size > header_size)
		event->segments = (event->packet_size - header_size + gso_size - 1) / gso_size;
}

#endif
