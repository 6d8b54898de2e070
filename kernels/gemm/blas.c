/*
 * blas.c - calls OpenBLAS from the tasks of the thread pool; stubs if the build leaves OpenBLAS
 * out.
 *
 * The first product that is large enough loads OpenBLAS, because it adds three megabytes and a
 * thread per processor to a process, and most processes never need it.
 */
#include "kernels/gemm/blas.h"

#include <limits.h>
#include <string.h>

#if EBB_HAVE_OPENBLAS
#include <cblas.h>
#include <dlfcn.h>
#include <pthread.h>
#ifndef __APPLE__
#include <link.h>
#endif

/* Least rows, columns and terms for OpenBLAS (see blas.h); number of tasks and least rows of a
 * task, each of which packs all of B again. */
enum { LARGE_F32 = 512, LARGE_F64 = 256, PIECES = 16, PIECE_ROWS = 256 };

/* LAPACK's singular values, with Fortran's arguments: pointers, and the lengths of strings last. */
typedef void dgesvd(const char *left, const char *right, const int *rows, const int *columns,
	double *a, const int *lda, double *s, double *u, const int *ldu, double *vt,
	const int *ldvt, double *work, const int *work_size, int *info, size_t left_size,
	size_t right_size);

/* The functions of OpenBLAS that are called.  dgesvd is NULL in a build without LAPACK. */
static struct {
	__typeof__(openblas_get_corename) *get_corename;
	__typeof__(openblas_set_num_threads) *set_num_threads;
	__typeof__(cblas_sgemm) *sgemm;
	__typeof__(cblas_dgemm) *dgemm;
	dgesvd *dgesvd;
} blas;

static bool loaded, known_core;
static pthread_once_t once = PTHREAD_ONCE_INIT, svd_once = PTHREAD_ONCE_INIT;

/* Whether the program is linked statically, without a dynamic linker.  dlopen would then load a
 * second C library, whose threads crash. */
#ifdef __APPLE__
static bool is_static(void)
{
	return false;
}
#else
/* dl_iterate_phdr reports the program first. */
static int look_for_linker(struct dl_phdr_info *info, size_t size, void *found)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++)
		*(bool *)found |= info->dlpi_phdr[i].p_type == PT_INTERP;
	return 1;
}

static bool is_static(void)
{
	bool found = false;

	dl_iterate_phdr(look_for_linker, &found);
	return !found;
}
#endif

/* Loads OpenBLAS.  It is never unloaded, because its threads would have to end first. */
static bool load(void)
{
#ifdef __APPLE__
#define LIBRARY "libopenblas.dylib"
#else
#define LIBRARY "libopenblas.so.0"
#endif
	void *library;

	if (is_static())
		return false;
	library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	/* The library that the build found may lie outside the search path. */
	if (!library)
		library = dlopen(EBB_OPENBLAS_DIR "/" LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return false;
	/* dlsym returns void *, which C cannot convert to a function pointer; POSIX permits this
	 * form. */
	*(void **)&blas.get_corename = dlsym(library, "openblas_get_corename");
	*(void **)&blas.set_num_threads = dlsym(library, "openblas_set_num_threads");
	*(void **)&blas.sgemm = dlsym(library, "cblas_sgemm");
	*(void **)&blas.dgemm = dlsym(library, "cblas_dgemm");
	*(void **)&blas.dgesvd = dlsym(library, "dgesvd_");
	return blas.get_corename && blas.set_num_threads && blas.sgemm && blas.dgemm;
}

/* OpenBLAS is limited to one thread in the whole process, because its own threads would compete
 * with those of the pool. */
static void ask(void)
{
	static const char *const cores[] = {
		"Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids"};
	const char *core;

	loaded = load();
	core = loaded ? blas.get_corename() : "";
	for (size_t i = 0; i < sizeof cores / sizeof cores[0]; i++)
		known_core |= strcmp(core, cores[i]) == 0;
#if defined __x86_64__
	/* The vectors of the Haswell kernels have half the width of AVX-512. */
	if (strcmp(core, "Haswell") == 0 && __builtin_cpu_supports("avx512f"))
		known_core = false;
#endif
	if (known_core)
		blas.set_num_threads(1);
}

/* AMD's first processors with AVX-512 compute a vector in two halves (see blas.h). */
static bool is_amd(void)
{
#if defined __x86_64__
	return __builtin_cpu_is("amd");
#else
	return false;
#endif
}

bool ebb_blas_is_faster(bool f64, const char *isa, int64_t m, int64_t n, int64_t k)
{
	int64_t large = f64 ? LARGE_F64 : LARGE_F32;

	if (m < large || n < large || k < large || m > INT_MAX || n > INT_MAX || k > INT_MAX ||
		strcmp(isa, "avx512") != 0 || is_amd())
		return false;
	pthread_once(&once, ask);
	return known_core;
}

struct job {
	bool f64, ta, tb;
	int64_t m, n, k, lda, ldb, ldc, rows;
	const char *a, *b;
	double beta;
	char *c;
};

static void piece_of_rows(void *ctx, int64_t piece, int worker)
{
	const struct job *j = ctx;
	int64_t from = piece * j->rows, size = j->f64 ? 8 : 4;
	int64_t rows = j->m - from < j->rows ? j->m - from : j->rows;
	const char *a = j->a + from * (j->ta ? 1 : j->lda) * size;
	char *c = j->c + from * j->ldc * size;
	enum CBLAS_TRANSPOSE ta = j->ta ? CblasTrans : CblasNoTrans,
			     tb = j->tb ? CblasTrans : CblasNoTrans;

	(void)worker;
	if (j->f64)
		blas.dgemm(CblasRowMajor, ta, tb, (int)rows, (int)j->n, (int)j->k, 1.0,
			(const void *)a, (int)j->lda, (const void *)j->b, (int)j->ldb, j->beta,
			(void *)c, (int)j->ldc);
	else
		blas.sgemm(CblasRowMajor, ta, tb, (int)rows, (int)j->n, (int)j->k, 1.0F,
			(const void *)a, (int)j->lda, (const void *)j->b, (int)j->ldb,
			(float)j->beta, (void *)c, (int)j->ldc);
}

void ebb_blas_gemm(bool f64, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const void *a,
	int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc)
{
	struct job j = {
		f64, ta, tb, m, n, k, lda, ldb, ldc, (m + PIECES - 1) / PIECES, a, b, beta, c};

	if (j.rows < PIECE_ROWS)
		j.rows = PIECE_ROWS;
	ebb_parallel((m + j.rows - 1) / j.rows, piece_of_rows, &j);
}

/* ask leaves the threads of OpenBLAS alone on a core whose products are slow. */
static void limit_threads(void)
{
	pthread_once(&once, ask);
	if (loaded && blas.dgesvd)
		blas.set_num_threads(1);
}

bool ebb_blas_singular_values(int rows, int columns, double *a, double *s, double *work)
{
	int work_size = (int)EBB_SVD_WORK(rows, columns), one = 1, info = 0;
	double none = 0;

	pthread_once(&svd_once, limit_threads);
	if (!loaded || !blas.dgesvd)
		return false;
	blas.dgesvd("N", "N", &rows, &columns, a, &rows, s, &none, &one, &none, &one, work,
		&work_size, &info, 1, 1);
	return info == 0;
}

#else

bool ebb_blas_is_faster(bool f64, const char *isa, int64_t m, int64_t n, int64_t k)
{
	(void)f64, (void)isa, (void)m, (void)n, (void)k;
	return false;
}

void ebb_blas_gemm(bool f64, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const void *a,
	int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc)
{
	(void)f64, (void)ta, (void)tb, (void)m, (void)n, (void)k, (void)a, (void)lda, (void)b,
		(void)ldb, (void)beta;
	(void)c, (void)ldc;
}

bool ebb_blas_singular_values(int rows, int columns, double *a, double *s, double *work)
{
	(void)rows, (void)columns, (void)a, (void)s, (void)work;
	return false;
}

#endif
