/*
 * sizes.h - numbers of bytes that do not wrap, where a size_t has 32 bits too.
 */
#ifndef EBB_KERNELS_SIZES_H
#define EBB_KERNELS_SIZES_H

#include <stddef.h>
#include <stdint.h>

/* No allocation is larger.  A sum of three sizes that ebb_bytes_of gives does not wrap. */
#define EBB_MOST_BYTES ((size_t)(PTRDIFF_MAX < INT64_MAX ? PTRDIFF_MAX / 2 : INT64_C(1) << 46))

/* The bytes of n elements; EBB_MOST_BYTES + 1, which no allocation gives, where they are more than
 * that. */
static inline size_t ebb_bytes_of(int64_t n, size_t element)
{
	return n > (int64_t)(EBB_MOST_BYTES / element) ? EBB_MOST_BYTES + 1 : (size_t)n * element;
}

#endif
