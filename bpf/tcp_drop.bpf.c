// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Tells user space of each TCP packet that the kernel drops. */
#include "bpf_helpers.h"
#include "core_compat.h"
#include "tcp_drop.h"
#include "headers.h"
#include "place.h"
#include "drop.h"
#include "accounts.h"
#include "filter.h"
#include "admission.h"
#include "describe.h"
#include "ring.h"
#include "cpu.h"
#include "inside.h"
#include "merged.h"
#include "without_reason.h"

/* The loader sets it. */
const volatile __u8 has_cast = 0;

static __always_inline bool can_cast(void)
{
	return has_cast;
}

/* Stack frames above the caller of a function that is entered: this program,
 * its trampoline, the function. */
#define TCP_DROP_ENTRY_FRAMES 3

/* Whether the drop is one of those that are told. All are counted. */
static __always_inline bool is_told(struct sk_buff *skb, struct drop *drop, struct tcp_drop_ledger *counts)
{
	__u32 index = 0;
	struct tcp_drop_filter_set *filter = active_filter(&index);
	bool has_ports = drop->headers.has_ports;
	bool unsure = !has_ports || may_be_own(&drop->headers);

	if (unsure || (filter && asks_for_place(filter)))
		locate(skb, drop);
	if (unsure && is_own(drop)) {
		counts->own++;
		return false;
	}
	if (filter && !is_wanted(filter, index, drop)) {
		counts->filtered++;
		return false;
	}
	return true;
}

/* `ctx` are the tracepoint's arguments. */
static __always_inline int on_drop(void *ctx, struct cpu *cpu, struct sk_buff *skb, __u64 location, __u32 reason,
				   bool has_reason, struct sock *rx_sk)
{
	struct scratch *scratch = &cpu->scratch;
	struct drop *drop = &scratch->drop;
	struct tcp_drop_ledger *counts = &cpu->counts.ledger;

	if (!is_tcp_drop(skb, rx_sk, drop))
		return 0;
	drop->site = location;
	drop->reason = reason;
	drop->has_reason = has_reason;

	struct tcp_drop_site *site = site_slot(&cpu->counts, location, reason);
	counts->seen++;
	site->seen++;
	site->bytes += drop->size;
	if (!is_told(skb, drop, counts))
		return 0;

	enum admitted admitted = admit(&cpu->budget, site, skb, drop);
	__u64 filled = admitted ? ring_filled() : 0;
	if (!admitted || (admitted == BY_KEY && filled > RING_NEARLY_FULL)) {
		counts->suppressed++;
		site->suppressed++;
		return 0;
	}
	/* Walking a stack that has no place to go would cost most when the host is worst off. */
	if (ring_has_room(filled)) {
		locate(skb, drop);
		describe(ctx, skb, scratch);
		if (send(scratch, &cpu->sent, filled)) {
			counts->admitted++;
			return 0;
		}
	}
	counts->ring_lost++;
	site->ring_lost++;
	return 0;
}

/* 6.11 and later. */
SEC("tp_btf/kfree_skb")
int kfree_skb_rx_sk(__u64 *ctx)
{
	struct cpu *cpu = this_cpu();
	if (!cpu || is_freed_with_whole(ctx[1]))
		return 0;
	return on_drop(ctx, cpu, (struct sk_buff *)ctx[0], ctx[1], ctx[2], true, (struct sock *)ctx[3]);
}

/* 5.17 to 6.10. */
SEC("tp_btf/kfree_skb")
int kfree_skb_reason(__u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct cpu *cpu = enter();
	if (!cpu)
		return 0;
	if (!is_part(skb, ctx[1]))
		on_drop(ctx, cpu, skb, ctx[1], ctx[2], true, NULL);
	leave(cpu);
	return 0;
}

/* 5.10 to 5.16. */
SEC("tp_btf/kfree_skb")
int kfree_skb_bare(__u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct cpu *cpu = enter();
	if (!cpu)
		return 0;
	if (!is_ordinary_free(skb, ctx[1]))
		on_drop(ctx, cpu, skb, ctx[1], 0, false, NULL);
	leave(cpu);
	return 0;
}

/* 5.10 to 5.16, where the compiler kept the function: it frees past the
 * tracepoint. The drop site is its caller. */
SEC("fentry/tcp_drop")
int tcp_drop_entry(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct sk_buff *skb = (struct sk_buff *)ctx[1];
	__u64 caller = 0;
	struct cpu *cpu = enter();
	if (!cpu)
		return 0;
	if (!is_used_up(sk, skb)) {
		bpf_get_stack(ctx, &caller, sizeof(caller), TCP_DROP_ENTRY_FRAMES);
		on_drop(ctx, cpu, skb, caller, 0, false, sk);
	}
	leave(cpu);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
