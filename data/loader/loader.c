/*
 * loader.c - the public functions of loaders.
 */
#include <math.h>
#include <string.h>

#include "data/loader/internal.h"

enum { MOST_WORKERS = 256, MOST_PREFETCH = 1 << 16 };

/* ---- Checks --------------------------------------------------------------------------------- */

/* The number of images of an epoch that this process gets. */
static int64_t share_of(const ebb_loader_args *a)
{
	int64_t n = a->data ? a->data->count : 0, world = a->world > 0 ? a->world : 1;

	if (n < 1 || a->rank >= world)
		return 0;
	return a->drop_last ? n / world : (n - a->rank + world - 1) / world;
}

static bool refuse(const ebb_loader_args *a, const char *what)
{
	ebb_error_set(a->error, EBB_INVALID, a->site, "loader_new: %s", what);
	return false;
}

static bool check_numbers(const ebb_loader_args *a)
{
	int64_t world = a->world == 0 ? 1 : a->world, share = share_of(a);

	if (a->rank < 0 || a->rank >= world) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"loader_new: rank %d of a world of %d: expected 0 to world - 1", a->rank,
			a->world);
		return false;
	}
	if (share < 1 || a->batch < 1 || (a->drop_last && a->batch > share)) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"loader_new: batches of %lld from %lld %s%s: expected a data set and "
			"at least one whole batch",
			(long long)a->batch, (long long)share, ebb_dataset_items(a->data),
			a->drop_last ? ", last one dropped" : "");
		return false;
	}
	if (a->workers < 0 || a->workers > MOST_WORKERS || a->prefetch < 0 ||
		a->prefetch > MOST_PREFETCH || a->cache < 0) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"loader_new: %d workers, prefetch %lld, a cache of %lld bytes: "
			"expected at most %d and %d, and nothing negative",
			a->workers, (long long)a->prefetch, (long long)a->cache, MOST_WORKERS,
			MOST_PREFETCH);
		return false;
	}
	if (a->dtype != EBB_DEFAULT && a->dtype != EBB_F32 && a->dtype != EBB_F64) {
		ebb_error_set(a->error, EBB_BAD_DTYPE, a->site,
			"loader_new: %s as %s, expected F32 or F64", ebb_dataset_items(a->data),
			ebb_dtype_name(a->dtype));
		return false;
	}
	return true;
}

static bool check_moments(const ebb_loader_args *a, int64_t channels)
{
	for (int64_t c = 0; c < channels; c++) {
		if (isfinite(a->mean[c]) && isfinite(a->std[c]) && a->std[c] >= 0)
			continue;
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"loader_new: mean %g, std %g of channel %lld: expected numbers, std not "
			"negative",
			a->mean[c], a->std[c], (long long)c);
		return false;
	}
	return true;
}

/* Labels must be valid where classes are counted. */
static bool check_labels(const ebb_loader_args *a)
{
	const int64_t *label = ebb_data(a->data->labels);

	if (!a->balanced && !ebb_augment_mixes(a->augment))
		return true;
	for (int64_t i = 0; i < a->data->count; i++) {
		if (label[i] >= 0 && label[i] < a->data->classes)
			continue;
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"loader_new: label[%lld] is %lld; there are %d classes", (long long)i,
			(long long)label[i], a->data->classes);
		return false;
	}
	return true;
}

/* The form of rows in a batch: only floats are converted. */
static ebb_form batch_form(const ebb_form *f, ebb_dtype dtype)
{
	ebb_form g = *f;

	if (dtype != EBB_DEFAULT && (f->dtype == EBB_F32 || f->dtype == EBB_F64))
		g.dtype = dtype;
	return g;
}

/* Sets the forms of rows, and refuses the options that only images have. */
static bool find_forms(ebb_loader *l, const ebb_loader_args *a)
{
	for (int c = 0; c < EBB_MAX_CHANNELS; c++)
		if (a->mean[c] != 0 || a->std[c] != 0)
			return refuse(a, "the data set has rows: .mean and .std are for images");
	if (a->augment)
		return refuse(a, "the data set has rows: .augment is for images");
	if (a->cache)
		return refuse(a, "the data set has rows: .cache is for images");
	if (a->balanced && !a->data->labels)
		return refuse(a, "the rows have no classes, which .balanced needs");
	l->rows = true;
	l->views = 1;
	l->input = batch_form(&a->data->source->input, a->dtype);
	l->target = batch_form(&a->data->source->target, a->dtype);
	l->image_bytes = ebb_form_bytes(&l->input);
	l->target_bytes = ebb_form_bytes(&l->target);
	return true;
}

/* Computes the shape of the images that the pipeline returns. */
static bool find_shape(ebb_loader *l, const ebb_loader_args *a)
{
	ebb_shape shape = ebb_dataset_image_shape(a->data);

	if (a->augment && ebb_augment_error(a->augment)) {
		/* The message already names the line that added the transform. */
		ebb_error_set(
			a->error, a->augment->error.status, NULL, "%s", a->augment->error.message);
		return false;
	}
	l->channels = shape.dims[0];
	l->height = shape.dims[1];
	l->width = shape.dims[2];
	l->views = ebb_augment_size(a->augment, &l->height, &l->width);
	if (l->channels == 0)
		return refuse(a, "the images may differ in their channels: set the data set's "
				 "number of channels");
	if (l->height == 0 || l->width == 0)
		return refuse(a, "the images may differ in size: let .augment crop or resize them "
				 "to one");
	if (l->views > 1 && ebb_augment_mixes(a->augment))
		return refuse(a, "ten_crop is for testing, mixup and cutmix are for training: "
				 "expected one of them");
	return true;
}

/* ---- Construction --------------------------------------------------------------------------- */

static void tabulate(ebb_loader *l, const ebb_loader_args *a)
{
	for (int64_t c = 0; c < l->channels; c++) {
		for (int v = 0; v < 256; v++) {
			double std = a->std[c] == 0 ? 1 : a->std[c],
			       y = (v / 255.0 - a->mean[c]) / std;

			if (l->dtype == EBB_F64)
				l->value.f64[c][v] = y;
			else
				l->value.f32[c][v] = (float)y;
		}
	}
}

static ebb_tensor *new_rows(const ebb_form *f, int64_t count, ebb_error *e)
{
	ebb_shape s = {.ndim = f->shape.ndim + 1, .dims = {count}};

	for (int k = 0; k < f->shape.ndim; k++)
		s.dims[k + 1] = f->shape.dims[k];
	return ebb_tensor_new(f->dtype, s, false, e);
}

static bool make_rows(ebb_batch *b, const ebb_loader *l, int64_t count, ebb_error *e)
{
	b->inputs = new_rows(&l->input, count, e);
	if (b->inputs && l->target.dtype)
		b->targets = new_rows(&l->target, count, e);
	if (b->inputs && l->data->labels)
		b->labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(count), false, e);
	return b->inputs && (b->targets || !l->target.dtype) && (b->labels || !l->data->labels);
}

static bool make_batch(ebb_batch *b, const ebb_loader *l, int64_t count, ebb_error *e)
{
	b->count = count;
	if (l->rows)
		return make_rows(b, l, count, e);
	b->images = ebb_tensor_new(
		l->dtype, EBB_SHAPE(count * l->views, l->channels, l->height, l->width), true, e);
	if (b->images)
		b->labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(count), false, e);
	if (b->labels && l->target_bytes)
		b->targets = ebb_tensor_new(l->dtype, EBB_SHAPE(count, l->data->classes), false, e);
	return b->labels && (b->targets || !l->target_bytes);
}

static void free_batch(ebb_batch *b)
{
	ebb_tensor_free(b->images);
	ebb_tensor_free(b->inputs);
	ebb_tensor_free(b->labels);
	ebb_tensor_free(b->targets);
	*b = (ebb_batch){0};
}

static bool make_slot(ebb_slot *s, const ebb_loader *l, int64_t count, const ebb_loader_args *a)
{
	s->count = count;
	if (!make_batch(&s->batch, l, count, a->error))
		return false;
	s->images = ebb_data_mutable(l->rows ? s->batch.inputs : s->batch.images);
	s->labels = ebb_data_mutable(s->batch.labels);
	s->targets = ebb_data_mutable(s->batch.targets);
	s->skipped = ebb_alloc_zeroed(ebb_bytes_of(count, 1));
	if (l->spare_bytes)
		s->spare = ebb_alloc(l->spare_bytes);
	return s->skipped && (s->spare || !l->spare_bytes);
}

static void free_slot(ebb_slot *s, const ebb_loader *l)
{
	free_batch(&s->batch);
	ebb_free(s->skipped, (size_t)s->count);
	ebb_free(s->spare, l->spare_bytes);
}

static bool make_slots(ebb_loader *l, const ebb_loader_args *a)
{
	int workers = l->workers ? l->workers : 1;

	l->slots = l->workers ? (a->prefetch ? a->prefetch : 2) + 1 : 1;
	l->slot = ebb_alloc_zeroed((size_t)l->slots * sizeof *l->slot);
	l->worker = ebb_alloc_zeroed((size_t)workers * sizeof *l->worker);
	if (!l->slot || !l->worker)
		return false;
	for (int64_t i = 0; i < l->slots; i++)
		if (!make_slot(&l->slot[i], l, l->batch, a))
			return false;
	if (l->rest > 0 && !make_slot(&l->last, l, l->rest, a))
		return false;
	for (int i = 0; i < workers; i++)
		l->worker[i].loader = l;
	return true;
}

static void start(ebb_loader *l, int64_t epoch, int64_t next)
{
	ebb_workers_pause(l);
	l->epoch = epoch;
	l->next = next;
	l->held = NULL;
	ebb_sampler_begin(&l->sampler, epoch);
	ebb_workers_resume(l, next);
}

/* Checks what a batch consists of, and computes its sizes. */
static bool measure(ebb_loader *l, const ebb_loader_args *a)
{
	if (ebb_dataset_has_rows(a->data))
		return find_forms(l, a) && check_labels(a);
	if (!find_shape(l, a) || !check_moments(a, l->channels) || !check_labels(a))
		return false;
	tabulate(l, a);
	l->image_bytes = ebb_bytes_of(l->height * l->width * l->channels, ebb_dtype_size(l->dtype));
	if (!ebb_augment_mixes(a->augment))
		return true;
	l->target_bytes = ebb_bytes_of(a->data->classes, ebb_dtype_size(l->dtype));
	l->spare_bytes = l->image_bytes > l->target_bytes ? l->image_bytes : l->target_bytes;
	return true;
}

ebb_loader *(ebb_loader_new)(const ebb_loader_args *a)
{
	ebb_loader *l;

	if (!check_numbers(a))
		return NULL;
	l = ebb_alloc_zeroed(sizeof *l);
	if (!l)
		goto no_memory;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->work, NULL);
	pthread_cond_init(&l->ready, NULL);
	pthread_cond_init(&l->idle, NULL);
	atomic_init(&l->cancel, false);
	l->paused = true;
	l->data = a->data;
	l->augment = a->augment;
	l->seed = a->seed;
	l->workers = a->workers;
	l->dtype = a->dtype == EBB_F64 ? EBB_F64 : EBB_F32;
	if (!measure(l, a)) {
		ebb_loader_free(l);
		return NULL;
	}
	if (!ebb_sampler_new(&l->sampler, a))
		goto no_memory;
	l->batch = a->batch < l->sampler.count ? a->batch : l->sampler.count;
	l->rest = a->drop_last ? 0 : l->sampler.count % l->batch;
	l->batches = l->sampler.count / l->batch + (l->rest > 0);
	ebb_cache_new(&l->cache, a->data->images ? 0 : a->cache, a->data->count);
	if (!make_slots(l, a))
		goto no_memory;
	start(l, 0, 0);
	if (l->workers > 0)
		ebb_fleet_join(l);
	if (ebb_workers_start(l))
		return l;
	ebb_error_set(a->error, EBB_NO_MEMORY, a->site,
		"loader_new: the system refuses to start %d threads", l->workers);
no_memory:
	ebb_error_set(a->error, EBB_NO_MEMORY, a->site,
		"loader_new: no memory for a loader of %lld %s", (long long)a->data->count,
		ebb_dataset_items(a->data));
	ebb_loader_free(l);
	return NULL;
}

void ebb_loader_free(ebb_loader *l)
{
	if (!l)
		return;
	ebb_workers_stop(l);
	ebb_fleet_leave(l);
	for (int64_t i = 0; l->slot && i < l->slots; i++)
		free_slot(&l->slot[i], l);
	free_slot(&l->last, l);
	free_batch(&l->odd);
	ebb_free(l->slot, (size_t)l->slots * sizeof *l->slot);
	for (int i = 0; l->worker && i < (l->workers ? l->workers : 1); i++) {
		ebb_stage_free(&l->worker[i].stage);
		ebb_image_free(&l->worker[i].source);
	}
	ebb_free(l->worker, (size_t)(l->workers ? l->workers : 1) * sizeof *l->worker);
	ebb_sampler_free(&l->sampler);
	ebb_cache_free(&l->cache);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->work);
	pthread_cond_destroy(&l->ready);
	pthread_cond_destroy(&l->idle);
	ebb_free(l, sizeof *l);
}

/* ---- Accessors ------------------------------------------------------------------------------ */

int64_t ebb_loader_batches(const ebb_loader *l)
{
	return l ? l->batches : 0;
}

int64_t ebb_loader_epoch(const ebb_loader *l)
{
	return l ? l->shown : 0;
}

const ebb_error *ebb_loader_error(const ebb_loader *l)
{
	static const ebb_error NO_LOADER = {.status = EBB_INVALID,
		.message = "the loader is NULL: it could not be created, and .error says why"};

	if (!l)
		return &NO_LOADER;
	return l->error.status == EBB_OK ? NULL : &l->error;
}

/* ---- Batches -------------------------------------------------------------------------------- */

/* Increments the versions of the tensors that the caller holds, because the next batch overwrites
 * them: a gradient that saved one of them then detects the change. */
static void take_back(ebb_loader *l)
{
	free_batch(&l->odd);
	if (!l->held)
		return;
	ebb_data_mutable(l->held->batch.images);
	ebb_data_mutable(l->held->batch.inputs);
	ebb_data_mutable(l->held->batch.labels);
	ebb_data_mutable(l->held->batch.targets);
}

/* In a child of fork, starts new workers, because the parent's do not exist there. */
static bool has_workers(ebb_loader *l)
{
	if (ebb_workers_replace(l))
		return true;
	ebb_error_set(&l->error, EBB_NO_MEMORY, NULL,
		"loader: the system refuses to start %d threads in a child of fork", l->workers);
	return false;
}

bool ebb_loader_begin_at(ebb_loader *l, int64_t epoch, int64_t next)
{
	bool ok;

	take_back(l);
	l->error = (ebb_error){0};
	ok = has_workers(l);
	l->shown = epoch;
	start(l, epoch, next);
	return ok;
}

void ebb_loader_begin(ebb_loader *l, int64_t epoch)
{
	if (l)
		ebb_loader_begin_at(l, epoch < 0 ? 0 : epoch, 0);
}

/* Copies the samples that were not skipped into a batch of their own. */
static bool deliver_odd(ebb_loader *l, const ebb_slot *s)
{
	ebb_batch *b = &l->odd;
	size_t n = (size_t)s->kept;

	if (!make_batch(b, l, s->kept, &l->error)) {
		free_batch(b);
		return false;
	}
	if (l->image_bytes)
		memcpy(ebb_data_mutable(l->rows ? b->inputs : b->images), s->images,
			n * (size_t)l->views * l->image_bytes);
	if (b->labels)
		memcpy(ebb_data_mutable(b->labels), s->labels, n * sizeof *s->labels);
	if (l->target_bytes)
		memcpy(ebb_data_mutable(b->targets), s->targets, n * l->target_bytes);
	return true;
}

bool ebb_loader_next(ebb_loader *l, ebb_batch *b)
{
	ebb_slot *s;
	int64_t index;

	if (b)
		*b = (ebb_batch){0};
	if (!l || !b || l->error.status != EBB_OK || !has_workers(l))
		return false;
	l->shown = l->epoch;
	do {
		take_back(l);
		if (l->next == l->batches) {
			start(l, l->epoch + 1, 0);
			return false;
		}
		index = l->next++;
		if (l->held || l->workers == 0)
			ebb_workers_release(l, index + l->slots);
		ebb_workers_await(l, index);
		l->held = s = ebb_loader_slot(l, index);
		if (s->failed_at < s->count) {
			l->error = s->error;
			ebb_workers_pause(l);
			return false;
		}
	} while (s->kept == 0);
	if (s->kept < s->count && !deliver_odd(l, s)) {
		ebb_workers_pause(l);
		return false;
	}
	*b = s->kept < s->count ? l->odd : s->batch;
	b->index = index;
	return true;
}
