/* filters.h - functions that the files of filters share. */
#ifndef EBB_DEMOS_FILTERS_H
#define EBB_DEMOS_FILTERS_H

#include <ebb.h>

#include "../network.h"

/* Units of a layer that are shown, and images of each. */
enum { UNITS = 6, BEST = 9, MOST_LAYERS = 8 };

/* An image that excites a unit: what the network sees around it, and its reconstruction. */
typedef struct excitation {
	double value;
	int image; /* its number on the command line */
	ebb_image patch, reconstruction;
} excitation;

typedef struct unit {
	int64_t channel;
	int count; /* of best */
	excitation best[BEST];
} unit;

typedef struct layer {
	char name[100];
	int64_t side; /* of the patches, in pixels of the network's input */
	int units;
	unit unit[UNITS];
} layer;

/* Chooses up to four layers of the network by running it on an image: scopes with a number as their
 * last name, at even distances (units.c).  Returns how many; 0 with a message. */
int choose_layers(ebb_tape *t, const ebb_model *net, const char *image, layer *layers);
/* Finds the units of the layer that prefer few images, the images that excite them most, and what
 * excites them there (units.c).  False with a message. */
bool find_units(ebb_tape *t, const ebb_model *net, int n, char **images, layer *l);
void free_layer(layer *l);

/* Writes the filters of the first convolution as a grid (picture.c). */
bool write_filters(const ebb_model *net, const char *path, ebb_error *e);
/* Writes patches and reconstructions (picture.c). */
bool write_layers(const ebb_model *net, int n, const layer *layers, const char *path, ebb_error *e);

#endif
