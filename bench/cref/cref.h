// The reference that shmwire is measured against: what two processes that spin can do in C on this machine.
#ifndef CREF_H
#define CREF_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

// As in shmwire: words that different processes write stand two cache lines apart.
#define LINE 128
// The last message of a slice has this bit in its number.
#define LAST ((uint64_t)1 << 63)

#define MAX_PRODUCERS 8

// Lines of the ping-pong, and round trips on each before the next.
#define PAIRS 64
#define ROUNDS_ON_A_PAIR 32

// What the processes share. The words of the ping-pong and of the rings each stand alone.
struct index { _Alignas(LINE) _Atomic uint64_t v; };

struct report {
	uint64_t messages;
	double p50, p99; // ns
	char error[128];
};

struct shared {
	struct index ping[PAIRS], pong[PAIRS];
	struct index head[2], tail[2]; // of the rings: 0 to the peer, 1 back
	_Alignas(LINE) struct report report; // the peer's, read after it has said that it is done
	_Alignas(LINE) unsigned char rings[];
};

// What is to be done, as the Go program writes it.
struct command {
	char name[16]; // see main.c
	int fixed;     // use code that was compiled for messages of this size
	size_t size;   // bytes of a message, a multiple of 8
	size_t ring;   // bytes of messages that a ring takes
	uint64_t batch;
	uint64_t nanoseconds;
	uint64_t deadline; // of the producers of a stream: now() at the beginning + nanoseconds
};

struct side {
	struct shared *shared;
	size_t ring_room; // bytes of messages that each ring takes at most
	int yields;       // both processes are on one processor
	unsigned producers; // of a ring with many: the lead and its helpers, all on the lead's processor
	unsigned number;    // of this producer; the lead is 0
};

// memory returns where ring 0 or 1 lies. There is room for as many bytes again as the messages have, for what a ring
// keeps beside them.
static inline unsigned char *memory(const struct side *s, int ring) { return s->shared->rings + (size_t)ring * 2 * s->ring_room; }

static inline uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// Everything a message passes through is inlined, so that a ring's state stays in registers.
#define HOT static inline __attribute__((always_inline))

// A message begins with its number, and each chunk of it is a window of a pattern, whose place depends on the number and
// on the chunk's place: as in the Go rows.
#define CHUNK 4096

extern unsigned char pattern[2 * CHUNK];
void make_pattern(void);

static inline const unsigned char *window(uint64_t number, uint64_t k) { return pattern + (number + k) * 8 % CHUNK; }

static inline uint64_t number_of(const unsigned char *message)
{
	uint64_t v;
	memcpy(&v, message, sizeof v);
	return v;
}

HOT void fill(unsigned char *message, size_t size, uint64_t number)
{
	for (size_t at = 0, k = 0; at < size; at += CHUNK, k++)
		memcpy(message + at, window(number, k), size - at < CHUNK ? size - at : CHUNK);
	memcpy(message, &number, sizeof number);
}

// sum adds up the 64-bit words of bytes, a multiple of 8 of them.
static inline uint64_t sum(const unsigned char *bytes, size_t size)
{
	uint64_t s[8] = {0}, v[8];
	size_t at = 0;
	for (; at + sizeof v <= size; at += sizeof v) {
		memcpy(v, bytes + at, sizeof v);
		for (int i = 0; i < 8; i++)
			s[i] += v[i];
	}
	for (; at < size; at += sizeof *v) {
		memcpy(v, bytes + at, sizeof *v);
		s[0] += *v;
	}
	return s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
}

// expected_sum is the sum of message number.
uint64_t expected_sum(size_t size, uint64_t number);

// intact reads every byte and reports whether it is message number.
HOT int intact(const unsigned char *message, size_t size, uint64_t number)
{
	size_t first = size < CHUNK ? size : CHUNK;
	if (number_of(message) != number || memcmp(message + 8, window(number, 0) + 8, first - 8) != 0)
		return 0;
	for (size_t at = first, k = 1; at < size; at += CHUNK, k++)
		if (memcmp(message + at, window(number, k), size - at < CHUNK ? size - at : CHUNK) != 0)
			return 0;
	return 1;
}

// Samples by value: exact to the nanosecond up to 65 us, to 256 ns up to 16 ms.
struct histogram {
	uint32_t fine[1 << 16], coarse[1 << 16];
	uint64_t count;
};

void histogram_clear(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t ns);
double histogram_percentile(const struct histogram *h, double p);

// What a stream's consumer times: blocks of messages, 0.05 to 1 ms each.
struct blocks {
	uint64_t size; // messages in a block
	uint64_t left; // of the running one
	uint64_t start;
	size_t count;
	double *ns; // per message
};

uint64_t block_size(const struct command *c);
void blocks_begin(struct blocks *b, const struct command *c);
void blocks_next(struct blocks *b);
void blocks_report(struct blocks *b, struct report *r, uint64_t messages);

static inline void blocks_count(struct blocks *b)
{
	if (--b->left == 0)
		blocks_next(b);
}

// BY_SIZE calls f, whose last argument is the size of a message, for a command. Code that was compiled for one size has no
// calls for copying and comparing, which are most of the work with short messages; with longer ones it gains nothing. A
// ring of messages whose lengths are known only when they come cannot have it.
#define BY_SIZE(f, c, ...) \
	switch ((c)->fixed ? (c)->size : 0) { \
	case 8: f(__VA_ARGS__, 8); break; \
	case 64: f(__VA_ARGS__, 64); break; \
	default: f(__VA_ARGS__, (c)->size); \
	}

static inline int has_fixed(size_t size) { return size == 8 || size == 64; }

unsigned char *buffer(size_t size);
// spoilt ends this process, the consumer, and has the lead say which message was not what it should be.
_Noreturn void spoilt(const struct side *s, uint64_t number);

// Both sides of each: lead drives and fills in messages, p50 and p99; follow answers and uses shared->report; help is
// one more producer.
struct result { uint64_t messages; double p50, p99; const char *error; };

typedef void lead_function(const struct side *, const struct command *, struct result *);
typedef void follow_function(const struct side *, const struct command *);

void slots_clear(const struct side *, const struct command *); // by the lead, before anybody begins

lead_function pingpong_lead, roundtrip_lead, slottrip_lead, stream_lead, inplace_lead, mpsc_lead;
follow_function pingpong_follow, roundtrip_follow, slottrip_follow, stream_follow, inplace_follow, mpsc_follow, mpsc_help;

#endif
