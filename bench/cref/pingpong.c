// Two cache lines, each written by one process: the least that any round trip through memory costs.
#include <sched.h>

#include "cref.h"

static uint64_t await(const struct side *s, struct index *line, uint64_t old)
{
	uint64_t v;
	while ((v = atomic_load_explicit(&line->v, memory_order_acquire)) == old)
		if (s->yields)
			sched_yield();
	return v;
}

void pingpong_lead(const struct side *s, const struct command *c, struct result *r)
{
	static struct histogram h;
	struct shared *m = s->shared;
	uint64_t number = 1, end = now() + c->nanoseconds;

	histogram_clear(&h);
	for (int last = 0; !last; number++) {
		uint64_t start = now();
		last = start >= end;
		uint64_t v = last ? number | LAST : number;
		atomic_store_explicit(&m->ping.v, v, memory_order_release);
		if (await(s, &m->pong, number - 1) != v) {
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
	uint64_t v = 0;

	(void)c;
	while (!(v & LAST)) {
		v = await(s, &m->ping, v);
		atomic_store_explicit(&m->pong.v, v, memory_order_release);
	}
}
