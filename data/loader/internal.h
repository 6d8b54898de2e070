/*
 * internal.h - what a loader is made of: an order, a cache, slots for batches, and a workers
 * that fills them.
 */
#ifndef EBB_LOADER_INTERNAL_H
#define EBB_LOADER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "data/augment/internal.h"
#include "data/data.h"
#include "kernels/sizes.h"

/* ---- Which images, in which order (sampler.c) ------------------------------------------------ */

typedef struct ebb_sampler {
	int64_t total, count; /* of the data set; of this process's share of an epoch */
	int64_t rank, world;
	bool shuffle, balanced, drop_last;
	uint64_t seed;
	int64_t *place;  /* [total], if shuffled or balanced: what comes when */
	double *random;  /* [total], if shuffled: numbers to draw it from */
	int64_t *member; /* [total], if balanced: what place holds before, class by class */
	int64_t classes;
	int64_t *start,
		*turn;        /* [classes + 1], if balanced: of each class in member; times drawn */
	int64_t *line;        /* [classes], if balanced: the classes that have images, in turn */
	const int64_t *label; /* if balanced; of the data set */
} ebb_sampler;

/* False without memory; either way ebb_sampler_free gives back what there is. */
bool ebb_sampler_new(ebb_sampler *o, const ebb_loader_args *a);
void ebb_sampler_free(ebb_sampler *o);
/* Draws the order of an epoch. */
void ebb_sampler_begin(ebb_sampler *o, int64_t epoch);
/* Image number k of the epoch: its number in the data set, plus total for each time that it came
 * before. */
int64_t ebb_sampler_at(const ebb_sampler *o, int64_t k);

/* ---- Decoded images (cache.c) --------------------------------------------------------------- */

typedef struct ebb_cache {
	pthread_mutex_t lock;
	int64_t limit, used; /* bytes */
	int64_t count;
	ebb_image *kept; /* [count]; NULL: nothing is kept */
} ebb_cache;

void ebb_cache_new(ebb_cache *c, int64_t limit, int64_t count);
void ebb_cache_free(ebb_cache *c);
/* A copy of image i if it is kept.  *hit is whether it was; false only with an error. */
bool ebb_cache_get(ebb_cache *c, int64_t i, ebb_image *x, bool *hit, ebb_error *e);
/* Keeps a copy if there is room: what came first stays. */
void ebb_cache_put(ebb_cache *c, int64_t i, const ebb_image *x);

/* ---- Slots and workers (fill.c, workers.c) --------------------------------------------------- */

/* Room for a batch; its memory is written by workers, its tensors are touched by the caller's
 * thread alone. */
typedef struct ebb_slot {
	ebb_batch batch;
	char *images, *targets, *spare; /* spare: an image, for mixing */
	int64_t *labels;
	uint8_t *skipped; /* [count] */
	int64_t count;    /* samples to fill */
	int64_t filled;   /* of them */
	int64_t kept;     /* not skipped, once ready */
	bool ready;
	int64_t failed_at; /* the first sample that failed; count: none */
	ebb_error error;
} ebb_slot;

typedef struct ebb_worker {
	struct ebb_loader *loader;
	pthread_t thread;
	ebb_stage stage;
	ebb_image source; /* as fetched, for the ten of ten_crop */
	bool busy;        /* these are being written to */
} ebb_worker;

struct ebb_loader {
	const ebb_dataset *data;
	const ebb_augment *augment;
	ebb_sampler sampler;
	ebb_cache cache;
	uint64_t seed;
	int64_t batch, batches, rest; /* rest: samples of a smaller last batch */
	int64_t views, channels, height, width;
	ebb_dtype dtype;
	/* What becomes of each of the 256 values, per channel. */
	union {
		float f32[EBB_MAX_CHANNELS][256];
		double f64[EBB_MAX_CHANNELS][256];
	} value;
	size_t image_bytes, target_bytes, spare_bytes; /* of a row; 0: there are none */
	ebb_slot *slot;                                /* [slots] */
	int64_t slots;
	ebb_slot last;

	/* The caller's side. */
	int64_t epoch, shown; /* that is made; that the caller is in */
	int64_t next;         /* the batch to hand out */
	ebb_slot *held;       /* the one that the caller has */
	ebb_batch odd;        /* of a slot with skipped images */
	ebb_error error;

	/* The workers's side. */
	int workers;
	ebb_worker *worker;   /* [workers], or one for the caller */
	pthread_mutex_t lock; /* guards what follows, and what slots say of their state */
	int started, present; /* threads created; that have begun to run */
	pthread_cond_t work, ready, idle;
	int64_t batch_at, sample_at; /* the next samples to claim */
	int64_t released;            /* batches from here on may not be begun */
	int active;
	bool paused, stop;
	bool settled; /* a fork is under way: nothing is begun */
	bool lost;    /* this is a child of fork, and the workers are not in it */
	bool torn;    /* so, and some were in the middle of something */
	atomic_bool cancel;
	struct {
		struct ebb_loader *next, **at;
	} in_fleet;
};

/* Makes sample k of the slot, whose place in the epoch is given: an image, or ten, and a label. */
ebb_fetched ebb_slot_fill(ebb_slot *s, int64_t k, ebb_worker *w, int64_t place, ebb_error *e);
/* When all are filled: closes the gaps of skipped images, and mixes. */
void ebb_slot_finish(ebb_slot *s, ebb_loader *l, int64_t index);

ebb_slot *ebb_loader_slot(ebb_loader *l, int64_t index);
/* Starts the threads.  False if the system has none. */
bool ebb_workers_start(ebb_loader *l);
void ebb_workers_stop(ebb_loader *l);
/* Returns when no other thread works or is on its way into its loop, or at the deadline.  Called
 * with the lock. */
void ebb_workers_settle(ebb_loader *l, const struct timespec *deadline);
/* In a child of fork: forgets the threads, and what they were writing to. */
void ebb_workers_lose(ebb_loader *l);
/* Starts a lost workers anew, for the batches that are not ready.  False if the system has no
 * threads. */
bool ebb_workers_replace(ebb_loader *l);
/* Lets the workers drop what it does, and returns when nobody works. */
void ebb_workers_pause(ebb_loader *l);
/* From that batch of the epoch on. */
void ebb_workers_resume(ebb_loader *l, int64_t from);
/* Returns when the batch is ready; without a workers it is made here. */
void ebb_workers_await(ebb_loader *l, int64_t index);
/* Batches below this number may be made now. */
void ebb_workers_release(ebb_loader *l, int64_t below);

/* Goes to that batch of the epoch, from 0 to the number of batches.  False (an error in l) if
 * the system has no threads. */
bool ebb_loader_begin_at(ebb_loader *l, int64_t epoch, int64_t next);

/* ---- Forks (fork.c) -------------------------------------------------------------------------- */

/* Every loader with workers, so that a child of fork loses none of them. */
void ebb_fleet_join(ebb_loader *l);
void ebb_fleet_leave(ebb_loader *l);

#endif
