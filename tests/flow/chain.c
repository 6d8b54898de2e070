/*
 * chain.c - the measures of a small network agree with a forward and a backward pass that the test
 * computes itself, in double precision: norms to 1e-12, factors of the chain rule to 1e-10.
 *
 * The network is linear, tanh, linear, relu, a sum with the input of the second linear, linear,
 * and half the squared distance from a target.
 */
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

enum { N = 9, IN = 6, WIDE = 7, OUT = 4 };
static const double LR = 0.05;

typedef struct matrix {
	int rows, columns;
	double v[N][WIDE];
} matrix;

/* The ops of the network in the order of the forward computation, as the rows that are expected. */
enum { FC1, TANH, FC2, RELU, SUM, FC3, OPS };
static const char *const names[OPS] = {"linear", "tanh", "linear", "relu", "add", "linear"};
static const char *const layers[OPS] = {"fc1", "fc1", "fc2", "fc2", "fc2", "fc3"};

typedef struct direct {
	matrix x, y[OPS], g[OPS]; /* results, and the loss by them */
	double backward[OPS];     /* |contribution to the input| / |gradient of the result| */
	double forward[OPS];      /* rms(y)/rms(x) */
	double weight[3], gradient[3], ratio[3], cosine[3];
	double loss;
} direct;

static double norm(const matrix *m)
{
	double sum = 0;

	for (int i = 0; i < m->rows; i++)
		for (int k = 0; k < m->columns; k++)
			sum += m->v[i][k] * m->v[i][k];
	return sqrt(sum);
}

static double rms(const matrix *m)
{
	return norm(m) / sqrt((double)(m->rows * m->columns));
}

static double at(const ebb_tensor *x, int64_t i)
{
	return ebb_at(x, i);
}

/* y = x w^T + b */
static matrix affine(const matrix *x, const ebb_linear *l)
{
	matrix y = {x->rows, (int)ebb_size(l->weight, 0), {{0}}};

	for (int n = 0; n < y.rows; n++)
		for (int o = 0; o < y.columns; o++) {
			y.v[n][o] = at(l->bias, o);
			for (int i = 0; i < x->columns; i++)
				y.v[n][o] += at(l->weight, o * x->columns + i) * x->v[n][i];
		}
	return y;
}

/* g w */
static matrix back(const matrix *g, const ebb_linear *l)
{
	matrix gx = {g->rows, (int)ebb_size(l->weight, 1), {{0}}};

	for (int n = 0; n < gx.rows; n++)
		for (int i = 0; i < gx.columns; i++)
			for (int o = 0; o < g->columns; o++)
				gx.v[n][i] += g->v[n][o] * at(l->weight, o * gx.columns + i);
	return gx;
}

static matrix map(const matrix *x, double (*f)(double))
{
	matrix y = *x;

	for (int n = 0; n < y.rows; n++)
		for (int k = 0; k < y.columns; k++)
			y.v[n][k] = f(x->v[n][k]);
	return y;
}

static double positive(double x)
{
	return x > 0 ? x : 0;
}

static double tanh_slope(double x)
{
	return 1 / (cosh(x) * cosh(x));
}

static double relu_slope(double x)
{
	return x > 0;
}

static matrix times(const matrix *a, const matrix *b)
{
	matrix y = *a;

	for (int n = 0; n < y.rows; n++)
		for (int k = 0; k < y.columns; k++)
			y.v[n][k] *= b->v[n][k];
	return y;
}

static matrix plus(const matrix *a, const matrix *b)
{
	matrix y = *a;

	for (int n = 0; n < y.rows; n++)
		for (int k = 0; k < y.columns; k++)
			y.v[n][k] += b->v[n][k];
	return y;
}

/* The norms of the layer's parameters and their gradient, and of an update with momentum: m is the
 * momentum buffer before it. */
static void parameters(direct *d, int k, const ebb_linear *l, const matrix *x, const matrix *g,
	double *m, double momentum)
{
	int out = g->columns, in = x->columns, count = out * in + out;
	double w2 = 0, g2 = 0, d2 = 0, dot = 0;

	for (int p = 0; p < count; p++) {
		int o = p < out * in ? p / in : p - out * in;
		double w = p < out * in ? at(l->weight, p) : at(l->bias, o), grad = 0, change;

		for (int n = 0; n < g->rows; n++)
			grad += g->v[n][o] * (p < out * in ? x->v[n][p % in] : 1);
		m[p] = momentum * m[p] + grad;
		change = -LR * m[p];
		w2 += w * w;
		g2 += grad * grad;
		d2 += change * change;
		dot -= change * grad;
	}
	d->weight[k] = sqrt(w2);
	d->gradient[k] = sqrt(g2);
	d->ratio[k] = sqrt(d2 / w2);
	d->cosine[k] = dot / sqrt(d2 * g2);
}

static void compute(
	direct *d, const ebb_linear l[3], const matrix *target, double m[3][100], double momentum)
{
	matrix slope, c;

	d->y[FC1] = affine(&d->x, &l[0]);
	d->y[TANH] = map(&d->y[FC1], tanh);
	d->y[FC2] = affine(&d->y[TANH], &l[1]);
	d->y[RELU] = map(&d->y[FC2], positive);
	d->y[SUM] = plus(&d->y[TANH], &d->y[RELU]);
	d->y[FC3] = affine(&d->y[SUM], &l[2]);
	d->loss = 0;
	d->g[FC3] = d->y[FC3];
	for (int n = 0; n < N; n++)
		for (int k = 0; k < OUT; k++) {
			d->g[FC3].v[n][k] -= target->v[n][k];
			d->loss += d->g[FC3].v[n][k] * d->g[FC3].v[n][k] / 2;
		}
	d->g[SUM] = back(&d->g[FC3], &l[2]);
	d->g[RELU] = d->g[SUM];
	slope = map(&d->y[FC2], relu_slope);
	d->g[FC2] = times(&d->g[RELU], &slope);
	c = back(&d->g[FC2], &l[1]);
	d->g[TANH] = plus(&d->g[SUM], &c);
	slope = map(&d->y[FC1], tanh_slope);
	d->g[FC1] = times(&d->g[TANH], &slope);
	d->backward[FC3] = norm(&d->g[SUM]) / norm(&d->g[FC3]);
	d->backward[RELU] = norm(&d->g[FC2]) / norm(&d->g[RELU]);
	d->backward[FC2] = norm(&c) / norm(&d->g[FC2]);
	d->backward[TANH] = norm(&d->g[FC1]) / norm(&d->g[TANH]);
	d->backward[SUM] = d->backward[FC1] = NAN;
	d->forward[FC1] = rms(&d->y[FC1]) / rms(&d->x);
	d->forward[TANH] = rms(&d->y[TANH]) / rms(&d->y[FC1]);
	d->forward[FC2] = rms(&d->y[FC2]) / rms(&d->y[TANH]);
	d->forward[RELU] = rms(&d->y[RELU]) / rms(&d->y[FC2]);
	d->forward[SUM] = rms(&d->y[SUM]) / rms(&d->y[TANH]);
	d->forward[FC3] = rms(&d->y[FC3]) / rms(&d->y[SUM]);
	parameters(d, 0, &l[0], &d->x, &d->g[FC1], m[0], momentum);
	parameters(d, 1, &l[1], &d->y[TANH], &d->g[FC2], m[1], momentum);
	parameters(d, 2, &l[2], &d->y[SUM], &d->g[FC3], m[2], momentum);
}

static void is_near(double value, double expected, double tolerance, const char *what, int op)
{
	ck_assert_msg(isnan(expected) ? isnan(value)
				      : fabs(value - expected) <= tolerance * fabs(expected),
		"%s of op %d is %.17g, expected %.17g", what, op, value, expected);
}

static double largest(const matrix *m)
{
	double most = 0;

	for (int n = 0; n < m->rows; n++)
		for (int k = 0; k < m->columns; k++)
			most = fmax(most, fabs(m->v[n][k]));
	return most;
}

static double share_of_zeros(const matrix *m)
{
	double count = 0;

	for (int n = 0; n < m->rows; n++)
		for (int k = 0; k < m->columns; k++)
			count += m->v[n][k] == 0;
	return count / (double)(m->rows * m->columns);
}

static void compare(const ebb_flow *f, int sample, const direct *d)
{
	ck_assert_int_eq(ebb_flow_ops(f), OPS + 1); /* and the square of the loss */
	is_near(ebb_flow_sample_loss(f, sample), d->loss, 1e-12, "loss", 0);
	for (int op = 0; op < OPS; op++) {
		int k = op == FC1 ? 0 : op == FC2 ? 1 : 2;
		bool weight = op == FC1 || op == FC2 || op == FC3;
		ebb_flow_measures m;
		ebb_flow_op row;

		ck_assert(ebb_flow_op_at(f, op, &row) && ebb_flow_sample(f, sample, op, &m));
		ck_assert_str_eq(row.op, names[op]);
		ck_assert_str_eq(ebb_flow_layer(f, row.layer), layers[op]);
		is_near(m.rms, rms(&d->y[op]), 1e-12, "rms", op);
		is_near(m.max, largest(&d->y[op]), 1e-12, "max", op);
		is_near(m.zeros, share_of_zeros(&d->y[op]), 1e-12, "zeros", op);
		is_near(m.grad_l2, norm(&d->g[op]), 1e-12, "gradient norm", op);
		is_near(m.grad_rms, rms(&d->g[op]), 1e-12, "gradient rms", op);
		is_near(m.grad_max, largest(&d->g[op]), 1e-12, "gradient maximum", op);
		is_near(m.forward, d->forward[op], 1e-12, "forward", op);
		is_near(m.backward, d->backward[op], 1e-10, "backward", op);
		is_near(m.weight_l2, weight ? d->weight[k] : NAN, 1e-12, "|w|", op);
		is_near(m.weight_grad_l2, weight ? d->gradient[k] : NAN, 1e-12, "|gw|", op);
		is_near(m.update_ratio, weight ? d->ratio[k] : NAN, 1e-10, "update", op);
		is_near(m.cosine, weight ? d->cosine[k] : NAN, 1e-10, "cosine", op);
	}
}

static void fill(matrix *m, int columns, ebb_tensor *x)
{
	m->rows = N;
	m->columns = columns;
	for (int n = 0; n < N; n++)
		for (int k = 0; k < columns; k++)
			m->v[n][k] = ebb_at(x, n * columns + k);
}

START_TEST(measures_agree_with_a_direct_computation)
{
	double momentum = _i ? 0.9 : 0, m[3][100] = {{0}};
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(5);
	ebb_params_set_dtype(p, EBB_F64);
	ebb_linear l[3] = {ebb_linear_new(p, "fc1", IN, WIDE), ebb_linear_new(p, "fc2", WIDE, WIDE),
		ebb_linear_new(p, "fc3", WIDE, OUT)};
	ebb_optim *opt = ebb_sgd(p, .lr = LR, .momentum = momentum);
	ebb_tensor *x = persistent_random(EBB_F64, EBB_SHAPE(N, IN), 1);
	ebb_tensor *target = persistent_random(EBB_F64, EBB_SHAPE(N, OUT), 2);
	ebb_flow *f = ebb_flow_new(t);
	static direct d[4];
	matrix goal;

	fill(&goal, OUT, target);
	for (int step = 0; step < 4; step++) {
		fill(&d[step].x, IN, x);
		compute(&d[step], l, &goal, m, momentum);
		ebb_tensor *h = ebb_tanh(t, ebb_linear_forward(t, &l[0], x)), *y;
		y = ebb_add(t, h, ebb_relu(t, ebb_linear_forward(t, &l[1], h)));
		y = ebb_linear_forward(t, &l[2], y);
		y = ebb_mul_scalar(t, ebb_sum(t, ebb_square(t, ebb_sub(t, y, target))), 0.5);
		ebb_params_zero_grad(p);
		ebb_backward(t, y);
		ck_assert(ebb_optim_step(opt));
		ebb_tape_reset(t);
	}
	assert_healthy(t);
	ck_assert_int_eq(ebb_flow_findings(f), 0);
	ck_assert_int_eq(ebb_flow_samples(f), 4);
	for (int step = 0; step < 4; step++)
		compare(f, step, &d[step]);
	ebb_flow_free(f);
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
	ebb_tensor_free(x);
	ebb_tensor_free(target);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow-chain");
	TCase *c = tcase_create("chain");

	tcase_add_loop_test(c, measures_agree_with_a_direct_computation, 0, 2);
	suite_add_tcase(s, c);
	return run_suite(s);
}
