/* norms.c - layer, group, instance and rms norm, further losses, attention. */
#include "tests/ops/ops_test.h"

/* ---- layernorm, rmsnorm: variant % 10 axes; 10 to 19: eps 0.1; from 20 on: eps 0 ------ */

static const double EPS[] = {0, 0.1, EBB_ZERO};

CALL(layernorm, ebb_layernorm(t, x[0], x[1], x[2], .axes = v % 10, .eps = EPS[v / 10]))
CALL(rmsnorm, ebb_rmsnorm(t, x[0], x[1], .axes = v % 10, .eps = EPS[v / 10]))

/* Normalises count elements from x to y. */
static void plain_normalise(const double *x, int64_t count, bool centred, double eps, double *y)
{
	double mean = 0, square = 0;

	for (int64_t i = 0; centred && i < count; i++)
		mean += x[i] / (double)count;
	for (int64_t i = 0; i < count; i++)
		square += (x[i] - mean) * (x[i] - mean) / (double)count;
	for (int64_t i = 0; i < count; i++)
		y[i] = (x[i] - mean) / sqrt(square + eps);
}

static void plain_rows(const array *x, int v, bool centred, double eps, array *y)
{
	int axes = v % 10 ? v % 10 : x[1].v ? x[1].shape.ndim : 1;
	int64_t len = 1;

	for (int d = x->shape.ndim - axes; d < x->shape.ndim; d++)
		len *= x->shape.dims[d];
	*y = array_new(x->shape);
	for (int64_t from = 0; from < y->count; from += len)
		plain_normalise(x->v + from, len, centred, eps, y->v + from);
	for (int64_t i = 0; i < y->count; i++) {
		y->v[i] *= x[1].v ? x[1].v[i % len] : 1;
		y->v[i] += centred && x[2].v ? x[2].v[i % len] : 0;
	}
}

static void plain_layernorm(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_rows(x, v, true, v < 10 ? 1e-5 : v < 20 ? 0.1 : 0, y);
}

static void plain_rmsnorm(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_rows(x, v, false, v < 10 ? 0 : v < 20 ? 0.1 : 0, y);
}

/* rmsnorm's default eps is the type's epsilon: a row of zeros stays zeros, with a gradient of
 * 1/sqrt(eps). */
static void rms_epsilon(void)
{
	for (int k = 0; k < 2; k++) {
		ebb_tape *t = ebb_tape_new();
		double eps = k ? 0x1p-52 : 0x1p-23;
		ebb_tensor *x, *y, *g;

		ebb_set_default_dtype(t, k ? EBB_F64 : EBB_F32);
		x = ebb_variable(t, ebb_zeros(t, EBB_SHAPE(2, 3)));
		y = ebb_rmsnorm(t, x);
		ck_assert(ebb_grad(t, ebb_sum(t, y), 1, &x, &g));
		ck_assert_double_eq(ebb_at(y, 0), 0);
		ck_assert_double_eq_tol(ebb_at(g, 0) * sqrt(eps), 1, 1e-6);
		assert_healthy(t);
		assert_refused(
			t, EBB_INVALID, ebb_rmsnorm(t, x, .eps = -1), "rmsnorm", "eps is -1");
		assert_refused(
			t, EBB_INVALID, ebb_layernorm(t, x, .eps = NAN), "layernorm", "eps is");
		ebb_tape_free(t);
	}
}

/* ---- groupnorm, instancenorm: variant % 10 groups; from 10 on: eps 0.1 ---------------- */

CALL(groupnorm, ebb_groupnorm(t, x[0], v % 10, x[1], x[2], .eps = EPS[v / 10]))
CALL(instancenorm, ebb_instancenorm(t, x[0], x[1], x[2], .eps = EPS[v / 10]))

static void plain_groups(const array *x, int64_t groups, double eps, array *y)
{
	int64_t channels = x->shape.dims[1], positions = 1, len;

	for (int d = 2; d < x->shape.ndim; d++)
		positions *= x->shape.dims[d];
	*y = array_new(x->shape);
	len = groups ? channels / groups * positions : 0;
	for (int64_t from = 0; from < y->count; from += len)
		plain_normalise(x->v + from, len, true, eps, y->v + from);
	for (int64_t i = 0; i < y->count; i++) {
		int64_t c = i / positions % channels;

		y->v[i] = y->v[i] * (x[1].v ? x[1].v[c] : 1) + (x[2].v ? x[2].v[c] : 0);
	}
}

static void plain_groupnorm(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_groups(x, v % 10, v < 10 ? 1e-5 : 0.1, y);
}

static void plain_instancenorm(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_groups(x, x->shape.dims[1], v < 10 ? 1e-5 : 0.1, y);
}

/* ---- l1_loss, huber_loss, kl_div: variant % 10 is the reduction ------------------------ */

CALL(l1_loss, ebb_l1_loss(t, x[0], x[1], .reduction = (ebb_reduction)v))
CALL(huber_loss, ebb_huber_loss(t, x[0], x[1],
			 .delta = v < 10   ? 0
                                  : v < 20 ? 0.4
                                           : -1,
			 .reduction = (ebb_reduction)(v % 10)))
CALL(kl_div, ebb_kl_div(t, x[0], x[1], .log_target = v >= 10, .reduction = (ebb_reduction)(v % 10)))

static double distance(double a, double b)
{
	return fabs(a - b);
}

static double huber(double a, double b)
{
	double d = fabs(a - b);

	return d <= 1 ? d * d / 2 : d - 0.5;
}

static double narrow_huber(double a, double b)
{
	double d = fabs(a - b);

	return d <= 0.4 ? d * d / 2 : 0.4 * (d - 0.2);
}

static double divergence(double x, double target)
{
	return target == 0 ? 0 : target * (log(target) - x);
}

static double log_divergence(double x, double target)
{
	return exp(target) * (target - x);
}

static void plain_loss(const array *x, int v, double (*f)(double, double), array *y)
{
	double sum = 0;
	array each = array_new(x->shape);

	for (int64_t i = 0; i < each.count; i++)
		sum += each.v[i] = f(x[0].v[i], x[1].v[i]);
	*y = v == EBB_NONE ? each : array_new(EBB_SCALAR_SHAPE);
	if (v == EBB_MEAN)
		sum /= (double)each.count;
	if (v == EBB_BATCH_MEAN)
		sum /= (double)x->shape.dims[0];
	if (v != EBB_NONE)
		y->v[0] = sum;
}

static void plain_l1_loss(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_loss(x, v, distance, y);
}

static void plain_huber_loss(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_loss(x, v % 10, v < 10 ? huber : narrow_huber, y);
}

static void plain_kl_div(const array *x, int n, int v, array *y)
{
	(void)n;
	plain_loss(x, v % 10, v < 10 ? divergence : log_divergence, y);
}

/* Equal operands have loss 0 and gradient 0; operands far apart do not overflow the square. */
static void distances(void)
{
	const double a[] = {1, 2, 1e300, -1e300}, b[] = {1, 1, 0, 0};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x, *target, *y, *g;

	ebb_set_default_dtype(t, EBB_F64);
	x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(4), a));
	target = ebb_from_f64(t, EBB_SHAPE(4), b);
	ck_assert(ebb_grad(t, ebb_l1_loss(t, x, target, .reduction = EBB_SUM_ALL), 1, &x, &g));
	ck_assert_double_eq(ebb_at(g, 0), 0);
	ck_assert_double_eq(ebb_at(g, 1), 1);
	ck_assert_double_eq(ebb_at(ebb_huber_loss(t, x, target, .reduction = EBB_NONE), 2), 1e300);
	ck_assert(ebb_grad(t, ebb_huber_loss(t, x, target, .reduction = EBB_SUM_ALL), 1, &x, &g));
	ck_assert_double_eq(ebb_at(g, 0), 0);
	ck_assert_double_eq(ebb_at(g, 3), -1);
	y = ebb_zeros(t, EBB_SHAPE(0, 3)); /* the mean of no elements */
	ck_assert(isnan(ebb_item(ebb_l1_loss(t, y, y))));
	assert_healthy(t);
	assert_refused(t, EBB_INVALID, ebb_l1_loss(t, x, target, .reduction = EBB_BATCH_MEAN),
		"l1_loss", "kl_div only");
	assert_refused(t, EBB_INVALID, ebb_l1_loss(t, x, target, .reduction = (ebb_reduction)9),
		"l1_loss", "reduction 9");
	assert_refused(t, EBB_INVALID, ebb_huber_loss(t, x, target, .delta = -1), "huber_loss",
		"delta is -1");
	assert_refused(
		t, EBB_INVALID, ebb_huber_loss(t, x, target, .delta = EBB_ZERO), "delta is 0");
	ebb_tape_free(t);
}

/* Where the target is 0, the divergence and its derivatives are 0. */
static void no_target(void)
{
	const double logs[] = {-INFINITY, -2, -3}, p[] = {0, 0.25, 0.75};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x[2], *y, *g[2];

	ebb_set_default_dtype(t, EBB_F64);
	x[0] = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(3), logs));
	x[1] = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(3), p));
	for (int recorded = 0; recorded < 2; recorded++) {
		y = ebb_kl_div(t, x[0], x[1], .reduction = EBB_NONE);
		ck_assert_double_eq(ebb_at(y, 0), 0);
		ck_assert_double_eq_tol(ebb_at(y, 1), 0.25 * (log(0.25) + 2), 1e-15);
		ck_assert(ebb_grad(t, ebb_sum(t, y), 2, x, g, .create_graph = recorded));
		for (int k = 0; k < 2; k++)
			ck_assert_double_eq(ebb_at(g[k], 0), 0);
		ck_assert_double_eq_tol(ebb_at(g[1], 2), log(0.75) + 3 + 1, 1e-15);
	}
	assert_healthy(t);
	ebb_tape_free(t);
}

/* ---- nll_loss ------------------------------------------------------------------------- */

static const double CLASS_WEIGHTS[] = {0.5, 2, 1.5, 0.25, 1};

/* Variant % 10 is the reduction; from 10 on with class weights, from 20 on with class 1 ignored. */
static ebb_tensor *class_weights(ebb_tape *t, const ebb_tensor *x, int v)
{
	return v < 10 ? NULL : ebb_from_f64(t, EBB_SHAPE(ebb_size(x, 1)), CLASS_WEIGHTS);
}

CALL(nll_loss, ebb_nll_loss(t, x[0], x[1], class_weights(t, x[0], v),
		       .ignore_index = v < 20 ? 0 : 1, .reduction = (ebb_reduction)(v % 10)))

static void plain_nll_loss(const array *x, int n, int v, array *y)
{
	int64_t classes = x->shape.dims[1], inner = 1;
	array rows = array_new(x[1].shape);
	double sum = 0, weights = 0;

	(void)n;
	for (int d = 2; d < x->shape.ndim; d++)
		inner *= x->shape.dims[d];
	for (int64_t i = 0; i < rows.count; i++) {
		int64_t label = (int64_t)x[1].v[i];
		double w = v < 10 ? 1 : CLASS_WEIGHTS[label];

		if (v >= 20 && label == 1)
			continue;
		rows.v[i] = -w * x->v[(i / inner * classes + label) * inner + i % inner];
		sum += rows.v[i];
		weights += w;
	}
	*y = v % 10 == EBB_NONE ? rows : array_new(EBB_SCALAR_SHAPE);
	if (v % 10 != EBB_NONE)
		y->v[0] = v % 10 == EBB_MEAN ? sum / weights : sum;
}

/* Elements of other classes than the label have no effect, even if they are infinite. */
static void nll_conventions(void)
{
	const double logs[] = {-1, -INFINITY, -3, NAN, NAN, NAN};
	const int64_t labels[] = {0, -100}, beyond[] = {0, 3};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_from_f64(t, EBB_SHAPE(2, 3), logs)), *y, *g;

	y = ebb_nll_loss(t, x, ebb_from_i64(t, EBB_SHAPE(2), labels));
	ck_assert_double_eq(ebb_item(y), 1);
	ck_assert(ebb_grad(t, y, 1, &x, &g));
	for (int i = 0; i < 6; i++)
		ck_assert_double_eq(ebb_at(g, i), i ? 0 : -1);
	assert_healthy(t);
	assert_refused(t, EBB_INVALID, ebb_nll_loss(t, x, ebb_from_i64(t, EBB_SHAPE(2), beyond)),
		"norms.c:", "nll_loss", "label[1] is 3", "3 classes");
	assert_refused(t, EBB_BAD_DTYPE, ebb_nll_loss(t, x, x), "nll_loss", "I64 labels");
	assert_refused(t, EBB_INVALID,
		ebb_nll_loss(t, x, ebb_from_i64(t, EBB_SHAPE(2), labels), .ignore_index = NAN),
		"ignore_index");
	ebb_tape_free(t);
}

/* ---- attention ---------------------------------------------------------------------- */

typedef struct attention_case {
	bool causal, grouped;
	int64_t past;
	double scale, dropout;
	int64_t queries, keys, width, values; /* of a sample */
} attention_case;

static const attention_case ATTENTIONS[] = {
	{0},
	{.causal = true},
	{.scale = 0.3},
	{.scale = EBB_ZERO},
	{.causal = true, .past = 2},
	{.grouped = true},
	{.grouped = true, .causal = true, .past = 1, .scale = 0.7},
	{.dropout = 0.4},
	{.causal = true, .grouped = true, .dropout = 0.4},
	{.dropout = 1},
	{.causal = true, .past = -1},
	{.causal = true, .past = INT64_MAX},
};

CALL(attention, ebb_attention(t, x[0], x[1], x[2], .mask = n > 3 ? x[3] : NULL,
			.causal = ATTENTIONS[v].causal, .grouped = ATTENTIONS[v].grouped,
			.past = ATTENTIONS[v].past, .scale = ATTENTIONS[v].scale,
			.dropout = ATTENTIONS[v].dropout))

/* The element of a at [lead..,i,j], with lead a position in the leading axes of shape. */
static double element(
	const array *a, const ebb_shape *shape, const int64_t *lead, int64_t i, int64_t j)
{
	ebb_shape s = *shape;
	int64_t at[EBB_MAX_DIMS];

	memcpy(at, lead, sizeof at);
	s.dims[s.ndim - 2] = a->shape.dims[a->shape.ndim - 2];
	s.dims[s.ndim - 1] = a->shape.dims[a->shape.ndim - 1];
	at[s.ndim - 2] = i;
	at[s.ndim - 1] = j;
	return broadcast_at(a, &s, at);
}

/* exp of the score of key j for query i; 0 if the key is masked. */
static double score(const array *x, int n, const attention_case *c, const ebb_shape *shape,
	const int64_t *at, int64_t i, int64_t j)
{
	double s = 0, mask = 0;

	for (int64_t e = 0; e < c->width; e++)
		s += element(&x[0], shape, at, i, e) * element(&x[1], shape, at, j, e) * c->scale;
	if (n > 3) {
		ebb_shape scores = *shape;
		int64_t where[EBB_MAX_DIMS];

		memcpy(where, at, sizeof where);
		scores.dims[scores.ndim - 2] = c->queries;
		scores.dims[scores.ndim - 1] = c->keys;
		where[scores.ndim - 2] = i;
		where[scores.ndim - 1] = j;
		mask = broadcast_at(&x[3], &scores, where);
		if (x[3].dtype == EBB_F64)
			s += mask;
		else if (mask == 0)
			return 0;
	}
	return c->causal && j - c->past > i ? 0 : exp(s);
}

/* x [..,G,S,E] as [..,heads,S,E], each head repeated. */
static array repeat_heads(const array *x, int64_t heads)
{
	int n = x->shape.ndim;
	ebb_shape s = x->shape;
	int64_t at[EBB_MAX_DIMS] = {0}, each = heads / s.dims[n - 3];
	array y;

	s.dims[n - 3] = heads;
	y = array_new(s);
	for (bool more = y.count > 0; more; more = next_position(&s, at)) {
		int64_t from[EBB_MAX_DIMS];

		memcpy(from, at, sizeof from);
		from[n - 3] /= each;
		y.v[flat_index(&s, at)] = x->v[flat_index(&x->shape, from)];
	}
	return y;
}

static void plain_attention(const array *given, int n, int v, array *y)
{
	array x[4] = {given[0], given[1], given[2], n > 3 ? given[3] : (array){0}}, lead[3];
	const ebb_shape *q = &x[0].shape, *k = &x[1].shape, *w = &x[2].shape;
	attention_case c = ATTENTIONS[v];
	int64_t at[EBB_MAX_DIMS] = {0};
	ebb_shape shape;

	for (int a = 1; a < 3 && c.grouped; a++)
		x[a] = repeat_heads(&given[a], q->dims[q->ndim - 3]);
	c.queries = q->dims[q->ndim - 2];
	c.keys = k->dims[k->ndim - 2];
	c.width = q->dims[q->ndim - 1];
	c.values = w->dims[w->ndim - 1];
	c.scale = c.scale == EBB_ZERO ? 0 : c.scale == 0 ? 1 / sqrt((double)c.width) : c.scale;
	for (int a = 0; a < 3; a++) {
		lead[a] = x[a];
		lead[a].shape.dims[lead[a].shape.ndim - 2] = c.queries;
		lead[a].shape.dims[lead[a].shape.ndim - 1] = c.values;
	}
	shape = broadcast_shape(lead, 3);
	*y = array_new(shape);
	if (!y->count)
		return;
	do {
		int64_t i = at[shape.ndim - 2], f = at[shape.ndim - 1];
		double sum = 0, dot = 0;

		for (int64_t j = 0; j < c.keys; j++) {
			double p = score(x, n, &c, &shape, at, i, j);

			sum += p;
			dot += p * element(&x[2], &shape, at, j, f);
		}
		y->v[flat_index(&shape, at)] = sum != 0 ? dot / sum : 0;
	} while (next_position(&shape, at));
}

/* Masked keys affect neither the value nor the gradient; a query without keys has the value 0. */
static void masked_keys(void)
{
	const uint8_t seen[] = {1, 0, 1, 1, 0, 0}, none[] = {0, 0, 0, 1, 1, 1};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x[3], *y, *g[3];

	x[0] = ebb_variable(t, ebb_randn(t, EBB_SHAPE(2, 4)));
	x[1] = ebb_variable(t, ebb_randn(t, EBB_SHAPE(3, 4)));
	x[2] = ebb_variable(t, ebb_randn(t, EBB_SHAPE(3, 5)));
	y = ebb_attention(t, x[0], x[1], x[2], .mask = ebb_from_u8(t, EBB_SHAPE(2, 3), seen));
	for (int i = 0; i < 5; i++)
		ck_assert_double_eq(ebb_at(y, 5 + i), ebb_at(x[2], i));
	for (int recorded = 0; recorded < 2; recorded++) {
		ck_assert(ebb_grad(
			t, ebb_sum(t, ebb_square(t, y)), 3, x, g, .create_graph = recorded));
		for (int i = 0; i < 4; i++)
			ck_assert_double_eq(ebb_at(g[1], 4 + i), 0);
		for (int i = 0; i < 5; i++)
			ck_assert_double_eq(ebb_at(g[2], 5 + i), 0);
	}
	y = ebb_attention(t, x[0], x[1], x[2], .mask = ebb_from_u8(t, EBB_SHAPE(2, 3), none));
	ck_assert(ebb_at(y, 0) == 0 && ebb_at(y, 5) != 0);
	assert_healthy(t);
	assert_refused(
		t, EBB_INVALID, ebb_attention(t, x[0], NULL, x[2]), "attention", "k is NULL");
	assert_refused(
		t, EBB_INVALID, ebb_attention(t, x[0], x[1], x[2], .scale = NAN), "scale is");
	ebb_tape_free(t);
}

const entry norm_ops[] = {
	{.name = "layernorm",
		.call = call_layernorm,
		.reference = plain_layernorm,
		.samples = "3x4 4 4 #0 | 2x3x5 5 5 #1 | 2x3x4 3x4 3x4 #0 | 2x3x2x2 3x2x2 _ #13 | "
			   "3x4 _ _ #0 | 2x3x4 _ 3x4 #2 | 2x3x4 _ _ #2 | 2x3x4 _ _ #13 | "
			   "7 7 7 #0 | 3x1 1 1 #0 | 1x5 5 _ #0 | 3x4 4 4 #10 | 3x4 4 4 #20 | "
			   "2x3x37 37 37 #0 | 0x3 3 3 #0 | 3x0 0 0 #0 | 2x0x3 0x3 0x3 #0",
		.refused = "3x4 3 4 #0 | 3x4 4 3 #0 | 3x4 4 4 #2 | - _ _ #0 | i5:3x4 4 4 #0 | "
			   "3x4 i5:4 4 #0 | 3x4 _ _ #3"},
	{.name = "rmsnorm",
		.call = call_rmsnorm,
		.reference = plain_rmsnorm,
		.samples = "3x4 4 #0 | 2x3x5 5 #1 | 2x3x4 3x4 #0 | 2x3x2x2 3x2x2 #13 | "
			   "3x4 _ #0 | 2x3x4 _ #2 | 7 7 #0 | 3x1 1 #10 | 1x5 5 #0 | 3x4 4 #10 | "
			   "3x4 4 #20 | 2x3x37 37 #0 | 0x3 3 #0 | 3x0 0 #0",
		.refused = "3x4 3 #0 | 3x4 4 #2 | - _ #0 | i5:3x4 4 #0 | 3x4 _ #3",
		.property = rms_epsilon},
	{.name = "groupnorm",
		.call = call_groupnorm,
		.reference = plain_groupnorm,
		.samples = "2x6 6 6 #12 | 2x4x3 4 4 #12 | 2x6x2x3 6 6 #13 | 2x4x2x1x3 4 4 #1 | "
			   "2x4x3 _ _ #12 | 2x4x3 4 _ #14 | 3x4x3 _ 4 #2 | 1x2x5 2 2 #11 | "
			   "2x3x1 3 3 #1 | 0x4x2 4 4 #2 | 2x4x0 4 4 #2 | 2x0x3 0 0 #1",
		.refused = "2x6 6 6 #4 | 2x6 6 6 #0 | 2x6 5 6 #2 | 2x6 6 5 #2 | 6 6 6 #2 | "
			   "i5:2x6 6 6 #2 | 2x2x1x1x1x1 2 2 #1 | 2x6 6x1 6 #2"},
	{.name = "instancenorm",
		.call = call_instancenorm,
		.reference = plain_instancenorm,
		.samples = "2x3x4 3 3 #10 | 2x3x2x3 3 3 #0 | 2x2x2x1x3 2 2 #10 | 2x3x4 _ _ #10 | "
			   "2x3x4 3 _ #10 | 1x2x5 _ 2 #10 | 2x1x3 1 1 #10 | 0x3x2 3 3 #0 | "
			   "2x3x0 3 3 #0 | 2x0x3 0 0 #0",
		.refused = "2x3x4 2 3 #0 | 2x3x4 3 2 #0 | 3 3 3 #0 | i5:2x3x4 3 3 #0"},
	{.name = "l1_loss",
		.call = call_l1_loss,
		.reference = plain_l1_loss,
		.samples = "2x3 2x3 #0 | 2x3x4 2x3x4 #1 | 2x3x2x2 2x3x2x2 #2 | - - #0 | 1 1 #0 | "
			   "0x3 0x3 #1 | 0x3 0x3 #2",
		.values = "d",
		.refused = "2x3 2x1 #0 | 2x3 3 #0 | 2x3 i5:2x3 #0 | i5:2x3 i5:2x3 #0",
		.property = distances,
		.waived = {[BROADCAST] = "shapes must be the same"}},
	{.name = "huber_loss",
		.call = call_huber_loss,
		.reference = plain_huber_loss,
		.samples = "2x3 2x3 #0 | 2x3x4 2x3x4 #11 | 2x3x2x2 2x3x2x2 #12 | - - #0 | 1 1 #0 | "
			   "2x5 2x5 #10 | 0x3 0x3 #1 | 0x3 0x3 #2",
		.refused = "2x3 2x1 #0 | 2x3 3 #0 | 2x3 i5:2x3 #0",
		.waived = {[BROADCAST] = "shapes must be the same"}},
	{.name = "kl_div",
		.call = call_kl_div,
		.reference = plain_kl_div,
		.samples = "2x3 2x3 #0 | 2x3x4 2x3x4 #1 | 2x3x2x2 2x3x2x2 #2 | 4x3 4x3 #3 | "
			   "- - #0 | 1 1 #3 | 2x3 2x3 #10 | 2x3x4 2x3x4 #11 | 3x2 3x2 #12 | "
			   "4x3 4x3 #13 | 0x3 0x3 #1 | 0x3 0x3 #12",
		.values = "u",
		.refused = "2x3 2x1 #0 | 2x3 3 #0 | 2x3 i5:2x3 #0 | - - #3",
		.property = no_target,
		.waived = {[BROADCAST] = "shapes must be the same"}},
	{.name = "nll_loss",
		.call = call_nll_loss,
		.reference = plain_nll_loss,
		.samples = "4x3 i3:4 #0 | 4x3 i3:4 #1 | 4x3 i3:4 #2 | 4x5 i5:4 #10 | 2x3x4 i3:2x4 "
			   "#0 | "
			   "2x3x4 i3:2x4 #12 | 2x3x2x2 i3:2x2x2 #11 | 6x3 i3:6 #20 | "
			   "2x3x2x2 i3:2x2x2 #22 | 1x5 i5:1 #0 | 0x3 i3:0 #1 | 0x3 i3:0 #2 | "
			   "0x3x2 i3:0x2 #12 | 3x1 i1:3 #2",
		.refused = "4x3 i3:3 #0 | 4x3 i9:40 #0 | 4x3 i3:4x1 #0 | 3 i3:1 #0 | 4x0 i1:4 #0 | "
			   "4x3 4x3 #0 | 4x3 m4 #0 | i5:4x3 i3:4 #0",
		.property = nll_conventions,
		.waived = {[BROADCAST] = "one real operand"}},
	{.name = "attention",
		.call = call_attention,
		.reference = plain_attention,
		.samples = "3x4 5x4 5x2 #0 | 2x3x4 2x3x4 2x3x4 #1 | 2x1x3x4 3x5x4 5x2 #0 | "
			   "3x4 2x5x4 2x5x3 #2 | 4x2 3x2 3x2 #1 | 3x2 4x2 4x2 #1 | "
			   "3x4 5x4 5x2 i5:3x5 #0 | 2x3x4 5x4 5x2 m2x1x5 #0 | 3x4 5x4 5x2 i9:1x5 "
			   "#1 | 2x3x4 2x5x4 2x5x2 3x5 #2 | "
			   "2x3x4 2x5x4 2x5x2 2x1x5 #1 | 3x4 5x4 2x5x2 #3 | "
			   "1x1 1x1 1x1 #2 | 1x4 3x4 3x1 #0 | 0x4 3x4 3x2 #0 | 3x4 0x4 0x2 #1 | "
			   "3x0 2x0 2x3 #0 | 0x3x4 0x2x4 0x2x3 #1 | 2x3x4 2x5x4 2x5x0 #0 | "
			   "2x3x4 2x6x4 2x6x3 #4 | 2x3x2x4 2x3x5x4 2x3x5x3 3x2x5 #0 | "
			   "2x4x3x3 2x2x5x3 2x2x5x2 #5 | 4x3x3 2x5x3 2x5x2 m4x3x5 #6 | "
			   "2x6x2x3 1x2x3x3 2x2x3x1 6x1x3 #5 | 2x0x2x3 2x2x3x3 2x2x3x2 #5 | "
			   "3x2x2 1x3x2 1x3x2 i5:3 #6 | 9x2x2x2 9x2x3x2 9x2x3x2 #1 | "
			   "1x2x8x2x2 2x1x2x3x2 2x2x3x2 #5 | 2x3x3x4 2x3x5x4 2x3x5x4 #7r | "
			   "2x4x3x3 2x2x5x3 2x2x5x3 #8r | 3x4 5x4 5x4 3x5 #7r | 3x4 5x4 5x2 #7e | "
			   "3x4 5x4 5x2 #11 | 3x4 5x4 5x2 - #0",
		.refused = "3x4 5x3 5x2 #0 | 3x4 5x4 4x2 #0 | 4 5x4 5x2 #0 | 3x4 5x4 5 #0 | "
			   "2x3x4 3x5x4 5x2 #0 | 3x4 5x4 5x2 3x4 #0 | 3x4 5x4 5x2 2x3x5 #0 | "
			   "i5:3x4 5x4 5x2 #0 | 3x4 5x4 i5:5x2 #0 | 2x3x4 5x4 3x5x2 #0 | "
			   "3x4 5x4 5x2 #9 | 3x4 5x4 5x2 #10 | 3x4 5x4 5x2 #5 | "
			   "4x3x4 3x5x4 3x5x2 #5 | 4x3x4 2x5x4 4x5x2 #5 | 4x3x4 0x5x4 0x5x2 #5",
		.property = masked_keys},
	{.name = NULL},
};
