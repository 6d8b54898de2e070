/* options.h - the command line of finetune. */
#ifndef EBB_DEMOS_FINETUNE_OPTIONS_H
#define EBB_DEMOS_FINETUNE_OPTIONS_H

#include "train.h"

enum { MOST_GLOBS = 16 };

typedef struct settings {
	const char *data, *weights, *model, *out;
	const char *freeze[MOST_GLOBS];
	int globs;          /* -1: the default of the network */
	int scratch_epochs; /* -1: as many as for fine-tuning */
	double scratch_lr;
	training training;
} settings;

/* Reads the options, and chooses those that depend on the network.  False: the program is to end
 * with *status. */
bool read_options(int argc, char **argv, settings *s, int *status);

#endif
