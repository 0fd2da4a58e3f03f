/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The event of a drop that was admitted. */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#define FRAME_SIZE sizeof(__u64)

/* An event in the making: too large for the program's stack. One frame more
 * than is sent tells whether the stack went on. */
struct scratch {
	struct drop drop;
	struct tcp_drop_event event;
	__u64 stack[TCP_DROP_STACK_DEPTH + 1];
};

/* This CPU's. */
static struct scratch *own_scratch(void);

/* Most stack frames that are sent. */
const volatile __u32 stack_depth = TCP_DROP_STACK_DEPTH;

static __always_inline void describe_packet(const struct drop *drop, struct tcp_drop_event *event)
{
	const struct headers *headers = &drop->headers;

	event->site = drop->site;
	event->reason = drop->reason;
	if (drop->has_reason)
		event->present |= TCP_DROP_HAS_REASON;
	if (drop->flow.version) {
		event->ip_version = drop->flow.version;
		__builtin_memcpy(event->source, drop->flow.source, sizeof(event->source));
		__builtin_memcpy(event->destination, drop->flow.destination, sizeof(event->destination));
		event->present |= TCP_DROP_HAS_ADDRESSES;
	}
	if (headers->has_ports) {
		event->source_port = headers->source_port;
		event->destination_port = headers->destination_port;
		event->present |= TCP_DROP_HAS_PORTS;
	}
	read_tcp_header(headers, event);
	event->present |= headers->tunnel << TCP_DROP_TUNNEL_SHIFT;
	if (drop->size) {
		event->packet_size = drop->size;
		event->segments = count_segments(headers, drop->size);
		event->present |= TCP_DROP_HAS_PACKET_SIZE;
	}
}

static __always_inline void describe_place(struct sk_buff *skb, const struct drop *drop, struct tcp_drop_event *event)
{
	const struct place *place = &drop->place;

	event->direction = place->direction;
	event->interface_index = find_interface(skb, place);
	if (event->interface_index)
		event->present |= TCP_DROP_HAS_INTERFACE;
	name_interface(place, event);
	if (place->net) {
		event->netns_inode = place->netns_inode;
		event->present |= TCP_DROP_HAS_NETNS;
		describe_namespace(place->net, event);
	}
	if (drop->socket.sock &&
	    (drop->socket.received || !is_sender_elsewhere(&drop->socket, place, &drop->headers)))
		describe_socket(&drop->socket, event);
}

static __always_inline void describe_moment(struct tcp_drop_event *event)
{
	event->boot_ns = bpf_ktime_get_boot_ns();
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->task_cgroup = bpf_get_current_cgroup_id();
	bpf_get_current_comm(event->comm, sizeof(event->comm));
}

static __always_inline void walk_stack(void *ctx, struct scratch *scratch)
{
	__u32 depth = stack_depth < TCP_DROP_STACK_DEPTH ? stack_depth : TCP_DROP_STACK_DEPTH;
	long size = bpf_get_stack(ctx, scratch->stack, (depth + 1) * FRAME_SIZE, 0);
	__u32 frames = size > 0 ? size / FRAME_SIZE : 0;
	if (frames > depth) {
		frames = depth;
		scratch->event.present |= TCP_DROP_STACK_TRUNCATED;
	}
	scratch->event.stack_frames = frames;
}

/* `ctx` are the tracepoint's arguments, which the stack walk asks for. */
static __always_inline void describe(void *ctx, struct sk_buff *skb, struct scratch *scratch)
{
	__builtin_memset(&scratch->event, 0, sizeof(scratch->event));
	describe_packet(&scratch->drop, &scratch->event);
	describe_place(skb, &scratch->drop, &scratch->event);
	describe_moment(&scratch->event);
	walk_stack(ctx, scratch);
}

#endif
