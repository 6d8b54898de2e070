/* tanh.h - the network of golden_pgd.py, and a tape for each test. */
#ifndef EBB_TESTS_EXPLAIN_TANH_H
#define EBB_TESTS_EXPLAIN_TANH_H

#include "tests/support/support.h"

static ebb_tape *tape;

static void begin(void)
{
	tape = ebb_tape_new();
	ebb_set_default_dtype(tape, EBB_F64);
}

static void finish(void)
{
	ebb_tape_free(tape);
	tape = NULL;
}

/* ---- Compared with PyTorch (golden_pgd.py) --------------------------------------------------- */

enum { TENSORS = 8 };
typedef struct tanh_network {
	ebb_archive *file;
	ebb_tensor *w1, *b1, *w2, *b2, *x, *start, *labels, *targets;
} tanh_network;

static tanh_network network_open(void)
{
	static const char *const names[TENSORS] = {
		"w1", "b1", "w2", "b2", "x", "start", "labels", "targets"};
	ebb_error e = {0};
	tanh_network net = {.file = ebb_archive_read(VECTORS "/pgd.safetensors", .error = &e)};
	ebb_tensor **to[TENSORS] = {
		&net.w1, &net.b1, &net.w2, &net.b2, &net.x, &net.start, &net.labels, &net.targets};

	ck_assert_msg(net.file != NULL, "%s", e.message);
	for (int i = 0; i < TENSORS; i++) {
		*to[i] = ebb_archive_tensor(net.file, names[i], EBB_DEFAULT, &e);
		ck_assert_msg(*to[i] != NULL, "%s", e.message);
	}
	return net;
}

static void network_close(tanh_network *net)
{
	ebb_tensor *all[TENSORS] = {
		net->w1, net->b1, net->w2, net->b2, net->x, net->start, net->labels, net->targets};

	/* The tape may have used the tensors. */
	if (tape)
		ebb_tape_reset(tape);
	for (int i = 0; i < TENSORS; i++)
		ebb_tensor_free(all[i]);
	ebb_archive_free(net->file);
}

static ebb_tensor *scores(ebb_tape *t, ebb_tensor *x, void *ctx)
{
	const tanh_network *net = ctx;

	x = ebb_tanh(t, ebb_linear(t, ebb_flatten(t, x), net->w1, net->b1));
	return ebb_linear(t, x, net->w2, net->b2);
}

#endif
