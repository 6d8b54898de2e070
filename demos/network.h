/* network.h - the network of a file of weights, and the names of its classes. */
#ifndef EBB_DEMOS_NETWORK_H
#define EBB_DEMOS_NETWORK_H

#include <ebb.h>

/* What the command line says of a network; model and classes may be NULL. */
typedef struct network_files {
	const char *model, *weights, *classes;
} network_files;

enum { LONGEST_LINE = 1000 };

/* Prints an error; returns false. */
bool said(const ebb_error *e);

/* Makes the network with as many classes as the file of weights has, and loads the file.  False
 * with a message. */
bool load_network(ebb_model *net, ebb_params *p, const network_files *f);
/* The names of the network's classes: from --classes, from the file of weights, or from
 * imagenet-classes.txt beside it; *names is NULL if neither exists and --classes is left out.
 * False with a message. */
bool find_names(const network_files *f, const ebb_model *net, const char *const **names);
/* The class that text says: its number, one of its names, or a part of the names of one class only.
 * names may be NULL; option is the option's name for messages.  -1 with a message. */
int64_t class_named(
	const char *option, const char *text, const ebb_model *net, const char *const *names);

#endif
