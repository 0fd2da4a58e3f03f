/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The counts, which stay exact whatever is admitted, and the agent's own ports. */
#ifndef ACCOUNTS_H
#define ACCOUNTS_H

#define SITE_PROBES 8
#define OWN_PORTS 4096

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_drop_ledger);
} ledger SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TCP_DROP_SITES + 1);
	__type(key, __u32);
	__type(value, struct tcp_drop_site);
} sites SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, OWN_PORTS);
	__type(key, struct tcp_drop_own_port);
	__type(value, __u8);
} own_ports SEC(".maps");

/* Namespace of the agent. */
const volatile __u32 agent_netns = 0;
/* Where the agent serves its status; version 0 is any address of it. */
const volatile __u16 status_port = 0;
const volatile __u8 status_ip_version = 0;
const volatile __u8 status_address[16] = {};

/* The slot of (site, reason), taken if need be; the last one if there is none. */
static __always_inline struct tcp_drop_site *site_slot(__u64 site, __u32 reason)
{
	__u32 hash = ((site >> 2 ^ (__u64)reason << 32) * 0x9e3779b97f4a7c15ULL) >> 32;
	/* An unknown site is 0, as a free slot's. */
	for (__u32 i = 0; site && i < SITE_PROBES; i++) {
		__u32 index = (hash + i) % TCP_DROP_SITES;
		struct tcp_drop_site *slot = bpf_map_lookup_elem(&sites, &index);
		if (!slot)
			break;
		if (slot->site == site && slot->reason == reason)
			return slot;
		if (!slot->site) {
			slot->reason = reason;
			barrier(); /* a reader takes a slot with a site to be whole */
			slot->site = site;
			return slot;
		}
	}
	__u32 others = TCP_DROP_SITES;
	return bpf_map_lookup_elem(&sites, &others);
}

static __always_inline bool is_registered(__u32 netns_inode, __u16 local_port, __u16 peer_port)
{
	struct tcp_drop_own_port key = { netns_inode, local_port, peer_port };
	return bpf_map_lookup_elem(&own_ports, &key);
}

static __always_inline bool is_status_end(const struct tcp_drop_event *event, __u16 port, const __u8 *address)
{
	if (port != status_port)
		return false;
	if (!status_ip_version)
		return true;
	if (event->ip_version != status_ip_version)
		return false;
	for (int i = 0; i < 16; i++)
		if (address[i] != status_address[i])
			return false;
	return true;
}

/* Each plain HTTP exchange leaves a drop behind: requests for the agent's
 * status must not make records. */
static __always_inline bool is_status(const struct tcp_drop_event *event)
{
	return status_port && event->netns_inode == agent_netns &&
	       (is_status_end(event, event->destination_port, event->destination) ||
		is_status_end(event, event->source_port, event->source));
}

/* Whether the packet is of the agent's own exporters. In its namespace its end
 * may talk to any port, as a proxy may rewrite the other; elsewhere on the host
 * both ports must fit. */
static __always_inline bool is_own(const struct tcp_drop_event *event)
{
	if (!(event->present & TCP_DROP_HAS_PORTS))
		return false;
	if (is_status(event) || is_registered(0, event->source_port, event->destination_port) ||
	    is_registered(0, event->destination_port, event->source_port))
		return true;
	if (event->netns_inode != agent_netns)
		return false;
	switch (event->direction) {
	case TCP_DROP_DIRECTION_TRANSMIT:
		return is_registered(agent_netns, event->source_port, 0);
	case TCP_DROP_DIRECTION_RECEIVE:
		return is_registered(agent_netns, event->destination_port, 0);
	default:
		return false;
	}
}

#endif
