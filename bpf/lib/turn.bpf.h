/* SPDX-License-Identifier: GPL-2.0-only */
/* Which packet of a hook that runs for each of them has its turn to be looked at? Most have not, so
 * that answer is the first thing a program gets, and costs a load and a store. */
#ifndef CULPRIT_TURN_BPF_H
#define CULPRIT_TURN_BPF_H

#include "emit.bpf.h"

#define TURN_GAP_MAX 4096

/* The hooks that take turns. */
enum {
	TURN_ENQUEUE = 0,
	TURN_DEQUEUE = 1,
	TURNS = 2
};

struct turn {
	__u64 interval;
	__u32 left; /* packets that go by until the next turn */
	__u32 gap; /* one packet in so many has its turn; a power of two */
	__u32 taken; /* turns of this interval; of a shorter gap, each counts for less */
	__u32 pad;
};

/* By CPU, and not in a per-CPU map: that would be another line of memory to wait for. CPUs beyond
 * the limit share a place, and one that is lost between two of them, or to a program that nests in
 * itself, is a packet sooner or later. */
#define TURN_CPUS 256 /* power of two */
static struct {
	struct turn of[TURNS];
	__u64 apart[2]; /* so that no two CPUs share a line */
} turns[TURN_CPUS];

/* So that config.turns of so many packets have one: a slow link has few packets, and of a process
 * with little traffic each one counts. */
static __always_inline __u32 gap_for(__u64 packets)
{
	__u32 gap = 1;

	for (int i = 0; i < 12; i++)
		if (gap < TURN_GAP_MAX && packets > (__u64)gap * config.turns)
			gap *= 2;
	return gap;
}

/* The packet whose turn it may be. The distance to the next is drawn: of flows that alternate, one
 * in an even number of packets would always be the same. */
static __noinline __u32 turn_take(struct turn *turn, __u64 interval)
{
	if (!turn)
		return 0;
	if (turn->interval != interval) {
		turn->gap = turn->interval + 1 == interval ? gap_for((__u64)turn->taken * turn->gap)
							   : 1;
		turn->taken = 0;
		turn->interval = interval;
		turn->left &= turn->gap - 1;
	} else if (turn->taken >= config.turns && turn->gap < TURN_GAP_MAX) {
		turn->gap *= 2;
		turn->taken /= 2;
	}
	if (turn->left) {
		turn->left--;
		return 0;
	}
	turn->taken++;
	if (turn->gap > 1)
		turn->left = bpf_get_prandom_u32() % (2 * turn->gap - 1);
	return turn->gap;
}

/* How many packets this one stands for; 0: it is not its turn. */
static __always_inline __u32 turn_of(__u32 which)
{
	struct turn *turn = &turns[bpf_get_smp_processor_id() & (TURN_CPUS - 1)].of[which];
	__u64 interval = rate_interval();

	if (turn->left && turn->interval == interval) {
		turn->left--;
		return 0;
	}
	return turn_take(turn, interval);
}

#endif
