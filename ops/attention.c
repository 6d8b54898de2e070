/* attention.c - scaled dot-product attention (Vaswani et al. 2017) as one op, forward and backward,
 * without the matrix [..,L,S] (Dao et al. 2022). */
#include "ops/attention.h"

/* ---- Checks, before ebb_begin ---------------------------------------------------------------- */

static const ebb_op CHECK = {.name = "attention"};

/* The leading axes (all but the last two): of the scores q k^T, and of y, with v's axes. */
typedef struct leads {
	ebb_shape scores, y;
} leads;

/* Broadcasts *lead with x's leading axes; false if they do not fit.  heads replaces the size of
 * x's last leading axis unless it is -1. */
static bool joins(ebb_shape *lead, const ebb_tensor *x, int64_t heads)
{
	int n = x->ndim - 2;
	ebb_shape s = {n > lead->ndim ? n : lead->ndim, {0}};

	for (int i = 0; i < s.ndim; i++) {
		int a = i - (s.ndim - lead->ndim), b = i - (s.ndim - n);
		int64_t old = a < 0 ? 1 : lead->dims[a], own = b < 0 ? 1 : x->shape[b];

		if (heads >= 0 && i == s.ndim - 1)
			own = heads;
		if (old != own && old != 1 && own != 1)
			return false;
		s.dims[i] = old == 1 ? own : old;
	}
	*lead = s;
	return true;
}

/* Whether k and v [..,G,S,..] have the same number G of heads, which divides that of q. */
static bool groups_fit(const ebb_tensor *q, const ebb_tensor *k, const ebb_tensor *v)
{
	return q->ndim >= 3 && k->ndim >= 3 && v->ndim >= 3 && k->shape[k->ndim - 3] > 0 &&
	       v->shape[v->ndim - 3] == k->shape[k->ndim - 3] &&
	       q->shape[q->ndim - 3] % k->shape[k->ndim - 3] == 0;
}

static bool leads_of(
	const ebb_tensor *q, const ebb_tensor *k, const ebb_tensor *v, bool grouped, leads *l)
{
	int64_t heads = grouped ? q->shape[q->ndim - 3] : -1;

	l->scores = EBB_SCALAR_SHAPE;
	if (!joins(&l->scores, q, -1) || !joins(&l->scores, k, heads))
		return false;
	l->y = l->scores;
	return joins(&l->y, v, heads);
}

static bool operands_fit(ebb_call *c, bool grouped, leads *l)
{
	const ebb_tensor *q = c->in[0], *k = c->in[1], *v = c->in[2];
	char qs[240], ks[240], vs[240];

	if (q->ndim >= 2 && k->ndim >= 2 && v->ndim >= 2 &&
		q->shape[q->ndim - 1] == k->shape[k->ndim - 1] &&
		k->shape[k->ndim - 2] == v->shape[v->ndim - 2] &&
		(!grouped || groups_fit(q, k, v)) && leads_of(q, k, v, grouped, l))
		return true;
	ebb_describe(q, qs, sizeof qs);
	ebb_describe(k, ks, sizeof ks);
	ebb_describe(v, vs, sizeof vs);
	if (grouped)
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"needs q [..,H,L,E], k [..,G,S,E], v [..,G,S,F] whose axes before these "
			"broadcast, where G divides H, got q %s, k %s, v %s",
			qs, ks, vs);
	else
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"needs q [..,L,E], k [..,S,E], v [..,S,F] whose leading axes broadcast, "
			"got q %s, k %s, v %s",
			qs, ks, vs);
	return false;
}

/* Checks that the mask broadcasts to the scores [lead..,L,S]. */
static bool mask_fits(ebb_call *c, ebb_shape scores)
{
	const ebb_tensor *q = c->in[0], *k = c->in[1], *mask = c->in[3];
	bool fits;
	char ms[240], qs[240], ks[240];

	if (!mask)
		return true;
	if (mask->dtype != EBB_U8 && mask->dtype != EBB_I64 && mask->dtype != q->dtype) {
		ebb_call_fail(c, EBB_BAD_DTYPE,
			"mask must be U8, I64 or of q's type, got %s for q %s",
			ebb_describe(mask, ms, sizeof ms), ebb_describe(q, qs, sizeof qs));
		return false;
	}
	fits = mask->ndim <= scores.ndim;
	for (int i = 0; fits && i < mask->ndim; i++) {
		int64_t want = scores.dims[scores.ndim - mask->ndim + i];

		fits = mask->shape[i] == 1 || mask->shape[i] == want;
	}
	if (!fits)
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"mask %s does not broadcast to [..,L,S] of q %s and k %s",
			ebb_describe(mask, ms, sizeof ms), ebb_describe(q, qs, sizeof qs),
			ebb_describe(k, ks, sizeof ks));
	return fits;
}

static bool options_fit(ebb_call *c, const ebb_attention_args *a)
{
	if (!isfinite(a->scale))
		ebb_call_fail(c, EBB_INVALID, "scale is %g; it must be finite", a->scale);
	else if (!(a->dropout >= 0 && a->dropout < 1))
		ebb_call_fail(c, EBB_INVALID, "dropout is %g; it must be at least 0 and below 1",
			a->dropout);
	else if (a->past < 0)
		ebb_call_fail(
			c, EBB_INVALID, "past is %lld; it must be at least 0", (long long)a->past);
	else
		return true;
	return false;
}

static bool checks(ebb_call *c, const ebb_attention_args *a, leads *l)
{
	static const char *const names[] = {"q", "k", "v", "mask"};
	ebb_shape scores;

	for (int i = 0; i < 3; i++) {
		if (!c->in[i]) {
			ebb_call_fail(c, EBB_INVALID, "%s is NULL", names[i]);
			return false;
		}
		if (!ebb_check_real(c, i, names[i]) || !ebb_check_same_type(c, 0, "q", i, names[i]))
			return false;
	}
	if (!options_fit(c, a) || !operands_fit(c, a->grouped, l))
		return false;
	scores = l->scores;
	scores.dims[scores.ndim++] = a->q->shape[a->q->ndim - 2];
	scores.dims[scores.ndim++] = a->k->shape[a->k->ndim - 2];
	return mask_fits(c, scores);
}

/* ---- The shape as the kernels take it -------------------------------------------------------- */

/* The leading axes of a tensor. */
typedef struct axes {
	int n;
	const int64_t *shape, *strides;
} axes;

/* The leading axes of y as the kernels count them.  With grouped heads, the last axis H is two axes
 * [G,H/G].  order[d] is the number, in y's order, of the kernels' axis d; shared axes come last. */
typedef struct layout {
	ebb_shape lead; /* of y: [..,H] */
	int64_t groups; /* G, or 0 */
	int order[EBB_MAX_DIMS];
	ebb_attention_shape s;
} layout;

static axes leading(const ebb_tensor *x)
{
	return (axes){x->ndim > 2 ? x->ndim - 2 : 0, x->shape, x->strides};
}

/* The number of x's axis that is y's leading axis d; -1: x broadcasts along it. */
static int own_axis(const layout *l, axes x, int d)
{
	int own = d - (l->lead.ndim - x.n);

	return own < 0 || x.shape[own] == 1 ? -1 : own;
}

/* The strides of x along the kernels' axes; 0 where x broadcasts. */
static void lead_strides(const layout *l, axes x, int64_t *strides)
{
	int64_t plain[EBB_MAX_DIMS];
	int n = l->lead.ndim;

	for (int d = 0; d < n; d++) {
		int own = own_axis(l, x, d);

		plain[d] = own < 0 ? 0 : x.strides[own];
	}
	if (l->groups) {
		/* x has all heads, those of k, or one. */
		int64_t all = l->lead.dims[n - 1], each = all / l->groups;
		bool has_all = x.n > 0 && x.shape[x.n - 1] == all;

		plain[n] = has_all ? plain[n - 1] : 0;
		plain[n - 1] *= has_all ? each : 1;
	}
	for (int d = 0; d < l->s.ndim; d++)
		strides[d] = plain[l->order[d]];
}

static ebb_attention_matrix matrix_of(const layout *l, const ebb_tensor *x)
{
	ebb_attention_matrix m = {.data = NULL};

	if (!x)
		return m;
	m.data = x->data;
	m.row = x->shape[x->ndim - 2] > 1 ? x->strides[x->ndim - 2] : x->shape[x->ndim - 1];
	lead_strides(l, leading(x), m.lead);
	return m;
}

/* Axes along which one task sums the gradients of k and v.  With fewer groups of heads than UNITS
 * there are too few tasks; then every head has gradients of its own, and their sum is an op. */
enum { UNITS = 16 };

/* Orders the axes; the axes along which k and v both broadcast are shared. */
static void order_axes(layout *l, const ebb_tensor *k, const ebb_tensor *v)
{
	ebb_attention_shape *s = &l->s;
	int64_t dims[EBB_MAX_DIMS], units = 1, heads = 1;
	bool shared[EBB_MAX_DIMS] = {false}, share;
	int n = l->lead.ndim, at = 0;

	for (int d = 0; d < n; d++) {
		dims[d] = l->lead.dims[d];
		shared[d] = dims[d] > 1 && own_axis(l, leading(k), d) < 0 &&
		            own_axis(l, leading(v), d) < 0;
	}
	if (l->groups) {
		dims[n] = dims[n - 1] / l->groups;
		dims[n - 1] = l->groups;
		shared[n - 1] = false;
		shared[n] = dims[n] > 1;
		n++;
	}
	for (int d = 0; d < n; d++) {
		heads *= dims[d];
		units *= shared[d] ? 1 : dims[d];
	}
	share = heads > 0 && units >= UNITS;
	s->ndim = n;
	for (int last = 0; last < 2; last++) {
		for (int d = 0; d < n; d++) {
			if ((share && shared[d]) != (last == 1))
				continue;
			s->shared += last;
			s->lead[at] = dims[d];
			l->order[at++] = d;
		}
	}
}

/* The mask [..,L,S]; sets the stride of its columns. */
static ebb_attention_matrix mask_of(layout *l, const ebb_tensor *mask)
{
	ebb_attention_matrix m = {.data = NULL};
	int n;

	if (!mask)
		return m;
	n = mask->ndim;
	l->s.mask = mask->dtype == EBB_U8    ? EBB_MASK_U8
	            : mask->dtype == EBB_I64 ? EBB_MASK_I64
	                                     : EBB_MASK_REAL;
	l->s.mask_column = n < 1 || mask->shape[n - 1] == 1 ? 0 : mask->strides[n - 1];
	m.data = mask->data;
	m.row = n < 2 || mask->shape[n - 2] == 1 ? 0 : mask->strides[n - 2];
	lead_strides(l, leading(mask), m.lead);
	return m;
}

static layout layout_of(const ebb_tensor *q, const ebb_tensor *k, const ebb_tensor *v,
	const leads *ends, const ebb_attention_attrs *a)
{
	layout l = {.lead = ends->y, .groups = a->grouped ? k->shape[k->ndim - 3] : 0};
	ebb_attention_shape *s = &l.s;
	int64_t strides[EBB_MAX_DIMS];

	s->queries = q->shape[q->ndim - 2];
	s->keys = k->shape[k->ndim - 2];
	s->width = q->shape[q->ndim - 1];
	s->values = v->shape[v->ndim - 1];
	s->scale = a->scale;
	/* Without future keys the kernels need not look for them; past is small then. */
	s->causal = a->causal && a->past < s->keys;
	s->past = s->causal ? a->past : 0;
	s->dropout = a->dropout;
	s->seed = a->random.seed;
	s->stream = a->random.stream;
	order_axes(&l, k, v);
	/* The weights are the elements of [..,L,S] with the leading axes of the scores. */
	ebb_strides_of(EBB_ROWS, ends->scores.ndim, ends->scores.dims, strides);
	lead_strides(&l, (axes){ends->scores.ndim, ends->scores.dims, strides}, s->counter);
	return l;
}

/* ---- Memory orders --------------------------------------------------------------------------- */

/* A new tensor [..,H,L,F] in the memory order [..,L,H,F], so that the heads of one position are
 * adjacent and form one axis H*F without a copy. */
static ebb_tensor *new_by_position(ebb_call *c, ebb_dtype dtype, ebb_shape shape)
{
	ebb_tensor *y = ebb_new(c, dtype, shape, EBB_ROWS);
	int n = shape.ndim;
	int64_t heads, rows, width;

	if (!y || n < 3)
		return y;
	heads = shape.dims[n - 3] > 1 ? shape.dims[n - 3] : 1;
	rows = shape.dims[n - 2] > 1 ? shape.dims[n - 2] : 1;
	width = shape.dims[n - 1] > 1 ? shape.dims[n - 1] : 1;
	y->strides[n - 3] = width;
	y->strides[n - 2] = heads * width;
	if (n > 3)
		y->strides[n - 4] = rows * heads * width;
	y->flags &= (uint16_t) ~(EBB_F_DENSE | EBB_F_ROWS | EBB_F_CHANNELS_LAST);
	y->flags |= ebb_layout_of(y->ndim, y->shape, y->strides);
	return y;
}

/* Whether results like x [..,H,L,E] have the memory order [..,L,H,E]: with four axes or grouped
 * heads always, with three if x has that order. */
static bool is_by_position(const ebb_tensor *x, bool grouped)
{
	int n = x->ndim;

	return grouped || n > 3 ||
	       (n == 3 && x->shape[0] > 1 && x->shape[1] > 1 && x->strides[0] < x->strides[1]);
}

static ebb_tensor *new_result(
	ebb_call *c, const ebb_tensor *like, ebb_shape shape, bool by_position)
{
	ebb_dtype dtype = (ebb_dtype)like->dtype;

	return by_position ? new_by_position(c, dtype, shape) : ebb_new(c, dtype, shape, EBB_ROWS);
}

/* x, copied if the elements of a row are not adjacent. */
static ebb_tensor *with_rows(ebb_tape *t, ebb_tensor *x, const char *site)
{
	if (x && x->shape[x->ndim - 1] > 1 && x->strides[x->ndim - 1] != 1)
		return (ebb_dense)(t, x, EBB_ROWS, site);
	return x;
}

/* ---- The gradient ---------------------------------------------------------------------------- */

/* The multiply-adds of one product of a matrix [L,S] with the rows of q or v, in flops per element
 * of the row. */
static double pairs(const layout *l)
{
	const ebb_attention_shape *s = &l->s;
	double n = (double)s->queries * (double)s->keys, heads = 1;

	if (s->causal) {
		/* Query i sees min(S, i + past + 1) keys. */
		double partial = (double)(s->keys - s->past - 1);

		if (partial > (double)s->queries)
			partial = (double)s->queries;
		n = partial * (double)(s->past + 1) + partial * (partial - 1) / 2 +
		    ((double)s->queries - partial) * (double)s->keys;
	}
	for (int d = 0; d < s->ndim; d++)
		heads *= (double)s->lead[d];
	return 2 * n * heads;
}

static double forward_flops(const ebb_call *c, const ebb_tensor *y)
{
	const ebb_attention_attrs *a = c->attrs;
	leads ends;
	layout l;

	(void)y;
	leads_of(c->in[0], c->in[1], c->in[2], a->grouped, &ends);
	l = layout_of(c->in[0], c->in[1], c->in[2], &ends, a);
	return pairs(&l) * (double)(l.s.width + l.s.values);
}

/* Products of width E: the scores again, gq, gk; of width F: the gradient of the weights, gv. */
static double grad_flops(const ebb_call *c, const ebb_tensor *y)
{
	const ebb_attention_attrs *a = c->attrs;
	leads ends;
	layout l;

	(void)y;
	leads_of(c->in[1], c->in[2], c->in[3], a->grouped, &ends);
	l = layout_of(c->in[1], c->in[2], c->in[3], &ends, a);
	return pairs(&l) * (double)(3 * l.s.width + 2 * l.s.values);
}

static const ebb_op FUSED = {.name = "attention_grad",
	.vjp = ebb_zero_vjp,
	.optional = EBB_IN(5),
	.takes = {EBB_STRIDED, EBB_STRIDED, EBB_STRIDED, EBB_STRIDED, EBB_STRIDED, EBB_STRIDED},
	.flops = grad_flops};

/* The shape of the gradient of x, k or v: with y's leading axes, but size 1 (grouped: G) along
 * axes that one task sums over.  Further axes of size 1 that x lacks are left out. */
static ebb_shape gradient_shape(const layout *l, const ebb_tensor *x, bool of_q)
{
	ebb_shape s = l->lead, cut = {0, {0}};
	int n = s.ndim, kept = l->s.ndim - l->s.shared, skip;

	for (int d = kept; d < l->s.ndim && !of_q; d++) {
		int axis = l->order[d];

		if (axis == n)
			s.dims[n - 1] = l->groups;
		else
			s.dims[axis] = 1;
	}
	s.dims[s.ndim++] = x->shape[x->ndim - 2];
	s.dims[s.ndim++] = x->shape[x->ndim - 1];
	for (skip = 0; s.ndim - skip > x->ndim && s.dims[skip] == 1; skip++)
		;
	for (int i = skip; i < s.ndim; i++)
		cut.dims[cut.ndim++] = s.dims[i];
	return cut;
}

/* The sum over the heads that share a head of k or v, where the kernel has not summed. */
static ebb_tensor *sum_groups(ebb_tape *t, const layout *l, ebb_tensor *g)
{
	ebb_shape s;
	int heads;

	if (!g)
		return NULL;
	s = ebb_shape_of(g);
	heads = s.ndim - 3;
	if (!l->groups || s.dims[heads] == l->groups)
		return g;
	/* The last three axes alone, because a tensor of the most axes cannot have one more. */
	int64_t outer = 1, each = s.dims[heads] / l->groups;

	for (int d = 0; d < heads; d++)
		outer *= s.dims[d];
	g = ebb_reshape(
		t, g, EBB_SHAPE(outer * l->groups, each, s.dims[heads + 1], s.dims[heads + 2]));
	g = ebb_sum(t, g, EBB_AXES(1));
	s.dims[heads] = l->groups;
	return ebb_reshape(t, g, s);
}

static void fused_grad(ebb_vjp *v)
{
	const ebb_attention_attrs *a = v->attrs;
	ebb_tensor *in[] = {with_rows(v->t, v->gy, NULL), v->in[0], v->in[1], v->in[2], v->out,
		v->nin > 3 ? v->in[3] : NULL};
	ebb_tensor *g[3] = {NULL};
	ebb_call c = ebb_begin(v->t, &FUSED, NULL, 6, in);
	ebb_attention_arrays arrays = {.most = v->saved[0]->data};
	int64_t rows = ebb_count(v->saved[0]) / 2;
	leads ends;
	layout l;
	void *ws;

	if (!c.t)
		return;
	leads_of(in[1], in[2], in[3], a->grouped, &ends);
	l = layout_of(in[1], in[2], in[3], &ends, a);
	for (int k = 0; k < 3; k++) {
		bool swap = is_by_position(in[1], a->grouped);

		if (ebb_wants(v, k))
			g[k] = new_result(&c, in[1], gradient_shape(&l, in[1 + k], k == 0), swap);
	}
	ws = ebb_scratch(&c, KERNELS(in[0])->attention_workspace(&l.s, true));
	if (!c.t)
		return;
	arrays.inverse = v->saved[0]->data + rows * (int64_t)KERNELS(in[0])->real_size;
	arrays.mask = mask_of(&l, in[5]);
	arrays.q = matrix_of(&l, in[1]);
	arrays.k = matrix_of(&l, in[2]);
	arrays.v = matrix_of(&l, in[3]);
	arrays.y = matrix_of(&l, in[4]);
	arrays.gy = matrix_of(&l, in[0]);
	arrays.gq = matrix_of(&l, g[0]);
	arrays.gk = matrix_of(&l, g[1]);
	arrays.gv = matrix_of(&l, g[2]);
	RUN(in[0], attention_grad, &l.s, &arrays, ws);
	ebb_attach(&c, a, sizeof *a);
	ebb_record(&c, g[0] ? g[0] : g[1] ? g[1] : g[2]);
	for (int k = 0; k < 3; k++)
		ebb_give(v, k, k ? sum_groups(v->t, &l, g[k]) : g[k]);
}

static void attention_vjp(ebb_vjp *v)
{
	if (v->recording || (v->nin > 3 && ebb_wants(v, 3)))
		ebb_attention_composed_grad(v);
	else
		fused_grad(v);
}

/* ---- Forward --------------------------------------------------------------------------------- */

#define ALL (EBB_IN(0) | EBB_IN(1) | EBB_IN(2) | EBB_IN(3) | EBB_OUT)
static const ebb_op ATTENTION = {.name = "attention",
	.vjp = attention_vjp,
	.reads = {ALL, ALL, ALL, ALL},
	.optional = EBB_IN(3),
	.takes = {EBB_STRIDED, EBB_STRIDED, EBB_STRIDED, EBB_STRIDED},
	.gy_strided = true,
	.flops = forward_flops};

static ebb_tensor *attend(ebb_call *c, const leads *ends, const ebb_attention_attrs *a)
{
	ebb_tensor *q = c->in[0], *k = c->in[1], *v = c->in[2], *y, *saved = NULL;
	layout l = layout_of(q, k, v, ends, a);
	ebb_attention_arrays arrays = {.most = NULL};
	ebb_shape shape = ends->y;
	int64_t rows = l.s.queries;
	void *ws;

	for (int d = 0; d < shape.ndim; d++)
		rows *= shape.dims[d];
	shape.dims[shape.ndim++] = l.s.queries;
	shape.dims[shape.ndim++] = l.s.values;
	y = new_result(c, q, shape, is_by_position(q, a->grouped) || shape.ndim > 3);
	if (c->tracked) {
		saved = ebb_new(c, (ebb_dtype)q->dtype, EBB_SHAPE(2, rows), EBB_ROWS);
		if (saved) {
			arrays.most = saved->data;
			arrays.inverse = saved->data + rows * (int64_t)KERNELS(q)->real_size;
		}
	}
	ws = ebb_scratch(c, KERNELS(q)->attention_workspace(&l.s, false));
	if (c->t) {
		arrays.mask = mask_of(&l, c->in[3]);
		arrays.q = matrix_of(&l, q);
		arrays.k = matrix_of(&l, k);
		arrays.v = matrix_of(&l, v);
		arrays.y = matrix_of(&l, y);
		RUN(q, attention_forward, &l.s, &arrays, ws);
	}
	ebb_save(c, saved);
	ebb_attach(c, a, sizeof *a);
	return ebb_record(c, y);
}

ebb_tensor *(ebb_attention)(const ebb_attention_args *a)
{
	ebb_tensor *in[] = {a->q, a->k, a->v, a->mask};
	ebb_call c = {.t = a->t, .op = &CHECK, .site = a->site, .nin = 4, .in = in};
	ebb_attention_attrs attrs = {.causal = a->causal, .grouped = a->grouped, .past = a->past};
	double width;
	leads ends;

	if (ebb_failed(a->t) || !checks(&c, a, &ends))
		return NULL;
	width = (double)a->q->shape[a->q->ndim - 1];
	attrs.scale = ebb_option(a->scale, width > 0 ? 1.0 / sqrt(width) : 1.0);
	if (a->dropout > 0 && ebb_is_training(a->t)) {
		attrs.dropout = a->dropout;
		attrs.random = ebb_random_next(a->t);
	}
	for (int k = 0; k < 3; k++) {
		in[k] = with_rows(a->t, in[k], a->site);
		if (!in[k])
			return NULL;
	}
	c = ebb_begin(a->t, &ATTENTION, a->site, 4, in);
	return c.t ? attend(&c, &ends, &attrs) : NULL;
}
