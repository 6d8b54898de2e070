/* rows.c - the rows and layers of a flow instrument, and the globs that choose layers. */
#include "flow/instrument/recorder.h"
#include "tensor/host.h"

#include <math.h>
#include <string.h>

/* ---- Globs ----------------------------------------------------------------------------------- */

/* Whether the glob of n characters matches s.  Recursion is as deep as the glob has stars. */
static bool matches(const char *glob, size_t n, const char *s)
{
	for (; n; glob++, n--, s++) {
		if (*glob == '*') {
			bool across = n > 1 && glob[1] == '*';
			size_t stars = across ? 2 : 1;

			for (;; s++) {
				if (matches(glob + stars, n - stars, s))
					return true;
				if (!*s || (*s == '.' && !across))
					return false;
			}
		}
		if (!*s || (*glob == '?' ? *s == '.' : *glob != *s))
			return false;
	}
	return !*s;
}

bool ebb_flow_matches(const char *globs, const char *path)
{
	if (!globs)
		return true;
	while (*globs) {
		size_t n = strcspn(globs, " ");

		if (n && matches(globs, n, path))
			return true;
		globs += n + (globs[n] == ' ');
	}
	return false;
}

/* ---- Paths and layers ------------------------------------------------------------------------ */

/* The number of a path, or -1.  Neighbouring nodes often have the same path. */
static int find_path(struct flow_recorder *r, const char *text)
{
	for (int k = 0; k < r->paths; k++) {
		int i = (r->last_path + k) % r->paths;

		if (strcmp(r->path[i].text, text) == 0)
			return r->last_path = i;
	}
	return -1;
}

int ebb_flow_path(ebb_flow *f, const char *text)
{
	struct flow_recorder *r = f->recorder;
	int found = find_path(r, text);
	size_t size;
	char *copy;

	/* Names that change in each step would take more memory with each. */
	if (found < 0 && r->paths >= EBB_FLOW_LAYERS) {
		text = "others";
		found = find_path(r, text);
	}
	if (found >= 0)
		return found;
	size = strlen(text) + 1;
	if (!ebb_grow(&r->path, &r->path_capacity, r->paths + 1, sizeof *r->path) ||
		!(copy = ebb_alloc(size)))
		return -1;
	memcpy(copy, text, size);
	r->path[r->paths] = (struct flow_path){copy, size, -1};
	return r->paths++;
}

static int layer_of_path(ebb_flow *f, int path)
{
	struct flow_path *p = &f->recorder->path[path];
	char *copy;

	if (p->layer >= 0)
		return p->layer;
	if (!ebb_grow(&f->layer, &f->layer_capacity, f->layers + 1, sizeof *f->layer) ||
		!(copy = ebb_alloc(p->size)))
		return -1;
	memcpy(copy, p->text, p->size);
	f->layer[f->layers] = (struct flow_layer){.path = copy, .size = p->size};
	return p->layer = f->layers++;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static int add_row(ebb_flow *f, int layer, const char *op, const char *site, const char *added,
	ebb_flow_kind kind)
{
	ebb_flow_histogram *histogram = NULL;

	if (!ebb_grow(&f->row, &f->row_capacity, f->rows + 1, sizeof *f->row) ||
		(f->histograms &&
			!(histogram = ebb_alloc_zeroed(FLOW_HISTOGRAMS * sizeof *histogram))))
		return -1;
	f->row[f->rows] = (struct flow_row){.layer = layer,
		.op = op,
		.site = site,
		.added = added,
		.kind = kind,
		.stage = -1,
		.before = -1,
		.order = f->recorder->clock,
		.histogram = histogram};
	return f->rows++;
}

int ebb_flow_row(ebb_flow *f, int path, const char *op, const char *site, const char *added,
	ebb_flow_kind kind)
{
	int layer = f->recorder->path[path].layer;

	for (int k = 0; layer >= 0 && k < f->rows; k++) {
		/* Ops run in the same order in every step. */
		int i = (f->recorder->next_row + k) % f->rows;
		const struct flow_row *r = &f->row[i];

		if (r->layer == layer && r->kind == kind && same_text(r->op, op) &&
			same_text(r->site, site)) {
			f->recorder->next_row = i + 1;
			return i;
		}
	}
	if (!ebb_flow_matches(f->globs, f->recorder->path[path].text))
		return -1;
	layer = layer_of_path(f, path);
	int row = layer < 0 ? -1 : add_row(f, layer, op, site, added, kind);
	f->failed |= row < 0;
	return row;
}
