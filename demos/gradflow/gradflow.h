/* gradflow.h - the structs and functions of gradflow's files: options, networks, training runs,
 * reports. */
#ifndef EBB_DEMOS_GRADFLOW_H
#define EBB_DEMOS_GRADFLOW_H

#include <ebb.h>

enum { NETWORKS = 4 };

typedef struct settings {
	int depth, width, batch;
	int64_t steps, every, images;
	double lr;
	uint64_t seed;
	const char *activation; /* of the networks other than the first */
	const char *init;       /* "default": Xavier for sigmoid and tanh, He for the others */
	const char *data;       /* a directory with MNIST's files, or NULL */
	const char *out;
	bool colour; /* whether to print colours */
	int columns; /* of the terminal; 0: no limit */
} settings;

/* ---- networks.c ---- */

/* The four networks differ only in the operations between two convolutions. */
typedef struct design {
	char name[64], about[300];
	ebb_unary_op activation;
	ebb_init init;
	bool batchnorm, residual;
	int colour; /* of the figures' palette */
} design;

/* The names of the activations, ended by NULL. */
extern const char *const activation_names[];
/* The four designs of the settings; false with a message on stderr for a bad initialiser. */
bool designs_of(const settings *s, design d[NETWORKS]);

typedef struct layer {
	char scope[16];
	ebb_conv conv;
	ebb_bn bn;
} layer;

typedef struct network {
	const design *design;
	int depth;
	layer *layers;
	ebb_linear head;
} network;

/* False if there is no memory; other errors are in the store. */
bool network_new(
	network *net, const design *d, ebb_params *p, const settings *s, int channels, int classes);
void network_free(network *net);
/* x [N,C,H,W] -> [N,classes] */
ebb_tensor *network_forward(ebb_tape *t, const network *net, ebb_tensor *x);

/* ---- train.c ---- */

typedef struct run {
	design design;
	ebb_tape *tape;
	ebb_params *params;
	network net;
	ebb_probe *probe;
	int64_t steps;           /* steps done */
	double *loss, *accuracy; /* of each step's batch */
	int64_t parameters;
	double seconds;
	ebb_verdict verdict;
} run;

/* Trains network number index (of NETWORKS) with a probe on every layer.  False with a message on
 * stderr. */
bool train(run *r, const settings *s, const ebb_dataset *data, int index);
void run_free(run *r);
/* Means over the first or the last tenth of the steps. */
double loss_at_first(const run *r);
double loss_at_last(const run *r);
double accuracy_at_last(const run *r);

/* ---- report.c ---- */

/* Prints the table of gradient norms and a verdict per network to stdout. */
bool print_results(const run *r, const settings *s);
/* Writes the figure, the CSV files and the page to s->out.  False with a message on stderr. */
bool write_report(const run *r, const settings *s, const ebb_dataset *data);

#endif
