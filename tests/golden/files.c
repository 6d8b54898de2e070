/*
 * files.c - golden vectors from safetensors files, read by ebb_archive_read.
 *
 * A file is one case, OP/NN-NAME.safetensors.  __metadata__ holds "op" and the op's options as
 * strings: numbers joined by commas, booleans as 0 or 1, and "note" for what no option can express.
 * Its tensors:
 *
 *   in.K             input K: F64, or I64 for labels, indices and conditions
 *   out, gout        the output, and the cotangent of the output
 *   grad.K           the gradient of sum out*gout by in.K
 *   v.K              a direction for grad.K
 *   hvp.K, hvp.gout  the gradient of sum over K of sum grad.K*v.K by in.K and by gout
 *   after.NAME       the buffer of that name after the call
 */
#include "golden.h"

#include <stdlib.h>
#include <string.h>

static bool take_metadata(golden_case *c, ebb_error *error)
{
	int64_t n = ebb_archive_metadata_count(c->archive);

	for (int64_t i = 0; i < n; i++) {
		const char *key = ebb_archive_metadata_key_at(c->archive, i);
		const char *text = ebb_archive_metadata_at(c->archive, i);

		if (!strcmp(key, "op")) {
			c->op = text;
			continue;
		}
		if (c->options.n == GOLDEN_MAX_OPTIONS) {
			ebb_error_set(error, EBB_BAD_FILE, NULL, "too many metadata keys");
			return false;
		}
		c->options.option[c->options.n++] = (golden_option){key, text, false};
	}
	return true;
}

static bool take_tensors(golden_case *c, ebb_error *error)
{
	int64_t n = ebb_archive_count(c->archive);

	c->tensors = calloc((size_t)n + 1, sizeof *c->tensors);
	for (; c->tensors && c->n < n; c->n++) {
		golden_tensor *x = &c->tensors[c->n];

		x->name = ebb_archive_name_at(c->archive, c->n);
		x->owner = ebb_archive_tensor(c->archive, x->name, EBB_DEFAULT, error);
		if (!x->owner)
			return false;
		x->dtype = ebb_dtype_of(x->owner);
		x->shape = ebb_shape_of(x->owner);
		x->count = ebb_count(x->owner);
		x->values = ebb_data(x->owner);
	}
	return c->tensors;
}

bool golden_load(const char *path, golden_case *c, ebb_error *error)
{
	*c = (golden_case){0};
	c->archive = ebb_archive_read(path, .error = error);
	if (c->archive && take_metadata(c, error) && take_tensors(c, error))
		return true;
	golden_unload(c);
	return false;
}

void golden_unload(golden_case *c)
{
	for (int i = 0; i < c->n; i++)
		ebb_tensor_free(c->tensors[i].owner);
	free(c->tensors);
	ebb_archive_free(c->archive);
	*c = (golden_case){0};
}

const golden_tensor *golden_find(const golden_case *c, const char *prefix, const char *suffix)
{
	size_t n = strlen(prefix);

	for (int i = 0; i < c->n; i++) {
		const char *name = c->tensors[i].name;

		if (!strncmp(name, prefix, n) && name[n] == '.' && !strcmp(name + n + 1, suffix))
			return &c->tensors[i];
	}
	return NULL;
}

const golden_tensor *golden_find_numbered(const golden_case *c, const char *prefix, int k)
{
	char number[16];

	snprintf(number, sizeof number, "%d", k);
	return golden_find(c, prefix, number);
}
