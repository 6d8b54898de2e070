/* output.c - text, tables and CSV: CSV can be read back, tables are aligned, and every allocation
 * may fail. */
#include "flow/internal.h"
#include "tests/support/support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A probe of two steps with three scopes, one of which has a name that CSV must quote. */
static ebb_probe *probed(ebb_tape *t)
{
	static const char *const names[] = {"first", "comma, \"quote\"", "größe"};
	ebb_probe *p = ebb_probe_new(t);

	for (int k = 0; k < 2; k++) {
		ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(4)));
		for (int i = 0; i < 3; i++) {
			ebb_scope_begin(t, names[i]);
			x = ebb_scope_end(t, ebb_mul_scalar(t, x, 0.1 + k));
		}
		ebb_backward(t, ebb_sum(t, x));
		ebb_probe_step(p);
		ebb_tape_reset(t);
	}
	return p;
}

/* ---- CSV ---- */

enum { FIELDS = 17 };

/* Reads one record of RFC 4180; returns the rest of s, or NULL at the end. */
static const char *record(const char *s, char field[FIELDS][100], int *n)
{
	*n = 0;
	if (!*s)
		return NULL;
	for (;;) {
		char *out = field[*n];
		if (*s == '"') {
			for (s++; *s && !(s[0] == '"' && s[1] != '"'); s++) {
				if (*s == '"')
					s++;
				*out++ = *s;
			}
			ck_assert_int_eq(*s, '"');
			s++;
		} else {
			while (*s && *s != ',' && *s != '\r')
				*out++ = *s++;
		}
		*out = '\0';
		++*n;
		if (*s == ',') {
			s++;
			ck_assert_int_lt(*n, FIELDS);
			continue;
		}
		ck_assert_int_eq(s[0], '\r');
		ck_assert_int_eq(s[1], '\n');
		return s + 2;
	}
}

START_TEST(csv_can_be_parsed)
{
	ebb_tape *t = ebb_tape_new();
	ebb_probe *p = probed(t);
	ebb_text text = {0};
	char field[FIELDS][100];
	int n, rows = 0;

	ck_assert(ebb_probe_csv(p, &text, .network = "a, b"));
	ck_assert(ebb_probe_csv(p, &text, .network = "again", .no_header = true));
	const char *s = record(text.data, field, &n);
	ck_assert_int_eq(n, FIELDS);
	ck_assert_str_eq(field[0], "network");
	ck_assert_str_eq(field[16], "update_ratio");
	while ((s = record(s, field, &n))) {
		ebb_layer_row row;
		int layer = 0, sample = atoi(field[1]);
		ck_assert_int_eq(n, FIELDS);
		ck_assert_str_eq(field[0], rows < 12 ? "a, b" : "again");
		ck_assert_str_eq(field[2], "layer");
		while (strcmp(ebb_probe_layer(p, layer).path, field[3]))
			layer++;
		ck_assert(ebb_probe_layer_row(p, sample, layer, &row));
		const ebb_stats *expected =
			strcmp(field[4], "gradient") ? &row.activation : &row.gradient;
		ck_assert_int_eq(atoi(field[5]), expected->count);
		ck_assert(fabs(atof(field[7]) - expected->mean) <= 1e-8 * fabs(expected->mean));
		ck_assert(fabs(atof(field[13]) - expected->l2) <= 1e-8 * expected->l2);
		ck_assert_str_eq(field[16], "nan");
		rows++;
	}
	ck_assert_int_eq(rows, 24);
	ebb_text_free(&text);
	ebb_probe_free(p);
	ebb_tape_free(t);
}
END_TEST

START_TEST(numbers_are_printed_in_short_form)
{
	char buffer[64];

	ck_assert_str_eq(ebb_number(buffer, sizeof buffer, "%.3g", NAN), "nan");
	ck_assert_str_eq(ebb_number(buffer, sizeof buffer, "%.3g", -INFINITY), "-inf");
	ck_assert_str_eq(ebb_pretty(buffer, sizeof buffer, 4.3e14), "4.3e14");
	ck_assert_str_eq(ebb_pretty(buffer, sizeof buffer, -2e-5), "-2.0e-5");
	ck_assert_str_eq(ebb_pretty(buffer, sizeof buffer, 0), "0");
	ck_assert_str_eq(ebb_pretty(buffer, sizeof buffer, 0.25), "0.25");
	ck_assert_str_eq(ebb_pretty(buffer, sizeof buffer, 1234.5), "1234");
	ck_assert_str_eq(ebb_pretty(buffer, sizeof buffer, NAN), "-");
	ck_assert_str_eq(ebb_pretty(buffer, sizeof buffer, INFINITY), "inf");
}
END_TEST

/* ---- Tables ---- */

START_TEST(table_lines_have_one_width)
{
	ebb_tape *t = ebb_tape_new();
	ebb_probe *p = probed(t);
	ebb_text text = {0}, fancy = {0};
	char copy[4000];
	int lines = 0, width = 0;

	ck_assert(ebb_probe_table(p, &text));
	snprintf(copy, sizeof copy, "%s", text.data);
	for (char *l = strtok(copy, "\n"); l; l = strtok(NULL, "\n"), lines++) {
		if (lines == 2)
			width = ebb_columns(l);
		if (lines > 2 && lines < 6)
			ck_assert_int_eq(ebb_columns(l), width);
	}
	ck_assert_int_eq(lines, 7); /* two headings, a rule, three layers, a note */
	ck_assert_ptr_nonnull(strstr(text.data, "zeros %"));
	ck_assert_ptr_nonnull(strstr(text.data, "größe"));
	ck_assert_ptr_nonnull(strstr(text.data, "medians over 2 sampled steps of 2"));
	ck_assert_ptr_null(strstr(text.data, "\033"));
	ck_assert(ebb_probe_table(p, &fancy, .colour = true, .bars = true));
	ck_assert_ptr_nonnull(strstr(fancy.data, "\033["));
	ck_assert_ptr_nonnull(strstr(fancy.data, "█"));
	ebb_text_free(&fancy);
	ck_assert(ebb_probe_table(p, &fancy, .bars = true, .ascii = true, .to = 1));
	ck_assert_ptr_nonnull(strstr(fancy.data, "##"));
	ck_assert_ptr_null(strstr(fancy.data, "─"));
	ebb_error e = {0};
	ck_assert(!ebb_probe_table(p, &fancy, .from = 10, .error = &e));
	ck_assert_int_eq(e.status, EBB_BAD_STATE);
	ck_assert_msg(strstr(e.message, "output.c:") && strstr(e.message, "from step 10"), "%s",
		e.message);
	ck_assert(!ebb_probe_table(NULL, &fancy));
	ck_assert(!ebb_probe_table(p, NULL));
	ck_assert(!ebb_probe_csv(NULL, &fancy));
	ebb_text_free(&fancy);
	ebb_text_free(&text);
	ebb_probe_free(p);
	ebb_tape_free(t);
}
END_TEST

/* The width of the longest line of a text, in columns. */
static int widest(const char *text)
{
	char line[400];
	int most = 0;

	for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
		snprintf(line, sizeof line, "%.*s", (int)(end - text), text);
		most = ebb_columns(line) > most ? ebb_columns(line) : most;
	}
	return most;
}

START_TEST(a_table_fits_into_a_width)
{
	ebb_tape *t = ebb_tape_new();
	ebb_probe *p = probed(t);
	int full[2], last = 1000;

	for (int bars = 0; bars < 2; bars++) {
		ebb_text text = {0};

		ck_assert(ebb_probe_table(p, &text, .bars = bars));
		full[bars] = widest(text.data);
		ebb_text_free(&text);
	}
	for (int width = 140; width >= 35; width--) {
		for (int bars = 0; bars < 2; bars++) {
			ebb_text text = {0};
			int wide;

			ck_assert(ebb_probe_table(
				p, &text, .bars = bars, .ascii = width % 2, .width = width));
			wide = widest(text.data);
			ck_assert_msg(wide <= width || (width < 40 && strstr(text.data, "medians")),
				"%d columns of %d", wide, width);
			ck_assert(width < full[bars] || wide == full[bars]);
			ck_assert_ptr_nonnull(strstr(text.data, "L2 norm"));
			ck_assert_ptr_nonnull(strstr(text.data, "\ngröße"));
			if (bars)
				last = wide;
			ebb_text_free(&text);
		}
		/* A column is left out only if it does not fit. */
		ck_assert_int_ge(last, (width < full[1] ? width : full[1]) - 14);
	}
	{
		ebb_text text = {0};

		ck_assert(ebb_probe_table(p, &text, .bars = true, .width = 19));
		ck_assert_ptr_nonnull(strstr(text.data, "\n…\"quote\" "));
		ebb_text_free(&text);
	}
	ebb_probe_free(p);
	ebb_tape_free(t);
}
END_TEST

START_TEST(bars_have_a_length_for_norms_of_any_magnitude)
{
	ck_assert(ebb_log_share(1e-310, 1e-310, 1) == 0);
	ck_assert(ebb_log_share(1, DBL_TRUE_MIN, 1) == 1);
	ck_assert(fabs(ebb_log_share(1e-155, 1e-310, 1) - 0.5) < 1e-12);
	ck_assert(fabs(ebb_log_share(1, DBL_TRUE_MIN, DBL_MAX) -
			  323.30621534311580 / (323.30621534311580 + 308.25471555991674)) < 1e-12);
	ck_assert(ebb_log_share(3, 3, 3) == 1);
}
END_TEST

/* ---- Text ---- */

START_TEST(sparklines_show_means_and_blanks)
{
	const double y[] = {0, 1, 2, 3, 4, 5, 6, 7}, flat[] = {2, 2}, holes[] = {NAN, 1, NAN, 0};
	ebb_text text = {0};

	ck_assert(ebb_text_sparkline(&text, 8, y, 8));
	ck_assert_str_eq(text.data, "▁▂▃▄▅▆▇█");
	text.length = 0;
	ck_assert(ebb_text_sparkline(&text, 8, y, 2));
	ck_assert_str_eq(text.data, "▁█");
	text.length = 0;
	ck_assert(ebb_text_sparkline(&text, 2, flat, 40));
	ck_assert_str_eq(text.data, "▁▁");
	text.length = 0;
	ck_assert(ebb_text_sparkline(&text, 4, holes, 4));
	ck_assert_str_eq(text.data, " █ ▁");
	ck_assert(ebb_text_sparkline(&text, 0, NULL, 10));
	ck_assert(ebb_text_sparkline(&text, 5, NULL, 2));
	ck_assert_str_eq(text.data, " █ ▁");
	ebb_text_free(&text);
	ck_assert_ptr_null(text.data);
}
END_TEST

START_TEST(base64_and_xml_escapes)
{
	static const char *const pairs[][2] = {{"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
		{"foobar", "Zm9vYmFy"}, {"\xff\xfe", "//4="}};
	ebb_text text = {0};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		ck_assert(ebb_text_base64(&text, pairs[i][0], strlen(pairs[i][0])));
		ck_assert_str_eq(text.data, pairs[i][1]);
		text.length = 0;
	}
	ck_assert(ebb_text_escaped(&text, "<a href=\"x\">'&'\x01</a>"));
	ck_assert_str_eq(text.data, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
	ebb_text_free(&text);
}
END_TEST

START_TEST(text_is_saved_to_a_file_or_fails_with_an_error)
{
	char path[] = "/tmp/ebb-text-XXXXXX", back[64] = "";
	int fd = mkstemp(path);
	FILE *f;
	ebb_text text = {0};
	ebb_error e = {0};

	ck_assert(ebb_text_add(&text, "größer\n"));
	ck_assert(ebb_text_save(&text, path, &e));
	close(fd);
	f = fopen(path, "rb");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fread(back, 1, sizeof back - 1, f), (int)text.length);
	fclose(f);
	ck_assert_str_eq(back, text.data);
	unlink(path);
	ck_assert(!ebb_text_save(&text, "/nonexistent/directory/x", &e));
	ck_assert_int_eq(e.status, EBB_BAD_FILE);
	ck_assert_ptr_nonnull(strstr(e.message, "/nonexistent/directory/x"));
	e = (ebb_error){0};
	ck_assert(!ebb_text_save(&text, "/dev/full", &e));
	ck_assert_int_eq(e.status, EBB_BAD_FILE);
	e = (ebb_error){0};
	ck_assert(!ebb_text_save(NULL, path, &e));
	ck_assert_int_eq(e.status, EBB_INVALID);
	text.failed = true;
	e = (ebb_error){0};
	ck_assert(!ebb_text_save(&text, path, &e));
	ck_assert_int_eq(e.status, EBB_NO_MEMORY);
	ebb_text_free(&text);
}
END_TEST

/* Each allocation of a table and a CSV fails once. */
START_TEST(every_allocation_failure_is_an_error)
{
	counting_allocator a;
	int failures = 0;

	counting_allocator_install(&a);
	ebb_tape *t = ebb_tape_new();
	ebb_probe *p = probed(t);
	int64_t before = a.live;
	for (int64_t n = 0;; n++) {
		ebb_text text = {0};
		a.calls = a.refused = 0;
		a.fail_at = n;
		bool ok = ebb_probe_table(p, &text, .bars = true) && ebb_probe_csv(p, &text);
		ck_assert(ok == (a.refused == 0));
		ebb_text_free(&text);
		ck_assert_int_eq(a.live, before);
		if (!a.refused)
			break;
		failures++;
	}
	ck_assert_int_ge(failures, 5);
	a.fail_at = -1;
	ebb_probe_free(p);
	ebb_tape_free(t);
	ck_assert_int_eq(a.live, 0);
	ck_assert_int_eq(a.wrong, 0);
	counting_allocator_remove();
}
END_TEST

/* Gradients of 1e-40, which F32 flushes to zero by default: the table and the page have a note. */
START_TEST(a_gradient_that_may_have_been_flushed_has_a_note)
{
	static const struct {
		ebb_dtype dtype;
		ebb_flush flush;
		double factor;
		bool noted;
	} run[] = {{EBB_F32, EBB_FLUSH_F32, 1e-20, true}, {EBB_F32, EBB_FLUSH_NEVER, 1e-20, false},
		{EBB_F32, EBB_FLUSH_F32, 1e-15, false}, {EBB_F64, EBB_FLUSH_F32, 1e-20, false},
		{EBB_F64, EBB_FLUSH_ALWAYS, 1e-160, true}};

	for (int i = 0; i < 5; i++) {
		ebb_tape *t = ebb_tape_new();
		ebb_text text = {0}, page = {0};
		ebb_probe *p = ebb_probe_new(t);
		ebb_tensor *x;

		ebb_set_default_dtype(t, run[i].dtype);
		ebb_set_flush_subnormal(t, run[i].flush);
		x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(3)));
		for (int k = 0; k < 3; k++) {
			ebb_scope_begin(t, k == 0 ? "a" : k == 1 ? "b" : "c");
			x = ebb_scope_end(t, ebb_mul_scalar(t, x, run[i].factor));
		}
		ck_assert(ebb_backward(t, ebb_sum(t, x)));
		ck_assert(ebb_probe_step(p));
		assert_healthy(t);
		ck_assert(ebb_probe_table(p, &text));
		ck_assert_msg(!strstr(text.data, "may have been flushed") == !run[i].noted,
			"run %d:\n%s", i, text.data);
		ck_assert(ebb_report_html(
			&(ebb_report){.title = "t",
				.networks = 1,
				.network = &(ebb_report_network){.name = "n", .probe = p}},
			&page, NULL));
		ck_assert(!strstr(page.data, "may have been flushed") == !run[i].noted);
		ebb_text_free(&text);
		ebb_text_free(&page);
		ebb_probe_free(p);
		ebb_tape_free(t);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow output");
	TCase *c = tcase_create("output");

	tcase_add_test(c, csv_can_be_parsed);
	tcase_add_test(c, numbers_are_printed_in_short_form);
	tcase_add_test(c, table_lines_have_one_width);
	tcase_add_test(c, a_table_fits_into_a_width);
	tcase_add_test(c, bars_have_a_length_for_norms_of_any_magnitude);
	tcase_add_test(c, a_gradient_that_may_have_been_flushed_has_a_note);
	tcase_add_test(c, sparklines_show_means_and_blanks);
	tcase_add_test(c, base64_and_xml_escapes);
	tcase_add_test(c, text_is_saved_to_a_file_or_fails_with_an_error);
	tcase_add_test(c, every_allocation_failure_is_an_error);
	suite_add_tcase(s, c);
	return run_suite(s);
}
