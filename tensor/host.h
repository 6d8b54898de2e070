/*
 * host.h - utilities for all folders: files that are written atomically (write.c), text formatting
 * that does not depend on the locale (locale.c), growing arrays (hook.c), and memory orders
 * (layout.c).  Not installed.
 */
#ifndef EBB_TENSOR_HOST_H
#define EBB_TENSOR_HOST_H

#include <stdarg.h>

#include "tensor/tensor.h"

/* Writes size bytes as the file at path and replaces an existing file atomically: the bytes are
 * written to a temporary file in the same directory, which is then renamed.  After a failure the
 * old file is unchanged, and no new file exists.  If the temporary file cannot be created (a
 * directory without write permission) or renamed (a file that is a mount point), nothing is
 * written.
 *
 * A new file has the mode that fopen would give it.  A replaced file keeps its mode and, where the
 * system permits, its owner.  A file without write permission is not replaced.  Other hard links of
 * a replaced file keep the old content.  A symbolic link remains, and its target is replaced.  What
 * is not a regular file (a device, a FIFO), and a link in /proc or /dev/fd to an open descriptor,
 * is written to directly.  EBB_BAD_FILE with the path and the system's reason. */
bool ebb_write_file(const char *path, const void *bytes, size_t size, ebb_error *e);

/* The same with several writes.  durable: ebb_output_commit returns when the file and its directory
 * entry are on the disk (fsync), and ebb_output_open first removes temporary files that killed
 * processes have left in the directory.  Each error is set in e once, with the path and the
 * system's reason. */
typedef struct ebb_output ebb_output;
ebb_output *ebb_output_open(const char *name, bool durable, ebb_error *e);
bool ebb_output_write(ebb_output *o, const void *bytes, size_t size, ebb_error *e);
/* Sets the position of the next write, from the beginning.  Fails if the file is not a regular
 * one. */
bool ebb_output_seek(ebb_output *o, int64_t at, ebb_error *e);
int64_t ebb_output_tell(const ebb_output *o);
/* The file replaces the one at its path.  Frees o, also after a failure. */
bool ebb_output_commit(ebb_output *o, ebb_error *e);
/* The file at the path stays as it is.  Frees o. */
void ebb_output_discard(ebb_output *o);

/* snprintf in the C locale: numbers have a decimal point and no grouping, whatever setlocale and
 * uselocale have chosen. */
int ebb_snprintf(char *buffer, size_t size, const char *format, ...) EBB_PRINTF(3, 4);
int ebb_vsnprintf(char *buffer, size_t size, const char *format, va_list ap) EBB_PRINTF(3, 0);
/* The same, appended to the text in the buffer. */
void ebb_append(char *buffer, size_t size, const char *format, ...) EBB_PRINTF(3, 4);
void ebb_append_v(char *buffer, size_t size, const char *format, va_list ap) EBB_PRINTF(3, 0);
/* strtod in the C locale. */
double ebb_strtod(const char *text, char **end);
/* "[64,3,28,28]" into the buffer; returns it. */
const char *ebb_shape_text(ebb_shape s, char *buffer, size_t size);
/* Whether x is dense (without gaps) in that memory order; always true for EBB_STRIDED. */
bool ebb_is_dense(const ebb_tensor *x, ebb_order order);

/* The system's message for an errno value, in English.  Valid until this thread's next call. */
const char *ebb_reason(int code);

/* Grows a dynamic array to a capacity of at least n elements of that size, by doubling from 64 on.
 * array is the address of the pointer to the elements, which is NULL with a *capacity of 0 at
 * first.  ebb_free frees it, with the size of *capacity elements.  False: no memory, and the array
 * is unchanged. */
bool ebb_grow(void *array, int64_t *capacity, int64_t n, size_t element);

#endif
