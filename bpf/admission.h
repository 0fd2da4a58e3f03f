/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which drops are described. The counts know all of them; the budget is spent so
 * that a storm costs little and hides nothing else:
 *
 *   1. each (site, reason) has a bucket of tokens;
 *   2. when it is empty, each (namespace, local port, site, reason) has a few
 *      drops a beat, a beat being about a second;
 *   3. whose first is paid for by a reserve of its namespace, one for drops with
 *      a socket and one for those without: a scan of ports spends its own.
 *
 * All is per CPU, sized when loaded. Keys and namespaces have their slot by hash
 * alone: one that finds it taken loses detail for a beat, no count.
 */
#ifndef ADMISSION_H
#define ADMISSION_H

#define KEY_ROWS 16
#define KEYS_IN_ROW 256
#define RESERVES 512

#define HASH_FACTOR 0x9e3779b97f4a7c15ULL /* 2^64 / golden ratio */

/* User space shares the rates out over the CPUs. */
struct tcp_drop_admission admission SETTING("admission");

/* What was used in a beat. */
struct key {
	__u32 tag;
	__u16 beat;
	__u16 used;
};

struct key_row {
	struct key keys[KEYS_IN_ROW];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KEY_ROWS);
	__type(key, __u32);
	__type(value, struct key_row);
} keys SEC(".maps");

struct reserve {
	__u16 beat;
	__u16 used;
};

struct reserves {
	struct reserve of[2][RESERVES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reserves);
} reserves SEC(".maps");

static __always_inline bool take_from_site(struct tcp_drop_site *site, __u64 now)
{
	__u64 elapsed = now - site->refilled;
	if (elapsed) {
		__u64 tokens = site->tokens + elapsed * admission.site_refill;
		site->refilled = now;
		site->tokens = elapsed < admission.site_full_after && tokens < admission.site_capacity ?
				       tokens :
				       admission.site_capacity;
	}
	if (site->tokens < admission.site_cost)
		return false;
	site->tokens -= admission.site_cost;
	return true;
}

static __always_inline bool take_from_reserve(__u32 netns_inode, bool with_socket, __u16 beat)
{
	__u32 zero = 0;
	struct reserves *all = bpf_map_lookup_elem(&reserves, &zero);
	if (!all)
		return false;
	__u32 index = netns_inode * HASH_FACTOR >> 32;
	struct reserve *reserve = &all->of[with_socket][index % RESERVES];
	if (reserve->beat != beat) {
		reserve->beat = beat;
		reserve->used = 0;
	}
	if (reserve->used >= admission.reserve_limit)
		return false;
	reserve->used++;
	return true;
}

static __always_inline bool take_from_key(struct sk_buff *skb, const struct drop *drop, __u16 beat)
{
	__u64 hash = ((drop->site >> 2) ^ (__u64)drop->reason << 32) * HASH_FACTOR;
	hash = (hash ^ (__u64)drop->place.netns_inode << 16 ^ local_port(skb, drop)) * HASH_FACTOR;
	__u32 index = hash >> 60;
	struct key_row *row = bpf_map_lookup_elem(&keys, &index);
	if (!row)
		return false;
	struct key *key = &row->keys[hash >> 52 & (KEYS_IN_ROW - 1)];
	__u32 tag = hash >> 20;
	if (key->tag == tag && key->beat == beat) {
		if (key->used >= admission.key_limit)
			return false;
		key->used++;
		return true;
	}
	if (!take_from_reserve(drop->place.netns_inode, drop->rx_sk || skb->sk, beat))
		return false;
	key->tag = tag;
	key->beat = beat;
	key->used = 1;
	return true;
}

enum admitted {
	NOT_ADMITTED,
	BY_SITE,
	BY_KEY,
};

static __always_inline enum admitted admit(struct sk_buff *skb, const struct drop *drop, struct tcp_drop_site *site)
{
	if (!admission.site_cost)
		return BY_SITE;
	__u64 now = bpf_jiffies64();
	if (take_from_site(site, now))
		return BY_SITE;
	return take_from_key(skb, drop, now >> (admission.beat_shift & 63)) ? BY_KEY : NOT_ADMITTED;
}

#endif
