// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Tells user space of the SYNs that a listener refuses for a full queue. The
 * kernel consumes them without a word at the tracepoint. An object of its own:
 * a kernel may refuse each of these programs, and the rest works without.
 */
#include "bpf_helpers.h"
#include "core_compat.h"
#include "tcp_drop.h"
#include "headers.h"
#include "place.h"
#include "drop.h"
#include "describe.h"

/* Refused SYNs are told so seldom that helpers will do. */
static __always_inline bool can_cast(void)
{
	return false;
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct scratch *own_scratch(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&scratches, &zero);
}

#include "inside.h"

/* Events that a CPU may send at once, and then for each jiffy. What is over is
 * counted: a flood of SYNs must not cost more than that. */
#define BURST 64

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 128 << 10);
} refused_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_drop_silent_counts);
} refused_counts SEC(".maps");

/* The SYN that this CPU handles, and what is left of its budget. */
struct handled {
	__u64 listener;
	__s32 drops;
	__u32 tokens;
	__u64 refilled; /* in jiffies */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct handled);
} handled SEC(".maps");

static __always_inline bool take_token(struct handled *syn)
{
	__u64 now = bpf_jiffies64();
	__u64 tokens = syn->tokens + (now - syn->refilled);
	syn->refilled = now;
	syn->tokens = tokens < BURST ? tokens : BURST;
	if (!syn->tokens)
		return false;
	syn->tokens--;
	return true;
}

/* The counter that the kernel moved, in the order in which tcp_conn_request()
 * asks. Kernels differ on whether a SYN queue at its limit is full. */
static __always_inline __u32 why_refused(const struct listener_queues *queues, struct net *net)
{
	bool cookies = READ(net->ipv4.sysctl_tcp_syncookies);

	if (!cookies && queues->syn_backlog > queues->backlog_max)
		return TCP_DROP_SILENT_REQUEST_QUEUE_FULL;
	if (queues->backlog > queues->backlog_max)
		return TCP_DROP_SILENT_LISTEN_OVERFLOWS;
	if (!cookies && queues->syn_backlog == queues->backlog_max)
		return TCP_DROP_SILENT_REQUEST_QUEUE_FULL;
	return TCP_DROP_SILENT_LISTEN_DROPS;
}

static __always_inline void describe_syn(struct sk_buff *skb, struct scratch *scratch)
{
	struct tcp_drop_event *event = &scratch->event;

	locate(skb, &scratch->drop);
	describe_packet(&scratch->drop, event);
	describe_place(skb, &scratch->drop, event);
	describe_moment(event);
}

static __always_inline void on_refusal(struct handled *syn, struct sock *sk, struct sk_buff *skb)
{
	__u32 zero = 0;
	struct tcp_drop_silent_counts *counts = bpf_map_lookup_elem(&refused_counts, &zero);
	struct scratch *scratch = own_scratch();
	struct listener_queues queues;

	if (!counts || !scratch)
		return;
	struct drop *drop = &scratch->drop;
	drop->site = 0;
	drop->has_reason = false;
	if (!is_tcp_drop(skb, sk, drop) || !drop->socket.received)
		return;
	read_queues(sk, &queues);
	__u32 silent = why_refused(&queues, drop->socket.net);
	if (silent >= TCP_DROP_SILENT_KINDS)
		return;
	counts->refused[silent]++;
	if (take_token(syn)) {
		__builtin_memset(&scratch->event, 0, sizeof(scratch->event));
		scratch->event.silent = silent;
		describe_syn(skb, scratch);
		if (!bpf_ringbuf_output(&refused_ring, &scratch->event, sizeof(scratch->event), 0))
			return;
	}
	counts->untold[silent]++;
}

SEC("fentry/tcp_conn_request")
int syn_enters(__u64 *ctx)
{
	__u32 zero = 0;
	struct sock *sk = (struct sock *)ctx[2];
	struct handled *syn = bpf_map_lookup_elem(&handled, &zero);
	if (!syn)
		return 0;
	syn->listener = (__u64)sk;
	syn->drops = sk->sk_drops.counter;
	return 0;
}

/* Refused is what the listener counts as dropped (tcp_listendrop()). */
SEC("fexit/tcp_conn_request")
int syn_leaves(__u64 *ctx)
{
	__u32 zero = 0;
	struct sock *sk = (struct sock *)ctx[2];
	struct handled *syn = bpf_map_lookup_elem(&handled, &zero);
	if (syn && syn->listener == (__u64)sk && syn->drops != sk->sk_drops.counter)
		on_refusal(syn, sk, (struct sk_buff *)ctx[3]);
	return 0;
}

/* A function of its own, so that the object's BTF has the struct. */
static __noinline long write(struct seq_file *to, struct tcp_drop_process *process)
{
	return bpf_seq_write(to, process, sizeof(*process));
}

/* `struct bpf_iter__task`: meta, then the task; NULL at the end. One entry for
 * each process, so that user space finds a process of each namespace without
 * the right to look into other users' processes. */
SEC("iter/task")
int list_namespaces(__u64 *ctx)
{
	struct bpf_iter_meta *meta = (struct bpf_iter_meta *)ctx[0];
	struct task_struct *task = (struct task_struct *)ctx[1];
	struct tcp_drop_process process = {};
	if (!task || task->pid != task->tgid)
		return 0;
	struct nsproxy *proxy = READ(task->nsproxy);
	struct net *net = proxy ? READ(proxy->net_ns) : NULL;
	if (!net)
		return 0;
	process.netns_inode = READ(net->ns.inum);
	if (FIELD_EXISTS(net->net_cookie))
		process.netns_cookie = READ(net->net_cookie);

	struct task_struct *reader = (struct task_struct *)bpf_get_current_task();
	struct pid *reader_pid = READ(reader->thread_pid);
	struct pid *pid = READ(task->thread_pid);
	__u32 level = READ(reader_pid->level);
	if (!pid || READ(pid->level) < level)
		return 0;
	/* Loaders refuse an index into an array without a length. */
	bpf_probe_read_kernel(&process.pid, sizeof(process.pid),
			      (void *)pid + FIELD_OFFSET(pid->numbers) + level * sizeof(struct upid));
	write(meta->seq, &process);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
