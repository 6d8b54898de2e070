/*
 * formula.c - evaluates the formulas of the golden set's graph_* cases.
 *
 *   sum     = product { ("+" | "-") product }
 *   product = factor { ("*" | "/" | "@") factor }
 *   factor  = "-" factor | number | "x" | "in." digits | "(" sum ")" | op "(" arguments ")"
 *
 * An argument is a sum, or key=value as in the metadata.  "@" is the matrix product.
 */
#include "golden.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct parser {
	ebb_tape *t;
	golden_options *o;
	const char *p;
	int n;
	ebb_tensor **in;
	int depth;
} parser;

typedef struct operand {
	ebb_tensor *x; /* NULL: the number */
	double number;
} operand;

static operand parse_sum(parser *p);

static void expect(parser *p, char c)
{
	if (*p->p == c)
		p->p++;
	else
		golden_problem(p->o, "formula: '%c' expected at \"%.20s\"", c, p->p);
}

static bool accept(parser *p, char c)
{
	while (*p->p == ' ')
		p->p++;
	if (*p->p != c)
		return false;
	p->p++;
	while (*p->p == ' ')
		p->p++;
	return true;
}

static size_t word(const char *s)
{
	size_t n = 0;

	while (isalnum((unsigned char)s[n]) || s[n] == '_')
		n++;
	return n;
}

/* key=value up to "," or ")", copied to text, which must outlive o. */
static void parse_option(parser *p, golden_options *o, char *text, size_t size)
{
	size_t key = word(p->p), value = strcspn(p->p + key + 1, ",)");

	if (o->n == GOLDEN_MAX_OPTIONS || key + value + 2 > size) {
		golden_problem(p->o, "formula: too many options");
		return;
	}
	memcpy(text, p->p, key + 1 + value);
	text[key] = text[key + 1 + value] = '\0';
	o->option[o->n++] = (golden_option){text, text + key + 1, false};
	p->p += key + 1 + value;
}

static operand parse_call(parser *p, size_t length)
{
	char name[64] = "", text[GOLDEN_MAX_OPTIONS][64];
	golden_options o = {0};
	ebb_tensor *in[GOLDEN_MAX_INPUTS];
	const golden_op *op;
	int n = 0;
	operand y = {0};

	if (length < sizeof name)
		memcpy(name, p->p, length);
	op = golden_op_named(name);
	if (!op) {
		p->o->missing_op = true;
		golden_problem(p->o, "formula: no op %.*s", (int)length, p->p);
		return y;
	}
	p->p += length + 1;
	do {
		size_t key = word(p->p);

		if (key && p->p[key] == '=') {
			parse_option(
				p, &o, text[o.n < GOLDEN_MAX_OPTIONS ? o.n : 0], sizeof text[0]);
		} else if (n < op->max_inputs) {
			in[n++] = parse_sum(p).x;
		} else {
			golden_problem(p->o, "formula: too many arguments of %s", name);
		}
	} while (accept(p, ',') && !p->o->problem[0]);
	expect(p, ')');
	if (n < op->min_inputs)
		golden_problem(p->o, "formula: too few arguments of %s", name);
	if (p->o->problem[0])
		return y;
	y.x = op->call(p->t, &o, n, in);
	if (!golden_options_ok(&o))
		golden_problem(p->o, "formula: %s: %s", name, o.problem);
	return y;
}

static operand parse_factor(parser *p)
{
	operand y = {0};
	size_t length = word(p->p);
	char *end;

	if (p->o->problem[0] || ++p->depth > 100) {
		golden_problem(p->o, "formula: nested too deep");
	} else if (accept(p, '-')) {
		y = parse_factor(p);
		y.number = -y.number;
		if (y.x)
			y.x = ebb_neg(p->t, y.x);
	} else if (accept(p, '(')) {
		y = parse_sum(p);
		expect(p, ')');
	} else if (isdigit((unsigned char)*p->p)) {
		y.number = strtod(p->p, &end);
		p->p = end;
	} else if (length && p->p[length] == '(') {
		y = parse_call(p, length);
	} else if (length == 1 && *p->p == 'x') {
		y.x = p->in[0];
		p->p++;
	} else if (length == 2 && !strncmp(p->p, "in.", 3) && isdigit((unsigned char)p->p[3])) {
		long k = strtol(p->p + 3, &end, 10);

		if (k < p->n)
			y.x = p->in[k];
		else
			golden_problem(p->o, "formula: there is no in.%ld", k);
		p->p = end;
	} else {
		golden_problem(p->o, "formula: not understood at \"%.20s\"", p->p);
	}
	p->depth--;
	return y;
}

/* x and a number n: x - n is computed as x + -n, x / n as x * 1/n, n - x as -x + n, and n / x as
 * 1/x * n. */
static ebb_tensor *with_number(parser *p, char sign, ebb_tensor *x, double n, bool x_first)
{
	if (!x_first && sign == '-')
		x = ebb_neg(p->t, x);
	if (!x_first && sign == '/')
		x = ebb_reciprocal(p->t, x);
	if (x_first && sign == '-')
		n = -n;
	if (x_first && sign == '/')
		n = 1 / n;
	return sign == '*' || sign == '/' ? ebb_mul_scalar(p->t, x, n) : ebb_add_scalar(p->t, x, n);
}

static operand combine(parser *p, char sign, operand a, operand b)
{
	if (p->o->problem[0])
		return a;
	if (a.x && b.x)
		a.x = sign == '+'   ? ebb_add(p->t, a.x, b.x)
		      : sign == '-' ? ebb_sub(p->t, a.x, b.x)
		      : sign == '*' ? ebb_mul(p->t, a.x, b.x)
		      : sign == '/' ? ebb_div(p->t, a.x, b.x)
		                    : ebb_matmul(p->t, a.x, b.x);
	else if ((a.x || b.x) && sign != '@')
		a.x = with_number(p, sign, a.x ? a.x : b.x, a.x ? b.number : a.number, a.x != NULL);
	else
		golden_problem(p->o, "formula: '%c' of these operands is not understood", sign);
	return a;
}

static operand parse_product(parser *p)
{
	operand y = parse_factor(p);

	for (;;) {
		if (accept(p, '*'))
			y = combine(p, '*', y, parse_factor(p));
		else if (accept(p, '/'))
			y = combine(p, '/', y, parse_factor(p));
		else if (accept(p, '@'))
			y = combine(p, '@', y, parse_factor(p));
		else
			return y;
	}
}

static operand parse_sum(parser *p)
{
	operand y = parse_product(p);

	for (;;) {
		if (accept(p, '+'))
			y = combine(p, '+', y, parse_product(p));
		else if (accept(p, '-'))
			y = combine(p, '-', y, parse_product(p));
		else
			return y;
	}
}

ebb_tensor *golden_formula(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)
{
	const char *note = golden_text(o, "note");
	parser p = {.t = t, .o = o, .p = note ? note : "", .n = n, .in = in};
	operand y = parse_sum(&p);

	if (*p.p)
		golden_problem(o, "formula: not understood at \"%.20s\"", p.p);
	return y.x;
}
