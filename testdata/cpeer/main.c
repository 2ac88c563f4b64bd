// The peer of cpeer_linux_test.go: exchanges records with Go, in both directions at the same time, over two rings.
//
//	cpeer GO_SEGMENT C_SEGMENT SLOTS SLOT_BYTES START RECORDS LONGEST spin|park
//
// GO_SEGMENT is what Go writes and C_SEGMENT what we write. Each holds the producer region of the ring out and then the
// consumer region of the ring in, as seen by whoever writes it.
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ring.h"
#include "segment.h"

struct job {
	struct agreement a;
	uint64_t records, longest;
	unsigned char *own;        // C_SEGMENT
	const unsigned char *peer; // GO_SEGMENT
	size_t producer_at, consumer_at; // in either
};

// How a thread fared.
struct report {
	struct job *job;
	uint64_t records, bytes, parks, rings;
};

void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("cpeer: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

// Message i of a stream, as in cpeer_linux_test.go: its length and its bytes follow from its number, which they begin
// with if there is room.
#define OURS UINT64_C(0xc)
#define THEIRS UINT64_C(0x60)

static uint64_t mixed(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t message(unsigned char *to, uint64_t stream, uint64_t i, uint64_t longest)
{
	uint64_t seed = mixed(stream << 56 ^ i), length;
	switch (seed & 15) {
	case 0: length = 0; break;
	case 1: length = longest; break;
	case 2: length = (seed >> 4) % (longest + 1); break;
	default: length = (seed >> 4) % ((longest < 96 ? longest : 96) + 1);
	}
	for (uint64_t at = 0; at < length; at += 8) {
		uint64_t word = at == 0 ? i : mixed(seed + at);
		memcpy(to + at, &word, length - at < 8 ? length - at : 8);
	}
	return length;
}

// Sends records, in batches of 1 to 8.
static void *send_all(void *arg)
{
	struct report *report = arg;
	struct job *job = report->job;
	struct producer p;
	producer_attach(&p, &job->a, job->own + job->producer_at, job->peer + job->consumer_at);
	unsigned char *bytes = malloc(job->longest + 8);
	for (uint64_t i = 0; i < job->records; i++) {
		uint64_t length = message(bytes, OURS, i, job->longest);
		enum outcome o;
		while ((o = producer_put(&p, bytes, length)) == RING_NOT_YET)
			producer_wait(&p, length);
		if (o != RING_OK)
			die("the consumer was gone before record %ju", (uintmax_t)i);
		if (mixed(i) % 4 == 0)
			producer_publish(&p);
		report->bytes += length;
	}
	report->records = job->records;
	producer_close(&p);
	report->parks = p.s.parks;
	report->rings = p.s.rings;
	free(bytes);
	return NULL;
}

static void *receive_all(void *arg)
{
	struct report *report = arg;
	struct job *job = report->job;
	struct consumer c;
	consumer_attach(&c, &job->a, job->own + job->consumer_at, job->peer + job->producer_at);
	puts("attached");
	unsigned char *want = malloc(job->longest + 8);
	for (;;) {
		struct record r;
		enum outcome o = consumer_take(&c, &r);
		if (o == RING_END)
			break;
		if (o == RING_NOT_YET) {
			consumer_wait(&c);
			continue;
		}
		uint64_t length = message(want, THEIRS, report->records, job->longest);
		if (report->records == job->records || r.length != length || memcmp(r.bytes, want, length) != 0)
			die("record %ju at %ju: %ju bytes, want %ju, or not those", (uintmax_t)report->records, (uintmax_t)c.position,
				(uintmax_t)r.length, (uintmax_t)length);
		if (++report->records % 16384 == 0)
			puts("received"); // so that nobody takes us for hung
		report->bytes += length;
		consumer_release(&c, &r);
	}
	consumer_close(&c);
	report->parks = c.s.parks;
	report->rings = c.s.rings;
	free(want);
	return NULL;
}

// Ends the process with the lifeline: the standard input, whose other end the test holds.
static void *hold_lifeline(void *arg)
{
	char byte;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	(void)arg;
	_exit(99);
}

static pthread_t started(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, run, arg) != 0)
		die("no thread");
	return thread;
}

int main(int argc, char **argv)
{
	if (argc != 9)
		die("%d arguments", argc - 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	started(hold_lifeline, NULL);
	struct job job = {
		.a = {
			.slots = strtoull(argv[3], NULL, 10),
			.slot_bytes = strtoull(argv[4], NULL, 10),
			.start = strtoull(argv[5], NULL, 10),
			.parks = strcmp(argv[8], "park") == 0,
		},
		.records = strtoull(argv[6], NULL, 10),
		.longest = strtoull(argv[7], NULL, 10),
	};
	size_t sizes[2] = {ring_producer_bytes(&job.a), ring_consumer_bytes(&job.a)}, offsets[2];
	job.peer = segment_open(argv[1], false, sizes, offsets);
	job.own = segment_open(argv[2], true, sizes, offsets);
	job.producer_at = offsets[0];
	job.consumer_at = offsets[1];
	struct report sent = {.job = &job}, received = {.job = &job};
	pthread_t sender = started(send_all, &sent), receiver = started(receive_all, &received);
	pthread_join(sender, NULL);
	pthread_join(receiver, NULL);
	printf("sent %ju records, %ju bytes; received %ju records, %ju bytes\n", (uintmax_t)sent.records, (uintmax_t)sent.bytes,
		(uintmax_t)received.records, (uintmax_t)received.bytes);
	printf("parks %ju %ju rings %ju %ju\n", (uintmax_t)sent.parks, (uintmax_t)received.parks, (uintmax_t)sent.rings,
		(uintmax_t)received.rings);
	return 0;
}
