/* progress.h - shows the progress of an epoch on a terminal. */
#ifndef EBB_DEMOS_PROGRESS_H
#define EBB_DEMOS_PROGRESS_H

#include <ebb.h>

/* The progress of one epoch; the caller updates images, loss and accuracy. */
typedef struct progress {
	bool terminal;
	double began, drawn;
	int64_t images;
	ebb_average loss, accuracy;
} progress;

progress progress_begin(void);
/* Draws a bar for done of batches, in epoch (from 0) of epochs, at most ten times a second.  Does
 * nothing if stdout is not a terminal. */
void progress_show(progress *p, int epoch, int epochs, int64_t done, int64_t batches);
/* Erases the bar. */
void progress_clear(const progress *p);
/* Prints the epoch's final line; without the test accuracy if that is NaN. */
void progress_report(int epoch, int epochs, double loss, double accuracy, double test_accuracy,
	double images_per_second);

#endif
