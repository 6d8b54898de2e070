/* losses.c - normalisation, softmax, losses, dropout. */
#include "tests/ops/ops_test.h"

/* ---- softmax, log_softmax ----------------------------------------------------------- */

CALL(softmax, ebb_softmax(t, x[0], v))
CALL(log_softmax, ebb_log_softmax(t, x[0], v))

static void normalised(const array *x, int v, bool logarithm, array *y)
{
	int axis = (v + x->shape.ndim) % x->shape.ndim;
	int64_t at[EBB_MAX_DIMS] = {0};

	*y = array_new(x->shape);
	if (!y->count)
		return;
	do {
		int64_t other[EBB_MAX_DIMS];
		double sum = 0, own = x->v[flat_index(&x->shape, at)];

		memcpy(other, at, sizeof other);
		for (other[axis] = 0; other[axis] < x->shape.dims[axis]; other[axis]++)
			sum += exp(x->v[flat_index(&x->shape, other)]);
		y->v[flat_index(&x->shape, at)] = logarithm ? own - log(sum) : exp(own) / sum;
	} while (next_position(&x->shape, at));
}

static void plain_softmax(const array *x, int n, int v, array *y)
{
	(void)n;
	normalised(x, v, false, y);
}

static void plain_log_softmax(const array *x, int n, int v, array *y)
{
	(void)n;
	normalised(x, v, true, y);
}

static void large_logits(void)
{
	const double x[] = {1e4, 1e4, -1e4};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *logits = ebb_from_f64(t, EBB_SHAPE(3), x);

	ck_assert_double_eq_tol(ebb_at(ebb_softmax(t, logits, 0), 0), 0.5, 1e-6);
	ck_assert_double_eq(ebb_at(ebb_softmax(t, logits, 0), 2), 0);
	ck_assert_double_eq_tol(ebb_at(ebb_log_softmax(t, logits, 0), 1), -log(2), 1e-6);
	ck_assert_double_eq_tol(ebb_at(ebb_log_softmax(t, logits, 0), 2), -2e4 - log(2), 1e-2);
	assert_healthy(t);
	ebb_tape_free(t);
}

/* ---- cross_entropy ------------------------------------------------------------------ */

static const double CLASS_WEIGHTS[] = {0.5, 2, 1.5, 0.25, 1};

typedef struct entropy_case {
	bool weighted;
	double smoothing, ignore; /* ignore: the option */
	int64_t ignored;          /* its value */
	ebb_reduction reduction;
} entropy_case;

static const entropy_case ENTROPIES[] = {
	{false, 0, 0, -100, EBB_MEAN},
	{false, 0, 0, -100, EBB_SUM_ALL},
	{false, 0, 0, -100, EBB_NONE},
	{true, 0, 0, -100, EBB_MEAN},
	{false, 0.2, 0, -100, EBB_MEAN},
	{true, 0.2, 1, 1, EBB_MEAN},
	{false, 0, 2, 2, EBB_MEAN},
	{false, 0, EBB_ZERO, 0, EBB_NONE},
	{true, 0.1, 0, -100, EBB_NONE},
	{true, 0.3, EBB_ZERO, 0, EBB_SUM_ALL},
	{false, 1.5, 0, -100, EBB_MEAN},
	{false, 0, 0, -100, (ebb_reduction)7},
};

static ebb_tensor *class_weights(ebb_tape *t, const ebb_tensor *x, int v)
{
	if (!ENTROPIES[v].weighted)
		return NULL;
	return ebb_from_f64(t, EBB_SHAPE(ebb_size(x, 1)), CLASS_WEIGHTS);
}

CALL(cross_entropy,
	ebb_cross_entropy(t, x[0], x[1], class_weights(t, x[0], v),
		.label_smoothing = ENTROPIES[v].smoothing, .ignore_index = ENTROPIES[v].ignore,
		.reduction = ENTROPIES[v].reduction))

/* PyTorch's definition: -sum w*q*log softmax, with q the targets' distribution after smoothing.
 * The mean divides by the sum of the labels' weights, or by the number of rows for soft targets. */
static void plain_cross_entropy(const array *x, int n, int v, array *y)
{
	const entropy_case *k = &ENTROPIES[v];
	const array *target = &x[1];
	ebb_shape shape = {0, {0}};
	int64_t classes = x->shape.dims[1], at[EBB_MAX_DIMS] = {0}, row = 0;
	double sum = 0, weights = 0;
	array logs, rows;

	(void)n;
	normalised(x, 1, true, &logs);
	for (int d = 0; d < x->shape.ndim; d++) {
		if (d != 1)
			shape.dims[shape.ndim++] = x->shape.dims[d];
	}
	rows = array_new(shape);
	for (; row < rows.count; row++) {
		int64_t from[EBB_MAX_DIMS] = {at[0]}, label;
		double loss = 0;

		memcpy(from + 2, at + 1, (EBB_MAX_DIMS - 2) * sizeof *from);
		label = target->dtype == EBB_I64 ? (int64_t)target->v[row] : -1;
		for (int64_t c = 0; c < classes; c++) {
			int64_t i;
			double q;

			from[1] = c;
			i = flat_index(&x->shape, from);
			q = target->dtype == EBB_I64 ? c == label : target->v[i];
			q = q * (1 - k->smoothing) + k->smoothing / (double)classes;
			loss -= q * logs.v[i] * (k->weighted ? CLASS_WEIGHTS[c] : 1);
		}
		if (target->dtype == EBB_I64 && label == k->ignored)
			loss = 0;
		else
			weights +=
				k->weighted && target->dtype == EBB_I64 ? CLASS_WEIGHTS[label] : 1;
		rows.v[row] = loss;
		sum += loss;
		next_position(&shape, at);
	}
	*y = rows;
	if (k->reduction == EBB_NONE)
		return;
	*y = array_new(EBB_SCALAR_SHAPE);
	y->v[0] = k->reduction == EBB_MEAN ? sum / weights : sum;
}

static void entropy_conventions(void)
{
	const double logits[] = {1, 2, 3, -1, 0, 1};
	const int64_t labels[] = {-100, 2}, none[] = {-100, -100}, beyond[] = {0, 3};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x, *g, *y, *w;

	ebb_set_default_dtype(t, EBB_F64);
	x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(2, 3), logits));
	y = ebb_cross_entropy(t, x, ebb_from_i64(t, EBB_SHAPE(2), labels));
	ck_assert_double_eq_tol(ebb_item(y), log(exp(-2) + exp(-1) + 1), 1e-12);
	ck_assert(ebb_grad(t, y, 1, &x, &g));
	for (int i = 0; i < 3; i++)
		ck_assert_double_eq(ebb_at(g, i), 0);
	/* If all labels are ignored, the mean is NaN and the sum 0. */
	y = ebb_cross_entropy(t, x, ebb_from_i64(t, EBB_SHAPE(2), none));
	ck_assert(isnan(ebb_item(y)));
	y = ebb_cross_entropy(t, x, ebb_from_i64(t, EBB_SHAPE(2), none), .reduction = EBB_SUM_ALL);
	ck_assert_double_eq(ebb_item(y), 0);
	assert_healthy(t);
	assert_refused(t, EBB_INVALID,
		ebb_cross_entropy(t, x, ebb_from_i64(t, EBB_SHAPE(2), beyond)),
		"losses.c:", "cross_entropy", "label[1] is 3", "3 classes");
	w = ebb_variable(t, ebb_ones(t, EBB_SHAPE(3)));
	assert_refused(t, EBB_INVALID,
		ebb_cross_entropy(t, x, ebb_from_i64(t, EBB_SHAPE(2), labels), w), "weight",
		"not differentiated");
	assert_refused(t, EBB_BAD_SHAPE,
		ebb_cross_entropy(
			t, x, ebb_from_i64(t, EBB_SHAPE(2), labels), ebb_ones(t, EBB_SHAPE(4))),
		"weight");
	/* A single sample without a batch axis. */
	x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(3), logits));
	w = ebb_from_f64(t, EBB_SHAPE(3), (double[]){1, 3, 2});
	y = ebb_cross_entropy(
		t, x, ebb_from_i64(t, EBB_SCALAR_SHAPE, &labels[1]), w, .reduction = EBB_NONE);
	ck_assert_int_eq(ebb_ndim(y), 0);
	ck_assert_double_eq_tol(ebb_item(y), 2 * log(exp(-2) + exp(-1) + 1), 1e-12);
	y = ebb_cross_entropy(t, x, ebb_softmax(t, ebb_detach(t, x), 0));
	ck_assert(ebb_grad(t, y, 1, &x, &g) && ebb_ndim(g) == 1);
	for (int i = 0; i < 3; i++)
		ck_assert_double_eq_tol(ebb_at(g, i), 0, 1e-12);
	y = ebb_nll_loss(
		t, x, ebb_from_i64(t, EBB_SCALAR_SHAPE, &labels[1]), w, .reduction = EBB_SUM_ALL);
	ck_assert_double_eq(ebb_item(y), -6);
	ebb_tape_free(t);
}

/* ---- mse_loss, bce_with_logits ------------------------------------------------------ */

CALL(mse_loss, ebb_mse_loss(t, x[0], x[1], .reduction = (ebb_reduction)v))
CALL(bce_with_logits, ebb_bce_with_logits(t, x[0], x[1], .reduction = (ebb_reduction)v))

static double squared(double a, double b)
{
	return (a - b) * (a - b);
}

static double binary_entropy(double x, double target)
{
	double p = 1 / (1 + exp(-x));

	return -target * log(p) - (1 - target) * log(1 - p);
}

static void plain_loss(const array *x, int v, double (*f)(double, double), array *y)
{
	double sum = 0;
	array each = array_new(x->shape);

	for (int64_t i = 0; i < each.count; i++)
		sum += each.v[i] = f(x[0].v[i], x[1].v[i]);
	*y = v == EBB_NONE ? each : array_new(EBB_SCALAR_SHAPE);
	if (v != EBB_NONE)
		y->v[0] = v == EBB_MEAN ? sum / (double)each.count : sum;
}

static void plain_mse_loss(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_loss(x, v, squared, y);
}

static void plain_bce_with_logits(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_loss(x, v, binary_entropy, y);
}

static void extreme_logits(void)
{
	const double x[] = {1000, -1000, 1000, -1000}, target[] = {1, 0, 0, 1};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *y = ebb_bce_with_logits(t, ebb_from_f64(t, EBB_SHAPE(4), x),
		ebb_from_f64(t, EBB_SHAPE(4), target), .reduction = EBB_NONE);

	for (int i = 0; i < 4; i++)
		ck_assert_double_eq(ebb_at(y, i), i < 2 ? 0 : 1000);
	assert_healthy(t);
	ebb_tape_free(t);
}

/* ---- batchnorm: variants 1 and 2 have running statistics ---------------------------- */

static const double MEANS[] = {0.5, -1, 0.25, 2, 0}, VARIANCES[] = {1, 0.5, 2, 0.75, 3};
static const double EPS[] = {0, 0, 0.1}; /* .eps; 0: the default */

static ebb_tensor *statistics(ebb_tape *t, const ebb_tensor *x, int v, const double *values)
{
	ebb_dtype dtype = ebb_dtype_of(x) == EBB_F32 ? EBB_F32 : EBB_F64;

	if (!v || ebb_is_training(t))
		return NULL;
	return ebb_cast(t, ebb_from_f64(t, EBB_SHAPE(ebb_size(x, 1)), values), dtype);
}

CALL(batchnorm, ebb_batchnorm(t, x[0], x[1], x[2], statistics(t, x[0], v, MEANS),
			statistics(t, x[0], v, VARIANCES), .eps = EPS[v]))

static void plain_batchnorm(const array *x, int n, int v, array *y)
{
	int64_t channels = x->shape.dims[1], inner = 1, rows;
	double eps = EPS[v] ? EPS[v] : 1e-5;

	(void)n;
	for (int d = 2; d < x->shape.ndim; d++)
		inner *= x->shape.dims[d];
	rows = channels ? x->count / channels : 0;
	*y = array_new(x->shape);
	for (int64_t c = 0; c < channels; c++) {
		double mean = 0, var = 0;

		for (int64_t i = 0; i < x->count; i++)
			mean += i / inner % channels == c ? x->v[i] / (double)rows : 0;
		for (int64_t i = 0; i < x->count; i++)
			var += i / inner % channels == c
			               ? (x->v[i] - mean) * (x->v[i] - mean) / (double)rows
			               : 0;
		if (v) {
			mean = MEANS[c];
			var = VARIANCES[c];
		}
		for (int64_t i = 0; i < x->count; i++) {
			if (i / inner % channels == c)
				y->v[i] = (x->v[i] - mean) / sqrt(var + eps) *
				                  (x[1].v ? x[1].v[c] : 1) +
				          (x[2].v ? x[2].v[c] : 0);
		}
	}
}

/* batchnorm_relu: the last input is the residual. */
CALL(batchnorm_relu, ebb_batchnorm_relu(t, x[0], x[1], x[2], statistics(t, x[0], v, MEANS),
			     statistics(t, x[0], v, VARIANCES), x[3], .eps = EPS[v]))

static void plain_batchnorm_relu(const array *x, int n, int v, array *y)
{
	plain_batchnorm(x, n, v, y);
	for (int64_t i = 0; i < y->count; i++) {
		double sum = y->v[i] + (x[3].v ? x[3].v[i] : 0);

		y->v[i] = sum < 0 ? 0 : sum;
	}
}

/* running = (1 - momentum)*running + momentum*(mean, unbiased variance), in training mode only. */
static void running_statistics(void)
{
	const ebb_shape shapes[] = {
		{2, {6, 3}}, {3, {2, 3, 4}}, {4, {2, 3, 2, 2}}, {5, {2, 3, 2, 1, 2}}};
	const double momenta[][2] = {{0, 0.1}, {0.3, 0.3}, {EBB_ZERO, 0}, {1, 1}};

	for (int k = 0; k < 16; k++) {
		ebb_dtype dtype = k % 2 ? EBB_F32 : EBB_F64;
		array x = array_random(shapes[k % 4], (uint64_t)k);
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *mean = ebb_tensor_new(dtype, EBB_SHAPE(3), false, NULL), *persistent,
			   *var = ebb_tensor_new(dtype, EBB_SHAPE(3), false, NULL), *in, *y, *g;
		double m = momenta[k / 4][1];
		int64_t rows = x.count / 3, inner = rows / x.shape.dims[0];

		ebb_set_default_dtype(t, dtype);
		in = place(
			t, &x, k % 8 >= 4 && x.shape.ndim > 2 ? CHANNELS_LAST : ROWS, &persistent);
		y = ebb_batchnorm(t, in, NULL, NULL, mean, var, .momentum = momenta[k / 4][0]);
		/* Gradients, also with create_graph, do not update the statistics. */
		ck_assert(ebb_grad(
			t, ebb_sum(t, ebb_square(t, y)), 1, &in, &g, .create_graph = true));
		ebb_set_training(t, false);
		ebb_batchnorm(t, in, NULL, NULL, mean, var);
		assert_healthy(t);
		for (int c = 0; c < 3; c++) {
			double sum = 0, squares = 0;

			for (int64_t i = 0; i < x.count; i++)
				sum += i / inner % 3 == c ? x.v[i] : 0;
			for (int64_t i = 0; i < x.count; i++)
				squares += i / inner % 3 == c ? pow(x.v[i] - sum / (double)rows, 2)
				                              : 0;
			ck_assert_double_eq_tol(ebb_at(mean, c), m * sum / (double)rows, 1e-6);
			ck_assert_double_eq_tol(
				ebb_at(var, c), m * squares / (double)(rows - 1), 1e-6);
		}
		ebb_tape_free(t);
		ebb_tensor_free(persistent);
		ebb_tensor_free(mean);
		ebb_tensor_free(var);
	}
}

/* ---- dropout: p = variant % 10 / 10 ------------------------------------------------- */

CALL(dropout, ebb_dropout(t, x[0], v / 10.0))

static void plain_dropout(const array *x, int n, int v, array *y)
{
	(void)n;
	(void)v;
	*y = *x;
}

/* y is 0 with probability p, else x/(1 - p).  The gradient has the same mask in any memory
 * order. */
static void dropout_masks(void)
{
	for (int k = 0; k < 6; k++) {
		double p = k % 2 ? 0.25 : 0.6, zeros = 0, sum = 0;
		ebb_tape *t = ebb_tape_new();
		array a = array_new(EBB_SHAPE(10, 20, 25, 4));
		ebb_tensor *x, *y, *g, *again, *persistent, *u;

		ebb_set_default_dtype(t, k < 3 ? EBB_F32 : EBB_F64);
		for (int64_t i = 0; i < a.count; i++)
			a.v[i] = 1 + (double)(i % 3);
		x = place(t, &a,
			(layout)(k % 3 == 1   ? CHANNELS_LAST
				 : k % 3 == 2 ? TRANSPOSED
					      : ROWS),
			&persistent);
		y = ebb_dropout(t, x, p);
		/* An incoming gradient in another memory order than y's. */
		u = ebb_transpose(t, ebb_ones(t, EBB_SHAPE(10, 4, 25, 20)), 1, 3);
		ck_assert(ebb_grad(t, y, 1, &x, &g, u));
		ck_assert(ebb_grad(t, y, 1, &x, &again, u, .create_graph = true));
		for (int64_t i = 0; i < a.count; i++) {
			double mask = ebb_at(y, i) / a.v[i];

			ck_assert(mask == 0 || fabs(mask - 1 / (1 - p)) < 1e-6);
			ck_assert_double_eq_tol(ebb_at(g, i), mask, 1e-6);
			ck_assert_double_eq(ebb_at(again, i), ebb_at(g, i));
			zeros += mask == 0;
			sum += mask;
		}
		/* Five standard deviations of a binomial. */
		ck_assert_double_eq_tol(
			zeros / (double)a.count, p, 5 * sqrt(p * (1 - p) / (double)a.count));
		ck_assert_double_eq_tol(
			sum / (double)a.count, 1, 5 * sqrt(p / (1 - p) / (double)a.count));
		/* The next call draws another mask; the same seed draws the same mask. */
		ck_assert(!all_same(y, ebb_dropout(t, x, p)));
		ebb_seed(t, 0);
		ck_assert(all_same(y, ebb_dropout(t, x, p)));
		assert_healthy(t);
		assert_refused(
			t, EBB_INVALID, ebb_dropout(t, x, 1.0), "losses.c:", "dropout", "p is 1");
		assert_refused(t, EBB_INVALID, ebb_dropout(t, x, -0.1), "dropout");
		assert_refused(t, EBB_INVALID, ebb_dropout(t, x, NAN), "dropout");
		ebb_tape_free(t);
		ebb_tensor_free(persistent);
	}
}

const entry loss_ops[] = {
	{.name = "softmax",
		.call = call_softmax,
		.reference = plain_softmax,
		.samples = "2x3 #1 | 2x3x4 #0 | 2x3x4 #1 | 2x3x4 #-1 | 2x3x2x2 #1 | 5 #0 | "
			   "1 #0f | 4x1 #1f | 0x3 #1 | 2x0 #1",
		.refused = "2x3 #2 | 2x3 #-3 | - #0 | i5:2x3 #1",
		.property = large_logits,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "log_softmax",
		.call = call_log_softmax,
		.reference = plain_log_softmax,
		.samples = "2x3 #1 | 2x3x4 #0 | 2x3x4 #1 | 2x3x4 #-1 | 2x3x2x2 #1 | 5 #0 | "
			   "1 #0f | 4x1 #1f | 0x3 #1 | 2x0 #1",
		.refused = "2x3 #2 | 2x3 #-3 | - #0 | i5:2x3 #1",
		.waived = {[BROADCAST] = "one operand"}},
	{.name = "cross_entropy",
		.call = call_cross_entropy,
		.reference = plain_cross_entropy,
		.samples = "4x3 i3:4 #0 | 4x3 i3:4 #1 | 4x3 i3:4 #2 | 4x3 i3:4 #3 | "
			   "4x3 i3:4 #4 | 5x3 i3:5 #5 | 6x3 i3:6 #6 | 6x3 i3:6 #7 | "
			   "4x3 i3:4 #8 | 6x3 i3:6 #9 | 2x3x4 i3:2x4 #0 | 2x3x4 i3:2x4 #2 | "
			   "2x3x2x2 i3:2x2x2 #5 | 2x3x2x2 i3:2x2x2 #7 | 4x3 4x3 #0 | "
			   "4x3 4x3 #2 | 4x3 4x3 #3 | 4x3 4x3 #4 | 2x3x4 2x3x4 #8 | "
			   "2x3x2x2 2x3x2x2 #1 | 1x5 i5:1 #0 | 0x3 i3:0 #1 | 0x3 i3:0 #2 | "
			   "0x3 i3:0 #0 | 0x3x2 0x3x2 #2 | 3x1 i1:3 #2f",
		.values = "au",
		.refused = "4x3 i3:3 #0 | 4x3 i9:40 #0 | 4x3 i3:4x1 #0 | 3 i3:1 #0 | "
			   "4x0 i1:4 #0 | 4x3 4x2 #0 | 4x3 m4 #0 | i5:4x3 i3:4 #0",
		.property = entropy_conventions,
		.waived = {[BROADCAST] = "soft targets have x's shape"}},
	{.name = "mse_loss",
		.call = call_mse_loss,
		.reference = plain_mse_loss,
		.samples = "2x3 2x3 #0 | 2x3x4 2x3x4 #1 | 2x3x2x2 2x3x2x2 #2 | - - #0 | "
			   "1 1 #0 | 0x3 0x3 #1 | 0x3 0x3 #2 | 0x3 0x3 #0",
		.refused = "2x3 2x1 #0 | 2x3 3 #0 | 2x3 i5:2x3 #0",
		.waived = {[BROADCAST] = "shapes must be the same"}},
	{.name = "bce_with_logits",
		.call = call_bce_with_logits,
		.reference = plain_bce_with_logits,
		.samples = "2x3 2x3 #0 | 2x3x4 2x3x4 #1 | 2x3x2x2 2x3x2x2 #2 | - - #0 | "
			   "1 1 #0 | 0x3 0x3 #1 | 0x3 0x3 #2",
		.values = "au",
		.refused = "2x3 2x1 #0 | 2x3 3 #0 | 2x3 i5:2x3 #0",
		.property = extreme_logits,
		.waived = {[BROADCAST] = "shapes must be the same"}},
	{.name = "batchnorm",
		.call = call_batchnorm,
		.reference = plain_batchnorm,
		.samples = "4x3 3 3 #0 | 2x3x4 3 3 #0 | 2x3x2x2 3 3 #0 | 2x2x2x1x3 2 2 #0 | "
			   "4x3 _ _ #0 | 2x3x2x2 3 _ #0 | 4x3 _ 3 #0 | 4x3 3 3 #1e | "
			   "2x3x2x2 3 3 #2e | 2x3x4 _ _ #1e | 4x3 3 3 #0e | 2x1x3 1 1 #0 | "
			   "0x3 3 3 #1e | 4x0 0 0 #0",
		.refused = "4x3 2 3 #0 | 4x3 3 2 #0 | 3 3 3 #0 | 1x3 3 3 #0 | 0x3 3 3 #0 | "
			   "4x3 3x1 3 #0 | i5:4x3 3 3 #0 | 2x3x1x1x1x1 3 3 #0",
		.property = running_statistics},
	{.name = "batchnorm_relu",
		.call = call_batchnorm_relu,
		.reference = plain_batchnorm_relu,
		.samples = "4x3 3 3 4x3 #0 | 2x3x4 3 3 _ #0 | 2x3x2x2 3 3 2x3x2x2 #0 | "
			   "2x2x2x1x3 2 2 _ #0 | 4x3 _ _ 4x3 #0 | 2x3x2x2 3 _ _ #0 | "
			   "4x3 _ 3 4x3 #0 | 4x3 3 3 4x3 #1e | 2x3x2x2 3 3 2x3x2x2 #2e | "
			   "2x3x4 _ _ _ #1e | 4x3 3 3 _ #0e | 2x1x3 1 1 2x1x3 #0 | "
			   "0x3 3 3 0x3 #1e | 4x0 0 0 4x0 #0",
		.refused = "4x3 2 3 _ #0 | 4x3 3 2 _ #0 | 3 3 3 3 #0 | 1x3 3 3 _ #0 | "
			   "4x3 3 3 3 #0 | 4x3 3 3 4x1 #0 | 4x3 3 3 i5:4x3 #0 | "
			   "i5:4x3 3 3 _ #0 | 0x3 3 3 _ #0"},
	{.name = "dropout",
		.call = call_dropout,
		.reference = plain_dropout,
		.samples =
			"2x3x4 #0 | 2x3x4 #5e | 4x3x2 #4r | 2x3x2x2 #2r | 0x3 #5r | 1 #0 | - #9e",
		.refused = "i5:2x3 #5",
		.property = dropout_masks,
		.waived = {[BROADCAST] = "one operand"}},
	{.name = NULL},
};
