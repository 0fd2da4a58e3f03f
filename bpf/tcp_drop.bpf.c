// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Tells user space of each TCP packet that the kernel drops. */
#include "bpf_helpers.h"
#include "core_compat.h"
#include "tcp_drop.h"
#include "headers.h"
#include "place.h"
#include "accounts.h"
#include "filter.h"
#include "without_reason.h"

#define FRAME_SIZE sizeof(__u64)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20); /* the loader sets it */
} ring SEC(".maps");

/* An event in the making: too large for the program's stack. One frame more
 * than is sent tells whether the stack went on. */
struct scratch {
	struct tcp_drop_event event;
	__u64 stack[TCP_DROP_STACK_DEPTH + 1];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* Stack frames above the caller of a function that is entered: this program,
 * its trampoline, the function. */
#define TCP_DROP_ENTRY_FRAMES 3

/* Most stack frames that are sent. */
const volatile __u32 stack_depth = TCP_DROP_STACK_DEPTH;

/* Whether the packet is TCP, by its headers or by its socket: then `event` says
 * whose, where and which way, as far as is known. */
static __always_inline bool describe_packet(struct sk_buff *skb, struct sock *rx_sk, struct place *place,
					    struct tcp_drop_event *event)
{
	struct headers headers = {};
	struct socket socket = {};

	find_headers(skb, &headers, event);
	bool is_tcp = headers.version && headers.protocol == IPPROTO_TCP;

	read_socket(rx_sk, &socket);
	bool received = socket.sock;
	if (!received)
		read_socket(READ(skb->sk), &socket);
	/* Other protocols' packets may hold a socket's TCP packet: tunnels. Only a
	 * full socket is sure to be TCP's. */
	if (!is_tcp && !(socket.sock && (!headers.version || is_full(socket.state))))
		return false;
	/* A socket's error queue holds what ICMP said. */
	if (headers.protocol == IPPROTO_ICMP || headers.protocol == IPPROTO_ICMPV6)
		return false;
	if (!is_tcp && headers.version) {
		/* The flow that was lost is the one inside. */
		event->present &= ~TCP_DROP_HAS_ADDRESSES;
		__builtin_memset(event->source, 0, sizeof(event->source));
		__builtin_memset(event->destination, 0, sizeof(event->destination));
	}

	if (!headers.version)
		find_lone_tcp_header(skb, &headers);
	/* Nor a packet: a note to a socket, such as that zero-copy data was sent. */
	if (!headers.version && !headers.transport && !skb->len)
		return false;
	read_tcp_header(&headers, event);
	if (headers.version)
		measure(skb, &headers, event);

	find_place(skb, &socket, received, place);
	event->direction = find_direction(skb, place, &socket, received, headers.version || headers.transport);
	event->interface_index = find_interface(skb, place);
	if (event->interface_index)
		event->present |= TCP_DROP_HAS_INTERFACE;
	if (place->net)
		describe_namespace(place->net, event);
	if (!socket.sock)
		return true;
	if (!(event->present & TCP_DROP_HAS_ADDRESSES))
		flow_from_socket(&socket, event);
	if (received || !is_sender_elsewhere(&socket, place, event))
		describe_socket(&socket, event);
	return true;
}

static __always_inline void describe_moment(void *ctx, struct scratch *scratch)
{
	struct tcp_drop_event *event = &scratch->event;
	event->boot_ns = bpf_ktime_get_boot_ns();
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->task_cgroup = bpf_get_current_cgroup_id();
	bpf_get_current_comm(event->comm, sizeof(event->comm));

	__u32 depth = stack_depth < TCP_DROP_STACK_DEPTH ? stack_depth : TCP_DROP_STACK_DEPTH;
	long size = bpf_get_stack(ctx, scratch->stack, (depth + 1) * FRAME_SIZE, 0);
	__u32 frames = size > 0 ? size / FRAME_SIZE : 0;
	if (frames > depth) {
		frames = depth;
		event->present |= TCP_DROP_STACK_TRUNCATED;
	}
	event->stack_frames = frames;
}

/* Walking a stack that has no place to go would cost most when the host is worst off. */
static __always_inline bool ring_has_room(void)
{
	__u64 wanted = sizeof(struct scratch) + BPF_RINGBUF_HDR_SZ;
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) + wanted <= bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE);
}

static __always_inline bool send(struct scratch *scratch)
{
	__u64 size = sizeof(scratch->event) + scratch->event.stack_frames * FRAME_SIZE;
	if (size > sizeof(*scratch))
		return false;
	return bpf_ringbuf_output(&ring, scratch, size, 0) == 0;
}

/* `ctx` are the tracepoint's arguments, which the stack walk asks for. */
static __always_inline int on_drop(void *ctx, struct sk_buff *skb, __u64 location, __u32 reason,
				   bool has_reason, struct sock *rx_sk)
{
	__u32 zero = 0;
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &zero);
	struct tcp_drop_ledger *counts = bpf_map_lookup_elem(&ledger, &zero);
	if (!scratch || !counts)
		return 0;
	struct tcp_drop_event *event = &scratch->event;
	__builtin_memset(event, 0, sizeof(*event));
	struct place place = {};
	if (!describe_packet(skb, rx_sk, &place, event))
		return 0;

	event->site = location;
	event->reason = reason;
	if (has_reason)
		event->present |= TCP_DROP_HAS_REASON;

	struct tcp_drop_site *site = site_slot(location, reason);
	if (!site)
		return 0;
	counts->seen++;
	site->seen++;
	site->bytes += event->packet_size;

	if (is_own(event)) {
		counts->own++;
		return 0;
	}
	if (!is_wanted(event)) {
		counts->filtered++;
		return 0;
	}
	if (ring_has_room()) {
		name_interface(&place, event);
		describe_moment(ctx, scratch);
		if (send(scratch)) {
			counts->admitted++;
			return 0;
		}
	}
	counts->ring_lost++;
	site->ring_lost++;
	return 0;
}

/* 6.11 and later. `rx_sk` is read as memory, since kernels disagree on whether
 * it may be NULL: some refuse the check, some remove it. */
SEC("tp_btf/kfree_skb")
int kfree_skb_rx_sk(__u64 *ctx)
{
	struct sock *rx_sk = NULL;
	bpf_probe_read_kernel(&rx_sk, sizeof(rx_sk), &ctx[3]);
	return on_drop(ctx, (struct sk_buff *)ctx[0], ctx[1], ctx[2], true, rx_sk);
}

/* 5.17 to 6.10. */
SEC("tp_btf/kfree_skb")
int kfree_skb_reason(__u64 *ctx)
{
	volatile __u32 *flag = enter();
	if (!flag)
		return 0;
	on_drop(ctx, (struct sk_buff *)ctx[0], ctx[1], ctx[2], true, NULL);
	leave(flag);
	return 0;
}

/* 5.10 to 5.16. */
SEC("tp_btf/kfree_skb")
int kfree_skb_bare(__u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	volatile __u32 *flag = enter();
	if (!flag)
		return 0;
	if (!is_ordinary_free(skb, ctx[1]))
		on_drop(ctx, skb, ctx[1], 0, false, NULL);
	leave(flag);
	return 0;
}

/* 5.10 to 5.16, where the compiler kept the function: it frees past the
 * tracepoint. The drop site is its caller. */
SEC("fentry/tcp_drop")
int tcp_drop_entry(__u64 *ctx)
{
	struct sock *sk = NULL;
	struct sk_buff *skb = (struct sk_buff *)ctx[1];
	__u64 caller = 0;
	volatile __u32 *flag = enter();
	if (!flag)
		return 0;
	bpf_probe_read_kernel(&sk, sizeof(sk), &ctx[0]);
	if (!is_used_up(sk, skb)) {
		bpf_get_stack(ctx, &caller, sizeof(caller), TCP_DROP_ENTRY_FRAMES);
		on_drop(ctx, skb, caller, 0, false, sk);
	}
	leave(flag);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
