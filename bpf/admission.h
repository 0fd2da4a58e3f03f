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

#define KEYS 4096
#define RESERVES 512

/* User space shares the rates out over the CPUs. */
struct tcp_drop_admission admission SETTING("admission");

/* What was used in a beat. */
struct key {
	__u32 tag;
	__u16 beat;
	__u16 used;
};

struct reserve {
	__u16 beat;
	__u16 used;
};

struct budget {
	struct key keys[KEYS];
	struct reserve reserves[2][RESERVES];
};

static __always_inline bool take_from_site(struct tcp_drop_site *site, __u64 now)
{
	__u32 elapsed = (__u32)now - site->refilled;
	if (elapsed) {
		__u64 refill = elapsed * admission.site_refill;
		__u64 spent = site->spent < admission.site_capacity ? site->spent : admission.site_capacity;
		site->refilled = now;
		site->spent = refill < spent ? spent - refill : 0;
	}
	__u64 spent = site->spent + admission.site_cost;
	if (spent > admission.site_capacity)
		return false;
	site->spent = spent;
	return true;
}

static __always_inline bool take_from_reserve(struct budget *budget, __u32 netns_inode, bool with_socket, __u16 beat)
{
	__u32 index = netns_inode * HASH_FACTOR >> 32;
	struct reserve *reserve = &budget->reserves[with_socket][index % RESERVES];
	if (reserve->beat != beat) {
		reserve->beat = beat;
		reserve->used = 0;
	}
	if (reserve->used >= admission.reserve_limit)
		return false;
	reserve->used++;
	return true;
}

static __always_inline bool take_from_key(struct budget *budget, const struct tcp_drop_site *site, struct sk_buff *skb,
					  const struct drop *drop, __u16 beat)
{
	__u64 hash = (site->hash ^ (__u64)drop->place.netns_inode << 16 ^ local_port(skb, drop)) * HASH_FACTOR;
	struct key *key = &budget->keys[hash >> 52 & (KEYS - 1)];
	__u32 tag = hash >> 20;
	if (key->tag == tag && key->beat == beat) {
		if (key->used >= admission.key_limit)
			return false;
		key->used++;
		return true;
	}
	if (!take_from_reserve(budget, drop->place.netns_inode, drop->rx_sk || skb->sk, beat))
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

static __always_inline enum admitted admit(struct budget *budget, struct tcp_drop_site *site, struct sk_buff *skb,
					   const struct drop *drop)
{
	if (!admission.site_cost)
		return BY_SITE;
	__u64 now = bpf_jiffies64();
	if (take_from_site(site, now))
		return BY_SITE;
	return take_from_key(budget, site, skb, drop, now >> (admission.beat_shift & 63)) ? BY_KEY : NOT_ADMITTED;
}

#endif
