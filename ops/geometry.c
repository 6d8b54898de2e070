/*
 * geometry.c - the options of convolutions and poolings: defaults, checks, sizes of results.
 */
#include "ops/geometry.h"

/* The largest number of rows, columns or taps of a kernel.  With this limit and options of type
 * int, the sizes computed below do not overflow int64_t. */
enum { MOST = 1 << 30 };

/* ---- Windows along one axis ------------------------------------------------------------------ */

/* The windows of a kernel along one axis of in elements.  Window i starts at i*stride - before, and
 * its kernel taps are dilation apart; there are out windows. */
typedef struct windows {
	int64_t in, kernel, out;
	int64_t stride, dilation, before, after; /* before and after: padding */
} windows;

/* The windows along axis 0 (rows) or 1 (columns) of the argument struct a.  The macro's argument
 * otherwise is the default stride. */
#define WINDOWS(a, axis, taps, otherwise)                                                          \
	(windows)                                                                                  \
	{                                                                                          \
		.kernel = (taps),                                                                  \
		.stride = ebb_option_hw((a)->stride, (a)->stride_hw, axis, otherwise),             \
		.dilation = ebb_option_hw((a)->dilation, (a)->dilation_hw, axis, 1),               \
		.before = ebb_option_hw((a)->pad, (a)->pad_hw, axis, 0),                           \
		.after = ebb_option_hw((a)->pad, (a)->pad_hw, axis, 0),                            \
	}

/* Initialises the members of both axes of an ebb_conv_shape or ebb_pool_shape. */
#define AXES(rows, columns)                                                                        \
	.h = (rows).in, .w = (columns).in, .kh = (rows).kernel, .kw = (columns).kernel,            \
	.oh = (rows).out, .ow = (columns).out, .stride_h = (rows).stride,                          \
	.stride_w = (columns).stride, .dilation_h = (rows).dilation,                               \
	.dilation_w = (columns).dilation, .pad_top = (rows).before, .pad_left = (columns).before

/* Elements from the first tap to the last. */
static int64_t extent_of(const windows *w)
{
	return w->dilation * (w->kernel - 1) + 1;
}

/* The number of windows that fit into an axis of the given number of elements with its padding. */
static int64_t fitting(const windows *w, int64_t elements)
{
	int64_t positions = elements + w->before + w->after - extent_of(w);

	return positions < 0 ? 0 : positions / w->stride + 1;
}

/* Sets w->out and w->before for EBB_SAME: ceil(in/stride) windows.  If the total padding is odd,
 * the padding after the axis is one element longer than before it. */
static void pad_same(windows *w)
{
	int64_t total;

	w->out = (w->in + w->stride - 1) / w->stride;
	total = (w->out - 1) * w->stride + extent_of(w) - w->in;
	w->before = total > 0 ? total / 2 : 0;
}

/* The output size of a transposed convolution along an axis on which its input has w->out elements;
 * more is the output padding.  -1 if an option is out of range, or if the size is not from 1 to
 * MOST. */
static int64_t transposed(const windows *w, int64_t more)
{
	int64_t size;

	if (w->out > MOST || w->kernel > MOST || w->stride < 1 || w->dilation < 1 ||
		w->before < 0 || more < 0 || (more >= w->stride && more >= w->dilation))
		return -1;
	size = (w->out - 1) * w->stride - 2 * w->before + extent_of(w) + more;
	return size < 1 || size > MOST ? -1 : size;
}

/* The number of windows of a pooling, by PyTorch's rule.  With ceil_mode, the last window may reach
 * beyond the right padding, but a window that starts in the right padding is left out. */
static int64_t pooled(const windows *w, bool ceil_mode)
{
	int64_t out = fitting(w, w->in + (ceil_mode ? w->stride - 1 : 0));

	return ceil_mode && (out - 1) * w->stride >= w->in + w->before ? out - 1 : out;
}

/* Whether every window has a tap inside the image.  A dilated window that starts in the padding may
 * step over the whole image. */
static bool all_meet(const windows *w)
{
	for (int64_t i = 0; i < w->out && i * w->stride < w->before; i++) {
		int64_t start = i * w->stride - w->before;
		int64_t tap = (w->dilation - 1 - start) / w->dilation;

		if (tap >= w->kernel || start + tap * w->dilation >= w->in)
			return false;
	}
	return w->in > 0;
}

/* ---- Operands -------------------------------------------------------------------------------- */

static void describe_both(const ebb_call *c, char xs[240], char ws[240])
{
	ebb_describe(c->in[0], xs, 240);
	ebb_describe(c->in[1], ws, 240);
}

/* Checks x [N,C,..], w [O,C/groups,..] and b [O] or NULL.  x and w must have ndim axes; form
 * describes their shapes in error messages. */
static bool operands_fit(ebb_call *c, int ndim, const char *form, int64_t groups)
{
	const ebb_tensor *x = c->in[0], *w = c->in[1], *b = c->in[2];
	char xs[240], ws[240], bs[240];
	bool empty = false;

	describe_both(c, xs, ws);
	for (int i = 2; i < w->ndim; i++)
		empty |= w->shape[i] < 1;
	if (x->ndim != ndim || w->ndim != ndim)
		ebb_call_fail(c, EBB_BAD_SHAPE, "x must be %s, got x %s, w %s", form, xs, ws);
	else if (empty)
		ebb_call_fail(c, EBB_BAD_SHAPE, "the kernel of w %s is empty", ws);
	else if (groups < 1 || w->shape[0] % groups)
		ebb_call_fail(c, EBB_BAD_SHAPE, "w %s does not divide into %lld groups of filters",
			ws, (long long)groups);
	else if (ndim == 4 && x->shape[1] != w->shape[1] * groups)
		ebb_call_fail(c, EBB_BAD_SHAPE, "x has %lld channels, w expects %lld (x %s, w %s)",
			(long long)x->shape[1], (long long)(w->shape[1] * groups), strchr(xs, '['),
			strchr(ws, '['));
	else if (x->shape[1] % groups || x->shape[1] / groups != w->shape[1])
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"x has %lld channels, w expects %lld in each of %lld groups (x %s, w %s)",
			(long long)x->shape[1], (long long)w->shape[1], (long long)groups,
			strchr(xs, '['), strchr(ws, '['));
	else if (b && (b->ndim != 1 || b->shape[0] != w->shape[0]))
		ebb_call_fail(c, EBB_BAD_SHAPE, "w has %lld filters, b is %s",
			(long long)w->shape[0], ebb_describe(b, bs, sizeof bs));
	return c->t != NULL;
}

/* Checks x [N,C,H,W], w [C,O/groups,Kh,Kw] and b [O] or NULL; sets *filters to O. */
static bool transposed_operands_fit(ebb_call *c, int64_t groups, int64_t *filters)
{
	const ebb_tensor *x = c->in[0], *w = c->in[1], *b = c->in[2];
	char xs[240], ws[240], bs[240];

	describe_both(c, xs, ws);
	if (x->ndim != 4 || w->ndim != 4)
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"x must be [N,C,H,W] and w [C,O/groups,Kh,Kw], got x %s, w %s", xs, ws);
	else if (x->shape[2] < 1 || x->shape[3] < 1 || w->shape[2] < 1 || w->shape[3] < 1)
		ebb_call_fail(c, EBB_BAD_SHAPE, "an image or kernel is empty (x %s, w %s)", xs, ws);
	else if (x->shape[1] != w->shape[0])
		ebb_call_fail(c, EBB_BAD_SHAPE, "x has %lld channels, w expects %lld (x %s, w %s)",
			(long long)x->shape[1], (long long)w->shape[0], strchr(xs, '['),
			strchr(ws, '['));
	else if (groups < 1 || w->shape[0] % groups ||
		 __builtin_mul_overflow(w->shape[1], groups, filters))
		ebb_call_fail(c, EBB_BAD_SHAPE, "w %s does not divide into %lld groups of channels",
			ws, (long long)groups);
	else if (b && (b->ndim != 1 || b->shape[0] != *filters))
		ebb_call_fail(c, EBB_BAD_SHAPE, "w %s makes %lld channels, b is %s", ws,
			(long long)*filters, ebb_describe(b, bs, sizeof bs));
	return c->t != NULL;
}

/* ---- Convolutions ---------------------------------------------------------------------------- */

/* Checks the options; false if the call has failed.  With same (EBB_SAME), the padding is not
 * checked, because it is computed later. */
static bool options_fit(ebb_call *c, const windows *rows, const windows *columns, bool same)
{
	if (rows->stride < 1 || columns->stride < 1 || rows->dilation < 1 || columns->dilation < 1)
		ebb_call_fail(c, EBB_INVALID,
			"stride %lldx%lld and dilation %lldx%lld must be positive",
			(long long)rows->stride, (long long)columns->stride,
			(long long)rows->dilation, (long long)columns->dilation);
	else if (!same &&
		 (rows->before < 0 || rows->after < 0 || columns->before < 0 || columns->after < 0))
		ebb_call_fail(c, EBB_INVALID,
			"padding must not be negative: top %lld, bottom %lld, left %lld, right "
			"%lld",
			(long long)rows->before, (long long)rows->after, (long long)columns->before,
			(long long)columns->after);
	else if (rows->in > MOST || columns->in > MOST || rows->kernel > MOST ||
		 columns->kernel > MOST)
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"an image or kernel has more than %d rows or columns", MOST);
	return c->t != NULL;
}

static bool place(ebb_call *c, windows *rows, windows *columns, bool same)
{
	char xs[240], ws[240];

	if (!options_fit(c, rows, columns, same))
		return false;
	if (same) {
		pad_same(rows);
		pad_same(columns);
		return true;
	}
	rows->out = fitting(rows, rows->in);
	columns->out = fitting(columns, columns->in);
	if (rows->out > 0 && columns->out > 0)
		return true;
	describe_both(c, xs, ws);
	ebb_call_fail(c, EBB_BAD_SHAPE,
		"the kernel does not fit into the padded image (x %s, w %s)", xs, ws);
	return false;
}

bool ebb_conv_geometry(ebb_call *c, const ebb_conv2d_args *a, ebb_conv_shape *s)
{
	const ebb_tensor *x = c->in[0], *w = c->in[1];
	const int *tblr = a->pad_tblr;
	bool sides = tblr[0] || tblr[1] || tblr[2] || tblr[3];
	bool same = a->pad == EBB_SAME && !a->pad_hw[0] && !a->pad_hw[1] && !sides;
	int64_t groups = ebb_option_count(a->groups, 1);
	windows rows, columns;

	if (!operands_fit(c, 4, "[N,C,H,W] and w [O,C/groups,Kh,Kw]", groups))
		return false;
	rows = WINDOWS(a, 0, w->shape[2], 1);
	columns = WINDOWS(a, 1, w->shape[3], 1);
	rows.in = x->shape[2];
	columns.in = x->shape[3];
	if (sides) {
		rows.before = tblr[0];
		rows.after = tblr[1];
		columns.before = tblr[2];
		columns.after = tblr[3];
	}
	if (!place(c, &rows, &columns, same))
		return false;
	*s = (ebb_conv_shape){.n = x->shape[0],
		.c = x->shape[1],
		.o = w->shape[0],
		.groups = groups,
		AXES(rows, columns)};
	return true;
}

bool ebb_conv_transpose_geometry(ebb_call *c, const ebb_conv_transpose2d_args *a, ebb_conv_shape *s)
{
	const ebb_tensor *x = c->in[0], *w = c->in[1];
	int64_t groups = ebb_option_count(a->groups, 1), filters = 0;
	int64_t more_h = ebb_option_hw(a->output_pad, a->output_pad_hw, 0, 0),
		more_w = ebb_option_hw(a->output_pad, a->output_pad_hw, 1, 0);
	windows rows, columns;
	char xs[240], ws[240];

	if (!transposed_operands_fit(c, groups, &filters))
		return false;
	rows = WINDOWS(a, 0, w->shape[2], 1);
	columns = WINDOWS(a, 1, w->shape[3], 1);
	rows.out = x->shape[2];
	columns.out = x->shape[3];
	rows.in = transposed(&rows, more_h);
	columns.in = transposed(&columns, more_w);
	if (rows.in > 0 && columns.in > 0) {
		*s = (ebb_conv_shape){.n = x->shape[0],
			.c = filters,
			.o = x->shape[1],
			.groups = groups,
			AXES(rows, columns)};
		return true;
	}
	describe_both(c, xs, ws);
	ebb_call_fail(c, EBB_BAD_SHAPE,
		"the result of x %s, w %s would be empty, or an option is out of range: stride "
		"%lldx%lld, dilation %lldx%lld, padding %lldx%lld, "
		"output padding %lldx%lld (which must be below stride or dilation)",
		xs, ws, (long long)rows.stride, (long long)columns.stride, (long long)rows.dilation,
		(long long)columns.dilation, (long long)rows.before, (long long)columns.before,
		(long long)more_h, (long long)more_w);
	return false;
}

bool ebb_conv1d_fits(ebb_call *c, const ebb_conv1d_args *a)
{
	bool same = a->pad == EBB_SAME;
	int64_t pad = same ? 0 : a->pad;
	windows w;
	char xs[240], ws[240];

	if (!operands_fit(c, 3, "[N,C,L] and w [O,C/groups,K]", ebb_option_count(a->groups, 1)))
		return false;
	w = (windows){.in = c->in[0]->shape[2],
		.kernel = c->in[1]->shape[2],
		.stride = ebb_option_count(a->stride, 1),
		.dilation = ebb_option_count(a->dilation, 1),
		.before = pad,
		.after = pad};
	if (w.stride < 1 || w.dilation < 1 || pad < 0) {
		ebb_call_fail(c, EBB_INVALID,
			"stride %lld and dilation %lld must be positive, padding %lld at least 0 "
			"or EBB_SAME",
			(long long)w.stride, (long long)w.dilation, (long long)a->pad);
	} else if (w.in > MOST || w.kernel > MOST || (!same && !fitting(&w, w.in))) {
		describe_both(c, xs, ws);
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"the kernel does not fit into the padded x, or has more than 2^30 taps (x "
			"%s, w %s)",
			xs, ws);
	}
	return c->t != NULL;
}

/* ---- Poolings -------------------------------------------------------------------------------- */

static bool pool_options_fit(ebb_call *c, const windows *rows, const windows *columns)
{
	if (rows->kernel < 1 || columns->kernel < 1 || rows->stride < 1 || columns->stride < 1 ||
		rows->dilation < 1 || columns->dilation < 1)
		ebb_call_fail(c, EBB_INVALID,
			"kernel %lldx%lld, stride %lldx%lld and dilation %lldx%lld must be "
			"positive",
			(long long)rows->kernel, (long long)columns->kernel,
			(long long)rows->stride, (long long)columns->stride,
			(long long)rows->dilation, (long long)columns->dilation);
	else if (rows->before < 0 || columns->before < 0 || rows->before > rows->kernel / 2 ||
		 columns->before > columns->kernel / 2)
		ebb_call_fail(c, EBB_INVALID,
			"padding %lldx%lld must be from 0 to half the kernel %lldx%lld",
			(long long)rows->before, (long long)columns->before,
			(long long)rows->kernel, (long long)columns->kernel);
	return c->t != NULL;
}

bool ebb_pool_geometry(ebb_call *c, const ebb_pool2d_args *a, ebb_pool_shape *s)
{
	const ebb_tensor *x = c->in[0];
	int64_t kh = ebb_option_hw(a->kernel, a->kernel_hw, 0, 0),
		kw = ebb_option_hw(a->kernel, a->kernel_hw, 1, 0);
	windows rows = WINDOWS(a, 0, kh, kh), columns = WINDOWS(a, 1, kw, kw);
	char text[240];

	if (!pool_options_fit(c, &rows, &columns))
		return false;
	rows.in = x->shape[2];
	columns.in = x->shape[3];
	rows.out = pooled(&rows, a->ceil_mode);
	columns.out = pooled(&columns, a->ceil_mode);
	if (rows.out < 1 || columns.out < 1)
		ebb_call_fail(c, EBB_BAD_SHAPE, "a window of %lldx%lld does not fit into %s",
			(long long)kh, (long long)kw, ebb_describe(x, text, sizeof text));
	else if (!all_meet(&rows) || !all_meet(&columns))
		ebb_call_fail(c, EBB_BAD_SHAPE,
			"a window of %lldx%lld with dilation %lldx%lld contains only padding "
			"of %s",
			(long long)kh, (long long)kw, (long long)rows.dilation,
			(long long)columns.dilation, ebb_describe(x, text, sizeof text));
	*s = (ebb_pool_shape){.n = x->shape[0],
		.c = x->shape[1],
		.count_include_pad = !a->exclude_pad,
		AXES(rows, columns)};
	return c->t != NULL;
}
