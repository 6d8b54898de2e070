/* report.c - the page is well-formed, self-contained and escaped, and shows what was measured. */
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
	const ebb_report_network nameless = {.name = NULL}, unmeasured = {.name = "n"};
	const ebb_report_figure undrawn = {NULL, "x"};
	const ebb_report reports[] = {{.subtitle = "no title"}, {.title = "T", .networks = 1},
		{.title = "T", .networks = 1, .network = &nameless},
		{.title = "T", .networks = 1, .network = &unmeasured}, {.title = "T", .figures = 1},
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

/* ---- With instruments ------------------------------------------------------------------------ */

enum { LAYERS = 8, STEPS = 4 };

typedef struct net {
	ebb_tape *t;
	ebb_params *p;
	ebb_linear fc[LAYERS];
	ebb_flow *f;
} net;

/* Trains LAYERS layers; sigmoids let the gradient vanish.  broken: the step whose input is
 * infinite; -1: none. */
static net trained(bool sigmoid, int64_t broken)
{
	net n = {.t = ebb_tape_new(), .p = ebb_params_new(1)};
	ebb_optim *opt;
	char name[16];

	for (int i = 0; i < LAYERS; i++) {
		snprintf(name, sizeof name, "<l%d>&", i);
		n.fc[i] = ebb_linear_new(n.p, name, 8, 8,
			.init = EBB_INIT(EBB_INIT_ORTHOGONAL, .gain = sigmoid ? 1 : 1.4));
	}
	opt = ebb_sgd(n.p, .lr = 0.01);
	n.f = ebb_flow_new(n.t, .elements = -1);
	for (int64_t k = 0; k < STEPS; k++) {
		ebb_tensor *x = ebb_randn(n.t, EBB_SHAPE(16, 8));
		if (k == broken)
			x = ebb_mul_scalar(n.t, ebb_ones(n.t, EBB_SHAPE(16, 8)), INFINITY);
		for (int i = 0; i < LAYERS; i++) {
			x = ebb_linear_forward(n.t, &n.fc[i], x);
			x = sigmoid ? ebb_sigmoid(n.t, x) : ebb_relu(n.t, x);
		}
		ebb_params_zero_grad(n.p);
		ebb_backward(n.t, ebb_mean(n.t, ebb_mul(n.t, x, x)));
		ebb_optim_step(opt);
		ebb_tape_reset(n.t);
	}
	ck_assert_ptr_null(ebb_first_error(n.t, n.p, opt));
	ebb_optim_free(opt);
	return n;
}

static void net_free(net *n)
{
	ebb_flow_free(n->f);
	ebb_tape_free(n->t);
	ebb_params_free(n->p);
}

static char *page_of(const ebb_report_network *networks, int n, ebb_text *page)
{
	ebb_report r = {.title = "T", .networks = n, .network = networks};
	ebb_error e = {0};

	ck_assert_msg(ebb_report_html(&r, page, &e), "%s", e.message);
	check_well_formed(page->data);
	check_self_contained(page->data);
	return page->data;
}

static int times(const char *s, const char *words)
{
	int n = 0;

	for (; (s = strstr(s, words)); s++)
		n++;
	return n;
}

#define assert_page_has(page, words)                                                               \
	ck_assert_msg(strstr(page, words) != NULL, "\"%s\" is not in: %.2000s", words, page)

START_TEST(the_culprit_is_marked)
{
	net a = trained(true, -1), b = trained(false, -1);
	ebb_finding x = ebb_flow_verdict(a.f);
	ebb_report_network networks[] = {{.name = "fading", .flow = a.f, .about = "about"},
		{.name = "steady", .flow = b.f, .losses = 5, .loss = losses}};
	ebb_text page = {0};
	char *html = page_of(networks, 2, &page), row[200], *culprit;

	ck_assert_int_eq(x.kind, EBB_VERDICT_VANISHING);
	ck_assert_int_eq(ebb_flow_findings(b.f), 0);
	ck_assert_int_eq(times(html, "<tr class=\"culprit\">"), 1);
	ck_assert_int_eq(strlen(x.layer), 5); /* "<l2>&" */
	snprintf(row, sizeof row, "<tr class=\"culprit\"><td>&lt;l%c&gt;&amp;</td>", x.layer[2]);
	assert_page_has(html, row);
	culprit = strstr(html, row);
	*strstr(culprit, "</tr>") = '\0';
	assert_page_has(culprit, "<b>vanishing");
	assert_page_has(culprit, "report.c:");
	culprit[strlen(culprit)] = '<';
	snprintf(row, sizeof row,
		"<p class=\"where\"><b>&lt;l%c&gt;&amp;</b> linear report.c:", x.layer[2]);
	assert_page_has(html, row);
	assert_page_has(html, "<div class=\"kind bad\">vanishing</div>");
	assert_page_has(html, "<span class=\"kind good\">healthy</span>");
	assert_page_has(html, "<ul class=\"findings\">\n<li>Vanishing: ");
	ebb_text_free(&page);
	net_free(&a);
	net_free(&b);
}
END_TEST

/* The factors in the page are those of the instrument. */
START_TEST(factors_are_in_cards_and_tables)
{
	net a = trained(true, -1);
	ebb_report_network network = {.name = "n", .flow = a.f};
	ebb_text page = {0}, expected = {0};
	double weight[LAYERS], slope[LAYERS], w, phi;
	char *html = page_of(&network, 1, &page), text[3][40];

	ck_assert_int_eq(ebb_flow_layers(a.f), LAYERS);
	for (int i = 0; i < LAYERS; i++) {
		ebb_flow_layer_summary s;
		ck_assert(ebb_flow_layer_summary_of(a.f, i, 0, 0, &s));
		weight[i] = s.weight;
		slope[i] = s.slope;
		/* The columns W, norm and slope. */
		ebb_text_printf(&expected, "<td>%s</td><td></td><td>%s</td>",
			ebb_pretty(text[0], sizeof text[0], s.weight),
			ebb_pretty(text[1], sizeof text[1], s.slope));
		assert_page_has(html, expected.data);
		ebb_text_free(&expected);
	}
	/* The first layer's input needs no gradient. */
	ck_assert(isnan(weight[0]) && !isnan(weight[1]));
	w = ebb_median(weight, LAYERS);
	phi = ebb_median(slope, LAYERS);
	ck_assert(phi > 0.2 && phi < 0.25);
	ebb_text_printf(&expected,
		"<div class=\"factor\">×%s <small>per layer</small></div>\n<p class=\"chain\">"
		"<small>W</small> %s × <small>φ′</small> %s</p>",
		ebb_pretty(text[0], sizeof text[0], w * phi),
		ebb_pretty(text[1], sizeof text[1], w), ebb_pretty(text[2], sizeof text[2], phi));
	assert_page_has(html, expected.data);
	ebb_text_free(&expected);
	ebb_text_free(&page);
	net_free(&a);
}
END_TEST

START_TEST(the_gain_is_that_of_the_whole_layer)
{
	net a = trained(false, -1);
	ebb_report_network network = {.name = "n", .flow = a.f, .to = 1};
	ebb_text page = {0};
	char *html = page_of(&network, 1, &page), cells[100], text[2][40];
	ebb_flow_measures m[2];

	/* Ops 2 and 3 are the linear and the relu of the second layer; one step has no medians. */
	ck_assert(ebb_flow_summary(a.f, 2, 0, 1, &m[0]) && ebb_flow_summary(a.f, 3, 0, 1, &m[1]));
	html = strstr(html, "<td>&lt;l1&gt;");
	ck_assert_ptr_nonnull(html);
	*strstr(html, "</tr>") = '\0';
	snprintf(cells, sizeof cells, "<td>%s</td><td>%s</td>",
		ebb_pretty(text[0], sizeof text[0], m[1].backward),
		ebb_pretty(text[1], sizeof text[1], m[0].forward * m[1].forward));
	assert_page_has(html, cells);
	ebb_text_free(&page);
	net_free(&a);
}
END_TEST

START_TEST(steps_that_are_not_finite_are_left_out)
{
	net a = trained(false, 2), b = trained(false, 0);
	ebb_report_network network = {.name = "n", .flow = a.f};
	ebb_text page = {0};
	char *html = page_of(&network, 1, &page);

	assert_page_has(html, "The steps from 2 on have NaN or infinite values, and are left out.");
	assert_page_has(html, "kind bad\">not finite");
	ck_assert_ptr_null(strstr(html, ">inf<"));
	ebb_text_free(&page);
	/* Without a finite step, the others are shown. */
	network.flow = b.f;
	html = page_of(&network, 1, &page);
	assert_page_has(html, "<td>&lt;l7&gt;");
	ck_assert_ptr_null(strstr(html, "are left out"));
	ebb_text_free(&page);
	net_free(&a);
	net_free(&b);
}
END_TEST

START_TEST(an_instrument_without_steps_has_an_empty_table)
{
	ebb_tape *t = ebb_tape_new();
	ebb_report_network network = {.name = "n", .flow = ebb_flow_new(t)};
	ebb_text page = {0};

	assert_page_has(page_of(&network, 1, &page), "Nothing was measured.");
	ebb_text_free(&page);
	ebb_flow_free(network.flow);
	ebb_tape_free(t);
}
END_TEST

START_TEST(probes_and_instruments_share_a_page)
{
	net a = trained(true, -1);
	ebb_tape *t = ebb_tape_new();
	ebb_probe *probe = probed(t, 0.1);
	ebb_report_network networks[] = {{.name = "a", .flow = a.f}, {.name = "b", .probe = probe}};
	const ebb_report_network both = {.name = "c", .flow = a.f, .probe = probe};
	const ebb_report wrong = {.title = "T", .networks = 1, .network = &both};
	ebb_text page = {0};
	ebb_error e = {0};

	ck_assert_int_eq(times(page_of(networks, 2, &page), "<p class=\"note\">"), 2);
	ebb_text_free(&page);
	ck_assert(!ebb_report_html(&wrong, &page, &e));
	ck_assert_int_eq(e.status, EBB_INVALID);
	ebb_probe_free(probe);
	ebb_tape_free(t);
	net_free(&a);
}
END_TEST

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Makes the page again and again, each time with another refused allocation; returns how many
 * pages failed. */
static int failures_of(counting_allocator *a, const ebb_report *r)
{
	int64_t before = a->live;
	int failures = 0;

	for (int64_t n = 0;; n++) {
		ebb_text page = {0};
		ebb_error e = {0};
		a->calls = a->refused = 0;
		a->fail_at = n;
		bool ok = ebb_report_html(r, &page, &e);
		bool done = a->refused == 0;
		ck_assert(ok || e.status == EBB_NO_MEMORY);
		ck_assert(ok || !done);
		failures += !ok;
		ebb_text_free(&page);
		ck_assert_int_eq(a->live, before);
		if (done)
			break;
	}
	a->fail_at = -1;
	return failures;
}

START_TEST(allocation_failures_of_an_instrument_are_errors)
{
	counting_allocator a;

	counting_allocator_install(&a);
	net n = trained(true, -1);
	ebb_report_network network = {.name = "n", .flow = n.f};
	const ebb_report r = {.title = "T", .networks = 1, .network = &network};
	ck_assert_int_ge(failures_of(&a, &r), 20);
	net_free(&n);
	ck_assert_int_eq(a.live, 0);
	counting_allocator_remove();
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
	tcase_add_test(c, the_culprit_is_marked);
	tcase_add_test(c, factors_are_in_cards_and_tables);
	tcase_add_test(c, the_gain_is_that_of_the_whole_layer);
	tcase_add_test(c, steps_that_are_not_finite_are_left_out);
	tcase_add_test(c, an_instrument_without_steps_has_an_empty_table);
	tcase_add_test(c, probes_and_instruments_share_a_page);
	tcase_add_test(c, allocation_failures_of_an_instrument_are_errors);
	tcase_add_test(c, every_allocation_failure_is_an_error);
	suite_add_tcase(s, c);
	return run_suite(s);
}
