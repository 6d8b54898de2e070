/* Several tapes in several threads read one model at once. */
#include "tests/support/support.h"

#include <pthread.h>
#include <stdlib.h>

enum { TAPES = 3, BATCH = 8, PARAMS = 10, ROUNDS = 3 };

typedef struct worker {
	const lenet *net;
	ebb_params *p;
	uint64_t seed;
	ebb_tensor *gradient[PARAMS]; /* persistent copies */
	bool ok;
} worker;

/* Computes the gradients of the worker's own batch by ebb_grad, which does not write to the
 * store. */
static void *differentiate(void *arg)
{
	worker *w = arg;
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *images = persistent_random(EBB_F32, EBB_SHAPE(BATCH, 1, 28, 28), w->seed);
	ebb_tensor *x[PARAMS], *g[PARAMS];

	for (int i = 0; i < PARAMS; i++)
		x[i] = ebb_params_at(w->p, i);
	for (int round = 0; round < ROUNDS; round++) {
		ebb_tensor *labels =
			ebb_from_i64(t, EBB_SHAPE(BATCH), (int64_t[BATCH]){3, 1, 4, 1, 5, 9, 2, 6});
		ebb_tensor *loss = ebb_cross_entropy(t, lenet_forward(t, w->net, images), labels);

		w->ok = ebb_grad(t, loss, PARAMS, x, g);
		for (int i = 0; w->ok && round == ROUNDS - 1 && i < PARAMS; i++)
			w->gradient[i] = ebb_detach_copy(g[i]);
		ebb_tape_reset(t);
	}
	ebb_tape_free(t);
	ebb_tensor_free(images);
	return NULL;
}

START_TEST(threads_share_a_model)
{
	ebb_params *p = ebb_params_new(1);
	lenet net = lenet_new(p);
	worker alone[TAPES], together[TAPES];
	pthread_t thread[TAPES];

	ck_assert_int_eq(ebb_params_count(p), PARAMS);
	for (int k = 0; k < TAPES; k++) {
		alone[k] = together[k] = (worker){.net = &net, .p = p, .seed = (uint64_t)k};
		differentiate(&alone[k]);
	}
	for (int k = 0; k < TAPES; k++)
		ck_assert_int_eq(pthread_create(&thread[k], NULL, differentiate, &together[k]), 0);
	for (int k = 0; k < TAPES; k++)
		pthread_join(thread[k], NULL);
	for (int k = 0; k < TAPES; k++) {
		ck_assert(alone[k].ok && together[k].ok);
		for (int i = 0; i < PARAMS; i++) {
			ck_assert(all_same(together[k].gradient[i], alone[k].gradient[i]));
			ck_assert_ptr_null(ebb_grad_of(ebb_params_at(p, i)));
			ebb_tensor_free(alone[k].gradient[i]);
			ebb_tensor_free(together[k].gradient[i]);
		}
	}
	ebb_params_free(p);
}
END_TEST

/* The same tensor is a leaf of two tapes in one thread; each tape can be reset without the
 * other. */
START_TEST(one_tensor_is_a_leaf_of_two_tapes)
{
	ebb_tape *a = ebb_tape_new(), *b = ebb_tape_new();
	ebb_tensor *w = persistent_random(EBB_F64, EBB_SHAPE(4), 1), *ya, *yb;

	ebb_set_requires_grad(w, true);
	ya = ebb_sum(a, ebb_square(a, w));
	yb = ebb_sum(b, ebb_mul_scalar(b, w, 3));
	ck_assert(ebb_backward(a, ya));
	ebb_tape_free(a);
	ck_assert(ebb_backward(b, yb));
	for (int i = 0; i < 4; i++)
		ck_assert_double_eq_tol(ebb_at(ebb_grad_of(w), i), 2 * ebb_at(w, i) + 3, 1e-14);
	ebb_tape_free(b);
	ebb_tensor_free(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tapes");
	TCase *c = tcase_create("threads");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, threads_share_a_model);
	tcase_add_test(c, one_tensor_is_a_leaf_of_two_tapes);
	suite_add_tcase(s, c);
	return run_suite(s);
}
