/* target.c - libFuzzer's entry, for the reader that the build names. */
#include "readers.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	READER(bytes, size);
	return 0;
}
