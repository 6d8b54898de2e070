/*
 * jpeg.c - reading JPEG with libjpeg, which allocates from the C library.
 *
 * libjpeg reports errors by a call that must not return: a longjmp.  What must survive a jump is
 * kept in a struct of the caller; the functions that may jump own no resources.
 *
 * libjpeg's warnings are of two kinds.  After a warning about data outside of the pixels the image
 * is accepted: bytes between two segments that belong to neither, or an application segment of an
 * unknown version.  After any other warning the pixels may be wrong, and the image is an error.
 */
#include "data/internal.h"

#if EBB_HAVE_JPEG
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* A file with hundreds of scans takes minutes to decode. */
enum { MOST_SCANS = 500, ROWS = 16, EXIF = JPEG_APP0 + 1 };

typedef struct job {
	/* must be the first member, because libjpeg passes its address */
	struct jpeg_error_mgr errors;
	struct jpeg_progress_mgr progress;
	jmp_buf jump;
	char message[JMSG_LENGTH_MAX]; /* the error's, or the first warning's */
	bool failed, no_memory, warned;
	struct jpeg_decompress_struct jpeg;
	const ebb_encoded *file;
	int orientation;
	int channels; /* of the result */
	/* read: the image that libjpeg fills; result, or an image that is still to be converted */
	ebb_image *result, *read;
	ebb_error *e; /* an error that Ebb found between calls of libjpeg */
} job;

static void stop(job *j)
{
	j->failed = true;
	longjmp(j->jump, 1);
}

static void on_error(j_common_ptr c)
{
	job *j = (job *)(void *)c->err;

	j->no_memory = c->err->msg_code == JERR_OUT_OF_MEMORY;
	c->err->format_message(c, j->message);
	stop(j);
}

static bool is_outside(int code)
{
	return code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR;
}

/* A level below 0 is a warning. */
static void on_message(j_common_ptr c, int level)
{
	job *j = (job *)(void *)c->err;

	if (level >= 0)
		return;
	if (j->file->options.strict || !is_outside(c->err->msg_code)) {
		c->err->format_message(c, j->message);
		stop(j);
	}
	if (!j->warned)
		c->err->format_message(c, j->message);
	j->warned = true;
}

static void print_nothing(j_common_ptr c)
{
	(void)c;
}

static void on_progress(j_common_ptr c)
{
	job *j = (job *)(void *)c->err;

	if (j->jpeg.input_scan_number <= MOST_SCANS)
		return;
	snprintf(j->message, sizeof j->message, "more than %d scans", MOST_SCANS);
	stop(j);
}

/* The smallest n for which n/8 of the shorter side is at least options.shorter_side. */
static unsigned reduction(const ebb_encoded *f, int64_t height, int64_t width)
{
	int64_t shorter = height < width ? height : width;
	unsigned n = 8;

	while (f->options.shorter_side > 0 && n > 1 &&
		(shorter * (n - 1) + 7) / 8 >= f->options.shorter_side)
		n--;
	return n;
}

static void find_orientation(job *j)
{
	if (!j->file->options.upright)
		return;
	for (jpeg_saved_marker_ptr m = j->jpeg.marker_list; m && j->orientation == 1; m = m->next)
		j->orientation = ebb_exif_orientation(m->data, m->data_length);
}

/* Converts CMYK to RGB.  By Adobe's convention the ink values are inverted. */
static void paint(const uint8_t *cmyk, int64_t n, uint8_t *rgb)
{
	for (; n > 0; n--, cmyk += 4, rgb += 3) {
		for (int c = 0; c < 3; c++) {
			unsigned ink = (255u - cmyk[c]) * cmyk[3] + 128;

			/* cmyk[3] minus (ink / 255), rounded */
			rgb[c] = (uint8_t)(cmyk[3] - ((ink + (ink >> 8)) >> 8));
		}
	}
}

static void read_rows(job *j)
{
	struct jpeg_decompress_struct *jpeg = &j->jpeg;
	ebb_image *x = j->read;
	JSAMPARRAY ink = NULL;
	size_t row = ebb_row_bytes(x);

	if (jpeg->out_color_space == JCS_CMYK)
		ink = jpeg->mem->alloc_sarray(
			(j_common_ptr)jpeg, JPOOL_IMAGE, jpeg->output_width * 4, 1);
	while (jpeg->output_scanline < jpeg->output_height) {
		uint8_t *to = x->pixels + jpeg->output_scanline * row;
		JSAMPROW rows[ROWS];
		unsigned left = jpeg->output_height - jpeg->output_scanline,
			 n = left < ROWS ? left : ROWS;

		if (ink) {
			jpeg_read_scanlines(jpeg, ink, 1);
			paint(ink[0], x->width, to);
			continue;
		}
		for (unsigned k = 0; k < n; k++)
			rows[k] = to + k * row;
		jpeg_read_scanlines(jpeg, rows, n);
	}
}

/* False with an error of Ebb's own; an error of libjpeg jumps. */
static bool unpack(job *j)
{
	struct jpeg_decompress_struct *jpeg = &j->jpeg;
	const ebb_encoded *f = j->file;
	bool ink, grey;
	int channels;

	if (f->options.upright)
		jpeg_save_markers(jpeg, EXIF, 0xffff);
	jpeg_read_header(jpeg, TRUE);
	find_orientation(j);
	ink = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
	grey = jpeg->jpeg_color_space == JCS_GRAYSCALE;
	if (!ebb_encoded_size_fits(f, jpeg->image_height, jpeg->image_width, j->e))
		return false;
	j->channels = f->options.channels ? f->options.channels : grey ? 1 : 3;
	if (f->probe) {
		*j->result = (ebb_image){.height = jpeg->image_height,
			.width = jpeg->image_width,
			.channels = j->channels};
		return true;
	}
	/* The channels of libjpeg's output: for CMYK always colours, and never alpha. */
	channels = ink || j->channels >= 3 ? 3 : 1;
	if (channels == j->channels && j->orientation == 1)
		j->read = j->result;
	jpeg->out_color_space = ink ? JCS_CMYK : channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
	jpeg->scale_num = reduction(f, jpeg->image_height, jpeg->image_width);
	jpeg->scale_denom = 8;
	jpeg_start_decompress(jpeg);
	if (!ebb_image_room(
		    j->read, jpeg->output_height, jpeg->output_width, channels, false, j->e))
		return false;
	read_rows(j);
	jpeg_finish_decompress(jpeg);
	return true;
}

/* The target of the jump.  No variable of this function changes after setjmp. */
static bool unpack_guarded(job *j)
{
	if (setjmp(j->jump))
		return false;
	jpeg_create_decompress(&j->jpeg);
	j->jpeg.progress = &j->progress;
	jpeg_mem_src(&j->jpeg, j->file->bytes, j->file->size);
	return unpack(j);
}

/* Converts what libjpeg decoded to the requested channels and orientation. */
static bool finish(const job *j, ebb_error *e)
{
	const ebb_image *x = j->read;
	ebb_image converted = {0};
	bool ok = true;

	if (x == j->result)
		return true;
	if (x->channels != j->channels) {
		ebb_image *to = j->orientation == 1 ? j->result : &converted;

		ok = ebb_image_convert(x, j->channels, to, e);
		x = to;
	}
	if (ok && j->orientation != 1)
		ok = ebb_image_turn(x, j->orientation, j->result, e);
	ebb_image_free(&converted);
	return ok;
}

bool ebb_jpeg_decode(const ebb_encoded *f, ebb_image *x, ebb_error *e)
{
	ebb_image read = {0};
	job j = {.file = f, .result = x, .read = &read, .orientation = 1, .e = e};
	bool ok;

	j.jpeg.err = jpeg_std_error(&j.errors);
	j.errors.error_exit = on_error;
	j.errors.emit_message = on_message;
	j.errors.output_message = print_nothing;
	j.progress.progress_monitor = on_progress;
	ok = unpack_guarded(&j);
	if (j.failed)
		ebb_error_set(e, j.no_memory ? EBB_NO_MEMORY : EBB_BAD_FILE, NULL,
			j.no_memory ? "%s: no memory to decode JPEG: %s" : "%s: damaged JPEG: %s",
			f->name, j.message);
	jpeg_destroy_decompress(&j.jpeg);
	if (ok && !f->probe)
		ok = finish(&j, e);
	ebb_image_free(&read);
	if (ok && j.warned)
		ebb_error_set(f->options.warning, EBB_BAD_FILE, NULL,
			"%s: decoded with a warning: %s", f->name, j.message);
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
