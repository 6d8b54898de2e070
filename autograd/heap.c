/*
 * heap.c - where the pool takes large storages from.
 *
 * A heap is a few large regions, each cut into storages that lie back to back: what one shape gives
 * back serves another, and neighbours that are free become one.  The search takes regions from the
 * oldest to the youngest, and the smallest sufficient block of a region, the lowest of equals.  A
 * region is made only when none of the older ones had room, so a step that starts with everything
 * free finds each block where the same step found it before, and needs no more.
 */
#include "autograd/internal.h"

struct ebb_region {
	ebb_region *next; /* younger */
	ebb_storage *free;
	size_t size;
};

enum { LEAST_REGION = 4 * 1024 * 1024, LEAST_REST = 4096 };

static ebb_storage *above(ebb_storage *s)
{
	return (ebb_storage *)(void *)((char *)ebb_storage_data(s) + s->bytes);
}

static bool is_free(const ebb_storage *s)
{
	return s->refs == 0;
}

static void link_free(ebb_storage *s)
{
	ebb_region *r = s->in.heap.region;

	s->prev = NULL;
	s->next = r->free;
	if (s->next)
		s->next->prev = s;
	r->free = s;
}

static void unlink_free(ebb_storage *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		s->in.heap.region->free = s->next;
	if (s->next)
		s->next->prev = s->prev;
}

/* A header at p, of a block that is not in the free list. */
static ebb_storage *header(void *p, ebb_region *r, ebb_storage *below, size_t bytes)
{
	ebb_storage *s = p;

	EBB_UNPOISON(s, EBB_ALIGN);
	*s = (ebb_storage){.size_class = EBB_ON_HEAP,
		.bytes = bytes,
		.in.heap = {.region = r, .below = below}};
	return s;
}

/* One free block from end to end, and a header behind it that is never free. */
static ebb_region *add_region(ebb_heap *h, size_t bytes)
{
	size_t size = h->reserved / 2 > LEAST_REGION ? h->reserved / 2 : LEAST_REGION;
	size_t least = bytes + sizeof(ebb_region) + 4 * EBB_ALIGN, room;
	ebb_region *r, **end = &h->regions;
	char *start;
	ebb_storage *s;

	size = size > least ? size : least;
	r = ebb_alloc(size);
	/* Rather a small one than none. */
	if (!r && size > least)
		r = ebb_alloc(size = least);
	if (!r)
		return NULL;
	*r = (ebb_region){.size = size};
	start = (char *)(((uintptr_t)(r + 1) + EBB_ALIGN - 1) & ~(uintptr_t)(EBB_ALIGN - 1));
	room = (size_t)((char *)r + size - start) & ~(size_t)(EBB_ALIGN - 1);
	s = header(start, r, NULL, room - 2 * EBB_ALIGN);
	EBB_POISON(ebb_storage_data(s), s->bytes);
	header(above(s), r, s, 0)->refs = 1;
	link_free(s);
	while (*end)
		end = &(*end)->next;
	*end = r;
	h->reserved += size;
	return r;
}

static ebb_storage *best_of(const ebb_region *r, size_t bytes)
{
	ebb_storage *best = NULL;

	for (ebb_storage *s = r->free; s; s = s->next)
		if (s->bytes >= bytes &&
			(!best || s->bytes < best->bytes || (s->bytes == best->bytes && s < best)))
			best = s;
	return best;
}

/* A thousandth more than asked for, less a header: two blocks of whole cache lines then fit, with the
 * header between them, where one as large as both was.  Halves often follow a whole, as after pooling. */
static size_t rounded(size_t bytes)
{
	size_t spare = bytes / (1024 * EBB_ALIGN) * EBB_ALIGN;

	bytes = (bytes + EBB_ALIGN - 1) & ~(size_t)(EBB_ALIGN - 1);
	return spare ? bytes + spare - EBB_ALIGN : bytes;
}

/* The block becomes its lower end.  The rest, unless it is next to nothing, is another, in no list. */
static ebb_storage *split(ebb_storage *s, size_t bytes)
{
	ebb_storage *top = above(s), *rest;
	size_t left;

	if (s->bytes < bytes + LEAST_REST)
		return NULL;
	left = s->bytes - bytes - EBB_ALIGN;
	s->bytes = bytes;
	rest = header(above(s), s->in.heap.region, s, left);
	top->in.heap.below = rest;
	return rest;
}

static ebb_storage *cut(ebb_storage *s, size_t bytes)
{
	ebb_storage *rest;

	unlink_free(s);
	rest = split(s, bytes);
	if (rest)
		link_free(rest);
	s->refs = 1;
	s->version = 0;
	EBB_UNPOISON(ebb_storage_data(s), s->bytes);
	return s;
}

ebb_storage *ebb_heap_take(ebb_heap *h, size_t bytes)
{
	ebb_storage *s = NULL;
	ebb_region *r;

	bytes = rounded(bytes);
	for (r = h->regions; r && !s; r = r->next)
		s = best_of(r, bytes);
	if (!s) {
		r = add_region(h, bytes);
		s = r ? r->free : NULL;
	}
	return s ? cut(s, bytes) : NULL;
}

/* The upper of two neighbours becomes part of the lower. */
static void merge(ebb_storage *lower, ebb_storage *upper)
{
	above(upper)->in.heap.below = lower;
	lower->bytes += EBB_ALIGN + upper->bytes;
	EBB_POISON(upper, EBB_ALIGN);
}

void ebb_heap_give(ebb_storage *s)
{
	ebb_storage *below = s->in.heap.below, *next = above(s);

	EBB_POISON(ebb_storage_data(s), s->bytes);
	if (is_free(next)) {
		unlink_free(next);
		merge(s, next);
	}
	if (below && is_free(below))
		merge(below, s);
	else
		link_free(s);
}

void ebb_heap_trim(ebb_storage *s, size_t bytes)
{
	ebb_storage *rest = split(s, rounded(bytes));

	if (rest)
		ebb_heap_give(rest);
}

void ebb_heap_free(ebb_heap *h)
{
	while (h->regions) {
		ebb_region *r = h->regions;

		h->regions = r->next;
		EBB_UNPOISON(r, r->size);
		ebb_free(r, r->size);
	}
	*h = (ebb_heap){0};
}
