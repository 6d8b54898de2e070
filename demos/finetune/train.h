/* train.h - how finetune trains and tests a network. */
#ifndef EBB_DEMOS_FINETUNE_TRAIN_H
#define EBB_DEMOS_FINETUNE_TRAIN_H

#include <ebb.h>

#include "../keep.h"
#include "data.h"

typedef struct training {
	int epochs, batch, workers;
	int64_t side;       /* of the training images, in pixels */
	double lr, head_lr; /* of the body and of the head */
	uint64_t seed;
	keeping keep;
} training;

typedef struct result {
	double accuracy, test_accuracy;
	double seconds;
	bool complete; /* false: a signal has ended the run, or an error was printed */
} result;

/* Trains the parameters of net that are not frozen, by AdamW with a warmup and a cosine schedule,
 * and tests the network.  Progress and errors are printed. */
result train(const ebb_model *net, const images *d, training *how);

#endif
