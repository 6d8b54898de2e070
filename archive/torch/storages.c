/*
 * storages.c - finding storages by their keys.
 */
#include <string.h>

#include "archive/torch/torch.h"

static int compare(const uint8_t *a, size_t n, const uint8_t *b, size_t m)
{
	int order = memcmp(a, b, n < m ? n : m);

	return order ? order : (n > m) - (n < m);
}

static int order_of(const ebb_torch_storage *a, const ebb_torch_storage *b)
{
	return compare(a->key, a->key_bytes, b->key, b->key_bytes);
}

bool ebb_torch_same(const ebb_torch_storage *a, const ebb_torch_storage *b)
{
	return order_of(a, b) == 0;
}

static void swap(ebb_torch_storage *a, ebb_torch_storage *b)
{
	ebb_torch_storage x = *a;

	*a = *b;
	*b = x;
}

/* Sifts the element at root down in a heap of n. */
static void sink(ebb_torch_storage *x, int64_t root, int64_t n)
{
	for (int64_t child; (child = 2 * root + 1) < n; root = child) {
		if (child + 1 < n && order_of(&x[child], &x[child + 1]) < 0)
			child++;
		if (order_of(&x[root], &x[child]) >= 0)
			return;
		swap(&x[root], &x[child]);
	}
}

/* Heapsort: it needs no memory, and no order of keys makes it quadratic. */
void ebb_torch_sort(ebb_torch *t)
{
	for (int64_t i = t->storages / 2; i-- > 0;)
		sink(t->storage, i, t->storages);
	for (int64_t n = t->storages; n-- > 1;) {
		swap(&t->storage[0], &t->storage[n]);
		sink(t->storage, 0, n);
	}
}

ebb_torch_storage *ebb_torch_find(const ebb_torch *t, const ebb_py *key)
{
	int64_t low = 0, high = t->storages;

	while (low < high) {
		int64_t middle = low + (high - low) / 2;
		ebb_torch_storage *x = &t->storage[middle];
		int order = compare(x->key, x->key_bytes, key->bytes, key->n);

		if (order == 0)
			return x;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
