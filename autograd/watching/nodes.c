/* nodes.c - the properties of a node, and the recording as a Graphviz graph. */
#include <inttypes.h>

#include "autograd/internal.h"

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

const ebb_tensor *ebb_node_persistent(const ebb_node *n)
{
	return n && n->op == &ebb_leaf_op ? n->out->persistent : NULL;
}

const ebb_node *ebb_node_of(const ebb_tensor *x)
{
	return x && x->tape && x->node >= 0 ? x->tape->nodes[x->node] : NULL;
}

const ebb_node *ebb_node_at(const ebb_tape *t, int64_t index)
{
	return t && index >= 0 && index < t->nnodes ? t->nodes[index] : NULL;
}

/* Whether x has the elements of y, a handle of a persistent tensor, in y's memory. */
static bool is_alias(const ebb_tensor *x, const ebb_tensor *y)
{
	if (x->storage != y->storage || x->data != y->data || x->ndim != y->ndim)
		return false;
	for (int a = 0; a < x->ndim; a++)
		if (x->shape[a] != y->shape[a] || x->strides[a] != y->strides[a])
			return false;
	return true;
}

const ebb_tensor *ebb_persistent_of(const ebb_tensor *x)
{
	const ebb_context *c = x && x->tape ? ebb_context_of(x->tape) : NULL;

	if (!c || x->flags & EBB_F_IMPORTED)
		return c ? x->persistent : NULL;
	if (x->storage->pool || x->node >= 0)
		return NULL;
	for (int64_t k = 0; k < c->nimported; k++)
		if (is_alias(x, c->imported[k]))
			return c->imported[k]->persistent;
	return NULL;
}

bool ebb_node_is_gradient(const ebb_node *n)
{
	return n && n->out->flags & EBB_F_SWEEP;
}

/* Writes s with quotes and backslashes escaped, for a DOT string. */
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
