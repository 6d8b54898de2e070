/* Random programs have the same gradient by every method, with and without dropped values. */
#include "tests/support/support.h"

#include <math.h>

enum { STEPS = 40, LEAVES = 3, ROWS = 3, COLS = 4 };

typedef struct run {
	uint64_t seed, random;
	bool scopes, releases; /* values are dropped by scopes, by ebb_release */
	bool smooth;           /* without detach, which central differences cannot see */
} run;

static uint64_t draw(run *r, uint64_t n)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 7;
	r->random ^= r->random << 17;
	return (r->random >> 11) % n;
}

/* One op of a program; its values stay between -1 and 1, so that no program overflows. */
static ebb_tensor *one_step(ebb_tape *t, uint64_t op, ebb_tensor *a, ebb_tensor *b)
{
	switch (op) {
	case 0:
		return ebb_tanh(t, ebb_add(t, a, b));
	case 1:
		return ebb_mul(t, a, b);
	case 2:
		return ebb_sub(t, ebb_mul(t, a, a), ebb_mul_scalar(t, b, 0.5));
	case 3:
		return ebb_sin(t, a);
	case 4: /* views */
		return ebb_reshape(t,
			ebb_transpose(t, ebb_reshape(t, a, EBB_SHAPE(COLS, ROWS)), 0, 1),
			EBB_SHAPE(ROWS, COLS));
	case 5: /* broadcasting */
		return ebb_tanh(t, ebb_mul(t, a, ebb_sum(t, b, EBB_AXES(1), .keepdim = true)));
	case 6:
		return ebb_slice(t, ebb_concat(t, 2, (ebb_tensor *[]){a, b}, 0), 0, 1, 1 + ROWS, 1);
	case 7:
		return ebb_softmax(t, ebb_add(t, a, a), 1);
	case 8:
		return ebb_tanh(t, ebb_matmul(t, a, ebb_matmul(t, ebb_transpose(t, b, 0, 1), a)));
	case 9:
		return ebb_mul(t, ebb_detach(t, a), b);
	case 10:
		return ebb_expand(
			t, ebb_mean(t, a, EBB_AXES(0), .keepdim = true), EBB_SHAPE(ROWS, COLS));
	default: /* more inputs than .reads has entries */
		return ebb_mean(t,
			ebb_stack(t, 10, (ebb_tensor *[]){a, b, a, b, a, a, b, a, b, b}, 0),
			EBB_AXES(0));
	}
}

static ebb_tensor *program(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	run *r = ctx;
	ebb_tensor *v[LEAVES + STEPS], *y;
	int n = LEAVES;

	r->random = r->seed * 0x9e3779b97f4a7c15u + 1;
	for (int k = 0; k < LEAVES; k++)
		v[k] = x[k];
	for (int step = 0; step < STEPS; step++, n++) {
		/* One of the eight newest values. */
		int far = n < 8 ? n : 8;
		ebb_tensor *a = v[n - 1 - (int)draw(r, (uint64_t)far)];
		ebb_tensor *b = v[n - 1 - (int)draw(r, (uint64_t)far)];
		uint64_t op = draw(r, 12);

		if (r->smooth && op == 9)
			op = 1;

		if (r->scopes)
			ebb_scope_begin(t, step % 2 ? "odd" : "even");
		v[n] = one_step(t, op, a, b);
		if (r->scopes)
			ebb_scope_end(t, v[n]);
		if (r->releases && n - 8 >= LEAVES)
			ebb_release(t, v[n - 8]);
	}
	y = ebb_add(t, v[n - 1], ebb_add(t, v[n - 2], v[n - 3]));
	return ebb_sum(t, ebb_add(t, y, ebb_mul_scalar(t, ebb_add(t, x[0], x[1]), 0.1)));
}

static void count_gradient(void *ctx, const ebb_node *node, const ebb_tensor *g)
{
	(void)node;
	++*(int *)ctx;
	ck_assert(!isnan(ebb_at(g, ebb_count(g) - 1)));
}

/* The gradients of the program by one of several methods (bits of an integer), as persistent
 * copies. */
static void gradients(
	ebb_tape *t, ebb_tensor **leaves, uint64_t seed, int variant, ebb_tensor **out)
{
	run r = {.seed = seed, .scopes = variant & 1, .releases = variant & 2};
	ebb_tensor *x[LEAVES], *g[LEAVES], *y;
	int seen = 0;
	ebb_observer o = {.ctx = &seen, .gradient = count_gradient};

	for (int k = 0; k < LEAVES; k++)
		x[k] = k == 2 ? leaves[k] : ebb_variable(t, leaves[k]);
	if (variant & 4)
		ebb_observe(t, &o);
	y = program(t, x, &r);
	ck_assert_msg(!ebb_failed(t), "seed %d: %s", (int)seed, ebb_error_message(t));
	if (variant & 8) {
		bool retain = variant & 16;

		ebb_zero_grad(leaves[2]);
		ck_assert_msg(ebb_backward(t, y, .retain = retain), "%s", ebb_error_message(t));
		if (retain) { /* accumulated twice, then halved */
			ck_assert(ebb_backward(t, y));
			for (int k = 0; k < LEAVES; k++)
				g[k] = ebb_grad_of(x[k]) ? ebb_mul_scalar(t, ebb_grad_of(x[k]), 0.5)
				                         : NULL;
		} else {
			for (int k = 0; k < LEAVES; k++)
				g[k] = ebb_grad_of(x[k]);
		}
	} else {
		ck_assert_msg(ebb_grad(t, y, LEAVES, x, g, .create_graph = variant & 16), "%s",
			ebb_error_message(t));
	}
	for (int k = 0; k < LEAVES; k++) {
		out[k] = g[k] ? ebb_detach_copy(g[k])
		              : ebb_tensor_new(EBB_F64, EBB_SHAPE(ROWS, COLS), false, NULL);
		ck_assert_ptr_nonnull(out[k]);
	}
	ck_assert((seen > 0) == ((variant & 4) != 0));
	ebb_unobserve(t, &o);
	ebb_tape_reset(t);
	ck_assert_uint_eq(ebb_memory_of(t).in_use, 0);
}

START_TEST(every_method_computes_the_same_gradient)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *leaves[LEAVES], *plain[LEAVES], *other[LEAVES];

	ebb_set_default_dtype(t, EBB_F64);
	for (int k = 0; k < LEAVES; k++)
		leaves[k] = persistent_random(EBB_F64, EBB_SHAPE(ROWS, COLS), (uint64_t)k + 1);
	ebb_set_requires_grad(leaves[2], true);
	for (uint64_t seed = 1; seed <= 40; seed++) {
		gradients(t, leaves, seed, 0, plain);
		for (int variant = 1; variant < 32; variant++) {
			gradients(t, leaves, seed, variant, other);
			for (int k = 0; k < LEAVES; k++) {
				ck_assert_msg(all_close(other[k], plain[k], 1e-13),
					"seed %d, method %d, leaf %d", (int)seed, variant, k);
				ebb_tensor_free(other[k]);
			}
		}
		for (int k = 0; k < LEAVES; k++)
			ebb_tensor_free(plain[k]);
	}
	ebb_tape_free(t);
	for (int k = 0; k < LEAVES; k++)
		ebb_tensor_free(leaves[k]);
}
END_TEST

START_TEST(random_programs_pass_gradcheck)
{
	ebb_tensor *leaves[LEAVES];

	for (int k = 0; k < LEAVES; k++)
		leaves[k] = persistent_random(EBB_F64, EBB_SHAPE(ROWS, COLS), (uint64_t)k + 1);
	for (uint64_t seed = 1; seed <= 12; seed++) {
		run r = {.seed = seed, .scopes = true, .releases = true, .smooth = true};
		ebb_error e = {0};

		ck_assert_msg(ebb_gradcheck(program, &r, LEAVES, (const ebb_tensor *const *)leaves,
				      .rtol = 1e-4, .atol = 1e-6, .second = true, .error = &e),
			"seed %d: %s", (int)seed, e.message);
	}
	for (int k = 0; k < LEAVES; k++)
		ebb_tensor_free(leaves[k]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("autograd/random");
	TCase *c = tcase_create("random");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, every_method_computes_the_same_gradient);
	tcase_add_test(c, random_programs_pass_gradcheck);
	suite_add_tcase(s, c);
	return run_suite(s);
}
