/*
 * numpy.c - a data set from two arrays, images and labels, in NumPy files or any other archive.
 */
#include <limits.h>
#include <string.h>

#include "archive/internal.h"
#include "data/internal.h"

/* An array in an open file. */
typedef struct array {
	ebb_archive *file;
	const ebb_archived *x;
	const char *path, *name; /* name: of the array in the file, or "" */
} array;

/* The sizes and the memory layout of the images. */
typedef struct geometry {
	int64_t count, channels, height, width;
	bool channels_last;
} geometry;

/* Fills an error with the array's file and name. */
static bool refuse(const array *r, ebb_error *e, const char *format, ...) EBB_PRINTF(3, 4);
static bool refuse(const array *r, ebb_error *e, const char *format, ...)
{
	char text[sizeof e->message], name[80];
	va_list ap;

	va_start(ap, format);
	ebb_vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	ebb_printable(r->name, strlen(r->name), name, sizeof name);
	ebb_error_set(e, EBB_BAD_FILE, NULL, "%s%s%s: %s", r->path, *name ? ": " : "", name, text);
	return false;
}

/* ---- Opening -------------------------------------------------------------------------------- */

/* The names of the first arrays of a file, for error messages. */
static const char *names_of(const ebb_archive *a, char *text, size_t size)
{
	size_t n = 0;

	*text = '\0';
	for (int64_t i = 0; i < ebb_archive_count(a) && n < size; i++) {
		const char *name = ebb_archive_name_at(a, i);
		char shown[60];

		n += (size_t)ebb_snprintf(text + n, size - n, "%s%s", i ? ", " : "",
			ebb_printable(name, strlen(name), shown, sizeof shown));
	}
	return text;
}

/* Finds an array in an open file: by name, or the only one if no name is given. */
static bool find(array *r, ebb_error *e)
{
	int64_t index = ebb_archive_find(r->file, r->name), count = ebb_archive_count(r->file);
	char names[200];

	if (!*r->name && count != 1)
		return refuse(r, e,
			"%lld arrays, expected one; for a file of several, set .file, and "
			".images and .labels to their names",
			(long long)count);
	if (!*r->name)
		index = 0;
	if (index < 0)
		return refuse(r, e, "no such array among the file's %lld: %s", (long long)count,
			names_of(r->file, names, sizeof names));
	r->x = &r->file->entry[index];
	return true;
}

static bool open_array(array *r, const char *path, const char *name, ebb_error *e)
{
	*r = (array){.path = path, .name = name};
	r->file = (ebb_archive_read)(&(ebb_archive_read_args){.path = path, .error = e});
	return r->file && find(r, e);
}

/* Opens one file for images and one for labels, or one file for both. */
static bool open_both(const ebb_numpy_args *a, array *images, array *labels)
{
	if (!a->file)
		return open_array(images, a->images, "", a->error) &&
		       open_array(labels, a->labels, "", a->error);
	if (!open_array(images, a->file, a->images, a->error))
		return false;
	*labels = (array){.file = images->file, .path = a->file, .name = a->labels};
	return find(labels, a->error);
}

/* ---- Images --------------------------------------------------------------------------------- */

static bool may_be_channels(int64_t size)
{
	return size >= 1 && size <= EBB_MAX_CHANNELS;
}

/* Whether the channels are the last or the second of four axes. */
static bool find_channels(const array *r, ebb_numpy_layout layout, bool *last, ebb_error *e)
{
	const int64_t *n = r->x->shape.dims;
	bool may_be_last = may_be_channels(n[3]), may_be_second = may_be_channels(n[1]);
	char shape[120];

	*last = layout == EBB_NHWC || (layout == EBB_LAYOUT_BY_SIZE && may_be_last);
	ebb_shape_text(r->x->shape, shape, sizeof shape);
	if (layout == EBB_LAYOUT_BY_SIZE && may_be_last && may_be_second)
		return refuse(r, e, "%s can be [N,H,W,C] and [N,C,H,W]: set .layout", shape);
	if (!(*last ? may_be_last : may_be_second))
		return refuse(r, e, "%s has no axis of 1 to %d channels%s", shape, EBB_MAX_CHANNELS,
			layout == EBB_LAYOUT_BY_SIZE ? "" : " where .layout says");
	return true;
}

static bool measure(const array *r, ebb_numpy_layout layout, geometry *g, ebb_error *e)
{
	const int64_t *n = r->x->shape.dims;
	char shape[120];

	ebb_shape_text(r->x->shape, shape, sizeof shape);
	if (r->x->dtype != EBB_FILE_U8)
		return refuse(r, e, "images are of type %s, expected U8, from 0 to 255",
			r->x->dtype == EBB_FILE_OTHER ? r->x->other
						      : ebb_file_dtype_name(r->x->dtype));
	if (r->x->shape.ndim != 3 && r->x->shape.ndim != 4)
		return refuse(
			r, e, "images are %s, expected [N,H,W], [N,H,W,C] or [N,C,H,W]", shape);
	if (ebb_archived_count(r->x) == 0)
		return refuse(r, e, "images are %s, expected at least one pixel", shape);
	*g = (geometry){n[0], 1, n[1], n[2], true};
	if (r->x->shape.ndim == 3)
		return true;
	if (!find_channels(r, layout, &g->channels_last, e))
		return false;
	*g = g->channels_last ? (geometry){n[0], n[3], n[1], n[2], true}
	                      : (geometry){n[0], n[1], n[2], n[3], false};
	return true;
}

typedef struct pixels {
	const geometry *g;
	uint8_t *to; /* [N,C,H,W] */
	int64_t done;
} pixels;

/* Copies bytes [N,H,W,C] into planes [N,C,H,W]. */
static void spread(const geometry *g, const uint8_t *from, int64_t n, int64_t at, uint8_t *to)
{
	int64_t channels = g->channels, plane = g->height * g->width;
	int64_t image = at / (channels * plane), left = at % (channels * plane);
	int64_t pixel = left / channels, channel = left % channels;

	to += image * channels * plane;
	for (int64_t i = 0; i < n; i++) {
		to[channel * plane + pixel] = from[i];
		if (++channel < channels)
			continue;
		channel = 0;
		if (++pixel < plane)
			continue;
		pixel = 0;
		to += channels * plane;
	}
}

static bool take_pixels(void *ctx, const void *bytes, int64_t n, ebb_error *e)
{
	pixels *p = ctx;

	(void)e;
	if (p->g->channels_last && p->g->channels > 1)
		spread(p->g, bytes, n, p->done, p->to);
	else
		memcpy(p->to + p->done, bytes, (size_t)n);
	p->done += n;
	return true;
}

/* ---- Labels --------------------------------------------------------------------------------- */

/* Reads labels as I64, in the file's shape; NULL with an error. */
static ebb_tensor *read_labels(const array *r, int64_t count, ebb_error *e)
{
	const ebb_shape *s = &r->x->shape;
	char shape[120];

	if (r->x->dtype == EBB_FILE_OTHER || ebb_file_dtype_is_float(r->x->dtype)) {
		refuse(r, e, "labels are of type %s, expected integers",
			r->x->dtype == EBB_FILE_OTHER ? r->x->other
						      : ebb_file_dtype_name(r->x->dtype));
		return NULL;
	}
	if (s->ndim < 1 || s->ndim > 2 || s->dims[0] != count ||
		(s->ndim == 2 && s->dims[1] != 1)) {
		refuse(r, e, "labels are %s, expected [%lld] for as many images",
			ebb_shape_text(*s, shape, sizeof shape), (long long)count);
		return NULL;
	}
	return ebb_archive_tensor(r->file, r->x->name, EBB_I64, e);
}

/* The number of classes: as given, or the largest label + 1.  0 with an error. */
static int count_classes(const array *r, const ebb_tensor *labels, int classes, ebb_error *e)
{
	const int64_t *label = ebb_data(labels);
	int64_t most = classes ? classes : INT_MAX, largest = 0;

	for (int64_t i = 0; i < ebb_count(labels); i++) {
		if (label[i] < 0 || label[i] >= most) {
			refuse(r, e, "label %lld is %lld, expected 0 to %lld", (long long)i,
				(long long)label[i], (long long)most - 1);
			return 0;
		}
		largest = label[i] > largest ? label[i] : largest;
	}
	return classes ? classes : (int)largest + 1;
}

/* ---- The data set --------------------------------------------------------------------------- */

static ebb_dataset *join(const ebb_numpy_args *a, const array *images, const array *labels)
{
	geometry g;
	ebb_tensor *label;
	ebb_dataset *d = NULL;
	int classes;
	pixels p;

	if (!measure(images, a->layout, &g, a->error))
		return NULL;
	label = read_labels(labels, g.count, a->error);
	classes = label ? count_classes(labels, label, a->classes, a->error) : 0;
	if (classes > 0)
		d = ebb_dataset_new(g.count, g.channels, g.height, g.width, classes, a->error);
	if (d) {
		memcpy(ebb_data_mutable(d->labels), ebb_data(label),
			(size_t)g.count * sizeof(int64_t));
		p = (pixels){.g = &g, .to = ebb_data_mutable(d->images)};
		if (!ebb_archived_stream(images->file, images->x, take_pixels, &p, a->error)) {
			ebb_dataset_free(d);
			d = NULL;
		}
	}
	ebb_tensor_free(label);
	return d;
}

ebb_dataset *(ebb_numpy)(const ebb_numpy_args *a)
{
	array images = {0}, labels = {0};
	ebb_dataset *d = NULL;

	if (!a->images || !a->labels) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"numpy: .%s is NULL, expected the name of an array%s",
			a->images ? "labels" : "images", a->file ? " in .file" : "'s file");
		return NULL;
	}
	if (a->classes < 0 || a->layout < EBB_LAYOUT_BY_SIZE || a->layout > EBB_NCHW) {
		ebb_error_set(a->error, EBB_INVALID, a->site,
			"numpy: layout %d, %d classes: expected a layout, and no number below 0",
			(int)a->layout, a->classes);
		return NULL;
	}
	if (open_both(a, &images, &labels))
		d = join(a, &images, &labels);
	if (labels.file != images.file)
		ebb_archive_free(labels.file);
	ebb_archive_free(images.file);
	return d;
}
