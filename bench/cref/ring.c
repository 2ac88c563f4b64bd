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

HOT struct end end_of(const struct side *s, const struct command *c, int ring, int producer, size_t size)
{
	struct shared *m = s->shared;
	struct end e = {
		.mine = producer ? &m->tail[ring] : &m->head[ring],
		.theirs = producer ? &m->head[ring] : &m->tail[ring],
		.slots = memory(s, ring),
		.size = size,
		.mask = c->ring / size - 1,
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

HOT void await_space(struct end *e)
{
	if (e->position - e->seen <= e->mask)
		return;
	look(e);
	if (e->position - e->seen > e->mask)
		show(e);
	while (e->position - e->seen > e->mask)
		look(e);
}

HOT void await_message(struct end *e)
{
	if (e->position != e->seen)
		return;
	look(e);
	if (e->position == e->seen)
		show(e);
	while (e->position == e->seen)
		look(e);
}

HOT void put(struct end *e, const void *message)
{
	await_space(e);
	memcpy(slot(e), message, e->size);
	step(e);
}

HOT void take(struct end *e, void *message)
{
	await_message(e);
	memcpy(message, slot(e), e->size);
	step(e);
}

HOT void ask(const struct side *s, const struct command *c, struct result *r, size_t size)
{
	static struct histogram h;
	struct end out = end_of(s, c, 0, 1, size), in = end_of(s, c, 1, 0, size);
	unsigned char *message = buffer(size), *answer = buffer(size);
	uint64_t begin = now(), number = 0;

	histogram_clear(&h);
	for (int last = 0; !last; number++) {
		last = now() - begin >= c->nanoseconds;
		uint64_t v = last ? number | LAST : number;
		fill(message, size, v);
		uint64_t start = now();
		put(&out, message);
		show(&out);
		take(&in, answer);
		histogram_add(&h, now() - start);
		if (!intact(answer, size, v)) {
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

void roundtrip_lead(const struct side *s, const struct command *c, struct result *r)
{
	BY_SIZE(ask, c, s, c, r)
}

HOT void reply(const struct side *s, const struct command *c, size_t size)
{
	struct end in = end_of(s, c, 0, 0, size), out = end_of(s, c, 1, 1, size);
	unsigned char *message = buffer(size);

	for (uint64_t number = 0, v = 0; !(v & LAST); number++) {
		take(&in, message);
		v = number_of(message);
		if ((v & ~LAST) != number || !intact(message, size, v)) {
			strcpy(s->shared->report.error, "message out of order or spoilt");
			v |= LAST; // the lead sees it by the answer, which is spoilt
			memcpy(message, &v, sizeof v);
		}
		put(&out, message);
		show(&out);
	}
	free(message);
}

void roundtrip_follow(const struct side *s, const struct command *c)
{
	BY_SIZE(reply, c, s, c)
}

HOT void produce(const struct side *s, const struct command *c, size_t size)
{
	struct end out = end_of(s, c, 0, 1, size);
	unsigned char *message = buffer(size);
	uint64_t number = 0, n = block_size(c);

	do {
		for (uint64_t i = 0; i < n; i++) {
			fill(message, size, number++);
			put(&out, message);
		}
	} while (now() < c->deadline);
	fill(message, size, number | LAST);
	put(&out, message);
	show(&out);
	free(message);
}

void stream_lead(const struct side *s, const struct command *c, struct result *r)
{
	(void)r;
	BY_SIZE(produce, c, s, c)
}

HOT void consume(const struct side *s, const struct command *c, size_t size)
{
	struct end in = end_of(s, c, 0, 0, size);
	struct blocks blocks;
	unsigned char *message = buffer(size);
	uint64_t number = 0;

	for (blocks_begin(&blocks, c);; blocks_count(&blocks)) {
		take(&in, message);
		uint64_t v = number_of(message);
		if ((v & ~LAST) != number || !intact(message, size, v))
			spoilt(s, number);
		if (v & LAST)
			break;
		number++;
	}
	show(&in);
	blocks_report(&blocks, &s->shared->report, number);
	free(message);
}

void stream_follow(const struct side *s, const struct command *c)
{
	BY_SIZE(consume, c, s, c)
}

// In place: the producer writes the message where it lies in the ring, and the consumer adds it up there.
void inplace_lead(const struct side *s, const struct command *c, struct result *r)
{
	struct end out = end_of(s, c, 0, 1, c->size);
	uint64_t number = 0, n = block_size(c);

	(void)r;
	do {
		for (uint64_t i = 0; i < n; i++) {
			await_space(&out);
			fill(slot(&out), c->size, number++);
			step(&out);
		}
	} while (now() < c->deadline);
	await_space(&out);
	fill(slot(&out), c->size, number | LAST);
	step(&out);
	show(&out);
}

void inplace_follow(const struct side *s, const struct command *c)
{
	struct end in = end_of(s, c, 0, 0, c->size);
	struct blocks blocks;
	uint64_t number = 0;

	for (blocks_begin(&blocks, c);; blocks_count(&blocks)) {
		await_message(&in);
		uint64_t v = number_of(slot(&in));
		if ((v & ~LAST) != number || sum(slot(&in), c->size) != expected_sum(c->size, v))
			spoilt(s, number);
		step(&in);
		if (v & LAST)
			break;
		number++;
	}
	show(&in);
	blocks_report(&blocks, &s->shared->report, number);
}
