/*
 * sampler.c - the order of the images of an epoch: sequential, shuffled, balanced, and divided
 * among processes.
 */
#include <assert.h>

#include "data/loader/internal.h"
#include "kernels/kernels.h"

/* The streams of the classes' order must differ from those of the shuffle. */
static const uint64_t TURN_STREAMS = (uint64_t)1 << 63;

static int64_t *new_places(int64_t n)
{
	return ebb_alloc_zeroed(ebb_bytes_of(n, sizeof(int64_t)));
}

/* Groups the images of list by class, in their order: a counting sort. */
static void sort_by_class(ebb_sampler *o, const int64_t *list, int64_t *sorted)
{
	int64_t *at = o->turn;

	for (int64_t c = 0; c < o->classes; c++)
		at[c] = o->start[c];
	for (int64_t i = 0; i < o->total; i++)
		sorted[at[o->label[list[i]]]++] = list[i];
}

bool ebb_sampler_new(ebb_sampler *o, const ebb_loader_args *a)
{
	int64_t n = a->data->count, world = a->world > 0 ? a->world : 1;

	*o = (ebb_sampler){.total = n,
		.rank = a->rank,
		.world = world,
		.shuffle = a->shuffle,
		.balanced = a->balanced,
		.drop_last = a->drop_last,
		.seed = a->seed};
	/* With drop_last all processes get the same number of images. */
	o->count = a->drop_last ? n / world : (n - a->rank + world - 1) / world;
	if (o->shuffle || o->balanced)
		o->place = new_places(n);
	if (o->shuffle)
		o->random = ebb_alloc(ebb_bytes_of(n, sizeof *o->random));
	if ((o->shuffle || o->balanced) && (!o->place || (o->shuffle && !o->random)))
		return false;
	if (!o->balanced)
		return true;
	o->classes = a->data->classes;
	o->label = ebb_data(a->data->labels);
	o->member = new_places(n);
	o->start = new_places(o->classes + 1);
	o->turn = new_places(o->classes + 1);
	o->line = new_places(o->classes);
	if (!o->member || !o->start || !o->turn || !o->line)
		return false;
	for (int64_t i = 0; i < n; i++)
		o->start[o->label[i] + 1]++;
	for (int64_t c = 0; c < o->classes; c++)
		o->start[c + 1] += o->start[c];
	return true;
}

static void give_back(int64_t *list, int64_t n)
{
	ebb_free(list, list ? (size_t)n * sizeof *list : 0);
}

void ebb_sampler_free(ebb_sampler *o)
{
	give_back(o->place, o->total);
	ebb_free(o->random, o->random ? (size_t)o->total * sizeof *o->random : 0);
	give_back(o->member, o->total);
	give_back(o->start, o->classes + 1);
	give_back(o->turn, o->classes + 1);
	give_back(o->line, o->classes);
}

/* Fisher-Yates shuffle. */
static void shuffle(int64_t *list, int64_t n, const double *random)
{
	for (int64_t i = n - 1; i > 0; i--) {
		int64_t j = (int64_t)(random[i] * (double)(i + 1)), swap = list[i];

		list[i] = list[j];
		list[j] = swap;
	}
}

/* Takes one image of each class in turn; the images of a class repeat when all were used. */
static void balance(ebb_sampler *o, int64_t epoch)
{
	int64_t classes = 0;

	sort_by_class(o, o->place, o->member);
	for (int64_t c = 0; c < o->classes; c++) {
		o->turn[c] = 0;
		if (o->start[c + 1] > o->start[c])
			o->line[classes++] = c;
	}
	if (o->shuffle)
		ebb_kernels_f64()->uniform(
			o->total, o->seed, TURN_STREAMS | (uint64_t)epoch, 0, 1, o->random);
	for (int64_t i = 0; i < o->total; i++) {
		int64_t c, size;

		assert(classes > 0);
		if (i % classes == 0 && o->shuffle && o->total - i >= classes)
			shuffle(o->line, classes, o->random + i);
		c = o->line[i % classes];
		size = o->start[c + 1] - o->start[c];
		o->place[i] =
			o->member[o->start[c] + o->turn[c] % size] + o->turn[c] / size * o->total;
		o->turn[c]++;
	}
}

void ebb_sampler_begin(ebb_sampler *o, int64_t epoch)
{
	if (!o->place)
		return;
	for (int64_t i = 0; i < o->total; i++)
		o->place[i] = i;
	if (o->shuffle) {
		/* The rng stream of the epoch. */
		ebb_kernels_f64()->uniform(o->total, o->seed, (uint64_t)epoch, 0, 1, o->random);
		shuffle(o->place, o->total, o->random);
	}
	if (o->balanced)
		balance(o, epoch);
}

int64_t ebb_sampler_at(const ebb_sampler *o, int64_t k)
{
	int64_t i = k * o->world + o->rank;

	return o->place ? o->place[i] : i;
}
