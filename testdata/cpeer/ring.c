#include "ring.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// Both regions.
enum {
	LINE = 128,
	MAGIC_AT = 0,
	VERSION_AT = 8,
	KIND_AT = 12,
	SLOTS_AT = 16,
	SLOT_BYTES_AT = 24,
	START_AT = 32,
	TENURE_AT = 40,
	POSITION_AT = 128, // the consumer's
	PARKS_AT = 256,
	SLEEPING_AT = 264,
	DOORBELL_AT = 384,
	CLOSED_AT = 512,
	SHARED_POSITION_AT = 640 + 7 * 8, // among the producer's statistics
	DESCRIPTORS_AT = 896, // the producer's, in a ring with one producer
	CONSUMER_BYTES = 896,
};

#define MAGIC UINT64_C(0x676e697265726977)
#define VERSION 1
#define KIND_PRODUCER 1
#define KIND_CONSUMER 2

#define EMPTY 0
#define COMMITTED 2
#define SKIP 3
#define LAP_BITS 36

static _Atomic uint64_t *word64(const struct side *s, size_t at) { return (_Atomic uint64_t *)(s->own + at); }
static _Atomic uint32_t *word32(const struct side *s, size_t at) { return (_Atomic uint32_t *)(s->own + at); }

static const _Atomic uint64_t *peer64(const struct side *s, size_t at) { return (const _Atomic uint64_t *)(s->peer + at); }
static const _Atomic uint32_t *peer32(const struct side *s, size_t at) { return (const _Atomic uint32_t *)(s->peer + at); }

static uint64_t whole_lines(uint64_t n) { return (n + LINE - 1) / LINE * LINE; }

static size_t slots_at(const struct agreement *a) { return DESCRIPTORS_AT + whole_lines(a->slots * 8); }

size_t ring_producer_bytes(const struct agreement *a) { return slots_at(a) + whole_lines(a->slots * a->slot_bytes); }

size_t ring_consumer_bytes(const struct agreement *a)
{
	(void)a;
	return CONSUMER_BYTES;
}

uint64_t ring_max_record(const struct agreement *a)
{
	uint64_t max = (UINT64_C(1) << 26) - 1;
	uint64_t half = a->slots / 2 * a->slot_bytes, claim = ((UINT64_C(1) << 18) - 1) * a->slot_bytes;
	if (half < max)
		max = half;
	return claim < max ? claim : max;
}

static uint64_t slots_of(const struct agreement *a, uint64_t length)
{
	return length == 0 ? 1 : (length + a->slot_bytes - 1) / a->slot_bytes;
}

static uint64_t slots_before_end(const struct agreement *a, uint64_t position) { return a->slots - position % a->slots; }

static uint64_t lap_of(const struct agreement *a, uint64_t position)
{
	return position / a->slots & ((UINT64_C(1) << LAP_BITS) - 1);
}

static uint64_t descriptor(const struct agreement *a, uint64_t position, uint64_t x, uint64_t state)
{
	return lap_of(a, position) << 28 | x << 2 | state;
}

// Sleeping and waking.

static void ring(struct side *s)
{
	atomic_fetch_add_explicit(word32(s, DOORBELL_AT), 1, memory_order_seq_cst);
	if (syscall(SYS_futex, s->own + DOORBELL_AT, FUTEX_WAKE, 1, NULL, NULL, 0) < 0)
		die("wake: %s", strerror(errno));
	s->rings++;
}

// Has the other side announced a sleep that we have not answered? To be called after everything that it may sleep for
// has been stored.
static void answer(struct side *s)
{
	if (!s->a.parks)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	uint64_t parks = atomic_load_explicit(peer64(s, PARKS_AT), memory_order_acquire);
	if (parks == s->rung)
		return;
	ring(s);
	s->rung = parks;
}

// The first two steps of a sleep; then comes a look, and sleep or wake_up.
static uint32_t announce(struct side *s)
{
	uint32_t bell = atomic_load_explicit(peer32(s, DOORBELL_AT), memory_order_acquire);
	atomic_store_explicit(word32(s, SLEEPING_AT), 1, memory_order_relaxed);
	atomic_fetch_add_explicit(word64(s, PARKS_AT), 1, memory_order_seq_cst);
	atomic_thread_fence(memory_order_seq_cst);
	s->parks++;
	return bell;
}

static void wake_up(struct side *s) { atomic_store_explicit(word32(s, SLEEPING_AT), 0, memory_order_relaxed); }

static void sleep_while(struct side *s, uint32_t bell)
{
	if (syscall(SYS_futex, s->peer + DOORBELL_AT, FUTEX_WAIT, bell, NULL, NULL, 0) < 0 && errno != EAGAIN && errno != EINTR)
		die("sleep: %s", strerror(errno));
	wake_up(s);
}

static void attach(struct side *s, const struct agreement *a, uint32_t kind, void *own, const void *peer)
{
	*s = (struct side){.a = *a, .own = own, .peer = peer};
	atomic_store_explicit(word32(s, VERSION_AT), VERSION, memory_order_relaxed);
	atomic_store_explicit(word32(s, KIND_AT), kind, memory_order_relaxed);
	atomic_store_explicit(word64(s, SLOTS_AT), a->slots, memory_order_relaxed);
	atomic_store_explicit(word64(s, SLOT_BYTES_AT), a->slot_bytes, memory_order_relaxed);
	atomic_store_explicit(word64(s, START_AT), a->start, memory_order_relaxed);
	atomic_fetch_add_explicit(word64(s, TENURE_AT), 1, memory_order_relaxed);
	atomic_store_explicit(word64(s, MAGIC_AT), MAGIC, memory_order_release);
}

// The last step of attaching: the other side may sleep for what our memory says since a moment ago.
static void ring_once(struct side *s)
{
	s->rung = atomic_load_explicit(peer64(s, PARKS_AT), memory_order_acquire) - 1;
	ring(s);
}

// The producer.

void producer_attach(struct producer *p, const struct agreement *a, void *own, const void *peer)
{
	*p = (struct producer){.position = a->start, .consumer = a->start, .published = a->start};
	attach(&p->s, a, KIND_PRODUCER, own, peer);
	p->free_to = a->start + a->slots;
	p->slots = p->s.own + slots_at(a);
	p->descriptors = word64(&p->s, DESCRIPTORS_AT);
	ring_once(&p->s);
}

static bool consumer_gone(struct producer *p)
{
	return atomic_load_explicit(peer64(&p->s, CLOSED_AT), memory_order_acquire) != 0;
}

static bool has_space(struct producer *p, uint64_t slots)
{
	if (p->free_to - p->position >= slots)
		return true;
	uint64_t c = atomic_load_explicit(peer64(&p->s, POSITION_AT), memory_order_acquire);
	// Between what it said last and what it can have seen, modulo 2^64.
	if (c - p->consumer > p->published - p->consumer)
		die("the consumer's position went from %ju to %ju, with the last record before %ju", (uintmax_t)p->consumer,
			(uintmax_t)c, (uintmax_t)p->published);
	p->consumer = c;
	p->free_to = c + p->s.a.slots;
	return p->free_to - p->position >= slots;
}

// How many slots a record takes at our position, with the padding before it and what Close may need behind it.
static uint64_t slots_wanted(const struct producer *p, uint64_t length, uint64_t *padding)
{
	uint64_t left = slots_before_end(&p->s.a, p->position), slots = slots_of(&p->s.a, length);
	*padding = slots > left ? left : 0;
	return *padding + slots + (p->position + *padding + slots == UINT64_MAX);
}

// The first descriptor of a batch is held back and the others are stored: the consumer cannot look past the first.
static void describe(struct producer *p, uint64_t at, uint64_t x, uint64_t state)
{
	uint64_t d = descriptor(&p->s.a, at, x, state);
	if (at != p->published) {
		atomic_store_explicit(&p->descriptors[at % p->s.a.slots], d, memory_order_relaxed);
		return;
	}
	p->first_at = at;
	p->first = d;
}

enum outcome producer_put(struct producer *p, const void *bytes, uint64_t length)
{
	if (length > ring_max_record(&p->s.a))
		die("a record of %ju bytes", (uintmax_t)length);
	uint64_t padding, wanted = slots_wanted(p, length, &padding);
	if (!has_space(p, wanted))
		return consumer_gone(p) ? RING_GONE : RING_NOT_YET;
	uint64_t at = p->position + padding;
	memcpy(p->slots + at % p->s.a.slots * p->s.a.slot_bytes, bytes, length);
	describe(p, at, length, COMMITTED);
	if (padding != 0)
		describe(p, p->position, padding, SKIP);
	p->position = at + slots_of(&p->s.a, length);
	return RING_OK;
}

void producer_publish(struct producer *p)
{
	if (p->first != 0) {
		atomic_store_explicit(&p->descriptors[p->first_at % p->s.a.slots], p->first, memory_order_release);
		p->first = 0;
		p->published = p->position;
		atomic_store_explicit(word64(&p->s, SHARED_POSITION_AT), p->position, memory_order_relaxed);
	}
	answer(&p->s);
}

void producer_wait(struct producer *p, uint64_t length)
{
	producer_publish(p); // or both would wait
	if (!p->s.a.parks) {
		sched_yield();
		return;
	}
	uint64_t padding, wanted = slots_wanted(p, length, &padding);
	uint32_t bell = announce(&p->s);
	if (has_space(p, wanted) || consumer_gone(p)) {
		wake_up(&p->s);
		return;
	}
	answer(&p->s);
	sleep_while(&p->s, bell);
}

void producer_close(struct producer *p)
{
	producer_publish(p);
	if (p->position == UINT64_MAX) { // whose closed word would be 0
		describe(p, p->position, 1, SKIP);
		p->position++;
		producer_publish(p);
	}
	atomic_store_explicit(word64(&p->s, CLOSED_AT), p->position + 1, memory_order_release);
	ring(&p->s);
}

// The consumer.

void consumer_attach(struct consumer *c, const struct agreement *a, void *own, const void *peer)
{
	*c = (struct consumer){.position = a->start, .published = a->start};
	attach(&c->s, a, KIND_CONSUMER, own, peer);
	c->slots = c->s.peer + slots_at(a);
	c->descriptors = peer64(&c->s, DESCRIPTORS_AT);
	atomic_store_explicit(word64(&c->s, POSITION_AT), c->position, memory_order_release);
	ring_once(&c->s);
}

static void give_back(struct consumer *c)
{
	if (c->published != c->position) {
		atomic_store_explicit(word64(&c->s, POSITION_AT), c->position, memory_order_release);
		c->published = c->position;
	}
	answer(&c->s);
}

// Looks at the descriptor at our position, and behind a padding at the one there.
static bool look(struct consumer *c, struct record *r)
{
	const struct agreement *a = &c->s.a;
	for (;;) {
		uint64_t d = atomic_load_explicit(&c->descriptors[c->position % a->slots], memory_order_acquire);
		uint64_t state = d & 3, x = d >> 2 & ((1 << 26) - 1), left = slots_before_end(a, c->position);
		if (state == EMPTY || d >> 28 != lap_of(a, c->position))
			return false;
		if (state == COMMITTED && x <= ring_max_record(a) && slots_of(a, x) <= left) {
			*r = (struct record){c->slots + c->position % a->slots * a->slot_bytes, x, slots_of(a, x)};
			return true;
		}
		if (state != SKIP || x != left || left == a->slots)
			die("descriptor %#jx at position %ju", (uintmax_t)d, (uintmax_t)c->position);
		c->position += x;
	}
}

enum outcome consumer_take(struct consumer *c, struct record *r)
{
	if (look(c, r))
		return RING_OK;
	give_back(c); // or both would wait
	uint64_t closed = atomic_load_explicit(peer64(&c->s, CLOSED_AT), memory_order_acquire);
	if (closed == 0)
		return RING_NOT_YET;
	if (look(c, r)) // it came before the word
		return RING_OK;
	if (closed - 1 != c->position)
		die("closed at %ju, and nothing at %ju", (uintmax_t)(closed - 1), (uintmax_t)c->position);
	return RING_END;
}

void consumer_release(struct consumer *c, const struct record *r)
{
	c->position += r->slots;
	if (c->position - c->published >= (c->s.a.slots < 8 ? 1 : c->s.a.slots / 8))
		give_back(c);
}

void consumer_wait(struct consumer *c)
{
	if (!c->s.a.parks) {
		sched_yield();
		return;
	}
	struct record r;
	uint32_t bell = announce(&c->s);
	uint64_t before = c->position;
	bool found = look(c, &r) || c->position != before || atomic_load_explicit(peer64(&c->s, CLOSED_AT), memory_order_acquire) != 0;
	if (found) {
		wake_up(&c->s);
		return;
	}
	sleep_while(&c->s, bell);
}

void consumer_close(struct consumer *c)
{
	atomic_store_explicit(word64(&c->s, POSITION_AT), c->position, memory_order_release);
	atomic_store_explicit(word64(&c->s, CLOSED_AT), 1, memory_order_release);
	ring(&c->s);
}
