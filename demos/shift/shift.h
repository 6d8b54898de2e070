/* shift.h - functions that the files of shift share. */
#ifndef EBB_DEMOS_SHIFT_H
#define EBB_DEMOS_SHIFT_H

#include <ebb.h>

/* ---- Layers and their errors (layers.c) ---- */

/* The layers read SIZE x SIZE pixels of a picture of PICTURE x PICTURE; a shift of k moves these
 * pixels k to the left, and so their content k to the right. */
enum { PICTURE = 160, SIZE = 128, SHIFTS = 9, LAYERS = 10 };

typedef enum layer_number {
	PLAIN,
	ZEROS,
	CIRCULAR,
	STRIDE,
	MAXIMUM,
	MEAN,
	BLUR,
	BLOCKS,
	GLOBAL,
	CONNECTED
} layer_number;

/* For k pixels, the root mean square of the difference between "shift, then layer" and "layer, then
 * shift", divided by the standard deviation of the output.  inside: of outputs that read no padding
 * in either; border: of the others, NAN without any. */
typedef struct errors {
	const char *name;
	double inside[SHIFTS], border[SHIFTS];
} errors;
/* picture: [3][PICTURE][PICTURE] in [-1/2,1/2). */
bool measure(const double *picture, uint64_t seed, errors table[LAYERS], ebb_error *e);

/* The first map of a layer [h,w]: shifted after the layer, shifted before it, and the difference,
 * which is NAN where "after" has no value. */
typedef struct maps {
	const char *name;
	int64_t h, w;
	double *after, *before, *difference;
	double inside, border;
} maps;
bool measure_maps(
	const double *picture, uint64_t seed, layer_number layer, int shift, maps *m, ebb_error *e);
void maps_free(maps *m);

/* ---- A network of the catalogue (network.c) ---- */

enum { MOST_OFFSETS = 200 };

/* The probability of a class for each offset of the crop; 0 offsets without --weights. */
typedef struct probabilities {
	int offsets;
	double x[MOST_OFFSETS], percent[MOST_OFFSETS];
	char network[60], class_name[60];
} probabilities;
/* False with an error in e, or with a message if e is empty. */
bool follow_class(const char *weights, const char *model, const ebb_image *image, probabilities *y,
	ebb_error *e);

/* ---- The picture (sheet.c) ---- */

typedef struct sheet {
	const ebb_image *picture;
	int shift;
	int n;
	const maps *layers;
	const errors *table;
	const probabilities *network;
} sheet;
/* Writes DIR/shift.png. */
bool write_sheet(const char *directory, const sheet *p, ebb_error *e);

#endif
