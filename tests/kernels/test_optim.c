/*
 * test_optim.c - three steps of each optimizer against the published rules, element by element.
 */
#include "kernel_test.h"

enum { N = 50 };

static void copy(double *to, const void *from)
{
	for (int i = 0; i < N; i++)
		to[i] = get(from, i);
}

static void compare(const void *got, const double *want, const char *what)
{
	for (int i = 0; i < N; i++)
		expect_near(get(got, i), want[i], 40, "%s", what);
}

static void sgd(double momentum, bool nesterov)
{
	void *w = random_reals(N), *m = reals(N);
	double rw[N], rm[N];

	copy(rw, w);
	for (int step = 0; step < 3; step++) {
		void *g = random_reals(N);

		for (int i = 0; i < N; i++) {
			double v = get(g, i) * 0.5 + 0.01 * rw[i];

			rm[i] = step == 0 ? v : momentum * rm[i] + v;
			rw[i] -= 0.1 * (nesterov ? v + momentum * rm[i] : rm[i]);
			if (momentum == 0)
				rm[i] = 0;
		}
		K->sgd(N, w, g, momentum == 0 ? NULL : m, 0.5, 0.1, momentum, 0.01, nesterov,
			step == 0);
		compare(w, rw, "sgd");
	}
	release_all();
}

static void adam(bool decoupled)
{
	void *w = random_reals(N), *m = reals(N), *v = reals(N);
	double rw[N], rm[N] = {0}, rv[N] = {0};

	copy(rw, w);
	for (int i = 0; i < N; i++) {
		set(m, i, 0);
		set(v, i, 0);
	}
	for (int step = 1; step <= 3; step++) {
		void *g = random_reals(N);

		for (int i = 0; i < N; i++) {
			double q = get(g, i) * 0.5 + (decoupled ? 0 : 0.01 * rw[i]);

			rw[i] *= decoupled ? 1 - 0.1 * 0.01 : 1;
			rm[i] = 0.9 * rm[i] + 0.1 * q;
			rv[i] = 0.99 * rv[i] + 0.01 * q * q;
			rw[i] -= 0.1 * (rm[i] / (1 - pow(0.9, step))) /
			         (sqrt(rv[i] / (1 - pow(0.99, step))) + 1e-3);
		}
		K->adam(N, w, g, m, v, 0.5, 0.1, 0.9, 0.99, 1e-3, 0.01, decoupled, step);
		compare(w, rw, "adam");
		compare(m, rm, "adam m");
		compare(v, rv, "adam v");
	}
	release_all();
}

static void rmsprop(bool momentum)
{
	void *w = random_reals(N), *v = reals(N), *b = reals(N);
	double rw[N], rv[N] = {0}, rb[N] = {0};

	copy(rw, w);
	for (int i = 0; i < N; i++) {
		set(b, i, 0);
		set(v, i, 0);
	}
	for (int step = 1; step <= 3; step++) {
		void *g = random_reals(N);

		for (int i = 0; i < N; i++) {
			double q = get(g, i) * 0.5 + 0.01 * rw[i];

			rv[i] = 0.9 * rv[i] + 0.1 * q * q;
			rb[i] = (momentum ? 0.8 * rb[i] : 0) + q / (sqrt(rv[i]) + 1e-3);
			rw[i] -= 0.01 * rb[i];
		}
		K->rmsprop(N, w, g, v, momentum ? b : NULL, 0.5, 0.01, 0.9, 1e-3,
			momentum ? 0.8 : 0, 0.01);
		compare(w, rw, "rmsprop");
	}
	release_all();
}

static void steps(void)
{
	sgd(0, false);
	sgd(0.9, false);
	sgd(0.9, true);
	adam(false);
	adam(true);
	rmsprop(false);
	rmsprop(true);
}

START_TEST(rules)
{
	each_table(steps);
}
END_TEST

TCase *tests_optim(void)
{
	TCase *c = tcase_create("optim");

	tcase_add_test(c, rules);
	return c;
}
