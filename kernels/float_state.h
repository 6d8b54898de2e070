/*
 * float_state.h - the floating-point control word that kernels run under.
 *
 * A kernel rounds to nearest with all exceptions masked.  The caller chooses how it treats
 * subnormal numbers (below 2^-126 in float, 2^-1022 in double).  With flushing, a subnormal
 * operand counts as zero and a subnormal result becomes zero.  Without flushing, many processors
 * take a hundred cycles or more for each.  The control word belongs to a thread: ebb_parallel sets
 * the word of its caller in every thread that takes part.  On processors for which EBB_CAN_FLUSH
 * is 0, subnormal numbers are kept.
 */
#ifndef EBB_KERNELS_FLOAT_STATE_H
#define EBB_KERNELS_FLOAT_STATE_H

#include "kernels.h"

typedef uint64_t ebb_float_state;

#if defined __SSE2__

#include <xmmintrin.h>

/* MXCSR: all exceptions masked; FTZ (bit 15) and DAZ (bit 6). */
enum { EBB_CAN_FLUSH = 1, EBB_FLOAT_KEEP = 0x1f80, EBB_FLOAT_FLUSH = 0x1f80 | 0x8000 | 0x0040 };

static inline ebb_float_state ebb_float_get(void)
{
	return _mm_getcsr();
}

static inline void ebb_float_set(ebb_float_state s)
{
	_mm_setcsr((unsigned)s);
}

#elif defined __aarch64__

/* FPCR: FZ (bit 24), for operands and results of both precisions. */
enum { EBB_CAN_FLUSH = 1, EBB_FLOAT_KEEP = 0, EBB_FLOAT_FLUSH = 1 << 24 };

static inline ebb_float_state ebb_float_get(void)
{
	uint64_t s;

	__asm__ volatile("mrs %0, fpcr" : "=r"(s));
	return s;
}

static inline void ebb_float_set(ebb_float_state s)
{
	__asm__ volatile("msr fpcr, %0" : : "r"(s) : "memory");
}

#else

enum { EBB_CAN_FLUSH = 0, EBB_FLOAT_KEEP = 0, EBB_FLOAT_FLUSH = 0 };

static inline ebb_float_state ebb_float_get(void)
{
	return 0;
}

static inline void ebb_float_set(ebb_float_state s)
{
	(void)s;
}

#endif

/* ebb_float_enter sets the control word for a kernel and returns the previous one; ebb_float_leave
 * restores that, exception flags included. */
static inline ebb_float_state ebb_float_enter(bool flush)
{
	ebb_float_state own = ebb_float_get();

	ebb_float_set(flush ? EBB_FLOAT_FLUSH : EBB_FLOAT_KEEP);
	return own;
}

static inline void ebb_float_leave(ebb_float_state own)
{
	ebb_float_set(own);
}

/* The statistics of x (ebb_kernels.stats) without flushing, so that subnormal numbers count. */
static inline void ebb_exact_stats(const ebb_kernels *k, int64_t n, const void *x, double below,
	double above, ebb_kernel_stats *s)
{
	ebb_float_state own = ebb_float_enter(false);

	k->stats(n, x, below, above, s);
	ebb_float_leave(own);
}

#endif
