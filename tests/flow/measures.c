/* measures.c - norms, histograms and ranks that the instrument measures agree with direct
 * computation. */
#include "tests/flow/measures.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

/* ---- Norms ----------------------------------------------------------------------------------- */

/* The norm without NaNs, of squares of quotients. */
static double naive_l2(const ebb_tensor *x, const ebb_tensor *gate)
{
	double largest = 0, sum = 0;

	for (int64_t i = 0; i < ebb_count(x); i++)
		if (!gate || ebb_at(gate, i) > 0)
			largest = fmax(largest, fabs(ebb_at(x, i)));
	for (int64_t i = 0; i < ebb_count(x) && largest > 0; i++)
		if (!isnan(ebb_at(x, i)) && (!gate || ebb_at(gate, i) > 0))
			sum += pow(ebb_at(x, i) / largest, 2);
	return largest * sqrt(sum);
}

static void check_norm(const ebb_tensor *x, int64_t most)
{
	ebb_kernel_stats s;
	int64_t infinite;

	ck_assert(ebb_flow_stats(x, most, &s, &infinite));
	ck_assert_int_eq(s.n, ebb_count(x));
	ck_assert(near(ebb_flow_l2(x, &s), naive_l2(x, NULL), 1e-12));
	ck_assert_int_eq(infinite, 0);
}

static const double scales[] = {1, 1e200, 1e-200, 1e-16};

START_TEST(norms_are_exact)
{
	static const ebb_shape shapes[] = {
		{1, {1}}, {2, {3, 33}}, {4, {2, 5, 7, 6}}, {1, {5000}}, {2, {30, 2000}}};

	for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
		for (int j = 0; j < 5; j++) {
			ebb_tensor *x = persistent_random(EBB_F64, shapes[k], 11 + k);

			for (int64_t i = 0; i < ebb_count(x); i++)
				set(x, i, ebb_at(x, i) * scales[j < 4 ? j : (int)(i % 4)]);
			check_norm(x, DEFAULT_MOST);
			check_norm(x, -1);
			ebb_tensor_free(x);
			x = persistent_random(EBB_F32, shapes[k], 11 + k);
			check_norm(x, DEFAULT_MOST);
			ebb_tensor_free(x);
		}
}
END_TEST

START_TEST(norms_of_views_are_exact)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(_i ? EBB_F64 : EBB_F32, EBB_SHAPE(4, 16, 5, 30), 3);
	ebb_tensor *cl = channels_last_copy(x);

	check_norm(cl, DEFAULT_MOST);
	check_norm(ebb_slice(t, x, 1, 1, EBB_END, 2), DEFAULT_MOST);
	check_norm(ebb_slice(t, cl, 3, 1, 20, 3), -1);
	check_norm(ebb_permute(t, x, EBB_AXES(3, 0, 2, 1)), DEFAULT_MOST);
	check_norm(ebb_expand(t, ebb_slice(t, x, 3, 0, 1, 1), EBB_SHAPE(4, 16, 5, 9)), -1);
	check_norm(ebb_expand(t, ebb_slice(t, x, 0, 0, 1, 1), EBB_SHAPE(9, 16, 5, 30)), -1);
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_tensor_free(cl);
}
END_TEST

START_TEST(values_that_are_not_finite_are_counted)
{
	ebb_tensor *x = persistent_random(_i ? EBB_F64 : EBB_F32, EBB_SHAPE(50), 5);
	ebb_tensor *none = ebb_tensor_new(EBB_F32, EBB_SHAPE(0, 3), false, NULL);
	ebb_tensor *labels = ebb_tensor_new(EBB_I64, EBB_SHAPE(3), false, NULL);
	ebb_kernel_stats s;
	int64_t infinite;
	double l2;

	set(x, 3, NAN);
	ck_assert(ebb_flow_stats(x, -1, &s, &infinite));
	ck_assert(s.nan == 1 && infinite == 0 && near(s.l2, naive_l2(x, NULL), 1e-12));
	set(x, 4, INFINITY);
	set(x, 5, -INFINITY);
	ck_assert(ebb_flow_stats(x, -1, &s, &infinite));
	ck_assert(s.n == 50 && s.nan == 1 && infinite == 2 && isinf(s.l2));
	ck_assert(ebb_flow_stats(none, -1, &s, &infinite));
	ck_assert(s.n == 0 && infinite == 0 && ebb_flow_l2(none, &s) == 0);
	ck_assert(!ebb_flow_stats(labels, -1, &s, &infinite));
	ck_assert(!ebb_flow_stats(NULL, -1, &s, &infinite));
	ck_assert(!ebb_flow_gated_l2(x, none, -1, &l2) && !ebb_flow_gated_l2(x, labels, -1, &l2));
	ck_assert(!ebb_flow_gated_l2(NULL, x, -1, &l2) && !ebb_flow_gated_l2(x, NULL, -1, &l2));
	ebb_tensor_free(x);
	ebb_tensor_free(none);
	ebb_tensor_free(labels);
}
END_TEST

static void check_gated(const ebb_tensor *y, const ebb_tensor *g)
{
	double l2;

	ck_assert(ebb_flow_gated_l2(y, g, DEFAULT_MOST, &l2));
	ck_assert(near(l2, naive_l2(g, y), 1e-12));
}

START_TEST(gated_norms_are_exact)
{
	ebb_dtype dtype = _i % 2 ? EBB_F64 : EBB_F32;
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *y = persistent_random(dtype, EBB_SHAPE(3, 7, 5, 40), 1);
	ebb_tensor *g = persistent_random(dtype, EBB_SHAPE(3, 7, 5, 40), 2);
	ebb_tensor *y_cl, *g_cl;

	for (int64_t i = 0; i < ebb_count(g) && dtype == EBB_F64; i++)
		set(g, i, ebb_at(g, i) * scales[_i / 2]);
	set(g, 7, NAN);
	set(y, 8, NAN);
	set(y, 9, 0);
	y_cl = channels_last_copy(y);
	g_cl = channels_last_copy(g);
	check_gated(y, g);
	check_gated(y_cl, g_cl);
	check_gated(y, g_cl);
	check_gated(ebb_slice(t, y, 3, 1, 30, 1), ebb_slice(t, g, 3, 1, 30, 1));
	check_gated(
		ebb_permute(t, y, EBB_AXES(3, 0, 2, 1)), ebb_permute(t, g, EBB_AXES(3, 0, 2, 1)));
	check_gated(y, ebb_expand(t, ebb_slice(t, g, 0, 1, 2, 1), EBB_SHAPE(3, 7, 5, 40)));
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_tensor_free(y);
	ebb_tensor_free(g);
	ebb_tensor_free(y_cl);
	ebb_tensor_free(g_cl);
}
END_TEST

static void measure(const ebb_tensor *x, double scale, struct flow_sums *s)
{
	*s = (struct flow_sums){.calls = 1, .elements = 60, .slopes = 5, .flat = 2, .rank = 1.5};
	s->ranks = s->contributions = 1;
	ck_assert(ebb_flow_stats(x, -1, &s->y, &s->y_infinite));
	s->g = s->y;
	s->g_infinite = 3;
	s->y_l2 = s->y.l2;
	s->g_l2 = 3 * scale;
	s->x_l2 = 6 * scale;
	s->into_l2 = 9 * scale;
	s->from_l2 = 12 * scale;
	s->y_elements = 1, s->g_elements = 2, s->x_elements = 4;
}

START_TEST(sums_of_calls_are_those_of_the_concatenation)
{
	double scale = scales[_i];
	ebb_tensor *a = persistent_random(EBB_F64, EBB_SHAPE(60), 1);
	ebb_tensor *b = persistent_random(EBB_F64, EBB_SHAPE(60), 2);
	struct flow_sums none = {0}, s, more;
	double l2;

	for (int i = 0; i < 60; i++) {
		set(a, i, ebb_at(a, i) * scale);
		set(b, i, ebb_at(b, i) * scale);
	}
	l2 = scale * hypot(naive_l2(a, NULL) / scale, naive_l2(b, NULL) / scale);
	measure(a, scale, &s);
	measure(b, scale, &more);
	ebb_flow_sums_add(&s, &more);
	ebb_flow_sums_add(&none, &s);
	ck_assert(memcmp(&none, &s, sizeof s) == 0);
	ck_assert(s.calls == 2 && s.elements == 120 && s.y.n == 120 && s.g.n == 120);
	ck_assert(near(s.y.l2, l2, 1e-14) && near(s.y_l2, l2, 1e-14));
	ck_assert(near(s.g_l2, sqrt(18) * scale, 1e-14) && near(s.x_l2, sqrt(72) * scale, 1e-14));
	ck_assert(near(s.into_l2, sqrt(162) * scale, 1e-14));
	ck_assert(near(s.from_l2, sqrt(288) * scale, 1e-14));
	ck_assert(s.y_elements == 2 && s.g_elements == 4 && s.x_elements == 8);
	ck_assert(s.contributions == 2 && s.slopes == 10 && s.flat == 4 && s.rank == 3);
	ck_assert(s.ranks == 2 && s.g_infinite == 6 && s.y_infinite == 0);
	ebb_tensor_free(a);
	ebb_tensor_free(b);
}
END_TEST

/* ---- Large tensors --------------------------------------------------------------------------- */

static double estimate(const ebb_tensor *x)
{
	ebb_kernel_stats s;
	int64_t infinite;

	ck_assert(ebb_flow_stats(x, DEFAULT_MOST, &s, &infinite));
	ck_assert_int_ge(s.n, DEFAULT_MOST / 2);
	ck_assert_int_le(s.n, DEFAULT_MOST + 4096);
	return ebb_flow_l2(x, &s);
}

START_TEST(norms_of_large_tensors_are_estimated)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(_i ? EBB_F64 : EBB_F32, EBB_SHAPE(16, 10, 64, 100), 1);
	ebb_tensor *cl = channels_last_copy(x),
		   *g = persistent_random(ebb_dtype_of(x), ebb_shape_of(x), 2);
	double exact = naive_l2(x, NULL), l2;

	ck_assert(near(estimate(x), exact, 0.03));
	ck_assert(near(estimate(cl), exact, 0.03));
	ck_assert(near(estimate(ebb_slice(t, x, 3, 3, EBB_END, 1)), exact * sqrt(0.97), 0.03));
	ck_assert(ebb_flow_gated_l2(x, g, DEFAULT_MOST, &l2));
	ck_assert(near(l2, naive_l2(g, x), 0.03));
	ck_assert(ebb_flow_gated_l2(cl, g, DEFAULT_MOST, &l2));
	ck_assert(near(l2, naive_l2(g, x), 0.03));
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_tensor_free(cl);
	ebb_tensor_free(g);
}
END_TEST

/* 1 in part of the elements, else 0: the norm is the root of their number. */
static void fill_where(ebb_tensor *x, int64_t period, int64_t from, int64_t to)
{
	for (int64_t i = 0; i < ebb_count(x); i++)
		set(x, i, i % period >= from && i % period < to);
}

START_TEST(the_measured_part_covers_the_whole_tensor)
{
	static const int64_t periods[] = {2, 32, 100, 1024, 2048, 4096, 16384, 66560, 65536};
	ebb_tensor *x = ebb_tensor_new(EBB_F32, EBB_SHAPE(1 << 20), false, NULL);
	ebb_kernel_stats s;
	int64_t infinite;

	/* each of 32 equal parts, as if it were one sample of a batch */
	for (int k = 0; k < 32; k++) {
		fill_where(x, 1 << 20, k << 15, (k + 1) << 15);
		ck_assert_msg(near(estimate(x), sqrt(1 << 15), 0.3), "part %d: %g", k, estimate(x));
	}
	/* each quarter of a period */
	for (size_t p = 0; p < sizeof periods / sizeof *periods; p++)
		for (int k = 0; k < 4; k++) {
			int64_t from = periods[p] * k / 4, to = periods[p] * (k + 1) / 4;
			double exact = sqrt((double)((1 << 20) / periods[p] * (to - from)));

			fill_where(x, periods[p], from, to);
			ck_assert_msg(from == to || near(estimate(x), exact, 0.25),
				"period %d, quarter %d: %g, not %g", (int)periods[p], k,
				estimate(x), exact);
		}
	fill_where(x, 2, 0, 0);
	set(x, 0, INFINITY);
	set(x, (1 << 20) - 1, -INFINITY);
	ck_assert(ebb_flow_stats(x, DEFAULT_MOST, &s, &infinite));
	ck_assert_int_eq(infinite, 2);
	ebb_tensor_free(x);
}
END_TEST

/* Whole pixels are measured, so that every channel has the same weight. */
START_TEST(all_channels_are_measured_equally)
{
	ebb_tensor *x = ebb_tensor_new(EBB_F32, EBB_SHAPE(8, 10, 64, 64), true, NULL);

	for (int c = 0; c < 10; c++) {
		fill_where(x, 10, c, c + 1);
		ck_assert(near(estimate(x), sqrt(8 * 64 * 64), 1e-9));
	}
	ebb_tensor_free(x);
}
END_TEST

/* Any size and any limit: at most all elements, and no block outside. */
START_TEST(blocks_lie_inside_and_apart)
{
	static const int64_t sizes[] = {1, 2, 15, 1023, 1024, 1025, 2049, 5000, 70000};
	static const int64_t rows[] = {1, 2, 7, 1000, 5000};
	static const int64_t mosts[] = {-1, 0, 1, 2, 100, 4096, 65536};

	for (int i = 0; i < 9 * 5 * 7; i++) {
		int64_t row = rows[i / 9 % 5], n = sizes[i % 9] * row, most = mosts[i / 45];
		struct flow_blocks b = ebb_flow_blocks(n, row, most);
		int64_t at = 0, sum = 0;

		while (ebb_flow_next(&b)) {
			ck_assert(b.from >= at && b.n > 0 && b.n <= FLOW_PIECE);
			ck_assert(sum > 0 || b.from == 0);
			at = b.from + b.n;
			sum += b.n;
		}
		ck_assert_int_le(at, n);
		ck_assert(at == n || most < 2 * row);
		ck_assert(sum == n || (most >= 0 && most < n));
		ck_assert(sum <= 2 * (most > row ? most : row) || most < 0);
	}
}
END_TEST

/* ---- Histograms ------------------------------------------------------------------------------ */

static void naive_histogram(const ebb_tensor *x, ebb_flow_histogram *h)
{
	for (int64_t i = 0; i < ebb_count(x); i++) {
		double v = ebb_at(x, i);
		int e, sign = v > 0;

		if (isnan(v)) {
			h->nan++;
		} else if (v == 0) {
			h->zeros++;
		} else if (isinf(v)) {
			h->infinite[sign]++;
		} else {
			frexp(v, &e); /* |v| in [2^(e-1), 2^e) */
			e = e - 1 + EBB_FLOW_BIAS;
			h->bin[sign][e < 0 ? 0 : e >= EBB_FLOW_BINS ? EBB_FLOW_BINS - 1 : e]++;
		}
	}
}

static void check_histogram(const ebb_tensor *x)
{
	ebb_flow_histogram expected = {.nan = 1}, h = {.nan = 1};

	naive_histogram(x, &expected);
	ck_assert(ebb_flow_histogram_add(x, -1, &h));
	ck_assert(memcmp(&h, &expected, sizeof h) == 0);
	naive_histogram(x, &expected);
	ck_assert(ebb_flow_histogram_add(x, -1, &h));
	ck_assert(memcmp(&h, &expected, sizeof h) == 0);
}

START_TEST(histograms_count_signs_and_exponents)
{
	static const double special[] = {0, -0.0, NAN, INFINITY, -INFINITY, 1, -1, 2, 0.5, 1e-16,
		-1e-16, FLT_MIN, FLT_MIN / 2, FLT_MIN / 4, 1e-45, -1e-45, FLT_MAX, -FLT_MAX, 0x1p31,
		0x1p32, 0x1.fffffep31, 0x1p-127, 0x1p-128, 0x1p-129, DBL_MIN, DBL_MIN / 4, -5e-324,
		1e308, 1e-100, -1e100};
	ebb_dtype dtype = _i ? EBB_F64 : EBB_F32;
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = persistent_random(dtype, EBB_SHAPE(60, 61), 3);
	ebb_tensor *tiny = persistent_random(dtype, EBB_SHAPE(1000), 4), *large;
	ebb_flow_histogram h = {.zeros = 0};
	int64_t sum = 0;

	for (size_t i = 0; i < sizeof special / sizeof *special; i++)
		set(x, (int64_t)i * 7, special[i]);
	check_histogram(x);
	check_histogram(ebb_slice(t, x, 1, 0, EBB_END, 2));
	/* values of about 1e-16 fill several bins */
	for (int i = 0; i < 1000; i++)
		set(tiny, i, ebb_at(tiny, i) * 1e-16);
	check_histogram(tiny);
	ck_assert(ebb_flow_histogram_add(tiny, -1, &h));
	for (int k = 0; k < 5; k++)
		ck_assert(h.bin[0][EBB_FLOW_BIAS - 54 - k] > 0 &&
			  h.bin[1][EBB_FLOW_BIAS - 54 - k] > 0);
	ck_assert(h.bin[0][0] == 0 && h.bin[1][0] == 0);
	/* counts are of the measured elements */
	large = ebb_ones(t, EBB_SHAPE(1 << 18));
	memset(&h, 0, sizeof h);
	ck_assert(ebb_flow_histogram_add(large, DEFAULT_MOST, &h));
	sum = h.bin[1][EBB_FLOW_BIAS];
	ck_assert(sum > DEFAULT_MOST / 2 && sum <= DEFAULT_MOST);
	ck_assert(!ebb_flow_histogram_add(NULL, -1, &h));
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_tensor_free(x);
	ebb_tensor_free(tiny);
}
END_TEST

/* ---- The effective rank ---------------------------------------------------------------------- */

#if EBB_HAVE_OPENBLAS
#include <dlfcn.h>

typedef void svd(const char *left, const char *right, const int *m, const int *n, double *a,
	const int *lda, double *s, double *u, const int *ldu, double *vt, const int *ldvt,
	double *work, const int *lwork, int *info, size_t left_size, size_t right_size);

static svd *lapack(void)
{
	void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
	svd *f = NULL;

	if (library)
		*(void **)&f = dlsym(library, "dgesvd_");
	if (!f)
		printf("skipped: there is no libopenblas.so.0 with dgesvd_\n");
	return f;
}

/* The effective rank of x as [samples, units] with units along axis 1, by its definition. */
static double naive_rank(svd *f, const ebb_tensor *x)
{
	ebb_shape shape = ebb_shape_of(x);
	int units = (int)shape.dims[1], samples = (int)(ebb_count(x) / units), info, one = 1;
	int inner = (int)(ebb_count(x) / (units * shape.dims[0])), size = 40 * (units + samples);
	int least = units < samples ? units : samples;
	double *a = malloc(sizeof *a * (size_t)units * (size_t)samples),
	       *s = malloc(sizeof *s * 1000);
	double *work = malloc(sizeof *work * (size_t)size), none, sum = 0, entropy = 0;

	for (int k = 0; k < samples; k++)
		for (int u = 0; u < units; u++)
			a[k + u * samples] =
				ebb_at(x, ((int64_t)(k / inner) * units + u) * inner + k % inner);
	f("N", "N", &samples, &units, a, &samples, s, &none, &one, &none, &one, work, &size, &info,
		1, 1);
	ck_assert_int_eq(info, 0);
	for (int i = 0; i < least; i++)
		sum += s[i];
	for (int i = 0; i < least; i++)
		entropy -= s[i] > 0 ? s[i] / sum * log(s[i] / sum) : 0;
	free(a);
	free(s);
	free(work);
	return exp(entropy);
}

START_TEST(the_effective_rank_is_that_of_lapack)
{
	static const ebb_shape shapes[] = {{2, {30, 20}}, {2, {20, 30}}, {2, {1, 7}},
		{2, {256, 256}}, {4, {3, 8, 4, 5}}, {3, {5, 9, 11}}, {2, {7, 1}}};
	svd *f = lapack();

	for (size_t k = 0; f && k < sizeof shapes / sizeof *shapes; k++)
		for (int j = 0; j < 6; j++) {
			ebb_tape *t = ebb_tape_new();
			ebb_tensor *x = persistent_random(j % 2 ? EBB_F64 : EBB_F32, shapes[k], k),
				   *cl;

			for (int64_t i = 0; j % 2 && i < ebb_count(x); i++)
				set(x, i, ebb_at(x, i) * scales[j / 2]);
			cl = channels_last_copy(x);
			ck_assert(near(ebb_flow_rank(x, 1), naive_rank(f, x), 1e-10));
			ck_assert(near(ebb_flow_rank(cl, 1), ebb_flow_rank(x, 1), 1e-10));
			ck_assert(near(ebb_flow_rank(ebb_slice(t, x, 0, 0, 1, 1), 1),
				naive_rank(f, ebb_slice(t, x, 0, 0, 1, 1)), 1e-10));
			assert_healthy(t);
			ebb_tape_free(t);
			ebb_tensor_free(x);
			ebb_tensor_free(cl);
		}
}
END_TEST

START_TEST(known_ranks)
{
	enum { SAMPLES = 600, WIDE = 400 };
	ebb_tensor *x = ebb_tensor_new(EBB_F64, EBB_SHAPE(SAMPLES, WIDE), false, NULL);
	ebb_tensor *unit = ebb_tensor_new(EBB_F64, EBB_SHAPE(12, 12), false, NULL);

	if (!lapack())
		return;
	for (int i = 0; i < SAMPLES * WIDE; i++)
		set(x, i, (1 + i / WIDE) * sin(1 + i % WIDE));
	ck_assert(near(ebb_flow_rank(x, 1), 1, 1e-9));
	for (int i = 0; i < SAMPLES * WIDE; i++)
		set(x, i, 0);
	ck_assert(ebb_flow_rank(x, 1) == 0);
	/* Of 600 samples, 256 are measured; all of one kind are the same. */
	for (int i = 0; i < SAMPLES * WIDE; i++)
		set(x, i, i / WIDE < SAMPLES / 2 ? i % WIDE < WIDE / 2 : i % WIDE >= WIDE / 2);
	ck_assert(near(ebb_flow_rank(x, 1), 2, 1e-2));
	for (int i = 0; i < 144; i++)
		set(unit, i, i / 12 == i % 12 ? i % 2 ? -3 : 3 : 0);
	ck_assert(near(ebb_flow_rank(unit, 1), 12, 1e-12));
	ck_assert(near(ebb_flow_rank(unit, 0), 12, 1e-12));
	for (int i = 0; i < 12; i++)
		set(unit, i * 12 + i, i < 5);
	ck_assert(near(ebb_flow_rank(unit, 1), 5, 1e-12));
	set(unit, 3, NAN);
	ck_assert(isnan(ebb_flow_rank(unit, 1)));
	set(unit, 3, INFINITY);
	ck_assert(isnan(ebb_flow_rank(unit, 1)));
	ck_assert(isnan(ebb_flow_rank(unit, 2)) && isnan(ebb_flow_rank(unit, -1)));
	ebb_tensor_free(x);
	ebb_tensor_free(unit);
}
END_TEST

#else

START_TEST(without_lapack_there_is_no_rank)
{
	ebb_tensor *x = persistent_random(EBB_F64, EBB_SHAPE(5, 5), 1);

	ck_assert(isnan(ebb_flow_rank(x, 1)));
	ebb_tensor_free(x);
}
END_TEST

#endif

/* ---- Memory ---------------------------------------------------------------------------------- */

START_TEST(refused_memory_leaks_nothing)
{
	ebb_tensor *x = persistent_random(EBB_F32, EBB_SHAPE(8, 16), 1);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *view = ebb_slice(t, x, 1, 0, 9, 1);
	ebb_flow_histogram h = {.zeros = 0};
	ebb_kernel_stats stats;
	counting_allocator a;
	int64_t infinite;
	double l2;

	ebb_flow_rank(x, 1); /* loads OpenBLAS */
	counting_allocator_install(&a);
	a.fail_at = 0;
	ck_assert(isnan(ebb_flow_rank(x, 1)));
	ck_assert(a.refused == 1 && a.live == 0);
	ebb_flow_rank(x, 1);
	ck_assert(a.calls == 2 && a.live == 0);
	/* The others need no memory, also for a view. */
	a.fail_at = a.calls;
	a.fail_after = true;
	ck_assert(ebb_flow_stats(view, -1, &stats, &infinite) && stats.n == 72);
	ck_assert(ebb_flow_gated_l2(view, view, -1, &l2));
	ck_assert(ebb_flow_histogram_add(view, -1, &h));
	ck_assert(a.refused == 1 && a.live == 0 && a.wrong == 0);
	counting_allocator_remove();
	ebb_tape_free(t);
	ebb_tensor_free(x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow measures");
	TCase *c = tcase_create("measures");

	tcase_add_test(c, norms_are_exact);
	tcase_add_loop_test(c, norms_of_views_are_exact, 0, 2);
	tcase_add_loop_test(c, values_that_are_not_finite_are_counted, 0, 2);
	tcase_add_loop_test(c, gated_norms_are_exact, 0, 8);
	tcase_add_loop_test(c, sums_of_calls_are_those_of_the_concatenation, 0, 4);
	tcase_add_loop_test(c, norms_of_large_tensors_are_estimated, 0, 2);
	tcase_add_test(c, the_measured_part_covers_the_whole_tensor);
	tcase_add_test(c, all_channels_are_measured_equally);
	tcase_add_test(c, blocks_lie_inside_and_apart);
	tcase_add_loop_test(c, histograms_count_signs_and_exponents, 0, 2);
#if EBB_HAVE_OPENBLAS
	tcase_add_test(c, the_effective_rank_is_that_of_lapack);
	tcase_add_test(c, known_ranks);
#else
	tcase_add_test(c, without_lapack_there_is_no_rank);
#endif
	tcase_add_test(c, refused_memory_leaks_nothing);
	suite_add_tcase(s, c);
	return run_suite(s);
}
