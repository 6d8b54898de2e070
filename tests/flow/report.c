/* report.c - the page is well-formed, self-contained and escaped. */
#include "flow/internal.h"
#include "tests/support/support.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

static ebb_probe *probed(ebb_tape *t, double factor)
{
	ebb_probe *p = ebb_probe_new(t);
	char name[16];

	for (int k = 0; k < 3; k++) {
		ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(4)));
		for (int i = 0; i < 12; i++) {
			snprintf(name, sizeof name, "<l%02d>&", i);
			ebb_scope_begin(t, name);
			x = ebb_scope_end(t, ebb_mul_scalar(t, x, factor));
		}
		ebb_backward(t, ebb_sum(t, x));
		ebb_probe_step(p);
		ebb_tape_reset(t);
	}
	return p;
}

static bool is_void(const char *name)
{
	return strcmp(name, "!DOCTYPE") == 0;
}

/* Checks that tags are closed in order, attributes are quoted, and & begins an entity. */
static void check_well_formed(const char *s)
{
	char open[64][32];
	int depth = 0;

	for (; *s; s++) {
		if (*s == '&') {
			size_t n = strcspn(s, ";");
			ck_assert_msg(n > 1 && n < 8 && s[n] == ';', "bare & in: %.40s", s);
		}
		ck_assert_msg(*s != '>', "bare > in: %.40s", s);
		if (*s != '<')
			continue;
		char name[32];
		bool closing = s[1] == '/', empty = false;
		s += 1 + closing;
		size_t n = strcspn(s, " />\n");
		ck_assert_int_lt(n, sizeof name);
		memcpy(name, s, n);
		name[n] = '\0';
		for (s += n; *s != '>'; s++) {
			ck_assert_msg(*s && *s != '<', "tag %s is not closed", name);
			empty = *s == '/';
			if (*s == '=') {
				ck_assert_msg(
					s[1] == '"', "an attribute of %s has no quotes", name);
				s += 2 + strcspn(s + 2, "\"");
			}
		}
		if (closing) {
			ck_assert_msg(depth > 0 && strcmp(open[depth - 1], name) == 0,
				"</%s> closes <%s>", name, depth ? open[depth - 1] : "nothing");
			depth--;
		} else if (!empty && !is_void(name)) {
			ck_assert_int_lt(depth, 64);
			strcpy(open[depth++], name);
			if (strcmp(name, "style") == 0) /* not markup */
				s = strstr(s, "</style>") - 1;
		}
	}
	ck_assert_msg(depth == 0, "<%s> is never closed", depth ? open[depth - 1] : "");
}

static void check_self_contained(const char *s)
{
	static const char *const outside[] = {"http://", "https://", "<script", "<link", "<iframe",
		"@import", "url(", "src=\"/", "file:"};

	for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
		ck_assert_msg(!strstr(s, outside[i]), "%s in the page", outside[i]);
	for (const char *at = s; (at = strstr(at, "src")); at++)
		if (strncmp(at, "src=\"", 5) == 0 || strncmp(at, "srcset=\"", 8) == 0)
			ck_assert(strncmp(strchr(at, '"') + 1, "data:image/svg+xml;base64,", 26) ==
				  0);
}

static const double norms[] = {1, 1e-3, 1e-6};
static const double losses[] = {2.3, 2.1, NAN, 1.5, 1.2};
static const ebb_series curve = {.label = "a & b", .n = 3, .y = norms};
static const ebb_panel panel = {.title = "<panel>", .y_log = true, .n = 1, .series = &curve};
static const ebb_figure figure = {.title = "Figure", .n = 1, .panels = &panel};
static const ebb_report_figure figures[] = {{&figure, "Caption with \"quotes\" & <brackets>"}};
static const ebb_report_option options[] = {{"depth", "12 <&>"}, {"empty", NULL}};
static const char *const story[] = {"It <b>fades</b> & fades.", "Second."};

static ebb_report report_of(ebb_report_network networks[2], ebb_probe *a, ebb_probe *b)
{
	networks[0] = (ebb_report_network){
		.name = "fading & <co>", .about = "about", .probe = a, .losses = 5, .loss = losses};
	networks[1] = (ebb_report_network){.name = "steady", .probe = b};
	return (ebb_report){.title = "Title <of> \"it\"",
		.subtitle = "Sub",
		.paragraphs = 2,
		.story = story,
		.networks = 2,
		.network = networks,
		.figures = 1,
		.figure = figures,
		.options = 2,
		.option = options,
		.footer = "Foot"};
}

START_TEST(page_is_well_formed_and_self_contained)
{
	ebb_tape *t = ebb_tape_new(), *u = ebb_tape_new();
	ebb_probe *a = probed(t, 0.1), *b = probed(u, 1);
	ebb_report_network networks[2];
	ebb_report r = report_of(networks, a, b);
	ebb_text page = {0};
	ebb_error e = {0};

	ck_assert_msg(ebb_report_html(&r, &page, &e), "%s", e.message);
	ck_assert(strncmp(page.data, "<!DOCTYPE html>", 15) == 0);
	check_well_formed(page.data);
	check_self_contained(page.data);
	ck_assert_ptr_nonnull(strstr(page.data, "fading &amp; &lt;co&gt;"));
	ck_assert_ptr_nonnull(strstr(page.data, "It &lt;b&gt;fades&lt;/b&gt; &amp; fades."));
	ck_assert_ptr_nonnull(strstr(page.data, "&lt;l03&gt;&amp;"));
	ck_assert_ptr_nonnull(strstr(page.data, "kind bad\">vanishing"));
	ck_assert_ptr_nonnull(strstr(page.data, "kind good\">healthy"));
	ck_assert_ptr_nonnull(strstr(page.data, "12 &lt;&amp;&gt;"));
	ck_assert_ptr_nonnull(strstr(page.data, "prefers-color-scheme:dark"));
	ck_assert(!ebb_can_plot() || strstr(page.data, "<picture>"));
	ebb_text_free(&page);

	const ebb_report least = {.title = "T"};
	ck_assert(ebb_report_html(&least, &page, &e));
	check_well_formed(page.data);
	ebb_text_free(&page);
	ebb_probe_free(a);
	ebb_probe_free(b);
	ebb_tape_free(t);
	ebb_tape_free(u);
}
END_TEST

START_TEST(bad_reports_are_errors)
{
	const ebb_report_network nameless = {.name = NULL};
	const ebb_report_figure undrawn = {NULL, "x"};
	const ebb_report reports[] = {{.subtitle = "no title"}, {.title = "T", .networks = 1},
		{.title = "T", .networks = 1, .network = &nameless}, {.title = "T", .figures = 1},
		{.title = "T", .figures = 1, .figure = &undrawn}, {.title = "T", .options = 2},
		{.title = "T", .paragraphs = 1}};
	ebb_text page = {0};

	for (size_t i = 0; i < sizeof reports / sizeof *reports; i++) {
		ebb_error e = {0};
		ck_assert(!ebb_report_html(&reports[i], &page, &e));
		ck_assert_int_eq(e.status, EBB_INVALID);
		ck_assert_ptr_null(page.data);
	}
	ck_assert(!ebb_report_html(NULL, &page, NULL));
	ck_assert(!ebb_report_html(&(ebb_report){.title = "T"}, NULL, NULL));
}
END_TEST

START_TEST(every_allocation_failure_is_an_error)
{
	counting_allocator a;
	int failures = 0;

	counting_allocator_install(&a);
	ebb_tape *t = ebb_tape_new();
	ebb_probe *p = probed(t, 0.5);
	ebb_report_network networks[2];
	ebb_report r = report_of(networks, p, p);
	int64_t before = a.live;
	for (int64_t n = 0;; n++) {
		ebb_text page = {0};
		ebb_error e = {0};
		a.calls = a.refused = 0;
		a.fail_at = n;
		bool ok = ebb_report_html(&r, &page, &e);
		ck_assert_msg(ok == (a.refused == 0), "allocation %ld", (long)n);
		ck_assert(ok || e.status == EBB_NO_MEMORY);
		ebb_text_free(&page);
		ck_assert_int_eq(a.live, before);
		if (ok)
			break;
		failures++;
	}
	ck_assert_int_ge(failures, 10);
	a.fail_at = -1;
	ebb_probe_free(p);
	ebb_tape_free(t);
	ck_assert_int_eq(a.live, 0);
	counting_allocator_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow report");
	TCase *c = tcase_create("report");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, NULL, ebb_figures_end); /* for leak checkers */
	tcase_add_test(c, page_is_well_formed_and_self_contained);
	tcase_add_test(c, bad_reports_are_errors);
	tcase_add_test(c, every_allocation_failure_is_an_error);
	suite_add_tcase(s, c);
	return run_suite(s);
}
