/*
 * elementwise.c - functions of one operand over dense memory, and the conversions.
 *
 * Each function is a tight loop of its own; a switch outside the loop picks it.
 */
#include "functions.h"

/* A loop over all elements of a function whose value is the same however it is vectorised. */
#define PLAIN(expr)                                                                                \
	do {                                                                                       \
		EBB_IVDEP                                                                          \
		for (int64_t i = 0; i < n; i++) {                                                  \
			real v = x[i];                                                             \
			y[i] = (real)(expr);                                                       \
		}                                                                                  \
	} while (0)

/* The same for library calls, which no compiler vectorises. */
#define CALLS(expr)                                                                                \
	do {                                                                                       \
		for (int64_t i = 0; i < n; i++) {                                                  \
			real v = x[i];                                                             \
			y[i] = (real)(expr);                                                       \
		}                                                                                  \
	} while (0)

/* A loop by whole blocks, the last one padded, so that an element's value does not depend on
 * where it stands. */
#define BLOCKS(expr)                                                                               \
	do {                                                                                       \
		for (int64_t i = 0; i < n; i += EBB_BLOCK) {                                       \
			size_t m = (size_t)ebb_min(n - i, EBB_BLOCK) * sizeof(real);               \
			real in[EBB_BLOCK] = {0}, out[EBB_BLOCK];                                  \
			if (m == sizeof in)                                                        \
				memcpy(in, x + i, sizeof in);                                      \
			else                                                                       \
				memcpy(in, x + i, m);                                              \
			for (int k = 0; k < EBB_BLOCK; k++) {                                      \
				real v = in[k];                                                    \
				out[k] = (real)(expr);                                             \
			}                                                                          \
			if (m == sizeof in)                                                        \
				memcpy(y + i, out, sizeof out);                                    \
			else                                                                       \
				memcpy(y + i, out, m);                                             \
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

static void unary(ebb_unary_fn f, int64_t n, const real *x, real *y, real a, real b)
{
	switch (f) {
	case EBB_NEG:
		PLAIN(-v);
		break;
	case EBB_ABS:
		PLAIN(real_abs(v));
		break;
	case EBB_SIGN:
		PLAIN(v != v ? v : (real)((v > 0) - (v < 0)));
		break;
	case EBB_EXP:
		VECTOR(real_exp(v));
		break;
	case EBB_LOG:
		VECTOR(real_log(v));
		break;
	case EBB_EXPM1:
		VECTOR(real_expm1_any(v));
		break;
	case EBB_LOG1P:
		VECTOR(real_log1p_any(v));
		break;
	case EBB_SQRT:
		/* Not -0, beside which the slope 1/(2y) would be -inf. */
		PLAIN(real_sqrt(v) + 0);
		break;
	case EBB_RECIPROCAL:
		PLAIN(1 / v);
		break;
	case EBB_RSQRT:
		PLAIN(1 / (real_sqrt(v) + 0));
		break;
	case EBB_SQUARE:
		PLAIN(v * v);
		break;
	case EBB_FLOOR:
		PLAIN(LIBM(floor)(v));
		break;
	case EBB_SIN:
		CALLS(LIBM(sin)(v));
		break;
	case EBB_COS:
		CALLS(LIBM(cos)(v));
		break;
	case EBB_TANH:
		VECTOR(real_tanh(v));
		break;
	case EBB_ERF:
		VECTOR(real_erf(v));
		break;
	case EBB_SIGMOID:
		VECTOR(real_sigmoid(v));
		break;
	case EBB_SOFTPLUS:
		VECTOR(real_softplus(v));
		break;
	case EBB_SILU:
		VECTOR(real_silu(v));
		break;
	case EBB_SILU_SLOPE:
		VECTOR(real_silu_slope(v));
		break;
	case EBB_LOGSIGMOID:
		VECTOR(-real_softplus(-v));
		break;
	case EBB_MISH:
		VECTOR(real_mish(v));
		break;
	case EBB_MISH_SLOPE:
		VECTOR(real_mish_slope(v));
		break;
	case EBB_HARDSWISH:
		PLAIN(v <= -3 ? 0 : v < 3 ? v * ((v + 3) / 6) : v);
		break;
	case EBB_SOFTSIGN:
		PLAIN(real_softsign(v));
		break;
	case EBB_HUBER:
		PLAIN(real_abs(v) > a ? a * (real_abs(v) - a / 2) : v * (v / 2));
		break;
	case EBB_GELU:
		VECTOR(real_gelu(v));
		break;
	case EBB_GELU_SLOPE:
		VECTOR(real_gelu_slope(v));
		break;
	case EBB_GELU_TANH:
		VECTOR(real_gelu_tanh(v));
		break;
	case EBB_GELU_TANH_SLOPE:
		VECTOR(real_gelu_tanh_slope(v));
		break;
	case EBB_GAUSS:
		VECTOR(b * real_gauss(v, a));
		break;
	case EBB_RELU:
		PLAIN(v < 0 ? 0 : v);
		break;
	case EBB_LEAKY_RELU:
		if (a == 0)
			PLAIN(v < 0 ? 0 : v);
		else
			PLAIN(v > 0 ? v : a * v);
		break;
	case EBB_ELU:
		VECTOR(v > 0 ? v : a * real_expm1(v > 0 ? 0 : v));
		break;
	case EBB_SELU:
		VECTOR(b * (v > 0 ? v : a * real_expm1(v > 0 ? 0 : v)));
		break;
	case EBB_CLAMP:
		EBB_IVDEP
		for (int64_t i = 0; i < n; i++) {
			real v = x[i] < a ? a : x[i];

			y[i] = v > b ? b : v;
		}
		break;
	case EBB_ADD_SCALAR:
		PLAIN(v + a);
		break;
	case EBB_MUL_SCALAR:
		PLAIN(v * a);
		break;
	case EBB_POW_SCALAR:
		pow_scalar(n, x, y, a);
		break;
	case EBB_RSUB_SCALAR:
		PLAIN(a - v);
		break;
	case EBB_STEP:
		PLAIN(v > a ? 1 : 0);
		break;
	case EBB_INSIDE:
		PLAIN(((a <= v) & (v <= b)) ? 1 : 0);
		break;
	case EBB_IS_EQUAL:
		PLAIN(v == a ? 1 : 0);
		break;
	case EBB_UNARY_COUNT:
		break;
	}
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

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
	unary(j->f, ebb_min(EBB_PIECE, j->n - at), j->x + at, j->y + at, j->a, j->b);
}

EBB_DECLARE(unary);
void EBB_NAME(unary)(ebb_unary_fn f, int64_t n, const void *x, void *y, double a, double b)
{
	struct unary_job j = {f, n, x, y, (real)a, (real)b};

	if (n < EBB_PARALLEL_FROM)
		unary(f, n, x, y, j.a, j.b);
	else
		ebb_run(ebb_ceil_div(n, EBB_PIECE), unary_piece, &j);
}

/* The conversions and the like: y = f(x, y) with two constants. */
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
		name##_range(j, piece *EBB_PIECE, ebb_min(j->n, (piece + 1) * EBB_PIECE));         \
	}                                                                                          \
	static void name(struct flat_job j)                                                        \
	{                                                                                          \
		if (j.n < EBB_PARALLEL_FROM)                                                       \
			name##_range(&j, 0, j.n);                                                  \
		else                                                                               \
			ebb_run(ebb_ceil_div(j.n, EBB_PIECE), name##_piece, &j);                   \
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
