/*
 * real.h - the types and macros that every kernel file uses.  real is float or double; EBB_NAME(f)
 * is the symbol of f for this type and instruction set.  The build compiles each file once per
 * pair of these, with EBB_F64 and EBB_ISA defined.
 */
#ifndef EBB_KERNELS_REAL_H
#define EBB_KERNELS_REAL_H

#include "kernels.h"

#if EBB_F64
typedef double real;
#define EBB_TYPE f64
#else
typedef float real;
#define EBB_TYPE f32
#endif

#define EBB_PASTE_(name, type, isa) ebb_##name##_##type##_##isa
#define EBB_PASTE(name, type, isa) EBB_PASTE_(name, type, isa)
#define EBB_NAME(name) EBB_PASTE(name, EBB_TYPE, EBB_ISA)

#define EBB_STRING_(x) #x
#define EBB_STRING(x) EBB_STRING_(x)

/* Declares a kernel with the type of its member of ebb_kernels. */
#define EBB_DECLARE(name) __typeof__(*((const ebb_kernels *)0)->name) EBB_NAME(name)

/* The widest vector of this instruction set, in bytes. */
#if defined __AVX512F__
#define EBB_VBYTES 64
#elif defined __AVX2__
#define EBB_VBYTES 32
#else
#define EBB_VBYTES 16
#endif

/* A vector without an alignment of its own, because kernels take any pointer to real. */
typedef real ebb_vec __attribute__((vector_size(EBB_VBYTES), aligned(sizeof(real)), may_alias));
enum { EBB_VLEN = EBB_VBYTES / (int)sizeof(real) };

/* Integers as wide as a real, for masks and positions. */
#if EBB_F64
typedef int64_t ebb_whole;
#else
typedef int32_t ebb_whole;
#endif
typedef ebb_whole ebb_whole_vec __attribute__((vector_size(EBB_VBYTES)));

#define EBB_INLINE static inline __attribute__((always_inline))
#define EBB_PRAGMA(x) _Pragma(#x)
#if defined __clang__
#define EBB_IVDEP EBB_PRAGMA(clang loop vectorize(assume_safety))
#define EBB_UNROLL(n) EBB_PRAGMA(clang loop unroll(full))
#else
#define EBB_IVDEP EBB_PRAGMA(GCC ivdep)
#define EBB_UNROLL(n) EBB_PRAGMA(GCC unroll n)
#endif

/* Hides the value of x from the compiler, so that it keeps an address in a register instead of
 * computing it again. */
#define EBB_HIDE(x) __asm__("" : "+r"(x))

/* A flat loop over fewer than EBB_PARALLEL_FROM elements runs on the calling thread, because
 * waking a thread would take longer.  Other flat loops are split into tasks of EBB_PIECE
 * elements. */
enum { EBB_PIECE = 16384, EBB_PARALLEL_FROM = 32768 };

static inline int64_t i64_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t i64_max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static inline int64_t ebb_ceil_div(int64_t a, int64_t b)
{
	return (a + b - 1) / b;
}

/* Calls fn(ctx, piece, worker) for all tasks; a single task does not use the pool. */
static inline void ebb_run_pieces(int64_t pieces, void (*fn)(void *, int64_t, int), void *ctx)
{
	if (pieces == 1)
		fn(ctx, 0, 0);
	else if (pieces > 1)
		ebb_parallel(pieces, fn, ctx);
}

#endif
