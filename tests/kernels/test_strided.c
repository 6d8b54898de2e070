/*
 * test_strided.c - the functions of binary.def, choices, comparisons and copies over any strides.
 */
#include "../support/exact.h"
#include "kernel_test.h"

static const char *const names[] = {
#define BINARY(name, ...) #name,
#define BINARY_KERNEL(name, ...) #name,
#include "binary.def"
};

static double wanted(ebb_binary_fn f, double a, double b, double p)
{
	double y = (double)exact_binary(f, a, b, p);

	return f64 ? y : (double)(float)y;
}

/* Reals with some zeros, infinities, NaN and equal values. */
static void *odd_reals(int64_t n)
{
	static const double odd[] = {0, -0.0, INFINITY, -INFINITY, NAN, 1, -1, 2, 0.5, -3};
	void *x = random_reals(n);

	for (int64_t i = 0; i < n; i++) {
		if (any(0, 3) == 0)
			set(x, i, odd[any(0, 9)]);
	}
	return x;
}

static void dense(void)
{
	static const int64_t sizes[] = {0, 1, 7, 8, 100, 40000};

	for (int f = 0; f < EBB_BINARY_COUNT; f++) {
		for (int k = 0; k < 6; k++) {
			int64_t n = sizes[k];
			void *a = odd_reals(n), *b = odd_reals(n), *y = reals(n);

			K->binary((ebb_binary_fn)f, n, a, b, y, 0.125);
			for (int64_t i = 0; i < n; i++)
				expect_near(get(y, i),
					wanted((ebb_binary_fn)f, get(a, i), get(b, i), 0.125), 6,
					"binary %s of %g, %g", names[f], get(a, i), get(b, i));
			K->binary((ebb_binary_fn)f, n, a, b, a, 0.125);
			for (int64_t i = 0; i < n; i++)
				expect(near(get(a, i), get(y, i), 0));
			release_all();
		}
	}
}

START_TEST(binary_dense)
{
	each_table(dense);
}
END_TEST

/* A random layout of a shape: strides of a permutation of the axes, gaps, and broadcast axes. */
struct layout {
	int64_t stride[EBB_KERNEL_DIMS], size;
};

static struct layout random_layout(int ndim, const int64_t *shape, bool broadcast, bool gaps)
{
	struct layout l = {.size = 1};
	int order[EBB_KERNEL_DIMS];

	for (int d = 0; d < ndim; d++)
		order[d] = d;
	if (any(0, 1)) {
		for (int d = ndim - 1; d > 0; d--) {
			int o = (int)any(0, d), t = order[d];

			order[d] = order[o];
			order[o] = t;
		}
	}
	for (int k = ndim - 1; k >= 0; k--) {
		int d = order[k];

		if (broadcast && any(0, 2) == 0) {
			l.stride[d] = 0;
			continue;
		}
		l.stride[d] = l.size * (gaps && any(0, 5) == 0 ? 2 : 1);
		l.size = l.stride[d] * (shape[d] > 0 ? shape[d] : 1);
	}
	return l;
}

static int64_t random_shape(int *ndim, int64_t *shape)
{
	int64_t n;

	do {
		*ndim = (int)any(0, 5);
		n = 1;
		for (int d = 0; d < *ndim; d++) {
			shape[d] = any(0, 20) == 0 ? 0 : any(0, 8) == 0 ? any(30, 80) : any(1, 7);
			n *= shape[d];
		}
	} while (n > 5000);
	return n;
}

/* The offset of the i-th element, in reading order. */
static int64_t offset(int64_t i, int ndim, const int64_t *shape, const int64_t *stride)
{
	int64_t at = 0;

	for (int d = ndim - 1; d >= 0; d--) {
		at += i % shape[d] * stride[d];
		i /= shape[d];
	}
	return at;
}

static void strided(void)
{
	for (int round = 0; round < 300; round++) {
		int ndim, f = (int)any(0, EBB_BINARY_COUNT - 1);
		int64_t shape[EBB_KERNEL_DIMS], n = random_shape(&ndim, shape);
		struct layout la, lb, ly;
		void *a, *b, *y;

		if (round == 0) {
			ndim = 2;
			shape[0] = 9000;
			shape[1] = 6;
			n = 54000;
		} else if (round == 1) {
			ndim = 1;
			n = shape[0] = 70001;
		}
		la = random_layout(ndim, shape, true, true);
		lb = random_layout(ndim, shape, true, true);
		ly = random_layout(ndim, shape, false, true);
		if (round % 3 == 0)
			la = ly;
		a = odd_reals(la.size);
		b = odd_reals(lb.size);
		y = reals(ly.size);
		K->binary_strided((ebb_binary_fn)f, ndim, shape, a, la.stride, b, lb.stride, y,
			ly.stride, 0.125);
		for (int64_t i = 0; i < n; i++) {
			double u = get(a, offset(i, ndim, shape, la.stride));
			double v = get(b, offset(i, ndim, shape, lb.stride));

			expect_near(get(y, offset(i, ndim, shape, ly.stride)),
				wanted((ebb_binary_fn)f, u, v, 0.125), 6, "strided %s of %g, %g",
				names[f], u, v);
		}
		release_all();
	}
}

START_TEST(binary_strided)
{
	each_table(strided);
}
END_TEST

/* A vector over the channels, and one over the pixels, of NHWC images of any number of channels. */
static void channels(void)
{
	for (int64_t c = 1; c < 70; c += c < 20 ? 1 : 13) {
		int64_t shape[] = {37, c}, image[] = {c, 1}, vector[] = {0, 1}, pixel[] = {1, 0};
		void *x = random_reals(37 * c), *v = random_reals(c), *p = random_reals(37);
		void *y = reals(37 * c);

		K->binary_strided(EBB_BINARY_sub, 2, shape, x, image, v, vector, y, image, 0);
		for (int64_t i = 0; i < 37 * c; i++)
			expect_near(get(y, i), get(x, i) - get(v, i % c), 2, "channel vector");
		K->binary_strided(EBB_BINARY_sub, 2, shape, v, vector, x, image, y, image, 0);
		for (int64_t i = 0; i < 37 * c; i++)
			expect_near(
				get(y, i), get(v, i % c) - get(x, i), 2, "channel vector first");
		K->binary_strided(EBB_BINARY_div, 2, shape, x, image, p, pixel, y, image, 0);
		for (int64_t i = 0; i < 37 * c; i++)
			expect(fabs(get(y, i) - get(x, i) / get(p, i / c)) <=
				4 * epsilon() * fabs(get(y, i)));
		release_all();
	}
}

START_TEST(broadcasts)
{
	each_table(channels);
}
END_TEST

static void choices(void)
{
	for (int round = 0; round < 200; round++) {
		int ndim, c_size = round % 2 ? 1 : 8;
		int64_t shape[EBB_KERNEL_DIMS], n = random_shape(&ndim, shape);
		bool same = round % 4 < 2;
		struct layout ly = random_layout(ndim, shape, false, !same);
		struct layout lc = same ? ly : random_layout(ndim, shape, true, true);
		struct layout la = same ? ly : random_layout(ndim, shape, true, true);
		struct layout lb = same ? ly : random_layout(ndim, shape, true, true);
		uint8_t *c1 = bytes((size_t)lc.size);
		int64_t *c8 = bytes((size_t)lc.size * sizeof *c8);
		void *a = odd_reals(la.size), *b = odd_reals(lb.size), *y = reals(ly.size);

		for (int64_t i = 0; i < lc.size; i++) {
			c8[i] = any(0, 1) * (INT64_C(1) << any(0, 40));
			c1[i] = c8[i] != 0 ? (uint8_t)any(1, 255) : 0;
		}
		K->where_strided(ndim, shape, c_size == 1 ? (void *)c1 : (void *)c8, c_size,
			lc.stride, a, la.stride, b, lb.stride, y, ly.stride);
		for (int64_t i = 0; i < n; i++) {
			double u = get(a, offset(i, ndim, shape, la.stride));
			double v = get(b, offset(i, ndim, shape, lb.stride));
			bool c = c8[offset(i, ndim, shape, lc.stride)] != 0;

			expect(near(get(y, offset(i, ndim, shape, ly.stride)), c ? u : v, 0));
		}
		release_all();
	}
}

START_TEST(where)
{
	each_table(choices);
}
END_TEST

static bool compares(ebb_compare_fn f, double a, double b)
{
	switch (f) {
#define COMPARISON(name, relation)                                                                 \
	case EBB_COMPARE_##name:                                                                   \
		return a relation b;
#include "binary.def"
	case EBB_COMPARE_COUNT:
		break;
	}
	ck_abort();
}

static void comparisons(void)
{
	for (int round = 0; round < 200; round++) {
		ebb_compare_fn f = (ebb_compare_fn)(round % EBB_COMPARE_COUNT);
		int ndim;
		int64_t shape[EBB_KERNEL_DIMS], n = random_shape(&ndim, shape);
		struct layout ly, la, lb;
		void *a, *b;
		uint8_t *y;

		if (round < EBB_COMPARE_COUNT) {
			ndim = 2;
			shape[0] = 9000;
			shape[1] = 6;
			n = 54000;
		}
		ly = random_layout(ndim, shape, false, true);
		la = random_layout(ndim, shape, true, true);
		lb = round % 3 ? la : random_layout(ndim, shape, true, true);
		a = odd_reals(la.size);
		b = odd_reals(lb.size);
		y = bytes((size_t)ly.size);
		K->compare_strided(f, ndim, shape, a, la.stride, b, lb.stride, y, ly.stride);
		for (int64_t i = 0; i < n; i++) {
			double u = get(a, offset(i, ndim, shape, la.stride));
			double v = get(b, offset(i, ndim, shape, lb.stride));

			expect(y[offset(i, ndim, shape, ly.stride)] == compares(f, u, v));
		}
		release_all();
	}
}

START_TEST(compare)
{
	each_table(comparisons);
}
END_TEST

START_TEST(copies)
{
	for (int round = 0; round < 400; round++) {
		static const size_t elems[] = {1, 4, 8};
		size_t elem = elems[round % 3];
		int ndim;
		int64_t shape[EBB_KERNEL_DIMS], n = random_shape(&ndim, shape), base = 0;
		struct layout ls, ld;
		unsigned char *s, *d;

		if (round < 3) {
			ndim = 3;
			shape[0] = 2;
			shape[1] = 50;
			shape[2] = 700;
			n = 70000;
		}
		ls = random_layout(ndim, shape, true, true);
		ld = random_layout(ndim, shape, false, true);
		for (int k = 0; k < ndim && round % 2; k++) {
			if (any(0, 2) == 0 && shape[k] > 0) {
				base += (shape[k] - 1) * ls.stride[k];
				ls.stride[k] = -ls.stride[k];
			}
		}
		s = bytes((size_t)ls.size * elem);
		d = bytes((size_t)ld.size * elem);
		for (size_t i = 0; i < (size_t)ls.size * elem; i++)
			s[i] = (unsigned char)any(0, 255);
		ebb_copy_strided(
			elem, ndim, shape, s + (size_t)base * elem, ls.stride, d, ld.stride);
		for (int64_t i = 0; i < n; i++) {
			int64_t from = base + offset(i, ndim, shape, ls.stride);
			int64_t to = offset(i, ndim, shape, ld.stride);

			expect(memcmp(d + (size_t)to * elem, s + (size_t)from * elem, elem) == 0);
		}
		release_all();
	}
}
END_TEST

TCase *tests_strided(void)
{
	TCase *c = tcase_create("strided");

	tcase_add_test(c, binary_dense);
	tcase_add_test(c, binary_strided);
	tcase_add_test(c, broadcasts);
	tcase_add_test(c, where);
	tcase_add_test(c, compare);
	tcase_add_test(c, copies);
	return c;
}
