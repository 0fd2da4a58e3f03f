/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which drops are wanted. Two sets of lists take turns: user space fills the
 * one that is at rest and then names it in `filter_active`, so that each drop
 * meets one set, whole. shipper/src/filter has the same rules in Rust.
 */
#ifndef FILTER_H
#define FILTER_H

#define FILTER_SETS 2
#define FILTER_LISTS 2

/* The set in use, from 1; 0: everything is wanted. */
__u32 filter_active SETTING("filter_active");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FILTER_SETS);
	__type(key, __u32);
	__type(value, struct tcp_drop_filter_set);
} filter_sets SEC(".maps");

/* A bit for each port, for each list of each set. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FILTER_SETS *FILTER_LISTS);
	__type(key, __u32);
	__type(value, struct tcp_drop_ports);
} filter_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FILTER_SETS *FILTER_LISTS *TCP_DROP_FILTER_VALUES);
	__type(key, struct tcp_drop_filter_value);
	__type(value, __u8);
} filter_values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, FILTER_SETS *FILTER_LISTS *TCP_DROP_FILTER_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tcp_drop_filter_prefix);
	__type(value, __u8);
} filter_prefixes SEC(".maps");

/* One list of one set. */
struct filter_list {
	__u32 kinds;
	__u32 directions;
	__u8 set;
	__u8 list;
};

static __always_inline bool lists_value(const struct filter_list *list, __u8 kind, __u32 value)
{
	struct tcp_drop_filter_value key = { value, kind, list->set, list->list, 0 };
	return bpf_map_lookup_elem(&filter_values, &key);
}

static __always_inline bool lists_a_port(const struct filter_list *list, __u16 source, __u16 destination)
{
	__u32 index = list->set * FILTER_LISTS + list->list;
	struct tcp_drop_ports *ports = bpf_map_lookup_elem(&filter_ports, &index);
	return ports && has_port(ports, source, destination);
}

static __always_inline bool lists_address(const struct filter_list *list, __u8 version, const __u8 *address)
{
	struct tcp_drop_filter_prefix key = {
		.bits = 32 + (version == 4 ? 32 : 128),
		.set = list->set,
		.list = list->list,
		.version = version,
	};
	__builtin_memcpy(key.address, address, sizeof(key.address));
	return bpf_map_lookup_elem(&filter_prefixes, &key);
}

/* The kinds of the list that know the drop. What is not known of the drop is
 * on no list. */
static __always_inline __u32 kinds_that_match(const struct filter_list *list, const struct drop *drop)
{
	const struct flow *flow = &drop->flow;
	__u32 matching = 0;

	if (list->kinds & TCP_DROP_FILTER_DIRECTION && list->directions >> (drop->place.direction & 7) & 1)
		matching |= TCP_DROP_FILTER_DIRECTION;
	if (list->kinds & TCP_DROP_FILTER_NETNS && drop->place.net &&
	    lists_value(list, TCP_DROP_FILTER_NETNS, drop->place.netns_inode))
		matching |= TCP_DROP_FILTER_NETNS;
	if (list->kinds & TCP_DROP_FILTER_REASONS && drop->has_reason &&
	    lists_value(list, TCP_DROP_FILTER_REASONS, drop->reason))
		matching |= TCP_DROP_FILTER_REASONS;
	if (list->kinds & TCP_DROP_FILTER_PORTS && drop->headers.has_ports &&
	    lists_a_port(list, drop->headers.source_port, drop->headers.destination_port))
		matching |= TCP_DROP_FILTER_PORTS;
	if (list->kinds & TCP_DROP_FILTER_ADDRESSES && flow->version &&
	    (lists_address(list, flow->version, flow->source) ||
	     lists_address(list, flow->version, flow->destination)))
		matching |= TCP_DROP_FILTER_ADDRESSES;
	return matching;
}

/* The set in use; NULL: everything is wanted. */
static __always_inline struct tcp_drop_filter_set *active_filter(__u32 *index)
{
	__u32 active = *(volatile __u32 *)&filter_active;
	if (!active)
		return NULL;
	*index = active - 1;
	return bpf_map_lookup_elem(&filter_sets, index);
}

/* Whether the set asks what only locate() finds. */
static __always_inline bool asks_for_place(const struct tcp_drop_filter_set *set)
{
	return (set->include_kinds | set->exclude_kinds) &
	       (TCP_DROP_FILTER_DIRECTION | TCP_DROP_FILTER_ADDRESSES);
}

/* Wanted is what every included kind knows and no excluded one. */
static __always_inline bool is_wanted(const struct tcp_drop_filter_set *set, __u32 index, const struct drop *drop)
{
	struct filter_list include = { set->include_kinds, set->include_directions, index, TCP_DROP_FILTER_INCLUDE };
	struct filter_list exclude = { set->exclude_kinds, set->exclude_directions, index, TCP_DROP_FILTER_EXCLUDE };
	if (include.kinds && kinds_that_match(&include, drop) != include.kinds)
		return false;
	return !exclude.kinds || !kinds_that_match(&exclude, drop);
}

#endif
