/*
 * internal.h - the parts of a loader: the order of images, a cache, slots for batches, and worker
 * threads that fill them.
 */
#ifndef EBB_LOADER_INTERNAL_H
#define EBB_LOADER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "data/augment/internal.h"
#include "data/internal.h"

/* ---- Which images, in which order (sampler.c) ------------------------------------------------ */

typedef struct ebb_sampler {
	/* images in the data set; of them, in this process's share of an epoch */
	int64_t total, count;
	int64_t rank, world;
	bool shuffle, balanced, drop_last;
	uint64_t seed;
	int64_t *place;  /* [total], if shuffled or balanced: the order of an epoch */
	double *random;  /* [total], if shuffled: random numbers for the order */
	int64_t *member; /* [total], if balanced: the images grouped by class */
	int64_t classes;
	int64_t *start,
		/* [classes + 1], if balanced: where a class starts in member; how many of its
		 * images were used */
		*turn;
	/* [classes], if balanced: the classes that have images, in their order */
	int64_t *line;
	const int64_t *label; /* [total], if balanced: borrowed from the data set */
} ebb_sampler;

/* False if there is no memory.  In both cases ebb_sampler_free frees o. */
bool ebb_sampler_new(ebb_sampler *o, const ebb_loader_args *a);
void ebb_sampler_free(ebb_sampler *o);
/* Computes the order of an epoch. */
void ebb_sampler_begin(ebb_sampler *o, int64_t epoch);
/* Image number k of the epoch: its index in the data set, plus total for each earlier occurrence in
 * the epoch. */
int64_t ebb_sampler_at(const ebb_sampler *o, int64_t k);

/* ---- Decoded images (cache.c) --------------------------------------------------------------- */

typedef struct ebb_cache {
	pthread_mutex_t lock;
	int64_t limit, used; /* bytes */
	int64_t count;
	ebb_image *kept; /* [count]; NULL: the cache is disabled */
} ebb_cache;

void ebb_cache_new(ebb_cache *c, int64_t limit, int64_t count);
void ebb_cache_free(ebb_cache *c);
/* *hit says whether image i is cached; if so, x gets a copy.  False only with an error. */
bool ebb_cache_get(ebb_cache *c, int64_t i, ebb_image *x, bool *hit, ebb_error *e);
/* Caches a copy of image i if it fits into the limit.  Nothing is evicted. */
void ebb_cache_put(ebb_cache *c, int64_t i, const ebb_image *x);

/* ---- Slots and workers (fill.c, workers.c) --------------------------------------------------- */

/* The memory of a batch.  Workers write to images, targets and labels; only the caller's thread
 * uses the tensors in batch. */
typedef struct ebb_slot {
	ebb_batch batch;
	/* images: or the inputs of rows; spare: memory of one image, for mixing */
	char *images, *targets, *spare;
	int64_t *labels;
	uint8_t *skipped; /* [count] */
	int64_t count;    /* samples to fill */
	int64_t filled;   /* samples filled so far */
	int64_t kept;     /* samples that were not skipped, once ready */
	bool ready;
	int64_t failed_at; /* the first sample that failed; count: none */
	ebb_error error;
} ebb_slot;

typedef struct ebb_worker {
	struct ebb_loader *loader;
	pthread_t thread;
	ebb_stage stage;
	ebb_image source; /* the untransformed image, for the ten views of ten_crop */
	bool busy;        /* the worker is writing to stage and source */
} ebb_worker;

struct ebb_loader {
	const ebb_dataset *data;
	const ebb_augment *augment;
	ebb_sampler sampler;
	ebb_cache cache;
	uint64_t seed;
	int64_t batch, batches, rest; /* rest: samples in a smaller last batch */
	int64_t views, channels, height, width;
	ebb_dtype dtype;
	bool rows;
	ebb_form input, target; /* of rows, as in a batch */
	/* The normalised value of each byte, per channel. */
	union {
		float f32[EBB_MAX_CHANNELS][256];
		double f64[EBB_MAX_CHANNELS][256];
	} value;
	size_t image_bytes, target_bytes, spare_bytes; /* per image or row; 0: not used */
	ebb_slot *slot;                                /* [slots] */
	int64_t slots;
	ebb_slot last;

	/* State of the caller's thread. */
	/* the epoch of the batches in progress; the epoch that the caller is in */
	int64_t epoch, shown;
	int64_t next;   /* the next batch to return */
	ebb_slot *held; /* the slot of the batch that the caller has */
	ebb_batch odd;  /* a separate batch for a slot with skipped images */
	ebb_error error;

	/* State shared with the workers. */
	int workers;
	ebb_worker *worker;   /* [workers], or one for the caller's thread */
	pthread_mutex_t lock; /* guards the members below, and the state of the slots */
	int started, present; /* threads created; threads that have begun to run */
	pthread_cond_t work, ready, idle;
	int64_t batch_at, sample_at; /* the next samples to claim */
	int64_t released;            /* batches from this one on may not be started yet */
	int active;
	bool paused, stop;
	bool settled; /* a fork is in progress: workers start nothing */
	bool lost;    /* this is a child of fork, which has no workers */
	bool torn;    /* lost, and some workers were busy at the time of the fork */
	atomic_bool cancel;
	struct {
		struct ebb_loader *next, **at;
	} in_fleet;
};

/* Fills sample k of the slot from position place of the epoch: an image (or ten views) and a
 * label. */
ebb_fetched ebb_slot_fill(ebb_slot *s, int64_t k, ebb_worker *w, int64_t place, ebb_error *e);
/* Called when all samples are filled: closes the gaps of skipped images, and mixes images. */
void ebb_slot_finish(ebb_slot *s, ebb_loader *l, int64_t index);

ebb_slot *ebb_loader_slot(ebb_loader *l, int64_t index);
/* Starts the worker threads.  False if the system cannot start them. */
bool ebb_workers_start(ebb_loader *l);
void ebb_workers_stop(ebb_loader *l);
/* Waits until no other thread is busy and all have entered their loop, or until the deadline.  The
 * caller holds the lock. */
void ebb_workers_settle(ebb_loader *l, const struct timespec *deadline);
/* In a child of fork: forgets the threads and the memory that they were writing to. */
void ebb_workers_lose(ebb_loader *l);
/* In a child of fork: starts new workers for the batches that are not ready.  False if the system
 * cannot start them. */
bool ebb_workers_replace(ebb_loader *l);
/* Cancels the work in progress; returns when no worker is busy. */
void ebb_workers_pause(ebb_loader *l);
/* Restarts the workers at batch number from of the epoch. */
void ebb_workers_resume(ebb_loader *l, int64_t from);
/* Returns when the batch is ready; without workers it fills the batch in this thread. */
void ebb_workers_await(ebb_loader *l, int64_t index);
/* Permits batches below this number to be started. */
void ebb_workers_release(ebb_loader *l, int64_t below);

/* Moves to a batch of the epoch, from 0 to the number of batches.  False (with an error in l) if
 * the system cannot start threads. */
bool ebb_loader_begin_at(ebb_loader *l, int64_t epoch, int64_t next);

/* ---- Forks (fork.c) -------------------------------------------------------------------------- */

/* The list of all loaders with workers, for the handlers of fork. */
void ebb_fleet_join(ebb_loader *l);
void ebb_fleet_leave(ebb_loader *l);

#endif
