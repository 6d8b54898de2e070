/*
 * recurrent.c - recurrent cells composed of ops: Elman network, LSTM and GRU.
 *
 * All gates of a cell are computed by one matrix product with x and one with h.
 */
#include <math.h>

#include "nn/internal.h"

/* The members that the three public cells share. */
typedef struct cell {
	const char *name;
	ebb_tensor *weight_ih, *weight_hh, *bias_ih, *bias_hh;
} cell;

/* ---- Making --------------------------------------------------------------------------------- */

/* A cell with the given number of gates; zeroed, with an error in the store, on failure. */
static cell cell_new(const ebb_cell_new_args *a, int gates, const char *who)
{
	cell l = {.name = ebb_params_name_of(a->p, who, a->name, a->site)};
	ebb_init init;
	ebb_params *p;

	if (!l.name)
		return (cell){0};
	if (a->in < 1 || a->hidden < 1 || a->hidden > INT64_MAX / gates) {
		ebb_params_fail(a->p, EBB_INVALID, a->site,
			"%s: \"%s\" from %lld to %lld: expected positive numbers", who, l.name,
			(long long)a->in, (long long)a->hidden);
		return (cell){0};
	}
	init = EBB_INIT(EBB_INIT_UNIFORM, .low = -1 / sqrt((double)a->hidden),
		.high = 1 / sqrt((double)a->hidden));
	p = ebb_params_sub(a->p, a->name);
	int64_t rows = gates * a->hidden;
	l.weight_ih = (ebb_params_add)(p, "weight_ih", EBB_SHAPE(rows, a->in), init, a->site);
	l.weight_hh = (ebb_params_add)(p, "weight_hh", EBB_SHAPE(rows, a->hidden), init, a->site);
	if (!a->no_bias) {
		l.bias_ih = (ebb_params_add)(p, "bias_ih", EBB_SHAPE(rows), init, a->site);
		l.bias_hh = (ebb_params_add)(p, "bias_hh", EBB_SHAPE(rows), init, a->site);
	}
	return ebb_params_error(a->p) ? (cell){0} : l;
}

ebb_rnn_cell(ebb_rnn_cell_new)(const ebb_rnn_cell_new_args *a)
{
	cell l =
		cell_new(&(ebb_cell_new_args){a->p, a->name, a->in, a->hidden, a->no_bias, a->site},
			1, "rnn_cell_new");

	return (ebb_rnn_cell){l.name, l.weight_ih, l.weight_hh, l.bias_ih, l.bias_hh, a->relu};
}

ebb_lstm_cell(ebb_lstm_cell_new)(const ebb_cell_new_args *a)
{
	cell l = cell_new(a, 4, "lstm_cell_new");
	ebb_params *p = l.name ? ebb_params_sub(a->p, a->name) : NULL;
	const char *gates = p ? ebb_params_full_name(p, "gates") : NULL;
	const char *c = p ? ebb_params_full_name(p, "c") : NULL;

	if (!gates || !c)
		return (ebb_lstm_cell){0};
	return (ebb_lstm_cell){l.name, gates, c, l.weight_ih, l.weight_hh, l.bias_ih, l.bias_hh};
}

ebb_gru_cell(ebb_gru_cell_new)(const ebb_cell_new_args *a)
{
	cell l = cell_new(a, 3, "gru_cell_new");

	return (ebb_gru_cell){l.name, l.weight_ih, l.weight_hh, l.bias_ih, l.bias_hh};
}

/* ---- Checking ------------------------------------------------------------------------------- */

enum { TEXT = 128 };

/* Checks that the cell was created and that x is [..,in] of the cell's type. */
static bool check_input(
	ebb_tape *t, const char *who, const cell *l, const ebb_tensor *x, const char *site)
{
	char text[TEXT];

	if (!l || !l->name || !l->weight_ih || !l->weight_hh) {
		ebb_fail(t, EBB_INVALID, site,
			"%s: the cell is %s: it was not created, or its parameter store failed",
			who, l ? "empty" : "NULL");
		return false;
	}
	if (!x) {
		ebb_fail(t, EBB_INVALID, site, "%s: x of \"%s\" is NULL", who, l->name);
		return false;
	}
	if (ebb_dtype_of(x) != ebb_dtype_of(l->weight_ih)) {
		ebb_fail(t, EBB_BAD_DTYPE, site, "%s: \"%s\" takes x of type %s, got %s", who,
			l->name, ebb_dtype_name(ebb_dtype_of(l->weight_ih)),
			ebb_describe(x, text, sizeof text));
		return false;
	}
	if (ebb_ndim(x) < 1 || ebb_size(x, -1) != ebb_size(l->weight_ih, 1)) {
		ebb_fail(t, EBB_BAD_SHAPE, site, "%s: \"%s\" takes x [..,%lld], got %s", who,
			l->name, (long long)ebb_size(l->weight_ih, 1),
			ebb_describe(x, text, sizeof text));
		return false;
	}
	return true;
}

/* Returns h after checking its shape and type against x's, or zeros if h is NULL. */
static ebb_tensor *state_for(ebb_tape *t, const char *who, const cell *l, const ebb_tensor *x,
	ebb_tensor *h, const char *what, const char *site)
{
	ebb_shape shape = ebb_shape_of(x);
	char text[TEXT], of_x[TEXT];
	bool fits;

	shape.dims[shape.ndim - 1] = ebb_size(l->weight_hh, 1);
	if (!h)
		return (ebb_cast)(t, (ebb_zeros)(t, shape, site), ebb_dtype_of(x), site);
	fits = ebb_ndim(h) == shape.ndim && ebb_dtype_of(h) == ebb_dtype_of(x);
	for (int i = 0; fits && i < shape.ndim; i++)
		fits = ebb_size(h, i) == shape.dims[i];
	if (fits)
		return h;
	return ebb_fail(t, ebb_dtype_of(h) == ebb_dtype_of(x) ? EBB_BAD_SHAPE : EBB_BAD_DTYPE, site,
		"%s: \"%s\" takes %s %s [..,%lld] with the leading sizes of x, got %s (x %s)", who,
		l->name, what, ebb_dtype_name(ebb_dtype_of(x)),
		(long long)ebb_size(l->weight_hh, 1), ebb_describe(h, text, sizeof text),
		ebb_describe(x, of_x, sizeof of_x));
}

/* ---- One step ------------------------------------------------------------------------------- */

static ebb_tensor *product(
	ebb_tape *t, ebb_tensor *x, ebb_tensor *weight, ebb_tensor *bias, const char *site)
{
	return ebb_linear_op(
		&(ebb_linear_args){.t = t, .x = x, .w = weight, .b = bias, .site = site});
}

/* W_ih x + b_ih + W_hh h + b_hh */
static ebb_tensor *products(
	ebb_tape *t, const cell *l, ebb_tensor *x, ebb_tensor *h, const char *site)
{
	ebb_tensor *of_x = product(t, x, l->weight_ih, l->bias_ih, site);

	return (ebb_add)(t, of_x, product(t, h, l->weight_hh, l->bias_hh, site), site);
}

/* Slices the gates [from,to) out of all, for a state of n numbers. */
static ebb_tensor *gates_of(
	ebb_tape *t, ebb_tensor *all, int64_t n, int from, int to, const char *site)
{
	return (ebb_slice)(t, all, -1, from * n, to * n, 1, site);
}

ebb_tensor *(ebb_rnn_cell_forward)(ebb_tape *t, const ebb_rnn_cell *l, ebb_tensor *x, ebb_tensor *h,
	const char *site)
{
	cell made =
		l ? (cell){l->name, l->weight_ih, l->weight_hh, l->bias_ih, l->bias_hh} : (cell){0};
	ebb_tensor *y;

	if (!check_input(t, "rnn_cell_forward", l ? &made : NULL, x, site))
		return NULL;
	(ebb_scope_begin)(t, l->name, site);
	h = state_for(t, "rnn_cell_forward", &made, x, h, "h", site);
	y = products(t, &made, x, h, site);
	return ebb_scope_end(t, l->relu ? (ebb_relu)(t, y, site) : (ebb_tanh)(t, y, site));
}

/* c' = sigmoid(f) c + sigmoid(i) tanh(g) */
static ebb_tensor *lstm_memory(
	ebb_tape *t, ebb_tensor *gates, ebb_tensor *c, int64_t n, const char *site)
{
	ebb_tensor *i = (ebb_sigmoid)(t, gates_of(t, gates, n, 0, 1, site), site);
	ebb_tensor *f = (ebb_sigmoid)(t, gates_of(t, gates, n, 1, 2, site), site);
	ebb_tensor *g = (ebb_tanh)(t, gates_of(t, gates, n, 2, 3, site), site);

	return (ebb_add)(t, (ebb_mul)(t, f, c, site), (ebb_mul)(t, i, g, site), site);
}

/* A scope keeps only the value that it ends with.  Three scopes, because gates, c' and h' are all
 * used later. */
ebb_lstm_state(ebb_lstm_cell_forward)(
	ebb_tape *t, const ebb_lstm_cell *l, ebb_tensor *x, ebb_lstm_state s, const char *site)
{
	static const char who[] = "lstm_cell_forward";
	cell made =
		l ? (cell){l->name, l->weight_ih, l->weight_hh, l->bias_ih, l->bias_hh} : (cell){0};
	ebb_tensor *gates, *o;
	int64_t n;

	if (!check_input(t, who, l ? &made : NULL, x, site))
		return (ebb_lstm_state){0};
	n = ebb_size(l->weight_hh, 1);
	(ebb_scope_begin)(t, l->gates_name, site);
	s.h = state_for(t, who, &made, x, s.h, "h", site);
	gates = ebb_scope_end(t, products(t, &made, x, s.h, site));
	(ebb_scope_begin)(t, l->c_name, site);
	s.c = state_for(t, who, &made, x, s.c, "c", site);
	s.c = ebb_scope_end(t, lstm_memory(t, gates, s.c, n, site));
	(ebb_scope_begin)(t, l->name, site);
	o = (ebb_sigmoid)(t, gates_of(t, gates, n, 3, 4, site), site);
	s.h = ebb_scope_end(t, (ebb_mul)(t, o, (ebb_tanh)(t, s.c, site), site));
	ebb_release(t, gates);
	return s.h ? s : (ebb_lstm_state){0};
}

ebb_tensor *(ebb_gru_cell_forward)(ebb_tape *t, const ebb_gru_cell *l, ebb_tensor *x, ebb_tensor *h,
	const char *site)
{
	cell made =
		l ? (cell){l->name, l->weight_ih, l->weight_hh, l->bias_ih, l->bias_hh} : (cell){0};
	ebb_tensor *of_x, *of_h, *rz, *r, *z, *candidate;
	int64_t n;

	if (!check_input(t, "gru_cell_forward", l ? &made : NULL, x, site))
		return NULL;
	n = ebb_size(l->weight_hh, 1);
	(ebb_scope_begin)(t, l->name, site);
	h = state_for(t, "gru_cell_forward", &made, x, h, "h", site);
	of_x = product(t, x, l->weight_ih, l->bias_ih, site);
	of_h = product(t, h, l->weight_hh, l->bias_hh, site);
	rz = (ebb_sigmoid)(t,
		(ebb_add)(t, gates_of(t, of_x, n, 0, 2, site), gates_of(t, of_h, n, 0, 2, site),
			site),
		site);
	r = gates_of(t, rz, n, 0, 1, site);
	z = gates_of(t, rz, n, 1, 2, site);
	/* r multiplies W_hh h + b_hh, with the bias (as PyTorch's GRU does). */
	candidate = (ebb_mul)(t, r, gates_of(t, of_h, n, 2, 3, site), site);
	candidate = (ebb_add)(t, gates_of(t, of_x, n, 2, 3, site), candidate, site);
	candidate = (ebb_tanh)(t, candidate, site);
	/* (1 - z) n + z h = n + z (h - n), which needs one multiplication less. */
	h = (ebb_mul)(t, z, (ebb_sub)(t, h, candidate, site), site);
	return ebb_scope_end(t, (ebb_add)(t, candidate, h, site));
}
