/* saliency.h - functions that the files of saliency share. */
#ifndef EBB_DEMOS_SALIENCY_H
#define EBB_DEMOS_SALIENCY_H

#include <ebb.h>

#include "../network.h"

/* The methods, in the order of the picture. */
enum { GRADIENT, SMOOTH, INTEGRATED, GUIDED, CAM, GUIDED_CAM, METHODS };
extern const char *const method_names[METHODS];

typedef struct request {
	const ebb_model *net;
	const ebb_tensor *x; /* [1,C,H,W] */
	int64_t class;
	const char *layer; /* for Grad-CAM; NULL: the last one with pixels */
	int samples;
	uint64_t seed;
} request;

/* What the methods say of one network: maps [H,W], which the caller frees. */
typedef struct maps {
	ebb_tensor *map[METHODS];
	ebb_completeness sum; /* of integrated gradients */
	bool complete;
} maps;

/* Computes all maps (maps.c).  False with an error on the tape. */
bool compute_maps(ebb_tape *t, const request *r, maps *m);
void free_maps(maps *m);

/* What the picture shows. */
typedef struct results {
	const ebb_image *seen; /* what the network sees */
	char class[100];
	double probability;
	maps trained, random;
	double correlation[METHODS]; /* NaN: a map of a random network without contrast */
} results;

/* Whether two maps with that rank correlation are much alike; false for NaN (picture.c). */
bool hardly_changes(double correlation);

/* Writes the picture: the maps of the trained network, and below those of one with random weights
 * (picture.c). */
bool write_picture(const results *r, const char *path, ebb_error *e);

#endif
