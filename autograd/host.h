/*
 * host.h - what the library asks of the system and the program around it: files written whole
 * (write.c), and text that no locale changes (locale.c).  For every folder above, and installed
 * nowhere.
 */
#ifndef EBB_AUTOGRAD_HOST_H
#define EBB_AUTOGRAD_HOST_H

#include <stdarg.h>

#include "autograd/autograd.h"

/* Writes size bytes as the file at path, over what was there.  The bytes go to a temporary file in
 * the same directory, which is then renamed: a failure leaves the old file as it was, and no new
 * one.  Where no such file can be made (a directory that may not be written to), or renamed (a file
 * that is mounted by itself), nothing is written.  A new file has the mode that fopen would give it;
 * a file that is replaced hands on its mode and, where the system permits, its owner.  A file that
 * may not be written to is not replaced.
 * Other names (hard links) of a replaced file keep the old content.  A symbolic link stays, and
 * what it leads to is written.  What is no regular file (a device, a FIFO), and what /proc or
 * /dev/fd names by its descriptor, is written to directly.  EBB_BAD_FILE with the path and the
 * system's reason. */
bool ebb_write_file(const char *path, const void *bytes, size_t size, ebb_error *e);

/* snprintf in the C locale: numbers have a point and no grouping, whatever setlocale and uselocale
 * have chosen. */
int ebb_format(char *buffer, size_t size, const char *format, ...) EBB_PRINTF(3, 4);
int ebb_format_v(char *buffer, size_t size, const char *format, va_list ap) EBB_PRINTF(3, 0);
/* The system's words for an errno value, in English.  Valid until this thread's next call. */
const char *ebb_reason(int code);

#endif
