/* device.c - the CPU as a device, and the properties of the element types. */
#include <string.h>

#include "tensor/memory.h"

/* Integer types use kernels of the F32 table that only move elements and take the element size. */
const ebb_dtype_traits ebb_dtypes[] = {
	[EBB_DEFAULT] = {"default", 0, false, EBB_DEFAULT, ebb_kernels_f32},
	[EBB_F32] = {"F32", sizeof(float), true, EBB_F64, ebb_kernels_f32},
	[EBB_F64] = {"F64", sizeof(double), true, EBB_F64, ebb_kernels_f64},
	[EBB_I64] = {"I64", sizeof(int64_t), false, EBB_I64, ebb_kernels_f32},
	[EBB_U8] = {"U8", sizeof(uint8_t), false, EBB_I64, ebb_kernels_f32},
};
_Static_assert(
	sizeof ebb_dtypes / sizeof ebb_dtypes[0] == EBB_U8 + 1, "one entry for each ebb_dtype");

const char *ebb_dtype_name(ebb_dtype dtype)
{
	return (unsigned)dtype <= EBB_U8 ? ebb_dtypes[dtype].name : "unknown";
}

size_t ebb_dtype_size(ebb_dtype dtype)
{
	return (unsigned)dtype <= EBB_U8 ? ebb_dtypes[dtype].size : 0;
}

static void copy(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}

/* Does nothing, because a CPU kernel returns after its work is done. */
static void sync(void)
{
}

static const ebb_kernels *kernels(ebb_dtype dtype)
{
	return ebb_dtypes[dtype].kernels();
}

const ebb_device ebb_processor = {"processor", ebb_alloc, ebb_free, copy, sync, kernels};
