/* measure.c - sums of measures, the statistics of a tensor, and which of its elements are
 * measured. */
#include "flow/instrument/measure.h"
#include "flow/internal.h"
#include "kernels/float_state.h"
#include "tensor/host.h"

#include <float.h>
#include <math.h>

void ebb_flow_sums_add(struct flow_sums *into, const struct flow_sums *more)
{
	into->calls += more->calls;
	into->elements += more->elements;
	ebb_sums_add(&into->y, &more->y);
	into->y_infinite += more->y_infinite;
	ebb_sums_add(&into->g, &more->g);
	into->g_infinite += more->g_infinite;
	into->y_l2 = hypot(into->y_l2, more->y_l2);
	into->g_l2 = hypot(into->g_l2, more->g_l2);
	into->x_l2 = hypot(into->x_l2, more->x_l2);
	into->y_elements += more->y_elements;
	into->g_elements += more->g_elements;
	into->x_elements += more->x_elements;
	into->into_l2 = hypot(into->into_l2, more->into_l2);
	into->from_l2 = hypot(into->from_l2, more->from_l2);
	into->contributions += more->contributions;
	into->slopes += more->slopes;
	into->flat += more->flat;
	into->rank += more->rank;
	into->ranks += more->ranks;
}

/* ---- Blocks ---------------------------------------------------------------------------------- */

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* At least 16 blocks, unless a row is longer than 1/16 of what is measured. */
struct flow_blocks ebb_flow_blocks(int64_t n, int64_t row, int64_t most)
{
	bool all = most < 0 || n <= most;
	int64_t want = all ? FLOW_BLOCK : larger(1, smaller(FLOW_BLOCK, most / 16));
	struct flow_blocks b = {.rows = n / row, .row = row};

	if (n == 0)
		return b;
	b.len = smaller((want + row - 1) / row, b.rows);
	b.count = all ? (b.rows + b.len - 1) / b.len
	              : smaller(larger(2, most / (b.len * row)), b.rows / b.len);
	return b;
}

/* k*n/count, without overflow. */
static int64_t share(int64_t n, int64_t k, int64_t count)
{
	return n / count * k + n % count * k / count;
}

/* The first row of block k.  The offsets are the multiples of the golden ratio, modulo 1, which are
 * spread evenly for any number of blocks. */
static int64_t begin(const struct flow_blocks *b, int64_t k)
{
	int64_t from = share(b->rows, k, b->count), room;
	double offset = (double)k * 0.61803398874989485;

	if (b->count * b->len >= b->rows)
		return k * b->len;
	room = share(b->rows, k + 1, b->count) - from - b->len;
	return from +
	       (k + 1 == b->count ? room : (int64_t)((offset - floor(offset)) * (double)room));
}

bool ebb_flow_next(struct flow_blocks *b)
{
	b->from += b->n;
	if (b->from >= b->end) {
		if (b->next >= b->count)
			return false;
		b->from = begin(b, b->next++);
		b->end = smaller(b->rows, b->from + b->len) * b->row;
		b->from *= b->row;
	}
	b->n = smaller(FLOW_PIECE, b->end - b->from);
	return true;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Whether the elements of both tensors of one shape lie in memory in the same order: if x is dense,
 * so is y. */
static bool same_order(const ebb_tensor *x, const ebb_tensor *y)
{
	ebb_shape s = ebb_shape_of(x);

	for (int a = 0; a < s.ndim; a++)
		if (s.dims[a] > 1 && ebb_stride(x, a) != ebb_stride(y, a))
			return false;
	return true;
}

static bool is_readable(const ebb_tensor *x)
{
	ebb_dtype dtype = ebb_dtype_of(x);

	return x && (dtype == EBB_F32 || dtype == EBB_F64) && (ebb_count(x) == 0 || ebb_data(x));
}

static bool same_shape(const ebb_tensor *x, const ebb_tensor *y)
{
	ebb_shape s = ebb_shape_of(x), of_y = ebb_shape_of(y);
	bool same = s.ndim == of_y.ndim;

	for (int a = 0; same && a < s.ndim; a++)
		same = s.dims[a] == of_y.dims[a];
	return same;
}

bool ebb_flow_readers(const ebb_tensor *x, const ebb_tensor *y, struct flow_reader r[2])
{
	bool direct;

	if (!is_readable(x))
		return false;
	direct = ebb_is_dense(x, EBB_DENSE);
	if (y) {
		if (!is_readable(y) || ebb_dtype_of(x) != ebb_dtype_of(y) || !same_shape(x, y))
			return false;
		direct = direct && same_order(x, y);
		r[1] = (struct flow_reader){
			y, ebb_data(y), ebb_dtype_size(ebb_dtype_of(y)), direct};
	}
	r[0] = (struct flow_reader){x, ebb_data(x), ebb_dtype_size(ebb_dtype_of(x)), direct};
	return true;
}

/* Copies the elements from..from+n in row-major order. */
static void gather(const struct flow_reader *r, int64_t from, int64_t n, char *to)
{
	ebb_shape s = ebb_shape_of(r->x);
	int last = s.ndim - 1;
	int64_t stride = ebb_stride(r->x, last), one = 1, size = (int64_t)r->size;

	while (n > 0) {
		int64_t run = smaller(n, s.dims[last] - from % s.dims[last]), rest = from, at = 0;

		for (int a = last; a >= 0; a--) {
			at += rest % s.dims[a] * ebb_stride(r->x, a);
			rest /= s.dims[a];
		}
		ebb_copy_strided(r->size, 1, &run, r->data + at * size, &stride, to, &one);
		from += run;
		n -= run;
		to += run * size;
	}
}

const void *ebb_flow_read(
	const struct flow_reader *r, int64_t from, int64_t n, union flow_piece *buffer)
{
	if (r->direct)
		return r->data + from * (int64_t)r->size;
	gather(r, from, n, (char *)buffer);
	return buffer;
}

/* ---- Statistics ------------------------------------------------------------------------------ */

static const ebb_kernels *kernels_of(const ebb_tensor *x)
{
	return ebb_dtype_of(x) == EBB_F64 ? ebb_kernels_f64() : ebb_kernels_f32();
}

/* Adds the statistics of n elements; those that are infinite count as saturated. */
static void add_stats(const ebb_kernels *kernels, int64_t n, const void *x, ebb_kernel_stats *s)
{
	ebb_kernel_stats part;

	ebb_exact_stats(kernels, n, x, -DBL_MAX, DBL_MAX, &part);
	ebb_sums_add(s, &part);
}

/* The number of elements that are neighbours in memory along the innermost axis (of images that are
 * channels-last, the channels of a pixel), if that is at most a block; else 1. */
static int64_t row_of(const struct flow_reader *r)
{
	ebb_shape s = ebb_shape_of(r->x);
	int64_t row = 1;

	for (int a = 0; a < s.ndim; a++)
		if (s.dims[a] > 1 && (r->direct ? ebb_stride(r->x, a) == 1 : a == s.ndim - 1))
			row = s.dims[a];
	return row <= FLOW_BLOCK ? row : 1;
}

bool ebb_flow_stats(const ebb_tensor *x, int64_t most, ebb_kernel_stats *s, int64_t *infinite)
{
	int64_t n = ebb_count(x);
	struct flow_reader r[2];
	struct flow_blocks b;
	union flow_piece buffer;

	*s = (ebb_kernel_stats){.min = INFINITY, .max = -INFINITY};
	*infinite = 0;
	if (!ebb_flow_readers(x, NULL, r))
		return false;
	if (r->direct && n > 0 && (most < 0 || n <= most)) {
		add_stats(kernels_of(x), n, r->data, s);
	} else {
		b = ebb_flow_blocks(n, row_of(r), most);
		while (ebb_flow_next(&b))
			add_stats(kernels_of(x), b.n, ebb_flow_read(r, b.from, b.n, &buffer), s);
	}
	*infinite = s->saturated;
	return true;
}

bool ebb_flow_has_bad(const ebb_tensor *x, int64_t most)
{
	ebb_kernel_stats s;
	int64_t infinite;

	return ebb_flow_stats(x, most, &s, &infinite) && s.nan + infinite > 0;
}

double ebb_flow_l2(const ebb_tensor *x, const ebb_kernel_stats *s)
{
	return s->n > 0 ? s->l2 * sqrt((double)ebb_count(x) / (double)s->n) : 0;
}

/* to = y > 0 ? g : 0 */
#define GATE(real)                                                                                 \
	static void gate_##real(int64_t n, const real *y, const real *g, real *to)                 \
	{                                                                                          \
		for (int64_t i = 0; i < n; i++)                                                    \
			to[i] = y[i] > 0 ? g[i] : 0;                                               \
	}
GATE(float)
GATE(double)

bool ebb_flow_gated_l2(const ebb_tensor *y, const ebb_tensor *g, int64_t most, double *l2)
{
	union flow_piece of_y, of_g, passed;
	ebb_kernel_stats s = {.min = INFINITY, .max = -INFINITY};
	struct flow_reader r[2];
	struct flow_blocks b;
	ebb_float_state own;

	*l2 = 0;
	if (!g || !ebb_flow_readers(y, g, r))
		return false;
	own = ebb_float_enter(false);
	b = ebb_flow_blocks(ebb_count(y), row_of(r), most);
	while (ebb_flow_next(&b)) {
		const void *py = ebb_flow_read(&r[0], b.from, b.n, &of_y);
		const void *pg = ebb_flow_read(&r[1], b.from, b.n, &of_g);

		if (r->size == sizeof(double))
			gate_double(b.n, py, pg, passed.f64);
		else
			gate_float(b.n, py, pg, passed.f32);
		add_stats(kernels_of(y), b.n, &passed, &s);
	}
	ebb_float_leave(own);
	*l2 = ebb_flow_l2(y, &s);
	return true;
}
