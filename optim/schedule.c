/*
 * schedule.c - learning-rate schedules: multipliers of the base rate as pure functions of the
 * step.
 */
#include <math.h>

#include "optim/optim.h"

static const double PI = 3.14159265358979323846;

static double at_least(double x, double low)
{
	return x < low ? low : x;
}

/* From a to b along half a cosine as q goes from 0 to 1. */
static double half_cosine(double a, double b, double q)
{
	return b + (a - b) * (1 + cos(PI * q)) / 2;
}

double ebb_schedule_step(int64_t step, int64_t every, double gamma)
{
	int64_t length = every < 1 ? 1 : every;

	return pow(gamma, (double)(step < 0 ? 0 : step / length));
}

double ebb_schedule_cosine(int64_t step, int64_t steps, double last)
{
	double q = at_least((double)step, 0) / at_least((double)steps, 1);

	return q >= 1 ? last : half_cosine(1, last, q);
}

double ebb_schedule_warmup(int64_t step, int64_t steps)
{
	double q = (at_least((double)step, 0) + 1) / at_least((double)steps, 1);

	return q < 1 ? q : 1;
}

double ebb_schedule_one_cycle(
	int64_t step, int64_t steps, double warm, double start_div, double end_div)
{
	double first = 1 / (start_div == 0 ? 25 : start_div),
	       last = first / (end_div == 0 ? 1e4 : end_div);
	double s = at_least((double)step, 0), end = at_least((double)steps, 1) - 1;
	double top = (warm == 0 ? 0.3 : warm) * (end + 1) - 1;

	if (s >= end)
		return last;
	if (s < top)
		return half_cosine(first, 1, s / top);
	/* If warming up takes less than one step, its top lies before step 0. */
	return half_cosine(1, last, (s - top) / (end - top));
}
