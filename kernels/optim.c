/*
 * optim.c - the steps of the optimizers, in place.
 */
#include "functions.h"

struct step {
	int64_t n;
	real *w, *m, *v;
	const real *g;
	real gscale, lr, decay, momentum, beta1, beta2, eps, size, root;
	bool nesterov, first, decoupled;
};

#define PIECE(name)                                                                                \
	static void name##_piece(void *ctx, int64_t piece, int worker)                             \
	{                                                                                          \
		const struct step *s = ctx;                                                        \
                                                                                                   \
		(void)worker;                                                                      \
		name##_range(s, piece *EBB_PIECE, ebb_min(s->n, (piece + 1) * EBB_PIECE));         \
	}                                                                                          \
	static void name(const struct step *s)                                                     \
	{                                                                                          \
		struct step copy = *s;                                                             \
                                                                                                   \
		if (s->n < EBB_PARALLEL_FROM)                                                      \
			name##_range(s, 0, s->n);                                                  \
		else                                                                               \
			ebb_run(ebb_ceil_div(s->n, EBB_PIECE), name##_piece, &copy);               \
	}

static void sgd_range(const struct step *s, int64_t from, int64_t to)
{
	real *w = s->w, *m = s->m;
	const real *grad = s->g;
	real gscale = s->gscale, decay = s->decay, lr = s->lr, momentum = s->momentum;

	if (!m) {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++)
			w[i] -= lr * (grad[i] * gscale + decay * w[i]);
		return;
	}
	if (s->first) {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++)
			m[i] = grad[i] * gscale + decay * w[i];
	} else {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++)
			m[i] = momentum * m[i] + (grad[i] * gscale + decay * w[i]);
	}
	if (s->nesterov) {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++)
			w[i] -= lr * (grad[i] * gscale + decay * w[i] + momentum * m[i]);
	} else {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++)
			w[i] -= lr * m[i];
	}
}
PIECE(sgd)

EBB_DECLARE(sgd);
void EBB_NAME(sgd)(int64_t n, void *w, const void *g, void *m, double gscale, double lr,
	double momentum, double decay, bool nesterov, bool first)
{
	sgd(&(struct step){.n = n,
		.w = w,
		.g = g,
		.m = m,
		.gscale = (real)gscale,
		.lr = (real)lr,
		.momentum = (real)momentum,
		.decay = (real)decay,
		.nesterov = nesterov,
		.first = first});
}

static void adam_range(const struct step *s, int64_t from, int64_t to)
{
	real *w = s->w, *m = s->m, *v = s->v;
	const real *grad = s->g;
	real beta1 = s->beta1, beta2 = s->beta2, rest1 = s->momentum, rest2 = s->lr;
	real gscale = s->gscale, decay = s->decoupled ? 0 : s->decay;
	real keep = s->decoupled ? 1 - s->decay : 1, size = s->size, root = s->root, eps = s->eps;

	EBB_IVDEP
	for (int64_t i = from; i < to; i++) {
		real g = grad[i] * gscale + decay * w[i];

		m[i] = beta1 * m[i] + rest1 * g;
		v[i] = beta2 * v[i] + rest2 * (g * g);
		w[i] = keep * w[i] - size * m[i] / (ebb_sqrt(v[i]) * root + eps);
	}
}
PIECE(adam)

EBB_DECLARE(adam);
void EBB_NAME(adam)(int64_t n, void *w, const void *g, void *m, void *v, double gscale, double lr,
	double beta1, double beta2, double eps, double decay, bool decoupled, int64_t step)
{
	/* momentum and lr carry 1 - beta, which a float should not compute */
	adam(&(struct step){.n = n,
		.w = w,
		.g = g,
		.m = m,
		.v = v,
		.gscale = (real)gscale,
		.beta1 = (real)beta1,
		.beta2 = (real)beta2,
		.momentum = (real)(1 - beta1),
		.lr = (real)(1 - beta2),
		.eps = (real)eps,
		.decay = (real)(decoupled ? lr * decay : decay),
		.decoupled = decoupled,
		.size = (real)(lr / (1 - pow(beta1, (double)step))),
		.root = (real)(1 / sqrt(1 - pow(beta2, (double)step)))});
}

static void rmsprop_range(const struct step *s, int64_t from, int64_t to)
{
	real *w = s->w, *buf = s->m, *v = s->v;
	const real *grad = s->g;
	real gscale = s->gscale, decay = s->decay, lr = s->lr, momentum = s->momentum;
	real alpha = s->beta1, rest = s->beta2, eps = s->eps;

	if (buf) {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++) {
			real g = grad[i] * gscale + decay * w[i];

			v[i] = alpha * v[i] + rest * (g * g);
			buf[i] = momentum * buf[i] + g / (ebb_sqrt(v[i]) + eps);
			w[i] -= lr * buf[i];
		}
	} else {
		EBB_IVDEP
		for (int64_t i = from; i < to; i++) {
			real g = grad[i] * gscale + decay * w[i];

			v[i] = alpha * v[i] + rest * (g * g);
			w[i] -= lr * (g / (ebb_sqrt(v[i]) + eps));
		}
	}
}
PIECE(rmsprop)

EBB_DECLARE(rmsprop);
void EBB_NAME(rmsprop)(int64_t n, void *w, const void *g, void *v, void *buf, double gscale,
	double lr, double alpha, double eps, double momentum, double decay)
{
	rmsprop(&(struct step){.n = n,
		.w = w,
		.g = g,
		.v = v,
		.m = buf,
		.gscale = (real)gscale,
		.lr = (real)lr,
		.beta1 = (real)alpha,
		.beta2 = (real)(1 - alpha),
		.eps = (real)eps,
		.momentum = (real)momentum,
		.decay = (real)decay});
}
