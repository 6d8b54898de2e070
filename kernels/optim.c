/*
 * optim.c - the steps of the optimizers, in place, over all parameters in one call.
 */
#include "functions.h"
#include "kernels/gemm/outer.h"

struct step_job {
	int64_t count, total;
	const ebb_kernel_step *p;
	void (*range)(const struct step_job *j, const ebb_kernel_step *p, int64_t from, int64_t to);
	double gscale, momentum, beta1, beta2, eps, lr_decay;
	bool nesterov, decoupled;
};

/* Steps elements [from, to) of the list of all parameters whose gradient is g, laid end to end.
 * They may belong to several parameters. */
static void step_elements(const struct step_job *j, int64_t from, int64_t to)
{
	int64_t low = 0, high = j->count - 1;

	while (low < high) {
		int64_t middle = low + (high - low + 1) / 2;

		if (j->p[middle].before <= from)
			low = middle;
		else
			high = middle - 1;
	}
	for (; low < j->count && j->p[low].before < to; low++) {
		const ebb_kernel_step *p = &j->p[low];
		int64_t first = i64_max(0, from - p->before), end = i64_min(p->n, to - p->before);

		if (!p->gy && first < end)
			j->range(j, p, first, end);
	}
}

static void step_piece(void *ctx, int64_t piece, int worker)
{
	const struct step_job *j = ctx;

	(void)worker;
	step_elements(j, piece * EBB_PIECE, i64_min(j->total, (piece + 1) * EBB_PIECE));
}

struct outer_product_step {
	const struct step_job *j;
	const ebb_kernel_step *p;
};

/* Steps the elements of one tile of a deferred outer product. */
static void step_tile(
	const struct ebb_outer *o, int64_t i, int64_t j, int64_t rows, int64_t cols, const real *g)
{
	const struct outer_product_step *f = o->ctx;
	const ebb_kernel_step *p = f->p;

	for (int64_t r = 0; r < rows; r++) {
		int64_t at = (i + r) * o->n + j;
		ebb_kernel_step row = *p;

		row.w = (real *)p->w + at;
		row.m = p->m ? (real *)p->m + at : NULL;
		row.v = p->v ? (real *)p->v + at : NULL;
		row.g = g + r * cols;
		f->j->range(f->j, &row, 0, cols);
	}
}

static void step_outer_product(const struct step_job *j, const ebb_kernel_step *p)
{
	struct outer_product_step f = {j, p};
	struct ebb_outer o = {.terms = p->terms,
		.m = p->n / p->columns,
		.n = p->columns,
		.a = p->gy,
		.b = p->x,
		.take = step_tile,
		.ctx = &f,
		.reads = {p->w, p->m ? p->m : p->v, p->m ? p->v : NULL}};

	EBB_NAME(outer_tiles)(&o);
}

static void run(struct step_job j)
{
	if (j.count == 0)
		return;
	for (int64_t i = 0; i < j.count; i++)
		if (j.p[i].gy)
			step_outer_product(&j, &j.p[i]);
	j.total = j.p[j.count - 1].before + (j.p[j.count - 1].gy ? 0 : j.p[j.count - 1].n);
	if (j.total < EBB_PARALLEL_FROM)
		step_elements(&j, 0, j.total);
	else
		ebb_run_pieces(ebb_ceil_div(j.total, EBB_PIECE), step_piece, &j);
}

static void sgd_range(const struct step_job *j, const ebb_kernel_step *p, int64_t from, int64_t to)
{
	real *w = p->w, *m = p->m;
	const real *grad = p->g;
	real gscale = (real)j->gscale, decay = (real)p->decay, lr = (real)p->lr;
	real momentum = (real)j->momentum;

	if (!m) {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++)
			w[i] -= lr * (grad[i] * gscale + decay * w[i]);
	} else if (p->step == 1 && j->nesterov) {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++) {
			real g = grad[i] * gscale + decay * w[i];

			m[i] = g;
			w[i] -= lr * (g + momentum * g);
		}
	} else if (p->step == 1) {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++) {
			m[i] = grad[i] * gscale + decay * w[i];
			w[i] -= lr * m[i];
		}
	} else if (j->nesterov) {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++) {
			real g = grad[i] * gscale + decay * w[i];

			m[i] = momentum * m[i] + g;
			w[i] -= lr * (g + momentum * m[i]);
		}
	} else {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++) {
			m[i] = momentum * m[i] + (grad[i] * gscale + decay * w[i]);
			w[i] -= lr * m[i];
		}
	}
}

EBB_DECLARE(sgd);
void EBB_NAME(sgd)(
	int64_t count, const ebb_kernel_step *p, double gscale, double momentum, bool nesterov)
{
	run((struct step_job){.count = count,
		.p = p,
		.range = sgd_range,
		.gscale = gscale,
		.momentum = momentum,
		.nesterov = nesterov});
}

static void adam_range(const struct step_job *j, const ebb_kernel_step *p, int64_t from, int64_t to)
{
	real *w = p->w, *m = p->m, *v = p->v;
	const real *grad = p->g;
	/* 1 - beta in double, because it would lose digits in float */
	real beta1 = (real)j->beta1, rest1 = (real)(1 - j->beta1);
	real beta2 = (real)j->beta2, rest2 = (real)(1 - j->beta2);
	real gscale = (real)j->gscale, eps = (real)j->eps;
	real decay = j->decoupled ? 0 : (real)p->decay;
	real keep = j->decoupled ? 1 - (real)(p->lr * p->decay) : 1;
	real size = (real)(p->lr / (1 - pow(j->beta1, (double)p->step)));
	real root = (real)(1 / sqrt(1 - pow(j->beta2, (double)p->step)));

	EBB_IVDEP
	for (int64_t i = from; i < to; i++) {
		real g = grad[i] * gscale + decay * w[i];

		m[i] = beta1 * m[i] + rest1 * g;
		v[i] = beta2 * v[i] + rest2 * (g * g);
		w[i] = keep * w[i] - size * m[i] / (real_sqrt(v[i]) * root + eps);
	}
}

EBB_DECLARE(adam);
void EBB_NAME(adam)(int64_t count, const ebb_kernel_step *p, double gscale, double beta1,
	double beta2, double eps, bool decoupled)
{
	run((struct step_job){.count = count,
		.p = p,
		.range = adam_range,
		.gscale = gscale,
		.beta1 = beta1,
		.beta2 = beta2,
		.eps = eps,
		.decoupled = decoupled});
}

static void rmsprop_range(
	const struct step_job *j, const ebb_kernel_step *p, int64_t from, int64_t to)
{
	real *w = p->w, *m = p->m, *v = p->v;
	const real *grad = p->g;
	real gscale = (real)j->gscale, decay = (real)p->decay, lr = (real)p->lr;
	real alpha = (real)j->beta2, rest = (real)(1 - j->beta2), eps = (real)j->eps;
	real momentum = (real)j->momentum;

	if (m) {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++) {
			real g = grad[i] * gscale + decay * w[i];

			v[i] = alpha * v[i] + rest * (g * g);
			m[i] = momentum * m[i] + g / (real_sqrt(v[i]) + eps);
			w[i] -= lr * m[i];
		}
	} else {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++) {
			real g = grad[i] * gscale + decay * w[i];

			v[i] = alpha * v[i] + rest * (g * g);
			w[i] -= lr * (g / (real_sqrt(v[i]) + eps));
		}
	}
}

EBB_DECLARE(rmsprop);
void EBB_NAME(rmsprop)(int64_t count, const ebb_kernel_step *p, double gscale, double alpha,
	double eps, double momentum)
{
	run((struct step_job){.count = count,
		.p = p,
		.range = rmsprop_range,
		.gscale = gscale,
		.beta2 = alpha,
		.eps = eps,
		.momentum = momentum});
}

static void adagrad_range(
	const struct step_job *j, const ebb_kernel_step *p, int64_t from, int64_t to)
{
	real *w = p->w, *v = p->v;
	const real *grad = p->g;
	real gscale = (real)j->gscale, decay = (real)p->decay, eps = (real)j->eps;
	real lr = (real)(p->lr / (1 + (double)(p->step - 1) * j->lr_decay));

	EBB_IVDEP
	for (int64_t i = from; i < to; i++) {
		real g = grad[i] * gscale + decay * w[i];

		v[i] += g * g;
		w[i] -= lr * (g / (real_sqrt(v[i]) + eps));
	}
}

EBB_DECLARE(adagrad);
void EBB_NAME(adagrad)(
	int64_t count, const ebb_kernel_step *p, double gscale, double lr_decay, double eps)
{
	run((struct step_job){.count = count,
		.p = p,
		.range = adagrad_range,
		.gscale = gscale,
		.lr_decay = lr_decay,
		.eps = eps});
}
