/*
 * weights.c - saves and loads the parameters and buffers of a store by their names.
 *
 * A load first plans which entry goes to which tensor.  It changes no tensor if the plan has an
 * error.
 */
#include <string.h>

#include "nn/load.h"

/* ---- Saving --------------------------------------------------------------------------------- */

static bool put_one(ebb_archive *a, const char *prefix, const char *name, const ebb_tensor *x,
	ebb_file_dtype dtype, ebb_error *e)
{
	size_t n = strlen(prefix), m = strlen(name) + 1;
	char *full = ebb_alloc(n + m);
	bool ok;

	if (!full)
		return ebb_archive_no_memory(a, e);
	memcpy(full, prefix, n);
	memcpy(full + n, name, m);
	ok = ebb_archive_add(a, full, x, dtype, e);
	ebb_free(full, n + m);
	return ok;
}

static bool put_all(
	const ebb_params *p, ebb_archive *a, const char *prefix, ebb_file_dtype dtype, ebb_error *e)
{
	const ebb_error *fault = ebb_params_error(p);

	if (fault) {
		ebb_error_set(e, fault->status, NULL, "%s", fault->message);
		return false;
	}
	if (!prefix)
		prefix = "";
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		if (!put_one(a, prefix, ebb_params_name_at(p, i) + p->prefix_length,
			    ebb_params_at(p, i), dtype, e))
			return false;
	for (int64_t i = 0; i < ebb_buffers_count(p); i++)
		if (!put_one(a, prefix, ebb_buffers_name_at(p, i) + p->prefix_length,
			    ebb_buffers_at(p, i), dtype, e))
			return false;
	return true;
}

bool ebb_params_put(const ebb_params *p, ebb_archive *a, const char *prefix, ebb_error *e)
{
	return put_all(p, a, prefix, EBB_FILE_DEFAULT, e);
}

bool ebb_params_put_as(const ebb_params *p, ebb_archive *a, ebb_file_dtype dtype, ebb_error *e)
{
	return put_all(p, a, NULL, dtype, e);
}

bool(ebb_params_save)(const ebb_params_save_args *s)
{
	ebb_error *e = ebb_params_error_to(s->p, s->error);
	ebb_archive *a = ebb_archive_new();
	bool ok = false;

	if (!a || !s->path)
		ebb_error_set(e, a ? EBB_INVALID : EBB_NO_MEMORY, s->site, "params_save: %s",
			a ? "path is NULL" : "no memory for a list of tensors");
	else
		/* Some loaders of safetensors require "format": "pt", which says that names and
		 * layouts are PyTorch's. */
		ok = put_all(s->p, a, NULL, s->dtype, e) &&
		     ebb_archive_set_metadata(a, "format", "pt", e) &&
		     (ebb_archive_write)(&(ebb_archive_write_args){.a = a,
			     .path = s->path,
			     .shard_bytes = s->shard_bytes,
			     .site = s->site,
			     .error = e});
	ebb_archive_free(a);
	return ok;
}

/* ---- Loading -------------------------------------------------------------------------------- */

static bool transfer(ebb_loading *l, ebb_error *e)
{
	for (int64_t i = 0; i < l->count; i++) {
		const ebb_load_target *to = &l->target[i];
		ebb_error why = {0};

		if (!to->from ||
			ebb_archived_values(l->a, to->from, ebb_file_dtype_of(ebb_dtype_of(to->x)),
				ebb_data_mutable(to->x), &why))
			continue;
		/* Some tensors have new values already, so the store fails too. */
		ebb_params_fail(l->p, why.status, NULL,
			"%s (only some parameters were loaded: the store cannot be used)",
			why.message);
		ebb_error_set(e, why.status, NULL, "%s", why.message);
		return false;
	}
	return true;
}

static bool load(
	const ebb_params_load_args *args, const ebb_archive *a, bool only_plan, ebb_error *e)
{
	ebb_load_report own = {0}, *report = args->report ? args->report : &own;
	ebb_loading l = {.p = args->p,
		.a = a,
		.prefix = args->prefix ? args->prefix : "",
		.rename = args->rename,
		.keep = args->keep ? args->keep : "",
		.report = report};
	bool ok;

	report->memory = l.memory = ebb_archive_new();
	if (!l.memory)
		return ebb_archive_no_memory(a, e);
	ok = ebb_load_plan(&l, e);
	if (ok && (l.loaded == 0 ||
			  (!args->partial && (report->missing_count || report->unexpected_count ||
						     report->misfit_count))))
		ok = ebb_load_complain(&l, e);
	if (ok && !only_plan)
		ok = transfer(&l, e);
	report->loaded = ok ? l.loaded : 0;
	ebb_free(l.target, l.target ? (size_t)(l.count + 1) * sizeof *l.target : 0);
	ebb_load_report_free(&own);
	return ok;
}

void ebb_load_report_free(ebb_load_report *r)
{
	if (!r)
		return;
	ebb_archive_free(r->memory);
	*r = (ebb_load_report){0};
}

/* Checks the arguments; false with an error. */
static bool check(const ebb_params_load_args *args, ebb_error *e)
{
	const ebb_error *fault = ebb_params_error(args->p);

	if (!args->p || !args->path == !args->archive) {
		ebb_error_set(e, EBB_INVALID, args->site,
			"params_load: expected a store, and exactly one of path and archive");
		return false;
	}
	if (fault) {
		ebb_error_set(e, fault->status, NULL, "%s", fault->message);
		return false;
	}
	return ebb_rename_check(args->rename, e, args->site);
}

bool(ebb_params_load)(const ebb_params_load_args *args)
{
	ebb_error *e = ebb_params_error_to(args->p, args->error), own = {0};
	const ebb_archive *a = args->archive;
	ebb_archive *opened = NULL;
	bool ok;

	if (args->report)
		*args->report = (ebb_load_report){0};
	if (!check(args, e))
		return false;
	if (!a)
		a = opened = (ebb_archive_read)(&(ebb_archive_read_args){.path = args->path,
			.most_header = args->most_header,
			.most_bytes = args->most_bytes,
			.error = &own});
	ok = a && load(args, a, false, &own);
	if (!ok)
		ebb_error_set(e, own.status, args->site, "%s", own.message);
	ebb_archive_free(opened);
	return ok;
}

static bool fits_or_takes(
	ebb_params *p, const ebb_archive *a, const char *prefix, bool only_plan, ebb_error *e)
{
	ebb_params_load_args args = {.p = p, .prefix = prefix};

	if (!p || !a) {
		ebb_error_set(
			e, EBB_INVALID, NULL, "params_take: the store or the archive is NULL");
		return false;
	}
	return load(&args, a, only_plan, e);
}

bool ebb_params_fits(ebb_params *p, const ebb_archive *a, const char *prefix, ebb_error *e)
{
	return fits_or_takes(p, a, prefix, true, e);
}

bool ebb_params_take(ebb_params *p, const ebb_archive *a, const char *prefix, ebb_error *e)
{
	return fits_or_takes(p, a, prefix, false, e);
}
