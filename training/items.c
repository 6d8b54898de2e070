/*
 * items.c - the kinds of objects that a saver can save: how each is written to an archive and
 * restored.
 */
#include <string.h>

#include "archive/internal.h"
#include "nn/internal.h"
#include "nn/weights.h"
#include "training/internal.h"

/* ---- Parameter stores ------------------------------------------------------------------------ */

static const char FROZEN[] = ".frozen";

static const ebb_error *params_fault(const ebb_saved *x)
{
	return ebb_params_error(x->object);
}

static bool params_put(ebb_saved *x, ebb_archive *a, ebb_error *e)
{
	const ebb_params *p = x->object;
	ebb_key k = {0};
	bool ok = ebb_params_put(p, a, x->prefix, e);

	for (int64_t i = 0; ok && i < ebb_params_count(p); i++) {
		if (ebb_requires_grad(ebb_params_at(p, i)))
			continue;
		ok = ebb_key_or_fail(
			     &k, "saver", x->prefix, ebb_params_name_below(p, i), FROZEN, e) &&
		     ebb_archive_note(a, k.text, strlen(k.text), "true", 4, e);
	}
	ebb_key_free(&k);
	return ok;
}

/* Adds an error if the types differ, because a load would convert the values. */
static void check_dtype(const ebb_archive *a, const ebb_saved *x, const char *name,
	const ebb_tensor *tensor, ebb_complaints *c)
{
	ebb_key k = {0};

	if (ebb_key_or_complain(&k, x->prefix, name, "", c))
		ebb_state_has_like(a, k.text, tensor, c);
	ebb_key_free(&k);
}

static void params_fits(ebb_saved *x, const ebb_archive *a, ebb_complaints *c)
{
	ebb_params *p = x->object;
	ebb_error e = {0};

	if (!ebb_params_fits(p, a, x->prefix, &e)) {
		ebb_complain_again(c, a, &e);
		return;
	}
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		check_dtype(a, x, ebb_params_name_below(p, i), ebb_params_at(p, i), c);
	for (int64_t i = 0; i < ebb_buffers_count(p); i++)
		check_dtype(a, x, ebb_buffers_name_below(p, i), ebb_buffers_at(p, i), c);
}

static bool params_take(ebb_saved *x, const ebb_archive *a, ebb_error *e)
{
	ebb_params *p = x->object;
	ebb_key k = {0};
	bool ok = ebb_params_take(p, a, x->prefix, e);

	for (int64_t i = 0; ok && i < ebb_params_count(p); i++) {
		ebb_tensor *w = ebb_params_at(p, i);

		ok = ebb_key_or_fail(
			&k, "saver", x->prefix, ebb_params_name_below(p, i), FROZEN, e);
		if (ok && ebb_requires_grad(w) == (ebb_archive_metadata(a, k.text) != NULL))
			ebb_set_requires_grad(w, !ebb_requires_grad(w));
	}
	ebb_params_zero_grad(p);
	ebb_key_free(&k);
	return ok;
}

static void params_spoil(ebb_saved *x, const ebb_error *e)
{
	ebb_params_fail(x->object, e->status, NULL, "%s", e->message);
}

const ebb_saved_kind ebb_saved_params = {
	"a parameter store", params_fault, params_put, params_fits, params_take, params_spoil};

/* ---- Optimizers ------------------------------------------------------------------------------ */

static const ebb_error *optim_fault(const ebb_saved *x)
{
	return ebb_optim_error(x->object);
}

static bool optim_put(ebb_saved *x, ebb_archive *a, ebb_error *e)
{
	return ebb_optim_put(x->object, a, x->prefix, e);
}

static void optim_fits(ebb_saved *x, const ebb_archive *a, ebb_complaints *c)
{
	ebb_error e = {0};

	if (!ebb_optim_fits(x->object, a, x->prefix, &e))
		ebb_complain_again(c, a, &e);
}

static bool optim_take(ebb_saved *x, const ebb_archive *a, ebb_error *e)
{
	return ebb_optim_take(x->object, a, x->prefix, e);
}

const ebb_saved_kind ebb_saved_optim = {
	"an optimizer", optim_fault, optim_put, optim_fits, optim_take, NULL};

/* ---- Averagers ------------------------------------------------------------------------------- */

static const ebb_error *averager_fault(const ebb_saved *x)
{
	return ebb_averager_error(x->object);
}

static bool averager_put(ebb_saved *x, ebb_archive *a, ebb_error *e)
{
	return ebb_averager_put(x->object, a, x->prefix, e);
}

static void averager_fits(ebb_saved *x, const ebb_archive *a, ebb_complaints *c)
{
	ebb_error e = {0};

	if (!ebb_averager_fits(x->object, a, x->prefix, &e))
		ebb_complain_again(c, a, &e);
}

static bool averager_take(ebb_saved *x, const ebb_archive *a, ebb_error *e)
{
	return ebb_averager_take(x->object, a, x->prefix, e);
}

const ebb_saved_kind ebb_saved_averager = {
	"an averager", averager_fault, averager_put, averager_fits, averager_take, NULL};

/* ---- Loaders --------------------------------------------------------------------------------- */

static const ebb_error *loader_fault(const ebb_saved *x)
{
	return ebb_loader_error(x->object);
}

static bool loader_put(ebb_saved *x, ebb_archive *a, ebb_error *e)
{
	return ebb_loader_put(x->object, a, x->prefix, e);
}

static void loader_fits(ebb_saved *x, const ebb_archive *a, ebb_complaints *c)
{
	ebb_error e = {0};

	if (!ebb_loader_fits(x->object, a, x->prefix, &e))
		ebb_complain_again(c, a, &e);
}

static bool loader_take(ebb_saved *x, const ebb_archive *a, ebb_error *e)
{
	return ebb_loader_take(x->object, a, x->prefix, e);
}

const ebb_saved_kind ebb_saved_loader = {
	"a loader", loader_fault, loader_put, loader_fits, loader_take, NULL};

/* ---- Numbers: the members of an object, in up to two entries --------------------------------- */

static bool numbers_put(ebb_saved *x, ebb_archive *a, ebb_error *e)
{
	ebb_key k = {0};
	bool ok = true;

	for (const ebb_field *f = x->field; ok && f < x->field + 2 && f->at; f++)
		ok = ebb_key_or_fail(&k, "saver", x->name, f->suffix, "", e) &&
		     ebb_archive_add_values(a, k.text, f->dtype, f->shape, f->at, e);
	ebb_key_free(&k);
	return ok;
}

static void numbers_fits(ebb_saved *x, const ebb_archive *a, ebb_complaints *c)
{
	ebb_key k = {0};

	for (const ebb_field *f = x->field; f < x->field + 2 && f->at; f++)
		if (ebb_key_or_complain(&k, x->name, f->suffix, "", c))
			ebb_state_has(a, k.text, f->dtype, f->shape, c);
	ebb_key_free(&k);
}

static bool numbers_take(ebb_saved *x, const ebb_archive *a, ebb_error *e)
{
	ebb_key k = {0};
	bool ok = true;

	for (const ebb_field *f = x->field; ok && f < x->field + 2 && f->at; f++) {
		uint8_t flag = 0;
		bool is_flag = f->dtype == EBB_FILE_BOOL;

		ok = ebb_key_or_fail(&k, "saver", x->name, f->suffix, "", e) &&
		     ebb_state_read(a, k.text, is_flag ? (void *)&flag : f->at, e);
		/* The byte in the file may be neither 0 nor 1. */
		if (ok && is_flag)
			*(bool *)f->at = flag != 0;
	}
	ebb_key_free(&k);
	return ok;
}

const ebb_saved_kind ebb_saved_numbers = {
	"a number or some", NULL, numbers_put, numbers_fits, numbers_take, NULL};

/* ---- The random state of a tape: two numbers ------------------------------------------------- */

static const ebb_error *tape_fault(const ebb_saved *x)
{
	return ebb_tape_error(x->object);
}

static bool tape_put(ebb_saved *x, ebb_archive *a, ebb_error *e)
{
	ebb_random r = ebb_random_state(x->object);

	x->drawn[0] = r.seed;
	x->drawn[1] = r.stream;
	return numbers_put(x, a, e);
}

static bool tape_take(ebb_saved *x, const ebb_archive *a, ebb_error *e)
{
	if (!numbers_take(x, a, e))
		return false;
	ebb_set_random_state(x->object, (ebb_random){x->drawn[0], x->drawn[1]});
	return true;
}

const ebb_saved_kind ebb_saved_tape = {
	"a tape", tape_fault, tape_put, numbers_fits, tape_take, NULL};

/* ---- Tensors --------------------------------------------------------------------------------- */

static bool tensor_put(ebb_saved *x, ebb_archive *a, ebb_error *e)
{
	return ebb_archive_add(a, x->name, x->object, EBB_FILE_DEFAULT, e);
}

static void tensor_fits(ebb_saved *x, const ebb_archive *a, ebb_complaints *c)
{
	ebb_state_has_like(a, x->name, x->object, c);
}

static bool tensor_take(ebb_saved *x, const ebb_archive *a, ebb_error *e)
{
	return ebb_archive_copy(a, x->name, x->object, e);
}

const ebb_saved_kind ebb_saved_tensor = {
	"a tensor", NULL, tensor_put, tensor_fits, tensor_take, NULL};

/* ---- Texts: metadata ------------------------------------------------------------------------- */

static bool text_put(ebb_saved *x, ebb_archive *a, ebb_error *e)
{
	if (memchr(x->object, '\0', x->size))
		return ebb_archive_set_metadata(a, x->name, x->object, e);
	ebb_error_set(e, EBB_INVALID, NULL,
		"saver: the text \"%.100s\" has no NUL in its %zu bytes", x->name, x->size);
	return false;
}

static void text_fits(ebb_saved *x, const ebb_archive *a, ebb_complaints *c)
{
	const char *there = ebb_archive_metadata(a, x->name);

	if (!there)
		ebb_complain(c, EBB_INVALID, "\"%.100s\" is missing", x->name);
	else if (strlen(there) >= x->size)
		ebb_complain(c, EBB_BAD_SHAPE,
			"\"%.100s\" is a text of %zu bytes, which with its NUL do not fit into %zu",
			x->name, strlen(there), x->size);
}

static bool text_take(ebb_saved *x, const ebb_archive *a, ebb_error *e)
{
	(void)e;
	strcpy(x->object, ebb_archive_metadata(a, x->name));
	return true;
}

const ebb_saved_kind ebb_saved_text = {"a text", NULL, text_put, text_fits, text_take, NULL};
