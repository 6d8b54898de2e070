/* target.c - the entry point of libFuzzer, which calls the target that the build names. */
#include "readers.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	READER(bytes, size);
	return 0;
}
