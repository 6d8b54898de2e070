/* shifts.c - networks, and comparisons of their outputs for shifted inputs. */
#include "tests/ops/shifts.h"

/* ---- Networks ----------------------------------------------------------------------- */

static int64_t or_one(int number)
{
	return number ? number : 1;
}

int64_t step_extent(const step *s, int axis)
{
	return or_one(s->dilation[axis]) * (or_one(s->kernel[axis]) - 1) + 1;
}

window window_of(const net *m, int axis)
{
	window w = {1, 0, 1};

	for (const step *s = m->steps; s->kind != END; s++) {
		w.extent += (step_extent(s, axis) - 1) * w.stride;
		w.before += s->pad[axis] * w.stride;
		w.stride *= or_one(s->stride[axis]);
	}
	return w;
}

array values_of(const net *m, ebb_shape shape, uint64_t seed)
{
	array a = array_random(shape, seed);

	for (int64_t i = 0; i < a.count; i++)
		a.v[i] = m->any_values ? a.v[i] / 3 * 3.1 : round(8 * a.v[i]) / 8;
	return a;
}

void draw_weights(net *m, uint64_t seed)
{
	int64_t c = m->c;

	for (step *s = m->steps; s->kind != END; s++, seed += 4) {
		int64_t out = s->kind == CONV ? s->out : c;

		if (s->kind == CONV)
			s->w = values_of(m,
				EBB_SHAPE(out, c / or_one(s->groups), or_one(s->kernel[0]),
					or_one(s->kernel[1])),
				seed);
		s->b = values_of(m, EBB_SHAPE(out), seed + 1);
		s->mean = values_of(m, EBB_SHAPE(out), seed + 2);
		s->var = values_of(m, EBB_SHAPE(out), seed + 3);
		for (int64_t i = 0; i < out; i++)
			s->var.v[i] += 2;
		c = out;
	}
}

ebb_tensor *tensor(ebb_tape *t, const array *a)
{
	return ebb_from_f64(t, a->shape, a->v);
}

static ebb_tensor *padded(ebb_tape *t, const step *s, ebb_tensor *x)
{
	int64_t before[2], after[2];

	for (int a = 0; a < 2; a++) {
		before[a] = after[a] = s->pad[a];
		if (s->mode == EBB_PAD_CIRCULAR)
			after[a] = step_extent(s, a) - 1 - before[a];
	}
	return ebb_pad(t, x, EBB_PADS(before[1], after[1], before[0], after[0]), s->mode);
}

static ebb_tensor *apply(ebb_tape *t, const step *s, ebb_tensor *x)
{
	bool own = s->mode == EBB_PAD_CONSTANT;
	ebb_conv2d_args conv = {.t = t, .site = EBB_SITE, .groups = s->groups};
	ebb_pool2d_args pool = {.t = t, .site = EBB_SITE};

	if (s->kind == RELU)
		return ebb_relu(t, x);
	if (s->kind == BATCHNORM)
		return ebb_batchnorm(t, x, tensor(t, &s->b), tensor(t, &s->mean),
			tensor(t, &s->mean), tensor(t, &s->var));
	if (!own)
		x = padded(t, s, x);
	conv.x = pool.x = x;
	for (int a = 0; a < 2; a++) {
		pool.kernel_hw[a] = (int)or_one(s->kernel[a]);
		conv.stride_hw[a] = pool.stride_hw[a] = (int)or_one(s->stride[a]);
		conv.dilation_hw[a] = (int)or_one(s->dilation[a]);
		conv.pad_hw[a] = pool.pad_hw[a] = own ? s->pad[a] : 0;
	}
	if (s->kind != CONV)
		return s->kind == MAX_POOL ? (ebb_maxpool2d)(&pool) : (ebb_avgpool2d)(&pool);
	conv.w = s->variable ? s->variable : tensor(t, &s->w);
	conv.b = tensor(t, &s->b);
	return (ebb_conv2d)(&conv);
}

ebb_tensor *forward(ebb_tape *t, const net *m, ebb_tensor *x)
{
	for (const step *s = m->steps; s->kind != END; s++)
		x = apply(t, s, x);
	return x;
}

array output_of(const net *m, const array *x, ebb_dtype dtype)
{
	ebb_tape *t = ebb_tape_new();
	array y;

	ebb_set_default_dtype(t, dtype);
	ebb_set_training(t, false);
	ebb_set_recording(t, false);
	y = array_of(forward(t, m, tensor(t, x)));
	assert_healthy(t);
	ebb_tape_free(t);
	return y;
}

/* ---- Comparisons -------------------------------------------------------------------- */

array crop(const array *image, int64_t top, int64_t left, int64_t h, int64_t w)
{
	const int64_t *d = image->shape.dims;
	array y = array_new(EBB_SHAPE(d[0], d[1], h, w));

	ck_assert(top >= 0 && left >= 0 && top + h <= d[2] && left + w <= d[3]);
	for (int64_t i = 0; i < y.count; i++)
		y.v[i] = image->v[(i / (h * w) * d[2] + top + i / w % h) * d[3] + left + i % w];
	return y;
}

array rolled(const array *x, int64_t dy, int64_t dx)
{
	int64_t h = x->shape.dims[2], w = x->shape.dims[3];
	array y = array_new(x->shape);

	for (int64_t i = 0; i < y.count; i++) {
		int64_t r = ((i / w % h - dy) % h + h) % h, c = ((i % w - dx) % w + w) % w;

		y.v[i] = x->v[(i / (h * w) * h + r) * w + c];
	}
	return y;
}

/* Whether output i reads only pixels of an image of this size. */
static bool reads_image(const window *w, int64_t i, int64_t size)
{
	return i * w->stride >= w->before && i * w->stride - w->before + w->extent <= size;
}

comparison compare_outputs(const net *m, const array *x, const array *y, int64_t dy, int64_t dx)
{
	window v = window_of(m, 0), h = window_of(m, 1);
	int64_t rows = y->shape.dims[2], columns = y->shape.dims[3];
	comparison r = {0};

	for (int64_t i = 0; i < y->count; i++) {
		int64_t row = i / columns % rows, column = i % columns, k = row - dy,
			l = column - dx;
		bool inside;
		double d;

		if (k < 0 || k >= rows || l < 0 || l >= columns)
			continue;
		inside = reads_image(&v, row, m->h) && reads_image(&v, k, m->h) &&
		         reads_image(&h, column, m->w) && reads_image(&h, l, m->w);
		d = fabs(y->v[i] - x->v[i - dy * columns - dx]);
		*(inside ? &r.inside : &r.outside) += 1;
		r.differs[inside] = fmax(r.differs[inside], d);
		r.most = fmax(r.most, fabs(y->v[i]));
	}
	return r;
}

/* The outputs of two crops that differ by (dy,dx), at positions that differ by its quotient with
 * the strides, rounded down. */
static comparison compare_crops(const net *m, int64_t dy, int64_t dx, ebb_dtype dtype)
{
	int64_t margin = (int64_t)fmax(fabs((double)dy), fabs((double)dx));
	array image = values_of(m, EBB_SHAPE(m->n, m->c, m->h + 2 * margin, m->w + 2 * margin), 99);
	array a = crop(&image, margin, margin, m->h, m->w),
	      b = crop(&image, margin - dy, margin - dx, m->h, m->w);
	array x = output_of(m, &a, dtype), y = output_of(m, &b, dtype);

	return compare_outputs(m, &x, &y, dy / window_of(m, 0).stride, dx / window_of(m, 1).stride);
}

/* Whether convolutions of this type may use the Winograd algorithm, which has no kernels for
 * double precision. */
static bool may_use_tiles(const net *m, ebb_dtype dtype)
{
	const char *named = getenv("EBB_CONV");
	bool fits = false;

	for (const step *s = m->steps; s->kind != END; s++)
		fits |= s->kind == CONV && s->kernel[0] == s->kernel[1] &&
		        (s->kernel[0] == 3 || s->kernel[0] == 5) && or_one(s->stride[0]) == 1 &&
		        or_one(s->stride[1]) == 1 && or_one(s->groups) == 1;
	return fits && dtype == EBB_F32 && (!named || strcmp(named, "winograd") == 0);
}

double rounding_of(const net *m, ebb_dtype dtype, double most)
{
	bool tiles = may_use_tiles(m, dtype);
	double epsilon = dtype == EBB_F32 ? 0x1p-23 : 0x1p-52;
	int convolutions = 0;

	for (const step *s = m->steps; s->kind != END; s++)
		convolutions += s->kind == CONV;
	if (!tiles && !m->any_values)
		return 0;
	return 2 * (tiles ? 120 : 60) * epsilon * (convolutions + 1) * (most + 1);
}

static void expect_equal_inside(
	const net *m, const comparison *r, int64_t dy, int64_t dx, ebb_dtype dtype)
{
	ck_assert_msg(r->inside > 0, "%s: no output inside", m->name);
	ck_assert_msg(r->differs[1] <= rounding_of(m, dtype, r->most),
		"%s, %s, shifted by %d,%d: outputs up to %g differ by %g", m->name,
		ebb_dtype_name(dtype), (int)dy, (int)dx, r->most, r->differs[1]);
}

double check_shifts(const net *m, ebb_dtype dtype)
{
	static const int shifts[][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}, {1, -2}, {-2, 1}};
	window v = window_of(m, 0), h = window_of(m, 1);
	double outside = 0;

	for (size_t i = 0; i < sizeof shifts / sizeof shifts[0]; i++) {
		int64_t dy = shifts[i][0] * v.stride, dx = shifts[i][1] * h.stride;
		comparison r = compare_crops(m, dy, dx, dtype);

		expect_equal_inside(m, &r, dy, dx, dtype);
		outside = fmax(outside, r.differs[0]);
	}
	return outside;
}

const ebb_dtype shift_types[] = {EBB_F64, EBB_F32};
