/* readers.h - one fuzz target per file format: reads arbitrary bytes and frees everything. */
#ifndef EBB_FUZZ_READERS_H
#define EBB_FUZZ_READERS_H

#include <stddef.h>
#include <stdint.h>

void read_idx(const uint8_t *bytes, size_t size);
void read_png(const uint8_t *bytes, size_t size);
void read_jpeg(const uint8_t *bytes, size_t size);
void read_cifar(const uint8_t *bytes, size_t size);
void read_list(const uint8_t *bytes, size_t size);

/* archives.c */
void read_safetensors(const uint8_t *bytes, size_t size);
void read_index(const uint8_t *bytes, size_t size);
void read_npy(const uint8_t *bytes, size_t size);
void read_npz(const uint8_t *bytes, size_t size);
void read_torch(const uint8_t *bytes, size_t size);
void read_pickle(const uint8_t *bytes, size_t size);

/* Writes the bytes to a file, in memory if the system has such a directory, and returns its
 * path. */
const char *put_file(const char *name, const uint8_t *bytes, size_t size);

#endif
