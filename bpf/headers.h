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
#define HEADER_BYTES 64

/* Where the headers are, in bytes from `head`, and what they say. */
struct headers {
	const unsigned char *head;
	__u32 data;
	__u32 tail;
	__u32 network;	    /* if version */
	__u32 transport;    /* 0: no TCP header to read */
	__u32 total_length; /* what the IP header says; 0: nothing */
	__u8 version;	    /* 4 or 6; 0: no IP header */
	__u8 protocol;	    /* inside IP */
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
	if (ip->protocol == IPPROTO_TCP && length >= sizeof(*ip) && first_fragment)
		headers->transport = headers->network + length;
}

/* Whether `next` is a header that another follows. */
static __always_inline bool is_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT || next == IPPROTO_AH;
}

/* Sets `protocol` and `transport` to what follows the extension headers. */
static __always_inline void skip_extensions(struct headers *headers, __u8 next)
{
	__u32 offset = headers->network + sizeof(struct ipv6_header);

	for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
		__u8 extension[4];
		if (!is_extension(next)) {
			headers->protocol = next;
			if (next == IPPROTO_TCP)
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

static __always_inline void find_in_ipv6(struct headers *headers)
{
	const struct ipv6_header *ip = (const void *)headers->bytes;
	if (!has_bytes(headers, headers->network, sizeof(*ip)))
		return;
	headers->version = 6;
	if (ip->payload_length)
		headers->total_length = sizeof(*ip) + ntohs(ip->payload_length);
	if (ip->next_header == IPPROTO_TCP) {
		headers->protocol = IPPROTO_TCP;
		headers->transport = headers->network + sizeof(*ip);
		return;
	}
	headers->protocol = PROTOCOL_UNKNOWN;
	skip_extensions(headers, ip->next_header);
}

/* One read holds what nearly all packets have: behind the tail lies
 * skb_shared_info, so there always is as much. */
static __always_inline void find_headers(struct sk_buff *skb, struct headers *headers)
{
	headers->head = skb->head;
	headers->data = skb->data - skb->head;
	headers->tail = skb->tail;
	headers->network = skb->network_header;
	headers->transport = 0;
	headers->total_length = 0;
	headers->version = 0;
	headers->protocol = 0;
	headers->has_ports = false;
	/* 0 is what a new skb has: unset. */
	if (!headers->network || !has_bytes(headers, headers->network, 1) ||
	    bpf_probe_read_kernel(headers->bytes, HEADER_BYTES, headers->head + headers->network))
		return;
	__u8 version = headers->bytes[0] >> 4;
	if (!protocol_allows(skb, version))
		return;
	if (version == 4)
		find_in_ipv4(headers);
	else
		find_in_ipv6(headers);
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
	if (headers->version && offset <= HEADER_BYTES - sizeof(read))
		ports = (const void *)(headers->bytes + offset);
	else if (bpf_probe_read_kernel(read, sizeof(read), headers->head + headers->transport))
		return;
	headers->source_port = ntohs(ports[0]);
	headers->destination_port = ntohs(ports[1]);
	headers->has_ports = true;
}

static __always_inline struct skb_shared_info *shared_info(struct sk_buff *skb)
{
	return (void *)(skb->head + skb->end);
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
	if (size > headers->total_length && headers->total_length >= minimum && !READ(shared_info(skb)->gso_size))
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
static __always_inline __u16 count_segments(struct sk_buff *skb, const struct headers *headers, __u32 size)
{
	struct skb_shared_info *shared = shared_info(skb);
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
