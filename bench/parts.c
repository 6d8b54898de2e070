/*
 * parts - the cost of a part of a tensor, by the number of parts.
 *
 *   parts                    8,000 rows of 256 floats, each squared and summed, as the rows of 16
 *                            tensors and of one tensor: median microseconds per row, one thread
 *   parts --qkv              the copies that a transformer makes to split a product into q, k and v
 *
 * The gradients of all parts of a tensor accumulate in one buffer, and the time per part must not
 * grow with their number.  16 tensors and one tensor record the same ops on equal amounts of
 * memory, so that caches make no difference.  The time of 500 rows alone, which stay in the
 * caches, is printed for comparison.
 */
#include "bench.h"
#include "demos/cli.h"

#include <ebb.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 256, FEW = 500, MANY = 8000, MOST = MANY / FEW, ROUNDS = 15 };

/* ---- Time per part --------------------------------------------------------------------------- */

typedef enum path { SPLIT, SLICE, SELECT, EMBED, PATHS } path;
static const char *const path_names[] = {"split", "slice", "index_select", "embedding"};

typedef struct costs {
	double forward, sweep; /* microseconds per part */
} costs;

/* Takes n rows of x, each as [1,WIDTH]; false if the tape has failed. */
static bool take_rows(ebb_tape *t, path w, ebb_tensor *x, int n, ebb_tensor **part)
{
	if (w == SPLIT)
		return ebb_split(t, x, 0, n, NULL, part);
	for (int64_t k = 0; k < n; k++) {
		ebb_tensor *index =
			w == SLICE ? NULL : ebb_from_i64(t, EBB_SHAPE(1), (int64_t[]){k});

		part[k] = w == SLICE    ? ebb_slice(t, x, 0, k, k + 1, 1)
		          : w == SELECT ? ebb_index_select(t, x, 0, index)
		                        : ebb_embedding(t, index, x);
	}
	return !ebb_failed(t);
}

/* One forward and one backward pass over the rows of some tensors [n,WIDTH]. */
static bool step(ebb_tape *t, path w, int tensors, ebb_tensor **persistent, int n,
	ebb_tensor **part, costs *c)
{
	int total = tensors * n;
	double t0 = cli_now(), t1;

	for (int i = 0; i < tensors; i++)
		if (!take_rows(t, w, ebb_variable(t, persistent[i]), n, part + i * n))
			break;
	for (int k = 0; k < total; k++)
		part[k] = ebb_sum(t, ebb_square(t, part[k]));
	part[0] = ebb_sum(t, ebb_stack(t, total, part, 0));
	t1 = cli_now();
	ebb_backward(t, part[0]);
	*c = (costs){(t1 - t0) * 1e6 / total, (cli_now() - t1) * 1e6 / total};
	if (ebb_failed(t)) {
		fprintf(stderr, "parts: %s\n", ebb_error_message(t));
		return false;
	}
	ebb_tape_reset(t);
	return true;
}

typedef struct setting {
	ebb_tape *t;
	ebb_tensor *persistent[MOST], *part[MANY];
	double forward[ROUNDS], sweep[ROUNDS];
} setting;

static bool measure(path w, int tensors, int n, costs *c)
{
	setting *s = calloc(1, sizeof *s);
	bool ok = s != NULL;

	if (!ok)
		return false;
	s->t = ebb_tape_new();
	for (int i = 0; ok && i < tensors; i++) {
		s->persistent[i] = ebb_tensor_new(EBB_F32, EBB_SHAPE(n, WIDTH), false, NULL);
		ok = s->persistent[i] && ebb_init_fill(s->persistent[i], &EBB_INIT(EBB_INIT_NORMAL),
						 1, (uint64_t)i, NULL);
	}
	/* The first step is not measured: it allocates memory from the system. */
	for (int i = -1; ok && i < ROUNDS; i++) {
		ok = step(s->t, w, tensors, s->persistent, n, s->part, c);
		if (i >= 0) {
			s->forward[i] = c->forward;
			s->sweep[i] = c->sweep;
		}
	}
	*c = (costs){bench_median(s->forward, ROUNDS), bench_median(s->sweep, ROUNDS)};
	ebb_tape_free(s->t);
	for (int i = 0; i < tensors; i++)
		ebb_tensor_free(s->persistent[i]);
	free(s);
	return ok;
}

static int time_parts(void)
{
	printf("microseconds per part, a row of %d floats; columns: tensors x parts; one thread, "
	       "medians of %d\n",
		WIDTH, ROUNDS);
	printf("%-14s %12s %12s %12s %8s\n", "", "1 x 500", "16 x 500", "1 x 8000", "ratio");
	for (path w = 0; w < PATHS; w++) {
		costs alone, few, many;

		if (!measure(w, 1, FEW, &alone) || !measure(w, MOST, FEW, &few) ||
			!measure(w, 1, MANY, &many))
			return 1;
		printf("%-14s %12.3f %12.3f %12.3f %8.2f   backward\n", path_names[w], alone.sweep,
			few.sweep, many.sweep, many.sweep / few.sweep);
		printf("%-14s %12.3f %12.3f %12.3f %8.2f   forward and backward\n", "",
			alone.forward + alone.sweep, few.forward + few.sweep,
			many.forward + many.sweep,
			(many.forward + many.sweep) / (few.forward + few.sweep));
	}
	return 0;
}

/* ---- Copies of q, k and v -------------------------------------------------------------------- */

enum { BATCH = 2, LENGTH = 16, FEATURES = 32, HEADS = 4 };

static void show_copy(void *ctx, const ebb_run *run)
{
	const char *const *when = ctx;
	char shape[240];

	if (!strcmp(run->op, "dense") || !strcmp(run->op, "copy") || !strcmp(run->op, "slice_grad"))
		printf("  %s: %s, %s%s%s\n", *when, run->op,
			ebb_describe(run->y, shape, sizeof shape),
			run->gradient_of ? ", in the gradient of " : "",
			run->gradient_of ? run->gradient_of : "");
}

/* [N,L,E] -> [N,L,H,E/H] */
static ebb_tensor *in_heads(ebb_tape *t, ebb_tensor *x, int64_t heads)
{
	return ebb_reshape(
		t, x, EBB_SHAPE(ebb_size(x, 0), ebb_size(x, 1), heads, ebb_size(x, 2) / heads));
}

/* Attention of a product [N,L,3E], which is split into q, k and v before or after it is split into
 * heads. */
static ebb_tensor *attend(ebb_tape *t, ebb_tensor *product, bool heads_first)
{
	ebb_tensor *part[3] = {0};

	if (heads_first)
		product = in_heads(t, product, (int64_t)3 * HEADS);
	ebb_split(t, product, 2, 3, NULL, part);
	for (int k = 0; k < 3; k++)
		part[k] =
			ebb_transpose(t, heads_first ? part[k] : in_heads(t, part[k], HEADS), 1, 2);
	return ebb_attention(t, part[0], part[1], part[2]);
}

static int list_copies(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_linear product = ebb_linear_new(p, "in_proj", FEATURES, 3 * FEATURES);
	const char *when;
	ebb_observer o = {.ctx = &when, .ran = show_copy};

	ebb_observe(t, &o);
	for (int heads_first = 0; heads_first < 2; heads_first++) {
		ebb_tensor *x = ebb_randn(t, EBB_SHAPE(BATCH, LENGTH, FEATURES)), *y;

		printf("q, k and v of a product [%d,%d,%d], %s:\n", BATCH, LENGTH, 3 * FEATURES,
			heads_first ? "cut into heads, then split" : "split, then cut into heads");
		when = "forward";
		y = attend(t, ebb_linear_forward(t, &product, x), heads_first);
		when = "backward";
		ebb_backward(t, ebb_sum(t, ebb_square(t, y)));
		if (!ebb_ok(t, p))
			return fprintf(stderr, "parts: %s\n", ebb_first_error(t, p)->message), 1;
		ebb_tape_reset(t);
	}
	ebb_tape_free(t);
	ebb_params_free(p);
	return 0;
}

int main(int argc, char **argv)
{
	bool qkv = argc == 2 && !strcmp(argv[1], "--qkv");

	cli_begin();
	if (argc > 1 && !qkv) {
		fprintf(stderr, "usage: parts [--qkv]\n");
		return 2;
	}
	cli_threads("1");
	return qkv ? list_copies() : time_parts();
}
