/* precise.c - comparisons with long double references, for the tests of accuracy. */
#include "tests/ops/precise.h"

ebb_tape *t;
static double epsilon;

void setup(void)
{
	t = ebb_tape_new();
}

void teardown(void)
{
	assert_healthy(t);
	ebb_tape_free(t);
}

void use_type(int i)
{
	ebb_set_default_dtype(t, i ? EBB_F64 : EBB_F32);
	epsilon = i ? 0x1p-53 : 0x1p-24;
}

double held(double v)
{
	return epsilon == 0x1p-53 ? v : (double)(float)v;
}

ebb_tensor *row(int64_t n, const double *values)
{
	return ebb_from_f64(t, EBB_SHAPE(1, n), values);
}

ebb_tensor *label(int64_t k)
{
	return ebb_from_i64(t, EBB_SHAPE(1), &k);
}

/* The error is relative down to the smallest normal number, because subnormal numbers have fewer
 * digits. */
void expect_at(const char *what, int k, double got, long double want, double tolerance)
{
	long double least = epsilon == 0x1p-53 ? 0x1p-1022L : 0x1p-126L;
	bool same = got == (double)want || (isnan(got) && isnan((double)want)) ||
	            fabsl(got - want) <= tolerance * epsilon * (fabsl(want) + least);

	ck_assert_msg(same, "%s, element %d: %.9g instead of %.9Lg", what, k, got, want);
}

void derivatives(const char *what, ebb_tensor *y, ebb_tensor *x, const double *direction,
	const long double *g_want, const long double *h_want, double tolerance)
{
	ebb_tensor *g[2], *h = NULL, *d = ebb_from_f64(t, ebb_shape_of(x), direction);

	for (int recorded = 0; recorded < 2; recorded++)
		ck_assert_msg(
			ebb_grad(t, ebb_sum(t, y), 1, &x, &g[recorded], .create_graph = recorded),
			"%s: %s", what, ebb_error_message(t));
	if (h_want)
		ck_assert_msg(ebb_grad(t, ebb_sum(t, ebb_mul(t, g[1], d)), 1, &x, &h), "%s: %s",
			what, ebb_error_message(t));
	for (int k = 0; k < ebb_count(x); k++) {
		char name[100];

		snprintf(name, sizeof name, "gradient of %s", what);
		expect_at(name, k, ebb_at(g[0], k), g_want[k], tolerance);
		snprintf(name, sizeof name, "recorded gradient of %s", what);
		expect_at(name, k, ebb_at(g[1], k), g_want[k], tolerance);
		snprintf(name, sizeof name, "second derivative of %s", what);
		if (h_want)
			expect_at(name, k, ebb_at(h, k), h_want[k], tolerance);
	}
}

distribution distribution_of(int n, const double *x)
{
	distribution d = {.n = n};
	long double e[MOST], total = 1, others = 0;
	int most = 0;

	for (int k = 0; k < n; k++)
		most = x[k] > x[most] ? k : most;
	for (int k = 0; k < n; k++) {
		e[k] = expl((long double)x[k] - x[most]);
		others += k == most ? 0 : e[k];
	}
	total += others;
	for (int k = 0; k < n; k++) {
		d.p[k] = e[k] / total;
		d.log[k] = (long double)x[k] - x[most] - log1pl(others);
		for (int i = 0; i < n; i++)
			d.rest[k] += i == k ? 0 : e[i] / total;
	}
	return d;
}

const char *const loss_names[] = {"cross_entropy", "cross_entropy of weights",
	"cross_entropy of soft targets", "cross_entropy of soft targets and weights",
	"nll_loss of log_softmax", "kl_div of log_softmax"};

ebb_tensor *loss_of(int kind, ebb_tensor *x, int k)
{
	int64_t n = ebb_size(x, 1);
	double onehot[MOST] = {0};
	ebb_tensor *target, *ones = ebb_ones(t, EBB_SHAPE(n));

	onehot[k] = 1;
	target = row(n, onehot);
	switch (kind) {
	case LABEL:
		return ebb_cross_entropy(t, x, label(k));
	case WEIGHT:
		return ebb_cross_entropy(t, x, label(k), .weight = ones);
	case SOFT:
		return ebb_cross_entropy(t, x, target);
	case SOFT_WEIGHT:
		return ebb_cross_entropy(t, x, target, .weight = ones);
	case NLL:
		return ebb_nll_loss(t, ebb_log_softmax(t, x, 1), label(k));
	default:
		return ebb_kl_div(t, ebb_log_softmax(t, x, 1), target, .reduction = EBB_SUM_ALL);
	}
}
