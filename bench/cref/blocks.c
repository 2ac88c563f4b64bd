#include <stdlib.h>

#include "cref.h"

enum { max_blocks = 1 << 16 };

uint64_t block_size(const struct command *c)
{
	uint64_t n = 300000 / (20 + c->size / 8);
	n -= n % c->batch;
	return n > c->batch ? n : c->batch;
}

void blocks_begin(struct blocks *b, const struct command *c)
{
	static double ns[max_blocks];

	*b = (struct blocks){.size = block_size(c), .left = block_size(c), .ns = ns, .start = now()};
}

void blocks_next(struct blocks *b)
{
	uint64_t stop = now();
	if (b->count < max_blocks)
		b->ns[b->count++] = (double)(stop - b->start) / (double)b->size;
	b->start = stop;
	b->left = b->size;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

void blocks_report(struct blocks *b, struct report *r, uint64_t messages)
{
	double *ns = b->ns;
	size_t n = b->count;

	if (n > 1) { // the first block has the start in it
		ns++;
		n--;
	}
	r->messages = messages;
	if (n == 0)
		return;
	qsort(ns, n, sizeof *ns, by_value);
	r->p50 = ns[n / 2];
	r->p99 = ns[n * 99 / 100];
}
