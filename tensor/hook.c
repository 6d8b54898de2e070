/* hook.c - the allocation hook, and growing arrays. */
#include <stdlib.h>
#include <string.h>

#include "kernels/sizes.h"
#include "tensor/host.h"

static void *default_alloc(void *ctx, void *p, size_t old_size, size_t new_size)
{
	(void)ctx;
	(void)old_size;
	if (new_size == 0) {
		free(p);
		return NULL;
	}
	return realloc(p, new_size);
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
