/* histogram.c - counts of a tensor's elements by sign and binary exponent. */
#include "flow/instrument/measure.h"
#include "kernels/float_state.h"

#include <string.h>

/* A double's sign and exponent are its upper 12 bits.  One count for each of their values, which
 * are added to the bins at the end, one for zeros and one for NaNs. */
enum { EXPONENTS = 2048, EXPONENT_BIAS = 1023, ZERO = 2 * EXPONENTS, NOT_A_NUMBER, COUNTS };

#define TALLY(real)                                                                                \
	static void tally_##real(int64_t n, const real *x, int64_t *count)                         \
	{                                                                                          \
		for (int64_t i = 0; i < n; i++) {                                                  \
			double v = (double)x[i];                                                   \
			uint64_t bits, key;                                                        \
                                                                                                   \
			memcpy(&bits, &v, sizeof bits);                                            \
			key = bits >> 52;                                                          \
			key = bits << 1 == 0 ? ZERO : key;                                         \
			key = bits << 1 > (uint64_t)(EXPONENTS - 1) << 53 ? NOT_A_NUMBER : key;    \
			count[key]++;                                                              \
		}                                                                                  \
	}
TALLY(float)
TALLY(double)

static void add_bins(const int64_t *count, int64_t *bin, int64_t *infinite)
{
	for (int e = 0; e < EXPONENTS - 1; e++) {
		int k = e - EXPONENT_BIAS + EBB_FLOW_BIAS;

		bin[k < 0 ? 0 : k >= EBB_FLOW_BINS ? EBB_FLOW_BINS - 1 : k] += count[e];
	}
	*infinite += count[EXPONENTS - 1];
}

bool ebb_flow_histogram_add(const ebb_tensor *x, int64_t most, ebb_flow_histogram *h)
{
	int64_t count[COUNTS] = {0};
	union flow_piece buffer;
	struct flow_reader r[2];
	struct flow_blocks b;
	ebb_float_state own;

	if (!ebb_flow_readers(x, NULL, r))
		return false;
	own = ebb_float_enter(false);
	b = ebb_flow_blocks(ebb_count(x), 1, most);
	while (ebb_flow_next(&b)) {
		const void *v = ebb_flow_read(r, b.from, b.n, &buffer);

		if (r->size == sizeof(double))
			tally_double(b.n, v, count);
		else
			tally_float(b.n, v, count);
	}
	ebb_float_leave(own);
	add_bins(count, h->bin[1], &h->infinite[1]);
	add_bins(count + EXPONENTS, h->bin[0], &h->infinite[0]);
	h->zeros += count[ZERO];
	h->nan += count[NOT_A_NUMBER];
	return true;
}
