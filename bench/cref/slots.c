// A ring whose slots say themselves when they are ready, by a word of their own: what one writes for many producers that
// trust each other, who claim slots by compare-and-swap on a shared tail. A producer that dies between its claim and its
// message stops this ring for ever. With one producer, who needs no claim, it is the ring of the quickest answer: the
// message and the news of it travel in one line, or at once in two, and not one after the other.
#include <sched.h>
#include <stdlib.h>

#include "cref.h"

enum { cpu_line = 64 };

struct slots {
	struct index *tail; // the next slot to claim; written by: the producers
	struct index *head; // what the consumer has taken; written by: the consumer
	unsigned char *readies, *messages;
	size_t ready_stride, message_stride, size;
	uint64_t mask;
	uint64_t position; // of this consumer, or of this producer if it is alone
	uint64_t seen;     // the consumer's, when this producer last looked
	uint64_t shown;    // ours
	int yields;        // producers share a processor
};

// Ready words lie beside the messages, or all together, whichever is quicker: for an answer together unless both fit one
// line, for a stream of many producers beside unless the messages are long.
static int together(const struct command *c)
{
	if (strcmp(c->name, "slottrip") == 0)
		return c->size + sizeof(uint64_t) > cpu_line;
	return c->size > 4 * cpu_line;
}

// A message and its word take whole lines or a fraction of one, so that producers who fill neighbours stay out of each
// other's way. That is never more than two messages.
HOT size_t beside(size_t size)
{
	size_t whole = sizeof(uint64_t) + size, small = 16;
	if (whole > cpu_line)
		return (whole + cpu_line - 1) / cpu_line * cpu_line;
	while (small < whole)
		small *= 2;
	return small;
}

HOT struct slots slots_of(const struct side *s, const struct command *c, int ring, size_t size)
{
	struct slots q = {
		.tail = &s->shared->tail[ring],
		.head = &s->shared->head[ring],
		.readies = memory(s, ring),
		.size = size,
		.mask = c->ring / size - 1,
		.yields = s->producers > 1,
	};
	if (together(c)) {
		q.ready_stride = sizeof(uint64_t);
		q.message_stride = size;
		q.messages = q.readies + c->ring; // a message is no shorter than its word
	} else {
		q.ready_stride = q.message_stride = beside(size);
		q.messages = q.readies + sizeof(uint64_t);
	}
	return q;
}

// ready is position + 1 of the message, once that is whole.
HOT _Atomic uint64_t *ready(struct slots *q, uint64_t at)
{
	return (_Atomic uint64_t *)(q->readies + (at & q->mask) * q->ready_stride);
}

HOT unsigned char *message_at(struct slots *q, uint64_t at) { return q->messages + (at & q->mask) * q->message_stride; }

void slots_clear(const struct side *s, const struct command *c)
{
	for (int ring = 0; ring < 2; ring++) {
		struct slots q = slots_of(s, c, ring, c->size);
		for (uint64_t at = 0; at <= q.mask; at++)
			*ready(&q, at) = 0;
	}
}

HOT int room(struct slots *q, uint64_t at, uint64_t n)
{
	if (at + n - q->seen <= q->mask + 1)
		return 1;
	q->seen = atomic_load_explicit(&q->head->v, memory_order_acquire);
	return at + n - q->seen <= q->mask + 1;
}

// claim takes the next n slots for this producer alone and returns the first.
HOT uint64_t claim(struct slots *q, uint64_t n)
{
	uint64_t at = atomic_load_explicit(&q->tail->v, memory_order_relaxed);
	for (;;) {
		if (!room(q, at, n)) {
			if (q->yields)
				sched_yield();
			at = atomic_load_explicit(&q->tail->v, memory_order_relaxed);
		} else if (atomic_compare_exchange_weak_explicit(&q->tail->v, &at, at + n, memory_order_relaxed,
				   memory_order_relaxed)) {
			return at;
		}
	}
}

HOT void put(struct slots *q, uint64_t at, const void *message)
{
	memcpy(message_at(q, at), message, q->size);
	atomic_store_explicit(ready(q, at), at + 1, memory_order_release);
}

HOT int is_ready(struct slots *q)
{
	return atomic_load_explicit(ready(q, q->position), memory_order_acquire) == q->position + 1;
}

HOT void show(struct slots *q)
{
	q->shown = q->position;
	atomic_store_explicit(&q->head->v, q->position, memory_order_release);
}

// await waits for the next message. If that is a single line, it is asked for before its word, so that both come at once.
HOT void await(struct slots *q)
{
	int ahead = q->size <= cpu_line && q->messages - q->readies > cpu_line;

	if (is_ready(q))
		return;
	show(q);
	do
		if (ahead)
			__builtin_prefetch(message_at(q, q->position));
	while (!is_ready(q));
}

// take copies the next message out and gives its slot back. The producers hear of it once in an eighth of the ring, and
// whenever there is nothing more.
HOT void take(struct slots *q, void *message)
{
	await(q);
	memcpy(message, message_at(q, q->position), q->size);
	if (++q->position - q->shown > q->mask / 8)
		show(q);
}

// send is put by a producer that is alone.
HOT void send(struct slots *q, const void *message)
{
	while (!room(q, q->position, 1))
		;
	put(q, q->position++, message);
}

HOT void ask(const struct side *s, const struct command *c, struct result *r, size_t size)
{
	static struct histogram h;
	struct slots out = slots_of(s, c, 0, size), in = slots_of(s, c, 1, size);
	unsigned char *message = buffer(size), *answer = buffer(size);
	uint64_t begin = now(), number = 0;

	histogram_clear(&h);
	for (int last = 0; !last; number++) {
		last = now() - begin >= c->nanoseconds;
		uint64_t v = last ? number | LAST : number;
		fill(message, size, v);
		uint64_t start = now();
		send(&out, message);
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

void slottrip_lead(const struct side *s, const struct command *c, struct result *r)
{
	BY_SIZE(ask, c, s, c, r)
}

HOT void reply(const struct side *s, const struct command *c, size_t size)
{
	struct slots in = slots_of(s, c, 0, size), out = slots_of(s, c, 1, size);
	unsigned char *message = buffer(size);

	for (uint64_t number = 0, v = 0; !(v & LAST); number++) {
		take(&in, message);
		v = number_of(message);
		if ((v & ~LAST) != number || !intact(message, size, v))
			spoilt(s, number);
		send(&out, message);
	}
	free(message);
}

void slottrip_follow(const struct side *s, const struct command *c)
{
	BY_SIZE(reply, c, s, c)
}

// Producers number their messages p, p + step, p + 2·step …; step is a power of two.
static uint64_t step_of(const struct side *s)
{
	uint64_t step = 1;
	while (step < s->producers)
		step *= 2;
	return step;
}

HOT void produce(const struct side *s, const struct command *c, size_t size)
{
	struct slots q = slots_of(s, c, 0, size);
	unsigned char *message = buffer(size);
	uint64_t number = s->number, step = step_of(s), n = block_size(c);

	do {
		for (uint64_t i = 0; i < n; i += c->batch) {
			uint64_t at = claim(&q, c->batch);
			for (uint64_t j = 0; j < c->batch; j++, number += step) {
				fill(message, size, number);
				put(&q, at + j, message);
			}
		}
	} while (now() < c->deadline);
	fill(message, size, number | LAST);
	put(&q, claim(&q, 1), message);
	free(message);
}

void mpsc_lead(const struct side *s, const struct command *c, struct result *r)
{
	(void)r;
	BY_SIZE(produce, c, s, c)
}

void mpsc_help(const struct side *s, const struct command *c)
{
	BY_SIZE(produce, c, s, c)
}

HOT void consume(const struct side *s, const struct command *c, size_t size)
{
	struct slots q = slots_of(s, c, 0, size);
	struct blocks blocks;
	unsigned char *message = buffer(size);
	uint64_t step = step_of(s), messages = 0, next[MAX_PRODUCERS];

	for (unsigned p = 0; p < MAX_PRODUCERS; p++)
		next[p] = p;
	blocks_begin(&blocks, c);
	for (unsigned open = s->producers; open > 0; blocks_count(&blocks)) {
		take(&q, message);
		uint64_t v = number_of(message), *expected = &next[v & (step - 1)];
		if ((v & ~LAST) != *expected || !intact(message, size, v))
			spoilt(s, *expected);
		*expected += step;
		if (v & LAST)
			open--;
		else
			messages++;
	}
	show(&q);
	blocks_report(&blocks, &s->shared->report, messages);
	free(message);
}

void mpsc_follow(const struct side *s, const struct command *c)
{
	BY_SIZE(consume, c, s, c)
}
