/* axis.c - where the ticks of an axis lie: at 1-2-5 steps, or at decades. */
#include "flow/internal.h"

#include <math.h>

/* The smallest of 1, 2, 5 times a power of ten that is at least x > 0. */
static double round_step(double x)
{
	double power = pow(10, floor(log10(x))), m = x / power;

	return power * (m <= 1.0000001 ? 1 : m <= 2.0000001 ? 2 : m <= 5.0000001 ? 5 : 10);
}

/* A tick at the end of a fixed axis, unless one is near it or it would need more decimals. */
static void add_end(ebb_axis *a, double end, double step, int nearest)
{
	double scaled = end * pow(10, a->decimals);
	bool near = a->n > 0 && fabs(end - a->tick[nearest < 0 ? 0 : nearest]) < 0.6 * step;

	if (!near && fabs(scaled - rint(scaled)) < 1e-6 && a->n < EBB_MAX_TICKS)
		a->tick[a->n++] = end;
}

static void fit_linear(ebb_axis *a, double lo, double hi, bool fixed, int want)
{
	if (!isfinite(hi - lo)) {
		lo = 0;
		hi = 1;
	} else if (!(hi > lo)) {
		double half = lo != 0 ? fabs(lo) / 2 : 0.5;
		lo -= half;
		hi = lo + 2 * half;
	}
	double step = round_step((hi - lo) / want);
	a->lo = fixed ? lo : floor(lo / step + 1e-9) * step;
	a->hi = fixed ? hi : ceil(hi / step - 1e-9) * step;
	double first = ceil(a->lo / step - 1e-9);
	for (int i = 0; i < EBB_MAX_TICKS; i++) {
		double v = (first + i) * step;
		if (v > a->hi + 1e-9 * step)
			break;
		a->tick[a->n++] = v == 0 ? 0 : v; /* no negative zero */
	}
	a->decimals = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
	add_end(a, a->lo, step, 0);
	add_end(a, a->hi, step, a->n - 1);
}

static void fit_log(ebb_axis *a, double lo, double hi, bool fixed, int want)
{
	if (!(lo > 0) || !isfinite(hi) || !(hi >= lo)) {
		lo = 0.1;
		hi = 1;
	}
	int low = (int)floor(log10(lo) + 1e-9), high = (int)ceil(log10(hi) - 1e-9);
	if (high <= low)
		high = low + 1;
	int every = 1;
	static const int steps[] = {1, 2, 3, 5, 10, 20, 50, 100};
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		every = steps[i];
		if ((high - low) / every <= want)
			break;
	}
	/* Labelled decades are multiples of the step, so that 10^0 is among them. */
	if (!fixed) {
		low = (int)floor((double)low / every) * every;
		high = (int)ceil((double)high / every) * every;
	}
	a->lo = fixed ? lo : pow(10, low);
	a->hi = fixed ? hi : pow(10, high);
	int first = (int)ceil((double)low / every) * every;
	for (int e = first; e <= high && a->n < EBB_MAX_TICKS; e += every) {
		double v = pow(10, e);
		if (v >= a->lo * 0.999999 && v <= a->hi * 1.000001)
			a->tick[a->n++] = v;
	}
	for (int e = low; e < high && a->minor_n + 9 < 10 * EBB_MAX_TICKS; e++)
		for (int m = every == 1 ? 2 : 10; m <= (every == 1 ? 9 : 10); m++) {
			double v = m * pow(10, e);
			if (v > a->lo && v < a->hi)
				a->minor[a->minor_n++] = v;
		}
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

double ebb_axis_place(const ebb_axis *a, double v)
{
	if (a->log)
		return log(v / a->lo) / log(a->hi / a->lo);
	return (v - a->lo) / (a->hi - a->lo);
}

const char *ebb_axis_label(const ebb_axis *a, double v, char *buffer, size_t size)
{
	char number[340];

	if (a->log && a->powers) {
		int e = (int)lrint(log10(v));
		snprintf(buffer, size, "%s%d", e < 0 ? "−" : "", e < 0 ? -e : e);
		return buffer;
	}
	if (a->log) {
		ebb_number(number, sizeof number, "%.9g", v);
	} else if (fabs(v) >= 1e7 || (v != 0 && a->decimals > 6)) {
		ebb_number(number, sizeof number, "%.3g", v);
	} else {
		char format[16];
		snprintf(format, sizeof format, "%%.%df", a->decimals);
		ebb_number(number, sizeof number, format, fabs(v));
		if (v < 0) { /* the minus sign, not the hyphen */
			snprintf(buffer, size, "−%s", number);
			return buffer;
		}
	}
	snprintf(buffer, size, "%s", number);
	return buffer;
}
