/* classify.h - functions that the files of classify share. */
#ifndef EBB_DEMOS_CLASSIFY_H
#define EBB_DEMOS_CLASSIFY_H

#include <ebb.h>

typedef struct settings {
	const char *model, *weights, *classes;
	int top;
	bool list;
} settings;

enum { LONGEST_LINE = 1000 };

/* Escape sequences for a terminal, else empty texts. */
typedef struct colours {
	const char *bold, *faint, *bar, *off;
} colours;
colours colours_of_stdout(void);

/* Prints an error; returns false. */
bool said(const ebb_error *e);

/* Prints the catalogue of networks: a line for each file of weights (list.c). */
void print_catalogue(void);
/* Makes the network with as many classes as the file of weights has, and loads the file
 * (network.c).  False with a message. */
bool load_network(ebb_model *net, ebb_params *p, const settings *s);
/* The names of the network's classes: from --classes, from the file of weights, or from
 * imagenet-classes.txt beside it; *names is NULL if neither exists and
 * --classes is left out.  False with a message
 * (network.c). */
bool find_names(const settings *s, const ebb_model *net, const char *const **names);

#endif
