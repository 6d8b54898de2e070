/* observe.c - watching the tape: observers, what they may ask of a node, and the graph as a
 * picture. */
#include "autograd/internal.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

bool ebb_observe(ebb_tape *t, const ebb_observer *o)
{
	if (!t || !o || t->nobservers == EBB_MAX_OBSERVERS)
		return false;
	t->observers[t->nobservers++] = o;
	t->ntimers += o->ran != NULL;
	return true;
}

void ebb_unobserve(ebb_tape *t, const ebb_observer *o)
{
	int kept = 0;

	if (!t)
		return;
	for (int i = 0; i < t->nobservers; i++)
		if (t->observers[i] != o)
			t->observers[kept++] = t->observers[i];
		else
			t->ntimers -= o->ran != NULL;
	t->nobservers = kept;
}

bool ebb_is_watched(const ebb_tape *t)
{
	if (!t)
		return false;
	for (int i = 0; i < t->nobservers; i++) {
		const ebb_observer *o = t->observers[i];

		if (o->recorded || o->scope_ended || o->gradient)
			return true;
	}
	return t->anomaly;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

int64_t ebb_nanoseconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* What of x lies in memory: a repeated axis counts once. */
static double bytes_of(const ebb_tensor *x)
{
	double n = (double)ebb_dtype_size((ebb_dtype)x->dtype);

	for (int i = 0; i < x->ndim; i++)
		n *= x->strides[i] || !x->shape[i] ? (double)x->shape[i] : 1;
	return n;
}

void ebb_tell_ran(const ebb_call *c, const ebb_tensor *y)
{
	ebb_tape *t = c->t;
	ebb_run r = {c->op->name, c->site ? c->site : "", t->scope, NULL, c->start,
		ebb_nanoseconds() - c->start, 0, 0, y};
	bool view = false;

	if (t->frame) {
		r.site = t->frame->site ? t->frame->site : "";
		r.gradient_of = t->frame->op ? t->frame->op : "backward";
	}
	if (!r.gradient_of && t->replays)
		r.gradient_of = "checkpoint";
	for (int k = 0; k < c->nin; k++)
		view |= c->in[k] && c->in[k] != y && c->in[k]->storage == y->storage &&
		        !(c->in[k]->flags & EBB_F_DROPPED); /* written over */
	if (!view) {
		r.flops = c->op->flops ? c->op->flops(c, y) : (double)y->count;
		r.bytes = bytes_of(y);
		for (int k = 0; k < c->nin; k++)
			r.bytes += c->in[k] ? bytes_of(c->in[k]) : 0;
	}
	t->in_callback = true;
	for (int i = 0; i < t->nobservers; i++)
		if (t->observers[i]->ran)
			t->observers[i]->ran(t->observers[i]->ctx, &r);
	t->in_callback = false;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

const char *ebb_node_op(const ebb_node *n)
{
	return n ? n->op->name : "";
}

const char *ebb_node_site(const ebb_node *n)
{
	return n && n->site ? n->site : "";
}

const ebb_scope *ebb_node_scope(const ebb_node *n)
{
	return n ? n->scope : NULL;
}

const ebb_tensor *ebb_node_output(const ebb_node *n)
{
	return n ? n->out : NULL;
}

int ebb_node_inputs(const ebb_node *n)
{
	return n ? n->nin : 0;
}

const ebb_tensor *ebb_node_input(const ebb_node *n, int k)
{
	return n && k >= 0 && k < n->nin ? n->in[k] : NULL;
}

int64_t ebb_node_index(const ebb_node *n)
{
	return n ? n->index : -1;
}

const ebb_tensor *ebb_node_stored(const ebb_node *n)
{
	return n && n->op == &ebb_leaf_op ? n->out->stored : NULL;
}

const ebb_node *ebb_node_of(const ebb_tensor *x)
{
	return x && x->tape && x->node >= 0 ? x->tape->nodes[x->node] : NULL;
}

/* A DOT string: quotes and backslashes escaped. */
static void quoted(FILE *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', out);
		fputc(*s, out);
	}
}

static void dump_node(const ebb_node *n, FILE *out)
{
	bool leaf = n->op == &ebb_leaf_op;
	char text[240];

	fprintf(out, "\tn%" PRId32 " [label=\"", n->index);
	if (leaf)
		quoted(out, ebb_name(n->out)[0] ? ebb_name(n->out) : "variable");
	else
		quoted(out, n->op->name);
	fprintf(out, "\\n%s", ebb_describe(n->out, text, sizeof text));
	if (n->scope->path[0]) {
		fprintf(out, "\\n");
		quoted(out, n->scope->path);
	}
	if (n->site) {
		fprintf(out, "\\n");
		quoted(out, n->site);
	}
	fprintf(out, "\"%s];\n",
		leaf ? ", shape=ellipse, style=filled, fillcolor=\"#e8f0fe\"" : "");
	for (int k = 0; k < n->nin; k++)
		if (n->in[k] && n->in[k]->node >= 0)
			fprintf(out, "\tn%" PRId32 " -> n%" PRId32 " [label=\"%s\"];\n",
				n->in[k]->node, n->index,
				ebb_shape_text(ebb_shape_of(n->in[k]), text, sizeof text));
}

bool ebb_dump_dot(const ebb_tape *t, FILE *out)
{
	if (!t || !out)
		return false;
	fprintf(out, "digraph tape {\n\trankdir=TB;\n\tnode [shape=box, fontname=\"sans-serif\", "
		     "fontsize=10];\n"
		     "\tedge [fontname=\"sans-serif\", fontsize=8];\n");
	for (int64_t i = 0; i < t->nnodes; i++)
		dump_node(t->nodes[i], out);
	fprintf(out, "}\n");
	return !ferror(out) && fflush(out) == 0;
}
