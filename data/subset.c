/*
 * subset.c - subsets, concatenation and splits of data sets.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/internal.h"
#include "kernels/kernels.h"

/* ---- Subsets -------------------------------------------------------------------------------- */

typedef struct subset {
	const ebb_dataset *base;
	int64_t count;
	int64_t index[];
} subset;

static ebb_fetched subset_fetch(void *ctx, int64_t i, ebb_image *x, ebb_error *why)
{
	const subset *s = ctx;

	return ebb_dataset_try(s->base, s->index[i], x, why);
}

static ebb_fetched subset_fill(void *ctx, int64_t i, void *input, void *target, ebb_error *why)
{
	const subset *s = ctx;

	return ebb_dataset_try_row(s->base, s->index[i], input, target, why);
}

static const char *subset_path(void *ctx, int64_t i)
{
	const subset *s = ctx;

	return ebb_dataset_path(s->base, s->index[i]);
}

static size_t subset_size(int64_t count)
{
	return sizeof(subset) + ebb_bytes_of(count, sizeof(int64_t));
}

static void subset_free(void *ctx)
{
	subset *s = ctx;

	ebb_free(s, subset_size(s->count));
}

ebb_dataset *ebb_dataset_subset(
	const ebb_dataset *d, const int64_t *index, int64_t count, ebb_error *e)
{
	ebb_dataset *part;
	subset *s;
	int64_t *label;

	if (!d || !index || count < 1 || subset_size(count) > EBB_MOST_BYTES) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"dataset_subset: %lld %s from %s: expected a data set, indices, and at "
			"least one of them",
			(long long)count, ebb_dataset_items(d), d ? "a data set" : "NULL");
		return NULL;
	}
	for (int64_t i = 0; i < count; i++) {
		if (index[i] >= 0 && index[i] < d->count)
			continue;
		ebb_error_set(e, EBB_INVALID, NULL,
			"dataset_subset: index[%lld] is %lld, of %lld %s", (long long)i,
			(long long)index[i], (long long)d->count, ebb_dataset_items(d));
		return NULL;
	}
	s = ebb_alloc(subset_size(count));
	if (!s) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "dataset_subset: no memory for %lld indices",
			(long long)count);
		return NULL;
	}
	if (ebb_dataset_has_rows(d))
		part = ebb_dataset_filled(
			count, d->classes, subset_fill, &d->source->input, &d->source->target, e);
	else
		part = ebb_dataset_sourced(
			count, d->classes, subset_fetch, ebb_dataset_image_shape(d), e);
	if (!part) {
		ebb_free(s, subset_size(count));
		return NULL;
	}
	s->base = d;
	s->count = count;
	memcpy(s->index, index, (size_t)count * sizeof *index);
	label = ebb_data_mutable(part->labels);
	for (int64_t i = 0; label && i < count; i++)
		label[i] = ebb_dataset_label(d, index[i]);
	part->class_names = d->class_names;
	part->source->ctx = s;
	part->source->free_ctx = subset_free;
	part->source->path = subset_path;
	return part;
}

ebb_dataset *ebb_dataset_range(const ebb_dataset *d, int64_t start, int64_t count, ebb_error *e)
{
	ebb_dataset *part;
	int64_t *index;

	if (!d || start < 0 || start >= d->count || count < 1) {
		ebb_error_set(e, EBB_INVALID, NULL,
			"dataset_range: %lld %s from %lld on, expected at least one, from "
			"below %lld on",
			(long long)count, ebb_dataset_items(d), (long long)start,
			(long long)(d ? d->count : 0));
		return NULL;
	}
	if (count > d->count - start)
		count = d->count - start;
	index = ebb_alloc((size_t)count * sizeof *index);
	if (!index) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "dataset_range: no memory for %lld indices",
			(long long)count);
		return NULL;
	}
	for (int64_t i = 0; i < count; i++)
		index[i] = start + i;
	part = ebb_dataset_subset(d, index, count, e);
	ebb_free(index, (size_t)count * sizeof *index);
	return part;
}

/* ---- Concatenation -------------------------------------------------------------------------- */

typedef struct chain {
	int n;
	struct link {
		const ebb_dataset *part;
		int64_t start;
	} link[];
} chain;

/* Returns the part that contains image i, and changes i to the index in that part. */
static const ebb_dataset *find(const chain *c, int64_t *i)
{
	int from = 0, to = c->n;

	while (to - from > 1) {
		int middle = from + (to - from) / 2;

		if (c->link[middle].start <= *i)
			from = middle;
		else
			to = middle;
	}
	*i -= c->link[from].start;
	return c->link[from].part;
}

static ebb_fetched chain_fetch(void *ctx, int64_t i, ebb_image *x, ebb_error *why)
{
	const ebb_dataset *part = find(ctx, &i);

	return ebb_dataset_try(part, i, x, why);
}

static ebb_fetched chain_fill(void *ctx, int64_t i, void *input, void *target, ebb_error *why)
{
	const ebb_dataset *part = find(ctx, &i);

	return ebb_dataset_try_row(part, i, input, target, why);
}

static const char *chain_path(void *ctx, int64_t i)
{
	const ebb_dataset *part = find(ctx, &i);

	return ebb_dataset_path(part, i);
}

static size_t chain_size(int n)
{
	return sizeof(chain) + (size_t)n * sizeof(struct link);
}

static void chain_free(void *ctx)
{
	chain *c = ctx;

	ebb_free(c, chain_size(c->n));
}

/* The sizes that all parts share; 0 for sizes that differ. */
static ebb_shape common_shape(const ebb_dataset *const *parts, int n)
{
	ebb_shape all = ebb_dataset_image_shape(parts[0]);

	for (int i = 1; i < n; i++) {
		ebb_shape s = ebb_dataset_image_shape(parts[i]);

		for (int k = 0; k < all.ndim; k++)
			all.dims[k] = all.dims[k] == s.dims[k] ? s.dims[k] : 0;
	}
	return all;
}

/* The number of images or rows of all parts; 0 with an error. */
static int64_t count_parts(const ebb_dataset *const *parts, int n, ebb_error *e)
{
	int64_t count = 0;

	for (int i = 0; parts && i < n; i++) {
		if (!parts[i] || parts[i]->classes != parts[0]->classes) {
			ebb_error_set(e, EBB_INVALID, NULL,
				"dataset_concat: part %d has %d classes, expected %d, as the first",
				i, parts[i] ? parts[i]->classes : 0,
				parts[0] ? parts[0]->classes : 1);
			return 0;
		}
		if (!ebb_dataset_alike(parts[i], parts[0])) {
			ebb_error_set(e, EBB_BAD_SHAPE, NULL,
				"dataset_concat: part %d has %s, and the first part %s, of another "
				"type or shape",
				i, ebb_dataset_items(parts[i]), ebb_dataset_items(parts[0]));
			return 0;
		}
		count += parts[i]->count;
	}
	if (count < 1)
		ebb_error_set(
			e, EBB_INVALID, NULL, "dataset_concat: %d parts: expected at least one", n);
	return count;
}

ebb_dataset *ebb_dataset_concat(const ebb_dataset *const *parts, int n, ebb_error *e)
{
	ebb_dataset *all = NULL;
	int64_t count = count_parts(parts, n, e), *label;
	chain *c;

	if (count < 1)
		return NULL;
	c = ebb_alloc(chain_size(n));
	if (!c)
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "dataset_concat: no memory for %d parts", n);
	else if (ebb_dataset_has_rows(parts[0]))
		all = ebb_dataset_filled(count, parts[0]->classes, chain_fill,
			&parts[0]->source->input, &parts[0]->source->target, e);
	else
		all = ebb_dataset_sourced(
			count, parts[0]->classes, chain_fetch, common_shape(parts, n), e);
	if (!all) {
		ebb_free(c, chain_size(n));
		return NULL;
	}
	c->n = n;
	label = ebb_data_mutable(all->labels);
	count = 0;
	for (int i = 0; i < n; i++) {
		c->link[i] = (struct link){parts[i], count};
		for (int64_t k = 0; k < parts[i]->count; k++, count++)
			if (label)
				label[count] = ebb_dataset_label(parts[i], k);
	}
	all->class_names = parts[0]->class_names;
	all->source->ctx = c;
	all->source->free_ctx = chain_free;
	all->source->path = chain_path;
	return all;
}

/* ---- Splits --------------------------------------------------------------------------------- */

/* An image with a random key.  In each group the images with the smallest keys go into the first
 * part. */
typedef struct ticket {
	int64_t index, group;
	double key;
} ticket;

/* A run of tickets of one group, and how many of them go into the first part. */
typedef struct quota {
	int64_t first, count, winners;
	double remainder;
} quota;

static int by_group_and_key(const void *a, const void *b)
{
	const ticket *s = a, *t = b;

	if (s->group != t->group)
		return s->group < t->group ? -1 : 1;
	if (s->key != t->key)
		return s->key < t->key ? -1 : 1;
	return (s->index > t->index) - (s->index < t->index);
}

static int by_remainder(const void *a, const void *b)
{
	const quota *s = a, *t = b;

	if (s->remainder != t->remainder)
		return s->remainder > t->remainder ? -1 : 1;
	return (s->first > t->first) - (s->first < t->first);
}

/* Gives each group its share, rounded down; the groups with the largest remainders get one more
 * until the total is reached. */
static int64_t share_out(
	const ticket *tickets, int64_t n, double share, int64_t total, quota *quotas)
{
	int64_t groups = 0, given = 0;

	for (int64_t i = 0; i < n; i++) {
		if (i == 0 || tickets[i].group != tickets[i - 1].group)
			quotas[groups++] = (quota){.first = i};
		quotas[groups - 1].count++;
	}
	for (int64_t g = 0; g < groups; g++) {
		double exact = share * (double)quotas[g].count;

		quotas[g].winners = (int64_t)exact;
		quotas[g].remainder = exact - floor(exact);
		given += quotas[g].winners;
	}
	qsort(quotas, (size_t)groups, sizeof *quotas, by_remainder);
	for (int64_t g = 0; g < groups && given < total; g++, given++)
		quotas[g].winners++;
	return groups;
}

/* Fills index with the indices of both parts, each in ascending order: the first total belong to
 * the first part. */
static bool draw(const ebb_dataset_split_args *a, int64_t total, int64_t *index)
{
	int64_t n = a->data->count, groups, to[2] = {0, total};
	ticket *tickets = ebb_alloc((size_t)n * sizeof *tickets);
	quota *quotas = ebb_alloc((size_t)n * sizeof *quotas);
	double *key = ebb_alloc((size_t)n * sizeof *key);
	bool *wins = ebb_alloc_zeroed((size_t)n * sizeof *wins),
	     ok = tickets && quotas && key && wins;

	if (ok) {
		ebb_kernels_f64()->uniform(n, a->seed, 0, 0, 1, key);
		for (int64_t i = 0; i < n; i++)
			tickets[i] = (ticket){
				i, a->stratified ? ebb_dataset_label(a->data, i) : 0, key[i]};
		qsort(tickets, (size_t)n, sizeof *tickets, by_group_and_key);
		groups = share_out(tickets, n, a->share, total, quotas);
		for (int64_t g = 0; g < groups; g++)
			for (int64_t k = 0; k < quotas[g].winners; k++)
				wins[tickets[quotas[g].first + k].index] = true;
		for (int64_t i = 0; i < n; i++)
			index[to[!wins[i]]++] = i;
	}
	ebb_free(tickets, (size_t)n * sizeof *tickets);
	ebb_free(quotas, (size_t)n * sizeof *quotas);
	ebb_free(key, (size_t)n * sizeof *key);
	ebb_free(wins, (size_t)n * sizeof *wins);
	return ok;
}

bool(ebb_dataset_split)(const ebb_dataset_split_args *a)
{
	const ebb_dataset *d = a->data;
	int64_t n = d ? d->count : 0, total, *index;
	bool drawn;

	if (a->first)
		*a->first = NULL;
	if (a->second)
		*a->second = NULL;
	total = a->share > 0 && a->share < 1 ? llround(a->share * (double)n) : 0;
	if (!a->first || !a->second || total < 1 || total >= n) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"dataset_split: a share of %g of %lld %s: expected one between 0 and 1 "
			"that leaves neither part empty, and pointers for both parts",
			a->share, (long long)n, ebb_dataset_items(d));
		return false;
	}
	if (a->stratified && !d->labels) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"dataset_split: .stratified needs classes, and these %s have none",
			ebb_dataset_items(d));
		return false;
	}
	index = ebb_alloc((size_t)n * sizeof *index);
	drawn = index && draw(a, total, index);
	if (drawn)
		*a->first = ebb_dataset_subset(d, index, total, a->error);
	else
		ebb_error_set(a->error, EBB_NO_MEMORY, a->site,
			"dataset_split: no memory to split %lld %s", (long long)n,
			ebb_dataset_items(d));
	if (*a->first)
		*a->second = ebb_dataset_subset(d, index + total, n - total, a->error);
	ebb_free(index, (size_t)n * sizeof *index);
	if (*a->second)
		return true;
	ebb_dataset_free(*a->first);
	*a->first = NULL;
	return false;
}
