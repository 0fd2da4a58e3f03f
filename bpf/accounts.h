/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The counts, which stay exact whatever is admitted, and the agent's own ports. */
#ifndef ACCOUNTS_H
#define ACCOUNTS_H

#define SITE_PROBES 8
#define HASH_FACTOR 0x9e3779b97f4a7c15ULL /* 2^64 / golden ratio */
#define OWN_PORTS 4096

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, OWN_PORTS);
	__type(key, struct tcp_drop_own_port);
	__type(value, __u8);
} own_ports SEC(".maps");

/* A bit for each local port in `own_ports`, and for the status: nearly all drops need to ask no more. */
struct tcp_drop_ports own_port_bits SETTING("own_port_bits");

/* Namespace of the agent. */
const volatile __u32 agent_netns = 0;
/* Where the agent serves its status; version 0 is any address of it. */
const volatile __u16 status_port = 0;
const volatile __u8 status_ip_version = 0;
const volatile __u8 status_address[16] = {};

/* The number of the slot of (site, reason), taken if need be; 0 if there is none. */
static __always_inline __u32 site_index(struct tcp_drop_counts *counts, __u64 site, __u32 reason)
{
	__u64 hash = (site >> 2 ^ (__u64)reason << 32) * HASH_FACTOR;
	__u32 first = 1 + ((hash >> 32) * (TCP_DROP_SITES - SITE_PROBES) >> 32);
	/* An unknown site is 0, as a free slot's. */
	for (__u32 index = first; site && index < first + SITE_PROBES; index++) {
		struct tcp_drop_site *slot = &counts->sites[index % TCP_DROP_SITES];
		if (slot->site == site && slot->reason == reason)
			return index;
		if (!slot->site) {
			slot->reason = reason;
			slot->hash = hash;
			barrier(); /* a reader takes a slot with a site to be whole */
			slot->site = site;
			return index;
		}
	}
	return counts->no_slot;
}

static __always_inline struct tcp_drop_site *site_slot(struct tcp_drop_counts *counts, __u64 site, __u32 reason)
{
	__u32 index = site_index(counts, site, reason);
	/* The verifier does not follow this number, so that to it all ways here are one. */
	asm volatile("%0 = le16 %0" : "+r"(index));
	struct tcp_drop_site *slot = &counts->sites[index % TCP_DROP_SITES];
	asm volatile("" : "+r"(slot));
	return slot;
}

static __always_inline bool is_registered(__u32 netns_inode, __u16 local_port, __u16 peer_port)
{
	struct tcp_drop_own_port key = { netns_inode, local_port, peer_port };
	return bpf_map_lookup_elem(&own_ports, &key);
}

static __always_inline bool has_port(const struct tcp_drop_ports *ports, __u16 source, __u16 destination)
{
	return (ports->words[source / 64] >> source % 64 | ports->words[destination / 64] >> destination % 64) & 1;
}

/* Whether the ports may be the agent's own: then is_own() knows. */
static __always_inline bool may_be_own(const struct headers *headers)
{
	return has_port(&own_port_bits, headers->source_port, headers->destination_port);
}

static __always_inline bool is_status_end(const struct flow *flow, __u16 port, const __u8 *address)
{
	if (port != status_port)
		return false;
	if (!status_ip_version)
		return true;
	if (flow->version != status_ip_version)
		return false;
	for (int i = 0; i < 16; i++)
		if (address[i] != status_address[i])
			return false;
	return true;
}

/* Each plain HTTP exchange leaves a drop behind: requests for the agent's
 * status must not make records. */
static __always_inline bool is_status(const struct drop *drop)
{
	const struct flow *flow = &drop->flow;
	return status_port && drop->place.netns_inode == agent_netns &&
	       (is_status_end(flow, drop->headers.destination_port, flow->destination) ||
		is_status_end(flow, drop->headers.source_port, flow->source));
}

/* Whether the packet, which was located, is of the agent's own exporters. In its
 * namespace its end may talk to any port, as a proxy may rewrite the other;
 * elsewhere on the host both ports must fit. */
static __always_inline bool is_own(const struct drop *drop)
{
	__u16 source = drop->headers.source_port, destination = drop->headers.destination_port;
	if (!drop->headers.has_ports || !may_be_own(&drop->headers))
		return false;
	if (is_status(drop) || is_registered(0, source, destination) || is_registered(0, destination, source))
		return true;
	if (drop->place.netns_inode != agent_netns)
		return false;
	switch (drop->place.direction) {
	case TCP_DROP_DIRECTION_TRANSMIT:
		return is_registered(agent_netns, source, 0);
	case TCP_DROP_DIRECTION_RECEIVE:
		return is_registered(agent_netns, destination, 0);
	default:
		return false;
	}
}

#endif
