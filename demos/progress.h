/* progress.h - an epoch under way, on a terminal. */
#ifndef EBB_DEMOS_PROGRESS_H
#define EBB_DEMOS_PROGRESS_H

#include <ebb.h>

/* Of one epoch; the caller adds to images, loss and accuracy. */
typedef struct progress {
	bool terminal;
	double began, drawn;
	int64_t images;
	ebb_average loss, accuracy;
} progress;

progress progress_begin(void);
/* A bar for done of batches, in epoch (from 0) of epochs; ten times a second at most, and nothing
 * where stdout is no terminal. */
void progress_show(progress *p, int epoch, int epochs, int64_t done, int64_t batches);
/* Takes the bar away. */
void progress_clear(const progress *p);
/* The line that stays of an epoch. */
void progress_report(int epoch, int epochs, double loss, double accuracy, double test_accuracy,
	double images_per_second);

#endif
