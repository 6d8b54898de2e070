/* The memory that a training loop holds and allocates. */
#include "tensor/memory.h"
#include "tests/support/sanitized.h"
#include "tests/support/support.h"

#include <stdatomic.h>
#include <stdlib.h>

/* ---- The C library's allocator, counted, for allocations that bypass the hook -------- */

static atomic_long system_calls;

#if defined(__GLIBC__) && !SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
	atomic_fetch_add(&system_calls, 1);
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	atomic_fetch_add(&system_calls, 1);
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	atomic_fetch_add(&system_calls, 1);
	return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	atomic_fetch_add(&system_calls, 1);
	return __libc_memalign(alignment, size);
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
	atomic_fetch_add(&system_calls, 1);
	*p = __libc_memalign(alignment, size);
	return *p ? 0 : 12;
}
#endif

START_TEST(the_lenet_loop_allocates_in_its_first_step_only)
{
	counting_allocator a;
	ebb_dataset *data;
	ebb_loader *loader;
	ebb_params *p;
	ebb_optim *opt;
	ebb_tape *t;
	ebb_batch batch;
	lenet net;
	int64_t hook = 0, steps = 0;
	long direct = 0, direct_at_end;
	double last = 0;

	counting_allocator_install(&a);
	data = ebb_digits(64, 1, NULL);
	loader = ebb_loader_new(.data = data, .batch = 16, .shuffle = true, .seed = 1);
	p = ebb_params_new(1);
	net = lenet_new(p);
	opt = ebb_sgd(p, .lr = 0.05, .momentum = 0.9, .weight_decay = 5e-4);
	t = ebb_tape_new();
	ck_assert(data && loader && opt && t);
	for (int epoch = 0; epoch < 5; epoch++) {
		while (ebb_loader_next(loader, &batch)) {
			ebb_tensor *loss = ebb_cross_entropy(
				t, lenet_forward(t, &net, batch.images), batch.labels);

			last = ebb_item(loss);
			ebb_params_zero_grad(p);
			ebb_backward(t, loss);
			ebb_optim_step(opt);
			(ebb_tape_reset)(t); /* not the macro: its check allocates */
			if (steps++ == 0) {
				hook = a.calls;
				direct = atomic_load(&system_calls);
			}
		}
	}
	direct_at_end = atomic_load(&system_calls); /* before Check allocates */
	ck_assert_int_eq(a.calls, hook);
	ck_assert_int_eq(direct_at_end, direct);
	assert_healthy(t);
	ck_assert_int_eq(steps, 20);
	ck_assert(last < 2.4);
	ebb_tape_free(t);
	ebb_optim_free(opt);
	ebb_params_free(p);
	ebb_loader_free(loader);
	ebb_dataset_free(data);
	ck_assert_int_eq(a.live, 0);
	ck_assert_int_eq(a.wrong, 0);
	counting_allocator_remove();
}
END_TEST

/* ---- A deep residual net ------------------------------------------------------------ */

enum { BLOCKS = 50, CHANNELS = 8, SIDE = 32, IMAGES = 4 };

typedef enum { PLAIN, NORMALISED, FUSED } net_kind;

typedef struct residual {
	ebb_conv conv[2 * BLOCKS];
	ebb_bn bn[2 * BLOCKS];
	net_kind kind;
} residual;

/* Releases x and returns y. */
static ebb_tensor *instead(ebb_tape *t, ebb_tensor *x, ebb_tensor *y)
{
	ebb_release(t, x);
	return y;
}

static ebb_tensor *block(ebb_tape *t, const residual *net, int i, ebb_tensor *x)
{
	ebb_tensor *h = ebb_conv_forward(t, &net->conv[2 * i], x);

	if (net->kind == FUSED) {
		h = instead(t, h, ebb_bn_relu_forward(t, &net->bn[2 * i], h, NULL));
		h = instead(t, h, ebb_conv_forward(t, &net->conv[2 * i + 1], h));
		return instead(t, h, ebb_bn_relu_forward(t, &net->bn[2 * i + 1], h, x));
	}
	if (net->kind == NORMALISED)
		h = instead(t, h, ebb_bn_forward(t, &net->bn[2 * i], h));
	h = instead(t, h, ebb_relu(t, h));
	h = instead(t, h, ebb_conv_forward(t, &net->conv[2 * i + 1], h));
	if (net->kind == NORMALISED)
		h = instead(t, h, ebb_bn_forward(t, &net->bn[2 * i + 1], h));
	h = instead(t, h, ebb_add(t, x, h));
	return ebb_relu(t, h);
}

static ebb_tensor *forward(ebb_tape *t, const residual *net, ebb_tensor *x)
{
	ebb_tensor *y = ebb_dense(t, x, EBB_CHANNELS_LAST);

	for (int i = 0; i < BLOCKS; i++) {
		char name[32];

		snprintf(name, sizeof name, "block%d", i);
		ebb_scope_begin(t, name);
		y = instead(t, y, ebb_scope_end(t, block(t, net, i, y)));
	}
	return y;
}

static void check_peak(net_kind kind)
{
	static residual net;
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(IMAGES, CHANNELS, SIDE, SIDE), 1), *y;
	double activation = 4.0 * IMAGES * CHANNELS * SIDE * SIDE, reads;

	net.kind = kind;
	for (int i = 0; i < 2 * BLOCKS; i++) {
		char name[32];

		snprintf(name, sizeof name, "conv%d", i);
		net.conv[i] = ebb_conv_new(p, name, CHANNELS, CHANNELS, 3, .pad = 1,
			.no_bias = true, .init = EBB_INIT(EBB_INIT_KAIMING_NORMAL, .gain = 0.1));
		snprintf(name, sizeof name, "bn%d", i);
		if (kind != PLAIN)
			net.bn[i] = ebb_bn_new(p, name, CHANNELS);
	}
	ck_assert_ptr_null(ebb_params_error(p));

	ebb_set_recording(t, false);
	ebb_set_training(t, false);
	y = forward(t, &net, x);
	assert_healthy(t);
	ck_assert_ptr_nonnull(y);
	ck_assert_msg((double)ebb_memory_of(t).peak <= 4 * activation,
		"no-grad mode holds %.2f activations", (double)ebb_memory_of(t).peak / activation);
	ebb_tape_reset(t);

	/* The gradients of a block read the inputs of both convolutions (which those of relu read,
	 * too).  With batch norm they also read the outputs of both convolutions.  The fused batch
	 * norm and relu recompute the input of the second convolution. */
	reads = BLOCKS * (kind == FUSED ? 3 : kind == NORMALISED ? 4 : 2);
	ebb_set_recording(t, true);
	ebb_set_training(t, true);
	ebb_memory_reset_peak(t);
	ck_assert(ebb_backward(t, ebb_mean(t, forward(t, &net, x))));
	ck_assert_msg((double)ebb_memory_of(t).peak <= (reads + 6) * activation,
		"training holds %.2f activations, and its gradients read %.0f",
		(double)ebb_memory_of(t).peak / activation, reads);
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
}

START_TEST(a_deep_net_holds_only_what_its_gradients_read)
{
	check_peak(PLAIN);
	check_peak(NORMALISED);
	check_peak(FUSED);
}
END_TEST

/* The gradients of convolutions followed by batch norm and relu, with handles kept or released. */
static uint64_t gradients(bool keep, size_t *peak)
{
	enum { DEPTH = 6, WIDTH = 16 };
	ebb_params *p = ebb_params_new(1);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(2, WIDTH, SIDE, SIDE), 1), *y = x;
	uint64_t hash;

	for (int i = 0; i < DEPTH; i++) {
		ebb_conv conv;
		ebb_bn bn;
		ebb_tensor *h;
		char name[32];

		snprintf(name, sizeof name, "conv%d", i);
		conv = ebb_conv_new(p, name, WIDTH, WIDTH, 3, .pad = 1, .no_bias = true);
		snprintf(name, sizeof name, "bn%d", i);
		bn = ebb_bn_new(p, name, WIDTH);
		h = ebb_conv_forward(t, &conv, y);
		if (!keep && i)
			ebb_release(t, y);
		y = ebb_bn_relu_forward(t, &bn, h, NULL);
		if (!keep)
			ebb_release(t, h);
	}
	ck_assert(ebb_backward(t, ebb_mean(t, ebb_square(t, y))));
	hash = grads_hash(p);
	*peak = ebb_memory_of(t).peak;
	ebb_tape_free(t);
	ebb_params_free(p);
	ebb_tensor_free(x);
	return hash;
}

START_TEST(recomputed_results_give_the_same_gradients)
{
	size_t kept, forgotten;

	ck_assert(gradients(true, &kept) == gradients(false, &forgotten));
	ck_assert_uint_lt(forgotten, kept);
}
END_TEST

START_TEST(a_rewind_frees_the_memory_of_an_inner_loop)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(1000))), *y = ebb_exp(t, x);
	size_t in_use = ebb_memory_of(t).in_use;
	int64_t nodes = ebb_memory_of(t).nodes;

	for (int i = 0; i < 100; i++) {
		ebb_mark mark = ebb_tape_mark(t);

		for (int k = 0; k < 10; k++)
			ebb_sin(t, ebb_mul(t, y, y));
		ebb_rewind(t, mark);
	}
	assert_healthy(t);
	ck_assert_int_eq(ebb_memory_of(t).nodes, nodes);
	ck_assert_uint_eq(ebb_memory_of(t).in_use, in_use);
	ck_assert(ebb_backward(t, ebb_sum(t, y)));
	ebb_tape_free(t);
}
END_TEST

/* ---- Many shapes --------------------------------------------------------------------- */

/* Branches of several widths, concatenated; the images shrink and the channels grow. */
static ebb_tensor *inception(ebb_tape *t, const ebb_conv *branch, ebb_tensor *x)
{
	ebb_tensor *y[3];

	ebb_scope_begin(t, "inception");
	for (int i = 0; i < 3; i++)
		y[i] = ebb_relu(t, ebb_conv_forward(t, &branch[i], x));
	x = ebb_concat(t, 3, y, 1);
	return ebb_scope_end(t, ebb_maxpool2d(t, x, .kernel = 3, .stride = 2, .ceil_mode = true));
}

START_TEST(many_shapes_reuse_their_memory)
{
	enum { MODULES = 4 };
	counting_allocator a;
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(4, 3, 75, 75), 1);
	ebb_conv branch[MODULES][3];
	int64_t calls = 0, in = 3;
	size_t reserved = 0, peak = 0;
	ebb_params *p;
	ebb_tape *t;

	counting_allocator_install(&a);
	p = ebb_params_new(1);
	t = ebb_tape_new();
	for (int m = 0; m < MODULES; m++) {
		int64_t out = 0;

		for (int i = 0; i < 3; i++) {
			int64_t width = (5 + 4 * m) * (i + 1);
			char name[32];

			snprintf(name, sizeof name, "module%d.%d", m, i);
			branch[m][i] = ebb_conv_new(p, name, in, width, 2 * i + 1, .pad = i);
			out += width;
		}
		in = out;
	}
	for (int step = 0; step < 4; step++) {
		ebb_tensor *y = x;

		for (int m = 0; m < MODULES; m++)
			y = instead(t, y, inception(t, branch[m], y));
		ebb_params_zero_grad(p);
		ck_assert(ebb_backward(t, ebb_mean(t, ebb_square(t, y))));
		ebb_tape_reset(t);
		if (step == 0) {
			calls = a.calls;
			reserved = ebb_memory_of(t).reserved;
			peak = ebb_memory_of(t).peak;
		}
		ck_assert_int_eq(a.calls, calls);
		ck_assert_uint_eq(ebb_memory_of(t).reserved, reserved);
		ck_assert_uint_eq(ebb_memory_of(t).peak, peak);
		ck_assert_uint_eq(ebb_memory_of(t).in_use, 0);
	}
	/* Each region is half as large as all before it, and little memory is lost to
	 * fragmentation. */
	ck_assert_msg(reserved <= 2 * peak + 8 * 1024 * 1024, "%zu bytes for a peak of %zu",
		reserved, peak);
	ebb_tape_free(t);
	ebb_params_free(p);
	ck_assert_int_eq(a.live, 0);
	counting_allocator_remove();
	ebb_tensor_free(x);
}
END_TEST

/* Memory freed by a tensor of one size serves all other sizes: a hundred sizes take no more memory
 * than the largest. */
START_TEST(freed_blocks_serve_other_sizes)
{
	ebb_tape *t = ebb_tape_new();
	size_t reserved;

	ebb_release(t, ebb_zeros(t, EBB_SHAPE(1000000)));
	reserved = ebb_memory_of(t).reserved;
	for (int i = 1; i < 100; i++) {
		ebb_tensor *low = ebb_full(t, EBB_SHAPE(16400 + i * 4567), i);
		ebb_tensor *mid = ebb_full(t, EBB_SHAPE(17000 + i), -i);
		ebb_tensor *top = ebb_full(t, EBB_SHAPE(16400 + (100 - i) * 4567), i);

		/* The blocks are freed in three different orders. */
		ebb_release(t, i % 3 == 0 ? low : i % 3 == 1 ? mid : top);
		ebb_release(t, i % 3 == 0 ? top : i % 3 == 1 ? low : mid);
		ck_assert(ebb_at(i % 3 == 0    ? mid
				  : i % 3 == 1 ? top
					       : low,
				  4000) == (i % 3 == 0 ? -i : i));
		ebb_release(t, i % 3 == 0 ? mid : i % 3 == 1 ? top : low);
		ck_assert_uint_eq(ebb_memory_of(t).in_use, 0);
	}
	assert_healthy(t);
	ck_assert_uint_eq(ebb_memory_of(t).reserved, reserved);
	ebb_tape_free(t);
}
END_TEST

/* Blocks of a half and of quarters fit exactly into a freed block, unless there are red zones
 * between blocks. */
START_TEST(smaller_blocks_fit_into_a_freed_one)
{
	enum { WHOLE = 56 * 56 * 64 };
	ebb_tape *t = ebb_tape_new();

	for (int parts = 2; !EBB_REDZONE && parts <= 8; parts *= 2) {
		ebb_tensor *whole = ebb_full(t, EBB_SHAPE(WHOLE), 1),
			   *next = ebb_full(t, EBB_SHAPE(WHOLE), 2);
		const char *place = ebb_data(whole);

		ck_assert(place < (const char *)ebb_data(next));
		ebb_release(t, whole);
		for (int i = 0; i < parts; i++) {
			const char *part = ebb_data(ebb_full(t, EBB_SHAPE(WHOLE / parts), 3));

			ck_assert(part >= place && part < (const char *)ebb_data(next));
		}
		ck_assert_double_eq(ebb_at(next, 0), 2);
		ebb_tape_reset(t);
	}
	assert_healthy(t);
	ebb_tape_free(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("memory");
	TCase *c = tcase_create("loops");

	tcase_add_checked_fixture(c, debug_off, debug_as_before);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, the_lenet_loop_allocates_in_its_first_step_only);
	tcase_add_test(c, a_deep_net_holds_only_what_its_gradients_read);
	tcase_add_test(c, recomputed_results_give_the_same_gradients);
	tcase_add_test(c, a_rewind_frees_the_memory_of_an_inner_loop);
	tcase_add_test(c, many_shapes_reuse_their_memory);
	tcase_add_test(c, freed_blocks_serve_other_sizes);
	tcase_add_test(c, smaller_blocks_fit_into_a_freed_one);
	suite_add_tcase(s, c);
	return run_suite(s);
}
