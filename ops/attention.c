/* attention.c - scaled dot-product attention (Vaswani et al. 2017), composed of two matrix products
 * and one softmax. */
#include "ops/internal.h"

static const ebb_op CHECK = {.name = "attention"};

/* Broadcasts *lead with x's leading axes (all but the last two); false if they do not fit. */
static bool joins(ebb_shape *lead, const ebb_tensor *x)
{
	int n = x->ndim - 2;
	ebb_shape s = {n > lead->ndim ? n : lead->ndim, {0}};

	for (int i = 0; i < s.ndim; i++) {
		int a = i - (s.ndim - lead->ndim), b = i - (s.ndim - n);
		int64_t old = a < 0 ? 1 : lead->dims[a], own = b < 0 ? 1 : x->shape[b];

		if (old != own && old != 1 && own != 1)
			return false;
		s.dims[i] = old == 1 ? own : old;
	}
	*lead = s;
	return true;
}

/* q [..,L,E], k [..,S,E], v [..,S,F] */
static bool operands_fit(ebb_call *c, ebb_shape *lead)
{
	const ebb_tensor *q = c->in[0], *k = c->in[1], *v = c->in[2];
	char qs[240], ks[240], vs[240];
	bool fits = q->ndim >= 2 && k->ndim >= 2 && v->ndim >= 2;

	fits = fits && q->shape[q->ndim - 1] == k->shape[k->ndim - 1] &&
	       k->shape[k->ndim - 2] == v->shape[v->ndim - 2];
	*lead = EBB_SCALAR_SHAPE;
	if (fits && joins(lead, q) && joins(lead, k)) {
		/* The mask broadcasts to the leading axes of q and k, without v's. */
		ebb_shape scores = *lead;

		if (joins(lead, v)) {
			*lead = scores;
			return true;
		}
	}
	ebb_call_fail(c, EBB_BAD_SHAPE,
		"needs q [..,L,E], k [..,S,E], v [..,S,F] whose leading axes broadcast, got q %s, "
		"k %s, v %s",
		ebb_describe(q, qs, sizeof qs), ebb_describe(k, ks, sizeof ks),
		ebb_describe(v, vs, sizeof vs));
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

static bool checks(ebb_call *c, const ebb_attention_args *a)
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
	if (!isfinite(a->scale)) {
		ebb_call_fail(c, EBB_INVALID, "scale is %g; it must be finite", a->scale);
		return false;
	}
	if (!operands_fit(c, &scores))
		return false;
	scores.dims[scores.ndim++] = a->q->shape[a->q->ndim - 2];
	scores.dims[scores.ndim++] = a->k->shape[a->k->ndim - 2];
	return mask_fits(c, scores);
}

ebb_tensor *(ebb_attention)(const ebb_attention_args *a)
{
	ebb_tensor *in[] = {a->q, a->k, a->v, a->mask}, *y, *mask = a->mask;
	ebb_call c = {.t = a->t, .op = &CHECK, .site = a->site, .nin = 4, .in = in};
	ebb_tape *t = a->t;
	double width;

	if (ebb_failed(t) || !checks(&c, a))
		return NULL;
	width = (double)a->q->shape[a->q->ndim - 1];
	y = (ebb_mul_scalar)(t, a->q, ebb_option(a->scale, width > 0 ? 1.0 / sqrt(width) : 1.0),
		a->site);
	y = (ebb_matmul)(t, y, (ebb_transpose)(t, a->k, -2, -1, a->site), a->site);
	if (mask && ebb_is_real(mask)) {
		y = (ebb_add)(t, y, mask, a->site);
		mask = NULL;
	}
	y = mask || a->causal ? ebb_masked_softmax(t, y, mask, a->causal, a->site)
	                      : (ebb_softmax)(t, y, -1, a->site);
	return (ebb_matmul)(t, y, a->v, a->site);
}
