/*
 * dispatch.c - chooses the table of kernels once, by what the processor has; EBB_ISA lowers the
 * choice.  Keeps the algorithm of convolutions that EBB_CONV or ebb_choose_conv names.
 */
#include "environment.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

extern const ebb_kernels ebb_kernels_f32_baseline, ebb_kernels_f64_baseline;
#if EBB_HAVE_AVX2
extern const ebb_kernels ebb_kernels_f32_avx2, ebb_kernels_f64_avx2;
#endif
#if EBB_HAVE_AVX512
extern const ebb_kernels ebb_kernels_f32_avx512, ebb_kernels_f64_avx512;
#endif

/* The features that -march=x86-64-v3 and -v4 enable, as far as __builtin_cpu_supports of both
 * compilers knows them. */
static bool always(void)
{
	return true;
}

#if EBB_HAVE_AVX2
static bool has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
	       __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}
#endif

#if EBB_HAVE_AVX512
static bool has_avx512(void)
{
	return has_avx2() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

/* From the lowest to the highest. */
static const struct {
	const ebb_kernels *f32, *f64;
	bool (*supported)(void);
} tables[] = {
	{&ebb_kernels_f32_baseline, &ebb_kernels_f64_baseline, always},
#if EBB_HAVE_AVX2
	{&ebb_kernels_f32_avx2, &ebb_kernels_f64_avx2, has_avx2},
#endif
#if EBB_HAVE_AVX512
	{&ebb_kernels_f32_avx512, &ebb_kernels_f64_avx512, has_avx512},
#endif
};
enum { TABLES = sizeof tables / sizeof tables[0] };

/* Valgrind emulates fused multiply-adds in software, some hundred times slower than other
 * instructions.  It is recognised by the library that it preloads. */
static bool under_valgrind(void)
{
	const char *preloaded = getenv("LD_PRELOAD");

	return preloaded && strstr(preloaded, "vgpreload");
}

static int pick(void)
{
	static atomic_int picked; /* 1 + index of the table; concurrent calls find the same one */
	int n = atomic_load_explicit(&picked, memory_order_relaxed);

	if (n == 0) {
		const char *limit = ebb_environment_isa();

		if (!limit && under_valgrind())
			limit = tables[0].f32->isa;
		for (int i = 0; i < TABLES && tables[i].supported(); i++) {
			n = i + 1;
			if (limit && strcmp(limit, tables[i].f32->isa) == 0)
				break;
		}
		atomic_store_explicit(&picked, n, memory_order_relaxed);
	}
	return n - 1;
}

const ebb_kernels *ebb_kernels_f32(void)
{
	return tables[pick()].f32;
}

const ebb_kernels *ebb_kernels_f64(void)
{
	return tables[pick()].f64;
}

const ebb_kernels *ebb_kernels_named(const char *isa, bool f64)
{
	for (int i = 0; i < TABLES; i++) {
		if (strcmp(isa, tables[i].f32->isa) == 0)
			return !tables[i].supported() ? NULL : f64 ? tables[i].f64 : tables[i].f32;
	}
	return NULL;
}

/* ---- The algorithm of convolutions ----------------------------------------------------------- */

static atomic_int conv_choice = -1; /* -1: not read yet; concurrent calls read the same */

ebb_conv_choice ebb_conv_chosen(void)
{
	int choice = atomic_load_explicit(&conv_choice, memory_order_relaxed);

	if (choice < 0) {
		choice = (int)ebb_environment_conv();
		atomic_store_explicit(&conv_choice, choice, memory_order_relaxed);
	}
	return (ebb_conv_choice)choice;
}

void ebb_choose_conv(ebb_conv_choice choice)
{
	atomic_store_explicit(&conv_choice, choice, memory_order_relaxed);
}
