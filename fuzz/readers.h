/* readers.h - one function per format: reads the bytes, whatever they are, and gives all back. */
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

/* A file of these bytes, in memory where the system has such a directory; its path. */
const char *put_file(const char *name, const uint8_t *bytes, size_t size);

#endif
