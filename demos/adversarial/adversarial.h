/* adversarial.h - functions that the files of adversarial share. */
#ifndef EBB_DEMOS_ADVERSARIAL_H
#define EBB_DEMOS_ADVERSARIAL_H

#include "../network.h"

typedef struct settings {
	network_files files;
	const char *photograph, *target, *out;
	bool untargeted, l2;
	double eps; /* levels */
	double confidence;
	int steps;
} settings;

/* What the network says of an image. */
typedef struct opinion {
	int64_t first;      /* the likeliest class */
	int64_t least;      /* the least likely one */
	double probability; /* of the first */
} opinion;

/* A photograph, and what has become of it. */
typedef struct attack {
	const settings *s;
	ebb_tape *t;
	ebb_model net;
	const char *const *names; /* of the classes; NULL: unknown */
	ebb_image original, changed;
	opinion before, after;
	int64_t target;     /* the class to reach or, with .untargeted, to leave */
	double probability; /* of that class, after */
	int steps, largest; /* largest: change, in levels */
	double rms, norm;   /* of the changes: in levels, and the L2 norm of values in [0,1] */
} attack;

/* Classifies an image as classify does.  class: also sets *probability to the class's; < 0: does
 * not.  False with a message (attack.c). */
bool ask(attack *a, const ebb_image *x, opinion *o, int64_t class, double *probability);
/* Changes the photograph until the file at path, read again, is taken for the target with the
 * confidence that was asked for.  *reached: whether it is.  False with a message (attack.c). */
bool change_photograph(attack *a, const char *path, bool *reached);

#ifdef EBB_HAVE_CAIRO
/* Writes original, amplified change and result side by side; returns the factor of the change, or 0
 * with an error in e (picture.c). */
int write_picture(const attack *a, const char *path, ebb_error *e);
#endif

#endif
