/*
 * check.c - for tests and debugging: whether the reference counts of storages and the sums of a
 * pool are right.
 *
 * ebb_tally_begin saves the reference counts of all storages of a pool and sets them to 0.  The
 * caller counts anew, from its handles and nodes.  ebb_tally_end compares both, restores the saved
 * counts, and compares the pool's sums with its storages and blocks.
 */
#include <stdlib.h>

#include "tensor/internal.h"

bool ebb_tally_begin(ebb_tally *y, ebb_pool *p)
{
	int64_t i = 0;

	*y = (ebb_tally){.pool = p};
	for (const ebb_descriptors *d = p->descriptors; d; d = d->next)
		y->n += EBB_DESCRIPTORS;
	if (!y->n)
		return true;
	/* calloc, not ebb_alloc, because tests count the calls of the allocation hook. */
	y->readers = calloc(2 * (size_t)y->n, sizeof *y->readers);
	if (!y->readers)
		return false;
	y->savers = y->readers + y->n;
	for (ebb_descriptors *d = p->descriptors; d; d = d->next)
		for (int k = 0; k < EBB_DESCRIPTORS; k++, i++) {
			y->readers[i] = d->storages[k].readers;
			y->savers[i] = d->storages[k].savers;
			d->storages[k].readers = d->storages[k].savers = 0;
		}
	return true;
}

void ebb_tally_reader(ebb_tally *y, ebb_storage *s)
{
	if (s && s->pool == y->pool)
		s->readers++;
}

void ebb_tally_saver(ebb_tally *y, ebb_storage *s)
{
	if (s && s->pool == y->pool)
		s->savers++;
}

static bool storage_stands(const ebb_storage *s, int32_t readers, int32_t savers, ebb_error *e)
{
	bool alive = s->readers || s->savers;

	if (s->readers != readers || s->savers != savers)
		ebb_error_set(e, EBB_BAD_STATE, NULL,
			"a storage of %zu bytes counts %d readers and %d savers; there are %d and "
			"%d",
			s->bytes, (int)s->readers, (int)s->savers, (int)readers, (int)savers);
	else if (alive && (s->presence == EBB_ABSENT) != !s->block)
		ebb_error_set(e, EBB_BAD_STATE, NULL, "a storage of %zu bytes is %s, and has %s",
			s->bytes, s->presence == EBB_ABSENT ? "absent" : "present",
			s->block ? "a block" : "none");
	else if (alive && s->readers && s->presence == EBB_ABSENT)
		ebb_error_set(e, EBB_BAD_STATE, NULL,
			"a storage of %zu bytes is absent, and has %d readers", s->bytes,
			(int)s->readers);
	else if (s->block && (s->data != s->block->data || s->bytes != s->block->bytes ||
				     (s->size_class == EBB_ON_HEAP && s->block->free)))
		ebb_error_set(e, EBB_BAD_STATE, NULL,
			"a storage of %zu bytes and its block do not agree", s->bytes);
	else
		return true;
	return false;
}

static bool heap_stands(const ebb_pool *p, size_t *used, ebb_error *e)
{
	for (const ebb_region *r = p->heap.regions; r; r = ebb_region_next(r)) {
		const ebb_block *b = ebb_region_lowest(r);

		for (; b; b = b->above) {
			*used += b->free ? 0 : b->bytes;
			if (b->above &&
				(b->above->below != b || (b->free && b->above->free) ||
					b->above->data != b->data + b->bytes + EBB_REDZONE)) {
				ebb_error_set(e, EBB_BAD_STATE, NULL,
					"two neighbours on the heap do not agree");
				return false;
			}
		}
	}
	return true;
}

bool ebb_tally_end(ebb_tally *y, ebb_error *e)
{
	ebb_pool *p = y->pool;
	size_t used = 0, large = 0, on_heap = 0;
	int64_t absent = 0;
	int64_t i = 0;
	bool ok = true;

	for (ebb_descriptors *d = p->descriptors; d; d = d->next)
		for (int k = 0; k < EBB_DESCRIPTORS; k++, i++) {
			ebb_storage *s = &d->storages[k];
			int32_t readers = s->readers, savers = s->savers;

			s->readers = y->readers[i];
			s->savers = y->savers[i];
			ok = ok && storage_stands(s, readers, savers, e);
			absent += s->presence == EBB_ABSENT;
			if (!s->block || !(s->readers || s->savers))
				continue;
			used += s->bytes;
			large += s->size_class == EBB_ON_HEAP ? s->bytes : 0;
		}
	ok = ok && heap_stands(p, &on_heap, e);
	if (ok && (used != p->in_use || large != on_heap || absent != p->absent)) {
		ebb_error_set(e, EBB_BAD_STATE, NULL,
			"the pool counts %zu bytes in use and %lld absent values, the heap %zu "
			"bytes; "
			"storages have %zu, %lld and %zu",
			p->in_use, (long long)p->absent, on_heap, used, (long long)absent, large);
		ok = false;
	}
	free(y->readers);
	return ok;
}
