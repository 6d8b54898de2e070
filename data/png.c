/*
 * png.c - reading and writing PNG with libpng.
 *
 * libpng reports errors by longjmp.  What must survive a jump is kept in a struct of the caller;
 * the functions that may jump own no resources.
 */
#include <png.h>
#include <stdio.h>
#include <string.h>

#include "tensor/host.h"
#include "data/internal.h"

/* Deflate compresses at most 1032 to 1. */
enum { BEST_RATIO = 1032, TEXT = 200 };

typedef struct job {
	png_structp png;
	png_infop info;
	char message[TEXT]; /* libpng's error message */
	bool no_memory;
	/* reading */
	const ebb_encoded *file;
	size_t at;
	ebb_image *filled;
	ebb_error *e; /* an error that Ebb found between calls of libpng */
	/* writing */
	const ebb_image *drawn;
	ebb_bytes *out;
} job;

static png_voidp take(png_structp png, png_alloc_size_t size)
{
	job *j = png_get_mem_ptr(png);
	void *p = ebb_sized_alloc(size);

	j->no_memory |= !p;
	return p;
}

static void give(png_structp png, png_voidp p)
{
	(void)png;
	ebb_sized_free(p);
}

static PNG_NORETURN void on_error(png_structp png, png_const_charp message)
{
	job *j = png_get_error_ptr(png);

	snprintf(j->message, TEXT, "%s", message);
	png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
	(void)png;
	(void)message;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static void feed(png_structp png, png_bytep to, size_t n)
{
	job *j = png_get_io_ptr(png);

	if (n > j->file->size - j->at)
		png_error(png, "truncated");
	memcpy(to, j->file->bytes + j->at, n);
	j->at += n;
}

/* Asks libpng for the output format: bytes (or 16 bits, with keep_wide) with the requested number
 * of channels.  Colour is not converted to grey here. */
static void ask(const job *j)
{
	png_structp png = j->png;
	int colour = png_get_color_type(png, j->info), depth = png_get_bit_depth(png, j->info);
	int channels = j->file->options.channels;
	bool wide = depth == 16 && j->file->options.keep_wide,
	     transparent = png_get_valid(png, j->info, PNG_INFO_tRNS) != 0,
	     alpha = (colour & PNG_COLOR_MASK_ALPHA) != 0 || transparent;

	if (colour == PNG_COLOR_TYPE_PALETTE)
		png_set_palette_to_rgb(png);
	else if (colour == PNG_COLOR_TYPE_GRAY && depth < 8)
		png_set_expand_gray_1_2_4_to_8(png);
	if (depth == 16 && !wide)
		png_set_scale_16(png);
	if (wide && *(const uint8_t *)&(const uint16_t){1} == 1)
		png_set_swap(png);
	if (transparent)
		png_set_tRNS_to_alpha(png);
	if (alpha && channels % 2 == 1)
		png_set_strip_alpha(png);
	if (!alpha && channels > 0 && channels % 2 == 0)
		png_set_add_alpha(png, wide ? UINT16_MAX : UINT8_MAX, PNG_FILLER_AFTER);
	if (channels >= 3 && !(colour & PNG_COLOR_MASK_COLOR))
		png_set_gray_to_rgb(png);
	png_read_update_info(png, j->info);
}

/* False with an error of Ebb's own in e; an error of libpng jumps. */
static bool read_pixels(const job *j)
{
	const ebb_encoded *f = j->file;
	png_structp png = j->png;
	int64_t height, width;
	int passes;
	size_t row;

	png_read_info(png, j->info);
	height = png_get_image_height(png, j->info);
	width = png_get_image_width(png, j->info);
	row = png_get_rowbytes(png, j->info);
	if (!ebb_encoded_size_fits(f, height, width, j->e))
		return false;
	/* Checked before memory is allocated for the pixels. */
	if (!f->probe && (uint64_t)row * (uint64_t)height / BEST_RATIO > f->size)
		png_error(png, "truncated: too few bytes for its size");
	passes = png_set_interlace_handling(png);
	ask(j);
	if (f->probe) {
		j->filled->height = height;
		j->filled->width = width;
		j->filled->channels = png_get_channels(png, j->info);
		j->filled->wide = png_get_bit_depth(png, j->info) == 16;
		return true;
	}
	if (!ebb_image_room(j->filled, height, width, png_get_channels(png, j->info),
		    png_get_bit_depth(png, j->info) == 16, j->e))
		return false;
	row = ebb_row_bytes(j->filled);
	for (int pass = 0; pass < passes; pass++) {
		for (int64_t i = 0; i < height; i++)
			png_read_row(png, j->filled->pixels + (size_t)i * row, NULL);
	}
	png_read_end(png, NULL);
	return true;
}

/* The target of the jump.  No variable of this function changes after setjmp. */
static bool read_guarded(job *j)
{
	if (setjmp(png_jmpbuf(j->png)))
		return false;
	png_set_read_fn(j->png, j, feed);
	png_set_keep_unknown_chunks(j->png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
	return read_pixels(j);
}

static void say(const job *j, const char *name, const char *what, ebb_error *e)
{
	if (j->no_memory)
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "%s: no memory to %s PNG", name,
			j->file ? "unpack" : "pack");
	else if (j->message[0])
		ebb_error_set(e, j->file ? EBB_BAD_FILE : EBB_INVALID, NULL, "%s: %s PNG: %s", name,
			what, j->message);
}

bool ebb_png_decode(const ebb_encoded *f, ebb_image *x, ebb_error *e)
{
	ebb_image as_read = {0};
	job j = {.file = f, .e = e};
	bool ok = false, to_grey = f->options.channels == 1 || f->options.channels == 2;

	j.filled = to_grey ? &as_read : x;
	j.png = png_create_read_struct_2(
		PNG_LIBPNG_VER_STRING, &j, on_error, on_warning, &j, take, give);
	if (j.png)
		j.info = png_create_info_struct(j.png);
	if (j.info)
		ok = read_guarded(&j);
	else
		j.no_memory = true;
	if (!ok)
		say(&j, f->name, "damaged", e);
	if (j.png)
		png_destroy_read_struct(&j.png, j.info ? &j.info : NULL, NULL);
	if (ok && to_grey && !f->probe)
		ok = ebb_image_convert(&as_read, f->options.channels, x, e);
	ebb_image_free(&as_read);
	return ok;
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void collect(png_structp png, png_bytep from, size_t n)
{
	job *j = png_get_io_ptr(png);

	if (!ebb_bytes_reserve(j->out, j->out->size + n)) {
		j->no_memory = true;
		png_error(png, "no memory");
	}
	memcpy(j->out->data + j->out->size, from, n);
	j->out->size += n;
}

static void flush(png_structp png)
{
	(void)png;
}

static bool write_guarded(job *j)
{
	static const int types[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY,
		PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
	const ebb_image *x = j->drawn;

	if (setjmp(png_jmpbuf(j->png)))
		return false;
	png_set_write_fn(j->png, j, collect, flush);
	png_set_IHDR(j->png, j->info, (png_uint_32)x->width, (png_uint_32)x->height,
		x->wide ? 16 : 8, types[x->channels], PNG_INTERLACE_NONE,
		PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(j->png, j->info);
	if (x->wide && *(const uint8_t *)&(const uint16_t){1} == 1)
		png_set_swap(j->png);
	for (int64_t i = 0; i < x->height; i++)
		png_write_row(j->png, x->pixels + (size_t)i * ebb_row_bytes(x));
	png_write_end(j->png, j->info);
	return true;
}

static bool encode(const ebb_image *x, const char *name, ebb_bytes *out, ebb_error *e)
{
	job j = {.drawn = x, .out = out};
	bool ok = false;

	if (!ebb_image_check(x, name, e))
		return false;
	if (x->width > INT32_MAX || x->height > INT32_MAX) {
		ebb_error_set(e, EBB_INVALID, NULL, "%s: %lld x %lld pixels are too many for PNG",
			name, (long long)x->height, (long long)x->width);
		return false;
	}
	j.png = png_create_write_struct_2(
		PNG_LIBPNG_VER_STRING, &j, on_error, on_warning, &j, take, give);
	if (j.png)
		j.info = png_create_info_struct(j.png);
	if (j.info)
		ok = write_guarded(&j);
	else
		j.no_memory = true;
	if (!ok) {
		say(&j, name, "cannot write", e);
		ebb_bytes_free(out);
	}
	if (j.png)
		png_destroy_write_struct(&j.png, j.info ? &j.info : NULL);
	return ok;
}

bool ebb_image_encode_png(
	const ebb_image *x, uint8_t **bytes, size_t *size, size_t *capacity, ebb_error *e)
{
	ebb_bytes out = {0};

	if (!bytes || !size || !capacity) {
		ebb_error_set(
			e, EBB_INVALID, NULL, "image_encode_png: a pointer for the result is NULL");
		return false;
	}
	*bytes = NULL;
	*size = *capacity = 0;
	if (!encode(x, "image_encode_png", &out, e))
		return false;
	*bytes = out.data;
	*size = out.size;
	*capacity = out.capacity;
	return true;
}

bool ebb_image_write_png(const char *path, const ebb_image *x, ebb_error *e)
{
	ebb_bytes out = {0};
	bool ok;

	if (!path) {
		ebb_error_set(e, EBB_INVALID, NULL, "image_write_png: path is NULL");
		return false;
	}
	ok = encode(x, path, &out, e) && ebb_write_file(path, out.data, out.size, e);
	ebb_bytes_free(&out);
	return ok;
}
