#include "cref.h"

enum { bins = 1 << 16, coarse_ns = 256 };

void histogram_clear(struct histogram *h) { memset(h, 0, sizeof *h); }

void histogram_add(struct histogram *h, uint64_t ns)
{
	h->count++;
	if (ns < bins)
		h->fine[ns]++;
	else
		h->coarse[ns / coarse_ns < bins ? ns / coarse_ns : bins - 1]++;
}

double histogram_percentile(const struct histogram *h, double p)
{
	uint64_t want = (uint64_t)((double)h->count * p / 100), seen = 0;

	for (int i = 0; i < bins; i++)
		if ((seen += h->fine[i]) > want)
			return i;
	for (int i = 0; i < bins; i++)
		if ((seen += h->coarse[i]) > want)
			return (double)i * coarse_ns;
	return 0;
}
