/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The headers of the packet. Truncated and corrupt packets are dropped too, so
 * nothing is read but what lies between skb->head and the tail, whatever the
 * packet says about itself.
 */
#ifndef HEADERS_H
#define HEADERS_H

#define EXTENSION_HEADERS_MAX 16
#define PROTOCOL_UNKNOWN 255
#define HEADER_BYTES 48

/* Whether the kernel has CAST(): the program says. */
static bool can_cast(void);

/* Where the headers are, in bytes from `head`, and what they say. */
struct headers {
	const unsigned char *head;
	__u32 data;
	__u32 tail; /* and where the IP packet ends, if that is before */
	__u32 end;
	__u32 network;	    /* if version */
	__u32 transport;    /* 0: no TCP header to read */
	__u32 total_length; /* what the IP header says; 0: nothing */
	__u8 version;	    /* 4 or 6; 0: no IP header */
	__u8 protocol;	    /* inside IP */
	__u8 tunnel;	    /* enum tcp_drop_tunnel: what the IP header is in */
	__u8 has_ports;
	__u16 source_port;
	__u16 destination_port;
	__u8 bytes[HEADER_BYTES]; /* from `network` on; those beyond `tail` mean nothing */
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

static __always_inline bool has_bytes(const struct headers *headers, __u32 offset, __u32 size)
{
	return offset + size <= headers->tail;
}

static __always_inline bool read_header(const struct headers *headers, __u32 offset, void *to, __u32 size)
{
	return has_bytes(headers, offset, size) && bpf_probe_read_kernel(to, size, headers->head + offset) == 0;
}

/* In inside.h, for they are rarely needed. Of the headers in the scratch map. */
int skip_extensions(void);
int open_tunnel(void);

/* What is behind the IP packet is padding. */
static __always_inline void cut_tail(struct headers *headers)
{
	__u32 end = headers->network + headers->total_length;
	if (end < headers->tail)
		headers->tail = end;
}

static __always_inline void find_in_ipv4(struct headers *headers)
{
	const struct ipv4_header *ip = (const void *)headers->bytes;
	if (!has_bytes(headers, headers->network, sizeof(*ip)))
		return;
	headers->version = 4;
	headers->protocol = ip->protocol;
	headers->total_length = ntohs(ip->total_length);

	__u32 length = (ip->version_ihl & 0x0f) * 4;
	bool first_fragment = (ntohs(ip->fragment) & 0x1fff) == 0;
	if (headers->total_length >= length)
		cut_tail(headers);
	if (length >= sizeof(*ip) && first_fragment)
		headers->transport = headers->network + length;
}

static __always_inline struct skb_shared_info *shared_info(const struct headers *headers)
{
	return (void *)(headers->head + headers->end);
}

/* Whether `next` is a header that another follows. */
static __always_inline bool is_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT || next == IPPROTO_AH;
}

static __always_inline void find_in_ipv6(struct headers *headers)
{
	const struct ipv6_header *ip = (const void *)headers->bytes;
	if (!has_bytes(headers, headers->network, sizeof(*ip)))
		return;
	headers->version = 6;
	headers->protocol = ip->next_header;
	headers->transport = headers->network + sizeof(*ip);
	/* Jumbograms say no length. */
	if (ip->payload_length || (ip->next_header != IPPROTO_HOPOPTS && !READ(shared_info(headers)->gso_size))) {
		headers->total_length = sizeof(*ip) + ntohs(ip->payload_length);
		cut_tail(headers);
	}
	if (is_extension(ip->next_header))
		skip_extensions();
}

/* The kernel has no type for bytes, but sk_buff has a field of 48. */
static __always_inline bool copy_bytes(struct headers *headers)
{
	const unsigned char *from = headers->head + headers->network;
	if (!can_cast())
		return bpf_probe_read_kernel(headers->bytes, HEADER_BYTES, from) == 0;
	struct sk_buff *bytes = CAST(struct sk_buff, from - FIELD_OFFSET(((struct sk_buff *)0)->cb));
	const __u64 *words = (const void *)bytes->cb;
	__u64 *to = (void *)headers->bytes;
	to[0] = words[0];
	to[1] = words[1];
	to[2] = words[2];
	if (headers->bytes[0] >> 4 == 4)
		return true;
	to[3] = words[3];
	to[4] = words[4];
	to[5] = words[5];
	return true;
}

/* One read holds what nearly all packets have: behind the tail lies
 * skb_shared_info, so there always is as much. */
static __always_inline bool read_network(struct headers *headers)
{
	headers->transport = 0;
	headers->total_length = 0;
	headers->version = 0;
	headers->protocol = 0;
	headers->has_ports = false;
	/* 0 is what a new skb has: unset. */
	return headers->network && has_bytes(headers, headers->network, 1) && copy_bytes(headers);
}

/* A tag that the interface left in the packet, where the kernel takes the
 * network header to begin: for tags of its own it does not. */
static __always_inline bool is_at_tag(struct sk_buff *skb, const struct headers *headers)
{
	const __u8 *tag = headers->bytes;
	__u16 type = tag[2] << 8 | tag[3];
	__u8 version = tag[4] >> 4;

	/* The same bytes may be the length of an IPv4 packet. */
	if (skb->len + headers->data - headers->network == type)
		return false;
	return (type == ETH_P_IP && version == 4) || (type == ETH_P_IPV6 && version == 6);
}

/* The version of the IP packet, if the link layer does not contradict; 0: none.
 * Under a VLAN device without offload the protocol is the tag's. */
static __always_inline __u8 find_version(struct sk_buff *skb, struct headers *headers)
{
	__u16 protocol = skb->protocol;
	if (protocol == ntohs(ETH_P_8021Q) || protocol == ntohs(ETH_P_8021AD)) {
		if (is_at_tag(skb, headers)) {
			headers->network += VLAN_TAG_SIZE;
			if (!read_network(headers))
				return 0;
		}
		protocol = 0;
	}
	__u8 version = headers->bytes[0] >> 4;
	if (version == 4 && (protocol == ntohs(ETH_P_IP) || !protocol))
		return 4;
	if (version == 6 && (protocol == ntohs(ETH_P_IPV6) || !protocol))
		return 6;
	return 0;
}

/* Whether the ports are those of a tunnel through UDP. */
static __always_inline bool is_udp_tunnel(const struct headers *headers)
{
	if (!headers->has_ports)
		return false;
	switch (headers->destination_port) {
	case VXLAN_PORT:
	case VXLAN_PORT_LINUX:
	case GENEVE_PORT:
		return true;
	default:
		return false;
	}
}

/* TCP writes its header first: where the route is gone it is all there is. */
static __always_inline void find_lone_tcp_header(struct sk_buff *skb, struct headers *headers)
{
	if (headers->data && skb->transport_header == headers->data)
		headers->transport = headers->data;
}

static __always_inline void find_ports(struct headers *headers)
{
	__be16 read[2];
	const __be16 *ports = read;
	if (!headers->transport || !has_bytes(headers, headers->transport, sizeof(read)))
		return;
	__u32 offset = headers->transport - headers->network;
	__u32 known = headers->version == 4 ? 24 : HEADER_BYTES;
	if (headers->version && offset <= known - sizeof(read))
		ports = (const void *)(headers->bytes + offset);
	else if (bpf_probe_read_kernel(read, sizeof(read), headers->head + headers->transport))
		return;
	headers->source_port = ntohs(ports[0]);
	headers->destination_port = ntohs(ports[1]);
	headers->has_ports = true;
}

/* Other protocols' packets may hold TCP's. */
static __always_inline void look_inside(struct headers *headers)
{
	switch (headers->protocol) {
	case IPPROTO_UDP:
		find_ports(headers);
		if (is_udp_tunnel(headers))
			open_tunnel();
		break;
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
	case IPPROTO_GRE:
		open_tunnel();
		break;
	}
	if (headers->protocol == IPPROTO_TCP)
		return;
	headers->transport = 0;
	headers->has_ports = false;
}

static __always_inline void find_headers(struct sk_buff *skb, struct headers *headers)
{
	headers->head = skb->head;
	headers->data = skb->data - skb->head;
	headers->tail = skb->tail;
	headers->end = skb->end;
	headers->network = skb->network_header;
	headers->tunnel = TCP_DROP_NO_TUNNEL;
	if (!read_network(headers))
		return;
	switch (find_version(skb, headers)) {
	case 4:
		find_in_ipv4(headers);
		break;
	case 6:
		find_in_ipv6(headers);
		break;
	default:
		return;
	}
	if (headers->protocol != IPPROTO_TCP)
		look_inside(headers);
}

/* The IP packet's length; 0: unknown. skb->len counts from skb->data, which may
 * be before, at or after the IP header. */
static __always_inline __u32 packet_size(struct sk_buff *skb, const struct headers *headers)
{
	if (!headers->version)
		return 0;
	__s64 size = (__s64)skb->len + headers->data - headers->network;
	__u32 minimum = headers->version == 4 ? sizeof(struct ipv4_header) : sizeof(struct ipv6_header);

	/* Ethernet pads short packets; only the IP header knows, but not of GSO. */
	if (size > headers->total_length && headers->total_length >= minimum && !READ(shared_info(headers)->gso_size))
		size = headers->total_length;
	return size < minimum || size > 0xffffffff ? 0 : size;
}

static __always_inline void read_tcp_header(const struct headers *headers, struct tcp_drop_event *event)
{
	struct tcp_header tcp;
	if (!headers->transport || !read_header(headers, headers->transport, &tcp, sizeof(tcp)))
		return;
	event->seq = ntohl(tcp.seq);
	event->ack = ntohl(tcp.ack);
	event->window = ntohs(tcp.window);
	event->tcp_flags = (tcp.offset_ae & 1) << 8 | tcp.flags;
	event->present |= TCP_DROP_HAS_TCP_HEADER;
}

/* How many packets the device would have sent of this one; 0: not to be cut. */
static __always_inline __u16 count_segments(const struct headers *headers, __u32 size)
{
	struct skb_shared_info *shared = shared_info(headers);
	__u32 gso_size = READ(shared->gso_size);
	__u16 segments = gso_size ? READ(shared->gso_segs) : 0;
	__u8 offset;
	if (!gso_size || segments || !headers->transport ||
	    !read_header(headers, headers->transport + 12, &offset, sizeof(offset)))
		return segments;
	__u32 header_size = headers->transport - headers->network + (offset >> 4) * 4;
	return size > header_size ? (size - header_size + gso_size - 1) / gso_size : 0;
}

#endif
