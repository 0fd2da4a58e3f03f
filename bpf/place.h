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

#include "listener.h"

#define HASH_CHAIN_MAX 8

/* A TCP socket, as far as it was asked before admission. */
struct socket {
	struct sock *sock; /* NULL: none */
	struct net *net;
	__u16 family;
	__u16 local_port;
	__u16 peer_port;
	__u8 state;
	__u8 received; /* it was to receive the packet */
	__u8 asked;    /* skb->sk was looked at, or need not be */
};

struct place {
	struct net *net; /* NULL: unknown */
	struct net_device *device;
	struct dst_entry *route;
	__u32 netns_inode;
	__u8 direction;
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

static __always_inline bool is_tcp_stream(__u16 protocol, __u16 type)
{
	return protocol == IPPROTO_TCP && type == SOCK_STREAM;
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
	if (is_full(socket->state) && !is_tcp_stream(READ(sock->sk_protocol), READ(sock->sk_type)))
		return;
	socket->local_port = READ(sock->__sk_common.skc_num);
	socket->peer_port = ntohs(READ(sock->__sk_common.skc_dport));
	socket->net = READ(sock->__sk_common.skc_net.net);
	if (is_namespace(socket->net))
		socket->sock = sock;
}

/* Kernels from 7.0 on name the sender's socket as the receiver's where IPv6 finds
 * no route. What TCP merged in a receive queue came in, and has no header. */
static __always_inline bool is_of_sender(struct sk_buff *skb, const struct sock *sock, const struct headers *headers)
{
	return !skb->skb_iif && headers->transport && READ(skb->sk) == sock;
}

/* The same of the socket that was to receive the packet: an argument of the
 * program that is not NULL, so that its fields need no helper. */
static __always_inline void read_receiver(struct sk_buff *skb, struct sock *sock, const struct headers *headers,
					  struct socket *socket)
{
	socket->family = sock->__sk_common.skc_family;
	if (socket->family != AF_INET && socket->family != AF_INET6)
		return;
	socket->state = sock->__sk_common.skc_state;
	if (is_full(socket->state) && !is_tcp_stream(sock->sk_protocol, sock->sk_type))
		return;
	socket->local_port = sock->__sk_common.skc_num;
	socket->peer_port = ntohs(sock->__sk_common.skc_dport);
	struct net *net = sock->__sk_common.skc_net.net;
	if (!net || net->loopback_dev->nd_net.net != net)
		return;
	socket->net = net;
	socket->sock = sock;
	socket->received = !is_of_sender(skb, sock, headers);
	socket->asked = true;
}

static __always_inline struct dst_entry *route_of(struct sk_buff *skb)
{
	struct dst_entry *route = (void *)(skb->_skb_refdst & SKB_DST_PTRMASK);
	/* Tunnels and bridges have routes that lead nowhere. */
	if (!route || READ(route->flags) & (DST_METADATA | DST_FAKE_RTABLE))
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

/* skb->sk, once: no other socket is known. */
static __always_inline void ask_sender(struct sk_buff *skb, struct socket *socket)
{
	if (socket->asked)
		return;
	socket->asked = true;
	read_socket(READ(skb->sk), socket);
}

/* Of skb->sk, of whatever kind: a packet or raw socket that holds a copy. */
static __always_inline struct net *namespace_of_sender(struct sk_buff *skb)
{
	struct sock *sock = READ(skb->sk);
	struct net *net = sock ? READ(sock->__sk_common.skc_net.net) : NULL;
	return is_namespace(net) ? net : NULL;
}

/* Sets `net` and, where the packet has one, `device`. What the verifier knows as
 * kernel objects may be rubbish all the same: reading it does no harm. */
static __always_inline void find_namespace(struct sk_buff *skb, struct socket *socket, struct place *place)
{
	struct net_device *device = skb->dev;
	struct net *net = device && !socket->received ? device->nd_net.net : NULL;
	__u32 inode = net ? net->ns.inum : 0;
	/* As the last drop on this CPU, or else checked. */
	bool same = inode && inode == place->netns_inode && net == place->net;
	place->route = NULL;
	place->device = device;
	if (same)
		return;
	place->net = net;
	place->netns_inode = inode;
	if (inode && net->loopback_dev->nd_net.net == net)
		return;
	place->device = NULL;
	place->net = socket->net;
	place->netns_inode = 0;
	/* Queued for a socket: the route is gone, and dev may be rubbish. */
	if (socket->received)
		goto found;
	place->net = NULL;
	place->route = route_of(skb);
	if (place->route) {
		place->device = READ(place->route->dev);
		place->net = namespace_of_device(place->device);
	} else {
		ask_sender(skb, socket);
		place->net = socket->sock ? socket->net : namespace_of_sender(skb);
	}
found:
	if (place->net)
		place->netns_inode = READ(place->net->ns.inum);
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

/* An intermediate functional block: what came in is sent there, to be shaped, and comes back. */
static __always_inline bool is_ifb(struct net_device *device)
{
	struct rtnl_link_ops *ops = READ(device->rtnl_link_ops);
	char kind[sizeof("ifb")] = {};
	return ops && !bpf_probe_read_kernel(kind, sizeof(kind), READ(ops->kind)) && kind[0] == 'i' &&
	       kind[1] == 'f' && kind[2] == 'b' && !kind[3];
}

/* The way of a packet that came in through an interface. */
static __always_inline __u8 way_onward(struct sk_buff *skb, const struct place *place, const struct headers *headers)
{
	if (place->route)
		return is_local(place->route) ? TCP_DROP_DIRECTION_RECEIVE : TCP_DROP_DIRECTION_FORWARD;
	/* A bridge asks for no route, and a queue may have given it back. At another
	 * interface it leaves through that, unless the bridge itself takes it. */
	if (!place->device || READ(place->device->ifindex) == skb->skb_iif)
		return TCP_DROP_DIRECTION_RECEIVE;
	if (is_ifb(place->device))
		return TCP_DROP_DIRECTION_RECEIVE;
	bool has_link_header = headers->data < headers->network;
	return has_link_header || READ(place->device->rx_handler) ? TCP_DROP_DIRECTION_FORWARD :
								    TCP_DROP_DIRECTION_RECEIVE;
}

/* Of a packet that no interface received yet, by a sender that may be no socket
 * of TCP's: packet and raw sockets have none. */
static __always_inline __u8 way_from_sender(struct sock *sock, const struct place *place)
{
	struct net *net = sock ? READ(sock->__sk_common.skc_net.net) : NULL;
	if (!is_namespace(net) || !place->net)
		return TCP_DROP_DIRECTION_UNKNOWN;
	/* A TUN interface's own socket has no family: what it sends comes in. */
	if (net != place->net || !READ(sock->__sk_common.skc_family))
		return TCP_DROP_DIRECTION_RECEIVE;
	return TCP_DROP_DIRECTION_TRANSMIT;
}

static __always_inline __u8 find_direction(struct sk_buff *skb, const struct place *place,
					   const struct socket *socket, const struct headers *headers)
{
	if (socket->received)
		return TCP_DROP_DIRECTION_RECEIVE;
	if (skb->skb_iif)
		return way_onward(skb, place, headers);
	/* It has just crossed from the sender's namespace. */
	if (socket->sock && socket->net != place->net)
		return TCP_DROP_DIRECTION_RECEIVE;
	if (place->route)
		return TCP_DROP_DIRECTION_TRANSMIT;
	/* What TCP itself merged in a receive queue has a socket, but no header. */
	if (!headers->version && !headers->transport)
		return TCP_DROP_DIRECTION_UNKNOWN;
	return way_from_sender(READ(skb->sk), place);
}

/* Whether skb->sk is what the drop was about, and not left over from the way here. */
static __always_inline bool is_sender_elsewhere(const struct socket *socket, const struct place *place,
						const struct headers *headers)
{
	if (socket->net != place->net)
		return true;
	if (place->direction != TCP_DROP_DIRECTION_RECEIVE || !headers->has_ports ||
	    socket->local_port == headers->destination_port)
		return false;
	return socket->local_port == headers->source_port && socket->peer_port == headers->destination_port;
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
	if (socket->state == TCP_LISTEN)
		describe_queues(sock, event);
	struct cgroup *cgroup = cgroup_of(sock);
	struct kernfs_node *node = cgroup ? READ(cgroup->kn) : NULL;
	event->socket_cgroup = node ? READ(node->id) : 0;
	if (event->socket_cgroup)
		event->present |= TCP_DROP_HAS_SOCKET_CGROUP;
}

static __always_inline void describe_namespace(struct net *net, struct tcp_drop_event *event)
{
	if (!FIELD_EXISTS(net->net_cookie))
		return;
	event->netns_cookie = READ(net->net_cookie);
	if (event->netns_cookie)
		event->present |= TCP_DROP_HAS_NETNS_COOKIE;
}

#endif
