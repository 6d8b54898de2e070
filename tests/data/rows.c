/* Data sets of rows: tables, and rows that a function fills. */
#include "tests/data/workers.h"

#include <math.h>
#include <string.h>

/* ---- Tables --------------------------------------------------------------------------------- */

/* Row i of x [n,3] is {i, i + 1/4, i + 1/2}; y [n,2] is {-i, 10 i}. */
static ebb_dataset *table(int64_t n, ebb_dtype dtype)
{
	ebb_tensor *x = ebb_tensor_new(dtype, EBB_SHAPE(n, 3), false, NULL),
		   *y = ebb_tensor_new(EBB_F32, EBB_SHAPE(n, 2), false, NULL);
	ebb_error e = {0};
	ebb_dataset *d;

	for (int64_t i = 0; i < n; i++) {
		for (int k = 0; k < 3; k++) {
			double v = (double)i + k / 4.0;

			if (dtype == EBB_F64)
				((double *)ebb_data_mutable(x))[3 * i + k] = v;
			else
				((float *)ebb_data_mutable(x))[3 * i + k] = (float)v;
		}
		((float *)ebb_data_mutable(y))[2 * i] = (float)-i;
		((float *)ebb_data_mutable(y))[2 * i + 1] = (float)(10 * i);
	}
	d = ebb_rows(x, y, .error = &e);
	ck_assert_msg(d, "%s", e.message);
	/* The data set has copies. */
	ebb_tensor_free(x);
	ebb_tensor_free(y);
	return d;
}

/* The number of a row of table in a batch, whose other values are compared with it. */
static int64_t row_at(const ebb_batch *b, int64_t k)
{
	int64_t i = (int64_t)ebb_at(b->inputs, 3 * k);

	for (int j = 0; j < 3; j++)
		ck_assert(ebb_at(b->inputs, 3 * k + j) == (double)i + j / 4.0);
	ck_assert(ebb_at(b->targets, 2 * k) == (double)-i &&
		  ebb_at(b->targets, 2 * k + 1) == 10 * (double)i);
	return i;
}

START_TEST(a_batch_has_inputs_and_targets)
{
	static const ebb_dtype types[][3] = {/* of x, of the loader, of the inputs */
		{EBB_F32, EBB_DEFAULT, EBB_F32}, {EBB_F64, EBB_DEFAULT, EBB_F64},
		{EBB_F32, EBB_F64, EBB_F64}, {EBB_F64, EBB_F32, EBB_F32}};

	for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
		ebb_dataset *d = table(10, types[k][0]);
		ebb_loader *l = ebb_loader_new(d, 4, .dtype = types[k][1]);
		int64_t n = 0;
		ebb_batch b;

		ck_assert(d->count == 10 && d->classes == 0 && !d->labels && !d->images);
		ck_assert_int_eq(ebb_loader_batches(l), 3);
		while (ebb_loader_next(l, &b)) {
			ck_assert(!b.images && !b.labels && b.count == (b.index == 2 ? 2 : 4));
			ck_assert(ebb_ndim(b.inputs) == 2 && ebb_size(b.inputs, 0) == b.count &&
				  ebb_size(b.inputs, 1) == 3 && ebb_size(b.targets, 1) == 2);
			ck_assert(ebb_dtype_of(b.inputs) == types[k][2]);
			ck_assert(ebb_dtype_of(b.targets) == (types[k][1] ? types[k][1] : EBB_F32));
			for (int64_t i = 0; i < b.count; i++)
				ck_assert_int_eq(row_at(&b, i), n++);
		}
		ck_assert(n == 10 && !ebb_loader_error(l));
		ebb_loader_free(l);
		ebb_dataset_free(d);
	}
}
END_TEST

START_TEST(each_type_shape_and_memory_order_is_kept)
{
	static const ebb_dtype types[] = {EBB_F32, EBB_F64, EBB_I64, EBB_U8};
	ebb_tape *t = ebb_tape_new();

	for (int k = 0; k < 4; k++) {
		ebb_tensor *x = ebb_tensor_new(types[k], EBB_SHAPE(6, 2, 1, 3), true, NULL),
			   *y = ebb_tensor_new(types[3 - k], EBB_SHAPE(6), false, NULL);
		ebb_dataset *d;
		ebb_loader *l;
		ebb_batch b;

		for (int64_t i = 0; i < 36; i++)
			for (size_t j = 0; j < ebb_dtype_size(types[k]); j++)
				((uint8_t *)ebb_data_mutable(
					x))[(size_t)i * ebb_dtype_size(types[k]) + j] = (uint8_t)i;
		d = ebb_rows(x, y);
		l = ebb_loader_new(d, 6, .dtype = EBB_DEFAULT);
		ck_assert(
			ebb_loader_next(l, &b) && all_same(b.inputs, x) && all_same(b.targets, y));
		ck_assert(ebb_dtype_of(b.inputs) == types[k] && ebb_stride(b.inputs, 1) == 3);
		ck_assert(ebb_dtype_of(b.targets) == types[3 - k] && ebb_ndim(b.targets) == 1);
		ebb_loader_free(l);
		/* Integers are not converted. */
		l = ebb_loader_new(d, 6, .dtype = EBB_F64);
		ck_assert(ebb_loader_next(l, &b));
		ck_assert(ebb_dtype_of(b.inputs) == (k < 2 ? EBB_F64 : types[k]));
		ebb_loader_free(l);
		ebb_dataset_free(d);
		ebb_tensor_free(x);
		ebb_tensor_free(y);
	}
	/* A tape's tensor with strides, and no targets. */
	const float count[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
	ebb_tensor *x = ebb_reshape(t, ebb_from_f32(t, EBB_SHAPE(12), count), EBB_SHAPE(3, 4)),
		   *transposed = ebb_permute(t, x, EBB_AXES(1, 0));
	ebb_dataset *d = ebb_rows(transposed);
	ebb_tape_reset(t);
	ebb_loader *l = ebb_loader_new(d, 4);
	ebb_batch b;

	ck_assert(ebb_loader_next(l, &b) && !b.targets && ebb_size(b.inputs, 1) == 3);
	for (int i = 0; i < 12; i++)
		ck_assert(ebb_at(b.inputs, i) == i / 3 + 4 * (i % 3));
	ebb_loader_free(l);
	ebb_dataset_free(d);
	ebb_tape_free(t);
}
END_TEST

START_TEST(rows_may_be_empty_or_scalars)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F64, EBB_SHAPE(5, 0), false, NULL),
		   *y = ebb_tensor_new(EBB_I64, EBB_SHAPE(5), false, NULL);
	ebb_dataset *d = ebb_rows(x, y), *e = ebb_rows(y, x);
	ebb_batch b;

	for (int k = 0; k < 4; k++) {
		ebb_loader *l = ebb_loader_new(k % 2 ? d : e, 3, .shuffle = true,
			.dtype = k < 2 ? EBB_F32 : EBB_DEFAULT, .workers = k % 2);
		int64_t n = 0;

		while (ebb_loader_next(l, &b)) {
			const ebb_tensor *empty = k % 2 ? b.inputs : b.targets;

			ck_assert(ebb_size(empty, 0) == b.count && ebb_size(empty, 1) == 0);
			ck_assert(ebb_dtype_of(empty) == (k < 2 ? EBB_F32 : EBB_F64));
			ck_assert_int_eq(ebb_ndim(k % 2 ? b.targets : b.inputs), 1);
			n += b.count;
		}
		ck_assert(n == 5 && !ebb_loader_error(l));
		ebb_loader_free(l);
	}
	ebb_dataset_free(d);
	ebb_dataset_free(e);
	ebb_tensor_free(x);
	ebb_tensor_free(y);
}
END_TEST

/* n rows of one number with a label of three classes, as U8 [n,1]. */
static ebb_dataset *labelled(int64_t n)
{
	static const uint8_t label[] = {0, 0, 0, 0, 2, 1};
	ebb_tensor *x = ebb_tensor_new(EBB_F32, EBB_SHAPE(n), false, NULL),
		   *y = ebb_tensor_new(EBB_U8, EBB_SHAPE(n, 1), false, NULL);
	ebb_dataset *d;

	for (int64_t i = 0; i < n; i++) {
		((float *)ebb_data_mutable(x))[i] = (float)i;
		((uint8_t *)ebb_data_mutable(y))[i] = label[i % 6];
	}
	d = ebb_rows(x, y, .classes = 3);
	ebb_tensor_free(x);
	ebb_tensor_free(y);
	return d;
}

START_TEST(rows_with_classes_have_labels)
{
	static const int64_t label[] = {0, 0, 0, 0, 2, 1};
	ebb_dataset *d = labelled(60), *first, *second;
	ebb_loader *l = ebb_loader_new(d, 12, .balanced = true, .shuffle = true);
	int64_t times[3] = {0}, share[3] = {0};
	ebb_batch b;

	ck_assert(d->classes == 3 && ebb_dtype_of(d->labels) == EBB_I64);
	while (ebb_loader_next(l, &b))
		for (int64_t k = 0; k < b.count; k++) {
			ck_assert(b.labels && !b.targets && !b.images);
			ck_assert(ebb_at(b.labels, k) == label[(int)ebb_at(b.inputs, k) % 6]);
			times[(int)ebb_at(b.labels, k)]++;
		}
	ck_assert(times[0] == 20 && times[1] == 20 && times[2] == 20);
	ebb_loader_free(l);
	ck_assert(ebb_dataset_split(d, 0.5, &first, &second, .stratified = true));
	for (int64_t i = 0; i < first->count; i++)
		share[ebb_dataset_label(first, i)]++;
	ck_assert(share[0] == 20 && share[1] == 5 && share[2] == 5 && second->count == 30);
	ebb_dataset_free(first);
	ebb_dataset_free(second);
	ebb_dataset_free(d);
}
END_TEST

/* ---- Parts ---------------------------------------------------------------------------------- */

START_TEST(parts_of_rows_have_their_rows)
{
	const int64_t index[] = {7, 0, 7, 9};
	ebb_dataset *d = table(10, EBB_F32), *other = table(3, EBB_F32), *first, *second,
		    *subset = ebb_dataset_subset(d, index, 4, NULL),
		    *range = ebb_dataset_range(d, 6, 100, NULL), *all;
	int times[10] = {0};
	ebb_loader *l;
	ebb_batch b;

	all = ebb_dataset_concat((const ebb_dataset *[]){subset, other, range}, 3, NULL);
	ck_assert(all && all->count == 11 && !all->labels);
	l = ebb_loader_new(all, 11);
	ck_assert(ebb_loader_next(l, &b));
	for (int k = 0; k < 11; k++)
		ck_assert_int_eq(row_at(&b, k), ((int64_t[]){7, 0, 7, 9, 0, 1, 2, 6, 7, 8, 9})[k]);
	ebb_loader_free(l);
	ck_assert(ebb_dataset_split(d, 0.7, &first, &second, .seed = 3));
	ck_assert(first->count == 7 && second->count == 3);
	for (int k = 0; k < 2; k++) {
		l = ebb_loader_new(k ? second : first, 2, .shuffle = true, .workers = k);
		while (ebb_loader_next(l, &b))
			for (int64_t i = 0; i < b.count; i++)
				times[row_at(&b, i)]++;
		ebb_loader_free(l);
	}
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(times[i], 1);
	ebb_dataset_free(first);
	ebb_dataset_free(second);
	ebb_dataset_free(all);
	ebb_dataset_free(range);
	ebb_dataset_free(subset);
	ebb_dataset_free(other);
	ebb_dataset_free(d);
}
END_TEST

/* ---- Rows of functions ---------------------------------------------------------------------- */

typedef struct maker {
	int64_t damaged[2]; /* rows that fail; -1: none */
	bool silent;        /* without a message */
	int freed;
} maker;

/* Row i: input {i, i^2, 0} F32, target i I64.  The third element is not written. */
static bool make_row(void *ctx, int64_t i, void *input, void *target, ebb_error *e)
{
	const maker *m = ctx;
	float *x = input;

	if ((i == m->damaged[0] || i == m->damaged[1]) && !m->silent)
		ebb_error_set(e, EBB_BAD_FILE, NULL, "row %lld: damaged", (long long)i);
	if (i == m->damaged[0] || i == m->damaged[1])
		return false;
	ck_assert(x[0] == 0 && x[1] == 0 && x[2] == 0 && *(int64_t *)target == 0);
	x[0] = (float)i;
	x[1] = (float)(i * i);
	*(int64_t *)target = i;
	return true;
}

static void free_maker(void *ctx)
{
	((maker *)ctx)->freed++;
}

static int64_t parity(void *ctx, int64_t i)
{
	(void)ctx;
	return i % 2;
}

static ebb_dataset *filled(maker *m, ebb_on_error on_error, bool labels)
{
	ebb_error e = {0};
	ebb_dataset *d = ebb_rows_custom(30, make_row, m, free_maker, .input_shape = EBB_SHAPE(3),
		.target_dtype = EBB_I64, .classes = labels ? 2 : 0, .label = labels ? parity : NULL,
		.on_error = on_error, .error = &e);

	ck_assert_msg(d, "%s", e.message);
	return d;
}

START_TEST(functions_fill_rows)
{
	for (int labels = 0; labels < 2; labels++) {
		for (int workers = 0; workers < 4; workers++) {
			maker m = {{4, 17}, .silent = false};
			ebb_dataset *d = filled(&m, EBB_SKIP, labels),
				    *part = ebb_dataset_range(d, 1, 25, NULL);
			ebb_loader *l = ebb_loader_new(part, 4, .workers = workers,
				.dtype = workers % 2 ? EBB_F64 : EBB_DEFAULT);
			int64_t n = 1, index;
			const char *message;
			ebb_batch b;

			while (ebb_loader_next(l, &b)) {
				ck_assert(!labels == !b.labels);
				for (int64_t k = 0; k < b.count; k++, n++) {
					n += n == 4 || n == 17;
					ck_assert(ebb_at(b.inputs, 3 * k) == (double)n);
					ck_assert(ebb_at(b.inputs, 3 * k + 1) == (double)(n * n));
					ck_assert(ebb_at(b.inputs, 3 * k + 2) == 0);
					ck_assert(ebb_at(b.targets, k) == (double)n);
					ck_assert(
						!labels || ebb_at(b.labels, k) == (double)(n % 2));
				}
			}
			ck_assert(n == 26 && !ebb_loader_error(l));
			ck_assert(ebb_dataset_skipped(d) == 2 && ebb_dataset_skipped(part) == 2);
			ck_assert(ebb_dataset_skipped_at(part, 1, &index, &message) && index == 16);
			ck_assert_str_eq(message, "row 17: damaged");
			ebb_loader_free(l);
			ebb_dataset_free(part);
			ebb_dataset_free(d);
			ck_assert_int_eq(m.freed, 1);
		}
	}
}
END_TEST

START_TEST(a_row_that_fails_ends_the_epoch)
{
	for (int silent = 0; silent < 2; silent++) {
		maker m = {{9, -1}, .silent = silent};
		ebb_dataset *d = filled(&m, silent ? EBB_SKIP : EBB_FAIL, false);
		ebb_loader *l = ebb_loader_new(d, 4, .workers = 2);
		ebb_batch b;

		ck_assert(ebb_loader_next(l, &b) && ebb_loader_next(l, &b));
		ck_assert(!ebb_loader_next(l, &b) && !ebb_loader_next(l, &b) && !b.inputs);
		ck_assert_str_eq(ebb_loader_error(l)->message,
			silent ? "rows_custom: the fill function failed for row 9 without an error "
				 "message"
			       : "row 9: damaged");
		ebb_loader_begin(l, 0);
		ck_assert(!ebb_loader_error(l) && ebb_loader_next(l, &b) && b.index == 0);
		ebb_loader_free(l);
		ebb_dataset_free(d);
	}
}
END_TEST

/* ---- Workers and positions ------------------------------------------------------------------ */

static uint64_t hash_rows(const ebb_batch *b)
{
	uint64_t h = hash_of(b->inputs, 14695981039346656037u + (uint64_t)b->index);

	return hash_of(b->targets, hash_of(b->labels, h));
}

/* Gets the batches until two epochs are over; 0 after each. */
static int rest_of(ebb_loader *l, uint64_t hashes[MOST])
{
	ebb_batch b;
	int n = 0;

	for (int64_t k = ebb_loader_epoch(l); k < 2; k++) {
		while (ebb_loader_next(l, &b)) {
			ck_assert_int_lt(n, MOST - 1);
			hashes[n++] = hash_rows(&b);
		}
		ck_assert(!ebb_loader_error(l));
		hashes[n++] = 0;
	}
	return n;
}

static void check_positions(ebb_loader_args *a)
{
	uint64_t whole[MOST], rest[MOST];
	ebb_loader *l = (ebb_loader_new)(a);
	int n = rest_of(l, whole);

	ck_assert(n > 4 && whole[0] != whole[n / 2]);
	ebb_loader_free(l);
	for (int calls = 0; calls <= n; calls++) {
		ebb_archive *file = ebb_archive_new();
		ebb_batch b;
		int left;

		a->workers = calls % 4;
		l = (ebb_loader_new)(a);
		for (int k = 0; k < calls; k++)
			ebb_loader_next(l, &b);
		ck_assert(ebb_loader_put(l, file, "loader.", NULL));
		ebb_loader_free(l);
		a->workers = calls / 2 % 4;
		l = (ebb_loader_new)(a);
		ck_assert(ebb_loader_take(l, file, "loader.", NULL));
		left = rest_of(l, rest);
		ck_assert_int_eq(left, n - calls);
		ck_assert(memcmp(rest, whole + calls, (size_t)left * sizeof *rest) == 0);
		ebb_archive_free(file);
		ebb_loader_free(l);
	}
	a->workers = 0;
}

START_TEST(batches_are_the_same_for_any_workers_and_after_a_restore)
{
	maker m = {{3, 20}, .silent = false};
	ebb_tensor *x = persistent_random(EBB_F64, EBB_SHAPE(90, 2), 5);
	ebb_dataset *d[] = {table(37, EBB_F64), ebb_windows(x, 8, .stride = 3), labelled(40),
		filled(&m, EBB_SKIP, true)};

	for (size_t k = 0; k < sizeof d / sizeof *d; k++) {
		ebb_loader_args a = {.data = d[k], .batch = 4, .shuffle = true, .seed = 3};

		check_positions(&a);
		a.dtype = EBB_F32;
		a.balanced = d[k]->classes > 0;
		a.drop_last = true;
		check_positions(&a);
		a = (ebb_loader_args){.data = d[k], .batch = 3, .rank = 1, .world = 2};
		a.shuffle = true;
		check_positions(&a);
		ebb_dataset_free(d[k]);
	}
	ebb_tensor_free(x);
}
END_TEST

/* A saver restores the position in an epoch. */
START_TEST(a_saver_resumes_in_an_epoch)
{
	ebb_dataset *d = table(20, EBB_F32);
	uint64_t expected = 0;
	ebb_batch b;

	make_temp_dir();
	for (int run = 0; run < 2; run++) {
		ebb_loader *l = ebb_loader_new(d, 3, .shuffle = true, .seed = 8, .workers = run);
		ebb_saver *s = ebb_saver_new(temp_path("run.safetensors"));

		ebb_saver_add(s, "loader", l);
		if (run == 0) {
			for (int k = 0; k < 4; k++)
				ck_assert(ebb_loader_next(l, &b));
			ck_assert(ebb_saver_save(s, 4));
		} else {
			ck_assert_int_eq(ebb_saver_resume(s), 4);
		}
		ck_assert(ebb_loader_next(l, &b) && b.index == 4);
		if (run == 0)
			expected = hash_rows(&b);
		ck_assert_uint_eq(hash_rows(&b), expected);
		ebb_saver_free(s);
		ebb_loader_free(l);
	}
	remove_temp_dir();
	ebb_dataset_free(d);
}
END_TEST

/* A gradient that saved the inputs of a batch notices that the next batch overwrote them. */
START_TEST(the_next_batch_changes_the_version)
{
	ebb_dataset *d = table(8, EBB_F32);
	ebb_loader *l = ebb_loader_new(d, 4);
	ebb_tape *t = ebb_tape_new();
	ebb_batch b;

	ck_assert(ebb_loader_next(l, &b));
	ebb_tensor *w = ebb_variable(t, ebb_ones(t, EBB_SHAPE(3)));
	ebb_tensor *y = ebb_sum(t, ebb_mul(t, b.inputs, w));
	ck_assert(ebb_loader_next(l, &b));
	ck_assert(!ebb_backward(t, y));
	ck_assert_int_eq(ebb_error_status(t), EBB_BAD_STATE);
	ebb_tape_free(t);
	ebb_loader_free(l);
	ebb_dataset_free(d);
}
END_TEST

/* ---- Files ---------------------------------------------------------------------------------- */

/* Two arrays of an .npz file, and linear regression on them. */
START_TEST(arrays_in_files_are_rows_of_a_regression)
{
	enum { N = 64 };
	float x[N][3], y[N];
	ebb_archive *file = ebb_archive_new();
	ebb_params *p = ebb_params_new(1);
	ebb_linear fit = ebb_linear_new(p, "fit", 3, 1);
	ebb_optim *opt = ebb_sgd(p, .lr = 0.2);
	ebb_tape *t = ebb_tape_new();
	ebb_batch b;

	for (int i = 0; i < N; i++) {
		for (int k = 0; k < 3; k++)
			x[i][k] = (float)sin(i * (k + 1.3));
		y[i] = 2 * x[i][0] - x[i][1] + 0.5f * x[i][2] + 3;
	}
	make_temp_dir();
	ck_assert(ebb_archive_add_values(file, "x", EBB_FILE_F32, EBB_SHAPE(N, 3), x, NULL));
	ck_assert(ebb_archive_add_values(file, "y", EBB_FILE_F32, EBB_SHAPE(N, 1), y, NULL));
	ck_assert(ebb_archive_write(file, temp_path("table.npz")));
	ebb_archive_free(file);
	file = ebb_archive_read(temp_path("table.npz"));
	ebb_tensor *inputs = ebb_archive_tensor(file, "x", EBB_DEFAULT, NULL),
		   *targets = ebb_archive_tensor(file, "y", EBB_DEFAULT, NULL);
	ebb_archive_free(file);
	remove_temp_dir();
	ebb_dataset *d = ebb_rows(inputs, targets);
	ebb_tensor_free(inputs);
	ebb_tensor_free(targets);
	ebb_loader *l = ebb_loader_new(d, 16, .shuffle = true, .workers = 1);

	for (int epoch = 0; epoch < 60; epoch++)
		while (ebb_loader_next(l, &b)) {
			ebb_tensor *fitted = ebb_linear_forward(t, &fit, b.inputs);

			ebb_params_zero_grad(p);
			ebb_backward(t, ebb_mse_loss(t, fitted, b.targets));
			ebb_optim_step(opt);
			ebb_tape_reset(t);
		}
	ck_assert_msg(ebb_ok(t, p, opt, l), "%s", ebb_first_error(t, p, opt, l)->message);
	ck_assert_double_eq_tol(ebb_at(fit.weight, 0), 2, 1e-3);
	ck_assert_double_eq_tol(ebb_at(fit.weight, 1), -1, 1e-3);
	ck_assert_double_eq_tol(ebb_at(fit.weight, 2), 0.5, 1e-3);
	ck_assert_double_eq_tol(ebb_at(fit.bias, 0), 3, 1e-3);
	ebb_tape_free(t);
	ebb_loader_free(l);
	ebb_dataset_free(d);
	ebb_optim_free(opt);
	ebb_params_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("data-rows");
	TCase *c = tcase_create("rows"), *threads = tcase_create("threads");

	suite_add_tcase(s, c);
	suite_add_tcase(s, threads);
	tcase_set_timeout(c, 60);
	tcase_set_timeout(threads, 120);
	tcase_add_test(c, a_batch_has_inputs_and_targets);
	tcase_add_test(c, each_type_shape_and_memory_order_is_kept);
	tcase_add_test(c, rows_may_be_empty_or_scalars);
	tcase_add_test(c, rows_with_classes_have_labels);
	tcase_add_test(c, parts_of_rows_have_their_rows);
	/* The thread sanitizer runs this test case. */
	tcase_add_test(threads, functions_fill_rows);
	tcase_add_test(threads, a_row_that_fails_ends_the_epoch);
	tcase_add_test(threads, batches_are_the_same_for_any_workers_and_after_a_restore);
	tcase_add_test(c, a_saver_resumes_in_an_epoch);
	tcase_add_test(c, the_next_batch_changes_the_version);
	tcase_add_test(c, arrays_in_files_are_rows_of_a_regression);
	return run_suite(s);
}
