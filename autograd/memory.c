/*
 * memory.c - the allocation hook, the arena that structs live in, and the pool that tensor data
 * comes from.
 *
 * After the first step of a loop everything is found again: the arena's chunks are rewound, and
 * storages go back to the free list of their size class, or to the heap of large ones.
 */
#include "autograd/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- The hook -------------------------------------------------------------------------------- */

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

/* ---- The arena ------------------------------------------------------------------------------- */

enum { CHUNK = 256 * 1024 };

static bool arena_add_chunk(ebb_arena *a, size_t size)
{
	ebb_chunk c = {.size = size > CHUNK ? size : CHUNK};

	if (!ebb_grow(&a->chunks, &a->capacity, a->count + 1, sizeof *a->chunks))
		return false;
	c.memory = ebb_alloc(c.size);
	if (!c.memory)
		return false;
	EBB_POISON(c.memory, c.size);
	a->chunks[a->count++] = c;
	a->reserved += c.size;
	return true;
}

void *ebb_arena_take(ebb_arena *a, size_t size)
{
	char *p;

	size = (size + 15) & ~(size_t)15;
	while (a->current >= a->count || a->offset + size > a->chunks[a->current].size) {
		if (a->current + 1 < a->count) {
			a->current++;
			a->offset = 0;
			continue;
		}
		if (!arena_add_chunk(a, size))
			return NULL;
		a->current = a->count - 1;
		a->offset = 0;
	}
	p = a->chunks[a->current].memory + a->offset;
	a->offset += size;
	EBB_UNPOISON(p, size);
	return p;
}

uint64_t ebb_arena_mark(const ebb_arena *a)
{
	return (uint64_t)a->current << 40 | a->offset;
}

bool ebb_arena_is_after(const ebb_arena *a, uint64_t mark, const void *p)
{
	int64_t chunk = (int64_t)(mark >> 40);
	size_t offset = (size_t)(mark & ((UINT64_C(1) << 40) - 1));

	for (int64_t i = chunk; i < a->count && i <= a->current; i++) {
		uintptr_t from = (uintptr_t)a->chunks[i].memory, at = (uintptr_t)p;

		if (at >= from + (i == chunk ? offset : 0) && at < from + a->chunks[i].size)
			return true;
	}
	return false;
}

void ebb_arena_rewind(ebb_arena *a, uint64_t mark)
{
	int64_t chunk = (int64_t)(mark >> 40);
	size_t offset = (size_t)(mark & ((UINT64_C(1) << 40) - 1));

	for (int64_t i = chunk; i < a->count && i <= a->current; i++) {
		size_t from = i == chunk ? offset : 0;

		EBB_POISON(a->chunks[i].memory + from, a->chunks[i].size - from);
	}
	a->current = chunk;
	a->offset = offset;
}

void ebb_arena_free(ebb_arena *a)
{
	for (int64_t i = 0; i < a->count; i++) {
		EBB_UNPOISON(a->chunks[i].memory, a->chunks[i].size);
		ebb_free(a->chunks[i].memory, a->chunks[i].size);
	}
	ebb_free(a->chunks, (size_t)a->capacity * sizeof *a->chunks);
	*a = (ebb_arena){0};
}

/* ---- Storages -------------------------------------------------------------------------------- */

ebb_storage *ebb_storage_new(size_t bytes)
{
	size_t size = bytes + 2 * EBB_ALIGN;
	char *block = ebb_alloc(size);
	ebb_storage *s;

	if (!block)
		return NULL;
	s = (ebb_storage *)(((uintptr_t)block + EBB_ALIGN - 1) & ~(uintptr_t)(EBB_ALIGN - 1));
	*s = (ebb_storage){.refs = 1, .bytes = bytes, .in.own = {block, size}};
	return s;
}

void ebb_storage_free(ebb_storage *s)
{
	if (s)
		ebb_free(s->in.own.block, s->in.own.size);
}

/* ---- The pool -------------------------------------------------------------------------------- */

/* Up to 512 bytes in steps of 64, beyond that eight sizes to every power of two. */
static int size_class(size_t bytes, size_t *rounded)
{
	size_t units = bytes ? (bytes + EBB_ALIGN - 1) / EBB_ALIGN : 1;
	int log, step;

	if (units <= 8) {
		*rounded = units * EBB_ALIGN;
		return (int)units;
	}
	/* 2^log <= units - 1 < 2^(log+1) */
	log = 63 - __builtin_clzll((unsigned long long)(units - 1));
	step = (int)(((units - 1) >> (log - 3)) & 7);
	*rounded = ((((size_t)8 + (size_t)step + 1)) << (log - 3)) * EBB_ALIGN;
	return 9 + (log - 3) * 8 + step;
}

enum { SLAB = 128 * 1024, SLAB_LIMIT = 4096, CLASS_LIMIT = 64 * 1024 };

static ebb_storage *cut_from_slab(ebb_tape *t, size_t bytes)
{
	ebb_pool *p = &t->pool;
	size_t size = bytes + EBB_ALIGN;
	ebb_storage *s;

	if ((size_t)(p->slab_end - p->slab_at) < size) {
		ebb_block *b = ebb_alloc(SLAB);

		if (!b)
			return NULL;
		b->next = p->slabs;
		b->size = SLAB;
		p->slabs = b;
		p->reserved += SLAB;
		p->slab_at = (char *)(((uintptr_t)(b + 1) + EBB_ALIGN - 1) &
				      ~(uintptr_t)(EBB_ALIGN - 1));
		p->slab_end = (char *)b + SLAB;
	}
	s = (ebb_storage *)p->slab_at;
	p->slab_at += size;
	*s = (ebb_storage){.refs = 1, .bytes = bytes, .tape = t};
	return s;
}

/* Of a free list, or new. */
static ebb_storage *take_of_class(ebb_tape *t, size_t bytes)
{
	ebb_pool *p = &t->pool;
	size_t rounded;
	int k = size_class(bytes, &rounded);
	ebb_storage *s = p->free[k];

	if (s) {
		p->free[k] = s->next;
		s->refs = 1;
		s->version = 0;
		EBB_UNPOISON(ebb_storage_data(s), s->bytes);
		return s;
	}
	s = rounded <= SLAB_LIMIT ? cut_from_slab(t, rounded) : ebb_storage_new(rounded);
	if (!s)
		return NULL;
	s->size_class = k;
	p->reserved += s->in.own.size;
	return s;
}

ebb_storage *ebb_pool_take(ebb_tape *t, size_t bytes)
{
	ebb_pool *p = &t->pool;
	ebb_storage *s;

	if (bytes > EBB_MOST_BYTES)
		return NULL;
	s = bytes <= CLASS_LIMIT ? take_of_class(t, bytes) : ebb_heap_take(&p->heap, bytes);
	if (!s)
		return NULL;
	s->tape = t;
	p->in_use += s->bytes;
	if (p->in_use > p->peak)
		p->peak = p->in_use;
	return s;
}

void ebb_pool_give(ebb_tape *t, ebb_storage *s)
{
	ebb_pool *p = &t->pool;

	p->in_use -= s->bytes;
	if (s->size_class == EBB_ON_HEAP) {
		ebb_heap_give(s);
		return;
	}
	s->next = p->free[s->size_class];
	p->free[s->size_class] = s;
	EBB_POISON(ebb_storage_data(s), s->bytes);
}

void ebb_pool_trim(ebb_tape *t, ebb_storage *s, size_t bytes)
{
	size_t before = s->bytes;

	if (s->size_class == EBB_ON_HEAP)
		ebb_heap_trim(s, bytes);
	t->pool.in_use -= before - s->bytes;
}

void ebb_pool_free(ebb_tape *t)
{
	ebb_pool *p = &t->pool;

	for (int k = 0; k < EBB_POOL_CLASSES; k++) {
		ebb_storage *s = p->free[k], *next;

		for (; s; s = next) {
			next = s->next;
			EBB_UNPOISON(ebb_storage_data(s), s->bytes);
			if (s->in.own.block)
				ebb_free(s->in.own.block, s->in.own.size);
		}
		p->free[k] = NULL;
	}
	while (p->slabs) {
		ebb_block *b = p->slabs;

		p->slabs = b->next;
		EBB_UNPOISON(b, b->size);
		ebb_free(b, b->size);
	}
	ebb_heap_free(&p->heap);
	*p = (ebb_pool){0};
}
