/*
 * strided.c - the functions of binary.def, where, and comparisons, over any strides (planes.h).
 * The loops over a plane are specialised for columns of stride 1 and 0.
 */
#include "functions.h"
#include "planes.h"

/* ---- Two operands ---------------------------------------------------------------------------- */

/* log(1 + exp(x)) - x*t, computed as log(1 + exp(-|x|)) + |x|*w, where w is 1 - t for positive
 * x, else t. |x|*w is 0 where w is 0, also for infinite x. */
EBB_INLINE real bce(real x, real t)
{
	real size = real_abs(x), w = x > 0 ? 1 - t : t, least = real_log1p(real_exp(-size));

	return w == 0 ? least : size * w + least;
}

/* sigmoid(x) - t = (1 - t)*sigmoid(x) - t*sigmoid(-x) */
EBB_INLINE real bce_slope(real x, real t)
{
	real z = real_exp(-real_abs(x)), s = 1 - t;

	return (x > 0 ? s - t * z : s * z - t) / (1 + z);
}

/* The remainder has the sign of b.  fmod is exact, and has the sign of a. */
EBB_INLINE real floor_mod(real a, real b)
{
	real rest = LIBM(fmod)(a, b);

	return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/* a less its remainder is a multiple of b, so the quotient differs from an integer by rounding
 * only. */
EBB_INLINE real floor_div(real a, real b)
{
	real rest = LIBM(fmod)(a, b), quotient = (a - rest) / b, down;

	if (b == 0)
		return a / b;
	quotient -= rest != 0 && (rest < 0) != (b < 0);
	down = LIBM(floor)(quotient);
	return quotient - down > (real)0.5 ? down + 1 : down;
}

#if EBB_F64
#define IVDEP_CALLS
#else
#define IVDEP_CALLS EBB_IVDEP
#endif
#define IVDEP_PLAIN EBB_IVDEP
#define IVDEP_SCALAR

#define COLUMNS(loop, expr, sa, sb, sy)                                                            \
	IVDEP_##loop for (int64_t i = 0; i < s->cols; i++)                                         \
	{                                                                                          \
		real a = A[i * (sa)], b = B[i * (sb)];                                             \
		Y[i * (sy)] = (real)(expr);                                                        \
	}

#define PLANES(name, loop, expr)                                                                   \
	static void name##_loop(                                                                   \
		const struct plane *s, const real *A, const real *B, real *Y, real p)              \
	{                                                                                          \
		bool dense = s->col[0] == 1;                                                       \
		int kind = dense && s->col[1] == 1 && s->col[2] == 1   ? 0                         \
		           : dense && s->col[1] == 1 && s->col[2] == 0 ? 1                         \
		           : dense && s->col[1] == 0 && s->col[2] == 1 ? 2                         \
		                                                       : 3;                        \
                                                                                                   \
		(void)p;                                                                           \
		for (int64_t r = 0;;) {                                                            \
			switch (kind) {                                                            \
			case 0:                                                                    \
				COLUMNS(loop, expr, 1, 1, 1)                                       \
				break;                                                             \
			case 1:                                                                    \
				COLUMNS(loop, expr, 1, 0, 1)                                       \
				break;                                                             \
			case 2:                                                                    \
				COLUMNS(loop, expr, 0, 1, 1)                                       \
				break;                                                             \
			default:                                                                   \
				COLUMNS(loop, expr, s->col[1], s->col[2], s->col[0])               \
			}                                                                          \
			if (++r == s->rows)                                                        \
				return;                                                            \
			A += s->row[1];                                                            \
			B += s->row[2];                                                            \
			Y += s->row[0];                                                            \
		}                                                                                  \
	}
/* The column VALUE of a row, such as PLAIN(expr), is two arguments of PLANES. */
#define PLAIN(expr) PLAIN, expr
#define CALLS(expr) CALLS, expr
#define SCALAR(expr) SCALAR, expr
#define BINARY(name, domain, torch, exact, value, gradient) PLANES(name, value)
#define BINARY_KERNEL(name, exact, value) PLANES(name, value)
#include "binary.def"

static void binary_plane(
	ebb_binary_fn f, const struct plane *s, const real *a, const real *b, real *y, real p)
{
	switch (f) {
#define BINARY(name, ...)                                                                          \
	case EBB_BINARY_##name:                                                                    \
		name##_loop(s, a, b, y, p);                                                        \
		break;
#define BINARY_KERNEL BINARY
#include "binary.def"
	case EBB_BINARY_COUNT:
		break;
	}
}

struct binary_job {
	ebb_binary_fn f;
	const real *a, *b;
	real *y, p;
	int64_t n;           /* flat */
	struct axes axes;    /* strided */
	int64_t rows, chunk; /* strided */
};

/* For rows of few columns, where one operand is dense like the output and the other is the same in
 * every row: the latter is repeated, so that a row is long enough for vectors. */
enum { NARROW = 64, REPEATED = 512 };

static void narrow_rows(ebb_binary_fn f, const struct plane *s, const real *a, const real *b,
	real *y, real p, bool a_repeats)
{
	int64_t copies = i64_min(REPEATED / s->cols, s->rows), width = copies * s->cols;
	const real *once = a_repeats ? a : b;
	real many[REPEATED];
	struct plane wide = {.rows = s->rows / copies,
		.cols = width,
		.row = {width, a_repeats ? 0 : width, a_repeats ? width : 0},
		.col = {1, 1, 1}};
	int64_t done = wide.rows * width, rest = s->rows * s->cols - done;

	for (int64_t i = 0; i < width; i += s->cols)
		memcpy(many + i, once, (size_t)s->cols * sizeof(real));
	binary_plane(f, &wide, a_repeats ? many : a, a_repeats ? b : many, y, p);
	if (rest > 0) {
		wide.rows = 1;
		wide.cols = rest;
		binary_plane(f, &wide, a_repeats ? many : a + done, a_repeats ? b + done : many,
			y + done, p);
	}
}

static bool dense_rows(const struct plane *s, int k)
{
	return s->col[k] == 1 && s->row[k] == s->cols;
}

static void binary_part(const void *ctx, const struct plane *s, const int64_t *offset)
{
	const struct binary_job *j = ctx;
	const real *a = j->a + offset[1], *b = j->b + offset[2];
	real *y = j->y + offset[0];

	if (s->cols <= NARROW && s->rows >= 8 && dense_rows(s, 0)) {
		if (dense_rows(s, 1) && s->col[2] == 1 && s->row[2] == 0) {
			narrow_rows(j->f, s, a, b, y, j->p, false);
			return;
		}
		if (dense_rows(s, 2) && s->col[1] == 1 && s->row[1] == 0) {
			narrow_rows(j->f, s, a, b, y, j->p, true);
			return;
		}
	}
	binary_plane(j->f, s, a, b, y, j->p);
}

static void binary_rows(void *ctx, int64_t piece, int worker)
{
	const struct binary_job *j = ctx;
	int64_t from = piece * j->chunk;

	(void)worker;
	each_plane(&j->axes, from, i64_min(j->rows, from + j->chunk), binary_part, j);
}

EBB_DECLARE(binary_strided);
void EBB_NAME(binary_strided)(ebb_binary_fn f, int ndim, const int64_t *shape, const void *a,
	const int64_t *as, const void *b, const int64_t *bs, void *y, const int64_t *ys, double p)
{
	const int64_t *strides[] = {ys, as, bs};
	struct binary_job j;

	j.f = f;
	j.a = a;
	j.b = b;
	j.y = y;
	j.p = (real)p;
	j.axes.operands = 3;
	if (!normalise(&j.axes, ndim, shape, strides))
		return;
	j.rows = all_rows(&j.axes);
	j.chunk = rows_per_piece(&j.axes, j.rows);
	if (j.rows == 1 && j.axes.shape[1] >= EBB_PARALLEL_FROM && j.axes.ndim == 2) {
		/* One long row is split into a row per task; the rest follows below. */
		int64_t cols = j.axes.shape[1], whole = cols / EBB_PIECE * EBB_PIECE;

		j.axes.shape[0] = j.rows = cols / EBB_PIECE;
		j.axes.shape[1] = EBB_PIECE;
		for (int k = 0; k < 3; k++)
			j.axes.stride[k][0] = j.axes.stride[k][1] * EBB_PIECE;
		j.chunk = 1;
		ebb_run_pieces(j.rows, binary_rows, &j);
		j.a += whole * j.axes.stride[1][1];
		j.b += whole * j.axes.stride[2][1];
		j.y += whole * j.axes.stride[0][1];
		j.axes.shape[0] = j.rows = 1;
		j.axes.shape[1] = cols - whole;
		if (cols == whole)
			return;
	}
	ebb_run_pieces(ebb_ceil_div(j.rows, j.chunk), binary_rows, &j);
}

static void binary_piece(void *ctx, int64_t piece, int worker)
{
	const struct binary_job *j = ctx;
	int64_t at = piece * EBB_PIECE;
	struct plane s = {.rows = 1, .cols = i64_min(EBB_PIECE, j->n - at), .col = {1, 1, 1}};

	(void)worker;
	binary_plane(j->f, &s, j->a + at, j->b + at, j->y + at, j->p);
}

EBB_DECLARE(binary);
void EBB_NAME(binary)(ebb_binary_fn f, int64_t n, const void *a, const void *b, void *y, double p)
{
	if (n < EBB_PARALLEL_FROM) {
		struct plane s = {.rows = 1, .cols = n, .col = {1, 1, 1}};

		binary_plane(f, &s, a, b, y, (real)p);
	} else {
		struct binary_job j = {.f = f, .a = a, .b = b, .y = y, .p = (real)p, .n = n};

		ebb_run_pieces(ebb_ceil_div(n, EBB_PIECE), binary_piece, &j);
	}
}

/* ---- where ----------------------------------------------------------------------------------- */

struct where_job {
	const void *c;
	int c_size;
	const real *a, *b;
	real *y;
	struct axes axes;
	int64_t rows, chunk;
};

#define CHOOSE(type)                                                                               \
	for (int64_t r = 0; r < s->rows; r++) {                                                    \
		const type *C = (const type *)j->c + offset[1] + r * s->row[1];                    \
		const real *A = j->a + offset[2] + r * s->row[2];                                  \
		const real *B = j->b + offset[3] + r * s->row[3];                                  \
		real *Y = j->y + offset[0] + r * s->row[0];                                        \
                                                                                                   \
		if (dense) {                                                                       \
			EBB_IVDEP                                                                  \
			for (int64_t i = 0; i < s->cols; i++) {                                    \
				real u = A[i], v = B[i];                                           \
				Y[i] = C[i] != 0 ? u : v;                                          \
			}                                                                          \
		} else {                                                                           \
			for (int64_t i = 0; i < s->cols; i++)                                      \
				Y[i * s->col[0]] = C[i * s->col[1]] != 0 ? A[i * s->col[2]]        \
				                                         : B[i * s->col[3]];       \
		}                                                                                  \
	}

static void where_part(const void *ctx, const struct plane *s, const int64_t *offset)
{
	const struct where_job *j = ctx;
	bool dense = s->col[0] == 1 && s->col[1] == 1 && s->col[2] == 1 && s->col[3] == 1;

	if (j->c_size == 1) {
		CHOOSE(uint8_t)
	} else {
		CHOOSE(int64_t)
	}
}

static void where_rows(void *ctx, int64_t piece, int worker)
{
	const struct where_job *j = ctx;
	int64_t from = piece * j->chunk;

	(void)worker;
	each_plane(&j->axes, from, i64_min(j->rows, from + j->chunk), where_part, j);
}

EBB_DECLARE(where_strided);
void EBB_NAME(where_strided)(int ndim, const int64_t *shape, const void *c, int c_size,
	const int64_t *cs, const void *a, const int64_t *as, const void *b, const int64_t *bs,
	void *y, const int64_t *ys)
{
	const int64_t *strides[] = {ys, cs, as, bs};
	struct where_job j = {.c = c, .c_size = c_size, .a = a, .b = b, .y = y, .axes.operands = 4};

	if (!normalise(&j.axes, ndim, shape, strides))
		return;
	j.rows = all_rows(&j.axes);
	j.chunk = rows_per_piece(&j.axes, j.rows);
	ebb_run_pieces(ebb_ceil_div(j.rows, j.chunk), where_rows, &j);
}

/* ---- Comparisons ----------------------------------------------------------------------------- */

struct compare_job {
	ebb_compare_fn f;
	const real *a, *b;
	uint8_t *y;
	struct axes axes;
	int64_t rows, chunk;
};

#define COMPARE(relation)                                                                          \
	for (int64_t r = 0; r < s->rows; r++) {                                                    \
		const real *A = j->a + offset[1] + r * s->row[1];                                  \
		const real *B = j->b + offset[2] + r * s->row[2];                                  \
		uint8_t *Y = j->y + offset[0] + r * s->row[0];                                     \
                                                                                                   \
		for (int64_t i = 0; i < s->cols; i++)                                              \
			Y[i * s->col[0]] = A[i * s->col[1]] relation B[i * s->col[2]];             \
	}

static void compare_part(const void *ctx, const struct plane *s, const int64_t *offset)
{
	const struct compare_job *j = ctx;

	switch (j->f) {
#define COMPARISON(name, relation)                                                                 \
	case EBB_COMPARE_##name:                                                                   \
		COMPARE(relation)                                                                  \
		break;
#include "binary.def"
	case EBB_COMPARE_COUNT:
		break;
	}
}

static void compare_rows(void *ctx, int64_t piece, int worker)
{
	const struct compare_job *j = ctx;
	int64_t from = piece * j->chunk;

	(void)worker;
	each_plane(&j->axes, from, i64_min(j->rows, from + j->chunk), compare_part, j);
}

EBB_DECLARE(compare_strided);
void EBB_NAME(compare_strided)(ebb_compare_fn f, int ndim, const int64_t *shape, const void *a,
	const int64_t *as, const void *b, const int64_t *bs, uint8_t *y, const int64_t *ys)
{
	const int64_t *strides[] = {ys, as, bs};
	struct compare_job j = {.f = f, .a = a, .b = b, .y = y, .axes.operands = 3};

	if (!normalise(&j.axes, ndim, shape, strides))
		return;
	j.rows = all_rows(&j.axes);
	j.chunk = rows_per_piece(&j.axes, j.rows);
	ebb_run_pieces(ebb_ceil_div(j.rows, j.chunk), compare_rows, &j);
}
