/*
 * heap.c - the large blocks of a pool.
 *
 * A heap is a few large regions.  Each region is divided into adjacent blocks, of which free
 * neighbours are merged, so that memory freed by a tensor of one shape serves tensors of other
 * shapes.  The search takes the regions from the oldest to the youngest, and in a region the
 * smallest sufficient block, the lowest address among equals (best fit).  A new region is allocated
 * only if no region has a sufficient block.  So a training step that starts with all blocks free
 * gets the same addresses as the same step before, and takes no more memory.
 */
#include "tensor/internal.h"

struct ebb_region {
	ebb_region *next; /* the next younger region */
	ebb_block *free;
	ebb_block *lowest;
	char *memory;
	size_t size;
};

enum { LEAST_REGION = 4 * 1024 * 1024, LEAST_REST = 4096 };

static void link_free(ebb_block *b)
{
	ebb_region *r = b->region;

	b->free = true;
	b->prev = NULL;
	b->next = r->free;
	if (b->next)
		b->next->prev = b;
	r->free = b;
}

static void unlink_free(ebb_block *b)
{
	if (b->prev)
		b->prev->next = b->next;
	else
		b->region->free = b->next;
	if (b->next)
		b->next->prev = b->prev;
	b->free = false;
}

/* Allocates a region for a block of that many bytes: half as large as all regions so far, if the
 * system has that much memory, else just large enough. */
static bool find_memory(ebb_pool *p, ebb_region *r, size_t bytes)
{
	size_t wanted = p->heap.reserved / 2 > LEAST_REGION ? p->heap.reserved / 2 : LEAST_REGION;
	size_t least = bytes + EBB_REDZONE + 2 * EBB_ALIGN;

	r->size = wanted > least ? wanted : least;
	r->memory = p->device->alloc(r->size);
	if (!r->memory && r->size > least)
		r->memory = p->device->alloc(r->size = least);
	return r->memory != NULL;
}

/* Adds a region that is one free block of at least that many bytes.  NULL: no memory. */
static ebb_region *add_region(ebb_pool *p, size_t bytes)
{
	ebb_region *r = ebb_alloc_zeroed(sizeof *r), **end = &p->heap.regions;
	ebb_block *b = r ? ebb_descriptor_take(p) : NULL;
	char *start;

	if (!b || !find_memory(p, r, bytes)) {
		if (b)
			ebb_descriptor_give(p, b);
		ebb_free(r, sizeof *r);
		return NULL;
	}
	start = ebb_align_pointer(r->memory);
	*b = (ebb_block){.data = start,
		.bytes = ((size_t)(r->memory + r->size - start) & ~(size_t)(EBB_ALIGN - 1)) -
	                 EBB_REDZONE,
		.size_class = EBB_ON_HEAP,
		.region = r};
	EBB_POISON(r->memory, r->size);
	r->lowest = b;
	link_free(b);
	while (*end)
		end = &(*end)->next;
	*end = r;
	p->heap.reserved += r->size;
	return r;
}

/* The smallest sufficient free block of a region, or NULL. */
static ebb_block *best_of(const ebb_region *r, size_t bytes)
{
	ebb_block *best = NULL;

	for (ebb_block *b = r->free; b; b = b->next)
		if (b->bytes >= bytes && (!best || b->bytes < best->bytes ||
						 (b->bytes == best->bytes && b->data < best->data)))
			best = b;
	return best;
}

/* Shrinks b to that many bytes, and returns the rest as a block that is in no list.  NULL: the rest
 * would be smaller than LEAST_REST, or there is no memory for a descriptor; b is unchanged. */
static ebb_block *split(ebb_pool *p, ebb_block *b, size_t bytes)
{
	ebb_block *rest;

	if (b->bytes < bytes + EBB_REDZONE + LEAST_REST || !(rest = ebb_descriptor_take(p)))
		return NULL;
	*rest = (ebb_block){.data = b->data + bytes + EBB_REDZONE,
		.bytes = b->bytes - bytes - EBB_REDZONE,
		.size_class = EBB_ON_HEAP,
		.below = b,
		.above = b->above,
		.region = b->region};
	if (rest->above)
		rest->above->below = rest;
	b->above = rest;
	b->bytes = bytes;
	EBB_POISON(b->data + bytes, EBB_REDZONE);
	return rest;
}

ebb_block *ebb_heap_take(ebb_pool *p, size_t bytes)
{
	ebb_block *b = NULL, *rest;
	ebb_region *r;

	bytes = ebb_align_up(bytes);
	for (r = p->heap.regions; r && !b; r = r->next)
		b = best_of(r, bytes);
	if (!b) {
		r = add_region(p, bytes);
		b = r ? r->free : NULL;
	}
	if (!b)
		return NULL;
	unlink_free(b);
	rest = split(p, b, bytes);
	if (rest)
		link_free(rest);
	return b;
}

/* Merges the upper of two adjacent blocks into the lower one. */
static void merge(ebb_pool *p, ebb_block *lower, ebb_block *upper)
{
	assert(lower->above == upper && lower->data + lower->bytes + EBB_REDZONE == upper->data);
	lower->above = upper->above;
	if (lower->above)
		lower->above->below = lower;
	lower->bytes += EBB_REDZONE + upper->bytes;
	ebb_descriptor_give(p, upper);
}

void ebb_heap_give(ebb_pool *p, ebb_block *b)
{
	if (b->above && b->above->free) {
		unlink_free(b->above);
		merge(p, b, b->above);
	}
	if (b->below && b->below->free)
		merge(p, b->below, b);
	else
		link_free(b);
}

void ebb_heap_trim(ebb_pool *p, ebb_block *b, size_t bytes)
{
	ebb_block *rest = split(p, b, ebb_align_up(bytes));

	if (!rest)
		return;
	EBB_POISON(rest->data, rest->bytes);
	ebb_heap_give(p, rest);
}

void ebb_heap_free(ebb_pool *p)
{
	while (p->heap.regions) {
		ebb_region *r = p->heap.regions;

		p->heap.regions = r->next;
		EBB_UNPOISON(r->memory, r->size);
		p->device->free(r->memory, r->size);
		ebb_free(r, sizeof *r);
	}
	p->heap = (ebb_heap){0};
}

const ebb_region *ebb_region_next(const ebb_region *r)
{
	return r->next;
}

const ebb_block *ebb_region_lowest(const ebb_region *r)
{
	return r->lowest;
}
