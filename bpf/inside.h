/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Headers that few packets have: extensions of IPv6, and IP packets inside
 * others. Global functions, which the verifier looks at once and by themselves:
 * for the common packets they cost no more than the question whether to call.
 */
#ifndef INSIDE_H
#define INSIDE_H

#define EXTENSION_HEADERS_MAX 16
#define ETHERNET_SIZE 14
#define UDP_SIZE 8
#define VXLAN_SIZE 8
#define VXLAN_HAS_VNI 0x08
#define GENEVE_SIZE 8
#define GENEVE_VERSION 0xc0
#define GENEVE_OPTIONS 0x3f
#define GRE_CHECKSUM 0x80
#define GRE_KEY 0x20
#define GRE_SEQUENCE 0x10
#define GRE_REFUSED 0x4f /* source routes, and what later versions use */

/* A header that is being looked for. */
struct inside {
	__u32 offset; /* in bytes from `head` */
	__u16 type;   /* Ethernet's: what begins there; 0: nothing that is known */
	__u8 tunnel;
};

static __always_inline struct headers *scratch_headers(void)
{
	struct scratch *scratch = own_scratch();
	return scratch ? &scratch->drop.headers : NULL;
}

/* Sets `protocol` and `transport` to what follows the extension headers. */
__attribute__((noinline)) int skip_extensions(void)
{
	struct headers *headers = scratch_headers();
	if (!headers)
		return 0;
	__u8 next = headers->protocol;
	__u32 offset = headers->transport;
	headers->protocol = PROTOCOL_UNKNOWN;
	headers->transport = 0;

	for (int i = 0; i <= EXTENSION_HEADERS_MAX; i++) {
		__u8 extension[4];
		if (!is_extension(next)) {
			headers->protocol = next;
			headers->transport = offset;
			return 0;
		}
		if (!read_header(headers, offset, extension, sizeof(extension)))
			return 0;
		if (next == IPPROTO_FRAGMENT) {
			offset += 8;
			if ((extension[2] << 8 | extension[3]) & 0xfff8) {
				/* What follows is payload of whatever was named in the first. */
				headers->protocol = extension[0];
				return 0;
			}
		} else if (next == IPPROTO_AH) {
			offset += (extension[1] + 2) * 4;
		} else {
			offset += (extension[1] + 1) * 8;
		}
		next = extension[0];
	}
	return 0;
}

/* RFC 2784, RFC 2890. */
static __always_inline void enter_gre(const struct headers *headers, struct inside *inside)
{
	__u8 gre[4];
	if (!read_header(headers, inside->offset, gre, sizeof(gre)) || gre[0] & GRE_REFUSED || gre[1])
		return;
	inside->offset += sizeof(gre);
	inside->offset += gre[0] & GRE_CHECKSUM ? 4 : 0;
	inside->offset += gre[0] & GRE_KEY ? 4 : 0;
	inside->offset += gre[0] & GRE_SEQUENCE ? 4 : 0;
	inside->type = gre[2] << 8 | gre[3];
	inside->tunnel = TCP_DROP_TUNNEL_GRE;
}

/* RFC 7348. */
static __always_inline void enter_vxlan(const struct headers *headers, struct inside *inside)
{
	__u8 flags;
	inside->offset += UDP_SIZE;
	if (!read_header(headers, inside->offset, &flags, sizeof(flags)) || !(flags & VXLAN_HAS_VNI))
		return;
	inside->offset += VXLAN_SIZE;
	inside->type = ETH_P_TEB;
	inside->tunnel = TCP_DROP_TUNNEL_VXLAN;
}

/* RFC 8926. */
static __always_inline void enter_geneve(const struct headers *headers, struct inside *inside)
{
	__u8 geneve[4];
	inside->offset += UDP_SIZE;
	if (!read_header(headers, inside->offset, geneve, sizeof(geneve)) || geneve[0] & GENEVE_VERSION)
		return;
	inside->offset += GENEVE_SIZE + (geneve[0] & GENEVE_OPTIONS) * 4;
	inside->type = geneve[2] << 8 | geneve[3];
	inside->tunnel = TCP_DROP_TUNNEL_GENEVE;
}

/* To the packet in an Ethernet frame, behind one VLAN tag at most. */
static __always_inline void enter_ethernet(const struct headers *headers, struct inside *inside)
{
	__be16 type = 0;
	if (inside->type != ETH_P_TEB)
		return;
	read_header(headers, inside->offset + ETHERNET_SIZE - sizeof(type), &type, sizeof(type));
	inside->offset += ETHERNET_SIZE;
	if (type == ntohs(ETH_P_8021Q)) {
		type = 0;
		inside->offset += VLAN_TAG_SIZE;
		read_header(headers, inside->offset - sizeof(type), &type, sizeof(type));
	}
	inside->type = ntohs(type);
}

static __always_inline void enter_tunnel(const struct headers *headers, struct inside *inside)
{
	switch (headers->protocol) {
	case IPPROTO_IPIP:
		inside->type = ETH_P_IP;
		inside->tunnel = TCP_DROP_TUNNEL_IPIP;
		break;
	case IPPROTO_IPV6:
		inside->type = ETH_P_IPV6;
		inside->tunnel = TCP_DROP_TUNNEL_IPIP;
		break;
	case IPPROTO_GRE:
		enter_gre(headers, inside);
		break;
	default:
		if (headers->destination_port == GENEVE_PORT)
			enter_geneve(headers, inside);
		else
			enter_vxlan(headers, inside);
	}
}

/* Makes the headers those of the TCP packet inside, if there is one: else they
 * stay as they are. */
__attribute__((noinline)) int open_tunnel(void)
{
	struct headers *headers = scratch_headers();
	if (!headers || !headers->transport)
		return 0;
	struct inside inside = { .offset = headers->transport };
	enter_tunnel(headers, &inside);
	enter_ethernet(headers, &inside);

	struct headers outer = *headers;
	headers->network = inside.offset;
	if (read_network(headers)) {
		__u8 version = headers->bytes[0] >> 4;
		if (inside.type == ETH_P_IP && version == 4)
			find_in_ipv4(headers);
		else if (inside.type == ETH_P_IPV6 && version == 6)
			find_in_ipv6(headers);
	}
	if (headers->protocol == IPPROTO_TCP)
		headers->tunnel = inside.tunnel;
	else
		*headers = outer;
	return 0;
}

#endif
