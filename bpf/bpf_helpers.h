/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a BPF program needs from the kernel's interface, so that building needs
 * no headers but these. Numbers are of include/uapi/linux/bpf.h.
 */
#ifndef BPF_HELPERS_H
#define BPF_HELPERS_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;

#define bool _Bool
#define true 1
#define false 0
#define NULL ((void *)0)
#define offsetof(type, member) __builtin_offsetof(type, member)

#define SEC(name) __attribute__((section(name), used))
#define __noinline __attribute__((noinline))
/* A variable that user space sets at run time, as a map of its own of that name. */
#define SETTING(name) SEC(".data." name)

#define __always_inline inline __attribute__((always_inline))
#define barrier() asm volatile("" ::: "memory")

/* Fields of a map's definition, which loaders read from the BTF. */
#define __uint(name, value) int(*name)[value]
#define __type(name, type) typeof(type) *name

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_RINGBUF = 27,
};

#define BPF_F_NO_PREALLOC 1
#define BPF_F_MMAPABLE 1024
#define BPF_RB_AVAIL_DATA 0
#define BPF_RB_RING_SIZE 1
#define BPF_RB_NO_WAKEUP 1
#define BPF_RB_FORCE_WAKEUP 2
#define BPF_RINGBUF_HDR_SZ 8

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static __u32 (*bpf_get_smp_processor_id)(void) = (void *)8;
static __u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*bpf_get_current_comm)(void *to, __u32 size) = (void *)16;
static __u64 (*bpf_get_current_task)(void) = (void *)35;
static long (*bpf_get_stack)(void *ctx, void *to, __u32 size, __u64 flags) = (void *)67;
static __u64 (*bpf_get_current_cgroup_id)(void) = (void *)80;
static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;
static __u64 (*bpf_jiffies64)(void) = (void *)118;
static __u64 (*bpf_ktime_get_boot_ns)(void) = (void *)125;
static long (*bpf_seq_write)(void *seq, const void *data, __u32 size) = (void *)127;
static long (*bpf_ringbuf_output)(void *ring, void *data, __u64 size, __u64 flags) = (void *)130;
static __u64 (*bpf_ringbuf_query)(void *ring, __u64 flags) = (void *)134;

/* Reads a field of a kernel struct that may not be there: it is zero then. */
#define READ(field)                                                        \
	({                                                                 \
		typeof(field) _value;                                      \
		bpf_probe_read_kernel(&_value, sizeof(_value), &(field));  \
		_value;                                                    \
	})

/* The id of a type in the kernel's BTF. */
#define KERNEL_TYPE_ID(type) __builtin_btf_type_id(*(type *)0, 1)

/* The kernel's bpf_rdonly_cast() (6.2): makes an address a pointer that can be read without a helper, as if a `type` were
 * there; what cannot be read is 0. A call of a kernel function names it by its BTF id, which the loader writes into the
 * instruction: here is a mark in its place. Costs no instruction. */
#define CAST(type, address)                                                                       \
	({                                                                                        \
		register const void *_address asm("r1") = (address);                              \
		register __u64 _type asm("r2") = KERNEL_TYPE_ID(type);                            \
		register type *_object asm("r0");                                                 \
		asm volatile(".8byte 0x72646f6e00002085"                                          \
			     : "=r"(_object), "+r"(_address), "+r"(_type)                         \
			     :                                                                    \
			     : "r3", "r4", "r5");                                                 \
		_object;                                                                          \
	})

#define FIELD_OFFSET(field) __builtin_preserve_field_info(field, 0)
#define FIELD_EXISTS(field) __builtin_preserve_field_info(field, 2)

#define ntohs(x) __builtin_bswap16(x)
#define ntohl(x) __builtin_bswap32(x)

#endif
