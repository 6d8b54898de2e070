/*
 * pipeline.c - a sequence of transforms, and the stage that applies them to an image.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tensor/host.h"
#include "data/augment/internal.h"

/* ---- The stage ------------------------------------------------------------------------------ */

void ebb_stage_free(ebb_stage *s)
{
	ebb_image_free(&s->image);
	ebb_image_free(&s->spare);
	ebb_free(s->scratch, s->scratch_bytes);
	s->scratch = NULL;
	s->scratch_bytes = 0;
}

bool ebb_stage_spare(ebb_stage *s, int64_t height, int64_t width)
{
	return ebb_image_shape(&s->spare, height, width, s->image.channels, s->error);
}

void ebb_stage_swap(ebb_stage *s)
{
	ebb_image image = s->image;

	s->image = s->spare;
	s->spare = image;
}

float *ebb_stage_scratch(ebb_stage *s, int64_t floats)
{
	size_t bytes = ebb_bytes_of(floats, sizeof(float));

	if (bytes > s->scratch_bytes) {
		ebb_free(s->scratch, s->scratch_bytes);
		s->scratch = ebb_alloc(bytes);
		s->scratch_bytes = s->scratch ? bytes : 0;
	}
	if (!s->scratch)
		ebb_error_set(s->error, EBB_NO_MEMORY, s->site, "%s: no memory for it", s->name);
	return s->scratch;
}

bool ebb_stage_fail(ebb_stage *s, const char *format, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, format);
	ebb_vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	ebb_error_set(s->error, EBB_BAD_SHAPE, s->site, "%s: an image of %lldx%lld: %s", s->name,
		(long long)s->image.height, (long long)s->image.width, text);
	return false;
}

/* ---- The pipeline --------------------------------------------------------------------------- */

ebb_augment *ebb_augment_new(ebb_error *e)
{
	ebb_augment *a = ebb_alloc_zeroed(sizeof *a);

	if (!a) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "augment_new: no memory for a pipeline");
		return NULL;
	}
	a->end = &a->first;
	a->views = 1;
	return a;
}

void ebb_augment_free(ebb_augment *a)
{
	if (!a)
		return;
	for (ebb_transform *t = a->first, *next; t; t = next) {
		next = t->next;
		ebb_free(t->options, t->kind->size);
		ebb_free(t, sizeof *t);
	}
	ebb_free(a, sizeof *a);
}

const ebb_error *ebb_augment_error(const ebb_augment *a)
{
	static const ebb_error NO_PIPELINE = {.status = EBB_INVALID,
		.message = "augment: the pipeline is NULL: it could not be created"};

	if (!a)
		return &NO_PIPELINE;
	return a->error.status == EBB_OK ? NULL : &a->error;
}

bool ebb_augment_fail(ebb_augment *a, const char *site, const char *format, ...)
{
	char text[300];
	va_list ap;

	if (!a)
		return false;
	va_start(ap, format);
	ebb_vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	ebb_error_set(&a->error, EBB_INVALID, site, "%s", text);
	return false;
}

bool ebb_augment_add(ebb_augment *a, const ebb_transform_kind *kind, double p, const void *options,
	const char *site)
{
	ebb_transform *t;

	if (!a || a->error.status != EBB_OK)
		return false;
	if (!(p >= 0 && p <= 1))
		return ebb_augment_fail(
			a, site, "%s: p is %g, expected a probability", kind->name, p);
	t = ebb_alloc_zeroed(sizeof *t);
	if (t)
		t->options = ebb_alloc(kind->size);
	if (!t || !t->options) {
		ebb_free(t, sizeof *t);
		ebb_error_set(&a->error, EBB_NO_MEMORY, site,
			"%s: no memory to add it to a pipeline", kind->name);
		return false;
	}
	t->kind = kind;
	t->p = p;
	t->site = site;
	memcpy(t->options, options, kind->size);
	*a->end = t;
	a->end = &t->next;
	return true;
}

bool ebb_augment_within(ebb_augment *a, const char *name, const char *what, double x, double low,
	double high, const char *site)
{
	return (x >= low && x <= high) ||
	       ebb_augment_fail(
		       a, site, "%s: %s is %g, expected %g to %g", name, what, x, low, high);
}

bool ebb_augment_knows(ebb_augment *a, const char *name, ebb_border border, const char *site)
{
	return (unsigned)border <= EBB_BORDER_REFLECT ||
	       ebb_augment_fail(
		       a, site, "%s: border %d is not a value of ebb_border", name, (int)border);
}

int64_t ebb_augment_size(const ebb_augment *a, int64_t *height, int64_t *width)
{
	if (!a)
		return 1;
	for (const ebb_transform *t = a->first; t; t = t->next)
		if (t->kind->resize)
			t->kind->resize(t->options, height, width);
	return a->views;
}

bool ebb_augment_run(
	const ebb_augment *a, ebb_stage *s, uint64_t seed, int64_t epoch, int64_t sample, int view)
{
	int place = 0;

	if (s->image.wide) {
		ebb_error_set(s->error, EBB_INVALID, NULL,
			"augment: an image with samples of 16 bits, expected bytes");
		return false;
	}
	s->view = view;
	for (const ebb_transform *t = a->first; t; t = t->next) {
		s->name = t->kind->name;
		s->site = t->site;
		ebb_rng_start(&s->rng, seed, epoch, sample, place++);
		if (t->p < 1 && ebb_rng_uniform(&s->rng, 0, 1) >= t->p)
			continue;
		if (!t->kind->apply(t->options, s))
			return false;
	}
	return true;
}

bool(ebb_augment_apply)(const ebb_augment_apply_args *args)
{
	const ebb_augment *a = args->a;
	ebb_stage s = {.error = args->error};
	bool ok = false;

	if (!a || a->error.status != EBB_OK || !args->x || !args->y) {
		ebb_error_set(args->error, EBB_INVALID, args->site, "augment_apply: %s",
			a && a->error.status != EBB_OK ? a->error.message
						       : "the pipeline or an image is NULL");
	} else if (args->view < 0 || args->view >= a->views) {
		ebb_error_set(args->error, EBB_INVALID, args->site,
			"augment_apply: view %d of %lld", args->view, (long long)a->views);
	} else if (ebb_image_copy(args->x, &s.image, args->error) &&
		   ebb_augment_run(a, &s, args->seed, args->epoch, args->sample, args->view)) {
		ok = ebb_image_copy(&s.image, args->y, args->error);
	}
	ebb_stage_free(&s);
	return ok;
}
