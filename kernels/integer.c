/*
 * integer.c - kernels of integers.  The build compiles this file once for each type, with
 * EBB_INTEGER_BYTES 8 (int64_t) or 1 (uint8_t).
 */
#include "integer.h"
#include "planes.h"

#include <string.h>

#if EBB_INTEGER_BYTES == 8
typedef int64_t integer;
#define NAME(name) ebb_##name##_i64
#define LEAST (-0x1p63)
#define BEYOND 0x1p63
#else
typedef uint8_t integer;
#define NAME(name) ebb_##name##_u8
#define LEAST 0.0
#define BEYOND 0x1p8
#endif

static inline uint64_t word(int64_t x)
{
	return (uint64_t)x;
}

/* The quotient rounded down; modulo 2^64, because INT64_MIN/-1 overflows. */
static inline uint64_t floor_div(int64_t a, int64_t b)
{
	if (b == -1 || b == 0)
		return 0 - word(a);
	return word(a / b) - (a % b != 0 && (a % b < 0) != (b < 0));
}

/* ---- Functions of one operand ---------------------------------------------------------------- */

static bool unary(ebb_unary_fn f, int64_t n, const void *from, void *to, int64_t a, int64_t b)
{
	const integer *x = from;
	integer *y = to;

	(void)b;
	switch (f) {
#define INTEGER_UNARY(name, expr)                                                                  \
	case EBB_UNARY_##name:                                                                     \
		for (int64_t i = 0; i < n; i++) {                                                  \
			int64_t v = x[i];                                                          \
			y[i] = (integer)(expr);                                                    \
		}                                                                                  \
		return true;
#include "integer.def"
	default:
		return false;
	}
}

static void fill(int64_t n, int64_t value, void *to)
{
	integer *y = to;

	for (int64_t i = 0; i < n; i++)
		y[i] = (integer)word(value);
}

/* NaN is neither at least LEAST nor below BEYOND.  A real above -1 is truncated to 0. */
#define CONVERT(type, fits)                                                                        \
	for (int64_t i = 0; i < n; i++) {                                                          \
		type v = ((const type *)x)[i];                                                     \
		if (!(fits))                                                                       \
			return i;                                                                  \
		y[i] = (integer)v;                                                                 \
	}                                                                                          \
	return -1;
#define REAL_FITS ((double)v < BEYOND && ((double)v >= LEAST || (double)v > LEAST - 1))

static int64_t from(ebb_element type, int64_t n, const void *x, void *to)
{
	integer *y = to;

	switch (type) {
	case EBB_ELEMENT_F32:
		CONVERT(float, REAL_FITS)
	case EBB_ELEMENT_F64:
		CONVERT(double, REAL_FITS)
	case EBB_ELEMENT_I64:
		CONVERT(int64_t, (int64_t)(integer)word(v) == v)
	case EBB_ELEMENT_U8:
		CONVERT(uint8_t, true)
	}
	return -1;
}

/* ---- Two and three operands ------------------------------------------------------------------ */

struct job {
	int f, c_size;
	const void *in[OPERANDS]; /* in[0] is not used */
	void *y;
	struct axes axes;
	int64_t rows, chunk;
	void (*part)(const void *ctx, const struct plane *p, const int64_t *offset);
};

static void job_rows(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	int64_t first = piece * j->chunk;

	(void)worker;
	each_plane(&j->axes, first, i64_min(j->rows, first + j->chunk), j->part, j);
}

static void run(struct job *j, int ndim, const int64_t *shape, const int64_t *const *strides)
{
	if (!normalise(&j->axes, ndim, shape, strides))
		return;
	j->rows = all_rows(&j->axes);
	j->chunk = rows_per_piece(&j->axes, j->rows);
	ebb_run_pieces(ebb_ceil_div(j->rows, j->chunk), job_rows, j);
}

/* The address of operand k (0: the output) in row r of a plane. */
#define AT(type, base, k) ((type *)(base) + offset[k] + r * p->row[k])
#define EACH_ROW for (int64_t r = 0; r < p->rows; r++)
#define EACH_COLUMN for (int64_t i = 0; i < p->cols; i++)

static void binary_part(const void *ctx, const struct plane *p, const int64_t *offset)
{
	const struct job *j = ctx;

	EACH_ROW
	{
		const integer *A = AT(const integer, j->in[1], 1),
			      *B = AT(const integer, j->in[2], 2);
		integer *Y = AT(integer, j->y, 0);

		switch ((ebb_binary_fn)j->f) {
#define INTEGER_BINARY(name, expr)                                                                 \
	case EBB_BINARY_##name:                                                                    \
		EACH_COLUMN                                                                        \
		{                                                                                  \
			int64_t a = A[i * p->col[1]], b = B[i * p->col[2]];                        \
			Y[i * p->col[0]] = (integer)(expr);                                        \
		}                                                                                  \
		break;
#include "integer.def"
		default:
			return;
		}
	}
}

static bool binary_strided(ebb_binary_fn f, int ndim, const int64_t *shape, const void *a,
	const int64_t *as, const void *b, const int64_t *bs, void *y, const int64_t *ys)
{
	struct job j = {.f = (int)f, .in = {NULL, a, b}, .y = y, .axes.operands = 3};

	switch (f) {
#define INTEGER_BINARY(name, expr) case EBB_BINARY_##name:
#include "integer.def"
		j.part = binary_part;
		run(&j, ndim, shape, (const int64_t *[]){ys, as, bs});
		return true;
	default:
		return false;
	}
}

#define CHOOSE(type)                                                                               \
	EACH_ROW                                                                                   \
	{                                                                                          \
		const type *C = AT(const type, j->in[1], 1);                                       \
		const integer *A = AT(const integer, j->in[2], 2);                                 \
		const integer *B = AT(const integer, j->in[3], 3);                                 \
		integer *Y = AT(integer, j->y, 0);                                                 \
                                                                                                   \
		EACH_COLUMN                                                                        \
		Y[i * p->col[0]] = C[i * p->col[1]] ? A[i * p->col[2]] : B[i * p->col[3]];         \
	}

static void where_part(const void *ctx, const struct plane *p, const int64_t *offset)
{
	const struct job *j = ctx;

	if (j->c_size == 1)
		CHOOSE(uint8_t)
	else
		CHOOSE(int64_t)
}

static void where_strided(int ndim, const int64_t *shape, const void *c, int c_size,
	const int64_t *cs, const void *a, const int64_t *as, const void *b, const int64_t *bs,
	void *y, const int64_t *ys)
{
	struct job j = {.c_size = c_size, .in = {NULL, c, a, b}, .y = y, .axes.operands = 4};

	j.part = where_part;
	run(&j, ndim, shape, (const int64_t *[]){ys, cs, as, bs});
}

static void compare_part(const void *ctx, const struct plane *p, const int64_t *offset)
{
	const struct job *j = ctx;

	EACH_ROW
	{
		const integer *A = AT(const integer, j->in[1], 1),
			      *B = AT(const integer, j->in[2], 2);
		uint8_t *Y = AT(uint8_t, j->y, 0);

		switch ((ebb_compare_fn)j->f) {
#define COMPARISON(name, relation)                                                                 \
	case EBB_COMPARE_##name:                                                                   \
		EACH_COLUMN                                                                        \
		Y[i * p->col[0]] = A[i * p->col[1]] relation B[i * p->col[2]];                     \
		break;
#include "binary.def"
		case EBB_COMPARE_COUNT:
			break;
		}
	}
}

static void compare_strided(ebb_compare_fn f, int ndim, const int64_t *shape, const void *a,
	const int64_t *as, const void *b, const int64_t *bs, uint8_t *y, const int64_t *ys)
{
	struct job j = {.f = (int)f, .in = {NULL, a, b}, .y = y, .axes.operands = 3};

	j.part = compare_part;
	run(&j, ndim, shape, (const int64_t *[]){ys, as, bs});
}

/* ---- Reductions and cumulative sums ---------------------------------------------------------- */

static void sum_part(const void *ctx, const struct plane *p, const int64_t *offset)
{
	const struct job *j = ctx;

	EACH_ROW
	{
		const integer *X = AT(const integer, j->in[1], 1);
		int64_t *Y = AT(int64_t, j->y, 0);

		EACH_COLUMN
		Y[i * p->col[0]] = (int64_t)(word(Y[i * p->col[0]]) + word(X[i * p->col[1]]));
	}
}

/* On the calling thread, because several rows may be added to one element. */
static void sum_acc(int ndim, const int64_t *shape, const void *x, const int64_t *xs, int64_t *y,
	const int64_t *ys)
{
	struct job j = {.in = {NULL, x}, .y = y, .axes.operands = 2};

	if (normalise(&j.axes, ndim, shape, (const int64_t *[]){ys, xs}))
		each_plane(&j.axes, 0, all_rows(&j.axes), sum_part, &j);
}

static void extreme(int sign, int64_t outer, int64_t len, int64_t inner, const void *from, void *to,
	int64_t *index)
{
	const integer *x = from;
	integer *y = to;

	for (int64_t o = 0; o < outer; o++, x += len * inner, y += inner, index += inner) {
		for (int64_t i = 0; i < inner; i++) {
			y[i] = x[i];
			index[i] = 0;
		}
		for (int64_t k = 1; k < len; k++) {
			const integer *v = x + k * inner;

			for (int64_t i = 0; i < inner; i++) {
				bool better = sign > 0 ? v[i] > y[i] : v[i] < y[i];

				y[i] = better ? v[i] : y[i];
				index[i] = better ? k : index[i];
			}
		}
	}
}

static void cumsum(int64_t outer, int64_t len, int64_t inner, const void *from, int64_t *y)
{
	const integer *x = from;

	for (int64_t o = 0; o < outer; o++) {
		for (int64_t k = 0; k < len; k++, x += inner, y += inner) {
			for (int64_t i = 0; i < inner; i++)
				y[i] = (int64_t)(word(x[i]) + (k ? word(y[i - inner]) : 0));
		}
	}
}

/* ---- Indexing -------------------------------------------------------------------------------- */

static void index_select(int64_t outer, int64_t len, int64_t inner, int64_t count, const void *from,
	const int64_t *index, void *to)
{
	const integer *x = from;
	integer *y = to;

	for (int64_t o = 0; inner > 0 && o < outer; o++, x += len * inner) {
		for (int64_t k = 0; k < count; k++, y += inner)
			memcpy(y, x + index[k] * inner, (size_t)inner * sizeof *x);
	}
}

static void gather(int64_t outer, int64_t len, int64_t inner, int64_t count, const void *from,
	const int64_t *index, void *to)
{
	const integer *x = from;
	integer *y = to;

	for (int64_t o = 0; o < outer; o++, x += len * inner) {
		for (int64_t k = 0; k < count; k++, y += inner, index += inner) {
			for (int64_t i = 0; i < inner; i++)
				y[i] = x[index[i] * inner + i];
		}
	}
}

static void gather_acc(int64_t outer, int64_t len, int64_t inner, int64_t count, const void *from,
	const int64_t *index, void *to)
{
	const integer *gy = from;
	integer *gx = to;

	for (int64_t o = 0; o < outer; o++, gx += len * inner) {
		for (int64_t k = 0; k < count; k++, gy += inner, index += inner) {
			for (int64_t i = 0; i < inner; i++) {
				integer *y = gx + index[i] * inner + i;

				*y = (integer)(word(*y) + word(gy[i]));
			}
		}
	}
}

const ebb_integer_kernels NAME(integers) = {
	.unary = unary,
	.binary_strided = binary_strided,
	.where_strided = where_strided,
	.compare_strided = compare_strided,
	.fill = fill,
	.from = from,
	.sum_acc = sum_acc,
	.extreme = extreme,
	.cumsum = cumsum,
	.index_select = index_select,
	.gather = gather,
	.gather_acc = gather_acc,
};
