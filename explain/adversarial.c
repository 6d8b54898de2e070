/*
 * adversarial.c - adversarial examples by projected gradient descent.
 *
 * The images of an attack are arrays of doubles outside the tape.  Each step records one forward
 * pass, computes the gradient with respect to the images, and rewinds the tape.
 */
#include "explain/adversarial.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "tensor/option.h"

/* Errors inside an op name the line that called the attack: every function below has the attack s
 * as a parameter. */
#undef EBB_SITE
#define EBB_SITE s->a.site

typedef struct attack {
	ebb_attack_args a; /* with its defaults filled in */
	ebb_call call;     /* for checks and errors; nothing is recorded */
	ebb_shape shape;   /* of x */
	ebb_dtype dtype;
	int64_t n, size; /* images, elements of an image */
	double rounding; /* the largest error of an element of x that x's type causes */
	/* z: the iterate; seen: z, or z rounded to whole levels, which the network takes */
	double *x, *z, *seen;
	int64_t *labels, *others; /* others: the class with the highest score, but the label */
	bool *done;
	void *block;
	size_t bytes;
} attack;

static const ebb_op PGD = {.name = "pgd", .optional = EBB_IN(2)};
static const ebb_op FGSM = {.name = "fgsm", .optional = EBB_IN(2)};

/* ---- Arguments ------------------------------------------------------------------------------- */

static bool check_numbers(attack *s)
{
	ebb_attack_args *a = &s->a;
	const char *wrong = NULL;

	if (!a->network)
		wrong = "the network is NULL";
	else if (a->eps == 0)
		wrong = "eps is missing (EBB_ZERO for the number 0)";
	else if (a->norm != EBB_NORM_LINF && a->norm != EBB_NORM_L2)
		wrong = "norm must be EBB_NORM_LINF or EBB_NORM_L2";
	else if (a->steps < 0)
		wrong = "steps must not be negative";
	else if (a->levels < 0)
		wrong = "levels must not be negative";
	else if (a->random_start && a->start)
		wrong = "start and random_start exclude each other";
	a->eps = ebb_option(a->eps, 0);
	a->low = ebb_option(a->low, 0);
	a->high = ebb_option(a->high, 1);
	a->step = ebb_option(a->step, a->steps == 1 ? a->eps : 2.5 * a->eps / a->steps);
	a->confidence = ebb_option(a->confidence, 0);
	if (!wrong && !(isfinite(a->eps) && a->eps >= 0 && isfinite(a->step) && a->step >= 0)) {
		ebb_call_fail(&s->call, EBB_INVALID,
			"eps is %g and step is %g, expected finite numbers that are not negative",
			a->eps, a->step);
		return false;
	}
	if (!wrong && (!(a->low < a->high) || (a->levels && !isfinite(a->high - a->low)))) {
		ebb_call_fail(&s->call, EBB_INVALID,
			"low is %g and high is %g, expected low < high%s", a->low, a->high,
			a->levels ? ", and with levels finite numbers" : "");
		return false;
	}
	if (!wrong && !(a->confidence >= 0 && a->confidence <= 1)) {
		ebb_call_fail(&s->call, EBB_INVALID, "confidence is %g, expected a number in [0,1]",
			a->confidence);
		return false;
	}
	if (wrong)
		ebb_call_fail(&s->call, EBB_INVALID, "%s", wrong);
	return !wrong;
}

static bool check_tensors(attack *s, ebb_tensor *const *in)
{
	const ebb_tensor *x = in[0], *labels = in[1], *start = in[2];
	bool same = !start || ebb_dtype_of(start) == ebb_dtype_of(x);
	char a[240], b[240];

	s->shape = ebb_shape_of(x);
	s->dtype = ebb_dtype_of(x);
	if (s->dtype != EBB_F32 && s->dtype != EBB_F64) {
		ebb_call_fail(&s->call, EBB_BAD_DTYPE, "x must be F32 or F64, got %s",
			ebb_describe(x, a, sizeof a));
		return false;
	}
	if (ebb_ndim(x) < 2 || ebb_count(x) < 1) {
		ebb_call_fail(&s->call, EBB_BAD_SHAPE, "x must be [N,...] with elements, got %s",
			ebb_describe(x, a, sizeof a));
		return false;
	}
	if (ebb_dtype_of(labels) != EBB_I64 || ebb_ndim(labels) != 1 ||
		ebb_count(labels) != ebb_size(x, 0)) {
		ebb_call_fail(&s->call,
			ebb_dtype_of(labels) != EBB_I64 ? EBB_BAD_DTYPE : EBB_BAD_SHAPE,
			"labels must be I64 [%lld] for x %s, got %s", (long long)ebb_size(x, 0),
			ebb_describe(x, a, sizeof a), ebb_describe(labels, b, sizeof b));
		return false;
	}
	for (int i = 0; start && i < EBB_MAX_DIMS; i++)
		same = same && ebb_size(start, i) == ebb_size(x, i);
	if (!same || (start && ebb_ndim(start) != ebb_ndim(x))) {
		ebb_call_fail(&s->call,
			ebb_dtype_of(start) != s->dtype ? EBB_BAD_DTYPE : EBB_BAD_SHAPE,
			"start must have the type and shape of x %s, got %s",
			ebb_describe(x, a, sizeof a), ebb_describe(start, b, sizeof b));
		return false;
	}
	s->n = ebb_size(x, 0);
	s->size = ebb_count(x) / s->n;
	return true;
}

static bool allocate(attack *s)
{
	size_t elements = (size_t)(s->n * s->size) * sizeof(double),
	       images = (size_t)s->n * sizeof(int64_t);
	char *at;

	s->bytes = 3 * elements + 2 * images + (size_t)s->n * sizeof(bool);
	at = s->block = ebb_alloc(s->bytes);
	if (!at) {
		ebb_call_fail(
			&s->call, EBB_NO_MEMORY, "no memory for the images (%zu bytes)", s->bytes);
		return false;
	}
	s->x = (void *)at;
	s->z = (void *)(at + elements);
	s->seen = (void *)(at + 2 * elements);
	s->labels = (void *)(at + 3 * elements);
	s->others = (void *)(at + 3 * elements + images);
	s->done = (void *)(at + 3 * elements + 2 * images);
	memset(s->done, 0, (size_t)s->n * sizeof *s->done);
	return true;
}

/* x's elements in row-major order, in memory of the tape; NULL on failure. */
static const double *doubles_of(attack *s, ebb_tensor *x)
{
	ebb_tape *t = s->a.t;

	return ebb_data(ebb_dense(t, ebb_cast(t, x, EBB_F64), EBB_ROWS));
}

static bool check_elements(attack *s, const char *name, const double *v, double low, double high)
{
	for (int64_t i = 0; i < s->n * s->size; i++) {
		if (v[i] >= low && v[i] <= high && isfinite(v[i]))
			continue;
		ebb_call_fail(&s->call, isfinite(v[i]) ? EBB_INVALID : EBB_NOT_FINITE,
			"element %lld of image %lld of %s is %g, expected finite numbers%s",
			(long long)(i % s->size), (long long)(i / s->size), name, v[i],
			isfinite(v[i]) ? " in [low,high]" : "");
		return false;
	}
	return true;
}

static bool check_labels(attack *s, int64_t classes)
{
	for (int64_t i = 0; i < s->n; i++) {
		if (s->labels[i] >= 0 && s->labels[i] < classes)
			continue;
		ebb_call_fail(&s->call, EBB_INVALID,
			"label %lld of image %lld is out of range for %lld classes",
			(long long)s->labels[i], (long long)i, (long long)classes);
		return false;
	}
	return true;
}

/* ---- The ball around x ----------------------------------------------------------------------- */

static double distance_of(const attack *s, int64_t i, const double *v)
{
	const double *x = s->x + i * s->size;
	double largest = 0, squares = 0;

	v += i * s->size;
	for (int64_t j = 0; j < s->size; j++) {
		double change = fabs(v[j] - x[j]);

		largest = fmax(largest, change);
		squares += change * change;
	}
	return s->a.norm == EBB_NORM_L2 ? sqrt(squares) : largest;
}

static void project(attack *s, int64_t i)
{
	const double *x = s->x + i * s->size;
	double *z = s->z + i * s->size, eps = s->a.eps, scale = 1;

	if (s->a.norm == EBB_NORM_L2) {
		double distance = distance_of(s, i, s->z);

		scale = distance > eps ? eps / distance : 1;
	}
	for (int64_t j = 0; j < s->size; j++) {
		double change = z[j] - x[j];

		if (s->a.norm == EBB_NORM_L2)
			change *= scale;
		else
			change = fmin(fmax(change, -eps), eps);
		z[j] = fmin(fmax(x[j] + change, s->a.low), s->a.high);
	}
}

static double level(const attack *s, double v)
{
	return (v - s->a.low) * s->a.levels / (s->a.high - s->a.low);
}

static double value_of_level(const attack *s, double k)
{
	k = fmin(fmax(k, 0), s->a.levels);
	return fmin(s->a.low + k * (s->a.high - s->a.low) / s->a.levels, s->a.high);
}

/* Rounds x + share*(z - x) to the nearest levels; returns the distance of the result from x. */
static double round_share(attack *s, int64_t i, double share)
{
	const double *x = s->x + i * s->size, *z = s->z + i * s->size;
	double *seen = s->seen + i * s->size;

	for (int64_t j = 0; j < s->size; j++)
		seen[j] = value_of_level(s, floor(level(s, x[j] + share * (z[j] - x[j])) + 0.5));
	return distance_of(s, i, s->seen);
}

/* Rounding to the nearest levels may leave the ball.  The largest share of the change whose rounded
 * image lies in the ball is then found by bisection. */
static bool round_l2(attack *s, int64_t i)
{
	enum { HALVINGS = 30 };
	double radius = s->a.eps * (1 + 1e-9) + s->rounding * sqrt((double)s->size), low = 0,
	       high = 1;

	if (round_share(s, i, 1) <= radius)
		return true;
	for (int k = 0; k < HALVINGS; k++) {
		double middle = (low + high) / 2;

		*(round_share(s, i, middle) <= radius ? &low : &high) = middle;
	}
	return round_share(s, i, low) <= radius;
}

static bool round_linf(attack *s, int64_t i)
{
	const double *x = s->x + i * s->size, *z = s->z + i * s->size;
	double *seen = s->seen + i * s->size;
	double slack = s->rounding * s->a.levels / (s->a.high - s->a.low);

	for (int64_t j = 0; j < s->size; j++) {
		double least = ceil(level(s, x[j] - s->a.eps) - slack),
		       most = floor(level(s, x[j] + s->a.eps) + slack);

		if (least > most)
			return false;
		seen[j] = value_of_level(s, fmin(fmax(floor(level(s, z[j]) + 0.5), least), most));
	}
	return true;
}

/* Computes the images that the network takes. */
static bool quantise(attack *s)
{
	for (int64_t i = 0; i < s->n; i++) {
		if (s->done[i])
			continue;
		if (!s->a.levels) {
			memcpy(s->seen + i * s->size, s->z + i * s->size,
				(size_t)s->size * sizeof *s->seen);
		} else if (!(s->a.norm == EBB_NORM_L2 ? round_l2(s, i) : round_linf(s, i))) {
			ebb_call_fail(&s->call, EBB_INVALID,
				"no image of %d levels lies within eps = %g of image %lld",
				s->a.levels + 1, s->a.eps, (long long)i);
			return false;
		}
	}
	return true;
}

/* ---- Starts ---------------------------------------------------------------------------------- */

/* Draws the iterate uniformly from the ball.  A normal vector has a uniform direction, and the
 * radius of a uniform point of a ball in D dimensions is eps*u^(1/D). */
static bool draw(attack *s)
{
	ebb_tape *t = s->a.t;
	bool ball = s->a.norm == EBB_NORM_L2;
	const double *v, *u;

	ebb_set_default_dtype(t, EBB_F64);
	v = ebb_data(ball ? ebb_randn(t, s->shape) : ebb_rand(t, s->shape));
	u = ebb_data(ball ? ebb_rand(t, EBB_SHAPE(s->n)) : NULL);
	ebb_set_default_dtype(t, s->dtype);
	if (ebb_failed(t))
		return false;
	for (int64_t i = 0; i < s->n; i++) {
		double squares = 0;

		for (int64_t j = i * s->size; j < (i + 1) * s->size; j++)
			squares += v[j] * v[j];
		for (int64_t j = i * s->size; j < (i + 1) * s->size; j++)
			s->z[j] += s->a.eps * (!ball ? 2 * v[j] - 1
						      : squares > 0
							      ? pow(u[i], 1.0 / (double)s->size) *
									v[j] / sqrt(squares)
							      : 0);
	}
	return true;
}

/* Reads the arguments into the arrays. */
static bool start(attack *s, ebb_tensor *const *in)
{
	size_t bytes = (size_t)(s->n * s->size) * sizeof *s->x;
	const double *x = doubles_of(s, in[0]), *z = in[2] ? doubles_of(s, in[2]) : x;
	double largest = 0;

	if (!x || !z || !ebb_copy_out(in[1], s->labels, (size_t)s->n * sizeof *s->labels))
		return false;
	memcpy(s->x, x, bytes);
	memcpy(s->z, z, bytes);
	for (int64_t i = 0; i < s->n * s->size; i++)
		largest = fmax(largest, fabs(x[i]));
	s->rounding = 4 * (s->dtype == EBB_F32 ? (double)FLT_EPSILON : DBL_EPSILON) * largest;
	/* x may lie outside by the rounding of low and high to its type; project clamps it. */
	if (!check_elements(s, "x", s->x, s->a.low - s->rounding, s->a.high + s->rounding) ||
		!check_elements(s, "start", s->z, -INFINITY, INFINITY) ||
		!check_labels(s, INT64_MAX) || (s->a.random_start && !draw(s)))
		return false;
	for (int64_t i = 0; i < s->n; i++)
		project(s, i);
	return true;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

/* The scores as doubles in memory of the tape, NULL on failure; *y: the scores. */
static const double *forward(attack *s, ebb_tensor *x, ebb_tensor **y)
{
	ebb_tape *t = s->a.t;
	const double *scores;
	int64_t classes;
	char text[240];

	*y = ebb_failed(t) ? NULL : s->a.network(t, x, s->a.ctx);
	if (ebb_failed(t))
		return NULL;
	if (!*y) {
		ebb_call_fail(&s->call, EBB_INVALID, "the network returned NULL");
		return NULL;
	}
	classes = ebb_size(*y, 1);
	if (ebb_ndim(*y) != 2 || ebb_size(*y, 0) != s->n || classes < 2 ||
		ebb_dtype_of(*y) != s->dtype) {
		ebb_call_fail(&s->call, EBB_BAD_SHAPE,
			"the network's scores must be %s [%lld,classes] with 2 classes or more, "
			"got %s",
			ebb_dtype_name(s->dtype), (long long)s->n,
			ebb_describe(*y, text, sizeof text));
		return NULL;
	}
	if (!check_labels(s, classes))
		return NULL;
	scores = doubles_of(s, *y);
	for (int64_t i = 0; scores && i < s->n * classes; i++)
		if (!isfinite(scores[i])) {
			ebb_call_fail(&s->call, EBB_NOT_FINITE,
				"the network's score [%lld,%lld] is %g, expected finite scores",
				(long long)(i / classes), (long long)(i % classes), scores[i]);
			return NULL;
		}
	return scores;
}

/* Reads the scores of all images: which attacks have succeeded, and into result (or NULL) what is
 * to be reported.  False if every image is done. */
static bool judge(attack *s, const double *scores, int64_t classes, ebb_attack_result *result)
{
	bool open = false;

	for (int64_t i = 0; i < s->n; i++, scores += classes) {
		int64_t label = s->labels[i], best = 0, other = label == 0;
		double sum = 0, probability;
		bool fooled;

		for (int64_t c = 1; c < classes; c++) {
			best = scores[c] > scores[best] ? c : best;
			other = c != label && scores[c] > scores[other] ? c : other;
		}
		for (int64_t c = 0; c < classes; c++)
			sum += exp(scores[c] - scores[best]);
		probability = exp(scores[label] - scores[best]) / sum;
		fooled = (best == label) == s->a.targeted;
		s->others[i] = other;
		if (s->a.confidence > 0 && fooled)
			s->done[i] =
				s->done[i] || (s->a.targeted ? probability >= s->a.confidence
							     : probability <= 1 - s->a.confidence);
		open = open || !s->done[i];
		if (result && result->fooled)
			result->fooled[i] = fooled;
		if (result && result->predicted)
			result->predicted[i] = best;
		if (result && result->probability)
			result->probability[i] = probability;
		if (result && result->distance)
			result->distance[i] = distance_of(s, i, s->seen);
	}
	return open;
}

/* The sum of the losses, so that the gradient of each image is that of its own loss. */
static ebb_tensor *sum_of_losses(attack *s, ebb_tensor *y)
{
	ebb_tape *t = s->a.t;
	ebb_tensor *labels, *others;

	if (!s->a.margin)
		return ebb_cross_entropy(t, y, ebb_from_i64(t, EBB_SHAPE(s->n), s->labels),
			.reduction = EBB_SUM_ALL);
	labels = ebb_from_i64(t, EBB_SHAPE(s->n, 1), s->labels);
	others = ebb_from_i64(t, EBB_SHAPE(s->n, 1), s->others);
	return ebb_sum(t, ebb_sub(t, ebb_gather(t, y, 1, others), ebb_gather(t, y, 1, labels)));
}

/* Adds the step of image i to its iterate; g: the gradient of all images. */
static bool advance(attack *s, int64_t i, const double *g)
{
	double *z = s->z + i * s->size, step = s->a.targeted ? -s->a.step : s->a.step;
	double largest = 0, squares = 0;

	g += i * s->size;
	for (int64_t j = 0; j < s->size; j++) {
		if (!isfinite(g[j])) {
			ebb_call_fail(&s->call, EBB_NOT_FINITE,
				"the gradient of element %lld of image %lld is %g", (long long)j,
				(long long)i, g[j]);
			return false;
		}
		largest = fmax(largest, fabs(g[j]));
	}
	/* Dividing by the largest element first avoids underflow and overflow of the squares. */
	for (int64_t j = 0; largest > 0 && j < s->size; j++)
		squares += g[j] / largest * (g[j] / largest);
	for (int64_t j = 0; largest > 0 && j < s->size; j++)
		z[j] += step * (s->a.norm == EBB_NORM_L2 ? g[j] / largest / sqrt(squares)
							 : (g[j] > 0) - (g[j] < 0));
	project(s, i);
	return true;
}

/* Computes one step.  *open becomes false if every image is done, and no step was necessary. */
static bool step(attack *s, bool *open)
{
	ebb_tape *t = s->a.t;
	ebb_tensor *x, *y, *gx;
	const double *scores, *g;

	if (!quantise(s))
		return false;
	ebb_set_recording(t, true);
	x = ebb_variable(t, ebb_from_f64(t, s->shape, s->seen));
	scores = forward(s, x, &y);
	*open = scores && judge(s, scores, ebb_size(y, 1), NULL);
	if (!*open)
		return scores != NULL;
	if (!ebb_grad(t, sum_of_losses(s, y), 1, &x, &gx))
		return false;
	ebb_set_recording(t, false);
	g = doubles_of(s, gx);
	for (int64_t i = 0; g && i < s->n; i++)
		if (!s->done[i] && !advance(s, i, g))
			return false;
	return g != NULL;
}

/* Fills the result with what the network says of the images at the end. */
static bool report(attack *s, int steps)
{
	ebb_tape *t = s->a.t;
	ebb_tensor *y;
	const double *scores;

	if (!s->a.result)
		return true;
	s->a.result->steps = steps;
	scores = forward(s, ebb_from_f64(t, s->shape, s->seen), &y);
	if (scores)
		judge(s, scores, ebb_size(y, 1), s->a.result);
	return scores != NULL;
}

static bool run(attack *s, ebb_mark mark)
{
	bool open = true;
	int steps = 0;

	for (; open && steps < s->a.steps; steps += open) {
		ebb_rewind(s->a.t, mark);
		if (!step(s, &open))
			return false;
	}
	ebb_set_recording(s->a.t, false);
	ebb_rewind(s->a.t, mark);
	return quantise(s) && report(s, steps);
}

static ebb_tensor *attacked(const ebb_attack_args *a, const ebb_op *op, int steps)
{
	attack attack_ = {.a = *a}, *s = &attack_;
	ebb_tensor *in[] = {a->x, a->labels, a->start}, *y = NULL;
	ebb_dtype dtype = ebb_default_dtype(a->t);
	bool recording, training, ok;
	ebb_mark mark;

	if (ebb_failed(a->t))
		return NULL;
	recording = ebb_set_recording(a->t, false);
	training = ebb_set_training(a->t, false);
	mark = ebb_tape_mark(a->t);
	s->a.steps = (int)ebb_option_count(a->steps, steps);
	s->call = ebb_begin(a->t, op, a->site, 3, in);
	ok = s->call.t && check_numbers(s) && check_tensors(s, in) && allocate(s);
	if (ok) {
		ebb_set_default_dtype(a->t, s->dtype);
		ok = start(s, in) && run(s, mark);
	}
	ebb_rewind(a->t, mark);
	if (ok)
		y = ebb_from_f64(a->t, s->shape, s->seen);
	ebb_set_default_dtype(a->t, dtype);
	ebb_set_training(a->t, training);
	ebb_set_recording(a->t, recording);
	ebb_free(s->block, s->bytes);
	return y;
}

ebb_tensor *(ebb_pgd)(const ebb_attack_args *a)
{
	return attacked(a, &PGD, 40);
}

ebb_tensor *(ebb_fgsm)(const ebb_attack_args *a)
{
	return attacked(a, &FGSM, 1);
}
