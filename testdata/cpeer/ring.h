// One end of a single-producer, single-consumer ring of package ring, in C11, written from the documented layout: the
// section "For a peer in another language" of ring's package documentation, and the drawings of the layout there.
#ifndef CPEER_RING_H
#define CPEER_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What both sides have agreed on beforehand.
struct agreement {
	uint64_t slots, slot_bytes; // N and S
	uint64_t start;             // the position of the first slot
	bool parks;                 // both sides may sleep, on the futex of the other's doorbell; otherwise both spin
};

size_t ring_producer_bytes(const struct agreement *a);
size_t ring_consumer_bytes(const struct agreement *a);
uint64_t ring_max_record(const struct agreement *a);

// The words that both regions have at the same places: how one side sleeps and wakes.
struct side {
	struct agreement a;
	unsigned char *own;        // the region that we write
	const unsigned char *peer; // and the one that we only read
	uint64_t rung;             // the last of the other side's announcements that we have answered
	uint64_t parks, rings;     // how often we slept and rang
};

struct producer {
	struct side s;
	unsigned char *slots;
	_Atomic uint64_t *descriptors;
	uint64_t position; // behind the batch in hand
	uint64_t free_to;  // what the consumer has given back, as far as we know, plus N
	uint64_t consumer; // its position when we last looked
	uint64_t first_at, first; // the batch in hand: its first descriptor, held back; 0 = none
	uint64_t published;       // behind the last record that the consumer can see
};

struct consumer {
	struct side s;
	const unsigned char *slots;
	const _Atomic uint64_t *descriptors;
	uint64_t position;
	uint64_t published; // what the other side knows of it
};

enum outcome { RING_OK, RING_NOT_YET, RING_END, RING_GONE };

// A view of a record, valid until ring_release.
struct record {
	const unsigned char *bytes;
	uint64_t length, slots;
};

void producer_attach(struct producer *p, const struct agreement *a, void *own, const void *peer);
// Puts a copy of a record behind the batch in hand, RING_NOT_YET if there is no space, RING_GONE if nobody reads.
enum outcome producer_put(struct producer *p, const void *bytes, uint64_t length);
// Shows the consumer the batch in hand, and wakes it.
void producer_publish(struct producer *p);
// Waits until there may be space for a record of so many bytes or the consumer is gone.
void producer_wait(struct producer *p, uint64_t length);
void producer_close(struct producer *p);

void consumer_attach(struct consumer *c, const struct agreement *a, void *own, const void *peer);
// The next record, RING_NOT_YET, or RING_END when the producer has closed and all has been taken.
enum outcome consumer_take(struct consumer *c, struct record *r);
void consumer_release(struct consumer *c, const struct record *r);
// Waits until there may be a record or the end.
void consumer_wait(struct consumer *c);
void consumer_close(struct consumer *c);

// Says what is impossible and ends the process. For ring.c and main.c.
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
