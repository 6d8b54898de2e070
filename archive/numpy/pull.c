/*
 * pull.c - reading the values of an entry in parts on demand, because libzip pulls the bytes that
 * it writes.
 *
 * A part is a box of the entry: a range of indices along one axis, with fixed indices on the axes
 * before it and all of the axes after it.  So the parts are in row-major order for any strides.
 */
#include <string.h>

#include "archive/numpy/pull.h"
#include "tensor/internal.h"

enum { PIECE = 1 << 17 }; /* elements */

/* Sets up the view of a tensor of the program, as memory in its own type. */
static bool view_tensor(ebb_pull *p, ebb_error *e)
{
	const ebb_tensor *t = p->x->live;
	const void *values = ebb_data(t);
	char name[80];

	if (!values) {
		ebb_error_set(e, EBB_BAD_STATE, NULL,
			"\"%s\": its tensor was dropped before it was written",
			ebb_printable(p->x->name, strlen(p->x->name), name, sizeof name));
		return false;
	}
	p->view.live = NULL;
	p->view.dtype = ebb_file_dtype_of(ebb_dtype_of(t));
	p->view.big_endian = ebb_is_big_endian();
	p->view.blob = ebb_blob_of_memory(values, INT64_MAX);
	for (int i = 0; i < t->ndim; i++)
		p->view.strides[i] = t->strides[i];
	return true;
}

static size_t piece_size(const ebb_pull *p, const ebb_archived *x)
{
	return ebb_bytes_of(p->most, ebb_file_dtype_size(x->dtype));
}

bool ebb_pull_open(ebb_pull *p, const ebb_archive *a, const ebb_archived *x, ebb_error *e)
{
	*p = (ebb_pull){.a = a, .x = x, .view = *x, .count = ebb_archived_count(x)};
	if (p->count == 0)
		return true;
	if (x->live && !view_tensor(p, e))
		return false;
	p->most = PIECE;
	/* Values in a file that are not row-major are read as a whole, because each part would be
	 * spread over the whole file. */
	if (p->count < PIECE || (!p->view.blob.memory && !ebb_archived_is_rows(&p->view)))
		p->most = p->count;
	p->piece = ebb_alloc(piece_size(p, x));
	if (p->view.dtype != x->dtype)
		p->own = ebb_alloc(piece_size(p, &p->view));
	if (p->piece && (p->own || p->view.dtype == x->dtype))
		return true;
	return ebb_archive_no_memory(a, e);
}

/* The box that begins at element number p->next and has at most as many elements as the buffer. */
static ebb_archived box_of(const ebb_pull *p)
{
	ebb_archived box = p->view;
	int64_t inner = 1, index = p->next, at = 0, left, most;
	int axis = box.shape.ndim - 1;

	if (box.shape.ndim == 0)
		return box;
	while (axis > 0 && inner * box.shape.dims[axis] <= p->most)
		inner *= box.shape.dims[axis--];
	most = p->most / inner;
	index /= inner;
	for (int i = axis; i >= 0; i--) {
		at += index % box.shape.dims[i] * box.strides[i];
		index /= box.shape.dims[i];
	}
	left = box.shape.dims[axis] - p->next / inner % box.shape.dims[axis];
	box.offset += at * (int64_t)ebb_file_dtype_size(box.dtype);
	box.shape.dims[axis] = left < most ? left : most;
	for (int i = 0; i < axis; i++)
		box.shape.dims[i] = 1;
	return box;
}

static bool fill(ebb_pull *p, ebb_error *e)
{
	ebb_archived box = box_of(p);
	int64_t n = ebb_archived_count(&box);
	size_t element = ebb_file_dtype_size(p->x->dtype);

	if (!ebb_archived_values(p->a, &box, box.dtype, p->own ? p->own : p->piece, e))
		return false;
	if (p->own && !ebb_archived_narrow(p->a, p->x, box.dtype, p->own, p->piece, p->next, n, e))
		return false;
	ebb_reorder(p->piece, n, element, false);
	p->next += n;
	p->filled = n * (int64_t)element;
	p->taken = 0;
	return true;
}

int64_t ebb_pull_read(ebb_pull *p, void *to, int64_t n, ebb_error *e)
{
	int64_t done = 0;

	while (done < n) {
		int64_t some = p->filled - p->taken;

		if (some == 0 && p->next == p->count)
			break;
		if (some == 0) {
			if (!fill(p, e))
				return -1;
			continue;
		}
		some = some < n - done ? some : n - done;
		memcpy((char *)to + done, p->piece + p->taken, (size_t)some);
		p->taken += some;
		done += some;
	}
	return done;
}

void ebb_pull_close(ebb_pull *p)
{
	ebb_free(p->piece, p->piece ? piece_size(p, p->x) : 0);
	ebb_free(p->own, p->own ? piece_size(p, &p->view) : 0);
	*p = (ebb_pull){0};
}
