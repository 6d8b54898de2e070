/* data.h - the images that finetune trains on. */
#ifndef EBB_DEMOS_FINETUNE_DATA_H
#define EBB_DEMOS_FINETUNE_DATA_H

#include <ebb.h>

enum { MOST_CLASSES = 1000, LONGEST_NAME = 100 };

typedef struct images {
	ebb_dataset *all; /* of which the two below are parts, or NULL */
	ebb_dataset *training, *testing;
	int classes;
	const char *const *class_names; /* [classes], or NULL */
	/* The names that were read from classes.tsv. */
	char name[MOST_CLASSES][LONGEST_NAME];
	const char *pointer[MOST_CLASSES];
} images;

/* Opens a folder with train.tsv, test.tsv (lists as for ebb_list) and perhaps classes.tsv (lines of
 * label, class and other columns, separated by tabs), or a folder with a subfolder per class, a
 * third of which is held out by seed.  The images have that many channels.  Call images_close in
 * any case. */
bool images_open(images *d, const char *path, int channels, uint64_t seed, ebb_error *e);
void images_close(images *d);

#endif
