/* locale.c - what the library prints is the same in any locale; tested in one with a decimal
 * comma. */
#include "flow/internal.h"
#include "tests/flow/comma.h"
#include "tests/support/support.h"

#include <ctype.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Texts ---------------------------------------------------------------------------------- */

static void add_message(ebb_text *text, ebb_tape *t, const ebb_error *e)
{
	ebb_text_add(text, e ? e->message : ebb_error_message(t));
	ebb_text_add(text, "\n");
	ebb_clear_error(t);
}

/* Appends error messages with numbers, from every folder. */
static void write_messages(ebb_text *text)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_tensor *x = ebb_variable(t, ebb_full(t, EBB_SHAPE(2), -1.5));
	ebb_augment *a = ebb_augment_new(NULL);
	ebb_dataset *d = ebb_dataset_new(2, 1, 2, 2, 2, NULL), *parts[2];
	ebb_error e = {0};

	ebb_clamp(t, x, 1.5, 0.25);
	add_message(text, t, NULL);
	ebb_detect_anomaly(t, true);
	ebb_log(t, x);
	add_message(text, t, NULL);
	ebb_sgd(p, .lr = -0.125);
	add_message(text, t, ebb_params_error(p));
	ebb_augment_flip(a, .p = 1.5);
	add_message(text, t, ebb_augment_error(a));
	ebb_dataset_split(d, 1.25, &parts[0], &parts[1], .error = &e);
	add_message(text, t, &e);
	e = (ebb_error){0};
	ebb_image_write_png("/nonexistent/x.png", &(ebb_image){0}, &e);
	add_message(text, t, &e);
	e = (ebb_error){0};
	ebb_idx_read("/nonexistent/x", &e);
	add_message(text, t, &e);
	ebb_dataset_free(d);
	ebb_augment_free(a);
	ebb_params_free(p);
	ebb_tape_free(t);
}

/* Appends an SVG figure, without the numbers that Cairo assigns to its surfaces. */
static void write_figure(ebb_text *text)
{
	static const double y[] = {0.25, 1.5, 1e-8};
	static const ebb_series series = {.label = "1.5", .n = 3, .y = y};
	static const ebb_panel panels[2] = {{.title = "a", .n = 1, .series = &series},
		{.y_log = true, .n = 1, .series = &series}};
	static const ebb_figure figure = {.title = "f", .n = 2, .panels = panels};
	ebb_text svg = {0};

	ck_assert(ebb_figure_svg(&figure, &svg, NULL));
	for (const char *s = svg.data, *next; s; s = next) {
		next = strstr(s, "surface");
		ebb_text_bytes(text, s, next ? (size_t)(next - s) : strlen(s));
		for (next += next ? 7 : 0; next && isdigit((unsigned char)*next);)
			next++;
	}
	ebb_text_free(&svg);
}

/* Appends a run of two steps as table, CSV, verdict and page. */
static void write_run(ebb_text *text)
{
	ebb_tape *t = ebb_tape_new();
	ebb_probe *probe = ebb_probe_new(t);
	ebb_verdict v;
	const double loss[] = {2.5, 1.25};
	const ebb_report_network network = {.name = "n", .probe = probe, .losses = 2, .loss = loss};
	char *dot = NULL;
	size_t dot_size = 0;
	FILE *out = open_memstream(&dot, &dot_size);

	for (int k = 0; k < 2; k++) {
		ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(4)));

		for (int i = 0; i < 3; i++) {
			ebb_scope_begin(t, "layer");
			x = ebb_scope_end(t, ebb_mul_scalar(t, x, 0.1 + k));
		}
		ebb_backward(t, ebb_sum(t, x), .retain = true);
		ebb_probe_step(probe);
		if (k == 1)
			ck_assert(ebb_dump_dot(t, out));
		ebb_tape_reset(t);
	}
	fclose(out);
	ebb_text_add(text, dot);
	ck_assert(ebb_probe_table(probe, text, .bars = true));
	ck_assert(ebb_probe_csv(probe, text));
	ck_assert(ebb_probe_verdict(probe, 0, 0, NULL, &v));
	ebb_text_add(text, v.sentence);
	if (ebb_can_plot())
		write_figure(text);
	ck_assert(ebb_report_html(
		&(ebb_report){.title = "r", .networks = 1, .network = &network}, text, NULL));
	free(dot);
	ebb_probe_free(probe);
	ebb_tape_free(t);
}

/* ---- Tests ---------------------------------------------------------------------------------- */

START_TEST(text_and_messages_are_the_same_in_any_locale)
{
	ebb_text plain = {0}, german = {0};

	write_messages(&plain);
	write_run(&plain);
	ck_assert_msg(strstr(plain.data, "1.5") && strstr(plain.data, "-0.125"), "%s", plain.data);
	if (set_comma()) {
		write_messages(&german);
		write_run(&german);
		ck_assert(has_comma());
		setlocale(LC_ALL, "C");
		for (size_t i = 0; i < plain.length && i < german.length; i++)
			ck_assert_msg(plain.data[i] == german.data[i], "\"%.40s\" and \"%.40s\"",
				plain.data + (i < 20 ? 0 : i - 20),
				german.data + (i < 20 ? 0 : i - 20));
		ck_assert_int_eq((int)plain.length, (int)german.length);
	}
	ebb_text_free(&plain);
	ebb_text_free(&german);
}
END_TEST

/* Times differ from run to run, so this test checks only that no comma of a profile is between two
 * digits. */
START_TEST(profiles_have_decimal_points_in_any_locale)
{
	ebb_tape *t = ebb_tape_new();
	ebb_profile *profile = ebb_profile_new(t);
	ebb_text text = {0};

	ebb_exp(t, ebb_ones(t, EBB_SHAPE(4)));
	if (set_comma()) {
		ck_assert(ebb_profile_table(profile, EBB_BY_OP, &text));
		ck_assert(ebb_profile_trace(profile, &text));
		setlocale(LC_ALL, "C");
		for (const char *s = text.data; (s = strchr(s, ',')); s++)
			ck_assert_msg(
				!isdigit((unsigned char)s[-1]) || !isdigit((unsigned char)s[1]),
				"%.40s", s - 20);
	}
	ebb_text_free(&text);
	ebb_profile_free(profile);
	ebb_tape_free(t);
}
END_TEST

START_TEST(text_printf_prints_decimal_points)
{
	char buffer[64];
	ebb_text text = {0};
	bool comma = set_comma();

	ck_assert_str_eq(ebb_number(buffer, sizeof buffer, "%.3g", -1.25), "-1.25");
	ck_assert_str_eq(ebb_number(buffer, sizeof buffer, "%.2e", 1.5e-7), "1.50e-07");
	ck_assert_str_eq(ebb_number(buffer, sizeof buffer, "%.0f", 3), "3");
	ck_assert(ebb_text_printf(&text, "%d %.2f\n", 7, 0.25));
	ck_assert_str_eq(text.data, "7 0.25\n");
	/* Longer than the function's own buffer. */
	ck_assert(ebb_text_printf(&text, "%1000d|", 1));
	ck_assert_int_eq((int)text.length, 7 + 1001);
	ck_assert_str_eq(text.data + 7 + 998, " 1|");
	ck_assert(comma == has_comma());
	ebb_text_free(&text);
	setlocale(LC_ALL, "C");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow locale");
	TCase *c = tcase_create("locale");

	tcase_add_unchecked_fixture(c, make_locale, remove_temp_dir);
	tcase_add_test(c, text_and_messages_are_the_same_in_any_locale);
	tcase_add_test(c, profiles_have_decimal_points_in_any_locale);
	tcase_add_test(c, text_printf_prints_decimal_points);
	suite_add_tcase(s, c);
	return run_suite(s);
}
