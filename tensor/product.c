/*
 * product.c - deferred outer products: gradients of persistent tensors that are kept as their
 * operands.
 *
 * With few rows, g = a^T b is far larger than its operands a [rows,out] and b [rows,in].  The
 * storage keeps copies of a and b until g is read.  The memory of g is allocated from the start, so
 * that computing g later cannot fail; until it is written, it takes address space but no physical
 * memory.  The product is computed by the same kernel as without deferring, so that the result is
 * bit-identical.  Once ebb_grad_of has returned the gradient, the user may keep its address, so
 * that the storage never defers a product again.
 */
#include <string.h>

#include "kernels/float_state.h"
#include "tensor/internal.h"

bool ebb_defer_products = true;

/* Followed by copies of both operands: a at the next multiple of EBB_ALIGN, b at the next one after
 * a. */
struct ebb_deferred {
	size_t capacity; /* the size of this allocation */
	int64_t rows, out, in;
	ebb_dtype dtype;
	bool flush; /* whether the kernel flushes subnormal numbers, as the sweep's tape did */
};

static size_t size_of_a(const struct ebb_deferred *k)
{
	return (size_t)(k->rows * k->out) * ebb_dtype_size(k->dtype);
}

ebb_outer_product ebb_outer_product_of(const ebb_storage *s)
{
	const struct ebb_deferred *k = s->of.deferred;
	const char *a;

	if (s->presence != EBB_PRODUCT)
		return (ebb_outer_product){0};
	a = (const char *)k + ebb_align_up(sizeof *k);
	return (ebb_outer_product){k->rows, a, a + ebb_align_up(size_of_a(k))};
}

void ebb_write_product(ebb_storage *s)
{
	const struct ebb_deferred *k = s->of.deferred;
	ebb_outer_product f = ebb_outer_product_of(s);
	ebb_float_state own = ebb_float_enter(k->flush);

	ebb_kernels_of(k->dtype)->outer_sum(f.rows, k->out, k->in, f.gy, f.x, s->data);
	ebb_float_leave(own);
}

void ebb_compute_product(ebb_storage *s)
{
	ebb_write_product(s);
	s->presence = EBB_PRESENT;
}

/* Allocates memory for the operands, which later steps of a loop reuse.  False: no memory. */
static bool reserve(ebb_storage *s, size_t capacity)
{
	struct ebb_deferred *k;

	if (s->of.deferred && s->of.deferred->capacity >= capacity)
		return true;
	k = ebb_alloc(capacity);
	if (!k)
		return false;
	ebb_free_deferred(s);
	k->capacity = capacity;
	s->of.deferred = k;
	return true;
}

bool ebb_keep_product(ebb_storage *s, ebb_dtype dtype, const int64_t sizes[3], const void *a,
	const void *b, bool flush)
{
	struct ebb_deferred k = {0, sizes[0], sizes[1], sizes[2], dtype, flush};
	size_t bytes_of_a = size_of_a(&k),
	       bytes_of_b = (size_t)(k.rows * k.in) * ebb_dtype_size(dtype);
	char *at;

	assert(!s->pool && !s->handed_out);
	k.capacity = ebb_align_up(sizeof k) + ebb_align_up(bytes_of_a) + bytes_of_b;
	if (!reserve(s, k.capacity))
		return false;
	k.capacity = s->of.deferred->capacity;
	*s->of.deferred = k;
	at = (char *)s->of.deferred + ebb_align_up(sizeof k);
	memcpy(at, a, bytes_of_a);
	memcpy(at + ebb_align_up(bytes_of_a), b, bytes_of_b);
	s->presence = EBB_PRODUCT;
	return true;
}

void ebb_hand_out(ebb_storage *s)
{
	if (s->pool || s->handed_out)
		return;
	ebb_present(s);
	ebb_free_deferred(s);
	s->handed_out = true;
}

void ebb_free_deferred(ebb_storage *s)
{
	assert(!s->pool);
	if (s->of.deferred)
		ebb_free(s->of.deferred, s->of.deferred->capacity);
	s->of.deferred = NULL;
}
