/* hook.c - the allocation hook, and growing arrays. */
#include <stdlib.h>
#include <string.h>

#include "kernels/sizes.h"
#include "tensor/host.h"

#if defined __linux__
#include <sys/mman.h>
#endif

/* The size of a huge page, and the least size of memory that is aligned for huge pages: more than
 * the first regions of a heap, of which a small network uses a part only. */
enum { HUGE_PAGE = 2 * 1024 * 1024, HUGE_LEAST = 3 * HUGE_PAGE };

/* Allocates memory for which Linux uses huge pages, where it has them for programs that ask
 * (transparent_hugepage/enabled is "madvise" or "always").  Matrices whose rows are a page apart
 * need a translation of an address per row, and the processor's buffer for translations holds too
 * few of 4 KB each: a step of the benchmark gpt takes 5 % longer with them. */
static void *alloc_huge(size_t size)
{
#if defined __linux__ && defined MADV_HUGEPAGE
	void *p = NULL;

	if (posix_memalign(&p, HUGE_PAGE, size) != 0)
		return NULL;
	/* Whole huge pages only, so that the memory behind them is not affected.  A failure of
	 * madvise changes the speed only. */
	madvise(p, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
	return p;
#else
	return malloc(size);
#endif
}

static void *default_alloc(void *ctx, void *p, size_t old_size, size_t new_size)
{
	(void)ctx;
	(void)old_size;
	if (new_size == 0) {
		free(p);
		return NULL;
	}
	return !p && new_size >= HUGE_LEAST ? alloc_huge(new_size) : realloc(p, new_size);
}

static ebb_alloc_fn hook = default_alloc;
static void *hook_ctx;

void ebb_set_allocator(ebb_alloc_fn fn, void *ctx)
{
	hook = fn ? fn : default_alloc;
	hook_ctx = fn ? ctx : NULL;
}

void *ebb_alloc(size_t size)
{
	return size && size <= EBB_MOST_BYTES ? hook(hook_ctx, NULL, 0, size) : NULL;
}

void *ebb_alloc_zeroed(size_t size)
{
	void *p = ebb_alloc(size);

	if (p)
		memset(p, 0, size);
	return p;
}

void *ebb_realloc(void *p, size_t old_size, size_t new_size)
{
	if (!p)
		return ebb_alloc(new_size);
	if (new_size > EBB_MOST_BYTES)
		return NULL;
	return hook(hook_ctx, p, old_size, new_size);
}

void ebb_free(void *p, size_t size)
{
	if (p)
		hook(hook_ctx, p, size, 0);
}

bool ebb_grow(void *array, int64_t *capacity, int64_t n, size_t element)
{
	void **a = array;
	int64_t wanted = *capacity ? *capacity : 64;
	void *p;

	if (n <= *capacity)
		return true;
	while (wanted < n)
		wanted *= 2;
	p = ebb_realloc(*a, (size_t)*capacity * element, ebb_bytes_of(wanted, element));
	if (!p)
		return false;
	*a = p;
	*capacity = wanted;
	return true;
}
