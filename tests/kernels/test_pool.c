/*
 * test_pool.c - maximum and average pooling against loops over windows.
 */
#include "kernel_test.h"

/* The rows (or columns) [first,end) of window i inside the image, and the length that counts in
 * the average. */
static void window(const ebb_pool_shape *s, bool rows, int64_t i, int64_t *first, int64_t *end,
	int64_t *length)
{
	int64_t size = rows ? s->h : s->w, out = rows ? s->oh : s->ow, k = rows ? s->kh : s->kw;
	int64_t pad = rows ? s->pad_top : s->pad_left, stride = rows ? s->stride_h : s->stride_w;

	if (s->adaptive) {
		*first = i * size / out;
		*end = ((i + 1) * size + out - 1) / out;
		*length = *end - *first;
		return;
	}
	*first = i * stride - pad;
	*end = *first + k;
	*length = (*end < size + pad ? *end : size + pad) - *first;
	*first = *first < 0 ? 0 : *first;
	*end = *end > size ? size : *end;
	if (!s->count_include_pad)
		*length = *end - *first;
}

static bool in_window(const ebb_pool_shape *s, bool rows, int64_t i, int64_t at)
{
	int64_t first, end, length;

	window(s, rows, i, &first, &end, &length);
	return at >= first && at < end;
}

static void check_average(ebb_pool_shape s)
{
	int64_t nx = s.n * s.h * s.w * s.c, ny = s.n * s.oh * s.ow * s.c;
	void *x = random_reals(nx), *y = reals(ny), *gy = random_reals(ny), *gx = reals(nx);
	double *want = bytes((size_t)nx * sizeof *want);

	K->avgpool(&s, x, y);
	K->avgpool_grad(&s, gy, gx);
	for (int64_t i = 0; i < ny; i++) {
		int64_t c = i % s.c, col = i / s.c % s.ow, row = i / s.c / s.ow % s.oh;
		int64_t image = i / s.c / s.ow / s.oh, r0, r1, c0, c1, h, w;
		double sum = 0;

		window(&s, true, row, &r0, &r1, &h);
		window(&s, false, col, &c0, &c1, &w);
		for (int64_t u = r0; u < r1; u++) {
			for (int64_t v = c0; v < c1; v++) {
				int64_t at = ((image * s.h + u) * s.w + v) * s.c + c;

				sum += get(x, at);
				want[at] += get(gy, i) / (double)(h * w);
			}
		}
		expect_near(get(y, i), sum / (double)(h * w), 16, "avgpool");
	}
	for (int64_t i = 0; i < nx; i++)
		expect_near(get(gx, i), want[i], 16, "avgpool_grad");
	release_all();
}

static int64_t position(const ebb_pool_shape *s, const void *index, int64_t i)
{
	return s->narrow ? ((const uint16_t *)index)[i] : ((const int32_t *)index)[i];
}

/* In place, if the shape permits it: the result is y, the maxima of x. */
static void check_over(const ebb_pool_shape *s, const void *x, const void *y)
{
	size_t size = (size_t)(s->n * s->h * s->w * s->c) * K->real_size;
	void *over = bytes(size);

	if (!K->maxpool_goes_over(s))
		return;
	memcpy(over, x, size);
	K->maxpool(s, over, over, NULL);
	ck_assert_mem_eq(over, y, (size_t)(s->n * s->oh * s->ow * s->c) * K->real_size);
}

static void check_maximum(ebb_pool_shape s)
{
	int64_t nx = s.n * s.h * s.w * s.c, ny = s.n * s.oh * s.ow * s.c;
	void *x = reals(nx), *y = reals(ny), *gy = random_reals(ny), *gx = reals(nx),
	     *z = reals(ny), *alone = reals(ny);
	void *index = bytes((size_t)ny * (s.narrow ? sizeof(uint16_t) : sizeof(int32_t)));
	double *want = bytes((size_t)nx * sizeof *want);

	for (int64_t i = 0; i < nx; i++)
		set(x, i, any(0, 80) ? (double)any(-6, 6) : any(0, 1) ? NAN : -INFINITY);
	K->maxpool(&s, x, y, index);
	K->maxpool(&s, x, alone, NULL);
	ck_assert_mem_eq(alone, y, (size_t)ny * K->real_size);
	check_over(&s, x, y);
	K->maxpool_scatter(&s, gy, index, gx);
	K->maxpool_gather(&s, x, index, z);
	for (int64_t i = 0; i < ny; i++) {
		int64_t c = i % s.c, col = i / s.c % s.ow, row = i / s.c / s.ow % s.oh;
		int64_t image = i / s.c / s.ow / s.oh, best = -1;

		for (int64_t u = 0; u < (s.adaptive ? s.h : s.kh); u++) {
			for (int64_t v = 0; v < (s.adaptive ? s.w : s.kw); v++) {
				int64_t p = row * s.stride_h - s.pad_top + u * s.dilation_h;
				int64_t q = col * s.stride_w - s.pad_left + v * s.dilation_w, at;

				if (s.adaptive) {
					p = in_window(&s, true, row, u) ? u : -1;
					q = in_window(&s, false, col, v) ? v : -1;
				}
				at = ((image * s.h + p) * s.w + q) * s.c + c;

				if (p < 0 || p >= s.h || q < 0 || q >= s.w)
					continue;
				if (best < 0 ||
					(!isnan(get(x, best)) &&
						(isnan(get(x, at)) || get(x, at) > get(x, best))))
					best = at;
			}
		}
		expect(best >= 0);
		expect(position(&s, index, i) == best / s.c - image * s.h * s.w);
		expect(near(get(y, i), get(x, best), 0) && near(get(z, i), get(x, best), 0));
		want[best] += get(gy, i);
	}
	for (int64_t i = 0; i < nx; i++)
		expect_near(get(gx, i), want[i], 16, "maxpool_scatter");
	/* of several values for one position the last remains */
	K->maxpool_put(&s, gy, index, gx);
	memset(want, 0, (size_t)nx * sizeof *want);
	for (int64_t i = 0; i < ny; i++)
		want[(i / s.c / s.ow / s.oh * s.h * s.w + position(&s, index, i)) * s.c + i % s.c] =
			get(gy, i);
	for (int64_t i = 0; i < nx; i++)
		expect(get(gx, i) == want[i]);
	release_all();
}

/* Indices outside their windows, as of an unpooling. */
static void check_anywhere(void)
{
	ebb_pool_shape s = {.n = any(0, 3),
		.c = any(1, 20),
		.h = any(1, 12),
		.w = any(1, 12),
		.oh = any(1, 5),
		.ow = any(1, 5)};
	int64_t nx = s.n * s.h * s.w * s.c, ny = s.n * s.oh * s.ow * s.c;
	void *gy = random_reals(ny), *gx = reals(nx), *z = reals(ny);
	int32_t *index = bytes((size_t)ny * sizeof *index);
	double *want = bytes((size_t)nx * sizeof *want);

	for (int64_t i = 0; i < ny; i++) {
		index[i] = (int32_t)any(0, s.h * s.w - 1);
		want[(i / s.c / s.ow / s.oh * s.h * s.w + index[i]) * s.c + i % s.c] += get(gy, i);
	}
	K->maxpool_scatter(&s, gy, index, gx);
	for (int64_t i = 0; i < nx; i++)
		expect_near(get(gx, i), want[i], 16, "maxpool_scatter anywhere");
	K->maxpool_gather(&s, gx, index, z);
	for (int64_t i = 0; i < ny; i++)
		expect(get(z, i) ==
			get(gx, (i / s.c / s.ow / s.oh * s.h * s.w + index[i]) * s.c + i % s.c));
	release_all();
}

static ebb_pool_shape random_pool(void)
{
	for (;;) {
		ebb_pool_shape s = {.n = any(0, 3),
			.c = any(0, 9) ? any(1, 20) : any(1, 150),
			.h = any(1, 12),
			.w = any(1, 12),
			.kh = any(1, 4),
			.kw = any(1, 4),
			.stride_h = any(1, 4),
			.stride_w = any(1, 4),
			.dilation_h = any(1, 2),
			.dilation_w = any(1, 2)};
		int64_t h, w;

		s.pad_top = any(0, s.kh / 2);
		s.pad_left = any(0, s.kw / 2);
		if (!any(0, 2)) /* channels of whole cache lines */
			s.c = 16 * any(1, 3);
		if (!any(0, 3)) { /* windows that tile the image */
			s.stride_h = s.kh;
			s.stride_w = s.kw;
			s.h = s.kh * any(1, 5);
			s.w = s.kw * any(1, 5);
			s.pad_top = s.pad_left = 0;
			s.dilation_h = s.dilation_w = 1;
		}
		h = s.h + 2 * s.pad_top - (s.kh - 1) * s.dilation_h - 1;
		w = s.w + 2 * s.pad_left - (s.kw - 1) * s.dilation_w - 1;
		if (h < 0 || w < 0)
			continue;
		s.oh = h / s.stride_h + 1;
		s.ow = w / s.stride_w + 1;
		/* as with a rounded-up output size: one more window if it starts inside */
		if (any(0, 1) && s.oh * s.stride_h < s.h + s.pad_top && s.dilation_h == 1)
			s.oh++;
		/* every window must contain an element of the image: callers check that */
		for (int64_t i = 0; i < s.oh; i++) {
			bool meets = false;

			for (int64_t u = 0; u < s.kh; u++) {
				int64_t p = i * s.stride_h - s.pad_top + u * s.dilation_h;

				meets |= p >= 0 && p < s.h;
			}
			if (!meets)
				s.oh = i;
		}
		for (int64_t i = 0; i < s.ow; i++) {
			bool meets = false;

			for (int64_t u = 0; u < s.kw; u++) {
				int64_t p = i * s.stride_w - s.pad_left + u * s.dilation_w;

				meets |= p >= 0 && p < s.w;
			}
			if (!meets)
				s.ow = i;
		}
		return s;
	}
}

static void pools(void)
{
	for (int i = 0; i < CASES(300); i++) {
		ebb_pool_shape s = random_pool();

		check_maximum(s);
		check_anywhere();
		s.narrow = true;
		check_maximum(s);
		s = random_pool();
		if (s.dilation_h > 1 || s.dilation_w > 1)
			continue;
		s.count_include_pad = any(0, 1);
		check_average(s);
		s.adaptive = true;
		s.oh = any(1, 5);
		s.ow = any(1, 15);
		check_average(s);
		check_maximum(s);
	}
	/* the last position that fits 16 bits, and the first that does not */
	for (int64_t w = 256; w <= 257; w++)
		check_maximum((ebb_pool_shape){.n = 1,
			.c = 1,
			.h = 256,
			.w = w,
			.oh = 128,
			.ow = w / 2,
			.kh = 2,
			.kw = 2 + w % 2,
			.stride_h = 2,
			.stride_w = 2,
			.dilation_h = 1,
			.dilation_w = 1,
			.narrow = w == 256});
	check_maximum((ebb_pool_shape){.n = 9,
		.c = 6,
		.h = 28,
		.w = 28,
		.oh = 14,
		.ow = 14,
		.kh = 2,
		.kw = 2,
		.stride_h = 2,
		.stride_w = 2,
		.dilation_h = 1,
		.dilation_w = 1});
}

START_TEST(pooling_equals_loops_over_windows)
{
	each_table(pools);
}
END_TEST

TCase *tests_pool(void)
{
	TCase *c = tcase_create("pool");

	tcase_add_test(c, pooling_equals_loops_over_windows);
	return c;
}
