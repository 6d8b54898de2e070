/*
 * sizes.h - sizes in bytes that do not overflow, even where size_t has 32 bits.
 */
#ifndef EBB_KERNELS_SIZES_H
#define EBB_KERNELS_SIZES_H

#include <stddef.h>
#include <stdint.h>

/* The limit of any allocation.  The sum of three results of ebb_bytes_of does not overflow. */
#define EBB_MOST_BYTES ((size_t)(PTRDIFF_MAX < INT64_MAX ? PTRDIFF_MAX / 2 : INT64_C(1) << 46))

/* The bytes of n elements; if they exceed EBB_MOST_BYTES, EBB_MOST_BYTES + 1, which every
 * allocation refuses. */
static inline size_t ebb_bytes_of(int64_t n, size_t element)
{
	return n > (int64_t)(EBB_MOST_BYTES / element) ? EBB_MOST_BYTES + 1 : (size_t)n * element;
}

#endif
