/* Windows of tokens and of series, as data sets of rows. */
#include "tests/support/support.h"

static ebb_tensor *counted(ebb_dtype dtype, int64_t n)
{
	ebb_tensor *x = ebb_tensor_new(dtype, EBB_SHAPE(n), false, NULL);

	for (int64_t i = 0; i < n; i++)
		if (dtype == EBB_U8)
			((uint8_t *)ebb_data_mutable(x))[i] = (uint8_t)(3 * i);
		else
			((int64_t *)ebb_data_mutable(x))[i] = 3 * i;
	return x;
}

START_TEST(windows_have_targets_shifted_by_one)
{
	for (int64_t n = 2; n < 14; n++)
		for (int64_t context = 1; context < n; context++)
			for (int64_t stride = 0; stride < 5; stride++) {
				ebb_dtype dtype = stride % 2 ? EBB_U8 : EBB_I64;
				ebb_tensor *x = counted(dtype, n);
				ebb_dataset *d = ebb_windows(x, context, .stride = stride);
				ebb_loader *l = ebb_loader_new(d, 3, .workers = n == 9);
				int64_t step = stride ? stride : context, s = 0;
				ebb_batch b;

				ebb_tensor_free(x);
				while (ebb_loader_next(l, &b)) {
					ck_assert(ebb_dtype_of(b.inputs) == EBB_I64 &&
						  ebb_dtype_of(b.targets) == EBB_I64 && !b.labels);
					ck_assert(ebb_size(b.inputs, 1) == context);
					for (int64_t k = 0; k < b.count; k++, s += step)
						for (int64_t j = 0; j < context; j++) {
							double in = ebb_at(
								       b.inputs, k * context + j),
							       out = ebb_at(
								       b.targets, k * context + j);

							ck_assert(in == (double)(3 * (s + j)));
							ck_assert(out == in + 3);
						}
				}
				/* The next window would not fit. */
				ck_assert_int_ge(s + context + 1, n + 1);
				ck_assert_int_lt(s - step + context, n);
				ck_assert_int_eq(s / step, d->count);
				ebb_loader_free(l);
				ebb_dataset_free(d);
			}
}
END_TEST

START_TEST(windows_of_a_series_keep_its_type)
{
	ebb_tensor *x = persistent_random(EBB_F64, EBB_SHAPE(9, 2, 3), 4);
	ebb_dataset *d = ebb_windows(x, 4, .stride = 1);
	ebb_loader *l = ebb_loader_new(d, 5);
	ebb_batch b;

	ck_assert(d->count == 5 && ebb_loader_next(l, &b));
	ck_assert(ebb_dtype_of(b.inputs) == EBB_F64 && ebb_ndim(b.inputs) == 4 &&
		  ebb_size(b.inputs, 1) == 4 && ebb_size(b.inputs, 3) == 3);
	for (int64_t k = 0; k < 5; k++)
		for (int64_t j = 0; j < 24; j++) {
			ck_assert(ebb_at(b.inputs, 24 * k + j) == ebb_at(x, 6 * k + j));
			ck_assert(ebb_at(b.targets, 24 * k + j) == ebb_at(x, 6 * k + 6 + j));
		}
	ebb_loader_free(l);
	ebb_dataset_free(d);
	ebb_tensor_free(x);
}
END_TEST

/* A model of the next character learns a short text, from a file to the most likely character. */
START_TEST(a_model_learns_which_character_follows)
{
	static const char text[] = "abcabcabcabcabcabcabcabc";
	ebb_params *p = ebb_params_new(1);
	ebb_optim *opt = ebb_adam(p, .lr = 0.1);
	ebb_tape *t = ebb_tape_new();
	ebb_vocabulary *v = NULL;
	ebb_batch b;

	make_temp_dir();
	ebb_tensor *tokens = ebb_tokens_read(write_temp("abc.txt", text, sizeof text - 1), &v);
	remove_temp_dir();
	ck_assert_int_eq(v->size, 3);
	ebb_dataset *d = ebb_windows(tokens, 4);
	ebb_tensor_free(tokens);
	ebb_loader *l = ebb_loader_new(d, 2, .shuffle = true);
	ebb_embedding_layer follows = ebb_embedding_new(p, "follows", 3, 3);
	for (int epoch = 0; epoch < 30; epoch++)
		while (ebb_loader_next(l, &b)) {
			ebb_tensor *y = ebb_embedding_forward(t, &follows, b.inputs);

			ebb_params_zero_grad(p);
			ebb_backward(t, ebb_cross_entropy(t, ebb_permute(t, y, EBB_AXES(0, 2, 1)),
						b.targets));
			ebb_optim_step(opt);
			ebb_tape_reset(t);
		}
	ck_assert_msg(ebb_ok(t, p, opt, l), "%s", ebb_first_error(t, p, opt, l)->message);
	for (int64_t k = 0; k < 3; k++)
		for (int64_t j = 0; j < 3; j++)
			ck_assert(ebb_at(follows.weight, 3 * k + (k + 1) % 3) >=
				  ebb_at(follows.weight, 3 * k + j));
	ebb_tape_free(t);
	ebb_loader_free(l);
	ebb_dataset_free(d);
	ebb_vocabulary_free(v);
	ebb_optim_free(opt);
	ebb_params_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-windows");
	TCase *c = tcase_create("windows");

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, windows_have_targets_shifted_by_one);
	tcase_add_test(c, windows_of_a_series_keep_its_type);
	tcase_add_test(c, a_model_learns_which_character_follows);
	return run_suite(s);
}
