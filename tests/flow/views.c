/* views.c - what a flow instrument shows: summaries, and the table. */
#include "tests/flow/flows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Summaries ---- */

START_TEST(rows_and_layers_have_the_order_of_the_forward_computation)
{
	static const int64_t order[] = {50, 10, 40, 20, 30};
	ebb_flow *f = flow_new();
	ebb_flow_measures m;
	ebb_flow_op op;
	int last = add_layer(f, "last"), first = add_layer(f, "first");

	add_layer(f, "never");
	for (int i = 0; i < 5; i++) {
		char *site = (char *[]){"a:50", "a:10", "a:40", "a:20", "a:30"}[i];
		add_row(f, i % 2 ? first : last, "linear", site, EBB_FLOW_WEIGHT);
		f->row[i].order = order[i];
	}
	ck_assert_int_eq(ebb_flow_ops(f), 0);
	add_sample(f, 7, 0.5);
	ck_assert_int_eq(ebb_flow_ops(f), 5);
	ck_assert_int_eq(ebb_flow_layers(f), 3);
	ck_assert_str_eq(ebb_flow_layer(f, 0), "first");
	ck_assert_str_eq(ebb_flow_layer(f, 1), "last");
	ck_assert_str_eq(ebb_flow_layer(f, 2), "never");
	for (int i = 0; i < 5; i++) {
		ck_assert(ebb_flow_op_at(f, i, &op));
		ck_assert_int_eq(atoi(op.site + 2), 10 * (i + 1));
		ck_assert_int_eq(op.layer, i == 0 || i == 1 ? 0 : 1);
		ck_assert(ebb_flow_sample(f, 0, i, &m));
	}
	/* A row that is recorded later, between two others. */
	add_row(f, first, "relu", "a:15", EBB_FLOW_SLOPE);
	f->row[5].order = 15;
	ck_assert_int_eq(ebb_flow_ops(f), 5);
	ebb_flow_sort(f);
	ck_assert(ebb_flow_op_at(f, 1, &op));
	ck_assert_str_eq(op.op, "relu");
	ck_assert(!ebb_flow_sample(f, 0, 1, &m));
	ck_assert(!ebb_flow_summary(f, 1, 0, 0, &m));
	ck_assert_int_eq(ebb_flow_samples(f), 1);
	ck_assert_int_eq(ebb_flow_sample_step(f, 0), 7);
	ck_assert(ebb_flow_sample_loss(f, 0) == 0.5);
	ck_assert_int_eq(ebb_flow_sample_step(f, 1), -1);
	ck_assert(isnan(ebb_flow_sample_loss(f, -1)));
	ck_assert(!ebb_flow_layer(f, 3) && !ebb_flow_layer(f, -1) && !ebb_flow_layer(NULL, 0));
	ck_assert(!ebb_flow_op_at(f, 6, &op) && !ebb_flow_op_at(f, 0, NULL));
	ck_assert(!ebb_flow_sample(f, 1, 0, &m) && !ebb_flow_sample(f, 0, 0, NULL));
	ck_assert(!ebb_flow_samples(NULL) && !ebb_flow_ops(NULL) && !ebb_flow_layers(NULL));
	flow_free(f);
}
END_TEST

START_TEST(a_summary_has_medians_of_the_steps_in_which_the_op_ran)
{
	ebb_flow *f = flow_new();
	ebb_flow_measures m;
	const double rms[] = {9, 1, NAN, 5, 3, 4, 1000};

	add_row(f, add_layer(f, "fc"), "linear", "a.c:1", EBB_FLOW_WEIGHT);
	for (int i = 0; i < 7; i++) {
		add_sample(f, 10 * i, 1);
		f->sample[i].m[0].rms = rms[i];
		f->sample[i].m[0].cosine = -i;
		f->sample[i].m[0].rank = NAN;
	}
	f->sample[6].m[0].calls = 0;
	ck_assert(ebb_flow_summary(f, 0, 0, 0, &m));
	ck_assert(m.rms == 4 && m.cosine == -2.5 && isnan(m.rank));
	ck_assert(ebb_flow_summary(f, 0, 10, 40, &m));
	ck_assert(m.rms == 3 && m.cosine == -2);
	ck_assert(!ebb_flow_summary(f, 0, 60, 0, &m) && !ebb_flow_summary(f, 0, 1, 10, &m));
	ck_assert(!ebb_flow_summary(f, 1, 0, 0, &m) && !ebb_flow_summary(f, 0, 0, 0, NULL));
	flow_free(f);
}
END_TEST

static void near(double a, double b)
{
	ck_assert_msg(fabs(a - b) <= 1e-14 * fabs(b), "%.17g, expected %.17g", a, b);
}

START_TEST(a_layer_has_the_factors_along_its_sequence)
{
	ebb_flow *f = flow_new();
	int l = add_layer(f, "block"), other = add_layer(f, "other");
	ebb_flow_layer_summary s;

	int first = add_row(f, l, "conv2d", "a.c:1", EBB_FLOW_WEIGHT);
	int norm = add_row(f, l, "batch_norm", "a.c:2", EBB_FLOW_NORM);
	int relu = add_row(f, l, "relu", "a.c:3", EBB_FLOW_SLOPE);
	int second = add_row(f, l, "conv2d", "a.c:4", EBB_FLOW_WEIGHT);
	int branch = add_row(f, l, "conv2d", "a.c:5", EBB_FLOW_WEIGHT);
	int sum = add_row(f, l, "add", "a.c:6", EBB_FLOW_SUM);
	add_row(f, other, "add", "a.c:7", EBB_FLOW_SUM);
	f->row[branch].before = -1;
	f->row[sum].before = second;
	add_sample(f, 0, 1);
	ebb_flow_measures *m = f->sample[0].m;
	m[first].backward = 2;
	m[norm].backward = 3;
	m[relu].backward = 0.5;
	m[second].backward = 7;
	m[branch].backward = 11;
	m[sum].backward = 13;
	m[sum].grad_l2 = 17;
	m[sum].rms = 19;
	m[relu].dead = 0.25;
	m[first].not_finite = 2;
	m[branch].grad_not_finite = 3;
	for (int i = 0; i < 7; i++)
		m[i].weight_l2 = m[i].weight_grad_l2 = m[i].update_ratio = m[i].cosine = NAN;
	m[first].weight_l2 = 3;
	m[second].weight_l2 = 4;
	m[first].weight_grad_l2 = 5;
	m[second].weight_grad_l2 = 12;
	m[first].update_ratio = 0.5;
	m[second].update_ratio = 0.5;
	m[first].cosine = 1;
	m[second].cosine = -1;
	ck_assert(ebb_flow_layer_summary_of(f, 0, 0, 0, &s));
	ck_assert_str_eq(s.path, "block");
	ck_assert_int_eq(s.samples, 1);
	ck_assert(s.weight == 14 && s.norm == 3 && s.slope == 0.5);
	ck_assert(s.gradient == 17 && s.activation == 19 && s.dead == 0.25 && s.not_finite == 5);
	near(s.weight_l2, 5);
	near(s.weight_grad_l2, 13);
	near(s.update_ratio, 0.5);
	near(s.cosine, (1.5 * 5 - 2 * 12) / (2.5 * 13));
	/* The sequence is not known: the first op of each kind stands for it. */
	f->row[sum].before = -1;
	ck_assert(ebb_flow_layer_summary_of(f, 0, 0, 0, &s));
	ck_assert(s.weight == 2 && s.norm == 3 && s.slope == 0.5);
	/* No op with a weight, a norm or a slope. */
	ck_assert(ebb_flow_layer_summary_of(f, 1, 0, 0, &s));
	ck_assert(s.weight == 1 && s.norm == 1 && s.slope == 1);
	ck_assert(isnan(s.zeros) && isnan(s.saturated) && isnan(s.dead) && isnan(s.weight_l2));
	/* A cycle, as a loop in the network makes it. */
	f->row[first].before = sum;
	f->row[sum].before = second;
	ck_assert(ebb_flow_layer_summary_of(f, 0, 0, 0, &s) && s.weight == 14);
	ck_assert(!ebb_flow_layer_summary_of(f, 0, 1, 0, &s));
	ck_assert(!ebb_flow_layer_summary_of(f, 2, 0, 0, &s));
	ck_assert(!ebb_flow_layer_summary_of(f, 0, 0, 0, NULL));
	flow_free(f);
}
END_TEST

/* ---- Tables ---- */

static char *table(ebb_flow *f, const ebb_flow_table_args *options)
{
	static ebb_text text;
	ebb_flow_table_args a = *options;
	ebb_error e = {0};

	text.length = 0;
	text.failed = false;
	a.flow = f;
	a.text = &text;
	a.error = &e;
	ck_assert_msg((ebb_flow_table)(&a), "%s", e.message);
	ck_assert(!strchr(text.data, '\033') == !a.colour);
	if (getenv("EBB_SHOW_TABLES"))
		printf("%s\n", text.data);
	return text.data;
}
#define table(f, ...) table(f, &(ebb_flow_table_args){__VA_ARGS__})

static int lines_in(const char *s)
{
	int n = 0;

	for (; (s = strchr(s, '\n')); s++)
		n++;
	return n;
}

/* The width of the longest line, in columns. */
static int widest(const char *text)
{
	char line[1000];
	int most = 0;

	for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
		snprintf(line, sizeof line, "%.*s", (int)(end - text), text);
		most = ebb_columns(line) > most ? ebb_columns(line) : most;
		ck_assert_msg(end == text || end[-1] != ' ', "\"%s\" ends in a blank", line);
	}
	return most;
}

/* How many layers the lines of a table stand for. */
static int layers_in(const char *text)
{
	int n = 0, number = 0;

	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		if (strncmp(line, "medians", 7) == 0)
			break;
		if (number++ < 3)
			continue;
		const char *open = strchr(line, '('), *end = strchr(line, '\n');
		n += open && open < end ? atoi(open + 1) : 1;
	}
	return n;
}

static bool has(const char *text, const char *s)
{
	return strstr(text, s) != NULL;
}

START_TEST(a_large_network_fits_a_screen)
{
	static const struct {
		int layers;
		const char *format;
	} nets[] = {{200, "fc%d"}, {41, "fc%d"}, {300, "net.block%d.fc"}, {33, "fc%d"}};

	for (size_t i = 0; i < 4; i++) {
		ebb_flow *f = dense_net(nets[i].layers, nets[i].format, 2);
		for (int lines = 7; lines < 48; lines += 5) {
			const char *s = table(f, .lines = lines == 42 ? 0 : lines);
			int n = lines_in(s), most = lines == 42 ? 40 : lines;
			ck_assert_msg(n <= most, "%d lines of %d:\n%s", n, most, s);
			ck_assert_msg(nets[i].layers < most || n >= most - 2, "%d lines of %d:\n%s",
				n, most, s);
			ck_assert_msg(layers_in(s) == nets[i].layers, "%d:\n%s", layers_in(s), s);
		}
		ck_assert_int_eq(lines_in(table(f, .lines = -1)), nets[i].layers + 5);
		ck_assert_int_eq(lines_in(table(f, .ops = true)), 2 * nets[i].layers + 5);
		flow_free(f);
	}
}
END_TEST

START_TEST(layers_are_collapsed_by_the_dots_of_their_paths)
{
	ebb_flow *f = resnet(2);
	const char *s = table(f, .from = 0);

	ck_assert(has(s, "\nresnet.conv1 ") && has(s, "\nresnet.bn1 ") && has(s, "\nresnet.fc "));
	ck_assert(has(s, "\nresnet.layer1.0 (4) ") && has(s, "\nresnet.layer2.0 (6) "));
	ck_assert(has(s, "\nresnet.layer3.8 (4) ") && !has(s, "layer3.8."));
	ck_assert_int_le(lines_in(s), 40);
	ck_assert_int_eq(layers_in(s), 3 + 27 * 4 + 2 * 2);
	s = table(f, .lines = 12);
	ck_assert(has(s, "\nresnet.layer1 (36)") && has(s, "\nresnet.layer3 (38)"));
	ck_assert(has(s, ".layer2.4 .. layer2.8 (20) ") && has(s, "\nresnet.fc "));
	ck_assert_int_eq(layers_in(s), 3 + 27 * 4 + 2 * 2);
	ck_assert_int_le(lines_in(s), 12);
	ck_assert(has(table(f, .lines = 6), "\nresnet (115) "));
	flow_free(f);

	f = dense_net(20, "enc.%d", 1);
	ck_assert(has(table(f, .lines = 15), "\nenc.0 .. enc.1 (2)"));
	flow_free(f);
}
END_TEST

START_TEST(layers_with_findings_and_their_neighbours_are_not_collapsed)
{
	ebb_flow *f = dense_net(200, "fc%d", 3);

	add_finding(f, EBB_VERDICT_SATURATED, "fc77", "sigmoid", "src/net.c:39", 0.978);
	add_finding(f, EBB_VERDICT_VANISHING, "fc77", "sigmoid", "src/net.c:39", 1.5e-5);
	add_finding(f, EBB_VERDICT_FROZEN, "fc0", "linear", "src/net.c:40", NAN);
	const char *s = table(f, .from = 0);
	ck_assert_int_le(lines_in(s), 40);
	ck_assert_int_eq(layers_in(s), 200);
	ck_assert(has(s, "\n▶ fc77 ") && has(s, "\n  fc76 ") && has(s, "\n  fc78 "));
	ck_assert(has(s, "  saturated 97.8 % +1  net.c:39\n"));
	ck_assert(has(s, "\n▶ fc0 ") && has(s, "\n  fc1 ") &&
		  has(s, "  frozen               net.c:40"));
	ck_assert(has(s, "\n  fc2 .. ") && has(s, " fc75 (") && has(s, "\n  fc79 .. "));
	s = table(f, .ascii = true, .colour = true, .width = 60);
	ck_assert(has(s, "> \033[0mfc77") && has(s, "\033[31msaturated net.c:39\033[0m\n"));
	s = table(f, .ops = true);
	ck_assert(has(s, "\n▶ fc77 ") && has(s, "saturated 97.8 % +1  net.c:39\n"));
	flow_free(f);

	f = resnet(2);
	add_finding(f, EBB_VERDICT_DEAD, "resnet.layer2.4.bn2", "relu", "resnet.c:40", 0.75);
	s = table(f, .from = 0);
	ck_assert(has(s, "▶ resnet.layer2.4.bn2 ") && has(s, "dead units 75 % resnet.c:40\n"));
	ck_assert(has(s, "  resnet.layer2.4.conv2 ") && has(s, "  resnet.layer2.5.conv1 "));
	ck_assert(has(s, "  resnet.layer2.3 (4)") && has(s, ".conv1 .. bn1 (2)"));
	ck_assert_int_eq(layers_in(s), 3 + 27 * 4 + 2 * 2);
	flow_free(f);
}
END_TEST

START_TEST(a_table_fits_into_a_width)
{
	ebb_flow *nets[3] = {resnet(2), dense_net(200, "größe%d", 2), dense_net(12, "fc%d", 2)};

	add_finding(nets[0], EBB_VERDICT_DEAD, "resnet.layer2.4.bn2", "relu", "resnet.c:40", 0.75);
	add_finding(nets[2], EBB_VERDICT_SATURATED, "fc6", "sigmoid", "net.c:39", 0.98);
	for (int i = 0; i < 3; i++) {
		int full = widest(table(nets[i], .width = -1));
		ck_assert_int_eq(
			widest(table(nets[i], .from = 0)), widest(table(nets[i], .width = 100)));
		for (int width = 24; width <= 140; width += 3)
			for (int k = 0; k < 4; k++) {
				const char *s = table(
					nets[i], .width = width, .ascii = k % 2, .ops = k / 2);
				int wide = widest(s);
				ck_assert_msg(wide <= width, "%d of %d:\n%s", wide, width, s);
				ck_assert_msg(k || wide >= (width < full ? width : full) - 12,
					"%d of %d:\n%s", wide, width, s);
				ck_assert(has(s, "L2 norm"));
				for (const char *c = s; k % 2 && i != 1 && *c; c++)
					ck_assert_int_gt(*c, 0);
			}
		flow_free(nets[i]);
	}
}
END_TEST

START_TEST(cells_are_blank_if_they_do_not_apply)
{
	ebb_flow *f = flow_new();
	int a = add_layer(f, "conv"), b = add_layer(f, "relu"), c = add_layer(f, "sum");

	add_row(f, a, "conv2d", "/home/a/net.c:1", EBB_FLOW_WEIGHT);
	add_row(f, b, "relu", "net.c:2", EBB_FLOW_SLOPE);
	add_row(f, c, "add", "net.c:3", EBB_FLOW_SUM);
	f->row[1].added = "net.c:20";
	add_sample(f, 0, NAN);
	ebb_flow_measures *m = f->sample[0].m;
	for (int i = 0; i < 3; i++) {
		m[i].rms = 0.5;
		m[i].grad_l2 = 10.0 / (i + 1);
		m[i].update_ratio = m[i].backward = NAN;
	}
	m[1].backward = 0.25;
	m[1].saturated = NAN;
	m[1].zeros = 0.375;
	f->first_loss = f->last_loss = NAN;
	const char *s = table(f, .ascii = true);
	ck_assert_msg(
		strcmp(s,
			"         y            dL/dy      factor   update  dL/dy\n"
			"layer  rms  flat %  L2 norm     W  phi'  /weight  (log scale)     where\n"
			"--------------------------------------------------------------------------"
			"-----"
			"---\n"
			"conv   0.5               10     -              -  ##############  conv2d  "
			"net.c:1\n"
			"relu   0.5    37.5        5        0.25           ######          relu    "
			"net.c:20\n"
			"sum    0.5             3.33                       #               add     "
			"net.c:3\n"
			"medians over 1 measured step of 1 (step 0)\n"
			"factor: |dL/dx| / |dL/dy|; flat: slopes near 0\n") == 0,
		"\n%s", s);
	flow_free(f);
}
END_TEST

START_TEST(ops_without_a_layer_have_a_line)
{
	ebb_flow *f = flow_new();

	add_dense(f, "");
	add_dense(f, "fc");
	add_samples(f, 1);
	ck_assert(has(table(f, .from = 0), "\n-    ") && has(table(f, .from = 0), "\nfc   "));
	ck_assert(has(table(f, .lines = 1), "\n- .. fc (2)"));
	flow_free(f);
}
END_TEST

START_TEST(a_line_of_several_layers_has_medians_and_geometric_means)
{
	ebb_flow *f = dense_net(3, "fc%d", 1);

	for (int i = 0; i < 6; i += 2) {
		ebb_flow_measures *m = &f->sample[0].m[i];
		m[0].backward = (double[]){2, 4, 27}[i / 2];
		m[1].backward = (double[]){0.001, 1, 1000}[i / 2];
		m[1].grad_l2 = (double[]){5, 70, 6}[i / 2];
		m[0].update_ratio = i ? 0.25 : NAN;
	}
	const char *s = table(f, .lines = 1);
	ck_assert_msg(has(s, "fc0 .. fc2 (3)"), "%s", s);
	ck_assert_msg(has(s, "       6     6     1     0.25  "), "%s", s);
	ck_assert(has(s, "; (n): n layers, medians, factors: geometric means\n"));
	flow_free(f);
}
END_TEST

START_TEST(steps_from_the_first_value_on_that_is_not_finite_are_left_out)
{
	ebb_flow *f = dense_net(3, "fc%d", 20);

	for (int k = 12; k < 20; k++) {
		f->sample[k].m[0].rms = 1e30;
		f->sample[k].m[2].grad_not_finite = 1;
	}
	f->last_loss = NAN;
	const char *s = table(f, .from = 0);
	ck_assert(!has(s, "e30"));
	ck_assert(has(s, "medians over 12 measured steps of 20 (0 to 11); loss 2.3 → nan\n"));
	ck_assert(has(s, "NaN or infinite values from step 12 on: 8 measured steps from there on "
			 "are left out\n"));
	s = table(f, .to = 10);
	ck_assert(has(s, "10 measured steps of 20 (0 to 9)") && !has(s, "infinite"));
	s = table(f, .from = 12);
	ck_assert(has(s, "1 measured step of 20 (step 12)"));
	ck_assert(has(s, "step 12 has NaN or infinite values: 7 measured steps"));
	/* The first bad value was between measured steps. */
	f->origin.found = true;
	f->origin.step = 5;
	ck_assert(has(table(f, .from = 0), "medians over 5 measured steps of 20 (0 to 4)"));
	f->origin.found = false;
	f->sample[3].loss = INFINITY;
	ck_assert(has(table(f, .from = 0), "medians over 3 measured steps of 20 (0 to 2)"));
	flow_free(f);
}
END_TEST

START_TEST(notes_are_below_the_table)
{
	ebb_flow *f = dense_net(2, "fc%d", 2);
	ebb_text text = {0};
	ebb_error e = {0};

	ck_assert(!has(table(f, .from = 0), "took") && !has(table(f, .from = 0), "flushed"));
	f->histograms = f->rank = f->flushed = f->failed = true;
	f->seconds_histograms = 0.25;
	f->seconds_rank = 3;
	const char *s = table(f, .from = 0);
	ck_assert(has(s, "\nhistograms took 0.25 s, the effective rank took 3 s\n"));
	ck_assert(has(s, "\n" EBB_FLUSHED_NOTE "\n") && has(s, "ran out of memory"));
	f->histograms = false;
	ck_assert(has(table(f, .from = 0), "\nthe effective rank took 3 s\n"));

	ck_assert(!ebb_flow_table(.flow = f, .text = &text, .from = 5, .error = &e));
	ck_assert_int_eq(e.status, EBB_BAD_STATE);
	ck_assert_msg(has(e.message, "views.c:") && has(e.message, "from step 5"), "%s", e.message);
	e = (ebb_error){0};
	ck_assert(!ebb_flow_table(.flow = NULL, .text = &text, .error = &e));
	ck_assert_int_eq(e.status, EBB_INVALID);
	ck_assert(!ebb_flow_table(.flow = f) && !(ebb_flow_table)(NULL));
	ck_assert_ptr_null(text.data);
	flow_free(f);
}
END_TEST

START_TEST(the_text_has_the_findings_and_the_table)
{
	ebb_flow *f = flow_new();

	ck_assert(has(ebb_flow_text(f), "\n\nnothing was measured in 0 steps\n"));
	for (int i = 0; i < 5; i++)
		add_dense(f, (const char *[]){"a", "b", "c", "d", "e"}[i]);
	add_samples(f, 4);
	ck_assert(has(ebb_flow_text(f), "\n\n  ") && has(ebb_flow_text(f), "medians over 4"));
	add_finding(f, EBB_VERDICT_SATURATED, "c", "sigmoid", "src/net.c:39", 0.98);
	const char *s = ebb_flow_text(f);
	ck_assert(strncmp(s, "c is saturated.\n", 16) == 0 && has(s, "\n\n  "));
	ck_assert(has(s, "\n▶ c ") && !has(s, "\033") && widest(s) <= 100);
	ck_assert_ptr_null(ebb_flow_text(NULL));
	flow_free(f);
}
END_TEST

START_TEST(text_is_wrapped_at_blanks)
{
	ebb_text text = {0};

	ck_assert(ebb_text_wrapped(&text, "größe is zero  everywhere", 0, 8));
	ck_assert(ebb_text_wrapped(&text, "one two", 1, 0) && ebb_text_wrapped(&text, "", 0, 5));
	ck_assert_str_eq(text.data, "größe is\nzero\neverywhe\nre\n one two\n\n");
	ebb_text_free(&text);
}
END_TEST

START_TEST(every_refused_allocation_is_an_error)
{
	ebb_flow *f = dense_net(50, "net.b%d.fc", 3);
	counting_allocator a;
	int64_t failures = 0;

	counting_allocator_install(&a);
	for (int64_t n = 0;; n++) {
		ebb_text text = {0};
		ebb_error e = {0};
		bool ok = true;

		a.calls = a.refused = 0;
		a.fail_at = n;
		ok = ebb_flow_table(.flow = f, .text = &text, .error = &e) && ok;
		ok = ok && ebb_flow_table(.flow = f, .text = &text, .ops = true, .error = &e);
		ck_assert_msg(ok == (a.refused == 0), "allocation %d", (int)n);
		/* Without memory the sentence of a healthy run has no numbers. */
		ok = (ok && ebb_flow_text(f)) || a.refused;
		ck_assert_msg(ok, "allocation %d", (int)n);
		ck_assert(ok || e.status == EBB_NO_MEMORY || e.status == EBB_OK);
		ebb_text_free(&text);
		ebb_text_free(&f->text);
		ck_assert_int_eq(a.live, 0);
		if (!a.refused)
			break;
		failures++;
	}
	ck_assert_int_ge(failures, 300);
	ck_assert_int_eq(a.wrong, 0);
	counting_allocator_remove();
	flow_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow views");
	TCase *c = tcase_create("views");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, rows_and_layers_have_the_order_of_the_forward_computation);
	tcase_add_test(c, a_summary_has_medians_of_the_steps_in_which_the_op_ran);
	tcase_add_test(c, a_layer_has_the_factors_along_its_sequence);
	tcase_add_test(c, a_large_network_fits_a_screen);
	tcase_add_test(c, layers_are_collapsed_by_the_dots_of_their_paths);
	tcase_add_test(c, layers_with_findings_and_their_neighbours_are_not_collapsed);
	tcase_add_test(c, a_table_fits_into_a_width);
	tcase_add_test(c, cells_are_blank_if_they_do_not_apply);
	tcase_add_test(c, ops_without_a_layer_have_a_line);
	tcase_add_test(c, a_line_of_several_layers_has_medians_and_geometric_means);
	tcase_add_test(c, steps_from_the_first_value_on_that_is_not_finite_are_left_out);
	tcase_add_test(c, notes_are_below_the_table);
	tcase_add_test(c, the_text_has_the_findings_and_the_table);
	tcase_add_test(c, text_is_wrapped_at_blanks);
	tcase_add_test(c, every_refused_allocation_is_an_error);
	suite_add_tcase(s, c);
	return run_suite(s);
}
