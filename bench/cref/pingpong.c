// Two cache lines, each written by one process: the least that any round trip through memory costs.
//
// What a line costs depends on its address too, because addresses are dealt out to the directories on the chip: one pair
// may be a third dearer than the next, for as long as the process lives. So the game moves on to another pair now and
// then, as the messages of a ring do.
#include <sched.h>

#include "cref.h"

// The number of the round trip that a line is waited for to show, perhaps with LAST.
static uint64_t await(const struct side *s, struct index *line, uint64_t number)
{
	uint64_t v;
	while (((v = atomic_load_explicit(&line->v, memory_order_acquire)) & ~LAST) != number)
		if (s->yields)
			sched_yield();
	return v;
}

static size_t pair(uint64_t number) { return number / ROUNDS_ON_A_PAIR % PAIRS; }

void pingpong_lead(const struct side *s, const struct command *c, struct result *r)
{
	static struct histogram h;
	struct shared *m = s->shared;
	uint64_t number = 1, end = now() + c->nanoseconds;

	histogram_clear(&h);
	for (int last = 0; !last; number++) {
		struct index *ping = &m->ping[pair(number)], *pong = &m->pong[pair(number)];
		uint64_t start = now();
		last = start >= end;
		uint64_t v = last ? number | LAST : number;
		atomic_store_explicit(&ping->v, v, memory_order_release);
		if (await(s, pong, number) != v) {
			r->error = "pong out of order";
			return;
		}
		histogram_add(&h, now() - start);
	}
	r->messages = h.count;
	r->p50 = histogram_percentile(&h, 50);
	r->p99 = histogram_percentile(&h, 99);
}

void pingpong_follow(const struct side *s, const struct command *c)
{
	struct shared *m = s->shared;

	(void)c;
	for (uint64_t number = 1, v = 0; !(v & LAST); number++) {
		v = await(s, &m->ping[pair(number)], number);
		atomic_store_explicit(&m->pong[pair(number)].v, v, memory_order_release);
	}
}
