/* pixels.c - the input of a network as ops on the pixels of an image. */
#include "nn/models/internal.h"

#include "tensor/option.h"

/* A matrix on the tape, of x's type. */
static ebb_tensor *on_tape(ebb_tape *t, ebb_tensor *matrix, ebb_dtype dtype, const char *site)
{
	ebb_tensor *y = ebb_from_f64(t, ebb_shape_of(matrix), ebb_data(matrix));

	return ebb_cast(t, y, dtype);
}

/* rows * x * columns^T */
static ebb_tensor *resized_and_cropped(
	ebb_tape *t, const ebb_preprocess *p, ebb_tensor *x, const char *site)
{
	ebb_dtype dtype = ebb_dtype_of(x), former;
	ebb_tensor *rows, *columns, *r, *c;
	ebb_error e = {0};

	if (!ebb_preprocess_matrices(
		    p, ebb_size(x, 2), ebb_size(x, 3), EBB_F64, &rows, &columns, &e))
		return ebb_fail(t, e.status, site, "model_pixels: %s", e.message);
	former = ebb_set_default_dtype(t, EBB_F64);
	r = on_tape(t, rows, dtype, site);
	c = on_tape(t, columns, dtype, site);
	ebb_set_default_dtype(t, former);
	ebb_tensor_free(rows);
	ebb_tensor_free(columns);
	return ebb_linear(t, ebb_matmul(t, r, x), c);
}

/* a[c] of each channel as [1,C,1,1], of x's type. */
static ebb_tensor *channel_constants(ebb_tape *t, const double *a, ebb_tensor *x, const char *site)
{
	ebb_dtype former = ebb_set_default_dtype(t, ebb_dtype_of(x));
	ebb_tensor *y = ebb_from_f64(t, EBB_SHAPE(1, ebb_size(x, 1), 1, 1), a);

	ebb_set_default_dtype(t, former);
	return y;
}

ebb_tensor *(ebb_model_pixels)(ebb_tape *t, const ebb_model *net, ebb_tensor *x, const char *site)
{
	const ebb_preprocess *p = net ? &net->preprocess : NULL;
	double scale[3], shift[3];
	int64_t channels;
	char text[240];

	if (!net || !net->card)
		return no_model(t, "model_pixels", site);
	if (ebb_failed(t))
		return NULL;
	channels = p->channels ? p->channels : 3;
	if (ebb_ndim(x) != 4 || ebb_size(x, 1) != channels ||
		(ebb_dtype_of(x) != EBB_F32 && ebb_dtype_of(x) != EBB_F64))
		return ebb_fail(t, EBB_BAD_SHAPE, site,
			"model_pixels: x must be F32 or F64 [N,%lld,height,width], got %s",
			(long long)channels, x ? ebb_describe(x, text, sizeof text) : "NULL");
	if (p->resize || p->crop)
		x = resized_and_cropped(t, p, x, site);
	if (p->bgr && channels == 3)
		x = ebb_flip(t, x, EBB_AXES(1));
	if (!x)
		return NULL;
	for (int c = 0; c < channels; c++) {
		double std = ebb_option(p->std[c], 1);

		scale[c] = 255 * ebb_option(p->scale, 1.0 / 255) / std;
		shift[c] = -p->mean[c] / std;
	}
	return ebb_add(t, ebb_mul(t, x, channel_constants(t, scale, x, site)),
		channel_constants(t, shift, x, site));
}
