/* A custom op that gives gradients of parts of its inputs (ebb_give_part), with the public headers
 * only. */
#include "own.h"

/* ---- An op that reads parts of its inputs ---------------------------------------------------- */

enum { MOST = 6, MOST_ELEMENTS = 64 };

typedef enum kind {
	RANGE,    /* count elements along the axis: start, start + step, .. */
	SLICES,   /* the slices at the indices in input 2, of one axis */
	ELEMENTS, /* the elements at the indices in input 3, of x's axes */
	WHOLE,
	SCALAR /* the whole; its gradient is given as a view of one number */
} kind;

typedef struct piece {
	kind kind;
	int input; /* 0 or 1 */
	double c;
	int axis;
	int64_t start, step, count;
} piece;

typedef struct pieces {
	int n;
	piece piece[MOST];
} pieces;

static bool in_parts; /* by ebb_give_part; else each gradient is given as a whole */
static int parts_given;

/* How often piece p reads each element of x. */
static void count_reads(
	const piece *p, const ebb_tensor *x, const ebb_tensor *const index[2], double *reads)
{
	int64_t count = ebb_count(x), inner = 1, len;
	int axis = p->axis < 0 ? p->axis + ebb_ndim(x) : p->axis;

	memset(reads, 0, (size_t)count * sizeof *reads);
	if (p->kind == WHOLE || p->kind == SCALAR) {
		for (int64_t i = 0; i < count; i++)
			reads[i] = 1;
		return;
	}
	len = ebb_size(x, axis);
	for (int i = axis + 1; i < ebb_ndim(x); i++)
		inner *= ebb_size(x, i);
	if (p->kind == ELEMENTS) {
		int64_t n = ebb_size(index[1], axis);

		for (int64_t i = 0; i < ebb_count(index[1]); i++)
			reads[i / (inner * n) * inner * len + (int64_t)ebb_at(index[1], i) * inner +
				i % inner]++;
		return;
	}
	for (int64_t i = 0; i < count; i++) {
		int64_t at = i / inner % len;

		for (int64_t k = 0; p->kind == RANGE && k < p->count; k++)
			reads[i] += at == p->start + k * (p->step ? p->step : 1);
		for (int64_t k = 0; p->kind == SLICES && k < ebb_count(index[0]); k++)
			reads[i] += at == (int64_t)ebb_at(index[0], k);
	}
}

/* The elements of x that piece p reads, by ops. */
static ebb_tensor *read_piece(ebb_vjp *v, const piece *p)
{
	ebb_tensor *x = v->in[p->input];
	int64_t step = p->step ? p->step : 1;

	if (p->kind == RANGE)
		return ebb_slice(v->t, x, p->axis, p->start, p->start + p->count * step, step);
	return p->kind == SLICES ? ebb_index_select(v->t, x, p->axis, v->in[2])
	                         : ebb_gather(v->t, x, p->axis, v->in[3]);
}

/* The same gradient for all of x: zero outside the piece. */
static ebb_tensor *whole(ebb_vjp *v, const piece *p, ebb_tensor *slope)
{
	ebb_tensor *x = v->in[p->input], *reads;
	const ebb_tensor *const index[] = {v->in[2], v->in[3]};
	double n[MOST_ELEMENTS];

	count_reads(p, x, index, n);
	reads = ebb_cast(v->t, ebb_from_f64(v->t, ebb_shape_of(x), n), ebb_dtype_of(x));
	return ebb_mul(v->t, ebb_mul(v->t, x, reads), slope);
}

static void give_piece(ebb_vjp *v, const piece *p)
{
	ebb_tensor *slope = ebb_mul_scalar(v->t, v->gy, 2 * p->c), *g;
	ebb_selection part = {p->axis, p->start, p->step, NULL};

	if (!ebb_wants(v, p->input))
		return;
	if (p->kind == SCALAR) {
		/* The gradient of c times the sum. */
		g = ebb_mul_scalar(v->t, v->gy, p->c);
		ebb_give(v, p->input, ebb_expand(v->t, g, ebb_shape_of(v->in[p->input])));
		return;
	}
	if (p->kind == SLICES || p->kind == ELEMENTS)
		part = (ebb_selection){.axis = p->axis, .index = v->in[p->kind == SLICES ? 2 : 3]};
	if (p->kind == WHOLE || !in_parts || v->recording) {
		ck_assert(!v->recording || p->kind == WHOLE || !in_parts ||
			  !ebb_give_part(v, p->input, v->gy, part));
		ebb_give(v, p->input, whole(v, p, slope));
		return;
	}
	g = ebb_mul(v->t, read_piece(v, p), slope);
	ck_assert(ebb_give_part(v, p->input, g, part));
	parts_given++;
}

static void pieces_vjp(ebb_vjp *v)
{
	const pieces *a = v->attrs;

	for (int i = 0; i < a->n; i++)
		give_piece(v, &a->piece[i]);
}
static const ebb_op PIECES = {.name = "pieces",
	.vjp = pieces_vjp,
	.reads = {EBB_IN(0) | EBB_IN(2) | EBB_IN(3), EBB_IN(1) | EBB_IN(2) | EBB_IN(3)},
	.optional = EBB_IN(1) | EBB_IN(2) | EBB_IN(3),
	.takes = {EBB_STRIDED, EBB_STRIDED, EBB_ROWS, EBB_ROWS}};

/* The sum over all pieces of c times the sum of the squares of the elements that the piece reads
 * (SCALAR: the sum of the elements). */
static ebb_tensor *read_pieces(ebb_tape *t, ebb_tensor *x0, ebb_tensor *x1, ebb_tensor *slices,
	ebb_tensor *elements, const pieces *a)
{
	ebb_tensor *in[] = {x0, x1, slices, elements}, *y;
	ebb_call c = ebb_begin(t, &PIECES, EBB_SITE, 4, in);
	double sum = 0, n[MOST_ELEMENTS];

	for (int i = 0; c.t && i < a->n; i++) {
		const piece *p = &a->piece[i];
		const ebb_tensor *x = in[p->input];
		const ebb_tensor *const index[] = {in[2], in[3]};

		count_reads(p, x, index, n);
		for (int64_t k = 0; k < ebb_count(x); k++)
			sum += p->c * n[k] * ebb_at(x, k) * (p->kind == SCALAR ? 1 : ebb_at(x, k));
	}
	y = c.t ? ebb_new(&c, ebb_dtype_of(in[0]), EBB_SCALAR_SHAPE, EBB_ROWS) : NULL;
	if (y && ebb_dtype_of(y) == EBB_F64)
		*(double *)ebb_data_mutable(y) = sum;
	else if (y)
		*(float *)ebb_data_mutable(y) = (float)sum;
	ebb_attach(&c, a, sizeof *a);
	return ebb_record(&c, y);
}

/* ---- Cases ----------------------------------------------------------------------------------- */

/* For x [3,4,2,2], of which axis 1 has LEN elements, and indices [5] and [3,3,2,2]. */
enum { AXIS = 1, LEN = 4, COUNT = 48 };
static const int64_t some[] = {2, 0, 2, 3, 2};

static const pieces cases[] = {
	{1, {{RANGE, 0, 1, AXIS, 1, 1, 2}}},
	{1, {{RANGE, 0, 1, AXIS, 1, 0, 3}}},  /* step 0 is 1 */
	{1, {{RANGE, 0, 1, -3, 0, 2, 2}}},    /* the axis from the end */
	{1, {{RANGE, 0, 1, -1, 1, 1000, 1}}}, /* one element: any step */
	{1, {{SLICES, 0, 1, AXIS, 0, 0, 0}}},
	{1, {{ELEMENTS, 0, 1, AXIS, 0, 0, 0}}},
	/* several parts of one input, which overlap, along different axes */
	{3, {{RANGE, 0, 1, AXIS, 0, 2, 2}, {RANGE, 0, 0.5, 0, 1, 1, 2},
		    {RANGE, 0, -2, AXIS, 1, 1, 3}}},
	{3, {{SLICES, 0, 1, AXIS, 0, 0, 0}, {RANGE, 0, 0.5, 3, 1, 1, 1},
		    {ELEMENTS, 0, 3, AXIS, 0, 0, 0}}},
	{6, {{RANGE, 0, 1, 0, 0, 1, 1}, {RANGE, 0, 2, 0, 1, 1, 1}, {RANGE, 0, 3, 0, 2, 1, 1},
		    {RANGE, 0, 4, 2, 0, 1, 1}, {RANGE, 0, 5, 2, 1, 1, 1},
		    {SLICES, 0, 6, AXIS, 0, 0, 0}}},
	/* parts together with whole gradients */
	{2, {{WHOLE, 0, 1, 0, 0, 0, 0}, {RANGE, 0, 0.5, AXIS, 1, 1, 2}}},
	{2, {{RANGE, 0, 0.5, AXIS, 1, 1, 2}, {WHOLE, 0, 1, 0, 0, 0, 0}}},
	{3, {{SCALAR, 0, 1, 0, 0, 0, 0}, {ELEMENTS, 0, 1, AXIS, 0, 0, 0},
		    {SCALAR, 0, 3, 0, 0, 0, 0}}},
	{3, {{SLICES, 0, 1, AXIS, 0, 0, 0}, {SCALAR, 0, 3, 0, 0, 0, 0}, {RANGE, 0, 1, 0, 1, 1, 1}}},
	/* parts of both inputs */
	{4, {{RANGE, 0, 1, AXIS, 1, 1, 2}, {RANGE, 1, 2, AXIS, 0, 1, 2},
		    {SLICES, 1, 1, AXIS, 0, 0, 0}, {ELEMENTS, 0, 1, AXIS, 0, 0, 0}}},
	{3, {{WHOLE, 1, 1, 0, 0, 0, 0}, {RANGE, 0, 2, AXIS, 0, 1, 2},
		    {SLICES, 1, 1, AXIS, 0, 0, 0}}},
	/* an empty part */
	{1, {{RANGE, 0, 1, AXIS, LEN, 1, 0}}},
	{2, {{RANGE, 0, 1, AXIS, 0, 1, 0}, {WHOLE, 0, 1, 0, 0, 0, 0}}},
};
enum { CASES = sizeof cases / sizeof *cases };

static ebb_tensor *slices_index(void)
{
	return ebb_from_i64(tape, EBB_SHAPE(5), some);
}

static ebb_tensor *elements_index(void)
{
	int64_t at[36];

	for (int i = 0; i < 36; i++)
		at[i] = (i * 7 + i / 5) % LEN;
	return ebb_from_i64(tape, EBB_SHAPE(3, 3, 2, 2), at);
}

/* The gradient of an input by its definition: g[i] = sum over the pieces of 2 c reads[i] x[i]. */
static void definition(const pieces *a, int input, const ebb_tensor *x, double *g)
{
	const ebb_tensor *const index[] = {slices_index(), elements_index()};
	double reads[MOST_ELEMENTS];

	memset(g, 0, COUNT * sizeof *g);
	for (int i = 0; i < a->n; i++) {
		const piece *p = &a->piece[i];

		if (p->input != input)
			continue;
		count_reads(p, x, index, reads);
		for (int k = 0; k < COUNT; k++)
			g[k] += p->c * reads[k] * (p->kind == SCALAR ? 1 : 2 * ebb_at(x, k));
	}
}

static void assert_close(
	const ebb_tensor *g, const double *expected, double factor, double tolerance, int number)
{
	ck_assert_msg(g != NULL, "case %d: no gradient: %s", number, ebb_error_message(tape));
	for (int i = 0; i < COUNT; i++)
		ck_assert_msg(fabs(ebb_at(g, i) - factor * expected[i]) <= tolerance,
			"case %d: element %d is %g, expected %g", number, i, ebb_at(g, i),
			factor * expected[i]);
}

static int wanted_parts(const pieces *a)
{
	int n = 0;

	for (int i = 0; i < a->n; i++)
		n += a->piece[i].kind != WHOLE && a->piece[i].kind != SCALAR;
	return n;
}

/* ---- Memory orders of the input -------------------------------------------------------------- */

typedef enum input_kind {
	VARIABLE,
	INTERMEDIATE,
	TRANSPOSED, /* a view with other strides */
	STEPPED,    /* a view with gaps */
	CHANNELS_LAST,
	INPUT_KINDS
} input_kind;

/* x [3,4,2,2] as a tensor of that kind.  *leaf: the variable that it is computed from. */
static ebb_tensor *input_of(input_kind from, uint64_t seed, ebb_tensor **leaf)
{
	switch (from) {
	case VARIABLE:
		return *leaf = variable(EBB_SHAPE(3, 4, 2, 2), seed);
	case INTERMEDIATE:
		return ebb_mul_scalar(tape, *leaf = variable(EBB_SHAPE(3, 4, 2, 2), seed), 1.5);
	case TRANSPOSED:
		return ebb_transpose(tape, *leaf = variable(EBB_SHAPE(2, 4, 3, 2), seed), 0, 2);
	case STEPPED:
		return ebb_slice(tape, *leaf = variable(EBB_SHAPE(3, 8, 2, 2), seed), 1, 1, 8, 2);
	default:
		*leaf = variable(EBB_SHAPE(3, 4, 2, 2), seed);
		return ebb_avgpool2d(tape, *leaf, .kernel = 1);
	}
}

START_TEST(parts_add_up_for_every_kind_of_input)
{
	const pieces *a = &cases[_i];

	for (input_kind from = 0; from < INPUT_KINDS; from++) {
		ebb_tensor *leaf[2], *x[2], *g[4], *h[4], *y;
		double expected[2][COUNT];
		bool both = false;
		int n;

		for (int k = 0; k < 2; k++)
			x[k] = input_of(from, 10 + (uint64_t)k, &leaf[k]);
		for (int i = 0; i < a->n; i++)
			both = both || a->piece[i].input == 1;
		n = both ? 2 : 1;
		y = read_pieces(
			tape, x[0], both ? x[1] : NULL, slices_index(), elements_index(), a);
		assert_healthy();
		for (int k = 0; k < n; k++)
			definition(a, k, x[k], expected[k]);
		in_parts = true;
		parts_given = 0;
		ck_assert_msg(ebb_grad(tape, y, n, x, g), "%s", ebb_error_message(tape));
		ck_assert_int_eq(parts_given, wanted_parts(a));
		for (int k = 0; k < n; k++)
			assert_close(g[k], expected[k], 1, 1e-12, _i);
		ck_assert(ebb_grad(tape, y, n, leaf, g));
		in_parts = false;
		ck_assert(ebb_grad(tape, y, n, leaf, h));
		in_parts = true;
		ck_assert(ebb_backward(tape, y));
		for (int k = 0; k < n; k++)
			for (int64_t i = 0; i < ebb_count(leaf[k]); i++) {
				ck_assert_double_eq_tol(ebb_at(g[k], i), ebb_at(h[k], i), 1e-12);
				ck_assert_double_eq_tol(
					ebb_at(ebb_grad_of(leaf[k]), i), ebb_at(h[k], i), 1e-12);
			}
		ebb_tape_reset(tape);
	}
}
END_TEST

/* ---- Parameters ------------------------------------------------------------------------------ */

/* One parameter is both inputs, in each type and memory order, over three sweeps. */
START_TEST(parts_add_up_for_parameters)
{
	const pieces *a = &cases[_i];

	for (int variant = 0; variant < 4; variant++) {
		ebb_dtype dtype = variant & 1 ? EBB_F64 : EBB_F32;
		ebb_tensor *w = parameter(dtype, EBB_SHAPE(3, 4, 2, 2), variant & 2, 20);
		double expected[COUNT], second[COUNT], tolerance = dtype == EBB_F64 ? 1e-12 : 1e-4;

		in_parts = true;
		definition(a, 0, w, expected);
		definition(a, 1, w, second);
		for (int i = 0; i < COUNT; i++)
			expected[i] += second[i];
		for (int sweep = 1; sweep <= 3; sweep++) {
			if (sweep == 3)
				ebb_zero_grad(w);
			ck_assert_msg(ebb_backward(tape, read_pieces(tape, w, w, slices_index(),
								 elements_index(), a)),
				"%s", ebb_error_message(tape));
			assert_close(ebb_grad_of(w), expected, sweep == 2 ? 2 : 1, tolerance, _i);
			ebb_tape_reset(tape);
		}
		ebb_tensor_free(w);
	}
}
END_TEST

/* ---- Higher orders --------------------------------------------------------------------------- */

static ebb_tensor *checked(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	ebb_tensor *y = read_pieces(t, x[0], x[1], x[2], x[3], ctx);

	/* The sums of squares give every element a gradient. */
	return ebb_add(
		t, y, ebb_add(t, ebb_sum(t, ebb_square(t, x[0])), ebb_sum(t, ebb_square(t, x[1]))));
}

START_TEST(whole_gradients_that_are_recorded_agree)
{
	pieces a = cases[_i];
	ebb_tensor *x[4];
	const ebb_tensor *in[4];
	ebb_error e = {0};

	in_parts = true;
	for (int k = 0; k < 2; k++) {
		x[k] = ebb_tensor_new(EBB_F64, EBB_SHAPE(3, 4, 2, 2), k == 1, NULL);
		fill(x[k], 30 + (uint64_t)k);
	}
	x[2] = ebb_detach_copy(slices_index());
	x[3] = ebb_detach_copy(elements_index());
	for (int k = 0; k < 4; k++)
		in[k] = x[k];
	parts_given = 0;
	ck_assert_msg(
		ebb_gradcheck(checked, &a, 4, in, .second = true, .error = &e), "%s", e.message);
	ck_assert(wanted_parts(&a) == 0 || parts_given > 0);
	for (int k = 0; k < 4; k++)
		ebb_tensor_free(x[k]);
}
END_TEST

/* ---- Errors ---------------------------------------------------------------------------------- */

static ebb_selection wrong;
static ebb_shape wrong_shape;
static ebb_dtype wrong_type;
static const int64_t *wrong_index; /* the vjp creates an index of wrong_index_shape from it */
static ebb_shape wrong_index_shape;

static void wrong_vjp(ebb_vjp *v)
{
	ebb_tensor *g = ebb_cast(v->t, ebb_ones(v->t, wrong_shape), wrong_type);

	if (wrong_index)
		wrong.index = ebb_from_i64(v->t, wrong_index_shape, wrong_index);
	ck_assert(ebb_give_part(v, 0, g, wrong));
}
static const ebb_op WRONG = {.name = "wrong", .vjp = wrong_vjp, .takes = {EBB_STRIDED}};

/* The result of a sweep whose vjp gives this part of an x [4,3]. */
static bool give(ebb_selection part, ebb_shape shape, ebb_dtype dtype)
{
	ebb_tensor *x = variable(EBB_SHAPE(4, 3), 1), *y, *in = x;
	ebb_call c = ebb_begin(tape, &WRONG, "own.c:7", 1, &in);
	bool ok;

	wrong = part;
	wrong_shape = shape;
	wrong_type = dtype;
	y = ebb_new(&c, EBB_F64, EBB_SCALAR_SHAPE, EBB_ROWS);
	*(double *)ebb_data_mutable(y) = 0;
	ok = ebb_backward(tape, ebb_record(&c, y));
	ck_assert((ebb_grad_of(x) != NULL) == ok);
	return ok;
}

#define assert_refused(part, shape, dtype, ...)                                                    \
	do {                                                                                       \
		ck_assert(!give(part, shape, dtype));                                              \
		assert_failed(EBB_BAD_SHAPE,                                                       \
			"own.c:7: gradient of wrong: ", "input 0 (F64 [4,3])", __VA_ARGS__);       \
		ebb_tape_reset(tape);                                                              \
	} while (0)

START_TEST(ranges_outside_the_input_are_refused)
{
	wrong_index = NULL;
	ck_assert(give((ebb_selection){0, 3, 1, NULL}, EBB_SHAPE(1, 3), EBB_F64));
	ebb_tape_reset(tape);
	ck_assert(give((ebb_selection){0, 1, INT64_MAX, NULL}, EBB_SHAPE(1, 3), EBB_F64));
	ebb_tape_reset(tape);
	ck_assert(give((ebb_selection){0, INT64_MAX, INT64_MAX, NULL}, EBB_SHAPE(0, 3), EBB_F64));
	ebb_tape_reset(tape);
	assert_refused(((ebb_selection){0, 4, 1, NULL}), EBB_SHAPE(1, 3), EBB_F64,
		"along axis 0 does not fit a gradient F64 [1,3]", "axis 0", "start 4", "step 1");
	assert_refused(((ebb_selection){0, 3, 1, NULL}), EBB_SHAPE(2, 3), EBB_F64, "start 3");
	assert_refused(((ebb_selection){0, 0, 2, NULL}), EBB_SHAPE(3, 3), EBB_F64, "step 2");
	assert_refused(((ebb_selection){0, -1, 1, NULL}), EBB_SHAPE(1, 3), EBB_F64, "start -1");
	assert_refused(((ebb_selection){0, 3, -1, NULL}), EBB_SHAPE(2, 3), EBB_F64, "step -1");
	assert_refused(((ebb_selection){0, INT64_MAX, 1, NULL}), EBB_SHAPE(2, 3), EBB_F64,
		"start 9223372036854775807");
	assert_refused(
		((ebb_selection){0, 1, INT64_MAX, NULL}), EBB_SHAPE(2, 3), EBB_F64, "start 1");
}
END_TEST

START_TEST(gradients_of_the_wrong_shape_are_refused)
{
	wrong_index = NULL;
	assert_refused(((ebb_selection){2, 0, 1, NULL}), EBB_SHAPE(1, 3), EBB_F64, "axis 2");
	assert_refused(((ebb_selection){-3, 0, 1, NULL}), EBB_SHAPE(1, 3), EBB_F64, "axis -3");
	assert_refused(((ebb_selection){0, 0, 1, NULL}), EBB_SHAPE(1, 2), EBB_F64, "[1,2]");
	assert_refused(((ebb_selection){0, 0, 1, NULL}), EBB_SHAPE(3), EBB_F64, "[3]");
	assert_refused(((ebb_selection){0, 0, 1, NULL}), EBB_SHAPE(1, 3), EBB_F32, "F32 [1,3]");
}
END_TEST

START_TEST(indices_outside_the_input_are_refused)
{
	static const int64_t high[] = {1, 4}, low[] = {-1, 0}, good[] = {3, 3};
	ebb_selection rows = {.axis = 0};
	const int64_t elements[] = {0, 1, 2, 3, 0, 5};
	ebb_tape *other = ebb_tape_new();

	wrong_index = good;
	wrong_index_shape = EBB_SHAPE(2);
	ck_assert(give(rows, EBB_SHAPE(2, 3), EBB_F64));
	ebb_tape_reset(tape);
	assert_refused(rows, EBB_SHAPE(1, 3), EBB_F64, "index I64 [2]");
	wrong_index = high;
	ck_assert(!give(rows, EBB_SHAPE(2, 3), EBB_F64));
	assert_failed(EBB_INVALID, "own.c:7: gradient of wrong: give_part: index[1] is 4",
		"outside axis 0 of F64 [4,3]");
	ebb_tape_reset(tape);
	wrong_index = low;
	ck_assert(!give(rows, EBB_SHAPE(2, 3), EBB_F64));
	assert_failed(EBB_INVALID, "give_part: index[0] is -1");
	ebb_tape_reset(tape);
	wrong_index = elements;
	wrong_index_shape = EBB_SHAPE(2, 3);
	ck_assert(!give(rows, EBB_SHAPE(2, 3), EBB_F64));
	assert_failed(EBB_INVALID, "give_part: index[5] is 5");
	ebb_tape_reset(tape);
	assert_refused(rows, EBB_SHAPE(3, 3), EBB_F64, "index I64 [2,3]");
	wrong_index = NULL;
	ck_assert(!give((ebb_selection){.axis = 0, .index = ebb_ones(tape, EBB_SHAPE(2))},
		EBB_SHAPE(2, 3), EBB_F64));
	assert_failed(EBB_BAD_SHAPE, "index F64 [2]");
	ebb_tape_reset(tape);
	ck_assert(
		!give((ebb_selection){.axis = 0, .index = ebb_from_i64(other, EBB_SHAPE(2), good)},
			EBB_SHAPE(2, 3), EBB_F64));
	assert_failed(EBB_INVALID, "give_part", "belongs to another tape");
	ebb_tape_reset(tape);
	ebb_tape_free(other);
}
END_TEST

static void undifferentiated_vjp(ebb_vjp *v)
{
	/* Gradients that are not needed, of a missing input, or NULL are ignored; the others
	 * count. */
	ck_assert(ebb_give_part(v, 1, v->gy, (ebb_selection){0}));
	ck_assert(ebb_give_part(v, 2, v->gy, (ebb_selection){0}));
	ck_assert(ebb_give_part(v, -1, v->gy, (ebb_selection){0}));
	ck_assert(ebb_give_part(v, 0, NULL, (ebb_selection){0}));
	ck_assert(ebb_give_part(v, 0, v->gy, (ebb_selection){.start = 1}));
}
static const ebb_op UNDIFFERENTIATED = {
	.name = "undifferentiated", .vjp = undifferentiated_vjp, .takes = {EBB_ROWS}};

START_TEST(parts_that_are_not_needed_are_ignored)
{
	ebb_tensor *x = variable(EBB_SHAPE(4), 1), *in[] = {x, ebb_ones(tape, EBB_SHAPE(4))}, *y;
	ebb_call c = ebb_begin(tape, &UNDIFFERENTIATED, NULL, 2, in);

	y = ebb_new(&c, EBB_F64, EBB_SHAPE(1), EBB_ROWS);
	*(double *)ebb_data_mutable(y) = 0;
	ck_assert_msg(ebb_backward(tape, ebb_record(&c, y)), "%s", ebb_error_message(tape));
	for (int i = 0; i < 4; i++)
		ck_assert_double_eq(ebb_at(ebb_grad_of(x), i), i == 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd-own-parts");
	TCase *c = tcase_create("parts");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, parts_add_up_for_every_kind_of_input, 0, CASES);
	tcase_add_loop_test(c, parts_add_up_for_parameters, 0, CASES);
	tcase_add_loop_test(c, whole_gradients_that_are_recorded_agree, 0, CASES);
	tcase_add_test(c, parts_that_are_not_needed_are_ignored);
	suite_add_tcase(s, c);
	c = tcase_create("mistakes");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, ranges_outside_the_input_are_refused);
	tcase_add_test(c, gradients_of_the_wrong_shape_are_refused);
	tcase_add_test(c, indices_outside_the_input_are_refused);
	suite_add_tcase(s, c);
	return run_suite(s);
}
