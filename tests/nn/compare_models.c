/*
 * compare_models.c - compares a network of the catalogue with what compare_models.py wrote of the same
 * network: names and shapes, weights in both formats, logits, gradients and running statistics.
 *
 *	nn-compare-models --list            a line per card: name, parameters, classes, channels, side
 *	nn-compare-models NAME DIRECTORY    exits with 1 if something differs, and with 3 if only
 *	                                    gradients in single precision do (compare_models.py)
 */
#include <ebb.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Largest difference, relative to the largest absolute value expected. */
static const double DOUBLE_LIMIT = 1e-9, SINGLE_LIMIT = 1e-4;
/* For logits, loss and statistics in training mode, in which batch norms of few values multiply
 * rounding errors. */
static const double SINGLE_TRAINING_LIMIT = 1e-3;

typedef struct comparison {
	const char *name;
	ebb_archive *expected;
	double limit, largest; /* of the pass that is compared */
	double least_range;    /* smaller ranges count as this one */
	char where[200];       /* of the largest difference */
	int failures;
	bool single_gradients; /* only those are compared */
	int single_failures;
} comparison;

static int list(void)
{
	for (int i = 0; i < ebb_model_cards(); i++) {
		const ebb_model_card *c = ebb_model_card_at(i);

		printf("%s %lld %lld %lld %lld\n", c->name, (long long)c->parameters,
			(long long)c->classes, (long long)c->channels, (long long)c->side);
	}
	return 0;
}

static void fail(comparison *c, const char *what, const char *name)
{
	if (c->single_gradients)
		c->single_failures++;
	else
		c->failures++;
	if (c->failures + c->single_failures <= 5)
		printf("%s: %s: %s\n", c->name, what, name);
}

/* Compares x with the expected tensor PASS.KEY. */
static void compare(comparison *c, const char *pass, const char *key, const ebb_tensor *x)
{
	char name[200];
	ebb_error e = {0};
	ebb_tensor *want;
	const double *w;
	double range = 0, most = 0;

	snprintf(name, sizeof name, "%s.%s", pass, key);
	want = ebb_archive_tensor(c->expected, name, EBB_F64, &e);
	if (!want || (x && ebb_count(x) != ebb_count(want))) {
		fail(c, "another size than expected", name);
		ebb_tensor_free(want);
		return;
	}
	w = ebb_data(want);
	for (int64_t i = 0; i < ebb_count(want); i++) {
		/* No gradient is a gradient of 0. */
		double v = x ? ebb_at(x, i) : 0, d = fabs(v - w[i]);

		range = fmax(range, fabs(w[i]));
		/* NaN is larger than all numbers. */
		if (!isnan(most) && !(d <= most))
			most = d;
	}
	ebb_tensor_free(want);
	range = fmax(range, c->least_range);
	most = range > 0 ? most / range : most;
	if (!isnan(c->largest) && !(most <= c->largest)) {
		c->largest = most;
		snprintf(c->where, sizeof c->where, "%s", name);
	}
	if (!(most <= c->limit))
		fail(c, "differs", name);
}

static void compare_gradients(comparison *c, const char *pass, const ebb_params *p, ebb_tensor *x)
{
	compare(c, pass, "x", ebb_grad_of(x));
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		compare(c, pass, ebb_params_name_at(p, i), ebb_grad_of(ebb_params_at(p, i)));
}

static ebb_tensor *expected_tensor(comparison *c, const char *name, ebb_dtype dtype)
{
	ebb_error e = {0};
	ebb_tensor *x = ebb_archive_tensor(c->expected, name, dtype, &e);

	if (!x)
		fail(c, e.message, name);
	return x;
}

/* The bias before a batch norm has the gradient 0 in training mode, because the batch norm subtracts
 * the mean of all that depends on it.  Rounding errors are then all that is left: ranges of
 * gradients count as at least 1e-4 of the largest one. */
static double least_range(comparison *c, const ebb_params *p)
{
	double largest = 0;

	for (int64_t i = 0; i < ebb_params_count(p); i++) {
		char name[200];
		ebb_error e = {0};
		ebb_tensor *want;

		snprintf(name, sizeof name, "training.%s", ebb_params_name_at(p, i));
		want = ebb_archive_tensor(c->expected, name, EBB_F64, &e);
		if (!want)
			fail(c, e.message, name);
		for (int64_t k = 0; k < ebb_count(want); k++)
			largest = fmax(largest, fabs(ebb_at(want, k)));
		ebb_tensor_free(want);
	}
	return 1e-4 * largest;
}

/* The pass in evaluation mode, or in training mode, in the store's precision.  Batch norms of few
 * values multiply rounding errors: in training mode, gradients are compared in F64 only. */
static void run(comparison *c, const ebb_model *net, bool training)
{
	const char *pass = training ? "training" : "evaluation";
	ebb_dtype dtype = ebb_params_dtype(net->p);
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *in = expected_tensor(c, training ? "training.in" : "evaluation.in", dtype);
	ebb_tensor *cotangent = expected_tensor(c, "c", dtype);
	ebb_tensor *labels = expected_tensor(c, "labels", EBB_I64), *x, *y = NULL, *loss;
	const ebb_error *e;

	ebb_set_training(t, training);
	ebb_params_zero_grad(net->p);
	x = ebb_variable(t, in);
	if (training) {
		loss = ebb_model_loss(t, net, x, labels, .logits = &y);
		compare(c, pass, "loss", loss);
	} else {
		y = ebb_model_forward(t, net, x);
		loss = ebb_sum(t, ebb_mul(t, y, cotangent));
	}
	compare(c, pass, "logits", y);
	if (!training || dtype == EBB_F64) {
		ebb_backward(t, loss);
		c->single_gradients = dtype == EBB_F32;
		c->least_range = training ? least_range(c, net->p) : 0;
		compare_gradients(c, pass, net->p, x);
		c->least_range = 0;
		c->single_gradients = false;
	}
	for (int64_t i = 0; training && i < ebb_buffers_count(net->p); i++)
		compare(c, pass, ebb_buffers_name_at(net->p, i), ebb_buffers_at(net->p, i));
	e = ebb_first_error(t, net->p);
	if (e)
		fail(c, "failed", e->message);
	ebb_tape_free(t);
	ebb_tensor_free(in);
	ebb_tensor_free(cotangent);
	ebb_tensor_free(labels);
}

static void check_name(
	comparison *c, FILE *f, const char *kind, const char *name, const ebb_tensor *x)
{
	char line[300], own[300], shape[100] = "";

	for (int k = 0; k < ebb_ndim(x); k++)
		snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%lld",
			k ? "," : "", (long long)ebb_size(x, k));
	snprintf(own, sizeof own, "%s %s [%s]\n", kind, name, shape);
	if (!fgets(line, sizeof line, f) || strcmp(line, own) != 0)
		fail(c, "another name, shape or place", own);
}

static void check_names(comparison *c, const ebb_params *p, const char *directory)
{
	char path[400], line[300];
	FILE *f;

	snprintf(path, sizeof path, "%s/names.txt", directory);
	f = fopen(path, "r");
	if (!f) {
		fail(c, "cannot be read", path);
		return;
	}
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		check_name(c, f, "parameter", ebb_params_name_at(p, i), ebb_params_at(p, i));
	for (int64_t i = 0; i < ebb_buffers_count(p); i++)
		check_name(c, f, "buffer", ebb_buffers_name_at(p, i), ebb_buffers_at(p, i));
	if (fgets(line, sizeof line, f))
		fail(c, "is missing", line);
	fclose(f);
}

/* A network with the weights of a file, in the store *p. */
static ebb_model load(
	comparison *c, const char *directory, const char *file, ebb_dtype dtype, ebb_params **p)
{
	char path[400];
	ebb_model net;

	*p = ebb_params_new(1);
	ebb_params_set_dtype(*p, dtype);
	net = ebb_model_new(*p, c->name, .dropout = EBB_ZERO, .drop_path = EBB_ZERO);
	snprintf(path, sizeof path, "%s/%s", directory, file);
	if (!ebb_model_load(&net, path))
		fail(c, "cannot be loaded", ebb_params_error(*p)->message);
	return net;
}

static void check_same(
	comparison *c, const char *file, const char *name, const ebb_tensor *a, const ebb_tensor *b)
{
	for (int64_t k = 0; k < ebb_count(a); k++)
		if (!b || ebb_at(a, k) != ebb_at(b, k)) {
			fail(c, file, name);
			return;
		}
}

/* Loads the file into another store of that type, and compares the stores. */
static void check_file(comparison *c, const ebb_params *p, const char *directory, const char *file,
	ebb_dtype dtype)
{
	ebb_params *other;

	load(c, directory, file, dtype, &other);
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		check_same(c, file, ebb_params_name_at(p, i), ebb_params_at(p, i),
			ebb_params_at(other, i));
	for (int64_t i = 0; i < ebb_buffers_count(p); i++)
		check_same(c, file, ebb_buffers_name_at(p, i), ebb_buffers_at(p, i),
			ebb_buffers_at(other, i));
	ebb_params_free(other);
}

/* In evaluation and training mode, in F64 and F32. */
enum { PASSES = 4 };

int main(int argc, char **argv)
{
	comparison c = {.name = argc > 1 ? argv[1] : ""};
	double largest[PASSES];
	char where[PASSES][200], path[400];
	ebb_error e = {0};
	ebb_params *p;
	ebb_model net;

	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return list();
	if (argc != 3)
		return 2;
	snprintf(path, sizeof path, "%s/expected.safetensors", argv[2]);
	c.expected = ebb_archive_read(path, .error = &e);
	if (!c.expected)
		return fprintf(stderr, "%s\n", e.message), 1;
	for (int k = 0; k < PASSES; k++) {
		bool single = k >= 2, training = k % 2 == 1;

		if (!training) {
			net = load(&c, argv[2], single ? "weights.pth" : "weights.safetensors",
				single ? EBB_F32 : EBB_F64, &p);
			check_file(&c, p, argv[2], single ? "weights.safetensors" : "weights.pth",
				single ? EBB_F32 : EBB_F64);
		}
		if (k == 0)
			check_names(&c, p, argv[2]);
		c.limit = !single ? DOUBLE_LIMIT : training ? SINGLE_TRAINING_LIMIT : SINGLE_LIMIT;
		c.largest = 0;
		run(&c, &net, training);
		largest[k] = c.largest;
		strcpy(where[k], c.where);
		if (training)
			ebb_params_free(p);
	}
	printf("%-18s", c.name);
	for (int k = 0; k < PASSES; k++)
		printf("%s %.1e (%s)%s",
			k == 0   ? " F64"
			: k == 2 ? " F32"
				 : "",
			largest[k], where[k], k < PASSES - 1 ? "," : "");
	puts(c.failures + c.single_failures ? "  FAILED" : "");
	ebb_archive_free(c.expected);
	return c.failures ? 1 : c.single_failures ? 3 : 0;
}
