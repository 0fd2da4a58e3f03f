/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Parts of a merged packet. GRO and reassembly chain what they merge behind the
 * first packet. When the whole is freed, dropped or read to its end, so is each
 * part, and the tracepoint is called for it (net/core/skbuff.c). The whole has
 * an event of its own if it was dropped.
 */
#ifndef MERGED_H
#define MERGED_H

/* Functions that free parts, as address ranges; 0 where the kernel hides its addresses. */
const volatile __u64 part_free_start = 0; /* skb_release_data() */
const volatile __u64 part_free_end = 0;
const volatile __u64 list_free_start = 0; /* kfree_skb_list(), kfree_skb_list_reason() */
const volatile __u64 list_free_end = 0;

static __always_inline bool is_list_free(__u64 location)
{
	return location >= list_free_start && location < list_free_end;
}

/* Where the function that frees the whole is the location: from 6.3 on. */
static __always_inline bool is_freed_with_whole(__u64 location)
{
	return location - part_free_start < part_free_end - part_free_start;
}

/* Before, it is one that frees lists of whole packets, too. A part is of no
 * route and no socket, and its headers were taken off. */
static __always_inline bool is_part(struct sk_buff *skb, __u64 location)
{
	return is_freed_with_whole(location) ||
	       (is_list_free(location) && !skb->_skb_refdst && !READ(skb->sk) &&
		skb->data - skb->head > skb->network_header);
}

#endif
