/* epoch.h - one epoch of training, and the test, of a residual network on CIFAR-10. */
#ifndef EBB_DEMOS_EPOCH_H
#define EBB_DEMOS_EPOCH_H

#include <ebb.h>

#include "keep.h"
#include "progress.h"

typedef struct trainer {
	ebb_tape *t;
	ebb_params *p;
	ebb_cifar_resnet net;
	ebb_optim *opt;
	double lr;  /* the highest of the schedule: 200 steps of warm-up, then a cosine */
	int epochs; /* of the schedule */
} trainer;

/* Copies an error, if there is one, to e; returns whether there is none. */
bool passed_on(const ebb_error *first, ebb_error *e);
/* Trains for one epoch, or until a signal ends the run (keep->ended). */
bool train_epoch(
	trainer *r, ebb_loader *loader, keeping *keep, int epoch, progress *now, ebb_error *e);
/* The mean loss and the accuracy on the loader's images; loss may be NULL. */
bool test_epoch(trainer *r, ebb_loader *loader, double *loss, double *accuracy, ebb_error *e);

#endif
