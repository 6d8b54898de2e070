/*
 * table.c - the table of kernels of one instruction set and real type.
 */
#include "real.h"

#define KERNEL(name) extern EBB_DECLARE(name);
#include "table.def"

/* With a member that table.def lacks, the struct would be larger than the list. */
struct listed {
	const char *isa;
	size_t real_size;
#define KERNEL(name) __typeof__(((const ebb_kernels *)0)->name) name;
#include "table.def"
};
_Static_assert(sizeof(struct listed) == sizeof(ebb_kernels),
	"kernels.h declares a kernel that table.def does not list");

extern const ebb_kernels EBB_NAME(kernels);
const ebb_kernels EBB_NAME(kernels) = {
	.isa = EBB_STRING(EBB_ISA),
	.real_size = sizeof(real),
#define KERNEL(name) .name = EBB_NAME(name),
#include "table.def"
};
