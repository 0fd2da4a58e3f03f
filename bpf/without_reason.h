/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kernels before 5.17 give no reason, and call the tracepoint, and tcp_drop(),
 * for packets that did their work, too. Told apart here by what the packet and
 * its socket are: functions are net/ipv4/tcp_input.c's and net/core/skbuff.c's.
 */
#ifndef WITHOUT_REASON_H
#define WITHOUT_REASON_H

/* Begins a run of the program that is the only one on its CPU, for kernels before 6.1 nest it; NULL if there is one
 * already: counted as missed. */
static __always_inline struct cpu *enter(void)
{
	struct cpu *cpu = this_cpu();
	if (!cpu)
		return NULL;
	if (*(volatile __u32 *)&cpu->busy) {
		__sync_fetch_and_add(&cpu->counts.ledger.missed, 1);
		return NULL;
	}
	*(volatile __u32 *)&cpu->busy = 1;
	barrier();
	return cpu;
}

static __always_inline void leave(struct cpu *cpu)
{
	barrier();
	*(volatile __u32 *)&cpu->busy = 0;
}

/* The FIN that ends a connection in TIME_WAIT is handled and freed like a
 * refused one, in tcp_v4_rcv(): there the data begins with the TCP header. */
static __always_inline bool is_last_fin(struct sk_buff *skb)
{
	struct tcp_header tcp;
	__u32 data = skb->data - skb->head;

	if (!skb->skb_iif || skb->transport_header != data || READ(skb->sk) ||
	    bpf_probe_read_kernel(&tcp, sizeof(tcp), skb->data))
		return false;
	return (tcp.flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) == (TCP_FIN | TCP_ACK) &&
	       skb->len == (tcp.offset_ae >> 4) * 4;
}

/* kfree_skb() of what was no loss. Nothing left in it: a FIN in the queue of a
 * socket that was closed. */
static __always_inline bool is_ordinary_free(struct sk_buff *skb, __u64 location)
{
	return !skb->len || is_part(skb, location) || is_last_fin(skb);
}

/* tcp_drop() of a segment that the socket's state machine has used: it carries
 * no data, and it ended the connection, or acknowledged what was sent after the
 * peer's FIN, or is the answer to a SYN that will be acknowledged later. */
static __always_inline bool is_used_up(struct sock *sk, struct sk_buff *skb)
{
	struct tcp_skb_cb *control = (void *)__builtin_preserve_access_index(&skb->cb);
	__u8 flags = READ(control->tcp_flags);
	__u32 sequence_numbers = READ(control->end_seq) - READ(control->seq);

	if (sequence_numbers > !!(flags & TCP_SYN) + !!(flags & TCP_FIN))
		return false;
	switch (READ(sk->__sk_common.skc_state)) {
	case TCP_CLOSE:
		return true;
	case TCP_CLOSE_WAIT:
	case TCP_LAST_ACK:
	case TCP_CLOSING:
		return (flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK;
	case TCP_ESTABLISHED:
		return (flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
	default:
		return false;
	}
}

#endif
