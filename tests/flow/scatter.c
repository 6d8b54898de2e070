/* scatter.c - scattered points and equal axes: figures whose pixels are read back. */
#include "flow/internal.h"
#include "tests/support/support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef EBB_HAVE_CAIRO

/* The pixels of a colour in a picture, whose channels may differ by 2 (in the order of memory on
 * little-endian machines): their number, and the rectangle around them. */
typedef struct found {
	int n, left, right, top, bottom;
} found;

static bool is_near(const unsigned char *pixel, uint32_t colour)
{
	for (int k = 0; k < 3; k++)
		if (abs(pixel[k] - (int)(colour >> 8 * k & 255)) > 2)
			return false;
	return true;
}

static found find(cairo_surface_t *s, uint32_t colour)
{
	int w = cairo_image_surface_get_width(s), h = cairo_image_surface_get_height(s);
	int stride = cairo_image_surface_get_stride(s);
	const unsigned char *data = cairo_image_surface_get_data(s);
	found f = {0, w, -1, h, -1};

	for (int y = 0; y < h; y++)
		for (int x = 0; x < w; x++) {
			if (!is_near(data + (size_t)y * (size_t)stride + 4 * (size_t)x, colour))
				continue;
			f.n++;
			f.left = x < f.left ? x : f.left;
			f.right = x > f.right ? x : f.right;
			f.top = y < f.top ? y : f.top;
			f.bottom = y;
		}
	return f;
}

/* The picture of one panel; the caller destroys it. */
static cairo_surface_t *drawn(const ebb_panel *p, bool dark)
{
	ebb_error e = {0};
	const char *path = temp_path("scatter.png");
	cairo_surface_t *s;

	ck_assert_msg(
		ebb_figure_save(
			&(ebb_figure){
				.n = 1, .panels = p, .dark = dark, .width = 400, .height = 300},
			path, &e),
		"%s", e.message);
	s = cairo_image_surface_create_from_png(path);
	ck_assert_int_eq(cairo_surface_status(s), CAIRO_STATUS_SUCCESS);
	return s;
}

/* The colour of a point that is drawn with 0.9 of the palette's colour on white. */
static uint32_t on_white(unsigned hex)
{
	uint32_t colour = 0;

	for (int shift = 0; shift < 24; shift += 8)
		colour |= (uint32_t)lrint(0.9 * (hex >> shift & 255) + 0.1 * 255) << shift;
	return colour;
}

static const double square_x[] = {0, 1, 1, 0}, square_y[] = {0, 0, 1, 1};

/* The corners of a square in the data are a square of pixels, whatever the panel's shape. */
START_TEST(equal_axes_have_equal_units)
{
	static const double ranges[][4] = {{0, 0, 0, 0}, {-1, 2, 0, 0}, {0, 0, -2, 3},
		{-1, 2, -2, 3}, {2, -1, 0, 0}, {-1, 4, 3, -2}};
	ebb_series s = {.n = 4, .x = square_x, .y = square_y, .colour = 1};

	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
		for (int scatter = 0; scatter < 2; scatter++) {
			ebb_panel p = {.n = 1,
				.series = &s,
				.equal = true,
				.x_range = {ranges[i][0], ranges[i][1]},
				.y_range = {ranges[i][2], ranges[i][3]},
				.legend = EBB_LEGEND_NONE};
			cairo_surface_t *picture;
			found f;

			s.scatter = scatter;
			picture = drawn(&p, false);
			f = find(picture, scatter ? on_white(0x0072B2) : 0x0072B2);
			cairo_surface_destroy(picture);
			ck_assert_msg(f.n > 50, "case %zu: %d pixels", i, f.n);
			ck_assert_msg(abs(f.right - f.left - (f.bottom - f.top)) <= 3,
				"case %zu: %d by %d pixels", i, f.right - f.left, f.bottom - f.top);
			ck_assert_int_gt(f.right - f.left, 50);
		}
}
END_TEST

START_TEST(other_axes_fill_the_panel)
{
	ebb_series s = {.n = 4, .x = square_x, .y = square_y, .colour = 1, .scatter = true};
	ebb_panel p = {.n = 1, .series = &s};
	cairo_surface_t *picture = drawn(&p, false);
	found f = find(picture, on_white(0x0072B2));

	cairo_surface_destroy(picture);
	ck_assert_int_gt(f.right - f.left, 500);
	ck_assert_int_gt(f.bottom - f.top, 350);
}
END_TEST

/* Points are not connected, larger markers have more pixels, and hollow ones fewer. */
START_TEST(markers_have_shapes_and_sizes)
{
	ebb_series s = {.n = 4, .x = square_x, .y = square_y, .colour = 1, .scatter = true};
	ebb_panel p = {.n = 1, .series = &s};
	uint32_t colour = on_white(0x0072B2);
	cairo_surface_t *pictures[EBB_MARKERS];
	size_t size = 0;

	for (int k = 0; k < EBB_MARKERS; k++) {
		cairo_surface_t *picture;
		int filled, large, hollow;

		s.marker = (ebb_marker)k;
		s.hollow = false;
		s.size = 12;
		picture = drawn(&p, false);
		filled = find(picture, colour).n;
		cairo_surface_destroy(picture);
		s.size = 24;
		pictures[k] = drawn(&p, false);
		large = find(pictures[k], colour).n;
		size = (size_t)cairo_image_surface_get_stride(pictures[k]) *
		       (size_t)cairo_image_surface_get_height(pictures[k]);
		s.hollow = true;
		picture = drawn(&p, false);
		hollow = find(picture, colour).n;
		cairo_surface_destroy(picture);
		ck_assert_msg(filled > 150 && filled < 4 * 24 * 24 * 2, "marker %d: %d", k, filled);
		ck_assert_msg(large > 1.8 * filled, "marker %d: %d, twice as large: %d", k, filled,
			large);
		ck_assert_msg(hollow > 0 && (k == EBB_CROSS ? hollow == large : hollow < large / 2),
			"marker %d: %d, hollow: %d", k, large, hollow);
		for (int j = 0; j < k; j++)
			ck_assert(memcmp(cairo_image_surface_get_data(pictures[j]),
					  cairo_image_surface_get_data(pictures[k]), size) != 0);
	}
	for (int k = 0; k < EBB_MARKERS; k++)
		cairo_surface_destroy(pictures[k]);
}
END_TEST

START_TEST(classes_and_values_have_colours)
{
	static const int64_t classes[] = {0, 1, -1, 2};
	static const char *const names[] = {"one", "two", "three"};
	static const double values[] = {0, 10, 5, NAN};
	ebb_series s = {.n = 4,
		.x = square_x,
		.y = square_y,
		.scatter = true,
		.size = 20,
		.classes = classes};
	ebb_panel p = {.n = 1, .series = &s, .value_label = "value"};
	cairo_surface_t *picture = drawn(&p, false);
	int without, with;

	ck_assert_int_gt(find(picture, on_white(0x0072B2)).n, 500);
	ck_assert_int_gt(find(picture, on_white(0xD55E00)).n, 500);
	ck_assert_int_gt(find(picture, on_white(0x009E73)).n, 500);
	ck_assert_int_gt(find(picture, on_white(0x5A6470)).n, 500);
	ck_assert_int_eq(find(picture, 0xD55E00).n, 0);
	without = find(picture, 0x1A1F26).n;
	cairo_surface_destroy(picture);
	/* The legend has the opaque colours of the classes, and their names. */
	s.class_names = names;
	s.class_count = 3;
	picture = drawn(&p, false);
	ck_assert_int_gt(find(picture, 0xD55E00).n, 50);
	with = find(picture, 0x1A1F26).n;
	ck_assert_int_gt(with, without + 20);
	cairo_surface_destroy(picture);

	for (int dark = 0; dark < 2; dark++) {
		ebb_canvas c = {.dark = dark};
		ebb_rgb least = ebb_map_colour(&c, 0), most = ebb_map_colour(&c, 1);
		int opaque[2];

		s.value = values;
		picture = drawn(&p, dark);
		/* The bar ends in the colours of the ends. */
		for (int k = 0; k < 2; k++) {
			ebb_rgb rgb = k ? most : least;

			opaque[k] = find(picture, (uint32_t)lrint(255 * rgb.r) << 16 |
							  (uint32_t)lrint(255 * rgb.g) << 8 |
							  (uint32_t)lrint(255 * rgb.b))
			                    .n;
			ck_assert_msg(opaque[k] >= 20, "%d pixels", opaque[k]);
		}
		cairo_surface_destroy(picture);
	}
	/* Class 8 has the colour of class 0 and the next shape. */
	{
		ebb_canvas c = {0};
		ebb_look first = ebb_class_look(&c, &p, 0, 0), ninth = ebb_class_look(&c, &p, 0, 8);

		ck_assert(first.colour.r == ninth.colour.r && first.colour.g == ninth.colour.g);
		ck_assert(first.marker == EBB_CIRCLE && ninth.marker == EBB_SQUARE);
	}
}
END_TEST

START_TEST(the_colour_map_grows_lighter)
{
	for (int dark = 0; dark < 2; dark++) {
		ebb_canvas c = {.dark = dark};
		double before = -1;

		for (int i = 0; i <= 100; i++) {
			ebb_rgb rgb = ebb_map_colour(&c, i / 100.0);
			double light = 0.2126 * rgb.r + 0.7152 * rgb.g + 0.0722 * rgb.b;

			ck_assert(light > before);
			before = light;
		}
		ck_assert(ebb_map_colour(&c, -5).r == ebb_map_colour(&c, 0).r);
		ck_assert(ebb_map_colour(&c, 7).r == ebb_map_colour(&c, 1).r);
		ck_assert(ebb_map_colour(&c, NAN).r == ebb_map_colour(&c, 0).r);
	}
}
END_TEST

START_TEST(nan_infinite_and_missing_points_are_drawn)
{
	static const double none[] = {NAN, INFINITY, -INFINITY}, one[] = {5},
			    huge[] = {DBL_MAX, -DBL_MAX, 0}, small[] = {0, DBL_TRUE_MIN, 0};
	static const double *const values[] = {none, huge, small};
	static const int64_t classes[] = {INT64_MAX, INT64_MIN, 100};
	static const char *const names[] = {NULL, "", "a"};
	ebb_series s[] = {{.label = "none", .n = 3, .y = none}, {.label = "one", .n = 1, .y = one},
		{.label = "", .n = 0}, {.label = "huge", .n = 3, .y = huge}};
	ebb_text svg = {0};
	ebb_error e = {0};

	for (int bits = 0; bits < 96; bits++) {
		ebb_panel p = {.n = 1 + bits % 4,
			.series = s,
			.equal = bits >> 2 & 1,
			.x_log = !(bits >> 2 & 1) && bits % 3 == 0,
			.legend = (ebb_legend)(bits % 3)};
		ebb_figure f = {.n = 1, .panels = &p, .width = bits & 8 ? 100 : 0};

		for (int k = 0; k < 4; k++) {
			s[k].scatter = true;
			s[k].value = k != 1 && bits & 16 ? values[bits % 3] : NULL;
			s[k].classes = k != 1 && bits & 32 ? classes : NULL;
			s[k].class_names = names;
			s[k].class_count = 3;
		}
		ck_assert_msg(ebb_figure_svg(&f, &svg, &e), "%s", e.message);
		ck_assert_ptr_null(strstr(svg.data, "nan"));
	}
	ebb_text_free(&svg);
}
END_TEST

START_TEST(svg_and_pdf_have_the_points)
{
	ebb_series s = {.n = 4, .x = square_x, .y = square_y, .scatter = true};
	ebb_panel p = {.n = 1, .series = &s, .x_range = {-1, 2}, .y_range = {-1, 2}};
	ebb_figure f = {.n = 1, .panels = &p};
	ebb_text with = {0}, without = {0};
	ebb_error e = {0};

	ck_assert_msg(ebb_figure_svg(&f, &with, &e), "%s", e.message);
	ck_assert_msg(ebb_figure_save(&f, temp_path("scatter.pdf"), &e), "%s", e.message);
	s.n = 2;
	ck_assert(ebb_figure_svg(&f, &without, &e));
	ck_assert_uint_gt(with.length, without.length + 200);
	ebb_text_free(&with);
	ebb_text_free(&without);
}
END_TEST

START_TEST(bad_options_are_errors)
{
	static const ebb_series large = {.size = 2000}, negative = {.size = -1},
				nan = {.size = NAN}, shape = {.marker = (ebb_marker)9},
				unnamed = {.class_count = 2};
	static const struct {
		ebb_panel panel;
		const char *words;
	} cases[] = {
		{{.n = 1, .series = &large}, "size 2000"},
		{{.n = 1, .series = &negative}, "size -1"},
		{{.n = 1, .series = &nan}, "size"},
		{{.n = 1, .series = &shape}, "marker 9"},
		{{.n = 1, .series = &unnamed}, "2 classes"},
		{{.equal = true, .x_log = true}, "linear"},
		{{.equal = true, .y_log = true}, "linear"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ebb_error e = {0};
		ebb_text svg = {0};

		ck_assert(!ebb_figure_svg(
			&(ebb_figure){.n = 1, .panels = &cases[i].panel}, &svg, &e));
		ck_assert_msg(e.status == EBB_INVALID && strstr(e.message, cases[i].words) &&
				      strstr(e.message, "panel 0"),
			"%s", e.message);
		ebb_text_free(&svg);
	}
}
END_TEST

static void tear_down(void)
{
	remove_temp_dir();
	ebb_figures_end(); /* for leak checkers */
}

#endif

int main(void)
{
	Suite *s = suite_create("flow scatter");
	TCase *c = tcase_create("scatter");

#ifdef EBB_HAVE_CAIRO
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, make_temp_dir, tear_down);
	tcase_add_test(c, equal_axes_have_equal_units);
	tcase_add_test(c, other_axes_fill_the_panel);
	tcase_add_test(c, markers_have_shapes_and_sizes);
	tcase_add_test(c, classes_and_values_have_colours);
	tcase_add_test(c, the_colour_map_grows_lighter);
	tcase_add_test(c, nan_infinite_and_missing_points_are_drawn);
	tcase_add_test(c, svg_and_pdf_have_the_points);
	tcase_add_test(c, bad_options_are_errors);
#endif
	suite_add_tcase(s, c);
	return run_suite(s);
}
