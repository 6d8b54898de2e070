/*
 * curvature.c - the memory of L-BFGS: pairs of changes of the parameters and of the gradient.
 *
 * Pairs that are not in use stay allocated, so that a step after the first ones allocates nothing.
 */
#include <string.h>

#include "tensor/host.h"
#include "nn/internal.h"
#include "optim/internal.h"

/* While a step runs, both its own pairs and those of the last step are in use: twice the history,
 * two pending pairs and one that is being tested. */
static int64_t most_blocks(const ebb_curvature *m)
{
	return 2 * m->history + 3;
}

/* A vector's bytes, rounded up so that the next vector is aligned. */
static size_t stride(const ebb_curvature *m)
{
	return (m->bytes + 63) / 64 * 64;
}

static size_t block_bytes(const ebb_curvature *m)
{
	return sizeof(ebb_pair) + 2 * stride(m);
}

static size_t work_bytes(const ebb_curvature *m)
{
	return EBB_LBFGS_VECTORS * stride(m) + (size_t)m->history * sizeof(double);
}

static bool allocate(ebb_curvature *m)
{
	size_t n = (size_t)m->history;

	m->active = ebb_alloc_zeroed((size_t)m->params * sizeof *m->active);
	m->blocks = ebb_alloc_zeroed((size_t)most_blocks(m) * sizeof(ebb_pair *));
	m->pairs = ebb_alloc_zeroed(n * sizeof(ebb_pair *));
	m->trial_pairs = ebb_alloc_zeroed(n * sizeof(ebb_pair *));
	m->ro = ebb_alloc_zeroed(n * sizeof *m->ro);
	m->trial_ro = ebb_alloc_zeroed(n * sizeof *m->trial_ro);
	m->work = ebb_alloc(work_bytes(m));
	return m->active && m->blocks && m->pairs && m->trial_pairs && m->ro && m->trial_ro &&
	       m->work;
}

ebb_curvature *ebb_curvature_new(const ebb_optim *o, int64_t params, const bool *active)
{
	size_t size = ebb_dtype_size(ebb_params_dtype(o->p));
	ebb_curvature *m = ebb_alloc_zeroed(sizeof *m);

	if (!m)
		return NULL;
	m->params = params;
	m->history = o->lbfgs->history;
	m->scale = 1;
	for (int64_t i = 0; i < params; i++)
		m->n += active[i] ? ebb_count(o->slots[i].w) : 0;
	m->bytes = (size_t)m->n * size;
	/* 2 pairs and the vectors of work fit into a size_t if 64 vectors do. */
	if (m->n > (int64_t)(PTRDIFF_MAX / 64 / size) || !allocate(m)) {
		ebb_curvature_free(m);
		return NULL;
	}
	memcpy(m->active, active, (size_t)params * sizeof *active);
	return m;
}

void ebb_curvature_free(ebb_curvature *m)
{
	size_t n;

	if (!m)
		return;
	n = (size_t)m->history;
	for (int64_t i = 0; i < m->block_count; i++)
		ebb_free(m->blocks[i], block_bytes(m));
	ebb_free(m->active, m->active ? (size_t)m->params * sizeof *m->active : 0);
	ebb_free(m->blocks, m->blocks ? (size_t)most_blocks(m) * sizeof(ebb_pair *) : 0);
	ebb_free(m->pairs, m->pairs ? n * sizeof(ebb_pair *) : 0);
	ebb_free(m->trial_pairs, m->trial_pairs ? n * sizeof(ebb_pair *) : 0);
	ebb_free(m->ro, m->ro ? n * sizeof *m->ro : 0);
	ebb_free(m->trial_ro, m->trial_ro ? n * sizeof *m->trial_ro : 0);
	ebb_free(m->work, m->work ? work_bytes(m) : 0);
	ebb_free(m, sizeof *m);
}

ebb_pair *ebb_pair_take(ebb_curvature *m)
{
	ebb_pair *p = NULL;

	for (int64_t i = 0; !p && i < m->block_count; i++)
		p = m->blocks[i]->used ? NULL : m->blocks[i];
	if (!p && m->block_count < most_blocks(m)) {
		p = ebb_alloc(block_bytes(m));
		if (p)
			m->blocks[m->block_count++] = p;
	}
	if (p)
		p->used = true;
	return p;
}

void *ebb_pair_s(const ebb_curvature *m, ebb_pair *p)
{
	(void)m;
	return p + 1;
}

void *ebb_pair_y(const ebb_curvature *m, ebb_pair *p)
{
	return (char *)(p + 1) + stride(m);
}

void *ebb_lbfgs_vector(const ebb_curvature *m, int i)
{
	return (char *)m->work + (size_t)i * stride(m);
}

double *ebb_lbfgs_numbers(const ebb_curvature *m)
{
	return ebb_lbfgs_vector(m, EBB_LBFGS_VECTORS);
}

void ebb_curvature_sweep(ebb_curvature *m)
{
	for (int64_t i = 0; i < m->block_count; i++)
		m->blocks[i]->used = false;
	for (int64_t i = 0; i < m->count; i++)
		m->pairs[i]->used = true;
	if (m->pending)
		m->pending->used = true;
}
