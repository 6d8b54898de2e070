/*
 * cache.c - a cache of decoded images.
 *
 * Each epoch uses every image once, so the least recently used image is always the next one needed.
 * Therefore the cache evicts nothing.
 */
#include <string.h>

#include "data/loader/internal.h"

void ebb_cache_new(ebb_cache *c, int64_t limit, int64_t count)
{
	int64_t table = count * (int64_t)sizeof *c->kept;

	*c = (ebb_cache){.limit = limit, .count = count, .used = table};
	if (table > limit)
		return;
	c->kept = ebb_alloc_zeroed(ebb_bytes_of(count, sizeof *c->kept));
	if (c->kept)
		pthread_mutex_init(&c->lock, NULL);
}

void ebb_cache_free(ebb_cache *c)
{
	if (!c->kept)
		return;
	for (int64_t i = 0; i < c->count; i++)
		ebb_image_free(&c->kept[i]);
	ebb_free(c->kept, (size_t)c->count * sizeof *c->kept);
	pthread_mutex_destroy(&c->lock);
	c->kept = NULL;
}

bool ebb_cache_get(ebb_cache *c, int64_t i, ebb_image *x, bool *hit, ebb_error *e)
{
	ebb_image kept = {0};

	if (c->kept) {
		pthread_mutex_lock(&c->lock);
		kept = c->kept[i];
		pthread_mutex_unlock(&c->lock);
	}
	*hit = kept.pixels != NULL;
	return !*hit || ebb_image_copy(&kept, x, e);
}

void ebb_cache_put(ebb_cache *c, int64_t i, const ebb_image *x)
{
	int64_t bytes = x->height * x->width * x->channels * (x->wide ? 2 : 1);
	ebb_image copy = {0};
	bool fits;

	if (!c->kept)
		return;
	pthread_mutex_lock(&c->lock);
	fits = c->used + bytes <= c->limit;
	if (fits)
		c->used += bytes;
	pthread_mutex_unlock(&c->lock);
	if (!fits)
		return;
	/* Without memory the image is not cached: this is not an error. */
	if (!ebb_image_copy(x, &copy, NULL))
		ebb_image_free(&copy);
	pthread_mutex_lock(&c->lock);
	/* Another worker may have cached the same image in the meantime. */
	if (copy.pixels && !c->kept[i].pixels) {
		c->kept[i] = copy;
		copy = (ebb_image){0};
		bytes = 0;
	}
	c->used -= bytes;
	pthread_mutex_unlock(&c->lock);
	ebb_image_free(&copy);
}
