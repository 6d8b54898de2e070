/*
 * slopes.c - which slopes phi'(x) of a nonlinearity are near 0.
 *
 * The slopes that are small lie where the op's result (or its input) is in one of a few intervals,
 * which follow from the limit.  So no slope is computed per element: elements are compared with the
 * ends of the intervals.
 */
#include "flow/instrument/measure.h"
#include "kernels/float_state.h"

#include <math.h>
#include <string.h>

/* ---- The nonlinearities ---------------------------------------------------------------------- */

/* Slopes are flat at v <= below, v >= above, and from <= v <= to.  A bound that is NaN holds for no
 * v. */
struct flat {
	double below, above, from, to;
};

struct slope {
	const char *op;
	bool bounded;
	bool of_x; /* v is x, else y */
	/* Largest |phi'|; for a slope that is a function with a negative minimum, where that is. */
	double largest, bottom;
	struct flat (*flat)(const struct slope *s, double limit);
	double (*phi)(double x); /* phi' */
};

static struct flat outside(double below, double above)
{
	return (struct flat){below, above, NAN, NAN};
}

static struct flat flat_relu(const struct slope *s, double limit)
{
	(void)s, (void)limit;
	return outside(0, NAN);
}

static struct flat flat_relu6(const struct slope *s, double limit)
{
	(void)s, (void)limit;
	return outside(0, 6);
}

static struct flat flat_hardtanh(const struct slope *s, double limit)
{
	(void)s, (void)limit;
	return outside(-1, 1);
}

/* y*(1 - y) = limit/4 at y = 1/2 +- sqrt(1 - limit)/2 */
static struct flat flat_sigmoid(const struct slope *s, double limit)
{
	double half = sqrt(fmax(0, 1 - limit)) / 2;

	(void)s;
	return outside(limit / 4 / (0.5 + half), 0.5 + half);
}

/* 1 - y^2 = limit */
static struct flat flat_tanh(const struct slope *s, double limit)
{
	double end = sqrt(fmax(0, 1 - limit));

	(void)s;
	return outside(-end, end);
}

/* exp(-x^2) = limit */
static struct flat flat_erf(const struct slope *s, double limit)
{
	double end = erf(sqrt(fmax(0, -log(limit))));

	(void)s;
	return outside(-end, end);
}

/* (1 - |y|)^2 = limit */
static struct flat flat_softsign(const struct slope *s, double limit)
{
	double end = fmax(0, 1 - sqrt(limit));

	(void)s;
	return outside(-end, end);
}

/* 1 - exp(-y) = limit */
static struct flat flat_softplus(const struct slope *s, double limit)
{
	(void)s;
	return outside(-log1p(-limit), NAN);
}

/* 1 - exp(y) = limit */
static struct flat flat_logsigmoid(const struct slope *s, double limit)
{
	(void)s;
	return outside(NAN, log1p(-limit));
}

/* y + scale*alpha = limit*scale*alpha where y < 0 */
static struct flat flat_selu(const struct slope *s, double limit)
{
	return outside(s->largest * (limit - 1), NAN);
}

/* Where |x/3 + 1/2| < 3/2*limit. */
static struct flat flat_hardswish(const struct slope *s, double limit)
{
	(void)s;
	return (struct flat){-3, NAN, -1.5 - 4.5 * limit, -1.5 + 4.5 * limit};
}

/* phi'(x) = level between a and b, where phi' - level changes its sign. */
static double crossing(const struct slope *s, double level, double a, double b)
{
	bool rises = s->phi(b) > level;

	for (int i = 0; i < 60; i++) {
		double mid = a + (b - a) / 2;

		if ((s->phi(mid) > level) == rises)
			b = mid;
		else
			a = mid;
	}
	return a + (b - a) / 2;
}

/* phi' falls from 0 to its negative minimum, and rises to beyond 1. */
static struct flat flat_dipping(const struct slope *s, double limit)
{
	const double far = -60;
	double t = limit * s->largest, up = crossing(s, t, s->bottom, 1);

	if (s->phi(s->bottom) >= -t)
		return outside(up, NAN);
	return (struct flat){
		crossing(s, -t, far, s->bottom), NAN, crossing(s, -t, s->bottom, 1), up};
}

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

static double gelu_slope(double x)
{
	return 0.5 * erfc(-x * 0.70710678118654752440) +
	       x * 0.39894228040143267794 * exp(-x * x / 2);
}

static double silu_slope(double x)
{
	return sigmoid(x) * (1 + x * sigmoid(-x));
}

static double mish_slope(double x)
{
	double u = tanh(log1p(exp(x)));

	return u + x * sigmoid(x) * (1 - u * u);
}

static struct flat flat_nowhere(const struct slope *s, double limit)
{
	(void)s, (void)limit;
	return outside(NAN, NAN);
}

/* Not bounded: relu6 and clamp.  Half of the slopes of a healthy relu6 are 0, as those of relu, and
 * clamp may have one bound only.  So the layer is judged by units whose slope is always flat.  Not
 * here: ops whose slope has no largest value (exp, square, log, ..) or does not tend to 0 (sin,
 * abs), leaky_relu and prelu, whose smaller slope is not 0 by design, and softmax, whose results
 * depend on all inputs.  gelu with .tanh is judged by the slope of gelu; the two differ by less than
 * 0.001. */
static const struct slope slopes[] = {
	{.op = "relu", .flat = flat_relu},
	{.op = "relu6", .flat = flat_relu6},
	{.op = "hardtanh", .bounded = true, .flat = flat_hardtanh},
	{.op = "sigmoid", .bounded = true, .flat = flat_sigmoid},
	{.op = "tanh", .bounded = true, .flat = flat_tanh},
	{.op = "erf", .bounded = true, .flat = flat_erf},
	{.op = "softsign", .bounded = true, .flat = flat_softsign},
	{.op = "softplus", .flat = flat_softplus},
	{.op = "logsigmoid", .flat = flat_logsigmoid},
	{.op = "selu", .largest = EBB_SELU_SCALE * EBB_SELU_ALPHA, .flat = flat_selu},
	{.op = "hardswish", .of_x = true, .flat = flat_hardswish},
	{"gelu", false, true, 1.1289041451851545, -1.41421356, flat_dipping, gelu_slope},
	{"silu", false, true, 1.0998393201288665, -2.39935728, flat_dipping, silu_slope},
	{"mish", false, true, 1.0884981612517277, -2.25637640, flat_dipping, mish_slope},
	/* Their intervals depend on constants of the op: see apply. */
	{.op = "elu", .of_x = true, .flat = flat_nowhere},
	{.op = "clamp", .of_x = true, .flat = flat_nowhere},
};

static const struct slope *slope_of(const char *op)
{
	for (size_t i = 0; op && i < sizeof slopes / sizeof *slopes; i++)
		if (strcmp(slopes[i].op, op) == 0)
			return &slopes[i];
	return NULL;
}

/* Ops of unary.def are nonlinear if their gradient reads x or y. */
bool ebb_flow_is_nonlinear(const char *op)
{
	enum { NOTHING = 0, X = 1, Y = 2 };
	static const struct {
		const char *op;
		int reads;
	} unary[] = {
#define ZERO NOTHING
#define GRADIENT(reads, ...) reads
#define UNARY(name, domain, torch, exact, value, gradient) {#name, gradient},
#include "kernels/unary.def"
#undef GRADIENT
#undef ZERO
	};
	static const char *const others[] = {
		"pow_scalar", "leaky_relu", "prelu", "softmax", "log_softmax", "masked_softmax"};

	if (!op)
		return false;
	for (size_t i = 0; i < sizeof unary / sizeof *unary; i++)
		if (strcmp(unary[i].op, op) == 0)
			return unary[i].reads != NOTHING;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (strcmp(others[i], op) == 0)
			return true;
	return slope_of(op) != NULL;
}

bool ebb_flow_is_bounded(const char *op)
{
	const struct slope *s = slope_of(op);

	return s && s->bounded;
}

/* ---- Counting -------------------------------------------------------------------------------- */

struct count {
	const struct slope *slope;
	struct flat flat;
	bool elu, clamp, alpha_known;
	double limit;
	struct flow_sums *sums;
	struct flow_units *units;
};

/* The marks of one piece, 1 or 0.  known: the element is no NaN.  active: it is known, and its slope
 * is not flat. */
struct marks {
	uint8_t known[FLOW_PIECE], active[FLOW_PIECE];
};

/* Marks elements by the intervals, and (clamp) by whether the result is the input. */
#define MARK(real)                                                                                 \
	static void mark_##real(int64_t n, const real *v, const struct flat *f, struct marks *m)   \
	{                                                                                          \
		real below = (real)f->below, above = (real)f->above;                               \
		real from = (real)f->from, to = (real)f->to;                                       \
                                                                                                   \
		for (int64_t i = 0; i < n; i++) {                                                  \
			uint8_t known = v[i] == v[i];                                              \
			uint8_t flat = (v[i] <= below) | (v[i] >= above) |                         \
			               ((v[i] >= from) & (v[i] <= to));                            \
                                                                                                   \
			m->known[i] = known;                                                       \
			m->active[i] = known & !flat;                                              \
		}                                                                                  \
	}                                                                                          \
	static void mark_clamped_##real(int64_t n, const real *x, const real *y, struct marks *m)  \
	{                                                                                          \
		for (int64_t i = 0; i < n; i++) {                                                  \
			m->known[i] = x[i] == x[i];                                                \
			m->active[i] = x[i] == y[i];                                               \
		}                                                                                  \
	}                                                                                          \
	/* alpha of elu: y/expm1(x) for any x < 0.  NaN if there is none. */                       \
	static double alpha_##real(int64_t n, const real *x, const real *y)                        \
	{                                                                                          \
		for (int64_t i = 0; i < n; i++)                                                    \
			if (x[i] < 0 && isfinite(y[i]))                                            \
				return (double)y[i] / expm1((double)x[i]);                         \
		return NAN;                                                                        \
	}
MARK(float)
MARK(double)

/* Where x <= 0 and alpha*exp(x) < limit*max(1, alpha). */
static void find_elu(struct count *c, bool f64, int64_t n, const void *x, const void *y)
{
	double alpha = fabs(f64 ? alpha_double(n, x, y) : alpha_float(n, x, y));

	if (isnan(alpha))
		return;
	c->flat.below = fmin(0, log(c->limit * fmax(1, alpha) / alpha));
	c->alpha_known = true;
}

static void mark(
	struct count *c, bool f64, int64_t n, const void *x, const void *y, struct marks *m)
{
	const void *v = c->slope->of_x ? x : y;

	if (c->elu && !c->alpha_known)
		find_elu(c, f64, n, x, y);
	if (c->clamp && f64)
		mark_clamped_double(n, x, y, m);
	else if (c->clamp)
		mark_clamped_float(n, x, y, m);
	else if (f64)
		mark_double(n, v, &c->flat, m);
	else
		mark_float(n, v, &c->flat, m);
}

static int sum(int64_t n, const uint8_t *mark)
{
	int total = 0;

	for (int64_t i = 0; i < n; i++)
		total += mark[i];
	return total;
}

/* Adds the marks of whole rows (unit is 0), or of a part of one row from that unit on. */
static void add_rows(int64_t units, int64_t unit, int64_t n, const uint8_t *mark, int64_t *count)
{
	while (n > 0) {
		int64_t run = n < units ? n : units;

		for (int64_t k = 0; k < run; k++)
			count[unit + k] += mark[k];
		mark += run;
		n -= run;
	}
}

/* As add_rows, where all marks are 1. */
static void add_ones(int64_t units, int64_t unit, int64_t n, int64_t *count)
{
	int64_t run = n < units ? n : units;

	for (int64_t k = 0; k < run; k++)
		count[unit + k] += n / run;
}

/* n elements: of one unit, or else of whole rows or a part of one row. */
static void count_piece(
	struct count *c, struct flow_reader r[2], int64_t from, int64_t n, int64_t unit, bool one)
{
	union flow_piece of_x, of_y;
	struct marks m;
	const void *y = ebb_flow_read(&r[0], from, n, &of_y);
	const void *x = r[1].x ? ebb_flow_read(&r[1], from, n, &of_x) : NULL;
	struct flow_units *u = c->units;
	int64_t known, active;

	mark(c, r[0].size == sizeof(double), n, x, y, &m);
	known = sum(n, m.known);
	active = sum(n, m.active);
	c->sums->slopes += known;
	c->sums->flat += known - active;
	if (u && one) {
		u->seen[0][unit] += known;
		u->active[0][unit] += active;
	} else if (u) {
		if (known == n)
			add_ones(u->n, unit, n, u->seen[0]);
		else
			add_rows(u->n, unit, n, m.known, u->seen[0]);
		add_rows(u->n, unit, n, m.active, u->active[0]);
	}
}

/* The distance between elements of neighbouring units in the reader's order. */
static int64_t stride_of(const struct flow_reader *r, int axis)
{
	ebb_shape s = ebb_shape_of(r->x);
	int64_t stride = 1;

	if (s.dims[axis] == 1)
		return 1;
	if (r->direct)
		return ebb_stride(r->x, axis);
	for (int a = s.ndim - 1; a > axis; a--)
		stride *= s.dims[a];
	return stride;
}

/* Units that are neighbours in memory: pieces are runs of whole rows, or parts of one row. */
static void count_rows(struct count *c, struct flow_reader r[2], int64_t units, int64_t most)
{
	struct flow_blocks b = ebb_flow_blocks(ebb_count(r[0].x), units, most);

	while (ebb_flow_next(&b))
		count_piece(c, r, b.from, b.n, b.from % units, false);
}

/* Units that are planes of size elements: every unit is examined at the same positions. */
static void count_planes(
	struct count *c, struct flow_reader r[2], int64_t units, int64_t size, int64_t most)
{
	int64_t each = most < 0 ? most : most / units + (most < units);
	struct flow_blocks b = ebb_flow_blocks(ebb_count(r[0].x) / units, 1, each);

	while (ebb_flow_next(&b)) {
		int64_t run;

		for (int64_t at = b.from; at < b.from + b.n; at += run) {
			int64_t plane = at / size * units, in = at % size;

			run = b.from + b.n - at < size - in ? b.from + b.n - at : size - in;
			for (int64_t k = 0; k < units; k++)
				count_piece(c, r, (plane + k) * size + in, run, k, true);
		}
	}
}

bool ebb_flow_slopes(const char *op, const ebb_tensor *x, const ebb_tensor *y, int axis,
	int64_t most, double limit, struct flow_sums *sums, struct flow_units *units)
{
	const struct slope *s = slope_of(op);
	struct flow_reader r[2] = {{0}};
	struct count c = {.slope = s, .limit = limit, .sums = sums, .units = units};
	int64_t n, stride;
	ebb_float_state own;

	if (!s || (s->of_x && !x) || ebb_count(y) == 0)
		return true;
	if (axis < 0 || axis >= ebb_shape_of(y).ndim || !ebb_flow_readers(y, s->of_x ? x : NULL, r))
		return true;
	n = ebb_size(y, axis);
	stride = stride_of(&r[0], axis);
	if (units && !ebb_flow_units_fit(units, n))
		return false;
	c.flat = s->flat(s, limit);
	c.elu = strcmp(op, "elu") == 0;
	c.clamp = strcmp(op, "clamp") == 0;
	own = ebb_float_enter(false);
	if (stride == 1)
		count_rows(&c, r, n, most);
	else
		count_planes(&c, r, n, stride, most);
	ebb_float_leave(own);
	return true;
}
