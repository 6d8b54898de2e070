/*
 * crop.c - cropping and resizing.
 */
#include <math.h>
#include <string.h>

#include "data/augment/internal.h"

/* The common first members of the options structs that set a size. */
typedef struct sized {
	ebb_augment *a;
	int64_t height, width;
} sized;

static void to_size(const void *options, int64_t *height, int64_t *width)
{
	const sized *o = options;

	*height = o->height;
	*width = o->width;
}

static bool positive(
	ebb_augment *a, const char *name, int64_t height, int64_t width, const char *site)
{
	return (height > 0 && width > 0) ||
	       ebb_augment_fail(a, site, "%s: a size of %lldx%lld, expected at least 1x1", name,
		       (long long)height, (long long)width);
}

/* ---- Random crop ---------------------------------------------------------------------------- */

/* Copies a row of the crop; left is the column where the crop begins. */
static void crop_row(
	const ebb_augment_crop_args *o, const ebb_image *x, int64_t row, int64_t left, uint8_t *out)
{
	int64_t channels = x->channels, from = left < 0 ? -left : 0;
	int64_t to = x->width - left < o->width ? x->width - left : o->width;
	const uint8_t *in = row < 0 ? NULL : x->pixels + row * x->width * channels;

	if (!in || to < from)
		from = to = 0;
	for (int64_t j = 0; j < o->width; j++) {
		int64_t column = -1;

		if (j == from && to > from) {
			memcpy(out + j * channels, in + (left + j) * channels,
				(size_t)((to - from) * channels));
			j = to - 1;
			continue;
		}
		if (in)
			column = ebb_border_place(left + j, x->width, o->border);
		memcpy(out + j * channels, column < 0 ? o->fill : in + column * channels,
			(size_t)channels);
	}
}

static bool crop(const void *options, ebb_stage *s)
{
	const ebb_augment_crop_args *o = options;
	int64_t channels = s->image.channels;
	int64_t free_rows = s->image.height + 2 * o->pad - o->height,
		free_columns = s->image.width + 2 * o->pad - o->width, top, left;

	if (free_rows < 0 || free_columns < 0)
		return ebb_stage_fail(s, "with %lld pixels of padding smaller than %lldx%lld",
			(long long)o->pad, (long long)o->height, (long long)o->width);
	top = ebb_rng_below(&s->rng, free_rows + 1) - o->pad;
	left = ebb_rng_below(&s->rng, free_columns + 1) - o->pad;
	if (!ebb_stage_spare(s, o->height, o->width))
		return false;
	for (int64_t i = 0; i < o->height; i++)
		crop_row(o, &s->image, ebb_border_place(top + i, s->image.height, o->border), left,
			s->spare.pixels + i * o->width * channels);
	ebb_stage_swap(s);
	return true;
}

static const ebb_transform_kind CROP = {"crop", sizeof(ebb_augment_crop_args), crop, to_size};

bool(ebb_augment_crop)(const ebb_augment_crop_args *args)
{
	if (!positive(args->a, "crop", args->height, args->width, args->site))
		return false;
	if (!ebb_augment_knows(args->a, "crop", args->border, args->site))
		return false;
	if (args->pad < 0 || args->pad > INT32_MAX)
		return ebb_augment_fail(args->a, args->site,
			"crop: pad is %lld, expected 0 or more", (long long)args->pad);
	return ebb_augment_add(args->a, &CROP, 1, args, args->site);
}

/* ---- Fixed crops ---------------------------------------------------------------------------- */

static bool crop_at(ebb_stage *s, int64_t top, int64_t left, int64_t height, int64_t width)
{
	if (!ebb_image_crop(&s->image, (ebb_rect){top, left, height, width}, &s->spare, s->error))
		return false;
	ebb_stage_swap(s);
	return true;
}

static bool fits(ebb_stage *s, const sized *o)
{
	return (o->height <= s->image.height && o->width <= s->image.width) ||
	       ebb_stage_fail(
		       s, "smaller than %lldx%lld", (long long)o->height, (long long)o->width);
}

static bool centre_crop(const void *options, ebb_stage *s)
{
	const sized *o = options;

	return fits(s, o) && crop_at(s, ebb_half(s->image.height - o->height),
				     ebb_half(s->image.width - o->width), o->height, o->width);
}

static const ebb_transform_kind CENTRE_CROP = {"centre_crop", sizeof(sized), centre_crop, to_size};

bool(ebb_augment_centre_crop)(ebb_augment *a, int64_t height, int64_t width, const char *site)
{
	return positive(a, "centre_crop", height, width, site) &&
	       ebb_augment_add(a, &CENTRE_CROP, 1, &(sized){a, height, width}, site);
}

static bool ten_crop(const void *options, ebb_stage *s)
{
	const sized *o = options;
	int part = s->view % 5;

	if (!fits(s, o))
		return false;
	/* As in torchvision, the image is mirrored first, and then cropped. */
	if (s->view >= 5 && !ebb_image_flip_horizontal(&s->image, s->error))
		return false;
	if (part == 4)
		return centre_crop(options, s);
	return crop_at(s, part & 2 ? s->image.height - o->height : 0,
		part & 1 ? s->image.width - o->width : 0, o->height, o->width);
}

static const ebb_transform_kind TEN_CROP = {"ten_crop", sizeof(sized), ten_crop, to_size};

bool(ebb_augment_ten_crop)(ebb_augment *a, int64_t height, int64_t width, const char *site)
{
	if (!positive(a, "ten_crop", height, width, site))
		return false;
	if (a && a->views > 1)
		return ebb_augment_fail(a, site, "ten_crop: the pipeline has one already");
	if (!ebb_augment_add(a, &TEN_CROP, 1, &(sized){a, height, width}, site))
		return false;
	a->views = 10;
	return true;
}

/* ---- Resizing ------------------------------------------------------------------------------- */

static bool resize_part(
	ebb_stage *s, ebb_rect part, int64_t height, int64_t width, ebb_resize_filter filter)
{
	if (!ebb_image_resize(&s->image, &s->spare, height, width, filter, part, .error = s->error))
		return false;
	ebb_stage_swap(s);
	return true;
}

static bool resize(const void *options, ebb_stage *s)
{
	const ebb_augment_resize_args *o = options;
	int64_t h = s->image.height, w = s->image.width, height = o->height, width = o->width;

	if (width == 0) {
		int64_t side = o->height;

		height = h <= w ? side : side * h / w;
		width = h <= w ? side * w / h : side;
	}
	if (height == h && width == w)
		return true;
	return resize_part(s, (ebb_rect){0, 0, h, w}, height, width, o->filter);
}

static void to_resized(const void *options, int64_t *height, int64_t *width)
{
	const ebb_augment_resize_args *o = options;

	if (o->width > 0) {
		to_size(options, height, width);
	} else if (*height > 0 && *width > 0) {
		int64_t h = *height, w = *width;

		*height = h <= w ? o->height : o->height * h / w;
		*width = h <= w ? o->height * w / h : o->height;
	} else {
		*height = *width = 0;
	}
}

static const ebb_transform_kind RESIZE = {
	"resize", sizeof(ebb_augment_resize_args), resize, to_resized};

bool(ebb_augment_resize)(const ebb_augment_resize_args *args)
{
	if (!positive(args->a, "resize", args->height, args->width == 0 ? 1 : args->width,
		    args->site))
		return false;
	return ebb_augment_add(args->a, &RESIZE, 1, args, args->site);
}

/* ---- Random resized crop -------------------------------------------------------------------- */

bool ebb_check_part(ebb_augment *a, const char *name, double area[2], double ratio[2],
	const double standard[4], const char *site)
{
	if (area[0] == 0 && area[1] == 0)
		memcpy(area, standard, 2 * sizeof *area);
	if (ratio[0] == 0 && ratio[1] == 0)
		memcpy(ratio, standard + 2, 2 * sizeof *ratio);
	if (!(area[0] > 0 && area[0] <= area[1] && area[1] <= 1))
		return ebb_augment_fail(a, site,
			"%s: area from %g to %g, expected a range within 0 to 1", name, area[0],
			area[1]);
	if (!(ratio[0] > 0 && ratio[0] <= ratio[1] && isfinite(ratio[1])))
		return ebb_augment_fail(a, site,
			"%s: ratio from %g to %g, expected a range of positive numbers", name,
			ratio[0], ratio[1]);
	return true;
}

bool ebb_draw_part(ebb_rng *d, const double area[2], const double ratio[2], int64_t height,
	int64_t width, int64_t *part_height, int64_t *part_width)
{
	for (int i = 0; i < 10; i++) {
		double share = (double)(height * width) * ebb_rng_uniform(d, area[0], area[1]);
		double r = exp(ebb_rng_uniform(d, log(ratio[0]), log(ratio[1])));

		*part_height = llrint(sqrt(share / r));
		*part_width = llrint(sqrt(share * r));
		if (*part_height > 0 && *part_height <= height && *part_width > 0 &&
			*part_width <= width)
			return true;
	}
	return false;
}

/* The largest centred rectangle of the image whose ratio is within the bounds. */
static ebb_rect middle(const ebb_image *x, const double ratio[2])
{
	double h = (double)x->height, w = (double)x->width;
	ebb_rect r = {.height = x->height, .width = x->width};

	if (w / h < ratio[0])
		r.height = llrint(w / ratio[0]);
	else if (w / h > ratio[1])
		r.width = llrint(h * ratio[1]);
	r.height += r.height == 0;
	r.width += r.width == 0;
	r.top = (x->height - r.height) / 2;
	r.left = (x->width - r.width) / 2;
	return r;
}

static bool resized_crop(const void *options, ebb_stage *s)
{
	const ebb_augment_resized_crop_args *o = options;
	const ebb_image *x = &s->image;
	ebb_rect r;

	if (ebb_draw_part(&s->rng, o->area, o->ratio, x->height, x->width, &r.height, &r.width)) {
		r.top = ebb_rng_below(&s->rng, x->height - r.height + 1);
		r.left = ebb_rng_below(&s->rng, x->width - r.width + 1);
	} else {
		r = middle(x, o->ratio);
	}
	return resize_part(s, r, o->height, o->width, o->filter);
}

static const ebb_transform_kind RESIZED_CROP = {
	"resized_crop", sizeof(ebb_augment_resized_crop_args), resized_crop, to_size};

bool(ebb_augment_resized_crop)(const ebb_augment_resized_crop_args *args)
{
	static const double standard[4] = {0.08, 1, 3.0 / 4, 4.0 / 3};
	ebb_augment_resized_crop_args o = *args;

	return positive(o.a, "resized_crop", o.height, o.width, o.site) &&
	       ebb_check_part(o.a, "resized_crop", o.area, o.ratio, standard, o.site) &&
	       ebb_augment_add(o.a, &RESIZED_CROP, 1, &o, o.site);
}
