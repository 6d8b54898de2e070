/* network.h - the network of a file of weights, and the names of its classes. */
#ifndef EBB_DEMOS_NETWORK_H
#define EBB_DEMOS_NETWORK_H

#include <ebb.h>
#include <getopt.h>

/* What the command line says of a network; model and classes may be NULL. */
typedef struct network_files {
	const char *model, *weights, *classes;
} network_files;

enum { LONGEST_LINE = 1000 };

#define NETWORK_OPTIONS                                                                            \
	{"weights", required_argument, NULL, 'w'}, {"model", required_argument, NULL, 'm'},        \
	{                                                                                          \
		"classes", required_argument, NULL, 'c'                                            \
	}
#define NETWORK_HELP                                                                               \
	"  --weights FILE  the network's weights: .pth, .pt, .safetensors, .npz\n"                 \
	"  --model NAME    the network (default: what FILE says)\n"                                \
	"  --classes FILE  names of the classes, one per line (default: those in the file of\n"    \
	"                  weights, or imagenet-classes.txt beside it)\n"
/* If o is one of these options, sets it and returns true. */
bool network_option(network_files *f, int o, const char *argument);
/* Whether there is an argument from number first on, an image, and --weights; else false with a
 * message. */
bool has_image_and_weights(int argc, int first, const network_files *f);

/* Prints an error; returns false. */
bool said(const ebb_error *e);

/* Makes the network with as many classes as the file of weights has, and loads the file.  False
 * with a message. */
bool load_network(ebb_model *net, ebb_params *p, const network_files *f);
/* The names of the network's classes: from --classes, from the file of weights, or from
 * imagenet-classes.txt beside it; *names is NULL if neither exists and --classes is left out.
 * False with a message. */
bool find_names(const network_files *f, const ebb_model *net, const char *const **names);
/* Prints the network's title and year, its file, and the number of its classes. */
void print_network(const ebb_model *net, const network_files *f);
/* The class's name up to the first comma, or its number; returns text. */
const char *short_name(const char *const *names, int64_t class, char *text, size_t size);
/* The class that text says: its number, one of its names, or a part of the names of one class only.
 * names may be NULL; option is the option's name for messages.  -1 with a message. */
int64_t class_named(
	const char *option, const char *text, const ebb_model *net, const char *const *names);

#endif
