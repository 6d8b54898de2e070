/* life.c - the lifetime of values: when a value is in memory, and when its memory is reused. */
#include "tensor/internal.h"

/* ---- Storages of a pool ---------------------------------------------------------------------- */

static ebb_storage *spare_storage(ebb_pool *p)
{
	ebb_storage *s;

	if (!p->spare_storages && !ebb_add_descriptors(p))
		return NULL;
	s = p->spare_storages;
	p->spare_storages = s->next;
	return s;
}

static void give_storage(ebb_pool *p, ebb_storage *s)
{
	s->next = p->spare_storages;
	p->spare_storages = s;
}

/* Counts the memory of s as in use. */
static void count(ebb_pool *p, ebb_storage *s)
{
	EBB_UNPOISON(s->data, s->bytes);
	p->in_use += s->bytes;
	if (p->in_use > p->peak)
		p->peak = p->in_use;
}

/* b becomes the memory of s. */
static void attach(ebb_storage *s, ebb_pool *p, ebb_block *b)
{
	s->pool = p;
	s->block = b;
	s->data = b->data;
	s->bytes = b->bytes;
	s->size_class = b->size_class;
}

static ebb_storage *take_new(ebb_pool *p, size_t bytes, int size_class, size_t rounded)
{
	ebb_storage *s = spare_storage(p);
	ebb_block *b;

	if (!s)
		return NULL;
	b = size_class == EBB_ON_HEAP ? ebb_heap_take(p, bytes)
	                              : ebb_class_block(p, size_class, rounded);
	if (!b) {
		give_storage(p, s);
		return NULL;
	}
	*s = (ebb_storage){.readers = 1};
	attach(s, p, b);
	return s;
}

/* After the first step of a training loop no memory is taken from the system: a small storage comes
 * from the free list of its size class, the memory of a large one from the heap's free blocks. */
ebb_storage *ebb_pool_take(ebb_pool *p, size_t bytes)
{
	size_t rounded = 0;
	int size_class = ebb_size_class(bytes, &rounded);
	ebb_storage *s = size_class == EBB_ON_HEAP ? NULL : p->free[size_class];

	if (s) {
		p->free[size_class] = s->next;
		s->readers = 1;
		s->version = 0;
	} else if (bytes > EBB_MOST_BYTES || !(s = take_new(p, bytes, size_class, rounded))) {
		return NULL;
	}
	count(p, s);
	return s;
}

/* Frees the memory of s: a small storage goes to the free list of its size class, the block of a
 * large one to the heap.  All other members of s are those of a new storage. */
static void wait_for_value(ebb_pool *p, ebb_storage *s)
{
	assert(p->in_use >= s->bytes);
	p->in_use -= s->bytes;
	EBB_POISON(s->data, s->bytes);
	if (s->size_class != EBB_ON_HEAP) {
		s->next = p->free[s->size_class];
		p->free[s->size_class] = s;
		return;
	}
	ebb_heap_give(p, s->block);
	s->block = NULL;
	give_storage(p, s);
}

/* Returns a storage without readers and savers to the pool. */
static void end(ebb_storage *s)
{
	assert(!s->readers && !s->savers && !s->made);
	s->of.maker = NULL;
	if (s->presence == EBB_PRESENT) {
		wait_for_value(s->pool, s);
		return;
	}
	s->pool->absent--;
	s->presence = EBB_PRESENT;
	give_storage(s->pool, s);
}

/* Frees the memory of s, for which a free list needs another descriptor.  Without memory for a
 * descriptor the value stays present. */
static void become_absent(ebb_storage *s)
{
	ebb_storage *other = spare_storage(s->pool);

	if (!other)
		return;
	*other = (ebb_storage){.readers = 0};
	attach(other, s->pool, s->block);
	wait_for_value(s->pool, other);
	s->block = NULL;
	s->data = NULL;
	s->presence = EBB_ABSENT;
	s->pool->absent++;
}

void ebb_last_reader_left(ebb_storage *s)
{
	if (!s->savers)
		end(s);
	else if (s->of.maker)
		become_absent(s);
}

void ebb_last_saver_left(ebb_storage *s)
{
	end(s);
}

void ebb_storage_trim(ebb_storage *s, size_t bytes)
{
	size_t before = s->bytes;

	if (s->size_class == EBB_ON_HEAP)
		ebb_heap_trim(s->pool, s->block, bytes);
	s->bytes = s->block->bytes;
	s->pool->in_use -= before - s->bytes;
}

/* ---- Storages of persistent tensors ---------------------------------------------------------- */

typedef struct persistent_value {
	ebb_storage storage;
	void *memory;
	size_t size;
} persistent_value;

ebb_storage *ebb_storage_new(size_t bytes)
{
	persistent_value *v = ebb_alloc_zeroed(sizeof *v);
	ebb_storage *s;

	if (!v)
		return NULL;
	s = &v->storage;
	v->size = bytes + EBB_ALIGN;
	v->memory = ebb_processor.alloc(v->size);
	if (!v->memory) {
		ebb_free(v, sizeof *v);
		return NULL;
	}
	s->data = ebb_align_pointer(v->memory);
	s->bytes = bytes;
	return s;
}

void ebb_storage_free(ebb_storage *s)
{
	persistent_value *v = (persistent_value *)(void *)s;

	if (!s)
		return;
	ebb_free_deferred(s);
	ebb_processor.free(v->memory, v->size);
	ebb_free(v, sizeof *v);
}

/* ---- Access to a value ----------------------------------------------------------------------- */

bool ebb_make_present(ebb_storage *s)
{
	if (s->presence == EBB_PRODUCT) {
		ebb_compute_product(s);
	} else if (s->presence == EBB_ABSENT) {
		/* A consumed node is no maker; the sweep has recomputed its result before if there
		 * are other savers (ebb_make_readable). */
		assert(s->of.maker);
		return s->of.maker && s->pool->make(s);
	}
	return s->presence == EBB_PRESENT;
}

void ebb_overwrite(ebb_storage *s)
{
	assert(s->presence != EBB_ABSENT);
	s->presence = EBB_PRESENT;
	s->version++;
	if (s->pool)
		ebb_keep(s);
}

/* ---- Recomputed values ----------------------------------------------------------------------- */

void ebb_set_maker(ebb_storage *s, struct ebb_node *n)
{
	assert(s->pool && s->readers == 1 && !s->savers && !s->of.maker);
	s->of.maker = n;
}

void ebb_keep(ebb_storage *s)
{
	assert(s->pool);
	s->of.maker = NULL;
}

bool ebb_storage_refill(ebb_storage *s)
{
	ebb_storage *memory = ebb_pool_take(s->pool, s->bytes);

	assert(s->presence == EBB_ABSENT && !s->block);
	if (!memory)
		return false;
	attach(s, memory->pool, memory->block);
	s->presence = EBB_PRESENT;
	s->pool->absent--;
	memory->block = NULL;
	memory->readers = 0;
	give_storage(s->pool, memory);
	return true;
}
