/* axis.c - the positions of an axis's ticks: at steps of 1, 2 or 5 times a power of ten, or at
 * decades. */
#include "flow/internal.h"

#include <float.h>
#include <math.h>

/* The smallest of 1, 2, 5 times a power of ten that is at least x > 0. */
static double round_step(double x)
{
	double power = pow(10, floor(log10(x))), m = x / power;

	return power * (m <= 1.0000001 ? 1 : m <= 2.0000001 ? 2 : m <= 5.0000001 ? 5 : 10);
}

/* Adds a tick at the end of a fixed axis, unless a tick is near it or its label needs more
 * decimals. */
static void add_end(ebb_axis *a, double end, double step, int nearest)
{
	double scaled = end * pow(10, a->decimals);
	bool near = a->n > 0 && fabs(end - a->tick[nearest < 0 ? 0 : nearest]) < 0.6 * step;

	if (!near && fabs(scaled - rint(scaled)) < 1e-6 && a->n < EBB_MAX_TICKS)
		a->tick[a->n++] = end;
}

/* Widens or replaces [*lo,*hi] so that ticks can divide it: finite, not empty, and wide enough for
 * different doubles. */
static void settle(double *lo, double *hi)
{
	const double least = 1e8 * DBL_MIN;

	if (!isfinite(*lo) || !isfinite(*hi)) {
		*lo = 0;
		*hi = 1;
	} else if (!(*hi - *lo >= least)) {
		double half = *lo != 0 ? fmax(fabs(*lo) / 2, least) : 0.5;
		*lo -= half;
		*hi = *lo + 2 * half;
	}
	*lo = fmax(*lo, -DBL_MAX);
	*hi = fmin(*hi, DBL_MAX);
}

static void fit_linear(ebb_axis *a, double lo, double hi, bool fixed, int want)
{
	settle(&lo, &hi);
	double step = round_step(hi / want - lo / want);
	a->lo = fixed ? lo : fmax(floor(lo / step + 1e-9) * step, -DBL_MAX);
	a->hi = fixed ? hi : fmin(ceil(hi / step - 1e-9) * step, DBL_MAX);
	double first = ceil(a->lo / step - 1e-9);
	for (int i = 0; i < EBB_MAX_TICKS; i++) {
		double v = (first + i) * step;
		if (!isfinite(v) || v > a->hi + 1e-9 * step)
			break;
		a->tick[a->n++] = v == 0 ? 0 : v; /* no negative zero */
	}
	a->decimals = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
	add_end(a, a->lo, step, 0);
	add_end(a, a->hi, step, a->n - 1);
}

/* Decades between two labelled ticks, and between two minor ticks; minor 0: minor ticks divide a
 * decade. */
static const struct spacing {
	int ticks, minor;
} spacings[] = {{1, 0}, {2, 1}, {3, 1}, {5, 1}, {10, 2}, {20, 5}, {50, 10}, {100, 20}, {200, 50},
	{500, 100}};

static void add_minor(ebb_axis *a, double at)
{
	if (at > a->lo && at < a->hi && a->minor_n < 10 * EBB_MAX_TICKS)
		a->minor[a->minor_n++] = at;
}

static int round_down(int decade, int step)
{
	return (int)floor((double)decade / step) * step;
}

/* Computes with logarithms only, because the decades next to the smallest and the largest double
 * are not doubles. */
static void fit_log(ebb_axis *a, double lo, double hi, bool fixed, int want)
{
	const struct spacing *s = spacings,
			     *last = spacings + sizeof spacings / sizeof *spacings - 1;

	if (!(lo > 0) || !isfinite(hi) || !(hi >= lo)) {
		lo = 0.1;
		hi = 1;
	}
	lo = log10(lo);
	hi = log10(hi);
	int low = (int)floor(lo + 1e-9), high = (int)ceil(hi - 1e-9);
	if (high <= low)
		high = low + 1;
	while (s < last && (high - low) / s->ticks > want)
		s++;
	/* Labelled decades are multiples of the step, so that 10^0 is among them.  A long axis may
	 * end at a minor tick. */
	if (!fixed) {
		int to = s->ticks <= 10 ? s->ticks : s->minor;
		low = round_down(low, to);
		high = -round_down(-high, to);
	}
	a->lo = fixed ? lo : low;
	a->hi = fixed ? hi : high;
	for (int e = -round_down(-low, s->ticks); e <= high && a->n < EBB_MAX_TICKS; e += s->ticks)
		if (e >= a->lo - 1e-6 && e <= a->hi + 1e-6)
			a->tick[a->n++] = e;
	if (s->minor)
		for (int e = -round_down(-low, s->minor); e <= high; e += s->minor)
			add_minor(a, e);
	else
		for (int e = low; e < high; e++)
			for (int m = 2; m <= 9; m++)
				add_minor(a, e + log10(m));
	a->powers = low < -3 || high > 4;
}

void ebb_axis_fit(ebb_axis *a, bool log, double lo, double hi, bool fixed, int want)
{
	bool reversed = fixed && lo > hi;

	if (reversed) {
		double swap = lo;
		lo = hi;
		hi = swap;
	}
	*a = (ebb_axis){.log = log};
	want = want < 2 ? 2 : want > EBB_MAX_TICKS / 3 ? EBB_MAX_TICKS / 3 : want;
	if (log)
		fit_log(a, lo, hi, fixed, want);
	else
		fit_linear(a, lo, hi, fixed, want);
	if (reversed) {
		lo = a->lo;
		a->lo = a->hi;
		a->hi = lo;
	}
}

double ebb_axis_of(const ebb_axis *a, double v)
{
	return a->log ? log10(v) : v;
}

double ebb_axis_place(const ebb_axis *a, double at)
{
	/* Halved first, because hi - lo may overflow. */
	return (at / 2 - a->lo / 2) / (a->hi / 2 - a->lo / 2);
}

const char *ebb_axis_label(const ebb_axis *a, double at, char *buffer, size_t size)
{
	char number[340];

	if (a->log && a->powers) {
		int e = (int)lrint(at);
		snprintf(buffer, size, "%s%d", e < 0 ? "−" : "", e < 0 ? -e : e);
		return buffer;
	}
	if (a->log) {
		ebb_number(number, sizeof number, "%.9g", pow(10, at));
	} else if (fabs(at) >= 1e7 || a->decimals > 6) {
		ebb_number(number, sizeof number, "%.3g", at);
	} else {
		char format[16];
		snprintf(format, sizeof format, "%%.%df", a->decimals);
		ebb_number(number, sizeof number, format, fabs(at));
		if (at < 0) { /* the minus sign, not the hyphen */
			snprintf(buffer, size, "−%s", number);
			return buffer;
		}
	}
	snprintf(buffer, size, "%s", number);
	return buffer;
}
