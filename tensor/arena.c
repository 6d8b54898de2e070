/*
 * arena.c - a bump allocator: structs that are all discarded at once, or from a mark on.
 *
 * A rewind keeps the chunks, so that an arena takes no memory from the system after the first step
 * of a loop.
 */
#include "tensor/memory.h"

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
