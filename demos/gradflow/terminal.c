/* terminal.c - prints a table, verdicts and factors to the terminal. */
#include "gradflow.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../cli.h"

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define PLAIN "\033[0m"

/* Widths in columns: a layer's number; a norm with the blanks around it; the longest bar. */
enum { NUMBER = 5, NORM = 14, BAR = 10 };

static void bar(const settings *s, const run *r, int widest, double norm, double lo, double hi)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	static const char *const colours[] = {"\033[31m", "\033[33m", "\033[34m", "\033[32m"};
	bool drawn = norm > 0 && isfinite(norm);
	double part = !drawn ? 0 : hi > lo ? (log(norm) - log(lo)) / (log(hi) - log(lo)) : 1;
	int n = drawn ? (int)lrint(1 + part * (8 * widest - 1)) : 0, blanks = widest - (n + 7) / 8;

	if (s->colour)
		fputs(colours[r->design.residual    ? 3
			      : r->design.batchnorm ? 2
						    : r->design.colour == 5],
			stdout);
	for (int i = 0; i < n / 8; i++)
		fputs("█", stdout);
	fputs(eighths[n % 8], stdout);
	if (s->colour)
		fputs(PLAIN, stdout);
	printf("%*s", blanks > 0 ? blanks : 0, "");
}

/* Prints one of the three lines of a column's heading: "plain", "ReLU", "+ batch norm". */
static void name_part(const char *name, int line, int width)
{
	const char *comma = strchr(name, ','), *from = comma ? comma + 2 : name,
		   *plus = strstr(from, " + "), *to = plus ? plus : name + strlen(name);

	if (line == 0) {
		from = name;
		to = comma ? comma : from;
	} else if (line == 2) {
		from = plus ? plus + 1 : to;
		to = name + strlen(name);
	}
	if (to - from > width)
		to = from + width;
	printf("   %-*.*s", width, (int)(to - from), from);
}

/* Prints the n networks from number first on side by side. */
static void print_columns(
	const run *r, const settings *s, int first, int n, int widest, double lo, double hi)
{
	for (int line = 0; line < 3; line++) {
		printf("%-*s", NUMBER, line ? "" : "layer");
		for (int k = first; k < first + n; k++)
			name_part(r[k].design.name, line, NORM - 3 + widest);
		printf("\n");
	}
	for (int i = 0; i < s->depth; i++) {
		printf("%*d", NUMBER, i + 1);
		for (int k = first; k < first + n; k++) {
			double v = r[k].layer[i].gradient;
			printf("   %8.1e  ", v);
			bar(s, &r[k], widest, v, lo, hi);
			printf(" ");
		}
		printf("\n");
	}
}

/* A narrow terminal gets shorter bars, a very narrow one fewer networks side by side. */
static void print_table(const run *r, const settings *s)
{
	int width = s->columns ? s->columns - NUMBER : INT_MAX, across = width / (NORM + 1), widest;
	double lo = INFINITY, hi = 0;
	char heading[300];

	across = across < 1 ? 1 : across < NETWORKS ? across : NETWORKS;
	widest = width / across - NORM;
	widest = widest < 1 ? 1 : widest < BAR ? widest : BAR;
	for (int i = 0; i < NETWORKS * s->depth; i++) {
		double norm = r[i / s->depth].layer[i % s->depth].gradient;
		if (norm > 0 && isfinite(norm)) {
			lo = fmin(lo, norm);
			hi = fmax(hi, norm);
		}
	}
	snprintf(heading, sizeof heading,
		"%sGradient norm per layer%s  |dL/dy|, y the layer's output; median over %d steps; "
		"bars on one log scale",
		s->colour ? BOLD : "", s->colour ? PLAIN : "", ebb_flow_samples(r[0].flow));
	printf("\n");
	cli_wrap(0, heading);
	for (int k = 0; k < NETWORKS; k += across) {
		printf("\n");
		print_columns(
			r, s, k, k + across < NETWORKS ? across : NETWORKS - k, widest, lo, hi);
	}
}

/* "factors per layer W 0.958 x φ' 0.237 = 0.227 (medians)" */
static void factors(ebb_text *line, const run *r)
{
	const measured *m = &r->median;

	ebb_text_printf(line, "factors per layer%s W %.3g",
		r->design.residual ? " of a branch" : "", m->weight);
	if (r->design.batchnorm)
		ebb_text_printf(line, " x norm %.3g", m->norm);
	ebb_text_printf(line, " x φ' %.3g = %.3g (medians)", m->slope, product(m));
}

static void wrap(int indent, ebb_text *line)
{
	cli_wrap(indent, line->data ? line->data : "");
	ebb_text_free(line);
}

static void print_verdict(const run *r, const settings *s)
{
	ebb_text line = {0}, curve = {0};

	printf("\n%s%s%s\n", s->colour ? BOLD : "", r->design.name, s->colour ? PLAIN : "");
	cli_wrap(2, r->verdict.sentence);
	if (*r->verdict.advice)
		cli_wrap(2, r->verdict.advice);
	if (r->findings > 1) {
		ebb_text_printf(&line, "and %d more finding%s, which the report lists",
			r->findings - 1, r->findings > 2 ? "s" : "");
		wrap(2, &line);
	}
	factors(&line, r);
	wrap(2, &line);
	if (r->decay.used >= 2) {
		ebb_text_printf(&line,
			"gradient per layer x%.3g (fit r2 %.2f), largest over smallest norm %.3g",
			r->decay.factor, r->decay.r2, r->decay.spread);
		wrap(2, &line);
	}
	ebb_text_sparkline(&curve, r->steps, r->loss, 30);
	ebb_text_printf(&line, "loss %.3f -> %.3f  %s%s%s  final batch accuracy %.1f %%  %.0f s",
		loss_at_first(r), loss_at_last(r), s->colour ? DIM : "",
		curve.data ? curve.data : "", s->colour ? PLAIN : "", 100 * accuracy_at_last(r),
		r->seconds);
	wrap(2, &line);
	ebb_text_free(&curve);
}

void print_results(const run *r, const settings *s)
{
	print_table(r, s);
	for (int k = 0; k < NETWORKS; k++)
		print_verdict(&r[k], s);
	printf("\n");
}
