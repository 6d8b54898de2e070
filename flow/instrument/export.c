/* export.c - writes a flow instrument as CSV (RFC 4180) or JSON lines. */
#include "tensor/host.h"
#include "flow/instrument/internal.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* ---- Columns ---- */

/* A measure: a double at an offset of ebb_flow_layer_summary, or with .full of ebb_flow_measures.
 * The loss is in neither. */
struct column {
	const char *name;
	size_t offset;
};
static const size_t LOSS = (size_t)-1;

#define OF_LAYER(member)                                                                           \
	{                                                                                          \
#member, offsetof(ebb_flow_layer_summary, member)                                  \
	}
static const struct column layer_columns[] = {{"loss", LOSS}, OF_LAYER(activation),
	OF_LAYER(gradient), OF_LAYER(weight), OF_LAYER(norm), OF_LAYER(slope), OF_LAYER(zeros),
	OF_LAYER(saturated), OF_LAYER(dead), OF_LAYER(weight_l2), OF_LAYER(weight_grad_l2),
	OF_LAYER(update_ratio), OF_LAYER(cosine), OF_LAYER(not_finite)};

#define OF_OP(member)                                                                              \
	{                                                                                          \
#member, offsetof(ebb_flow_measures, member)                                       \
	}
static const struct column op_columns[] = {{"loss", LOSS}, OF_OP(calls), OF_OP(elements),
	OF_OP(mean), OF_OP(std), OF_OP(rms), OF_OP(max), OF_OP(zeros), OF_OP(saturated),
	OF_OP(dead), OF_OP(rank), OF_OP(not_finite), OF_OP(grad_l2), OF_OP(grad_rms),
	OF_OP(grad_max), OF_OP(grad_zeros), OF_OP(grad_not_finite), OF_OP(forward), OF_OP(backward),
	OF_OP(weight_l2), OF_OP(weight_grad_l2), OF_OP(update_ratio), OF_OP(cosine)};

enum { MOST_COLUMNS = sizeof op_columns / sizeof *op_columns };

/* What is written. */
struct output {
	const ebb_flow_export_args *a;
	const struct column *all;
	int all_n, n, chosen[MOST_COLUMNS]; /* indices in all */
	const char *format;
};

static const char *const kinds[] = {[EBB_FLOW_WEIGHT] = "weight",
	[EBB_FLOW_NORM] = "norm",
	[EBB_FLOW_SLOPE] = "slope",
	[EBB_FLOW_SUM] = "sum"};

static int index_of(const struct output *o, const char *name, size_t length)
{
	for (int i = 0; i < o->all_n; i++)
		if (strlen(o->all[i].name) == length && memcmp(o->all[i].name, name, length) == 0)
			return i;
	return -1;
}

/* An error that names the measures that there are. */
static bool unknown(const struct output *o, const char *name, size_t length)
{
	char names[400] = "";

	for (int i = 0; i < o->all_n; i++) {
		size_t end = strlen(names);
		ebb_snprintf(names + end, sizeof names - end, "%s%s", i ? " " : "", o->all[i].name);
	}
	ebb_error_set(o->a->error, EBB_INVALID, o->a->site,
		"flow_export: there is no measure %.*s%s; there are: %s",
		(int)(length < 40 ? length : 40), name, o->a->full ? " with .full" : "", names);
	return false;
}

static bool choose(struct output *o)
{
	const char *s = o->a->measures;

	if (!s || !s[strspn(s, " ")]) {
		for (o->n = 0; o->n < o->all_n; o->n++)
			o->chosen[o->n] = o->n;
		return true;
	}
	while (*(s += strspn(s, " "))) {
		size_t length = strcspn(s, " ");
		int found = index_of(o, s, length);
		bool again = false;
		if (found < 0)
			return unknown(o, s, length);
		for (int i = 0; i < o->n; i++)
			again = again || o->chosen[i] == found;
		if (!again)
			o->chosen[o->n++] = found;
		s += length;
	}
	return true;
}

/* ---- Fields ---- */

static void json_string(ebb_text *text, const char *s)
{
	ebb_text_add(text, "\"");
	for (; s && *s; s++) {
		if (*s == '"' || *s == '\\')
			ebb_text_add(text, "\\");
		if ((unsigned char)*s < 0x20)
			ebb_text_printf(text, "\\u%04x", (unsigned)*s);
		else
			ebb_text_bytes(text, s, 1);
	}
	ebb_text_add(text, "\"");
}

/* Begins a field; only the first one, network, has no separator before it. */
static void begin(const struct output *o, const char *name, bool first)
{
	if (!first)
		ebb_text_add(o->a->text, ",");
	if (o->a->json) {
		json_string(o->a->text, name);
		ebb_text_add(o->a->text, ":");
	}
}

static void string(const struct output *o, const char *name, const char *value)
{
	bool first = strcmp(name, "network") == 0;

	if (first && o->a->json)
		ebb_text_add(o->a->text, "{");
	begin(o, name, first);
	if (o->a->json)
		json_string(o->a->text, value);
	else
		ebb_text_field(o->a->text, value);
}

static void integer(const struct output *o, const char *name, int64_t value)
{
	begin(o, name, false);
	ebb_text_printf(o->a->text, "%lld", (long long)value);
}

/* JSON has no NaN and no infinities. */
static void number(const struct output *o, const char *name, double value)
{
	begin(o, name, false);
	if (!o->a->json || isfinite(value))
		ebb_text_number(o->a->text, o->format, value);
	else
		ebb_text_add(o->a->text, isnan(value) ? "null"
					 : value > 0  ? "\"inf\""
						      : "\"-inf\"");
}

static void measures(const struct output *o, const void *values, double loss)
{
	for (int i = 0; i < o->n; i++) {
		const struct column *c = &o->all[o->chosen[i]];
		double value = loss;
		if (c->offset != LOSS)
			memcpy(&value, (const char *)values + c->offset, sizeof value);
		number(o, c->name, value);
	}
	ebb_text_add(o->a->text, o->a->json ? "}\n" : "\r\n");
}

static void header(const struct output *o)
{
	ebb_text_add(o->a->text, o->a->full ? "network,step,layer,op,site,added,kind"
					    : "network,from,to,samples,layer,op,site");
	for (int i = 0; i < o->n; i++) {
		ebb_text_add(o->a->text, ",");
		ebb_text_add(o->a->text, o->all[o->chosen[i]].name);
	}
	ebb_text_add(o->a->text, "\r\n");
}

/* ---- Lines ---- */

static bool wanted(const struct output *o, const char *path)
{
	return ebb_flow_matches(o->a->layers, path);
}

static void op_lines(const struct output *o, int sample)
{
	const ebb_flow *f = o->a->flow;
	ebb_flow_measures m;
	ebb_flow_op op;

	for (int i = 0; i < ebb_flow_ops(f); i++) {
		if (!ebb_flow_op_at(f, i, &op) || !wanted(o, ebb_flow_layer(f, op.layer)) ||
			!ebb_flow_sample(f, sample, i, &m))
			continue;
		string(o, "network", o->a->network);
		integer(o, "step", ebb_flow_sample_step(f, sample));
		string(o, "layer", ebb_flow_layer(f, op.layer));
		string(o, "op", op.op);
		string(o, "site", op.site);
		string(o, "added", op.added);
		string(o, "kind", kinds[op.kind]);
		measures(o, &m, ebb_flow_sample_loss(f, sample));
	}
}

static bool median_loss(const ebb_flow *f, int first, int last, double *loss)
{
	int n = last - first + 1;
	size_t bytes = (size_t)n * sizeof(double);
	double *v = ebb_alloc(bytes);

	for (int i = 0; v && i < n; i++)
		v[i] = ebb_flow_sample_loss(f, first + i);
	*loss = v ? ebb_median(v, n) : NAN;
	ebb_free(v, bytes);
	return v != NULL;
}

/* The lines of the samples [first, last].  False without memory. */
static bool layer_lines(const struct output *o, int first, int last)
{
	const ebb_flow *f = o->a->flow;
	int64_t from = ebb_flow_sample_step(f, first), to = ebb_flow_sample_step(f, last) + 1;
	ebb_flow_layer_summary s;
	double loss;

	if (!median_loss(f, first, last, &loss))
		return false;
	for (int i = 0; i < ebb_flow_layers(f); i++) {
		int row = ebb_flow_main_row(f, i);
		if (!wanted(o, ebb_flow_layer(f, i)) || !ebb_flow_ran(f, i, -1, from, to))
			continue;
		if (!ebb_flow_layer_summary_of(f, i, from, to, &s))
			return false;
		string(o, "network", o->a->network);
		integer(o, "from", from);
		integer(o, "to", to);
		integer(o, "samples", s.samples);
		string(o, "layer", s.path);
		string(o, "op", f->row[row].op);
		string(o, "site", f->row[row].added ? f->row[row].added : f->row[row].site);
		measures(o, &s, loss);
	}
	return true;
}

bool(ebb_flow_export)(const ebb_flow_export_args *a)
{
	struct output o = {.a = a};
	bool ok = true;

	if (!a || !a->flow || !a->text)
		return ebb_text_null(a ? a->error : NULL, a ? a->site : NULL, "flow_export",
			a && a->flow ? "text" : "flow");
	if (a->windows < 0) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"flow_export: .windows is %d, expects at least 1", a->windows);
		return false;
	}
	o.all = a->full ? op_columns : layer_columns;
	o.all_n = a->full ? MOST_COLUMNS : (int)(sizeof layer_columns / sizeof *layer_columns);
	o.format = a->full ? "%.9g" : "%.6g";
	if (!choose(&o))
		return false;
	ebb_flow_settle(a->flow);
	if (!a->json && !a->no_header)
		header(&o);
	int samples = ebb_flow_samples(a->flow), windows = a->windows ? a->windows : 10;
	windows = windows < samples ? windows : samples;
	for (int i = 0; a->full && i < samples; i++)
		op_lines(&o, i);
	for (int i = 0; !a->full && ok && i < windows; i++)
		ok = layer_lines(&o, (int)((int64_t)i * samples / windows),
			(int)((int64_t)(i + 1) * samples / windows) - 1);
	return (ok && !a->text->failed) || ebb_text_no_memory(a->error, a->site, "flow_export");
}
