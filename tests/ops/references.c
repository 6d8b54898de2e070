/* references.c - naive loops for convolution and its gradients. */
#include "tests/ops/ops_test.h"

/* Iterates over every product that a convolution sums, with the positions of y, x and w. */
typedef struct conv_loops {
	const conv_case *c;
	ebb_shape x, w, y;
	int64_t yi, xi, wi;
	/* the current loop indices */
	int64_t n, o, i, j, k, u, v;
	bool started;
} conv_loops;

static ebb_shape conv_shape(const ebb_shape *x, const ebb_shape *w, const conv_case *c)
{
	ebb_shape s = {4, {x->dims[0], w->dims[0], 0, 0}};

	for (int a = 0; a < 2; a++) {
		int64_t extent = c->dilation[a] * (w->dims[2 + a] - 1) + 1;

		s.dims[2 + a] =
			(x->dims[2 + a] + c->before[a] + c->after[a] - extent) / c->stride[a] + 1;
	}
	return s;
}

static bool step(conv_loops *s)
{
	if (!s->started) {
		s->started = true;
		return s->y.dims[0] && s->y.dims[1] && s->y.dims[2] && s->y.dims[3] && s->w.dims[1];
	}
	if (++s->v < s->w.dims[3])
		return true;
	s->v = 0;
	if (++s->u < s->w.dims[2])
		return true;
	s->u = 0;
	if (++s->k < s->w.dims[1])
		return true;
	s->k = 0;
	if (++s->j < s->y.dims[3])
		return true;
	s->j = 0;
	if (++s->i < s->y.dims[2])
		return true;
	s->i = 0;
	if (++s->o < s->y.dims[1])
		return true;
	s->o = 0;
	return ++s->n < s->y.dims[0];
}

static bool next_product(conv_loops *s)
{
	while (step(s)) {
		int64_t row = s->i * s->c->stride[0] + s->u * s->c->dilation[0] - s->c->before[0];
		int64_t col = s->j * s->c->stride[1] + s->v * s->c->dilation[1] - s->c->before[1];
		int64_t channel = s->o / (s->w.dims[0] / s->c->groups) * s->w.dims[1] + s->k;

		if (row < 0 || row >= s->x.dims[2] || col < 0 || col >= s->x.dims[3])
			continue;
		s->yi = ((s->n * s->y.dims[1] + s->o) * s->y.dims[2] + s->i) * s->y.dims[3] + s->j;
		s->xi = ((s->n * s->x.dims[1] + channel) * s->x.dims[2] + row) * s->x.dims[3] + col;
		s->wi = ((s->o * s->w.dims[1] + s->k) * s->w.dims[2] + s->u) * s->w.dims[3] + s->v;
		return true;
	}
	return false;
}

array plain_conv(const array *x, const array *w, const array *b, const conv_case *c)
{
	conv_loops s = {
		.c = c, .x = x->shape, .w = w->shape, .y = conv_shape(&x->shape, &w->shape, c)};
	array y = array_new(s.y);

	for (int64_t i = 0; b && b->v && i < y.count; i++)
		y.v[i] = b->v[i / (s.y.dims[2] * s.y.dims[3]) % s.y.dims[1]];
	while (next_product(&s))
		y.v[s.yi] += x->v[s.xi] * w->v[s.wi];
	return y;
}

array plain_conv_gx(const array *gy, const array *w, ebb_shape x, const conv_case *c)
{
	conv_loops s = {.c = c, .x = x, .w = w->shape, .y = gy->shape};
	array gx = array_new(x);

	while (next_product(&s))
		gx.v[s.xi] += gy->v[s.yi] * w->v[s.wi];
	return gx;
}

array plain_conv_gw(const array *gy, const array *x, ebb_shape w, const conv_case *c)
{
	conv_loops s = {.c = c, .x = x->shape, .w = w, .y = gy->shape};
	array gw = array_new(w);

	while (next_product(&s))
		gw.v[s.wi] += gy->v[s.yi] * x->v[s.xi];
	return gw;
}
