/*
 * lanes.h - loads and stores of vectors: whole, streaming, and of the first n lanes, where memory
 * ends behind them (tails).
 */
#ifndef EBB_KERNELS_LANES_H
#define EBB_KERNELS_LANES_H

#include "real.h"

#if defined __AVX2__
#include <immintrin.h>
#endif

enum { EBB_STREAM_FROM = 4 << 20 }; /* bytes of output */

typedef real ebb_half_vec
	__attribute__((vector_size(EBB_VBYTES / 2), aligned(sizeof(real)), may_alias));

EBB_INLINE ebb_vec ebb_load(const real *p)
{
	return *(const ebb_vec *)(const void *)p;
}

EBB_INLINE void ebb_store(real *p, ebb_vec v)
{
	*(ebb_vec *)(void *)p = v;
}

/* A streaming (non-temporal) store, which bypasses the caches.  It is for memory that is read
 * again only when the caches have long replaced it.  It halves the memory traffic, because an
 * ordinary store reads the cache line first.  p is aligned to a vector.  ebb_stream_end must
 * precede whatever tells another thread about the data. */
EBB_INLINE void ebb_stream(real *p, ebb_vec v)
{
#if defined __AVX512F__ && EBB_F64
	_mm512_stream_pd(p, (__m512d)v);
#elif defined __AVX512F__
	_mm512_stream_ps(p, (__m512)v);
#elif defined __AVX2__ && EBB_F64
	_mm256_stream_pd(p, (__m256d)v);
#elif defined __AVX2__
	_mm256_stream_ps(p, (__m256)v);
#else
	ebb_store(p, v);
#endif
}

EBB_INLINE void ebb_stream_end(void)
{
#if defined __AVX2__
	_mm_sfence();
#endif
}

/* Whether an output of that many elements should be written by streaming stores, because it would
 * fill the nearer caches. */
static inline bool ebb_streams(int64_t elements)
{
	return elements * (int64_t)sizeof(real) >= EBB_STREAM_FROM;
}

EBB_INLINE bool ebb_is_aligned(const real *p)
{
	return ((uintptr_t)p & (EBB_VBYTES - 1)) == 0;
}

#if defined __AVX512F__
#define EBB_LANES(n) ((1U << (n)) - 1)
#elif defined __AVX2__
/* Eight set lanes, then eight clear ones: the mask of n lanes begins n lanes before the middle. */
static const int ebb_lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
#endif

/* Loads the first n lanes, n <= EBB_VLEN; the other lanes are 0. */
EBB_INLINE ebb_vec ebb_load_part(const real *p, int64_t n)
{
#if defined __AVX512F__ && EBB_F64
	return (ebb_vec)_mm512_maskz_loadu_pd((__mmask8)EBB_LANES(n), p);
#elif defined __AVX512F__
	return (ebb_vec)_mm512_maskz_loadu_ps((__mmask16)EBB_LANES(n), p);
#elif defined __AVX2__ && EBB_F64
	return (ebb_vec)_mm256_maskload_pd(
		p, _mm256_loadu_si256((const __m256i_u *)(const void *)(ebb_lanes + 8 - 2 * n)));
#elif defined __AVX2__
	return (ebb_vec)_mm256_maskload_ps(
		p, _mm256_loadu_si256((const __m256i_u *)(const void *)(ebb_lanes + 8 - n)));
#else
	real lanes[EBB_VLEN] = {0};

	for (int64_t i = 0; i < n; i++)
		lanes[i] = p[i];
	return ebb_load(lanes);
#endif
}

/* Stores the first n lanes; the memory behind them stays as it is.  (AVX2 has masked stores, too,
 * but on some processors they are slower than the loop.) */
EBB_INLINE void ebb_store_part(real *p, ebb_vec v, int64_t n)
{
#if defined __AVX512F__ && EBB_F64
	_mm512_mask_storeu_pd(p, (__mmask8)EBB_LANES(n), (__m512d)v);
#elif defined __AVX512F__
	_mm512_mask_storeu_ps(p, (__mmask16)EBB_LANES(n), (__m512)v);
#else
	real lanes[EBB_VLEN];

	ebb_store(lanes, v);
	for (int64_t i = 0; i < n; i++)
		p[i] = lanes[i];
#endif
}

/* A vector whose lower half is v.  The upper half must not be used. */
EBB_INLINE ebb_vec ebb_widen(ebb_half_vec v)
{
	union {
		ebb_half_vec half[2];
		ebb_vec whole;
	} u = {{v, v}};

	return u.whole;
}

#endif
