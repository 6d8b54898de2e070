/* depth.h - functions and settings that the files of depth share. */
#ifndef EBB_DEMOS_DEPTH_H
#define EBB_DEMOS_DEPTH_H

#include <ebb.h>

#include "../keep.h"

enum { MOST_DEPTHS = 8, MOST_SEEDS = 16, MOST_EPOCHS = 400, LONGEST_PATH = 1200 };

typedef struct settings {
	const char *data, *out;
	int depths, depth[MOST_DEPTHS];
	int seeds, epochs, batch, workers;
	int64_t limit, test_limit;
	double lr;
	bool resume;
} settings;

/* One network's training: its errors, in percent, after each of n epochs. */
typedef struct curve {
	int depth;
	bool plain;
	int seed, n;
	double loss[MOST_EPOCHS];  /* mean over the epoch's batches */
	double error[MOST_EPOCHS]; /* of the training images, as the epoch's batches had them */
	double test_error[MOST_EPOCHS]; /* after the epoch */
} curve;

/* The images, with the means and deviations of the channels. */
typedef struct images {
	ebb_dataset *training, *testing;
	ebb_augment *augment;
	double mean[EBB_MAX_CHANNELS], std[EBB_MAX_CHANNELS];
} images;

/* "plain-56" */
const char *name_of(const curve *c, char *name, size_t size);
/* Trains a network, or continues it from its checkpoint (train.c).  *ended: a signal has ended the
 * run; the process must then end by keep_exit with *k.  False with an error in e, or with a message
 * if e is empty. */
bool train(const settings *s, const images *data, curve *c, keeping *k, ebb_error *e);

/* Writes curves.csv and curves.png of all n trainings so far to --out (report.c). */
bool save_curves(const settings *s, int n, const curve *c, ebb_error *e);
/* Prints the errors after the last epoch by depth, and which network has the lower one (report.c). */
void print_errors(const settings *s, int n, const curve *c);

#endif
