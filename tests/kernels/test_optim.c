/*
 * test_optim.c - three steps of each optimizer against the published formulas, element by element,
 * over several parameters at once.
 */
#include "kernel_test.h"

enum { PARAMETERS = 7 };

/* The parameters, and in double the values that the formulas yield. */
static ebb_kernel_step part[PARAMETERS];
static double *w[PARAMETERS], *m[PARAMETERS], *v[PARAMETERS];
static const double gscale = 0.5;

static void *zeros(int64_t n)
{
	return bytes((size_t)n * K->real_size);
}

/* Makes parameters: some empty, most small, some larger than a task. */
static void make(bool has_m, bool has_v)
{
	int64_t before = 0;

	for (int k = 0; k < PARAMETERS; k++) {
		int64_t n = any(0, 3) ? any(0, 300) : any(0, 40000);

		part[k] = (ebb_kernel_step){.n = n,
			.before = before,
			.w = random_reals(n),
			.m = has_m ? zeros(n) : NULL,
			.v = has_v ? zeros(n) : NULL,
			.lr = 0.01 * (k + 1),
			.decay = 0.01 * k};
		before += n;
		w[k] = bytes((size_t)n * sizeof **w);
		m[k] = bytes((size_t)n * sizeof **m);
		v[k] = bytes((size_t)n * sizeof **v);
		for (int64_t i = 0; i < n; i++)
			w[k][i] = get(part[k].w, i);
	}
}

/* Sets the next gradients.  Parameters have taken different numbers of steps. */
static void next_step(int step)
{
	for (int k = 0; k < PARAMETERS; k++) {
		part[k].g = random_reals(part[k].n);
		part[k].step = step + k % 2;
	}
}

static void compare(const char *what)
{
	for (int k = 0; k < PARAMETERS; k++) {
		for (int64_t i = 0; i < part[k].n; i++) {
			expect_near(get(part[k].w, i), w[k][i], 40, "%s", what);
			if (part[k].m)
				expect_near(get(part[k].m, i), m[k][i], 400, "%s m", what);
			if (part[k].v)
				expect_near(get(part[k].v, i), v[k][i], 40, "%s v", what);
		}
	}
}

static void sgd(double momentum, bool nesterov)
{
	make(momentum != 0, false);
	for (int step = 1; step <= 3; step++) {
		next_step(step);
		for (int k = 0; k < PARAMETERS; k++) {
			for (int64_t i = 0; i < part[k].n; i++) {
				double g = get(part[k].g, i) * gscale + part[k].decay * w[k][i];

				m[k][i] = part[k].step == 1 ? g : momentum * m[k][i] + g;
				w[k][i] -=
					part[k].lr * (nesterov ? g + momentum * m[k][i] : m[k][i]);
			}
		}
		K->sgd(PARAMETERS, part, gscale, momentum, nesterov);
		compare("sgd");
	}
	release_all();
}

static void adam(bool decoupled)
{
	make(true, true);
	for (int step = 1; step <= 3; step++) {
		next_step(step);
		for (int k = 0; k < PARAMETERS; k++) {
			const ebb_kernel_step *p = &part[k];
			double c1 = 1 - pow(0.9, (double)p->step);
			double c2 = 1 - pow(0.99, (double)p->step);

			for (int64_t i = 0; i < p->n; i++) {
				double g = get(p->g, i) * gscale +
				           (decoupled ? 0 : p->decay * w[k][i]);

				w[k][i] *= decoupled ? 1 - p->lr * p->decay : 1;
				m[k][i] = 0.9 * m[k][i] + 0.1 * g;
				v[k][i] = 0.99 * v[k][i] + 0.01 * g * g;
				w[k][i] -= p->lr * (m[k][i] / c1) / (sqrt(v[k][i] / c2) + 1e-3);
			}
		}
		K->adam(PARAMETERS, part, gscale, 0.9, 0.99, 1e-3, decoupled);
		compare("adam");
	}
	release_all();
}

static void rmsprop(double momentum)
{
	make(momentum != 0, true);
	for (int step = 1; step <= 3; step++) {
		next_step(step);
		for (int k = 0; k < PARAMETERS; k++) {
			for (int64_t i = 0; i < part[k].n; i++) {
				double g = get(part[k].g, i) * gscale + part[k].decay * w[k][i];

				v[k][i] = 0.9 * v[k][i] + 0.1 * g * g;
				m[k][i] = momentum * m[k][i] + g / (sqrt(v[k][i]) + 1e-1);
				w[k][i] -= part[k].lr * m[k][i];
			}
		}
		K->rmsprop(PARAMETERS, part, gscale, 0.9, 1e-1, momentum);
		compare("rmsprop");
	}
	release_all();
}

static void adagrad(double lr_decay)
{
	make(false, true);
	for (int step = 1; step <= 3; step++) {
		next_step(step);
		for (int k = 0; k < PARAMETERS; k++) {
			double lr = part[k].lr / (1 + (double)(part[k].step - 1) * lr_decay);

			for (int64_t i = 0; i < part[k].n; i++) {
				double g = get(part[k].g, i) * gscale + part[k].decay * w[k][i];

				v[k][i] += g * g;
				w[k][i] -= lr * (g / (sqrt(v[k][i]) + 1e-1));
			}
		}
		K->adagrad(PARAMETERS, part, gscale, lr_decay, 1e-1);
		compare("adagrad");
	}
	release_all();
}

/* ---- Deferred outer products ---- */

enum { OUTER = 4, TERMS = 5 };

static void run_step(int kind, ebb_kernel_step *list)
{
	if (kind < 3)
		K->sgd(OUTER, list, gscale, kind ? 0.9 : 0, kind == 2);
	else if (kind < 5)
		K->adam(OUTER, list, gscale, 0.9, 0.99, 1e-3, kind == 4);
	else if (kind < 7)
		K->rmsprop(OUTER, list, gscale, 0.9, 1e-1, kind == 6 ? 0.8 : 0);
	else
		K->adagrad(OUTER, list, gscale, 0.5, 1e-1);
}

static void expect_same(const void *a, const void *b, int64_t n, int kind)
{
	for (int64_t i = 0; a && i < n; i++)
		expect_near(get(a, i), get(b, i), 40, "deferred outer product, kind %d", kind);
}

/* Every second parameter has a deferred outer product as gradient; compares with steps by whole
 * gradients. */
static void deferred_kind(int kind)
{
	ebb_kernel_step whole[OUTER], mixed[OUTER];
	bool has_m = kind != 0 && kind != 5 && kind != 7, has_v = kind >= 3;
	int64_t before = 0, before_whole = 0;

	for (int k = 0; k < OUTER; k++) {
		int64_t columns = any(1, 600), n = columns * any(1, 90);
		size_t size = (size_t)n * K->real_size;

		whole[k] = (ebb_kernel_step){.n = n,
			.before = before_whole,
			.w = random_reals(n),
			.m = has_m ? zeros(n) : NULL,
			.v = has_v ? zeros(n) : NULL,
			.terms = TERMS,
			.columns = columns,
			.lr = 0.01 * (k + 1),
			.decay = 0.01 * k};
		mixed[k] = whole[k];
		mixed[k].before = before;
		mixed[k].w = memcpy(bytes(size), whole[k].w, size);
		mixed[k].m = has_m ? zeros(n) : NULL;
		mixed[k].v = has_v ? zeros(n) : NULL;
		before_whole += n;
		before += k % 2 ? n : 0;
	}
	for (int step = 1; step <= 3; step++) {
		for (int k = 0; k < OUTER; k++) {
			int64_t columns = whole[k].columns, rows = whole[k].n / columns;
			void *gy = random_reals(TERMS * rows), *x = random_reals(TERMS * columns);
			void *g = reals(whole[k].n);

			K->outer_sum(TERMS, rows, columns, gy, x, g);
			whole[k].g = mixed[k].g = g;
			whole[k].step = mixed[k].step = step;
			if (k % 2 == 0) {
				mixed[k].g = NULL;
				mixed[k].gy = gy;
				mixed[k].x = x;
			}
		}
		run_step(kind, whole);
		run_step(kind, mixed);
		for (int k = 0; k < OUTER; k++) {
			expect_same(whole[k].w, mixed[k].w, whole[k].n, kind);
			expect_same(whole[k].m, mixed[k].m, whole[k].n, kind);
			expect_same(whole[k].v, mixed[k].v, whole[k].n, kind);
		}
	}
	release_all();
}

static void outer_products(void)
{
	for (int kind = 0; kind < 8; kind++)
		deferred_kind(kind);
}

START_TEST(steps_by_deferred_outer_products_equal_steps_by_whole_gradients)
{
	each_table(outer_products);
}
END_TEST

static void steps(void)
{
	for (int i = 0; i < CASES(20); i++) {
		sgd(0, false);
		sgd(0.9, false);
		sgd(0.9, true);
		adam(false);
		adam(true);
		rmsprop(0);
		rmsprop(0.8);
		adagrad(0);
		adagrad(0.5);
	}
	K->sgd(0, NULL, 1, 0, false);
}

START_TEST(steps_equal_the_published_formulas)
{
	each_table(steps);
}
END_TEST

TCase *tests_optim(void)
{
	TCase *c = tcase_create("optim");

	tcase_add_test(c, steps_equal_the_published_formulas);
	tcase_add_test(c, steps_by_deferred_outer_products_equal_steps_by_whole_gradients);
	return c;
}
