/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What each CPU has for itself, all found by one look-up. */
#ifndef CPU_H
#define CPU_H

#define CACHE_LINE 64

/* User space maps the array and reads the counts, with which an entry begins. A map that the kernel keeps per CPU would
 * cost one more pointer to follow at each look-up, and one more system call for each value that is read. */
struct cpu {
	struct scratch scratch;
	struct sent sent;
	__u32 busy; /* inside the program */
	struct tcp_drop_counts counts __attribute__((aligned(CACHE_LINE)));
	struct budget budget;
} __attribute__((aligned(CACHE_LINE)));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* the loader sets it */
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct cpu);
} cpus SEC(".maps");

/* Not NULL: there is one for each CPU. */
static __always_inline struct cpu *this_cpu(void)
{
	__u32 number = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&cpus, &number);
}

static __always_inline struct scratch *own_scratch(void)
{
	struct cpu *cpu = this_cpu();
	return cpu ? &cpu->scratch : NULL;
}

#endif
