/*
 * microkernel.c - the micro-kernels of matrix products and convolutions: one for each number of
 * rows, width of the panel, and rule of indexing a.
 */
#include "kernels/gemm/microkernel.h"
#include "kernels/lanes.h"

/* Indexing by row, the address of row t is base t/5 plus t%5 strides.  Three base registers so
 * serve up to 14 rows. */

#define LOAD(type, from) (*(const type *)(const void *)(from))

/* Writes n columns: c = acc, or c += acc. */
EBB_INLINE void full_part(ebb_vec acc, int n, bool add, real *c)
{
	if (add)
		acc += ebb_load_part(c, n);
	ebb_store_part(c, acc, n);
}

#if EBB_VBYTES > 16
EBB_INLINE void half_part(ebb_half_vec acc, int n, bool add, real *c)
{
	full_part(ebb_widen(acc), n, add, c);
}
#endif

#define MICRO(name, vec, length)                                                                         \
	/* Writes a tile whose panel is wider than the columns to write. */                              \
	static __attribute__((noinline)) void name##_edge(                                               \
		int rows, int vecs, const struct ebb_product *p, const vec *sums, real *c)               \
	{                                                                                                \
		/* If rows of c are contiguous, a vector may extend into rows that are written later. */ \
		const bool packed = vecs == 1 && !p->add && p->ldc == p->cols;                           \
                                                                                                         \
		for (int t = 0; t < rows; t++, c += p->ldc) {                                            \
			const bool whole = packed && (rows - t) * p->cols >= (length);                   \
                                                                                                         \
			for (int v = 0; v < vecs; v++, sums++) {                                         \
				const int left = p->cols - v * (length);                                 \
				vec *to = (vec *)(void *)(c + v * (length));                             \
                                                                                                         \
				if (whole || left >= (length))                                           \
					*to = p->add ? (vec)(*to + *sums) : *sums;                       \
				else if (left > 0)                                                       \
					name##_part(*sums, left, p->add, c + v * (length));              \
			}                                                                                \
		}                                                                                        \
	}                                                                                                \
	/* Adds one term to the accumulators. */                                                         \
	EBB_INLINE void name##_term(const int rows, const int vecs, const bool by_row,                   \
		const int64_t as, const real *b, const real *run, const char *base0,                     \
		const char *base1, const char *base2, vec(*acc)[2])                                      \
	{                                                                                                \
		vec b0 = LOAD(vec, b), b1 = b0;                                                          \
                                                                                                         \
		if (vecs == 2)                                                                           \
			b1 = LOAD(vec, b + (length));                                                    \
		EBB_UNROLL(14)                                                                           \
		for (int t = 0; t < rows; t++) {                                                         \
			const char *base = t < 5 ? base0 : t < 10 ? base1 : base2;                       \
			real s = by_row ? LOAD(real, base + t % 5 * as) : run[t];                        \
                                                                                                         \
			acc[t][0] += b0 * s;                                                             \
			if (vecs == 2)                                                                   \
				acc[t][1] += b1 * s;                                                     \
		}                                                                                        \
	}                                                                                                \
	EBB_INLINE void name##_core(const int rows, const int vecs, const bool by_row,                   \
		const struct ebb_product *p, const real *a, const real *b, real *c)                      \
	{                                                                                                \
		/* Few accumulators are bound by the latency of an addition: use two sets of them. */    \
		const int parts = rows * vecs < 8 ? 2 : 1;                                               \
		vec acc[2][EBB_MAX_ROWS][2];                                                             \
		const int64_t len = p->len, bs = p->b_stride, ldc = p->ldc;                              \
		const int64_t as = by_row ? p->a_stride * (int64_t)sizeof(real) : p->a_stride;           \
		const bool add = p->add;                                                                 \
                                                                                                         \
		EBB_UNROLL(14)                                                                           \
		for (int t = 0; t < rows; t++)                                                           \
			__builtin_prefetch(c + t * ldc, 1);                                              \
                                                                                                         \
		EBB_UNROLL(14)                                                                           \
		for (int t = 0; t < rows; t++) {                                                         \
			EBB_UNROLL(2)                                                                    \
			for (int v = 0; v < vecs; v++) {                                                 \
				acc[0][t][v] =                                                           \
					p->bias ? LOAD(vec, p->bias + v * (length)) : (vec){0};          \
				EBB_UNROLL(2)                                                            \
				for (int i = 1; i < parts; i++)                                          \
					acc[i][t][v] = (vec){0};                                         \
			}                                                                                \
		}                                                                                        \
		for (int64_t r1 = 0; r1 < p->runs1; r1++) {                                              \
			for (int64_t r2 = 0; r2 < p->runs2; r2++) {                                      \
				const real *run = a + r1 * p->a_run1 + r2 * p->a_run2;                   \
				const char *base0 = (const char *)run;                                   \
				const char *base1 = base0 + (rows > 5 && by_row ? 5 * as : 0);           \
				const char *base2 = base0 + (rows > 10 && by_row ? 10 * as : 0);         \
				int64_t k = 0;                                                           \
                                                                                                         \
				if (by_row) {                                                            \
					EBB_HIDE(base1);                                                 \
					EBB_HIDE(base2);                                                 \
				}                                                                        \
				for (; k + parts <= len; k += parts) {                                   \
					EBB_UNROLL(2)                                                    \
					for (int i = 0; i < parts; i++)                                  \
						name##_term(rows, vecs, by_row, as, b + i * bs,          \
							run + (by_row ? 0 : i * as),                     \
							base0 + i * sizeof(real),                        \
							base1 + i * sizeof(real),                        \
							base2 + i * sizeof(real), acc[i]);               \
					b += parts * bs;                                                 \
					if (by_row) {                                                    \
						base0 += parts * sizeof(real);                           \
						base1 += parts * sizeof(real);                           \
						base2 += parts * sizeof(real);                           \
					} else {                                                         \
						run += parts * as;                                       \
					}                                                                \
				}                                                                        \
				if (parts > 1 && k < len) {                                              \
					name##_term(rows, vecs, by_row, as, b, run, base0, base1,        \
						base2, acc[0]);                                          \
					b += bs;                                                         \
				}                                                                        \
			}                                                                                \
		}                                                                                        \
		EBB_UNROLL(14)                                                                           \
		for (int t = 0; t < rows; t++) {                                                         \
			EBB_UNROLL(2)                                                                    \
			for (int v = 0; v < vecs; v++) {                                                 \
				EBB_UNROLL(2)                                                            \
				for (int i = 1; i < parts; i++)                                          \
					acc[0][t][v] += acc[i][t][v];                                    \
			}                                                                                \
		}                                                                                        \
		if (p->cols < vecs * (length)) {                                                         \
			vec sums[EBB_MAX_ROWS * 2];                                                      \
                                                                                                         \
			EBB_UNROLL(14)                                                                   \
			for (int t = 0; t < rows; t++) {                                                 \
				EBB_UNROLL(2)                                                            \
				for (int v = 0; v < vecs; v++)                                           \
					sums[t * vecs + v] = acc[0][t][v];                               \
			}                                                                                \
			name##_edge(rows, vecs, p, sums, c);                                             \
			return;                                                                          \
		}                                                                                        \
		EBB_UNROLL(14)                                                                           \
		for (int t = 0; t < rows; t++, c += ldc) {                                               \
			EBB_UNROLL(2)                                                                    \
			for (int v = 0; v < vecs; v++) {                                                 \
				vec *to = (vec *)(void *)(c + v * (length));                             \
                                                                                                         \
				*to = add ? (vec)(*to + acc[0][t][v]) : acc[0][t][v];                    \
			}                                                                                \
		}                                                                                        \
	}

/* The micro-kernels of one kind of panel, for n rows and both rules of indexing. */
#define KERNEL(name, core, vecs, n)                                                                \
	static void name##_row_##n(                                                                \
		const struct ebb_product *p, const real *a, const real *b, real *c)                \
	{                                                                                          \
		core(n, vecs, true, p, a, b, c);                                                   \
	}                                                                                          \
	static void name##_term_##n(                                                               \
		const struct ebb_product *p, const real *a, const real *b, real *c)                \
	{                                                                                          \
		core(n, vecs, false, p, a, b, c);                                                  \
	}
#define KERNELS_6(name, core, vecs)                                                                \
	KERNEL(name, core, vecs, 1)                                                                \
	KERNEL(name, core, vecs, 2)                                                                \
	KERNEL(name, core, vecs, 3)                                                                \
	KERNEL(name, core, vecs, 4)                                                                \
	KERNEL(name, core, vecs, 5)                                                                \
	KERNEL(name, core, vecs, 6)
#define KERNELS_12(name, core, vecs)                                                               \
	KERNELS_6(name, core, vecs)                                                                \
	KERNEL(name, core, vecs, 7)                                                                \
	KERNEL(name, core, vecs, 8)                                                                \
	KERNEL(name, core, vecs, 9)                                                                \
	KERNEL(name, core, vecs, 10)                                                               \
	KERNEL(name, core, vecs, 11)                                                               \
	KERNEL(name, core, vecs, 12)
#define KERNELS_14(name, core, vecs)                                                               \
	KERNELS_12(name, core, vecs)                                                               \
	KERNEL(name, core, vecs, 13)                                                               \
	KERNEL(name, core, vecs, 14)

#define LIST_6(p) NULL, p##1, p##2, p##3, p##4, p##5, p##6
#define LIST_12(p) LIST_6(p), p##7, p##8, p##9, p##10, p##11, p##12
#define LIST_14(p) LIST_12(p), p##13, p##14
#define PANEL(name, columns, n)                                                                    \
	{                                                                                          \
		.width = (columns), .rows = n, .by_row = {LIST_##n(name##_row_)}, .by_term = {     \
			LIST_##n(name##_term_)                                                     \
		}                                                                                  \
	}

MICRO(full, ebb_vec, EBB_VLEN)

#if EBB_VBYTES > 16
MICRO(half, ebb_half_vec, EBB_VLEN / 2)
#endif

#if EBB_VBYTES == 64
KERNELS_14(narrow, half_core, 1)
KERNELS_14(single, full_core, 1)
KERNELS_14(wide, full_core, 2)
const struct ebb_gemm_panel ebb_gemm_panels[EBB_PANELS] = {PANEL(narrow, EBB_VLEN / 2, 14),
	PANEL(single, EBB_VLEN, 14), PANEL(wide, 2 * EBB_VLEN, 14)};
#elif EBB_VBYTES == 32
KERNELS_12(narrow, half_core, 1)
KERNELS_12(single, full_core, 1)
KERNELS_6(wide, full_core, 2)
const struct ebb_gemm_panel ebb_gemm_panels[EBB_PANELS] = {
	PANEL(narrow, EBB_VLEN / 2, 12), PANEL(single, EBB_VLEN, 12), PANEL(wide, 2 * EBB_VLEN, 6)};
#else
KERNELS_12(single, full_core, 1)
KERNELS_6(wide, full_core, 2)
const struct ebb_gemm_panel ebb_gemm_panels[EBB_PANELS] = {
	PANEL(single, EBB_VLEN, 12), PANEL(single, EBB_VLEN, 12), PANEL(wide, 2 * EBB_VLEN, 6)};
#endif
