/*
 * elementwise.c - the functions of unary.def over dense memory, and conversions.
 *
 * Each function is a loop of its own; a switch outside the loop selects it.
 */
#include "functions.h"

/* The three loops of the column VALUE of unary.def.  PLAIN is for an expression whose result
 * does not depend on how the compiler vectorizes it. */
#define PLAIN(expr)                                                                                \
	do {                                                                                       \
		EBB_IVDEP                                                                          \
		for (int64_t i = 0; i < n; i++) {                                                  \
			real v = x[i];                                                             \
			y[i] = (real)(expr);                                                       \
		}                                                                                  \
	} while (0)

/* CALLS is for calls of libm, which compilers do not vectorize. */
#define CALLS(expr)                                                                                \
	do {                                                                                       \
		for (int64_t i = 0; i < n; i++) {                                                  \
			real v = x[i];                                                             \
			y[i] = (real)(expr);                                                       \
		}                                                                                  \
	} while (0)

/* VECTOR runs over blocks of EBB_BLOCK elements for float, the last block padded, so that the
 * result for an element does not depend on its position. */
#define BLOCKS(expr)                                                                               \
	do {                                                                                       \
		int64_t i = 0;                                                                     \
                                                                                                   \
		for (; i + EBB_BLOCK <= n; i += EBB_BLOCK) {                                       \
			EBB_IVDEP                                                                  \
			for (int k = 0; k < EBB_BLOCK; k++) {                                      \
				real v = x[i + k];                                                 \
				y[i + k] = (real)(expr);                                           \
			}                                                                          \
		}                                                                                  \
		if (i < n) {                                                                       \
			size_t m = (size_t)(n - i) * sizeof(real);                                 \
			real in[EBB_BLOCK] = {0}, out[EBB_BLOCK];                                  \
                                                                                                   \
			memcpy(in, x + i, m);                                                      \
			for (int k = 0; k < EBB_BLOCK; k++) {                                      \
				real v = in[k];                                                    \
				out[k] = (real)(expr);                                             \
			}                                                                          \
			memcpy(y + i, out, m);                                                     \
		}                                                                                  \
	} while (0)

#if EBB_F64
#define VECTOR(expr) CALLS(expr)
#else
#define VECTOR(expr) BLOCKS(expr)
#endif

static void pow_scalar(int64_t n, const real *x, real *y, real a)
{
	if (a == 2)
		PLAIN(v * v);
	else if (a == 3)
		PLAIN(v * v * v);
	else if (a == 1)
		PLAIN(v);
	else if (a == 0)
		PLAIN(((void)v, 1));
	else if (a == -1)
		PLAIN(1 / v);
	else if (a == (real)0.5)
		PLAIN(real_sqrt(v) + 0);
	else
		CALLS(real_pow(v, a));
}

/* As PLAIN, but SSE2 takes a third longer for the same expression of v. */
static void clamp(int64_t n, const real *x, real *y, real a, real b)
{
	EBB_IVDEP
	for (int64_t i = 0; i < n; i++) {
		real v = x[i] < a ? a : x[i];

		y[i] = v > b ? b : v;
	}
}

static void leaky_relu(int64_t n, const real *x, real *y, real a)
{
	if (a == 0)
		PLAIN(v < 0 ? 0 : v);
	else
		PLAIN(v > 0 ? v : a * v);
}

static void unary(ebb_unary_fn f, int64_t n, const real *x, real *y, real a, real b)
{
	switch (f) {
#define CASE(name, ...)                                                                            \
	case EBB_UNARY_##name:                                                                     \
		__VA_ARGS__;                                                                       \
		break;
#define UNARY(name, domain, torch, exact, value, gradient) CASE(name, value)
#define UNARY_KERNEL(name, exact, value) CASE(name, value)
#include "unary.def"
	case EBB_UNARY_COUNT:
		break;
	}
}

/* ---- Tasks ----------------------------------------------------------------------------------- */

struct unary_job {
	ebb_unary_fn f;
	int64_t n;
	const real *x;
	real *y;
	real a, b;
};

static void unary_piece(void *ctx, int64_t piece, int worker)
{
	const struct unary_job *j = ctx;
	int64_t at = piece * EBB_PIECE;

	(void)worker;
	unary(j->f, i64_min(EBB_PIECE, j->n - at), j->x + at, j->y + at, j->a, j->b);
}

EBB_DECLARE(unary);
void EBB_NAME(unary)(ebb_unary_fn f, int64_t n, const void *x, void *y, double a, double b)
{
	struct unary_job j = {f, n, x, y, (real)a, (real)b};

	if (n < EBB_PARALLEL_FROM)
		unary(f, n, x, y, j.a, j.b);
	else
		ebb_run_pieces(ebb_ceil_div(n, EBB_PIECE), unary_piece, &j);
}

/* fill, axpy and the conversions: y = f(x, y) with constants a and b. */
struct flat_job {
	int64_t n;
	const void *x;
	real *y;
	double a, b;
};

#define FLAT(name, type, expr)                                                                     \
	static void name##_range(const struct flat_job *j, int64_t from, int64_t to)               \
	{                                                                                          \
		const type *x = j->x;                                                              \
		real *y = j->y, a = (real)j->a, b = (real)j->b;                                    \
                                                                                                   \
		(void)x, (void)a, (void)b;                                                         \
		EBB_IVDEP                                                                          \
		for (int64_t i = from; i < to; i++)                                                \
			y[i] = (real)(expr);                                                       \
	}                                                                                          \
	static void name##_piece(void *ctx, int64_t piece, int worker)                             \
	{                                                                                          \
		const struct flat_job *j = ctx;                                                    \
                                                                                                   \
		(void)worker;                                                                      \
		name##_range(j, piece *EBB_PIECE, i64_min(j->n, (piece + 1) * EBB_PIECE));         \
	}                                                                                          \
	static void name(struct flat_job j)                                                        \
	{                                                                                          \
		if (j.n < EBB_PARALLEL_FROM)                                                       \
			name##_range(&j, 0, j.n);                                                  \
		else                                                                               \
			ebb_run_pieces(ebb_ceil_div(j.n, EBB_PIECE), name##_piece, &j);            \
	}

FLAT(flat_fill, real, a)
FLAT(flat_axpy, real, y[i] + a * x[i])
FLAT(flat_u8, uint8_t, (real)x[i] * a + b)
FLAT(flat_f32, float, x[i])
FLAT(flat_f64, double, x[i])

EBB_DECLARE(fill);
void EBB_NAME(fill)(int64_t n, double value, void *y)
{
	flat_fill((struct flat_job){n, NULL, y, value, 0});
}

EBB_DECLARE(axpy);
void EBB_NAME(axpy)(int64_t n, double a, const void *x, void *y)
{
	flat_axpy((struct flat_job){n, x, y, a, 0});
}

EBB_DECLARE(from_u8);
void EBB_NAME(from_u8)(int64_t n, const uint8_t *x, void *y, double scale, double shift)
{
	flat_u8((struct flat_job){n, x, y, scale, shift});
}

EBB_DECLARE(from_f32);
void EBB_NAME(from_f32)(int64_t n, const float *x, void *y)
{
	flat_f32((struct flat_job){n, x, y, 0, 0});
}

EBB_DECLARE(from_f64);
void EBB_NAME(from_f64)(int64_t n, const double *x, void *y)
{
	flat_f64((struct flat_job){n, x, y, 0, 0});
}
