/* arrays.c - plain arrays in double precision, and samples read from text. */
#include "tests/ops/ops_test.h"
#include "tests/support/exact.h"

/* ---- Memory ------------------------------------------------------------------------- */

typedef union block {
	union block *next;
	double align;
} block;

static block *blocks;

double *scratch(int64_t n)
{
	block *b = calloc((size_t)n + 2, sizeof *b);

	ck_assert_ptr_nonnull(b);
	b->next = blocks;
	blocks = b;
	return (double *)(void *)(b + 1);
}

void arrays_free(void)
{
	while (blocks) {
		block *next = blocks->next;

		free(blocks);
		blocks = next;
	}
}

array array_new(ebb_shape shape)
{
	array a = {.dtype = EBB_F64, .shape = shape, .count = 1};

	for (int i = 0; i < shape.ndim; i++)
		a.count *= shape.dims[i];
	a.v = scratch(a.count);
	return a;
}

array array_of(const ebb_tensor *x)
{
	array a = array_new(ebb_shape_of(x));

	ck_assert_ptr_nonnull(x);
	a.dtype = ebb_dtype_of(x) == EBB_F32 ? EBB_F64 : ebb_dtype_of(x);
	ck_assert_int_eq(a.count, ebb_count(x));
	for (int64_t i = 0; i < a.count; i++)
		a.v[i] = ebb_at(x, i);
	return a;
}

uint64_t test_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* A random number in (0,1) that is exact in single precision. */
static double uniform(uint64_t *state)
{
	return ((double)(test_random(state) >> 41) + 0.5) * 0x1p-23;
}

array array_random(ebb_shape shape, uint64_t seed)
{
	array a = array_new(shape);

	for (int64_t i = 0; i < a.count; i++)
		a.v[i] = (float)(2 * uniform(&seed) - 1);
	return a;
}

/* ---- Positions ---------------------------------------------------------------------- */

bool next_position(const ebb_shape *shape, int64_t *at)
{
	for (int i = shape->ndim - 1; i >= 0; i--) {
		if (++at[i] < shape->dims[i])
			return true;
		at[i] = 0;
	}
	return false;
}

int64_t flat_index(const ebb_shape *shape, const int64_t *at)
{
	int64_t i = 0;

	for (int d = 0; d < shape->ndim; d++)
		i = i * shape->dims[d] + at[d];
	return i;
}

double broadcast_at(const array *a, const ebb_shape *shape, const int64_t *at)
{
	int lead = shape->ndim - a->shape.ndim;
	int64_t own[EBB_MAX_DIMS] = {0};

	for (int d = 0; d < a->shape.ndim; d++)
		own[d] = a->shape.dims[d] == 1 ? 0 : at[lead + d];
	return a->v[flat_index(&a->shape, own)];
}

ebb_shape broadcast_shape(const array *a, int n)
{
	ebb_shape s = {0, {0}};

	for (int k = 0; k < n; k++) {
		if (a[k].shape.ndim > s.ndim)
			s.ndim = a[k].shape.ndim;
	}
	for (int d = 0; d < s.ndim; d++) {
		s.dims[d] = 1;
		for (int k = 0; k < n; k++) {
			int own = d - (s.ndim - a[k].shape.ndim);

			if (own >= 0 && a[k].shape.dims[own] != 1)
				s.dims[d] = a[k].shape.dims[own];
		}
	}
	return s;
}

static void shape_text(const ebb_shape *s, char *out, size_t size)
{
	size_t used = (size_t)snprintf(out, size, "[");

	for (int d = 0; d < s->ndim && used < size; d++)
		used += (size_t)snprintf(
			out + used, size - used, d ? ",%lld" : "%lld", (long long)s->dims[d]);
	if (used < size)
		snprintf(out + used, size - used, "]");
}

bool close_to(const array *a, const array *b, double tolerance, char *why, size_t size)
{
	bool same = a->shape.ndim == b->shape.ndim;
	char as[100], bs[100];

	for (int d = 0; same && d < a->shape.ndim; d++)
		same = a->shape.dims[d] == b->shape.dims[d];
	if (!same) {
		shape_text(&a->shape, as, sizeof as);
		shape_text(&b->shape, bs, sizeof bs);
		snprintf(why, size, "shape %s instead of %s", as, bs);
		return false;
	}
	for (int64_t i = 0; i < a->count; i++) {
		double x = a->v[i], y = b->v[i];

		if (x == y || (isnan(x) && isnan(y)) ||
			(isfinite(y) && fabs(x - y) <= tolerance * (1 + fabs(y))))
			continue;
		snprintf(why, size, "element %lld is %.12g instead of %.12g", (long long)i, x, y);
		return false;
	}
	return true;
}

/* ---- Samples ------------------------------------------------------------------------ */

static const char *read_input(const char *p, array *a, int64_t *limit)
{
	ebb_shape shape = {0, {0}};
	ebb_dtype dtype = EBB_F64;
	char *end;

	*a = (array){.dtype = EBB_DEFAULT};
	*limit = 2;
	if (*p == '_')
		return p + 1;
	if (*p == 'm') {
		dtype = EBB_U8;
		p++;
	} else if (*p == 'i') {
		dtype = EBB_I64;
		*limit = strtoll(p + 1, &end, 10);
		ck_assert(*end == ':');
		p = end + 1;
	}
	if (*p == '-') {
		p++;
	} else {
		do {
			shape.dims[shape.ndim++] = strtoll(p + (*p == 'x'), &end, 10);
			ck_assert_msg(end != p, "no size in \"%s\"", p);
			p = end;
		} while (*p == 'x');
	}
	*a = array_new(shape);
	a->dtype = dtype;
	return p;
}

/* Fills p with the numbers 0 .. n-1 in random order. */
static void shuffled(double *p, int64_t n, uint64_t *state)
{
	for (int64_t i = 0; i < n; i++) {
		int64_t j = (int64_t)(test_random(state) % (uint64_t)(i + 1));

		p[i] = p[j];
		p[j] = (double)i;
	}
}

static double not_near_zero(double u)
{
	return u < 0.5 ? -0.3 - 3 * u : 0.3 + 3 * (u - 0.5);
}

/* Up to 3.6 away from a corner, which rank chooses, and at least 0.2 from each. */
static double around(const char *domain, double u, double rank)
{
	double corners[MOST_CORNERS], x;
	int n = corners_of(domain, corners);
	bool near = true;

	ck_assert_int_gt(n, 0);
	x = corners[(int)(rank * n)] + 2 * not_near_zero(u);
	while (near) {
		near = false;
		for (int i = 0; i < n; i++)
			near |= fabs(x - corners[i]) < 0.2;
		x += near ? 0.5 : 0;
	}
	return x;
}

static double value_of(const char *kind, double u, double rank)
{
	switch (*kind) {
	case 'c':
		return around(kind, u, rank);
	case 'p':
		return 0.3 + 2 * u;
	case 'n':
		return not_near_zero(u);
	case 'd':
		return 4 * rank - 2;
	case 'u':
		return u;
	case 'i':
		return 1.8 * u - 0.9;
	default:
		return 4 * u - 2;
	}
}

static void fill(sample *s, const char *values, const int64_t *limits)
{
	uint64_t state = 1;
	int64_t total = 0, done = 0;
	double *ranks;

	for (const char *p = s->text; *p; p++)
		state = state * 31 + (uint64_t)(unsigned char)*p;
	for (int k = 0; k < s->n; k++)
		total += s->in[k].count;
	ranks = scratch(total);
	shuffled(ranks, total, &state);
	for (int k = 0; k < s->n; k++) {
		size_t given = values ? *values == 'c' ? 1 : strlen(values) : 0;
		const char *kind =
			!given ? "a" : values + ((size_t)k < given ? (size_t)k : given - 1);
		array *a = &s->in[k];

		for (int64_t i = 0; i < a->count; i++, done++) {
			double u = uniform(&state);

			a->v[i] = a->dtype == EBB_F64 ? (float)value_of(kind, u,
								(ranks[done] + 0.5) / (double)total)
			                              : floor(u * (double)limits[k]);
		}
	}
}

bool next_sample(const char **list, const char *values, sample *s)
{
	const char *p = *list, *begin;
	int64_t limits[MAX_IN];

	*s = (sample){0};
	if (!p)
		return false;
	p += strspn(p, " |");
	begin = p;
	while (*p && *p != '|') {
		if (*p == ' ') {
			p++;
		} else if (*p == '#') {
			char *end;

			s->variant = (int)strtol(p + 1, &end, 10);
			for (p = end; *p && *p != ' ' && *p != '|'; p++) {
				s->eval |= *p == 'e';
				s->random |= *p == 'r';
				s->flat |= *p == 'f';
			}
		} else {
			ck_assert_int_lt(s->n, MAX_IN);
			p = read_input(p, &s->in[s->n], &limits[s->n]);
			s->n++;
		}
	}
	snprintf(s->text, sizeof s->text, "%.*s", (int)(p - begin), begin);
	*list = p;
	if (p == begin)
		return false;
	fill(s, values, limits);
	return true;
}

void entry_reference(const entry *e, const sample *s, array *y)
{
	int64_t at[EBB_MAX_DIMS] = {0};

	if (e->reference) {
		e->reference(s->in, s->n, s->variant, y);
		return;
	}
	*y = array_new(broadcast_shape(s->in, s->n));
	if (!y->count)
		return;
	do {
		double a = broadcast_at(&s->in[0], &y->shape, at);

		y->v[flat_index(&y->shape, at)] =
			e->unary ? e->unary(a, s->variant)
				 : e->binary(a, broadcast_at(&s->in[1], &y->shape, at));
	} while (next_position(&y->shape, at));
}
