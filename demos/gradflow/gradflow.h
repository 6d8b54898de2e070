/* gradflow.h - the structs and functions of gradflow's files: options, networks, training runs,
 * measurements, reports. */
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
	bool full;   /* write every measured step to gradients.csv */
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

/* The medians of one layer: the norm of the gradient with respect to its output, and the factors by
 * which its convolution, normalisation and nonlinearity multiply the gradient. */
typedef struct measured {
	double gradient, weight, norm, slope;
} measured;

typedef struct run {
	design design;
	ebb_tape *tape;
	ebb_params *params;
	network net;
	ebb_flow *flow;
	int64_t steps;           /* steps done */
	double *loss, *accuracy; /* of each step's batch */
	int64_t parameters;
	double seconds;
	measured *layer; /* layer[depth]; NaN: not measured */
	measured median; /* over the layers */
	ebb_decay decay; /* of the gradients' norms with depth */
	ebb_finding verdict;
	int findings;
} run;

/* Trains network number index (of NETWORKS) with an instrument on its tape.  False with a message
 * on stderr. */
bool train(run *r, const settings *s, const ebb_dataset *data, int index);
void run_free(run *r);
/* Means over the first or the last tenth of the steps. */
double loss_at_first(const run *r);
double loss_at_last(const run *r);
double accuracy_at_last(const run *r);

/* ---- measured.c ---- */

/* Sets .layer, .median, .decay, .verdict and .findings from what the instrument measured.  False
 * without memory. */
bool read_instrument(run *r);
/* weight * norm * slope: what a layer without a residual connection multiplies the gradient by. */
double product(const measured *m);

/* ---- terminal.c ---- */

/* Prints the table of gradient norms, and a verdict and the factors per network, to stdout. */
void print_results(const run *r, const settings *s);

/* ---- curves.c ---- */

/* The figure's panels, and the memory that their curves point to. */
typedef struct curves {
	double *depth, *step, *values;
	char labels[3][NETWORKS][100];
	ebb_series gradient[NETWORKS], loss[2 * NETWORKS], slope[NETWORKS], weight[NETWORKS];
	ebb_panel panels[4];
	char title[160], subtitle[200];
	ebb_figure figure;
} curves;
/* False without memory. */
bool curves_new(curves *c, const run *r, const settings *s, const ebb_dataset *data);
void curves_free(curves *c);
/* Formats x as "0.22" or "7.9×10¹⁴". */
void number_text(char *buffer, size_t size, double x);

/* ---- report.c ---- */

/* Writes the figure, the CSV files and the page to s->out.  False with a message on stderr. */
bool write_report(const run *r, const settings *s, const ebb_dataset *data);

#endif
