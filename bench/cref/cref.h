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

// Lines of the ping-pong, and round trips on each before the next.
#define PAIRS 64
#define ROUNDS_ON_A_PAIR 32

// What the two processes share. The words of the ping-pong and of the rings each stand alone.
struct index { _Alignas(LINE) _Atomic uint64_t v; };

struct shared {
	struct index ping[PAIRS], pong[PAIRS];
	struct index head[2], tail[2]; // of the rings: 0 to the peer, 1 back
	struct {
		_Alignas(LINE) uint64_t messages;
		double p50, p99; // ns
		char error[128];
	} report; // the peer's, read after it has said that it is done
	_Alignas(LINE) unsigned char slots[];
};

// What is to be done, as the Go program writes it.
struct command {
	char name[16]; // pingpong, roundtrip, stream
	size_t size;   // bytes of a message, a multiple of 8
	size_t ring;   // bytes of a ring
	uint64_t batch;
	uint64_t nanoseconds;
};

struct side {
	struct shared *shared;
	size_t ring_room; // bytes of slots that each ring has at most
	int yields;       // both processes are on one processor
};

static inline uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

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

static inline void fill(unsigned char *message, size_t size, uint64_t number)
{
	for (size_t at = 0, k = 0; at < size; at += CHUNK, k++)
		memcpy(message + at, window(number, k), size - at < CHUNK ? size - at : CHUNK);
	memcpy(message, &number, sizeof number);
}

// intact reads every byte and reports whether it is message number.
static inline int intact(const unsigned char *message, size_t size, uint64_t number)
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

// Both sides of each: lead drives and fills in messages, p50 and p99; follow answers and uses shared->report.
struct result { uint64_t messages; double p50, p99; const char *error; };

void pingpong_lead(const struct side *, const struct command *, struct result *);
void pingpong_follow(const struct side *, const struct command *);
void roundtrip_lead(const struct side *, const struct command *, struct result *);
void roundtrip_follow(const struct side *, const struct command *);
void stream_lead(const struct side *, const struct command *, struct result *);
void stream_follow(const struct side *, const struct command *);

#endif
