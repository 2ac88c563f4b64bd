// A single-producer single-consumer ring of slots as one writes it for processes that trust each other: two indices, a
// private copy of the other side's, copy in, copy out. Messages have one length, agreed beforehand, so that nothing but
// payload and indices moves.
#include <stdlib.h>

#include "cref.h"

struct end {
	struct index *mine, *theirs; // the producer's is the tail, the consumer's the head
	unsigned char *slots;
	size_t size;
	uint64_t mask;
	uint64_t position; // ours, published up to shown
	uint64_t seen;     // theirs, when we last looked
	uint64_t shown;
	uint64_t batch; // publish once in so many messages
};

// Everything a message passes through is inlined, so that a ring's state stays in registers.
#define HOT static inline __attribute__((always_inline))

static struct end end_of(const struct side *s, const struct command *c, int ring, int producer)
{
	struct shared *m = s->shared;
	struct end e = {
		.mine = producer ? &m->tail[ring] : &m->head[ring],
		.theirs = producer ? &m->head[ring] : &m->tail[ring],
		.slots = m->slots + (size_t)ring * s->ring_room,
		.size = c->size,
		.mask = c->ring / c->size - 1,
		.batch = c->batch,
	};
	return e;
}

HOT void show(struct end *e)
{
	if (e->shown == e->position)
		return;
	e->shown = e->position;
	atomic_store_explicit(&e->mine->v, e->position, memory_order_release);
}

HOT unsigned char *slot(struct end *e) { return e->slots + (e->position & e->mask) * e->size; }

HOT void step(struct end *e)
{
	if (++e->position - e->shown >= e->batch)
		show(e);
}

HOT void look(struct end *e) { e->seen = atomic_load_explicit(&e->theirs->v, memory_order_acquire); }

HOT void put(struct end *e, const void *message)
{
	if (e->position - e->seen > e->mask) {
		look(e);
		if (e->position - e->seen > e->mask)
			show(e);
		while (e->position - e->seen > e->mask)
			look(e);
	}
	memcpy(slot(e), message, e->size);
	step(e);
}

HOT void take(struct end *e, void *message)
{
	if (e->position == e->seen) {
		look(e);
		if (e->position == e->seen)
			show(e);
		while (e->position == e->seen)
			look(e);
	}
	memcpy(message, slot(e), e->size);
	step(e);
}

static unsigned char *buffer(size_t size)
{
	size_t whole = (size + LINE - 1) / LINE * LINE;
	unsigned char *b = aligned_alloc(LINE, whole);
	if (b)
		memset(b, 0, whole);
	return b;
}

void roundtrip_lead(const struct side *s, const struct command *c, struct result *r)
{
	static struct histogram h;
	struct end out = end_of(s, c, 0, 1), in = end_of(s, c, 1, 0);
	unsigned char *message = buffer(c->size), *answer = buffer(c->size);
	uint64_t begin = now(), number = 0;

	histogram_clear(&h);
	for (int last = 0; !last; number++) {
		last = now() - begin >= c->nanoseconds;
		uint64_t v = last ? number | LAST : number;
		fill(message, c->size, v);
		uint64_t start = now();
		put(&out, message);
		show(&out);
		take(&in, answer);
		histogram_add(&h, now() - start);
		if (!intact(answer, c->size, v)) {
			r->error = "answer out of order or spoilt";
			break;
		}
	}
	r->messages = h.count;
	r->p50 = histogram_percentile(&h, 50);
	r->p99 = histogram_percentile(&h, 99);
	free(message);
	free(answer);
}

void roundtrip_follow(const struct side *s, const struct command *c)
{
	struct end in = end_of(s, c, 0, 0), out = end_of(s, c, 1, 1);
	unsigned char *message = buffer(c->size);

	for (uint64_t number = 0, v = 0; !(v & LAST); number++) {
		take(&in, message);
		v = number_of(message);
		if ((v & ~LAST) != number || !intact(message, c->size, v)) {
			strcpy(s->shared->report.error, "message out of order or spoilt");
			v |= LAST; // the lead sees it by the answer, which is spoilt
			memcpy(message, &v, sizeof v);
		}
		put(&out, message);
		show(&out);
	}
	free(message);
}

// block is how many messages are timed together: 0.05 to 1 ms' worth.
static uint64_t block(const struct command *c)
{
	uint64_t n = 300000 / (20 + c->size / 8);
	n -= n % c->batch;
	return n > c->batch ? n : c->batch;
}

void stream_lead(const struct side *s, const struct command *c, struct result *r)
{
	struct end out = end_of(s, c, 0, 1);
	unsigned char *message = buffer(c->size);
	uint64_t end = now() + c->nanoseconds, number = 0, n = block(c);

	(void)r;
	do {
		for (uint64_t i = 0; i < n; i++) {
			fill(message, c->size, number++);
			put(&out, message);
		}
	} while (now() < end);
	fill(message, c->size, number | LAST);
	put(&out, message);
	show(&out);
	free(message);
}

enum { max_blocks = 1 << 16 };

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

void stream_follow(const struct side *s, const struct command *c)
{
	static double blocks[max_blocks];
	struct end in = end_of(s, c, 0, 0);
	size_t count = 0;
	unsigned char *message = buffer(c->size);
	uint64_t n = block(c), number = 0, v = 0, start = now();

	for (;;) {
		for (uint64_t i = 0; i < n; i++) {
			take(&in, message);
			v = number_of(message);
			if ((v & ~LAST) != number || !intact(message, c->size, v)) {
				snprintf(s->shared->report.error, sizeof s->shared->report.error,
					"message %llu out of order or spoilt", (unsigned long long)number);
				_Exit(1);
			}
			if (v & LAST)
				goto done;
			number++;
		}
		uint64_t stop = now();
		if (count < max_blocks)
			blocks[count++] = (double)(stop - start) / (double)n;
		start = stop;
	}
done:
	show(&in);
	// The first block has the start in it.
	if (count > 1) {
		qsort(blocks + 1, count - 1, sizeof *blocks, by_value);
		s->shared->report.p50 = blocks[1 + (count - 1) / 2];
		s->shared->report.p99 = blocks[1 + (count - 1) * 99 / 100];
	} else if (count == 1) {
		s->shared->report.p50 = s->shared->report.p99 = blocks[0];
	}
	s->shared->report.messages = number;
	free(message);
}
