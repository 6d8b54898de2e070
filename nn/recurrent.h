/*
 * recurrent.h - recurrent cells: one call computes one time step, and the caller loops over the
 * sequence.
 *
 * A cell holds weight_ih [g*hidden,in], weight_hh [g*hidden,hidden], bias_ih and bias_hh [g*hidden]
 * (unless .no_bias) below its name.  The names, the order of the gates and the initial values are
 * PyTorch's: U(-1/sqrt(hidden), 1/sqrt(hidden)) for all.  NAME_new and NAME_forward behave as those
 * of the layers in nn.h.
 *
 * x is [..,in], and a state is [..,hidden] with x's leading sizes; a NULL state means zeros.  Other
 * shapes and types are an error that names the cell.  NAME_forward runs in a scope with the cell's
 * name.
 */
#ifndef EBB_RECURRENT_H
#define EBB_RECURRENT_H

#include "nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or max(.., 0) with .relu.  Elman 1990 */
typedef struct ebb_rnn_cell {
	const char *name;
	ebb_tensor *weight_ih, *weight_hh, *bias_ih, *bias_hh;
	bool relu;
} ebb_rnn_cell;
typedef struct ebb_rnn_cell_new_args {
	ebb_params *p;
	const char *name;
	int64_t in, hidden;
	bool no_bias, relu;
	const char *site;
} ebb_rnn_cell_new_args;
EBB_API ebb_rnn_cell ebb_rnn_cell_new(const ebb_rnn_cell_new_args *a);
EBB_API ebb_tensor *ebb_rnn_cell_forward(
	ebb_tape *t, const ebb_rnn_cell *l, ebb_tensor *x, ebb_tensor *h, const char *site);

typedef struct ebb_cell_new_args {
	ebb_params *p;
	const char *name;
	int64_t in, hidden;
	bool no_bias;
	const char *site;
} ebb_cell_new_args;

/* (i,f,g,o) = W_ih x + b_ih + W_hh h + b_hh; c' = sigmoid(f) c + sigmoid(i) tanh(g); h' =
 * sigmoid(o) tanh(c').  Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000.
 * ebb_lstm_cell_forward runs three scopes, "name.gates", "name.c" and "name", whose results are the
 * gates, c' and h', so that a probe observes the gradient of each.  On failure it returns a state
 * of NULLs. */
typedef struct ebb_lstm_cell {
	const char *name, *gates_name, *c_name;
	ebb_tensor *weight_ih, *weight_hh, *bias_ih, *bias_hh;
} ebb_lstm_cell;
typedef struct ebb_lstm_state {
	ebb_tensor *h, *c;
} ebb_lstm_state;
EBB_API ebb_lstm_cell ebb_lstm_cell_new(const ebb_cell_new_args *a);
EBB_API ebb_lstm_state ebb_lstm_cell_forward(
	ebb_tape *t, const ebb_lstm_cell *l, ebb_tensor *x, ebb_lstm_state s, const char *site);

/* r, z = sigmoid(W_ih x + b_ih + W_hh h + b_hh); n = tanh(W_ih x + b_ih + r (W_hh h + b_hh)); h' =
 * (1 - z) n + z h; the rows of the weights are r's, z's, n's.  Cho et al. 2014 */
typedef struct ebb_gru_cell {
	const char *name;
	ebb_tensor *weight_ih, *weight_hh, *bias_ih, *bias_hh;
} ebb_gru_cell;
EBB_API ebb_gru_cell ebb_gru_cell_new(const ebb_cell_new_args *a);
EBB_API ebb_tensor *ebb_gru_cell_forward(
	ebb_tape *t, const ebb_gru_cell *l, ebb_tensor *x, ebb_tensor *h, const char *site);

#define ebb_rnn_cell_new(...) EBB_CALL_ARGS(ebb_rnn_cell_new, ebb_rnn_cell_new_args, __VA_ARGS__)
#define ebb_rnn_cell_forward(...) EBB_CALL(ebb_rnn_cell_forward, __VA_ARGS__)
#define ebb_lstm_cell_new(...) EBB_CALL_ARGS(ebb_lstm_cell_new, ebb_cell_new_args, __VA_ARGS__)
#define ebb_lstm_cell_forward(...) EBB_CALL(ebb_lstm_cell_forward, __VA_ARGS__)
#define ebb_gru_cell_new(...) EBB_CALL_ARGS(ebb_gru_cell_new, ebb_cell_new_args, __VA_ARGS__)
#define ebb_gru_cell_forward(...) EBB_CALL(ebb_gru_cell_forward, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
