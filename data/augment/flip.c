/*
 * flip.c - mirroring.
 */
#include "data/augment/internal.h"

static bool flip(const void *options, ebb_stage *s)
{
	const ebb_augment_flip_args *o = options;

	return o->vertical ? ebb_image_flip_vertical(&s->image, s->error)
	                   : ebb_image_flip_horizontal(&s->image, s->error);
}

static const ebb_transform_kind FLIP = {"flip", sizeof(ebb_augment_flip_args), flip, NULL};

bool(ebb_augment_flip)(const ebb_augment_flip_args *args)
{
	return ebb_augment_add(args->a, &FLIP, ebb_option(args->p, 0.5), args, args->site);
}
