#include <stdlib.h>

#include "cref.h"

enum { words = 2 * CHUNK / 8 };

unsigned char pattern[2 * CHUNK];
static uint64_t sums[words + 1]; // sums[i] is that of the pattern's first i words

void make_pattern(void)
{
	uint64_t v = 1;
	for (size_t i = 0; i < words; i++) {
		v = v * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		memcpy(pattern + i * sizeof v, &v, sizeof v);
		sums[i + 1] = sums[i] + v;
	}
}

uint64_t expected_sum(size_t size, uint64_t number)
{
	uint64_t s = number - number_of(window(number, 0)); // which the number has taken the place of
	for (size_t at = 0, k = 0; at < size; at += CHUNK, k++) {
		size_t from = (size_t)(window(number, k) - pattern) / 8, n = (size - at < CHUNK ? size - at : CHUNK) / 8;
		s += sums[from + n] - sums[from];
	}
	return s;
}

unsigned char *buffer(size_t size)
{
	size_t whole = (size + LINE - 1) / LINE * LINE;
	unsigned char *b = aligned_alloc(LINE, whole);
	if (!b)
		abort();
	memset(b, 0, whole);
	return b;
}

void spoilt(const struct side *s, uint64_t number)
{
	snprintf(s->shared->report.error, sizeof s->shared->report.error, "message %llu out of order or spoilt",
		(unsigned long long)(number & ~LAST));
	_Exit(1);
}
