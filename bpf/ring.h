/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way to user space. */
#ifndef RING_H
#define RING_H

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20); /* the loader sets it */
} ring SEC(".maps");

/* When this CPU last sent an event and last woke the reader, in jiffies. */
struct sent {
	__u64 event;
	__u64 wakeup;
};

/* Size of the ring; the loader sets it. */
const volatile __u64 ring_bytes = 4 << 20;

#define RING_NEARLY_FULL (ring_bytes / 4 * 3)

static __always_inline __u64 ring_filled(void)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
}

static __always_inline bool ring_has_room(__u64 filled)
{
	return filled + sizeof(struct tcp_drop_event) + TCP_DROP_STACK_DEPTH * FRAME_SIZE + BPF_RINGBUF_HDR_SZ <=
	       ring_bytes;
}

/* A wake-up costs as much as a drop. The first event after a quiet time needs
 * one; the reader looks again soon after each that it found. Or the ring fills. */
static __always_inline __u64 wakeup(struct sent *last, __u64 filled)
{
	__u64 now = bpf_jiffies64();
	bool quiet = now - last->event >= admission.quiet_jiffies;
	bool filling = filled > ring_bytes / 4 && now != last->wakeup;
	last->event = now;
	if (!quiet && !filling)
		return BPF_RB_NO_WAKEUP;
	last->wakeup = now;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline bool send(struct scratch *scratch, struct sent *last, __u64 filled)
{
	__u64 size = sizeof(scratch->event) + scratch->event.stack_frames * FRAME_SIZE;
	if (size > sizeof(*scratch) - offsetof(struct scratch, event))
		return false;
	return bpf_ringbuf_output(&ring, &scratch->event, size, wakeup(last, filled)) == 0;
}

#endif
