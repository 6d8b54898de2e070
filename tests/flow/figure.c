/* figure.c - axes, and figures whose pixels are read back. */
#include "flow/internal.h"
#include "tests/support/support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Axes ---- */

START_TEST(linear_ticks_are_round)
{
	static const struct {
		double lo, hi, step;
	} cases[] = {{0, 1, 0.2}, {0, 97, 20}, {-3.3, 4.1, 2}, {1e-9, 5e-9, 1e-9},
		{1000, 1001, 0.2}, {-5e6, 9e6, 5e6}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ebb_axis a;
		ebb_axis_fit(&a, false, cases[i].lo, cases[i].hi, false, 5);
		ck_assert(a.lo <= cases[i].lo + 1e-12 * fabs(cases[i].lo));
		ck_assert(a.hi >= cases[i].hi - 1e-12 * fabs(cases[i].hi));
		ck_assert_int_ge(a.n, 3);
		ck_assert_int_le(a.n, 9);
		for (int k = 1; k < a.n; k++)
			ck_assert_msg(fabs(a.tick[k] - a.tick[k - 1] - cases[i].step) <
					      1e-6 * cases[i].step,
				"case %zu: step %g", i, a.tick[k] - a.tick[k - 1]);
		ck_assert(ebb_axis_place(&a, a.lo) == 0 && ebb_axis_place(&a, a.hi) == 1);
	}
}
END_TEST

START_TEST(log_ticks_are_decades)
{
	ebb_axis a;

	ebb_axis_fit(&a, true, 3e-4, 20, false, 8);
	ck_assert(a.lo == -4 && a.hi == 2);
	ck_assert_int_eq(a.n, 7);
	ck_assert_int_eq(a.minor_n, 6 * 8);
	ebb_axis_fit(&a, true, 2e-17, 0.05, false, 10);
	ck_assert(a.powers);
	ck_assert_int_le(a.n, 12);
	for (int k = 0; k < a.n; k++) { /* even exponents, the multiples of the step 2 */
		ck_assert(fmod(a.tick[k], 2) == 0);
	}
	ck_assert(a.lo <= log10(2e-17) && a.hi >= log10(0.05));
	ebb_axis_fit(&a, true, 5, 5, false, 5);
	ck_assert(a.lo == 0 && a.hi == 1);
	ebb_axis_fit(&a, true, NAN, -1, false, 5);
	ck_assert(isfinite(a.lo) && a.hi > a.lo);
	ebb_axis_fit(&a, true, 1e-300, 1e300, false, 5);
	ck_assert_int_ge(a.n, 3);
}
END_TEST

/* Positions match logarithms in long double.  Ticks are inside the axis, in order, and neither too
 * few nor too many; minor ticks cover the whole axis. */
START_TEST(a_log_axis_holds_every_positive_number)
{
	static const double ranges[][2] = {{DBL_TRUE_MIN, DBL_TRUE_MIN}, {DBL_TRUE_MIN, DBL_MAX},
		{DBL_MAX, DBL_MAX}, {DBL_TRUE_MIN, 1}, {1, DBL_MAX}, {DBL_MIN, DBL_MAX},
		{1e-310, 1}, {1e-323, 1e-305}, {3e-301, 2e-299}, {1e306, DBL_MAX}, {1e-60, 1e60}};

	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
		for (int fixed = 0; fixed <= 1; fixed++) {
			double lo = ranges[i][0], hi = ranges[i][1], gap = 0;
			long double from, to;
			ebb_axis a;

			if (fixed && lo == hi)
				continue;
			ebb_axis_fit(&a, true, lo, hi, fixed, 8);
			from = fixed ? log10l(lo) : a.lo;
			to = fixed ? log10l(hi) : a.hi;
			ck_assert(isfinite(a.lo) && isfinite(a.hi) && a.lo < a.hi);
			for (int k = 0; k <= 100; k++) {
				long double l = log10l(lo) + k * (log10l(hi) - log10l(lo)) / 100;
				double v = (double)fminl(fmaxl(powl(10, l), lo), hi);
				double place = ebb_axis_place(&a, ebb_axis_of(&a, v));

				ck_assert_msg(place >= 0 && place <= 1, "case %zu: %g at %g", i, v,
					place);
				ck_assert(fabsl(place - (log10l(v) - from) / (to - from)) < 1e-12L);
			}
			ck_assert_msg(a.n >= 1 + !fixed && a.n <= 10, "case %zu: %d ticks", i, a.n);
			for (int k = 0; k < a.n; k++)
				ck_assert(a.tick[k] == rint(a.tick[k]) &&
					  a.tick[k] >= a.lo - 1e-6 && a.tick[k] <= a.hi + 1e-6 &&
					  (k == 0 || a.tick[k] > a.tick[k - 1]));
			for (int k = 0; k <= a.minor_n; k++) {
				double below = k ? a.minor[k - 1] : a.lo;

				gap = fmax(gap, (k < a.minor_n ? a.minor[k] : a.hi) - below);
			}
			ck_assert_msg(gap <= 0.31 || gap <= (a.hi - a.lo) / 4,
				"case %zu: no minor tick in %g of %g", i, gap, a.hi - a.lo);
		}
	}
}
END_TEST

START_TEST(a_linear_axis_holds_every_number)
{
	static const double ranges[][2] = {{-DBL_MAX, DBL_MAX}, {-1e308, 1.5e308}, {0, DBL_MAX},
		{DBL_MAX, DBL_MAX}, {0, DBL_TRUE_MIN}, {DBL_TRUE_MIN, 1e-320}, {-1e-310, 1e-300},
		{DBL_TRUE_MIN, DBL_TRUE_MIN}};

	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
		ebb_axis a;
		double lo, hi;

		ebb_axis_fit(&a, false, ranges[i][0], ranges[i][1], false, 5);
		lo = ebb_axis_place(&a, ranges[i][0]);
		hi = ebb_axis_place(&a, ranges[i][1]);
		ck_assert_msg(lo >= 0 && lo <= hi && hi <= 1, "case %zu: from %g to %g", i, lo, hi);
		ck_assert_msg(a.n >= 2 && a.n <= 12, "case %zu: %d ticks", i, a.n);
		for (int k = 0; k < a.n; k++)
			ck_assert(isfinite(a.tick[k]) && a.tick[k] >= a.lo && a.tick[k] <= a.hi);
	}
}
END_TEST

START_TEST(axes_of_empty_infinite_and_decreasing_ranges_are_finite)
{
	ebb_axis a;
	const double ranges[][2] = {
		{0, 0}, {7, 7}, {-2, -2}, {INFINITY, -INFINITY}, {NAN, NAN}, {0, INFINITY}};

	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
		ebb_axis_fit(&a, false, ranges[i][0], ranges[i][1], false, 5);
		ck_assert(isfinite(a.lo) && isfinite(a.hi) && a.hi > a.lo);
		ck_assert_int_ge(a.n, 2);
	}
	ebb_axis_fit(&a, false, 24, 1, true, 5); /* decreasing, with its ends among the ticks */
	ck_assert(a.lo == 24 && a.hi == 1);
	ck_assert(ebb_axis_place(&a, 24) == 0 && ebb_axis_place(&a, 1) == 1);
	bool first = false, last = false;
	for (int k = 0; k < a.n; k++) {
		first = first || a.tick[k] == 1;
		last = last || a.tick[k] == 24;
	}
	ck_assert(first && last);
}
END_TEST

START_TEST(tick_labels_are_short)
{
	ebb_axis a;
	char s[64];

	ebb_axis_fit(&a, false, 0, 1, false, 5);
	ck_assert_str_eq(ebb_axis_label(&a, 0.4, s, sizeof s), "0.4");
	ck_assert_str_eq(ebb_axis_label(&a, 0, s, sizeof s), "0.0");
	ck_assert_str_eq(ebb_axis_label(&a, -0.4, s, sizeof s), "−0.4");
	ebb_axis_fit(&a, false, 0, 500, false, 5);
	ck_assert_str_eq(ebb_axis_label(&a, 200, s, sizeof s), "200");
	ebb_axis_fit(&a, true, 0.01, 100, false, 6);
	ck_assert(!a.powers);
	ck_assert_str_eq(ebb_axis_label(&a, -2, s, sizeof s), "0.01");
	ebb_axis_fit(&a, true, 1e-12, 1, false, 6);
	ck_assert_str_eq(ebb_axis_label(&a, -8, s, sizeof s), "−8");
}
END_TEST

/* ---- Figures ---- */

enum { POINTS = 50 };
static double falling[POINTS], noisy[POINTS];
static const ebb_series curves[] = {
	{.label = "falling", .n = POINTS, .y = falling, .points = true},
	{.label = "noisy\nwith a second line", .n = POINTS, .y = noisy},
	{.n = POINTS, .y = noisy, .faint = true, .colour = 3},
};
static const ebb_panel two_panels[] = {
	{.title = "Left",
		.x_label = "x",
		.y_label = "y",
		.y_log = true,
		.n = 3,
		.series = curves,
		.x_range = {POINTS, 0}},
	{.title = "Right", .n = 2, .series = curves, .legend = EBB_LEGEND_BOX},
};
static const ebb_figure example = {.title = "Title",
	.subtitle = "Subtitle",
	.footer = "Footer",
	.n = 2,
	.panels = two_panels,
	.width = 800,
	.height = 400};

static void fill(void)
{
	for (int i = 0; i < POINTS; i++) {
		falling[i] = pow(0.5, i);
		noisy[i] = 1 + 0.5 * sin(i * i);
	}
	noisy[7] = NAN; /* a gap */
	noisy[20] = -1; /* not on a log axis */
}

#ifdef EBB_HAVE_CAIRO

static char directory[40];

static const char *in_directory(const char *name)
{
	static char path[100];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	return path;
}

/* The number of colours of a picture, at most limit. */
static int colours_of(cairo_surface_t *s, int limit)
{
	int w = cairo_image_surface_get_width(s), h = cairo_image_surface_get_height(s), n = 0;
	int stride = cairo_image_surface_get_stride(s);
	const unsigned char *data = cairo_image_surface_get_data(s);
	uint32_t seen[64];

	for (int y = 0; y < h; y++)
		for (int x = 0; x < w && n < limit; x++) {
			uint32_t v;
			int k = 0;
			memcpy(&v, data + (size_t)y * stride + 4 * (size_t)x, 4);
			v &= 0xFFFFFF;
			while (k < n && seen[k] != v)
				k++;
			if (k == n)
				seen[n++] = v;
		}
	return n;
}

static uint32_t corner(cairo_surface_t *s)
{
	uint32_t v;

	memcpy(&v, cairo_image_surface_get_data(s), 4);
	return v & 0xFFFFFF;
}

START_TEST(png_has_the_size_and_content)
{
	ebb_error e = {0};
	ebb_figure f = example;

	fill();
	strcpy(directory, "/tmp/ebb-figure-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	for (int dark = 0; dark < 2; dark++) {
		f.dark = dark;
		ck_assert_msg(ebb_figure_save(&f, in_directory("a.png"), &e), "%s", e.message);
		cairo_surface_t *s = cairo_image_surface_create_from_png(in_directory("a.png"));
		ck_assert_int_eq(cairo_surface_status(s), CAIRO_STATUS_SUCCESS);
		ck_assert_int_eq(cairo_image_surface_get_width(s), 1600);
		ck_assert_int_eq(cairo_image_surface_get_height(s), 800);
		ck_assert_int_ge(colours_of(s, 40), 40);
		ck_assert_int_eq(corner(s), dark ? 0x14171C : 0xFFFFFF);
		cairo_surface_destroy(s);
		unlink(in_directory("a.png"));
	}
	f.width = f.height = 0;
	f.columns = 1;
	ck_assert(ebb_figure_save(&f, in_directory("b.png"), &e));
	cairo_surface_t *s = cairo_image_surface_create_from_png(in_directory("b.png"));
	ck_assert_int_eq(cairo_image_surface_get_width(s), 1280);
	ck_assert_int_eq(cairo_image_surface_get_height(s), 1920);
	cairo_surface_destroy(s);
	unlink(in_directory("b.png"));
	rmdir(directory);
}
END_TEST

/* The number of columns of a picture that have a pixel of a colour. */
static int columns_with(cairo_surface_t *s, uint32_t colour)
{
	int w = cairo_image_surface_get_width(s), h = cairo_image_surface_get_height(s), n = 0;
	int stride = cairo_image_surface_get_stride(s);
	const unsigned char *data = cairo_image_surface_get_data(s);

	for (int x = 0; x < w; x++) {
		bool there = false;

		for (int y = 0; y < h && !there; y++) {
			uint32_t v;

			memcpy(&v, data + (size_t)y * (size_t)stride + 4 * (size_t)x, 4);
			there = (v & 0xFFFFFF) == colour;
		}
		n += there;
	}
	return n;
}

/* A curve reaches from edge to edge for numbers of any magnitude. */
START_TEST(small_and_large_gradients_are_drawn)
{
	static const double ends[][2] = {{1, 1e-10}, {1, 1e-299}, {1, 1e-301}, {1, 1e-310},
		{1e-305, DBL_TRUE_MIN}, {DBL_MAX, DBL_TRUE_MIN}, {DBL_MAX, 1}};
	double y[POINTS];
	const ebb_series s = {.n = POINTS, .y = y, .colour = 1};
	const ebb_panel p = {.y_log = true, .n = 1, .series = &s};
	int wanted = 0;

	strcpy(directory, "/tmp/ebb-figure-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		int columns;

		for (int k = 0; k < POINTS; k++) {
			long double t = (long double)k / (POINTS - 1);

			y[k] = (double)(powl(ends[i][0], 1 - t) * powl(ends[i][1], t));
		}
		y[0] = ends[i][0];
		y[POINTS - 1] = ends[i][1];
		ck_assert(ebb_figure_save(
			&(ebb_figure){.n = 1, .panels = &p}, in_directory("a.png"), NULL));
		cairo_surface_t *png = cairo_image_surface_create_from_png(in_directory("a.png"));
		columns = columns_with(png, 0x0072B2);
		cairo_surface_destroy(png);
		unlink(in_directory("a.png"));
		wanted = i == 0 ? columns : wanted;
		ck_assert_int_gt(wanted, 1000);
		ck_assert_msg(columns > 0.95 * wanted, "from %g to %g: %d columns of %d",
			ends[i][0], ends[i][1], columns, wanted);
	}
	rmdir(directory);
}
END_TEST

START_TEST(svg_and_pdf_files_are_written)
{
	ebb_error e = {0};
	char head[8] = "";
	ebb_text svg = {0};

	fill();
	strcpy(directory, "/tmp/ebb-figure-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_msg(ebb_figure_save(&example, in_directory("a.pdf"), &e), "%s", e.message);
	FILE *f = fopen(in_directory("a.pdf"), "rb");
	ck_assert_int_eq(fread(head, 1, 5, f), 5);
	fclose(f);
	ck_assert_str_eq(head, "%PDF-");
	unlink(in_directory("a.pdf"));
	rmdir(directory);
	ck_assert_msg(ebb_figure_svg(&example, &svg, &e), "%s", e.message);
	ck_assert_ptr_nonnull(strstr(svg.data, "<svg"));
	ck_assert_ptr_nonnull(strstr(svg.data, "</svg>"));
	ck_assert_ptr_nonnull(strstr(svg.data, "width=\"800"));
	ebb_text_free(&svg);
}
END_TEST

START_TEST(nan_infinite_and_missing_data_is_drawn)
{
	static const double none[] = {NAN, INFINITY, -INFINITY}, one[] = {5},
			    huge[] = {1e308, -1e308, 0};
	static const ebb_series strange[] = {{.label = "none", .n = 3, .y = none},
		{.label = "one", .n = 1, .y = one, .points = true}, {.label = "", .n = 0},
		{.label = "huge", .n = 3, .y = huge}};
	ebb_text svg = {0};
	ebb_error e = {0};

	for (int bits = 0; bits < 32; bits++) {
		ebb_panel p = {.title = "",
			.x_log = bits & 1,
			.y_log = bits >> 1 & 1,
			.n = 1 + bits % 4,
			.series = strange,
			.legend = (ebb_legend)(bits % 3)};
		ebb_figure f = {.n = 1,
			.panels = &p,
			.width = bits & 4 ? 100 : 0,
			.height = bits & 8 ? 100 : 0};
		ck_assert_msg(ebb_figure_svg(&f, &svg, &e), "%s", e.message);
		ck_assert_ptr_null(strstr(svg.data, "nan"));
	}
	const ebb_panel empty = {.n = 0};
	const ebb_figure f = {.n = 1, .panels = &empty};
	ck_assert_msg(ebb_figure_svg(&f, &svg, &e), "%s", e.message);
	ebb_text_free(&svg);
}
END_TEST

START_TEST(bad_figures_are_errors)
{
	static const ebb_panel curveless = {.n = 1};
	static const struct {
		ebb_figure figure;
		const char *path, *words;
		ebb_status status;
	} cases[] = {
		{{.n = 2, .panels = two_panels}, "/tmp/x.gif", ".png, .svg or .pdf", EBB_INVALID},
		{{.n = 2, .panels = two_panels}, NULL, "NULL", EBB_INVALID},
		{{.n = 0}, "/tmp/x.png", "no panel", EBB_INVALID},
		{{.n = 2, .panels = two_panels, .width = 20, .height = 300}, "/tmp/x.png",
			"20 by 300", EBB_INVALID},
		{{.n = 2, .panels = two_panels, .width = NAN}, "/tmp/x.png", "size", EBB_INVALID},
		{{.n = 2, .panels = two_panels}, "/nonexistent/x.png", "/nonexistent/x.png",
			EBB_BAD_FILE},
		{{.n = 1, .panels = &curveless}, "/tmp/x.png", "panel 0", EBB_INVALID},
	};

	fill();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ebb_error e = {0};
		ck_assert(!ebb_figure_save(&cases[i].figure, cases[i].path, &e));
		ck_assert_msg(e.status == cases[i].status && strstr(e.message, cases[i].words),
			"case %zu: %s", i, e.message);
	}
	ebb_error e = {0};
	ck_assert(!ebb_figure_svg(NULL, &(ebb_text){0}, &e));
	ck_assert(!ebb_figure_svg(&example, NULL, NULL));
}
END_TEST

START_TEST(every_allocation_failure_is_an_error)
{
	counting_allocator a;
	int failures = 0;

	fill();
	counting_allocator_install(&a);
	for (int64_t n = 0;; n++) {
		ebb_text svg = {0};
		ebb_error e = {0};
		a.calls = a.refused = 0;
		a.fail_at = n;
		bool ok = ebb_figure_svg(&example, &svg, &e);
		ck_assert(ok == (a.refused == 0));
		ck_assert(ok || e.status == EBB_NO_MEMORY);
		ebb_text_free(&svg);
		ck_assert_int_eq(a.live, 0);
		if (ok)
			break;
		failures++;
	}
	ck_assert_int_ge(failures, 3);
	ck_assert_int_eq(a.wrong, 0);
	counting_allocator_remove();
}
END_TEST

#else

START_TEST(without_cairo_drawing_is_an_error)
{
	ebb_error e = {0};

	fill();
	ck_assert(!ebb_can_plot());
	ck_assert(!ebb_figure_save(&example, "/tmp/x.png", &e));
	ck_assert_int_eq(e.status, EBB_BAD_STATE);
	ck_assert_ptr_nonnull(strstr(e.message, "Cairo"));
	ck_assert(!ebb_figure_svg(&example, &(ebb_text){0}, NULL));
}
END_TEST

#endif

int main(void)
{
	Suite *s = suite_create("flow figure");
	TCase *c = tcase_create("figure");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, NULL, ebb_figures_end); /* for leak checkers */
	tcase_add_test(c, linear_ticks_are_round);
	tcase_add_test(c, log_ticks_are_decades);
	tcase_add_test(c, a_log_axis_holds_every_positive_number);
	tcase_add_test(c, a_linear_axis_holds_every_number);
	tcase_add_test(c, axes_of_empty_infinite_and_decreasing_ranges_are_finite);
	tcase_add_test(c, tick_labels_are_short);
#ifdef EBB_HAVE_CAIRO
	tcase_add_test(c, png_has_the_size_and_content);
	tcase_add_test(c, small_and_large_gradients_are_drawn);
	tcase_add_test(c, svg_and_pdf_files_are_written);
	tcase_add_test(c, nan_infinite_and_missing_data_is_drawn);
	tcase_add_test(c, bad_figures_are_errors);
	tcase_add_test(c, every_allocation_failure_is_an_error);
#else
	tcase_add_test(c, without_cairo_drawing_is_an_error);
#endif
	suite_add_tcase(s, c);
	return run_suite(s);
}
