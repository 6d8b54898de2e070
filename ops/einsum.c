/*
 * einsum.c - sums of products by Einstein's convention, composed of permutations, sums and one matrix
 * product or one elementwise product.
 *
 * Each axis of an operand has an index: a letter, or its distance from the last of the axes that ...
 * stands for.  Axes of size 1 that broadcast are removed first.  Then each index is
 *	a batch index: in both operands and in the result;
 *	summed: in both operands, and not in the result;
 *	free: in one operand and in the result.
 * Indices of one operand alone that are not in the result are summed before the product.
 */
#include "ops/internal.h"

static const ebb_op CHECK = {.name = "einsum"};

enum { LETTERS = 52, INDICES = LETTERS + EBB_MAX_DIMS, DOTS = -1 };

/* The indices of an operand or of the result.  A parsed equation has DOTS for an ellipsis; expand
 * replaces DOTS by the indices LETTERS + distance from the last axis of the ellipsis. */
typedef struct subscripts {
	int n;
	int index[EBB_MAX_DIMS + 1];
} subscripts;

typedef struct equation {
	ebb_call *c;
	const char *text;
	int operands;
	bool has_result;
	subscripts in[2], out;
	int64_t size[INDICES]; /* -1: the index is in no operand */
} equation;

static const char *name_of(int index, char *text)
{
	if (index >= LETTERS)
		return "...";
	text[0] = (char)(index < 26 ? 'A' + index : 'a' + index - 26);
	text[1] = 0;
	return text;
}

static int position_of(const subscripts *s, int index)
{
	for (int i = 0; i < s->n; i++)
		if (s->index[i] == index)
			return i;
	return -1;
}

/* ---- The equation ---------------------------------------------------------------------------- */

static int letter_of(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1;
}

/* The parts of the text in turn: the operands, then the result.  Returns the end of the part, or NULL
 * after a failure. */
static const char *parse_part(equation *q, const char *at, subscripts *s)
{
	for (s->n = 0; *at && *at != ',' && *at != '-'; at++) {
		bool dots = strncmp(at, "...", 3) == 0;
		int index = dots ? DOTS : letter_of(*at);

		if (*at == ' ')
			continue;
		if (!dots && index < 0) {
			ebb_call_fail(q->c, EBB_INVALID, "\"%s\": unexpected '%c' at position %d",
				q->text, *at, (int)(at - q->text));
			return NULL;
		}
		if (s->n > EBB_MAX_DIMS || (dots && position_of(s, DOTS) >= 0)) {
			ebb_call_fail(q->c, EBB_INVALID,
				"\"%s\": more than %d indices, or more than one ellipsis", q->text,
				EBB_MAX_DIMS);
			return NULL;
		}
		s->index[s->n++] = index;
		at += dots ? 2 : 0;
	}
	return at;
}

static bool parse(equation *q)
{
	const char *at = parse_part(q, q->text, &q->in[q->operands++]);

	while (at && *at == ',') {
		if (q->operands == 2) {
			ebb_call_fail(
				q->c, EBB_INVALID, "\"%s\" has more than two operands", q->text);
			return false;
		}
		at = parse_part(q, at + 1, &q->in[q->operands++]);
	}
	if (!at || !*at)
		return at;
	q->has_result = at[1] == '>';
	at = q->has_result ? parse_part(q, at + 2, &q->out) : at;
	if (at && *at)
		ebb_call_fail(q->c, EBB_INVALID, "\"%s\": unexpected '%c' at position %d", q->text,
			*at, (int)(at - q->text));
	return at && !*at;
}

/* Replaces DOTS by the indices of axes axes. */
static bool expand(equation *q, subscripts *s, int axes)
{
	int at = position_of(s, DOTS), rest = s->n - 1 - at;
	int tail[EBB_MAX_DIMS];

	if (at < 0)
		return true;
	if (s->n - 1 + axes > EBB_MAX_DIMS) {
		ebb_call_fail(q->c, EBB_BAD_SHAPE,
			"\"%s\": the result has %d axes, at most %d are "
			"allowed",
			q->text, s->n - 1 + axes, EBB_MAX_DIMS);
		return false;
	}
	for (int i = 0; i < rest; i++)
		tail[i] = s->index[at + 1 + i];
	s->n = at;
	for (int i = 0; i < axes; i++)
		s->index[s->n++] = LETTERS + axes - 1 - i;
	for (int i = 0; i < rest; i++)
		s->index[s->n++] = tail[i];
	return true;
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

static const char *operand_name(int k)
{
	return k ? "b" : "a";
}

/* Notes the size of an operand's axis.  Sizes of different operands broadcast; sizes of one operand
 * are equal. */
static bool note_size(equation *q, int k, int axis)
{
	const ebb_tensor *x = q->c->in[k];
	int index = q->in[k].index[axis], first = position_of(&q->in[k], index);
	int64_t own = x->shape[axis], *size = &q->size[index];
	char name[2], text[240], other[240];

	if (first < axis && x->shape[first] != own) {
		ebb_call_fail(q->c, EBB_BAD_SHAPE,
			"\"%s\": index %s is repeated in %s with sizes %lld and %lld (%s)", q->text,
			name_of(index, name), operand_name(k), (long long)x->shape[first],
			(long long)own, ebb_describe(x, text, sizeof text));
		return false;
	}
	if (*size < 0 || *size == 1) {
		*size = own;
	} else if (own != 1 && own != *size) {
		ebb_call_fail(q->c, EBB_BAD_SHAPE,
			"\"%s\": index %s has size %lld in a and %lld in b (a %s, b %s)", q->text,
			name_of(index, name), (long long)*size, (long long)own,
			ebb_describe(q->c->in[0], other, sizeof other),
			ebb_describe(x, text, sizeof text));
		return false;
	}
	return true;
}

static bool fit_operand(equation *q, int k)
{
	const ebb_tensor *x = q->c->in[k];
	subscripts *s = &q->in[k];
	bool dots = position_of(s, DOTS) >= 0;
	int letters = s->n - dots;
	char text[240];

	if (dots ? letters > x->ndim : letters != x->ndim) {
		ebb_call_fail(q->c, EBB_BAD_SHAPE, "\"%s\" has %s%d indices for %s, %s is %s",
			q->text, dots ? "at least " : "", letters, operand_name(k), operand_name(k),
			ebb_describe(x, text, sizeof text));
		return false;
	}
	if (!expand(q, s, x->ndim - letters))
		return false;
	for (int i = 0; i < x->ndim; i++)
		if (!note_size(q, k, i))
			return false;
	return true;
}

/* ---- The result's indices -------------------------------------------------------------------- */

static int times_in_operands(const equation *q, int index)
{
	int n = 0;

	for (int k = 0; k < q->operands; k++)
		for (int i = 0; i < q->in[k].n; i++)
			n += q->in[k].index[i] == index;
	return n;
}

/* Without "->": the ellipsis, then in alphabetical order the letters that occur once. */
static bool implicit_result(equation *q, int dots)
{
	q->out.n = 0;
	for (int i = dots - 1; i >= 0; i--)
		q->out.index[q->out.n++] = LETTERS + i;
	for (int i = 0; i < LETTERS; i++) {
		if (times_in_operands(q, i) != 1)
			continue;
		if (q->out.n == EBB_MAX_DIMS) {
			ebb_call_fail(q->c, EBB_BAD_SHAPE,
				"\"%s\": the result has more than %d axes", q->text, EBB_MAX_DIMS);
			return false;
		}
		q->out.index[q->out.n++] = i;
	}
	return true;
}

static bool fit_result(equation *q)
{
	int dots = 0;
	char name[2];

	for (int i = 0; i < EBB_MAX_DIMS; i++)
		dots += q->size[LETTERS + i] >= 0;
	if (!q->has_result)
		return implicit_result(q, dots);
	if (!expand(q, &q->out, dots))
		return false;
	for (int i = 0; i < q->out.n; i++) {
		int index = q->out.index[i];

		if (q->size[index] < 0 || position_of(&q->out, index) < i) {
			ebb_call_fail(q->c, EBB_INVALID, "\"%s\": index %s of the result %s",
				q->text, name_of(index, name),
				q->size[index] < 0 ? "is in no operand" : "is repeated");
			return false;
		}
	}
	if (q->out.n > EBB_MAX_DIMS)
		ebb_call_fail(q->c, EBB_BAD_SHAPE, "\"%s\": the result has more than %d axes",
			q->text, EBB_MAX_DIMS);
	return q->out.n <= EBB_MAX_DIMS;
}

/* ---- Steps on one operand -------------------------------------------------------------------- */

typedef struct operand {
	ebb_tensor *x;
	subscripts s; /* one index per axis of x */
} operand;

static void remove_axis(subscripts *s, int axis)
{
	for (s->n--; axis < s->n; axis++)
		s->index[axis] = s->index[axis + 1];
}

/* x with its axes in the order of these indices, which are x's. */
static void arrange(equation *q, operand *o, const subscripts *order)
{
	ebb_axes axes = {order->n, {0}};

	for (int i = 0; i < order->n; i++)
		axes.axis[i] = position_of(&o->s, order->index[i]);
	o->x = (ebb_permute)(q->c->t, o->x, axes, q->c->site);
	o->s = *order;
}

/* Replaces two axes of the same index by one, the diagonal: every (n+1)-th element of the two axes
 * as one. */
static void take_diagonals(equation *q, operand *o)
{
	for (int i = 0; o->x && i < o->s.n; i++) {
		ebb_axes axes = {0, {0}};
		ebb_shape shape;
		int index = o->s.index[i], last = o->s.n - 1;
		int64_t n = o->x->shape[i];

		while (last > i && o->s.index[last] != index)
			last--;
		if (last == i)
			continue;
		for (int k = 0; k < o->s.n; k++)
			if (k != i && k != last)
				axes.axis[axes.n++] = k;
		axes.axis[axes.n++] = i;
		axes.axis[axes.n++] = last;
		remove_axis(&o->s, last);
		remove_axis(&o->s, i);
		o->s.index[o->s.n++] = index;
		o->x = (ebb_permute)(q->c->t, o->x, axes, q->c->site);
		if (!o->x)
			return;
		shape = ebb_shape_of(o->x);
		shape.ndim--;
		shape.dims[shape.ndim - 1] = n * n;
		o->x = (ebb_reshape)(q->c->t, o->x, shape, q->c->site);
		o->x = (ebb_slice)(q->c->t, o->x, -1, 0, EBB_END, n + 1, q->c->site);
		i--;
	}
}

/* Removes axes of size 1 that broadcast to the other operand's. */
static void drop_broadcast(equation *q, operand *o)
{
	for (int i = o->s.n - 1; o->x && i >= 0; i--) {
		if (o->x->shape[i] != 1 || q->size[o->s.index[i]] == 1)
			continue;
		o->x = (ebb_squeeze)(q->c->t, o->x, i, q->c->site);
		remove_axis(&o->s, i);
	}
}

/* Sums over the axes that neither the other operand nor the result has. */
static void sum_alone(equation *q, operand *o, const operand *other)
{
	ebb_axes axes = {0, {0}};

	for (int i = o->s.n - 1; i >= 0; i--) {
		int index = o->s.index[i];

		if (position_of(&q->out, index) >= 0 || position_of(&other->s, index) >= 0)
			continue;
		axes.axis[axes.n++] = i;
		remove_axis(&o->s, i);
	}
	if (axes.n)
		o->x = (ebb_sum)(&(ebb_reduce_args){
			.t = q->c->t, .x = o->x, .axes = axes, .site = q->c->site});
}

/* ---- The product ----------------------------------------------------------------------------- */

static void add_index(subscripts *s, int index)
{
	s->index[s->n++] = index;
}

static void append(subscripts *s, const subscripts *more)
{
	for (int i = 0; i < more->n; i++)
		add_index(s, more->index[i]);
}

static void append_sizes(const equation *q, ebb_shape *shape, const subscripts *s)
{
	for (int i = 0; i < s->n; i++)
		shape->dims[shape->ndim++] = q->size[s->index[i]];
}

static int64_t count_of(const equation *q, const subscripts *s)
{
	int64_t n = 1;

	for (int i = 0; i < s->n; i++)
		n *= q->size[s->index[i]];
	return n;
}

typedef struct kinds {
	subscripts batch, summed, free[2];
} kinds;

static kinds sort_indices(const equation *q, const operand *o)
{
	kinds k = {0};

	for (int i = 0; i < o[0].s.n; i++) {
		int index = o[0].s.index[i];

		if (position_of(&o[1].s, index) < 0)
			add_index(&k.free[0], index);
		else if (position_of(&q->out, index) < 0)
			add_index(&k.summed, index);
		else
			add_index(&k.batch, index);
	}
	for (int i = 0; i < o[1].s.n; i++)
		if (position_of(&o[0].s, o[1].s.index[i]) < 0)
			add_index(&k.free[1], o[1].s.index[i]);
	return k;
}

/* a*b with broadcasting over [batch, free of a, free of b, summed], then the sum. */
static ebb_tensor *multiply(equation *q, operand *o, const kinds *k)
{
	ebb_axes last = {0, {0}};
	ebb_tensor *y;

	for (int i = 0; i < 2; i++) {
		ebb_shape shape = {0, {0}};
		subscripts order = k->batch;

		append(&order, &k->free[i]);
		append(&order, &k->summed);
		arrange(q, &o[i], &order);
		append_sizes(q, &shape, &k->batch);
		for (int f = 0; f < 2; f++)
			for (int d = 0; d < k->free[f].n; d++)
				shape.dims[shape.ndim++] =
					f == i ? q->size[k->free[f].index[d]] : 1;
		append_sizes(q, &shape, &k->summed);
		o[i].x = (ebb_reshape)(q->c->t, o[i].x, shape, q->c->site);
	}
	y = (ebb_mul)(q->c->t, o[0].x, o[1].x, q->c->site);
	for (int i = 0; i < k->summed.n; i++)
		last.axis[last.n++] = -1 - i;
	return last.n ? (ebb_sum)(&(ebb_reduce_args){
				.t = q->c->t, .x = y, .axes = last, .site = q->c->site})
	              : y;
}

/* The matrix product of [batch.., M, K] and [batch.., K, N], where M, K and N stand for all free and
 * summed indices; as [batch.., free of a, free of b]. */
static ebb_tensor *product(equation *q, operand *o, const kinds *k)
{
	bool flat = k->batch.n + 2 > EBB_MAX_DIMS;
	ebb_shape shape = {0, {0}};
	ebb_tensor *y;

	for (int i = 0; i < 2; i++) {
		subscripts order = k->batch;
		ebb_shape m = {0, {0}};

		append(&order, i ? &k->summed : &k->free[0]);
		append(&order, i ? &k->free[1] : &k->summed);
		arrange(q, &o[i], &order);
		if (flat)
			m.dims[m.ndim++] = count_of(q, &k->batch);
		else
			append_sizes(q, &m, &k->batch);
		m.dims[m.ndim++] = count_of(q, i ? &k->summed : &k->free[0]);
		m.dims[m.ndim++] = count_of(q, i ? &k->free[1] : &k->summed);
		o[i].x = (ebb_reshape)(q->c->t, o[i].x, m, q->c->site);
	}
	y = (ebb_matmul)(q->c->t, o[0].x, o[1].x, q->c->site);
	append_sizes(q, &shape, &k->batch);
	append_sizes(q, &shape, &k->free[0]);
	append_sizes(q, &shape, &k->free[1]);
	return (ebb_reshape)(q->c->t, y, shape, q->c->site);
}

static void contract(equation *q, operand *o, operand *y)
{
	kinds k = sort_indices(q, o);
	bool rows_alone =
		k.batch.n && !k.free[0].n && !k.free[1].n && k.batch.n + k.summed.n <= EBB_MAX_DIMS;

	y->x = !k.summed.n || rows_alone ? multiply(q, o, &k) : product(q, o, &k);
	y->s = k.batch;
	append(&y->s, &k.free[0]);
	append(&y->s, &k.free[1]);
}

/* ---- einsum ---------------------------------------------------------------------------------- */

static bool checks(equation *q, const ebb_einsum_args *a)
{
	int given = a->b ? 2 : 1;

	if (!a->equation || !a->a) {
		ebb_call_fail(q->c, EBB_INVALID, "%s is NULL", a->equation ? "a" : "equation");
		return false;
	}
	q->text = a->equation;
	if (!parse(q))
		return false;
	if (q->operands != given) {
		ebb_call_fail(q->c, EBB_INVALID, "\"%s\" has %d operands, and %d are given",
			q->text, q->operands, given);
		return false;
	}
	for (int i = 0; i < INDICES; i++)
		q->size[i] = -1;
	for (int k = 0; k < given; k++)
		if (!ebb_check_real(q->c, k, operand_name(k)) ||
			!ebb_check_readable(q->c, q->c->in[k], operand_name(k)) ||
			!ebb_check_same_type(q->c, 0, "a", k, operand_name(k)) ||
			!fit_operand(q, k))
			return false;
	return fit_result(q);
}

ebb_tensor *(ebb_einsum)(const ebb_einsum_args *a)
{
	ebb_tensor *in[] = {a->a, a->b};
	ebb_call c = {.t = a->t, .op = &CHECK, .site = a->site, .nin = 2, .in = in};
	equation q = {.c = &c};
	operand o[2] = {{0}}, y;

	if (ebb_failed(a->t) || !checks(&q, a))
		return NULL;
	for (int k = 0; k < q.operands; k++) {
		o[k] = (operand){in[k], q.in[k]};
		take_diagonals(&q, &o[k]);
	}
	drop_broadcast(&q, &o[0]);
	drop_broadcast(&q, &o[1]);
	sum_alone(&q, &o[0], &o[1]);
	sum_alone(&q, &o[1], &o[0]);
	y = o[0];
	if (q.operands == 2 && o[0].x && o[1].x)
		contract(&q, o, &y);
	if (!ebb_failed(a->t))
		arrange(&q, &y, &q.out);
	return ebb_failed(a->t) ? NULL : y.x;
}
