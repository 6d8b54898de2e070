/*
 * pickle_memory.c - counted memory for the values of a pickle, and the memo.
 */
#include <string.h>

#include "archive/torch/pickle.h"
#include "tensor/internal.h"

/* ---- Memory --------------------------------------------------------------------------------- */

void ebb_py_begin(ebb_py_heap *h, ebb_archive *a, ebb_error *e)
{
	*h = (ebb_py_heap){.a = a, .e = e};
	h->none.kind = EBB_PY_NONE;
	h->truth[0].kind = h->truth[1].kind = EBB_PY_BOOL;
	h->truth[1].i = 1;
	h->empty.kind = EBB_PY_TUPLE;
}

void ebb_py_end(ebb_py_heap *h)
{
	h->a->taken -= h->charged;
	h->charged = 0;
	ebb_arena_free(&h->arena);
}

static bool charge(ebb_py_heap *h, size_t n)
{
	if (!ebb_archive_charge(h->a, n, h->e))
		return false;
	h->charged += (int64_t)n;
	return true;
}

void *ebb_py_take(ebb_py_heap *h, size_t n)
{
	/* rounded as the arena does */
	size_t whole = n <= EBB_MOST_BYTES ? (n + 15) & ~(size_t)15 : n;
	void *p = charge(h, whole) ? ebb_arena_take(&h->arena, whole) : NULL;

	if (!p)
		ebb_archive_no_memory(h->a, h->e);
	return p;
}

bool ebb_py_room(ebb_py_heap *h, void *array, int64_t *capacity, int64_t n, size_t element)
{
	int64_t before = *capacity, wanted = before ? before : 64;

	if (n <= before)
		return true;
	while (wanted < n)
		wanted *= 2;
	if (!charge(h, ebb_bytes_of(wanted, element)))
		return false;
	if (!ebb_grow(array, capacity, n, element))
		return ebb_archive_no_memory(h->a, h->e);
	h->charged -= before * (int64_t)element;
	h->a->taken -= before * (int64_t)element;
	return true;
}

void ebb_py_give(ebb_py_heap *h, void *array, int64_t capacity, size_t element)
{
	int64_t bytes = capacity * (int64_t)element;

	ebb_free(array, (size_t)bytes);
	h->charged -= bytes;
	h->a->taken -= bytes;
}

ebb_py *ebb_py_new(ebb_pickle *p, ebb_py_kind kind)
{
	ebb_py *x = ebb_py_take(p->heap, sizeof *x);

	if (x)
		*x = (ebb_py){.kind = (uint8_t)kind};
	return x;
}

bool ebb_py_append(ebb_pickle *p, ebb_py *to, ebb_py *x)
{
	size_t full = to->log2_capacity ? (size_t)1 << to->log2_capacity : 0;

	if (to->n == full) {
		uint8_t next = to->log2_capacity ? to->log2_capacity + 1 : 2;
		ebb_py **item = next < 31 ? ebb_py_take(p->heap, sizeof *item << next) : NULL;

		if (!item)
			return ebb_archive_no_memory(p->heap->a, p->heap->e);
		if (to->n > 0)
			memcpy(item, to->item, to->n * sizeof *item);
		to->item = item;
		to->log2_capacity = next;
	}
	to->item[to->n++] = x;
	return true;
}

/* ---- The memo ------------------------------------------------------------------------------- */

/* The memo is a tree of pages with one level per byte of the index.  So no choice of indices makes
 * it slow, and a file that skips indices pays for the pages from its own limit. */
typedef union ebb_py_page {
	union ebb_py_page *page;
	ebb_py *value;
} ebb_py_page;

enum { PAGE = 256 };

static ebb_py_page *new_page(ebb_pickle *p)
{
	ebb_py_page *page = ebb_py_take(p->heap, PAGE * sizeof *page);

	for (int i = 0; page && i < PAGE; i++)
		page[i] = (ebb_py_page){.page = NULL};
	return page;
}

bool ebb_py_put(ebb_pickle *p, uint32_t index, ebb_py *x)
{
	ebb_py_page **page = &p->memo, *at = NULL;

	for (int shift = 24; shift >= 0; shift -= 8) {
		if (!*page && !(*page = new_page(p)))
			return false;
		at = &(*page)[index >> shift & (PAGE - 1)];
		page = &at->page;
	}
	p->memoized += !at->value;
	at->value = x;
	return true;
}

ebb_py *ebb_py_get(const ebb_pickle *p, uint32_t index)
{
	const ebb_py_page *page = p->memo;

	for (int shift = 24; shift > 0 && page; shift -= 8)
		page = page[index >> shift & (PAGE - 1)].page;
	return page ? page[index & (PAGE - 1)].value : NULL;
}
