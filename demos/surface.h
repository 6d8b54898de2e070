/* surface.h - writes a page drawn with Cairo to a PNG file. */
#ifndef EBB_DEMOS_SURFACE_H
#define EBB_DEMOS_SURFACE_H

#include <cairo.h>
#include <ebb.h>

/* Writes an image surface of CAIRO_FORMAT_RGB24, as ebb_image_write_png does. */
bool surface_write_png(cairo_surface_t *surface, const char *path, ebb_error *e);

#endif
