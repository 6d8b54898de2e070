/* context.c - the part of a tape that tensors need: its memory, its default type, its random
 * generator, and its setting of subnormal numbers. */
#include "tensor/internal.h"

enum { FLUSHES_F32 = 1 << EBB_F32, FLUSHES_ALL = 1 << EBB_F32 | 1 << EBB_F64 };

void ebb_context_begin(ebb_context *c, bool (*make)(ebb_storage *s))
{
	c->dtype = EBB_F32;
	c->flushed = FLUSHES_F32;
	c->pool.device = &ebb_processor;
	c->pool.make = make;
	ebb_start_debug(c);
}

void ebb_context_end(ebb_context *c)
{
	ebb_arena_free(&c->arena);
	ebb_arena_free(&c->kept);
	ebb_arena_free(&c->names);
	ebb_pool_free(&c->pool);
	ebb_free(c->live, (size_t)c->live_capacity * sizeof *c->live);
	ebb_free(c->imported, (size_t)c->imported_capacity * sizeof *c->imported);
	ebb_free(c->imported_table, (size_t)c->table_capacity * sizeof *c->imported_table);
	ebb_free(c->tracked, (size_t)c->tracked_capacity * sizeof *c->tracked);
}

ebb_dtype ebb_default_dtype(const ebb_tape *t)
{
	return t ? ebb_context_read(t)->dtype : EBB_F32;
}

ebb_dtype ebb_set_default_dtype(ebb_tape *t, ebb_dtype dtype)
{
	ebb_dtype was = t ? ebb_context_read(t)->dtype : EBB_F32;

	if (!t)
		return was;
	if (dtype != EBB_F32 && dtype != EBB_F64)
		ebb_fail(t, EBB_BAD_DTYPE, NULL, "set_default_dtype: expected F32 or F64, got %s",
			ebb_dtype_name(dtype));
	else
		ebb_context_of(t)->dtype = dtype;
	return was;
}

ebb_flush ebb_flush_subnormal(const ebb_tape *t)
{
	if (!t || ebb_context_read(t)->flushed == FLUSHES_F32)
		return EBB_FLUSH_F32;
	return ebb_context_read(t)->flushed ? EBB_FLUSH_ALWAYS : EBB_FLUSH_NEVER;
}

ebb_flush ebb_set_flush_subnormal(ebb_tape *t, ebb_flush flush)
{
	static const uint8_t flushed[] = {[EBB_FLUSH_NEVER] = 0,
		[EBB_FLUSH_ALWAYS] = FLUSHES_ALL,
		[EBB_FLUSH_F32] = FLUSHES_F32};
	_Static_assert(sizeof flushed == EBB_FLUSH_F32 + 1, "one entry for each ebb_flush");
	ebb_flush was = ebb_flush_subnormal(t);

	if (t && (unsigned)flush > EBB_FLUSH_F32)
		ebb_fail(t, EBB_INVALID, NULL,
			"set_flush_subnormal: %d, expected EBB_FLUSH_NEVER, EBB_FLUSH_ALWAYS or "
			"EBB_FLUSH_F32",
			(int)flush);
	else if (t)
		ebb_context_of(t)->flushed = flushed[flush];
	return was;
}

void ebb_seed(ebb_tape *t, uint64_t seed)
{
	if (t)
		ebb_context_of(t)->random = (ebb_random){seed, 0};
}

ebb_random ebb_random_state(const ebb_tape *t)
{
	return t ? ebb_context_read(t)->random : (ebb_random){0, 0};
}

void ebb_set_random_state(ebb_tape *t, ebb_random r)
{
	if (t)
		ebb_context_of(t)->random = r;
}

ebb_random ebb_random_next(ebb_tape *t)
{
	ebb_random r = ebb_random_state(t);

	if (t)
		ebb_context_of(t)->random.stream++;
	return r;
}
