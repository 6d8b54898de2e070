/*
 * product.c - values of persistent gradients that are sums of few outer products, kept as the
 * deferred.
 *
 * g = a^T b with a [rows,out] and b [rows,in] is far larger than both when rows is small.  The
 * value's own memory is there from the start, so that computing it later cannot fail; what
 * nobody has written to takes addresses alone.  It is computed by the call that would have
 * computed it at once.  Once its user has got the tensor, who may keep it or its address or make
 * views of it, nothing is put off any more.
 */
#include <string.h>

#include "kernels/float_state.h"
#include "tensor/internal.h"

bool ebb_defer_products = true;

/* Copies of both: a at the next multiple of EBB_ALIGN behind this, b at the one behind a. */
struct ebb_deferred {
	size_t room; /* of this allocation */
	int64_t rows, out, in;
	ebb_dtype dtype;
	bool flush; /* how the tape that gave them treats subnormal numbers */
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

/* Room for the deferred, once for all steps of a loop. */
static bool reserve(ebb_storage *s, size_t room)
{
	struct ebb_deferred *k;

	if (s->of.deferred && s->of.deferred->room >= room)
		return true;
	k = ebb_alloc(room);
	if (!k)
		return false;
	ebb_free_deferred(s);
	k->room = room;
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
	k.room = ebb_align_up(sizeof k) + ebb_align_up(bytes_of_a) + bytes_of_b;
	if (!reserve(s, k.room))
		return false;
	k.room = s->of.deferred->room;
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
		ebb_free(s->of.deferred, s->of.deferred->room);
	s->of.deferred = NULL;
}
