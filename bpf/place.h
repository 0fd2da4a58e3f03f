/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the packet was, and whose: namespace, interface, direction, socket.
 *
 * Neither skb->dev nor skb->sk is what it seems. `dev` is NULL inside TCP and
 * in OUTPUT, and shares its bytes with an rbtree in the out-of-order queue.
 * `sk` may be a tun device's, the kernel's own for answers to closed ports, or
 * over veth the sender's in another namespace.
 */
#ifndef PLACE_H
#define PLACE_H

#define HASH_CHAIN_MAX 8

/* A TCP socket, as far as it was asked before admission. */
struct socket {
	struct sock *sock; /* NULL: none */
	struct net *net;
	__u16 family;
	__u16 local_port;
	__u16 peer_port;
	__u8 state;
};

struct place {
	struct net *net; /* NULL: unknown */
	struct net_device *device;
	struct dst_entry *route;
};

/* A namespace's loopback device points back at it; nothing else does. */
static __always_inline bool is_namespace(struct net *net)
{
	if (!net)
		return false;
	struct net_device *loopback = READ(net->loopback_dev);
	return loopback && READ(loopback->nd_net.net) == net;
}

static __always_inline struct net *namespace_of_device(struct net_device *device)
{
	if (!device)
		return NULL;
	struct net *net = READ(device->nd_net.net);
	return is_namespace(net) ? net : NULL;
}

static __always_inline bool is_full(__u8 state)
{
	return state != TCP_NEW_SYN_RECV && state != TCP_TIME_WAIT;
}

/* Fills `socket` if `sock` is one of TCP's. Raw sockets can have its protocol,
 * too: the kernel answers closed ports through one. */
static __always_inline void read_socket(struct sock *sock, struct socket *socket)
{
	if (!sock)
		return;
	socket->family = READ(sock->__sk_common.skc_family);
	if (socket->family != AF_INET && socket->family != AF_INET6)
		return;
	socket->state = READ(sock->__sk_common.skc_state);
	if (is_full(socket->state) &&
	    (READ(sock->sk_protocol) != IPPROTO_TCP || READ(sock->sk_type) != SOCK_STREAM))
		return;
	socket->local_port = READ(sock->__sk_common.skc_num);
	socket->peer_port = ntohs(READ(sock->__sk_common.skc_dport));
	socket->net = READ(sock->__sk_common.skc_net.net);
	if (is_namespace(socket->net))
		socket->sock = sock;
}

static __always_inline struct dst_entry *route_of(struct sk_buff *skb)
{
	struct dst_entry *route = (void *)(skb->_skb_refdst & SKB_DST_PTRMASK);
	if (!route || READ(route->flags) & DST_METADATA)
		return NULL;
	return namespace_of_device(READ(route->dev)) ? route : NULL;
}

static __always_inline bool is_local(struct dst_entry *route)
{
	struct dst_ops *ops = READ(route->ops);
	__u32 flags;
	if (READ(ops->family) == AF_INET6) {
		struct rt6_info *ipv6 = (void *)route;
		flags = READ(ipv6->rt6i_flags);
	} else {
		struct rtable *ipv4 = (void *)route;
		flags = READ(ipv4->rt_flags);
	}
	return flags & RTCF_LOCAL;
}

static __always_inline void find_place(struct sk_buff *skb, const struct socket *socket, bool received,
				       struct place *place)
{
	/* Queued for a socket: the route is gone, and dev may be rubbish. */
	if (received) {
		place->net = socket->net;
		return;
	}
	place->device = READ(skb->dev);
	place->net = namespace_of_device(place->device);
	place->route = route_of(skb);
	if (place->net)
		return;
	place->device = NULL;
	if (place->route) {
		place->device = READ(place->route->dev);
		place->net = namespace_of_device(place->device);
	} else if (socket->sock) {
		place->net = socket->net;
	}
}

static __always_inline __u32 find_interface(struct sk_buff *skb, const struct place *place)
{
	/* A route names the way out, or lo for what is local. */
	if (place->device && (READ(skb->dev) == place->device || !skb->skb_iif))
		return READ(place->device->ifindex);
	return skb->skb_iif;
}

/* The device with this index, among those that share its hash chain. */
static __always_inline struct net_device *device_by_index(struct net *net, __u32 index)
{
	struct hlist_head *heads = READ(net->dev_index_head);
	struct hlist_node *node = NULL;

	bpf_probe_read_kernel(&node, sizeof(node), (void *)heads + index % NETDEV_HASHENTRIES * sizeof(node));
	for (int i = 0; i < HASH_CHAIN_MAX && node; i++) {
		struct net_device *device = (void *)node - FIELD_OFFSET(((struct net_device *)0)->index_hlist);
		if (READ(device->ifindex) == (int)index)
			return device;
		node = READ(node->next);
	}
	return NULL;
}

/* The name at this moment: user space may come too late, and may not see the namespace. */
static __always_inline void name_interface(const struct place *place, struct tcp_drop_event *event)
{
	struct net_device *device = place->device;
	if (!place->net || !event->interface_index)
		return;
	if (!device || READ(device->ifindex) != (int)event->interface_index)
		device = device_by_index(place->net, event->interface_index);
	if (device && !bpf_probe_read_kernel(event->interface_name, sizeof(event->interface_name),
					     __builtin_preserve_access_index(&device->name)))
		event->present |= TCP_DROP_HAS_INTERFACE_NAME;
}

static __always_inline __u8 find_direction(struct sk_buff *skb, const struct place *place,
					   const struct socket *socket, bool received, bool has_header)
{
	if (received)
		return TCP_DROP_DIRECTION_RECEIVE;
	if (skb->skb_iif)
		return place->route && !is_local(place->route) ? TCP_DROP_DIRECTION_FORWARD :
								 TCP_DROP_DIRECTION_RECEIVE;
	/* It has just crossed from the sender's namespace. */
	if (socket->sock && socket->net != place->net)
		return TCP_DROP_DIRECTION_RECEIVE;
	/* What TCP itself merged in a receive queue has a socket, but no header. */
	if (place->route || (socket->sock && has_header))
		return TCP_DROP_DIRECTION_TRANSMIT;
	return TCP_DROP_DIRECTION_UNKNOWN;
}

/* Whether skb->sk is what the drop was about, and not left over from the way here. */
static __always_inline bool is_sender_elsewhere(const struct socket *socket, const struct place *place,
						const struct tcp_drop_event *event)
{
	if (socket->net != place->net)
		return true;
	if (event->direction != TCP_DROP_DIRECTION_RECEIVE || !(event->present & TCP_DROP_HAS_PORTS) ||
	    socket->local_port == event->destination_port)
		return false;
	return socket->local_port == event->source_port && socket->peer_port == event->destination_port;
}

/* The flow as the socket knows it, where the packet has no header to tell. A
 * listener knows no peer. */
static __always_inline void flow_from_socket(const struct socket *socket, struct tcp_drop_event *event)
{
	struct sock *sock = socket->sock;
	bool received = event->direction == TCP_DROP_DIRECTION_RECEIVE;
	__u8 *local = received ? event->destination : event->source;
	__u8 *peer = received ? event->source : event->destination;

	if (!received && event->direction != TCP_DROP_DIRECTION_TRANSMIT)
		return;
	struct in6_addr peer6 = READ(sock->__sk_common.skc_v6_daddr);
	const __u32 *words = (const __u32 *)&peer6;
	bool mapped = !words[0] && !words[1] && words[2] == ntohl(0xffff);
	if (socket->family == AF_INET6 && !mapped) {
		struct in6_addr local6 = READ(sock->__sk_common.skc_v6_rcv_saddr);
		if (!words[0] && !words[1] && !words[2] && !words[3])
			return;
		event->ip_version = 6;
		__builtin_memcpy(local, &local6, sizeof(local6));
		__builtin_memcpy(peer, &peer6, sizeof(peer6));
	} else {
		__be32 local4 = READ(sock->__sk_common.skc_rcv_saddr);
		__be32 peer4 = READ(sock->__sk_common.skc_daddr);
		if (!peer4)
			return;
		event->ip_version = 4;
		__builtin_memcpy(local, &local4, sizeof(local4));
		__builtin_memcpy(peer, &peer4, sizeof(peer4));
	}
	event->present |= TCP_DROP_HAS_ADDRESSES;
	/* A closed socket has given its port back. */
	if (event->present & TCP_DROP_HAS_PORTS || !socket->local_port || !socket->peer_port)
		return;
	event->source_port = received ? socket->peer_port : socket->local_port;
	event->destination_port = received ? socket->local_port : socket->peer_port;
	event->present |= TCP_DROP_HAS_PORTS;
}

/* The cgroup that the socket was made in. */
static __always_inline struct cgroup *cgroup_of(struct sock *sock)
{
	if (FIELD_EXISTS(sock->sk_cgrp_data.cgroup))
		return READ(sock->sk_cgrp_data.cgroup);
	/* Two flags in the pointer: with the first it is none, but a class of cgroup v1. */
	struct sock_cgroup_data___before_5_15 *data = (void *)__builtin_preserve_access_index(&sock->sk_cgrp_data);
	if (!FIELD_EXISTS(data->val))
		return NULL;
	__u64 tagged = READ(data->val);
	return tagged & 1 ? NULL : (void *)(tagged & ~3ULL);
}

static __always_inline void describe_socket(const struct socket *socket, struct tcp_drop_event *event)
{
	struct sock *sock = socket->sock;
	event->socket_state = socket->state;
	event->socket_kind = socket->state == TCP_NEW_SYN_RECV ? TCP_DROP_SOCKET_REQUEST :
			     socket->state == TCP_TIME_WAIT    ? TCP_DROP_SOCKET_TIMEWAIT :
			     socket->state == TCP_LISTEN       ? TCP_DROP_SOCKET_LISTENER :
								 TCP_DROP_SOCKET_FULL;
	event->present |= TCP_DROP_HAS_SOCKET;

	event->socket_cookie = READ(sock->__sk_common.skc_cookie.counter);
	if (event->socket_cookie)
		event->present |= TCP_DROP_HAS_SOCKET_COOKIE;
	if (!is_full(socket->state))
		return;
	struct cgroup *cgroup = cgroup_of(sock);
	struct kernfs_node *node = cgroup ? READ(cgroup->kn) : NULL;
	event->socket_cgroup = node ? READ(node->id) : 0;
	if (event->socket_cgroup)
		event->present |= TCP_DROP_HAS_SOCKET_CGROUP;
}

static __always_inline void describe_namespace(struct net *net, struct tcp_drop_event *event)
{
	event->netns_inode = READ(net->ns.inum);
	event->present |= TCP_DROP_HAS_NETNS;
	if (!FIELD_EXISTS(net->net_cookie))
		return;
	event->netns_cookie = READ(net->net_cookie);
	if (event->netns_cookie)
		event->present |= TCP_DROP_HAS_NETNS_COOKIE;
}

#endif
