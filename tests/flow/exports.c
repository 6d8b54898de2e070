/* exports.c - the CSV and the JSON lines of a flow instrument can be read back. */
#include "tests/flow/comma.h"
#include "tests/flow/flows.h"

#include <jansson.h>
#include <math.h>

/* ---- Reading CSV ---- */

enum { FIELDS = 32 };

/* Reads one record of RFC 4180; returns the rest of s, or NULL at the end. */
static const char *record(const char *s, char field[FIELDS][100], int *n)
{
	*n = 0;
	if (!*s)
		return NULL;
	for (;;) {
		char *out = field[(*n)++];
		bool quoted = *s == '"';
		for (s += quoted; quoted ? *s != '"' || s[1] == '"' : !strchr(",\r", *s); s++) {
			s += quoted && *s == '"';
			*out++ = *s;
		}
		*out = '\0';
		s += quoted;
		if (*s != ',')
			break;
		s++;
		ck_assert_int_lt(*n, FIELDS);
	}
	ck_assert(s[0] == '\r' && s[1] == '\n');
	return s + 2;
}

static const char *export(ebb_flow *f, const ebb_flow_export_args *options)
{
	static ebb_text text;
	ebb_flow_export_args a = *options;
	ebb_error e = {0};

	ebb_text_free(&text);
	a.flow = f;
	a.text = &text;
	a.error = &e;
	ck_assert_msg((ebb_flow_export)(&a), "%s", e.message);
	return text.data ? text.data : "";
}
#define export(f, ...) export(f, &(ebb_flow_export_args){__VA_ARGS__})

static void near(const char *text, double expected, double tolerance)
{
	double value = strtod(text, NULL);

	ck_assert_msg(isnan(expected) ? strcmp(text, "nan") == 0
				      : fabs(value - expected) <= tolerance * fabs(expected),
		"%s, expected %.17g", text, expected);
}

/* ---- Tests ---- */

START_TEST(a_csv_has_medians_per_layer_and_window)
{
	ebb_flow *f = dense_net(3, "fc, \"%d\"", 25);
	char field[FIELDS][100];
	int n, lines = 0;

	const char *s = record(export(f, .network = "a,b"), field, &n);
	ck_assert_int_eq(n, 21);
	ck_assert_str_eq(field[0], "network");
	ck_assert_str_eq(field[4], "layer");
	ck_assert_str_eq(field[7], "loss");
	ck_assert_str_eq(field[20], "not_finite");
	for (int window = 0; (s = record(s, field, &n)); lines++) {
		ebb_flow_layer_summary m;
		int layer = lines % 3;
		int64_t from, to;

		window = lines / 3;
		from = window * 25 / 10;
		to = (window + 1) * 25 / 10;
		ck_assert_int_eq(n, 21);
		ck_assert_str_eq(field[0], "a,b");
		ck_assert_int_eq(atoi(field[1]), from);
		ck_assert_int_eq(atoi(field[2]), to);
		ck_assert_int_eq(atoi(field[3]), to - from);
		ck_assert_str_eq(field[4], ebb_flow_layer(f, layer));
		ck_assert_str_eq(field[5], "linear");
		ck_assert_str_eq(field[6], "src/net.c:38");
		ck_assert(ebb_flow_layer_summary_of(f, layer, from, to, &m));
		near(field[7], 2.3 * exp(-0.025 * (double)(from + to - 1)), 1e-3);
		near(field[8], m.activation, 1e-5);
		near(field[9], m.gradient, 1e-5);
		near(field[10], m.weight, 1e-5);
		near(field[12], m.slope, 1e-5);
		near(field[18], m.update_ratio, 1e-5);
		near(field[20], 0, 0);
	}
	ck_assert_int_eq(lines, 30);
	s = record(export(f, .windows = 1, .no_header = true), field, &n);
	ck_assert_str_eq(field[0], "");
	ck_assert_int_eq(atoi(field[3]), 25);
	ck_assert(strstr(s, "\"fc, \"\"2\"\"\"") != NULL);
	flow_free(f);
}
END_TEST

START_TEST(a_full_csv_has_every_op_and_step)
{
	ebb_flow *f = dense_net(2, "fc%d", 3);
	char field[FIELDS][100];
	int n, lines = 0;

	f->sample[1].m[2].calls = 0;
	f->row[3].added = "net.c:7";
	const char *s = record(export(f, .network = "n", .full = true), field, &n);
	ck_assert_int_eq(n, 30);
	ck_assert_str_eq(field[6], "kind");
	ck_assert_str_eq(field[12], "rms");
	for (; (s = record(s, field, &n)); lines++) {
		int at = lines + (lines >= 6), step = at / 4, op = at % 4;
		const ebb_flow_measures *m = &f->sample[step].m[op];

		ck_assert_int_eq(n, 30);
		ck_assert_int_eq(atoi(field[1]), step);
		ck_assert_str_eq(field[2], op < 2 ? "fc0" : "fc1");
		ck_assert_str_eq(field[3], op % 2 ? "sigmoid" : "linear");
		ck_assert_str_eq(field[4], op % 2 ? "src/net.c:39" : "src/net.c:38");
		ck_assert_str_eq(field[5], op == 3 ? "net.c:7" : "");
		ck_assert_str_eq(field[6], op % 2 ? "slope" : "weight");
		near(field[7], f->sample[step].loss, 1e-8);
		near(field[8], 1, 0);
		near(field[12], m->rms, 1e-8);
		near(field[19], m->grad_l2, 1e-8);
		near(field[25], m->backward, 1e-8);
		near(field[29], m->cosine, 1e-8);
	}
	ck_assert_int_eq(lines, 11);
	flow_free(f);
}
END_TEST

START_TEST(five_networks_of_forty_steps_are_below_a_megabyte)
{
	size_t bytes = 0;

	for (int net = 0; net < 5; net++) {
		ebb_flow *f = flow_new();
		for (int i = 0; i < 30; i++) {
			char path[40];
			snprintf(path, sizeof path, "network.stage%d.%d", i / 10, i % 10);
			int l = add_layer(f, path);
			add_row(f, l, "conv2d", "../demos/gradflow/networks.c:138",
				EBB_FLOW_WEIGHT);
			add_row(f, l, "batch_norm", "../demos/gradflow/networks.c:139",
				EBB_FLOW_NORM);
			add_row(f, l, "relu", "../demos/gradflow/networks.c:140", EBB_FLOW_SLOPE);
		}
		add_samples(f, 40);
		bytes += strlen(export(f, .network = "plain ReLU", .no_header = net > 0));
		flow_free(f);
	}
	ck_assert_int_lt((int)bytes, 500000);
	ck_assert_int_gt((int)bytes, 5 * 30 * 10 * 60);
}
END_TEST

START_TEST(measures_and_layers_are_chosen)
{
	ebb_flow *f = dense_net(3, "net.fc%d", 2);
	ebb_text text = {0};
	ebb_error e = {0};

	ck_assert_str_eq(
		export(f, .windows = 1, .measures = " slope  gradient slope", .layers = "net.fc1"),
		"network,from,to,samples,layer,op,site,slope,gradient\r\n"
		",0,2,2,net.fc1,linear,src/net.c:38,0.71,0.0193487\r\n");
	ck_assert_int_eq(
		(int)strlen(export(f, .layers = "other", .no_header = true, .full = true)), 0);
	ck_assert(!ebb_flow_export(.flow = f, .text = &text, .measures = "gradient grad_l2",
		.error = &e));
	ck_assert_int_eq(e.status, EBB_INVALID);
	ck_assert_msg(strstr(e.message, "exports.c:") &&
			      strstr(e.message, "there is no measure grad_l2; there are: loss "
						"activation gradient weight") &&
			      strstr(e.message, "cosine not_finite"),
		"%s", e.message);
	e = (ebb_error){0};
	ck_assert(!ebb_flow_export(.flow = f, .text = &text, .full = true, .measures = "slopes",
		.error = &e));
	ck_assert_msg(strstr(e.message, "no measure slopes with .full; there are: loss calls") &&
			      strstr(e.message, "update_ratio cosine"),
		"%s", e.message);
	e = (ebb_error){0};
	ck_assert(!ebb_flow_export(.flow = f, .text = &text, .windows = -1, .error = &e));
	ck_assert_int_eq(e.status, EBB_INVALID);
	ck_assert(!ebb_flow_export(.flow = NULL, .text = &text) && !ebb_flow_export(.flow = f));
	ck_assert(!(ebb_flow_export)(NULL));
	ck_assert_ptr_null(text.data);
	flow_free(f);
}
END_TEST

static double real(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	ck_assert_msg(json_is_number(value), "%s is no number", key);
	return json_number_value(value);
}

static const char *string(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	ck_assert_msg(value, "%s is no string", key);
	return value;
}

START_TEST(json_lines_can_be_parsed)
{
	static const char path[] = "größe\\\"\n\x01.fc";
	ebb_flow *f = flow_new();
	json_error_t why;
	int lines = 0;

	add_dense(f, path);
	add_dense(f, "fc2");
	add_samples(f, 3);
	f->sample[1].m[1].backward = f->sample[2].m[1].backward = INFINITY;
	f->sample[1].m[0].backward = f->sample[2].m[0].backward = -INFINITY;
	f->sample[1].loss = NAN;
	for (int full = 0; full < 2; full++) {
		const char *s = export(f, .json = true, .network = "a \"b\"", .full = full);
		for (const char *end; (end = strchr(s, '\n')); s = end + 1, lines++) {
			json_t *o = json_loadb(s, (size_t)(end - s), 0, &why);
			ck_assert_msg(json_is_object(o), "%s: %.*s", why.text, (int)(end - s), s);
			ck_assert_int_eq((int)json_object_size(o), full ? 30 : 21);
			ck_assert_str_eq(string(o, "network"), "a \"b\"");
			ck_assert_str_eq(string(o, "layer"), lines < 6 ? lines % 2 ? "fc2" : path
							     : (lines - 6) % 4 < 2 ? path
										   : "fc2");
			int64_t step = (int64_t)real(o, full ? "step" : "from");
			ck_assert_int_eq(step, full ? (lines - 6) / 4 : lines / 2);
			ck_assert(json_is_null(json_object_get(o, "loss")) == (step == 1));
			if (!full && lines % 2 == 0 && step > 0) {
				ck_assert_str_eq(string(o, "slope"), "inf");
				ck_assert_str_eq(string(o, "weight"), "-inf");
			} else if (!full) {
				ck_assert(fabs(real(o, "slope") - 0.71) < 1e-6);
			}
			json_decref(o);
		}
		ck_assert_str_eq(s, "");
	}
	ck_assert_int_eq(lines, 6 + 12);
	flow_free(f);
}
END_TEST

START_TEST(a_flow_without_samples_has_a_header_only)
{
	ebb_flow *f = flow_new();

	ck_assert_str_eq(
		export(f, .measures = "loss"), "network,from,to,samples,layer,op,site,loss\r\n");
	ck_assert_str_eq(export(f, .measures = "loss", .full = true),
		"network,step,layer,op,site,added,kind,loss\r\n");
	flow_free(f);
}
END_TEST

static void write_all(ebb_flow *f, ebb_text *text)
{
	ck_assert(ebb_flow_table(.flow = f, .text = text));
	ck_assert(ebb_flow_export(.flow = f, .text = text));
	ck_assert(ebb_flow_export(.flow = f, .text = text, .json = true, .full = true));
}

START_TEST(tables_and_exports_are_the_same_in_any_locale)
{
	ebb_flow *f = dense_net(3, "fc%d", 4);
	ebb_text plain = {0}, german = {0};

	f->rank = true;
	f->seconds_rank = 1.5;
	add_finding(f, EBB_VERDICT_SATURATED, "fc1", "sigmoid", "src/net.c:39", 0.975);
	write_all(f, &plain);
	ck_assert(strstr(plain.data, "1.5 s") && strstr(plain.data, "97.5 %"));
	if (set_comma()) {
		write_all(f, &german);
		ck_assert(has_comma());
		setlocale(LC_ALL, "C");
		ck_assert_str_eq(plain.data, german.data);
	}
	ebb_text_free(&plain);
	ebb_text_free(&german);
	flow_free(f);
}
END_TEST

START_TEST(every_refused_allocation_is_an_error)
{
	ebb_flow *f = dense_net(5, "fc%d", 3);
	counting_allocator a;
	int failures = 0;

	counting_allocator_install(&a);
	for (int64_t n = 0;; n++) {
		ebb_text text = {0};
		ebb_error e = {0};

		a.calls = a.refused = 0;
		a.fail_at = n;
		bool ok = ebb_flow_export(.flow = f, .text = &text, .error = &e) &&
		          ebb_flow_export(.flow = f, .text = &text, .json = true, .full = true,
				  .error = &e);
		ck_assert(ok == (a.refused == 0));
		ck_assert(ok || e.status == EBB_NO_MEMORY);
		ebb_text_free(&text);
		ck_assert_int_eq(a.live, 0);
		if (!a.refused)
			break;
		failures++;
	}
	ck_assert_int_ge(failures, 30);
	ck_assert_int_eq(a.wrong, 0);
	counting_allocator_remove();
	flow_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow exports");
	TCase *c = tcase_create("exports");

	tcase_add_unchecked_fixture(c, make_locale, remove_temp_dir);
	tcase_add_test(c, a_csv_has_medians_per_layer_and_window);
	tcase_add_test(c, a_full_csv_has_every_op_and_step);
	tcase_add_test(c, five_networks_of_forty_steps_are_below_a_megabyte);
	tcase_add_test(c, measures_and_layers_are_chosen);
	tcase_add_test(c, json_lines_can_be_parsed);
	tcase_add_test(c, a_flow_without_samples_has_a_header_only);
	tcase_add_test(c, tables_and_exports_are_the_same_in_any_locale);
	tcase_add_test(c, every_refused_allocation_is_an_error);
	suite_add_tcase(s, c);
	return run_suite(s);
}
