/*
 * host.h - what the library asks of the system and the program around it: files written whole
 * (write.c), text that no locale changes (locale.c), and memory: that grows (memory.c), and its
 * order (layout.c).  For every folder above, and installed nowhere.
 */
#ifndef EBB_TENSOR_HOST_H
#define EBB_TENSOR_HOST_H

#include <stdarg.h>

#include "tensor/tensor.h"

/* Writes size bytes as the file at path, over what was there.  The bytes go to a temporary file
 * in the same directory, which is then renamed: a failure leaves the old file as it was, and no
 * new one.  Where no such file can be made (a directory that may not be written to), or renamed
 * (a file that is mounted by itself), nothing is written.  A new file has the mode that fopen
 * would give it; a file that is replaced hands on its mode and, where the system permits, its
 * owner.  A file that may not be written to is not replaced. Other names (hard links) of a
 * replaced file keep the old content.  A symbolic link stays, and what it leads to is written. 
 * What is no regular file (a device, a FIFO), and what /proc or /dev/fd names by its descriptor,
 * is written to directly.  EBB_BAD_FILE with the path and the system's reason. */
bool ebb_write_file(const char *path, const void *bytes, size_t size, ebb_error *e);

/* The same piece by piece.  durable: ebb_output_commit returns when the file and its directory
 * are on the disk (fsync), and what writers that were killed have left of temporary files in the
 * directory is removed first.  Each error is set in e once, with the path and the system's
 * reason. */
typedef struct ebb_output ebb_output;
ebb_output *ebb_output_open(const char *name, bool durable, ebb_error *e);
bool ebb_output_write(ebb_output *o, const void *bytes, size_t size, ebb_error *e);
/* Where the next write goes, from the beginning; an error for what is no regular file. */
bool ebb_output_seek(ebb_output *o, int64_t at, ebb_error *e);
int64_t ebb_output_tell(const ebb_output *o);
/* The file appears at its path.  Frees o. */
bool ebb_output_commit(ebb_output *o, ebb_error *e);
/* Nothing appears.  Frees o. */
void ebb_output_discard(ebb_output *o);

/* snprintf in the C locale: numbers have a point and no grouping, whatever setlocale and uselocale
 * have chosen. */
int ebb_format(char *buffer, size_t size, const char *format, ...) EBB_PRINTF(3, 4);
int ebb_format_v(char *buffer, size_t size, const char *format, va_list ap) EBB_PRINTF(3, 0);
/* The same behind the text that is in the buffer. */
void ebb_append(char *buffer, size_t size, const char *format, ...) EBB_PRINTF(3, 4);
void ebb_append_v(char *buffer, size_t size, const char *format, va_list ap) EBB_PRINTF(3, 0);
/* "[64,3,28,28]" into the buffer; returns it. */
const char *ebb_shape_text(ebb_shape s, char *buffer, size_t size);
/* Whether x's memory is one block without gaps, its axes in that order; always true of
 * EBB_STRIDED. */
bool ebb_is_dense(const ebb_tensor *x, ebb_order order);

/* The system's words for an errno value, in English.  Valid until this thread's next call. */
const char *ebb_reason(int code);

/* Room for n elements of that size in *array, whose capacity doubles from 64 on: ebb_free gives
 * back *capacity elements.  array points to the pointer, which starts as NULL with a capacity of
 * 0.  False without memory, and the array is as it was. */
bool ebb_grow(void *array, int64_t *capacity, int64_t n, size_t element);

#endif
