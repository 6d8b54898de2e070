/* shapes.c - views, concatenation, padding, indexing: each element of the result is a copy of one
 * element of x. */
#include "tests/ops/ops_test.h"

/* ---- The reference: the position that each element of y is copied from -------------- */

/* Sets *from to the position in x[0] that y's element at is copied from.  False if there is none:
 * the element is then *value. */
typedef bool source(const array *x, int v, const int64_t *at, int64_t *from, double *value);

static void collect(const array *x, int v, ebb_shape shape, source *f, array *y)
{
	int64_t at[EBB_MAX_DIMS] = {0};

	*y = array_new(shape);
	if (!y->count)
		return;
	do {
		int64_t from[EBB_MAX_DIMS] = {0};
		double value = 0;

		if (f(x, v, at, from, &value))
			value = x->v[flat_index(&x->shape, from)];
		y->v[flat_index(&shape, at)] = value;
	} while (next_position(&shape, at));
}

#define PLAIN(name, shape_of, f)                                                                   \
	static void plain_##name(const array *x, int n, int v, array *y)                           \
	{                                                                                          \
		(void)n;                                                                           \
		collect(x, v, shape_of(x, v), f, y);                                               \
	}

/* The same elements in the same row-major order, with another shape. */
static void same_elements(const array *x, ebb_shape shape, array *y)
{
	*y = array_new(shape);
	ck_assert_int_eq(y->count, x->count);
	memcpy(y->v, x->v, (size_t)x->count * sizeof *y->v);
}

/* ---- reshape, flatten, unsqueeze, squeeze, dense ------------------------------------ */

static const ebb_shape ASKED[] = {{2, {6, 4}}, {2, {-1, 8}}, {1, {-1}}, {4, {2, 3, 1, 4}},
	{2, {0, 5}}, {0, {0}}, {1, {1}}, {2, {2, -1}}};
static const ebb_shape MEANT[] = {{2, {6, 4}}, {2, {3, 8}}, {1, {24}}, {4, {2, 3, 1, 4}},
	{2, {0, 5}}, {0, {0}}, {1, {1}}, {2, {2, 12}}};

CALL(reshape, ebb_reshape(t, x[0], ASKED[v]))
CALL(flatten, ebb_flatten(t, x[0]))
CALL(unsqueeze, ebb_unsqueeze(t, x[0], v))
CALL(squeeze, ebb_squeeze(t, x[0], v))
CALL(dense, ebb_dense(t, x[0], (ebb_order)v))

static void plain_reshape(const array *x, int n, int v, array *y)
{
	(void)n;
	same_elements(x, MEANT[v], y);
}

static void plain_flatten(const array *x, int n, int v, array *y)
{
	ebb_shape s = {2, {x->shape.dims[0], 1}};

	(void)n;
	(void)v;
	for (int d = 1; d < x->shape.ndim; d++)
		s.dims[1] *= x->shape.dims[d];
	same_elements(x, s, y);
}

static void plain_unsqueeze(const array *x, int n, int v, array *y)
{
	ebb_shape s = {x->shape.ndim + 1, {0}};
	int axis = v < 0 ? v + s.ndim : v;

	(void)n;
	for (int d = 0; d < s.ndim; d++)
		s.dims[d] = d == axis ? 1 : x->shape.dims[d < axis ? d : d - 1];
	same_elements(x, s, y);
}

static void plain_squeeze(const array *x, int n, int v, array *y)
{
	ebb_shape s = {0, {0}};
	int axis = v < 0 ? v + x->shape.ndim : v;

	(void)n;
	for (int d = 0; d < x->shape.ndim; d++) {
		if (d != axis)
			s.dims[s.ndim++] = x->shape.dims[d];
	}
	same_elements(x, s, y);
}

static void plain_dense(const array *x, int n, int v, array *y)
{
	(void)n;
	(void)v;
	same_elements(x, x->shape, y);
}

static void orders(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_randn(t, EBB_SHAPE(2, 3, 4, 5)),
		   *y = ebb_dense(t, x, EBB_CHANNELS_LAST);

	ck_assert_ptr_eq(ebb_dense(t, x, EBB_ROWS), x);
	ck_assert(ebb_stride(y, 1) == 1 && ebb_stride(y, 3) == 3 && ebb_stride(y, 2) == 15 &&
		  ebb_stride(y, 0) == 60);
	ck_assert(all_same(x, y));
	ck_assert_ptr_eq(ebb_dense(t, y, EBB_DENSE), y);
	y = ebb_dense(t, ebb_slice(t, x, 3, 0, EBB_END, 2), EBB_ROWS);
	ck_assert(ebb_stride(y, 3) == 1 && ebb_stride(y, 0) == 36);
	assert_healthy(t);
	ebb_tape_free(t);
}

/* Non-contiguous parts of a channels-last image give channels-last results: by padding,
 * concatenation, and as the gradient of a slice. */
static void orders_of_parts(void)
{
	for (int last = 0; last <= 1; last++) {
		ebb_tape *t = ebb_tape_new();
		ebb_order order = last ? EBB_CHANNELS_LAST : EBB_ROWS;
		ebb_tensor *x = ebb_dense(t, ebb_randn(t, EBB_SHAPE(2, 3, 8, 6)), order), *piece,
			   *g;
		ebb_tensor *made[3];

		x = ebb_variable(t, x);
		piece = ebb_slice(t, ebb_slice(t, x, 2, 0, EBB_END, 2), 3, 1, EBB_END, 2);
		made[0] = ebb_pad(t, piece, EBB_PADS(1, 0, 0, 1, 2, 2));
		made[1] = ebb_concat(t, 2, (ebb_tensor *[]){piece, piece}, 1);
		ck_assert_msg(ebb_grad(t, ebb_sum(t, ebb_square(t, made[0])), 1, &x, &g, NULL),
			"%s", ebb_error_message(t));
		made[2] = g;
		for (int i = 0; i < 3; i++)
			ck_assert_ptr_eq(ebb_dense(t, made[i], order), made[i]);
		assert_healthy(t);
		ebb_tape_free(t);
	}
}

/* ---- permute, transpose, expand, slice ---------------------------------------------- */

static const ebb_axes ORDERS[] = {{3, {2, 0, 1}}, {3, {0, 1, 2}}, {2, {1, 0}}, {4, {0, 2, 3, 1}},
	{3, {-1, 0, -2}}, {0, {0}}, {1, {0}}, {3, {0, 0, 1}}, {3, {0, 1, 3}}};

CALL(permute, ebb_permute(t, x[0], ORDERS[v]))

static ebb_shape permuted_shape(const array *x, int v)
{
	ebb_shape s = {x->shape.ndim, {0}};

	for (int d = 0; d < s.ndim; d++)
		s.dims[d] = x->shape.dims[(ORDERS[v].axis[d] + s.ndim) % s.ndim];
	return s;
}

static bool from_permuted(const array *x, int v, const int64_t *at, int64_t *from, double *value)
{
	(void)value;
	for (int d = 0; d < x->shape.ndim; d++)
		from[(ORDERS[v].axis[d] + x->shape.ndim) % x->shape.ndim] = at[d];
	return true;
}
PLAIN(permute, permuted_shape, from_permuted)

static const int PAIRS[][2] = {{0, 1}, {-1, -2}, {0, -1}, {1, 1}, {0, 3}};

CALL(transpose, ebb_transpose(t, x[0], PAIRS[v][0], PAIRS[v][1]))

static void swap(const array *x, int v, int64_t *p)
{
	int n = x->shape.ndim, a = (PAIRS[v][0] + n) % n, b = (PAIRS[v][1] + n) % n;
	int64_t kept = p[a];

	p[a] = p[b];
	p[b] = kept;
}

static ebb_shape transposed_shape(const array *x, int v)
{
	ebb_shape s = x->shape;

	swap(x, v, s.dims);
	return s;
}

static bool from_transposed(const array *x, int v, const int64_t *at, int64_t *from, double *value)
{
	(void)value;
	memcpy(from, at, (size_t)x->shape.ndim * sizeof *from);
	swap(x, v, from);
	return true;
}
PLAIN(transpose, transposed_shape, from_transposed)

static const ebb_shape WIDE[] = {{2, {4, 3}}, {3, {2, 4, 3}}, {3, {5, -1, -1}}, {2, {0, 3}},
	{2, {2, 2}}, {1, {1}}, {4, {2, 3, 2, 2}}};
static const ebb_shape WIDE_MEANT[] = {{2, {4, 3}}, {3, {2, 4, 3}}, {3, {5, 2, 3}}, {2, {0, 3}},
	{2, {2, 2}}, {1, {1}}, {4, {2, 3, 2, 2}}};

CALL(expand, ebb_expand(t, x[0], WIDE[v]))

static void plain_expand(const array *x, int n, int v, array *y)
{
	int64_t at[EBB_MAX_DIMS] = {0};

	(void)n;
	*y = array_new(WIDE_MEANT[v]);
	if (!y->count)
		return;
	do
		y->v[flat_index(&y->shape, at)] = broadcast_at(x, &y->shape, at);
	while (next_position(&y->shape, at));
}

static const struct {
	int axis;
	int64_t start, stop, step;
} CUTS[] = {{0, 1, 3, 1}, {1, 0, EBB_END, 2}, {-1, -3, -1, 1}, {0, 2, 1, 1}, {1, 1, 2, 7},
	{0, -100, 100, 3}, {1, 4, EBB_END, 1}, {3, 0, 1, 1}, {0, 0, 1, 0}};

CALL(slice, ebb_slice(t, x[0], CUTS[v].axis, CUTS[v].start, CUTS[v].stop, CUTS[v].step))

static int64_t clipped(int64_t i, int64_t size)
{
	i = i < 0 ? i + size : i;
	return i < 0 ? 0 : i > size ? size : i;
}

static ebb_shape cut_shape(const array *x, int v)
{
	ebb_shape s = x->shape;
	int axis = (CUTS[v].axis + s.ndim) % s.ndim;
	int64_t stop = clipped(CUTS[v].stop, s.dims[axis]), count = 0;

	for (int64_t i = clipped(CUTS[v].start, s.dims[axis]); i < stop; i += CUTS[v].step)
		count++;
	s.dims[axis] = count;
	return s;
}

static bool from_cut(const array *x, int v, const int64_t *at, int64_t *from, double *value)
{
	int axis = (CUTS[v].axis + x->shape.ndim) % x->shape.ndim;

	(void)value;
	memcpy(from, at, (size_t)x->shape.ndim * sizeof *from);
	from[axis] = clipped(CUTS[v].start, x->shape.dims[axis]) + at[axis] * CUTS[v].step;
	return true;
}
PLAIN(slice, cut_shape, from_cut)

/* ---- concat, stack ------------------------------------------------------------------ */

CALL(concat, ebb_concat(t, n, x, v))
CALL(stack, ebb_stack(t, n, x, v))

static void plain_concat(const array *x, int n, int v, array *y)
{
	ebb_shape s = x[0].shape;
	int axis = (v + s.ndim) % s.ndim;
	int64_t begin = 0;

	s.dims[axis] = 0;
	for (int k = 0; k < n; k++)
		s.dims[axis] += x[k].shape.dims[axis];
	*y = array_new(s);
	for (int k = 0; k < n; k++) {
		int64_t at[EBB_MAX_DIMS] = {0}, to[EBB_MAX_DIMS];

		if (x[k].count) {
			do {
				memcpy(to, at, sizeof to);
				to[axis] += begin;
				y->v[flat_index(&s, to)] = x[k].v[flat_index(&x[k].shape, at)];
			} while (next_position(&x[k].shape, at));
		}
		begin += x[k].shape.dims[axis];
	}
}

static void plain_stack(const array *x, int n, int v, array *y)
{
	int axis = v < 0 ? v + x[0].shape.ndim + 1 : v;
	array parts[MAX_IN];

	for (int k = 0; k < n; k++)
		plain_unsqueeze(&x[k], 1, axis, &parts[k]);
	plain_concat(parts, n, axis, y);
}

/* Ten inputs, more than ebb_op has reads[] for; one of them is given twice. */
static void many_parts(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x[10], *y, *g[10];

	ebb_set_default_dtype(t, EBB_F64);
	for (int k = 0; k < 10; k++)
		x[k] = k == 7 ? x[2] : ebb_variable(t, ebb_full(t, EBB_SHAPE(2, 1), k));
	y = ebb_concat(t, 10, x, 1);
	for (int k = 0; k < 10; k++)
		ck_assert_double_eq(ebb_at(y, 10 + k), k == 7 ? 2 : k);
	ck_assert(ebb_grad(t,
		ebb_sum(t, ebb_mul(t, ebb_square(t, y), ebb_cast(t, ebb_arange(t, 10), EBB_F64))),
		10, x, g));
	for (int k = 0; k < 10; k++)
		ck_assert_double_eq(
			ebb_at(g[k], 1), k == 2 || k == 7 ? 2 * 2 * (2 + 7) : 2.0 * k * k);
	assert_refused(t, EBB_INVALID, ebb_concat(t, 0, x, 0), "shapes.c:", "concat", "0");
	x[3] = NULL;
	assert_refused(t, EBB_INVALID, ebb_concat(t, 10, x, 0), "concat", "3", "NULL");
	ebb_tape_free(t);
}

/* ---- pad ---------------------------------------------------------------------------- */

static const struct {
	ebb_pads pads;
	ebb_pad_mode mode;
	double value;
} PADS[] = {
	{{4, {1, 2, 0, 1}}, EBB_PAD_CONSTANT, 0},
	{{2, {2, 1}}, EBB_PAD_CONSTANT, 3.5},
	{{4, {-1, 1, 2, -1}}, EBB_PAD_CONSTANT, -1},
	{{4, {1, 2, 1, 0}}, EBB_PAD_REFLECT, 0},
	{{4, {3, 1, 0, 5}}, EBB_PAD_REPLICATE, 0},
	{{0, {0}}, EBB_PAD_CONSTANT, 0},
	{{6, {0, 1, 1, 0, 2, 2}}, EBB_PAD_CONSTANT, 0},
	{{2, {-2, -1}}, EBB_PAD_CONSTANT, 1},
	{{2, {-3, 2}}, EBB_PAD_CONSTANT, 2},
	{{3, {1, 1, 1}}, EBB_PAD_CONSTANT, 0},
	{{2, {3, 0}}, EBB_PAD_REFLECT, 0},
	{{2, {-3, -3}}, EBB_PAD_CONSTANT, 0},
	{{4, {3, 1, 0, 2}}, EBB_PAD_CIRCULAR, 0},
	{{2, {4, 0}}, EBB_PAD_CIRCULAR, 0},
	{{4, {-1, 2, 1, -1}}, EBB_PAD_REFLECT, 0},
	{{4, {3, -2, -1, 3}}, EBB_PAD_REPLICATE, 0},
	{{4, {-1, 2, 1, -1}}, EBB_PAD_CIRCULAR, 0},
	{{2, {-2, -1}}, EBB_PAD_REFLECT, 0},
	{{2, {2, -2}}, EBB_PAD_CIRCULAR, 0},
	{{2, {-4, 2}}, EBB_PAD_REPLICATE, 0},
};

CALL(pad, ebb_pad(t, x[0], .pads = PADS[v].pads, .mode = PADS[v].mode, .value = PADS[v].value))

static ebb_shape padded_shape(const array *x, int v)
{
	ebb_shape s = x->shape;

	for (int i = 0; i < PADS[v].pads.n; i++)
		s.dims[s.ndim - 1 - i / 2] += PADS[v].pads.pad[i];
	return s;
}

static bool from_padded(const array *x, int v, const int64_t *at, int64_t *from, double *value)
{
	bool inside = true;

	*value = PADS[v].value;
	for (int d = 0; d < x->shape.ndim; d++) {
		int i = 2 * (x->shape.ndim - 1 - d);
		int64_t size = x->shape.dims[d],
			p = at[d] - (i < PADS[v].pads.n ? PADS[v].pads.pad[i] : 0);

		if (PADS[v].mode == EBB_PAD_REPLICATE)
			p = p < 0 ? 0 : p >= size ? size - 1 : p;
		if (PADS[v].mode == EBB_PAD_REFLECT)
			p = p < 0 ? -p : p >= size ? 2 * size - 2 - p : p;
		if (PADS[v].mode == EBB_PAD_CIRCULAR && i < PADS[v].pads.n) {
			/* EBB_PAD_CIRCULAR repeats the elements that are left after cropping. */
			int64_t first = PADS[v].pads.pad[i] < 0 ? -PADS[v].pads.pad[i] : 0,
				last = PADS[v].pads.pad[i + 1] < 0 ? -PADS[v].pads.pad[i + 1] : 0;

			size -= first + last;
			p = first + (p - first + size) % size;
			size = x->shape.dims[d];
		}
		inside &= p >= 0 && p < size;
		from[d] = p;
	}
	return inside;
}
PLAIN(pad, padded_shape, from_padded)

/* ---- index_select, gather ----------------------------------------------------------- */

CALL(index_select, ebb_index_select(t, x[0], v, x[1]))
CALL(gather, ebb_gather(t, x[0], v, x[1]))

static ebb_shape selected_shape(const array *x, int v)
{
	ebb_shape s = x->shape;

	s.dims[(v + s.ndim) % s.ndim] = x[1].count;
	return s;
}

static bool from_selected(const array *x, int v, const int64_t *at, int64_t *from, double *value)
{
	int axis = (v + x->shape.ndim) % x->shape.ndim;

	(void)value;
	memcpy(from, at, (size_t)x->shape.ndim * sizeof *from);
	from[axis] = (int64_t)x[1].v[at[axis]];
	return true;
}
PLAIN(index_select, selected_shape, from_selected)

static ebb_shape index_shape(const array *x, int v)
{
	(void)v;
	return x[1].shape;
}

static bool from_gathered(const array *x, int v, const int64_t *at, int64_t *from, double *value)
{
	int axis = (v + x->shape.ndim) % x->shape.ndim;

	(void)value;
	memcpy(from, at, (size_t)x->shape.ndim * sizeof *from);
	from[axis] = (int64_t)x[1].v[flat_index(&x[1].shape, at)];
	return true;
}
PLAIN(gather, index_shape, from_gathered)

#define SINGLE .waived = {[BROADCAST] = "one real operand"}

const entry shape_ops[] = {
	{.name = "reshape",
		.call = call_reshape,
		.reference = plain_reshape,
		.samples = "2x3x4 #0 | 2x3x4 #1 | 2x3x4 #2 | 4x3x2 #3 | 2x0 #4 | 1 #5 | "
			   "1x1 #6 | 2x3x2x2 #7",
		.refused = "2x3 #0 | 3x3 #1 | 2x0 #0 | 5 #7",
		SINGLE},
	{.name = "flatten",
		.call = call_flatten,
		.reference = plain_flatten,
		.samples = "2x3x4 | 3 | 2x3x2x2 | 0x3x2 | 2x0x3 | 1x5x1",
		.refused = "-",
		SINGLE},
	{.name = "unsqueeze",
		.call = call_unsqueeze,
		.reference = plain_unsqueeze,
		.samples =
			"2x3 #0 | 2x3 #1 | 2x3 #2 | 2x3x4 #-1 | 2x3 #-3 | - #0 | 0x2 #1 | 1x4 #1",
		.refused = "2x3 #3 | 2x3 #-4 | 1x1x1x1x1x1x1x1 #0",
		SINGLE},
	{.name = "squeeze",
		.call = call_squeeze,
		.reference = plain_squeeze,
		.samples = "2x1x3 #1 | 1x2x3 #0 | 2x3x1 #-1 | 1 #0 | 0x1x2 #1 | 2x1x3x2 #-3",
		.refused = "2x3 #0 | 1x3 #2 | - #0 | 0x3 #0",
		SINGLE},
	{.name = "permute",
		.call = call_permute,
		.reference = plain_permute,
		.samples = "2x3x4 #0 | 2x3x4 #1 | 2x3 #2 | 2x3x2x2 #3 | 2x3x4 #4 | - #5 | "
			   "1 #6 | 0x1x3 #0",
		.refused = "2x3 #0 | 2x3x4 #7 | 2x3x4 #8 | 2x3 #5",
		SINGLE},
	{.name = "transpose",
		.call = call_transpose,
		.reference = plain_transpose,
		.samples = "2x3x4 #0 | 2x3x4 #1 | 2x3x2x2 #2 | 2x3 #3 | 1x3 #0 | 0x3 #0",
		.refused = "2x3x4 #4 | - #0 | 3 #0",
		SINGLE},
	{.name = "expand",
		.call = call_expand,
		.reference = plain_expand,
		.samples = "1x3 #0 | 4x1 #0 | 3 #0 | - #0 | 4x3 #1 | 2x1x3 #1 | 2x3 #2 | "
			   "1x3 #3 | 0x3 #3 | 1 #5 | 3x1x1 #6 | 2x3x1x2 #6",
		.refused = "2x3 #0 | 4x3 #4 | 2x4x3 #0 | 2x3 #3",
		SINGLE},
	{.name = "slice",
		.call = call_slice,
		.reference = plain_slice,
		.samples = "4x5 #0 | 4x5 #1 | 4x5 #2 | 4x5 #3 | 4x5 #4 | 4x5 #5 | 2x5x3 #6 | "
			   "0x5 #1 | 5x0 #0 | 1x1 #1 | 2x4x3x2 #1",
		.refused = "4x5 #7 | 4x5 #8 | - #0",
		SINGLE},
	{.name = "dense",
		.call = call_dense,
		.reference = plain_dense,
		.samples = "2x3x4 #0 | 2x3x4 #1 | 2x3x2x2 #2 | 2x3x2x2 #1 | 2x3x2x2 #0 | - #1 | "
			   "1 #2 | 0x2x3 #2 | 1x3x1x1 #2 | 2x3 #3",
		.property = orders,
		.waived = {[BROADCAST] = "one operand", [REFUSED] = "takes any tensor"}},
	{.name = "concat",
		.call = call_concat,
		.reference = plain_concat,
		.samples = "2x3 2x3 #0 | 2x3 2x1 2x4 #1 | 2x3x2 2x3x1 #-1 | 3 #0 | 0x3 2x3 #0 | "
			   "2x0 2x3 2x0 #1 | 1 1 1 1 #0 | 2x3x2x2 2x1x2x2 #1 | "
			   "2x3x2x2 1x3x2x2 #0",
		.refused = "2x3 3x3 #1 | 2x3 2x3x1 #0 | 2x3 i5:2x3 #0 | - - #0 | 2x3 2x3 #2",
		.property = many_parts},
	{.name = "stack",
		.call = call_stack,
		.reference = plain_stack,
		.samples = "2x3 2x3 #0 | 2x3 2x3 2x3 #1 | 2x3 2x3 #-1 | - - - #0 | 1 1 #1 | "
			   "0x2 0x2 #1 | 2x3x2 2x3x2 #2",
		.refused = "2x3 2x4 #0 | 2x3 2x3 #3 | 2x3 2x3 #-4 | 2x3 i5:2x3 #0",
		.waived = {[BROADCAST] = "all of one shape"}},
	{.name = "pad",
		.call = call_pad,
		.reference = plain_pad,
		.property = orders_of_parts,
		.samples = "2x3 #0 | 2x3 #1 | 4x3 #2 | 2x3x3 #3 | 2x3 #4 | 2x3 #5 | 1x2x1 #6 | "
			   "2x3x2x2 #6 | 0x3 #0 | 2x4 #7 | 2x3 #7 | 2x3 #8f | 2x3x2x2 #4 | "
			   "2x1 #4 | 2x3 #12 | 2x3x2x4 #13 | 0x4 #13 | 2x3x2x4 #14 | "
			   "2x4 #15 | 3x4 #16 | 2x3x2x4 #16 | 2x3 #15",
		.refused = "2x3 #9 | 3 #0 | 2x3 #10 | 2x3 #11 | 0x0 #4 | 2x3 #13 | "
			   "2x0 #12 | 2x3 #17 | 2x3 #18 | 2x3 #19",
		SINGLE},
	{.name = "index_select",
		.call = call_index_select,
		.reference = plain_index_select,
		.samples = "4x3 i4:6 #0 | 4x3 i3:2 #1 | 2x3x2 i3:5 #-2 | 5 i5:1 #0 | "
			   "4x3 i4:0 #0 | 0x3 i3:2 #1 | 1x3 i1:4 #0 | 2x3x2x2 i3:4 #1",
		.refused = "4x3 i9:40 #0 | 4x3 i2:2x2 #0 | 4x3 3 #0 | 4x3 i2:2 #2 | - i1:1 #0 | "
			   "0x3 i1:1 #0",
		SINGLE},
	{.name = "gather",
		.call = call_gather,
		.reference = plain_gather,
		.samples = "4x3 i4:2x3 #0 | 4x3 i3:4x5 #1 | 4x3 i4:6x2 #0 | "
			   "2x3x2 i2:2x2x4 #-1 | 3 i3:7 #0 | 4x3 i4:0x3 #0 | 4x3 i3:0x2 #1 | "
			   "1x3 i1:2x3 #0 | 2x3x2x2 i3:1x4x2x1 #1",
		.refused = "4x3 i4:3 #0 | 4x3 i4:2x4 #0 | 4x3 i99:20x3 #0 | 4x3 2x3 #0 | "
			   "4x3 i2:2x3 #2",
		SINGLE},
	{.name = NULL},
};
