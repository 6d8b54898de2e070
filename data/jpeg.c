/*
 * jpeg.c - reading JPEG, through TurboJPEG.  It takes its memory from the C library.
 */
#include "data/internal.h"

#if EBB_HAVE_JPEG
#include <limits.h>
#include <turbojpeg.h>

/* Warnings stop the decoder: it would fill what is missing with grey.  Files of hundreds of scans
 * take minutes. */
enum { FLAGS = TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS };

static bool refuse(const ebb_encoded *f, tjhandle tj, ebb_error *e)
{
	ebb_error_set(e, EBB_BAD_FILE, NULL, "%s: damaged JPEG: %s", f->name, tjGetErrorStr2(tj));
	return false;
}

/* The smallest of TurboJPEG's reductions at which the shorter side has what the options ask. */
static tjscalingfactor reduction(const ebb_encoded *f, int height, int width)
{
	int n = 0, shorter = height < width ? height : width;
	const tjscalingfactor *all = tjGetScalingFactors(&n);
	tjscalingfactor best = {1, 1};

	for (int i = 0; i < n && f->options.shorter_side > 0; i++) {
		if (all[i].num * best.denom < best.num * all[i].denom &&
			TJSCALED(shorter, all[i]) >= f->options.shorter_side)
			best = all[i];
	}
	return best;
}

static bool unpack(const ebb_encoded *f, tjhandle tj, ebb_image *x, ebb_error *e)
{
	static const int formats[] = {TJPF_GRAY, TJPF_GRAY, TJPF_GRAY, TJPF_RGB, TJPF_RGBA};
	int width, height, subsampling, space, channels = f->options.channels;
	tjscalingfactor by;

	if (tjDecompressHeader3(tj, f->bytes, f->size, &width, &height, &subsampling, &space) != 0)
		return refuse(f, tj, e);
	if (space == TJCS_CMYK || space == TJCS_YCCK) {
		ebb_error_set(e, EBB_BAD_FILE, NULL,
			"%s: a %s JPEG; only grey and RGB are read, convert it first", f->name,
			space == TJCS_CMYK ? "CMYK" : "YCCK");
		return false;
	}
	if (!ebb_encoded_size_fits(f, height, width, e))
		return false;
	if (channels == 0)
		channels = space == TJCS_GRAY ? 1 : 3;
	if (f->probe) {
		x->height = height;
		x->width = width;
		x->channels = channels;
		x->wide = false;
		return true;
	}
	by = reduction(f, height, width);
	width = TJSCALED(width, by);
	height = TJSCALED(height, by);
	/* Grey and alpha is not a format of TurboJPEG's. */
	if (!ebb_image_room(x, height, width, channels == 2 ? 1 : channels, false, e))
		return false;
	if (tjDecompress2(tj, f->bytes, f->size, x->pixels, width, 0, height, formats[channels],
		    FLAGS) != 0)
		return refuse(f, tj, e);
	return true;
}

bool ebb_jpeg_decode(const ebb_encoded *f, ebb_image *x, ebb_error *e)
{
	ebb_image grey = {0};
	tjhandle tj = tjInitDecompress();
	bool ok;

	if (!tj) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory to unpack JPEG", f->name);
		return false;
	}
	if (f->options.channels != 2 || f->probe) {
		ok = unpack(f, tj, x, e);
	} else {
		ok = unpack(f, tj, &grey, e) && ebb_image_convert(&grey, 2, x, e);
		ebb_image_free(&grey);
	}
	tjDestroy(tj);
	return ok;
}

#else

bool ebb_jpeg_decode(const ebb_encoded *f, ebb_image *x, ebb_error *e)
{
	(void)x;
	ebb_error_set(
		e, EBB_BAD_FILE, NULL, "%s: a JPEG; Ebb was built without libjpeg-turbo", f->name);
	return false;
}

#endif
