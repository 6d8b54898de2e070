/*
 * augment: every transform of data/augment.h on one page.  Rows are transforms, columns are random
 * draws.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "../cli.h"
#include "sheet.h"

/* ---- The transforms ------------------------------------------------------------------------- */

#define ROW(what, ...)                                                                             \
	static bool what(ebb_augment *a)                                                           \
	{                                                                                          \
		return __VA_ARGS__;                                                                \
	}
ROW(crop, ebb_augment_crop(a, SIDE, SIDE, .pad = 24))
ROW(crop_reflect, ebb_augment_crop(a, SIDE, SIDE, .pad = 40, .border = EBB_BORDER_REFLECT))
ROW(resized_crop, ebb_augment_resized_crop(a, SIDE, SIDE))
ROW(flip, ebb_augment_flip(a))
ROW(flip_vertical, ebb_augment_flip(a, .vertical = true))
ROW(ten_crop, ebb_augment_ten_crop(a, 128, 128) && ebb_augment_resize(a, SIDE, SIDE))
ROW(rotate, ebb_augment_rotate(a, 30))
ROW(affine, ebb_augment_affine(a, .translate = {0.1, 0.1}, .scale = {0.8, 1.2}, .shear = {20, 10},
		    .border = EBB_BORDER_EDGE))
ROW(perspective, ebb_augment_perspective(a, .p = 1))
ROW(elastic, ebb_augment_elastic(a, .alpha = 300, .sigma = 9, .border = EBB_BORDER_REFLECT))
ROW(brightness, ebb_augment_jitter(a, .brightness = 0.6))
ROW(contrast, ebb_augment_jitter(a, .contrast = 0.8))
ROW(saturation, ebb_augment_jitter(a, .saturation = 1))
ROW(hue, ebb_augment_jitter(a, .hue = 0.5))
ROW(jitter, ebb_augment_jitter(a, 0.4, 0.4, 0.4, 0.1))
ROW(greyscale, ebb_augment_greyscale(a, .p = 0.5))
ROW(lighting, ebb_augment_lighting(a, .std = 0.5))
ROW(blur, ebb_augment_blur(a, .sigma = {0.5, 5}))
ROW(noise, ebb_augment_noise(a, .std = 0.12))
ROW(cutout, ebb_augment_cutout(a, 64, .fill = {124, 116, 104}))
ROW(erase, ebb_augment_erase(a, .noise = true, .p = 1))
ROW(randaugment, ebb_augment_randaugment(a, .ops = 2, .magnitude = 12))
ROW(mixup, ebb_augment_mixup(a, .alpha = 1))
ROW(cutmix, ebb_augment_cutmix(a, .alpha = 1))
#undef ROW

/* How the images of a row are computed: by random draws of a transform, as fixed views, or as mixed
 * batches. */
typedef enum kind { DRAWS, VIEWS, BATCHES } kind;

static const struct transform {
	const char *group, *name, *call;
	bool (*add)(ebb_augment *a);
	kind kind;
} transforms[] = {
	{"WHERE", "Random crop", ".pad = 24", crop, DRAWS},
	{NULL, "Reflected border", ".pad = 40, EBB_BORDER_REFLECT", crop_reflect, DRAWS},
	{NULL, "Random resized crop", ".area = {0.08, 1}", resized_crop, DRAWS},
	{NULL, "Flip", ".p = 0.5", flip, DRAWS},
	{NULL, "Vertical flip", ".vertical = true", flip_vertical, DRAWS},
	{NULL, "Ten-crop", "all ten, for testing", ten_crop, VIEWS},
	{"SHAPE", "Rotation", "up to 30 degrees", rotate, DRAWS},
	{NULL, "Affine", ".translate, .scale, .shear", affine, DRAWS},
	{NULL, "Perspective", ".distortion = 0.5", perspective, DRAWS},
	{NULL, "Elastic", ".alpha = 300, .sigma = 9", elastic, DRAWS},
	{"COLOUR", "Brightness", ".brightness = 0.6", brightness, DRAWS},
	{NULL, "Contrast", ".contrast = 0.8", contrast, DRAWS},
	{NULL, "Saturation", ".saturation = 1", saturation, DRAWS},
	{NULL, "Hue", ".hue = 0.5", hue, DRAWS},
	{NULL, "Colour jitter", "0.4, 0.4, 0.4, 0.1", jitter, DRAWS},
	{NULL, "Greyscale", ".p = 0.5", greyscale, DRAWS},
	{NULL, "PCA lighting", ".std = 0.5 (default 0.1)", lighting, DRAWS},
	{"SHARPNESS AND NOISE", "Gaussian blur", ".sigma = {0.5, 5}", blur, DRAWS},
	{NULL, "Gaussian noise", ".std = 0.12", noise, DRAWS},
	{"ERASED REGIONS", "Cutout", "64 pixels", cutout, DRAWS},
	{NULL, "Random erasing", ".noise = true", erase, DRAWS},
	{"COMBINED", "RandAugment", ".ops = 2, .magnitude = 12", randaugment, DRAWS},
	{"BATCHES, WITH SOFT LABELS", "Mixup", ".alpha = 1", mixup, BATCHES},
	{NULL, "Cutmix", ".alpha = 1", cutmix, BATCHES},
};
enum { ROWS = sizeof transforms / sizeof *transforms };

/* ---- The images ----------------------------------------------------------------------------- */

/* Mixes a batch of the two images, and takes the first image of each epoch's batch. */
static bool mix(const ebb_augment *a, const ebb_image *x, const ebb_image *other, uint64_t seed,
	sheet_row *row, ebb_error *e)
{
	ebb_dataset *both = ebb_dataset_new(2, 3, SIDE, SIDE, 2, e);
	ebb_loader *l = NULL;
	ebb_batch batch;
	bool ok = both;

	for (int n = 0; both && n < 2; n++) {
		uint8_t *planes = (uint8_t *)ebb_data_mutable(both->images) + n * 3 * SIDE * SIDE;
		const uint8_t *pixels = n ? other->pixels : x->pixels;

		for (int k = 0; k < 3 * SIDE * SIDE; k++)
			planes[k % 3 * SIDE * SIDE + k / 3] = pixels[k];
		((int64_t *)ebb_data_mutable(both->labels))[n] = n;
	}
	if (ok)
		l = ebb_loader_new(both, 2, .augment = a, .seed = seed, .error = e);
	ok = l;
	for (int k = 0; ok && k < COLUMNS; k++) {
		ebb_loader_begin(l, k);
		ok = ebb_loader_next(l, &batch) &&
		     ebb_image_from_tensor(batch.images, 0, &row->image[k], e);
	}
	ebb_loader_free(l);
	ebb_dataset_free(both);
	return ok;
}

static bool fill(const struct transform *t, const ebb_image *x, const ebb_image *other,
	uint64_t seed, sheet_row *row, ebb_error *e)
{
	ebb_augment *a = ebb_augment_new(e);
	bool ok = a && t->add(a);

	row->group = t->group;
	row->name = t->name;
	row->call = t->call;
	if (a && !ok)
		*e = *ebb_augment_error(a);
	if (ok && t->kind == BATCHES)
		ok = mix(a, x, other, seed, row, e);
	for (int k = 0; ok && t->kind != BATCHES && k < COLUMNS; k++)
		ok = ebb_augment_apply(a, x, &row->image[k], .seed = seed,
			.sample = t->kind == DRAWS ? k : 0, .view = t->kind == VIEWS ? k : 0,
			.error = e);
	ebb_augment_free(a);
	return ok;
}

/* Loads the file's image and crops a square from its middle. */
static bool load(const char *path, ebb_image *x, ebb_error *e)
{
	ebb_augment *a = ebb_augment_new(e);
	ebb_image file = {0};
	bool ok = a && ebb_augment_resize(a, SIDE) && ebb_augment_centre_crop(a, SIDE, SIDE);

	if (a && !ok)
		*e = *ebb_augment_error(a);
	ok = ok && ebb_image_read(path, &(ebb_image_options){.channels = 3}, &file, e) &&
	     ebb_augment_apply(a, &file, x, .error = e);
	ebb_image_free(&file);
	ebb_augment_free(a);
	return ok;
}

/* ---- The command line ----------------------------------------------------------------------- */

static const char help[] =
	"augment: every transform of images on one page\n"
	"\n"
	"  --image FILE   the PNG or JPEG to transform (default: one that the program draws)\n"
	"  --out FILE     the PNG to write (default augment.png)\n"
	"  --seed N       for the random draws (default 1)\n"
	"  --help         this text\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {{"image", required_argument, NULL, 'i'},
		{"out", required_argument, NULL, 'o'}, {"seed", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'}, {0}};
	static sheet_row rows[ROWS];
	const char *image = NULL, *out = "augment.png";
	uint64_t seed = 1;
	ebb_image x = {0}, other = {0};
	ebb_error e = {0};
	char subtitle[100];
	bool ok;

	cli_begin();
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'i')
			image = optarg;
		else if (o == 'o')
			out = optarg;
		else if (o == 's')
			seed = (uint64_t)cli_int("--seed", optarg, 0, INT64_MAX - 1);
		else
			return o == 'h' ? fputs(help, stdout) < 0 : 2;
	}
	cli_no_arguments(argc, argv, optind);
	ok = (image ? load(image, &x, &e) : picture_of_a_boat(&x, &e)) &&
	     picture_of_a_lighthouse(&other, &e);
	for (int i = 0; ok && i < ROWS; i++)
		ok = fill(&transforms[i], &x, &other, seed, &rows[i], &e);
	if (ok) {
		snprintf(subtitle, sizeof subtitle, "ten draws of each transform, seed %llu",
			(unsigned long long)seed);
		ok = sheet_write(out, &x, subtitle, rows, ROWS, &e);
	}
	if (ok)
		printf("%s: %d transforms, %d draws of each\n", out, ROWS, COLUMNS);
	else
		fprintf(stderr, "%s\n", e.message);
	for (int i = 0; i < ROWS; i++)
		for (int k = 0; k < COLUMNS; k++)
			ebb_image_free(&rows[i].image[k]);
	ebb_image_free(&x);
	ebb_image_free(&other);
	ebb_figures_end();
	return ok ? 0 : 1;
}
