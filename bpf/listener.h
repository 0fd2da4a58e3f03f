/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The queues of a listening socket. */
#ifndef LISTENER_H
#define LISTENER_H

struct listener_queues {
	__u32 backlog;
	__u32 backlog_max;
	__u32 syn_backlog;
};

static __always_inline void read_queues(struct sock *sk, struct listener_queues *queues)
{
	struct inet_connection_sock *connection = (void *)sk;
	queues->backlog = READ(sk->sk_ack_backlog);
	queues->backlog_max = READ(sk->sk_max_ack_backlog);
	queues->syn_backlog = READ(connection->icsk_accept_queue.qlen.counter);
}

static __always_inline void describe_queues(struct sock *sk, struct tcp_drop_event *event)
{
	struct listener_queues queues;

	read_queues(sk, &queues);
	event->listener_backlog = queues.backlog;
	event->listener_backlog_max = queues.backlog_max;
	event->listener_syn_backlog = queues.syn_backlog;
	event->present |= TCP_DROP_HAS_LISTENER;
}

#endif
