/* einsum.c - sums of products by Einstein's convention, compared with a loop over all indices. */
#include "tests/ops/ops_test.h"

/* An equation, and what it means: letters for all axes of the operands and of the result, where those
 * of an ellipsis are capital. */
static const struct {
	const char *equation, *a, *b, *y;
} EQUATIONS[] = {
	{"ij,jk->ik", "ij", "jk", "ik"},
	{"bhld,bhsd->bhls", "bhld", "bhsd", "bhls"},
	{"ij,jk", "ij", "jk", "ik"},
	{"i,j->ij", "i", "j", "ij"},
	{"i,i", "i", "i", ""},
	{"bi,bi->b", "bi", "bi", "b"},
	{"ij,ij->ij", "ij", "ij", "ij"},
	{"ij,ik->ij", "ij", "ik", "ij"},
	{" ij , jk -> k i ", "ij", "jk", "ki"},
	{"...ij,...jk->...ik", "Aij", "Ajk", "Aik"},
	{"...ij,jk", "ABij", "jk", "ABik"},
	{"i...,i...->...", "iA", "iA", "A"},
	{"ij,kl->jl", "ij", "kl", "jl"},
	{"ba,bc", "ba", "bc", "ac"},
	{"iij,jk->ik", "iij", "jk", "ik"},
	{"ijik,k->j", "ijik", "k", "j"},
	{"abcd,cdef->efab", "abcd", "cdef", "efab"},
	{"ij->ji", "ij", NULL, "ji"},
	{"ij->", "ij", NULL, ""},
	{"ii->i", "ii", NULL, "i"},
	{"ii", "ii", NULL, ""},
	{"ba", "ba", NULL, "ab"},
	{"...i->i...", "ABi", NULL, "iAB"},
	{"iijj->ji", "iijj", NULL, "ji"},
	{"i...->...", "iAB", NULL, "AB"},
	{"...->", "AB", NULL, ""},
	{"", "", NULL, ""},
	{",->", "", "", ""},
	{"bilj,bkl->bijk", "bilj", "bkl", "bijk"},
	{"iii->i", "iii", NULL, "i"},
};

CALL(einsum, ebb_einsum(t, EQUATIONS[v].equation, x[0], n > 1 ? x[1] : NULL))

static int place_of(const char *letters, char letter)
{
	const char *found = letters ? strchr(letters, letter) : NULL;

	return found ? (int)(found - letters) : -1;
}

/* The element of x, with these letters, where letter all[i] has the value at[i]. */
static double element(const array *x, const char *letters, const char *all, const int64_t *at)
{
	int64_t own[EBB_MAX_DIMS] = {0};

	for (int d = 0; letters[d]; d++)
		own[d] = x->shape.dims[d] == 1 ? 0 : at[place_of(all, letters[d])];
	return x->v[flat_index(&x->shape, own)];
}

/* y = the sum of the products over all values of all letters.  b NULL: one operand. */
static void sum_products(const array *x, const char *a, const char *b, const char *y, array *out)
{
	char all[64] = "";
	int64_t size[64] = {0}, at[64] = {0}, total = 1;
	ebb_shape shape = {0, {0}};
	int n = 0;

	for (int k = 0; k < (b ? 2 : 1); k++) {
		const char *letters = k ? b : a;

		for (int d = 0; letters[d]; d++) {
			int i = place_of(all, letters[d]);

			if (i < 0) {
				i = n++;
				all[i] = letters[d];
				size[i] = 1;
			}
			size[i] = size[i] == 1 ? x[k].shape.dims[d] : size[i];
		}
	}
	for (int d = 0; y[d]; d++)
		shape.dims[shape.ndim++] = size[place_of(all, y[d])];
	*out = array_new(shape);
	for (int i = 0; i < n; i++)
		total *= size[i];
	for (int64_t k = 0; k < total; k++) {
		int64_t rest = k, to[EBB_MAX_DIMS] = {0};

		for (int i = 0; i < n; i++) {
			at[i] = rest % size[i];
			rest /= size[i];
		}
		for (int d = 0; y[d]; d++)
			to[d] = at[place_of(all, y[d])];
		out->v[flat_index(&shape, to)] +=
			element(&x[0], a, all, at) * (b ? element(&x[1], b, all, at) : 1);
	}
}

static void plain_einsum(const array *x, int n, int v, array *y)
{
	(void)n;
	sum_products(x, EQUATIONS[v].a, EQUATIONS[v].b, EQUATIONS[v].y, y);
}

/* ---- Random equations ---------------------------------------------------------------- */

static int below(uint64_t *state, int n)
{
	return (int)(test_random(state) % (uint64_t)n);
}

/* Random letters of the first few, each with its size. */
static ebb_shape draw_operand(uint64_t *state, const int64_t *size, char *letters)
{
	ebb_shape s = {below(state, 5), {0}};

	for (int d = 0; d < s.ndim; d++) {
		int letter = below(state, 6);
		bool again = memchr(letters, 'a' + letter, (size_t)d) != NULL;

		letters[d] = (char)('a' + letter);
		/* Some axes broadcast. */
		s.dims[d] = again             ? s.dims[place_of(letters, letters[d])]
		            : below(state, 6) ? size[letter]
		                              : 1;
	}
	letters[s.ndim] = 0;
	return s;
}

static void random_equations(void)
{
	uint64_t state = 11;
	int products = 0;

	for (int round = 0; round < 400; round++) {
		char a[8] = "", b[8] = "", y[8] = "", text[32], why[200];
		int64_t size[6];
		bool two = below(&state, 5) > 0;
		ebb_tape *t = ebb_tape_new();
		ebb_tensor *in[2] = {NULL}, *out, *rest;
		array x[2] = {{0}}, want, got;

		for (int i = 0; i < 6; i++)
			size[i] = below(&state, 12) ? 1 + below(&state, 4) : 0;
		x[0] = array_random(draw_operand(&state, size, a), state);
		if (two)
			x[1] = array_random(draw_operand(&state, size, b), state + 1);
		for (int i = 0, at = below(&state, 6); i < 6; i++, at = (at + 1) % 6) {
			char letter = (char)('a' + at);

			if ((place_of(a, letter) >= 0 || place_of(b, letter) >= 0) &&
				below(&state, 2))
				y[strlen(y)] = letter;
		}
		snprintf(text, sizeof text, "%s%s%s->%s", a, two ? "," : "", b, y);
		ebb_set_default_dtype(t, EBB_F64);
		for (int k = 0; k < 1 + two; k++)
			in[k] = ebb_from_f64(t, x[k].shape, x[k].v);
		out = ebb_einsum(t, text, in[0], in[1]);
		ck_assert_msg(out != NULL, "%s: %s", text, ebb_error_message(t));
		sum_products(x, a, two ? b : NULL, y, &want);
		got = array_of(out);
		ck_assert_msg(close_to(&got, &want, 1e-12, why, sizeof why), "%s: %s", text, why);
		products += two && want.count > 1;
		/* The result is a tensor of its own. */
		rest = ebb_exp(t, in[0]);
		ebb_release(t, out);
		ck_assert(rest && isfinite(ebb_count(in[0]) ? ebb_at(in[0], 0) : 0));
		assert_healthy(t);
		ebb_tape_free(t);
		arrays_free();
	}
	ck_assert_int_gt(products, 100);
}

static void refusals(void)
{
	static const struct {
		const char *equation;
		ebb_status status;
		const char *words[3];
	} cases[] = {
		{"ij,jk->ik", EBB_BAD_SHAPE,
			{"index j has size 3 in a and 4 in b", "F32 [2,3]", "F32 [4,5]"}},
		{"ii,jk->ik", EBB_BAD_SHAPE, {"index i is repeated in a with sizes 2 and 3"}},
		{"ijk,jk->ik", EBB_BAD_SHAPE, {"3 indices for a", "F32 [2,3]"}},
		{"ij,k->ik", EBB_BAD_SHAPE, {"1 indices for b", "F32 [4,5]"}},
		{"i...jk,kl", EBB_BAD_SHAPE, {"at least 3 indices for a"}},
		{"ij,kl->im", EBB_INVALID, {"index m of the result is in no operand"}},
		{"ij,kl->iki", EBB_INVALID, {"index i of the result is repeated"}},
		{"ij,kl->i*", EBB_INVALID, {"unexpected '*' at position 8"}},
		{"ij,kl->i,j", EBB_INVALID, {"unexpected ',' at position 8"}},
		{"ij,kl-i", EBB_INVALID, {"unexpected '-' at position 5"}},
		{"ij,kl->i->j", EBB_INVALID, {"unexpected '-'"}},
		{"i.,kl", EBB_INVALID, {"unexpected '.' at position 1"}},
		{"...i...,kl", EBB_INVALID, {"more than one ellipsis"}},
		{"abcdefghij,kl", EBB_INVALID, {"more than 8 indices"}},
		{"ij,kl,mn", EBB_INVALID, {"more than two operands"}},
		{"ij->i", EBB_INVALID, {"1 operands, and 2 are given"}},
		{NULL, EBB_INVALID, {"equation is NULL"}},
	};
	ebb_tape *t = ebb_tape_new(), *another = ebb_tape_new();
	ebb_tensor *a = ebb_ones(t, EBB_SHAPE(2, 3)), *b = ebb_ones(t, EBB_SHAPE(4, 5));
	ebb_tensor *wide = ebb_ones(t, EBB_SHAPE(1, 1, 1, 1, 1));

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_refused(t, cases[i].status, ebb_einsum(t, cases[i].equation, a, b),
			"einsum:", "einsum.c:", cases[i].words[0],
			cases[i].words[1] ? cases[i].words[1] : "einsum",
			cases[i].words[2] ? cases[i].words[2] : "einsum");
	assert_refused(
		t, EBB_INVALID, ebb_einsum(t, "ij,jk", a, NULL), "2 operands, and 1 are given");
	assert_refused(t, EBB_INVALID, ebb_einsum(t, "ij", NULL), "einsum: a is NULL");
	assert_refused(
		t, EBB_BAD_SHAPE, ebb_einsum(t, "abcde,fghij", wide, wide), "more than 8 axes");
	assert_refused(t, EBB_BAD_SHAPE, ebb_einsum(t, "abcde,fghij->abcdefghi", wide, wide),
		"more than 8 axes");
	assert_refused(t, EBB_BAD_SHAPE, ebb_einsum(t, "...e,...ij->...eijkl", wide, wide),
		"einsum:", "the result has 9 axes, at most 8");
	assert_refused(t, EBB_BAD_DTYPE, ebb_einsum(t, "ij,j", a, ebb_arange(t, 3)), "einsum", "b",
		"I64 [3]");
	assert_refused(t, EBB_BAD_DTYPE, ebb_einsum(t, "ij,jk", a, ebb_cast(t, b, EBB_F64)),
		"einsum", "F64");
	assert_refused(t, EBB_INVALID,
		ebb_einsum(t, "ij,jk", a, ebb_ones(another, EBB_SHAPE(3, 4))), "einsum",
		"another tape");
	assert_healthy(t);
	ebb_tape_free(t);
	ebb_tape_free(another);
}

/* Batches of 7 and 8 indices, where the operands of the product have more axes than a tensor may
 * have; and large sizes beside an empty axis. */
static void many_indices(void)
{
	ebb_tape *t = ebb_tape_new();
	array x[2], want, got;
	char why[200];
	ebb_tensor *a, *b, *y, *empty;

	ebb_set_default_dtype(t, EBB_F64);
	x[0] = array_random(EBB_SHAPE(2, 1, 2, 1, 2, 1, 2, 3), 1);
	x[1] = array_random(EBB_SHAPE(2, 1, 2, 1, 2, 1, 2, 3), 2);
	a = ebb_from_f64(t, x[0].shape, x[0].v);
	b = ebb_from_f64(t, x[1].shape, x[1].v);
	y = ebb_einsum(t, "abcdefgh,abcdefgh->gfedcba", a, b);
	sum_products(x, "abcdefgh", "abcdefgh", "gfedcba", &want);
	assert_healthy(t);
	got = array_of(y);
	ck_assert_msg(close_to(&got, &want, 1e-12, why, sizeof why), "%s", why);
	x[1] = array_random(EBB_SHAPE(3, 2, 1, 2, 1, 2, 1, 2), 2);
	b = ebb_from_f64(t, x[1].shape, x[1].v);
	y = ebb_einsum(t, "abcdefgh,iabcdefg->abcdefgi", a, b);
	sum_products(x, "abcdefgh", "iabcdefg", "abcdefgi", &want);
	assert_healthy(t);
	got = array_of(y);
	ck_assert_msg(close_to(&got, &want, 1e-12, why, sizeof why), "%s", why);
	x[1] = array_random(EBB_SHAPE(3, 2, 1, 2, 1, 2, 1), 2);
	x[0] = array_random(EBB_SHAPE(2, 1, 2, 1, 2, 1, 2, 3), 1);
	b = ebb_from_f64(t, x[1].shape, x[1].v);
	y = ebb_einsum(t, "abcdefgh,habcdef->abcdefg", a, b);
	sum_products(x, "abcdefgh", "habcdef", "abcdefg", &want);
	assert_healthy(t);
	got = array_of(y);
	ck_assert_msg(close_to(&got, &want, 1e-12, why, sizeof why), "%s", why);

	/* Sizes whose product, without the 0, is more than 32 bits can address. */
	empty = ebb_zeros(
		t, sizeof(size_t) > 4 ? EBB_SHAPE(0, 1 << 20, 1 << 20) : EBB_SHAPE(0, 9, 9));
	y = ebb_einsum(t, "abc,dbc->ad", empty, empty);
	assert_healthy(t);
	ck_assert(ebb_ndim(y) == 2 && ebb_count(y) == 0);
	y = ebb_einsum(t, "abb->ba", empty);
	assert_healthy(t);
	ck_assert(ebb_size(y, 0) == ebb_size(empty, 1) && ebb_size(y, 1) == 0);
	ebb_tape_free(t);
	arrays_free();
}

static void properties(void)
{
	random_equations();
	refusals();
	many_indices();
}

const entry einsum_ops[] = {
	{.name = "einsum",
		.call = call_einsum,
		.reference = plain_einsum,
		.samples =
			"2x3 3x4 #0 | 2x2x3x4 2x2x5x4 #1 | 2x3 3x4 #2 | 3 4 #3 | 5 5 #4 | "
			"3x4 3x4 #5 | 3x4 3x4 #6 | 2x3 2x4 #7 | 2x3 3x4 #8 | 3x2x4 1x4x2 #9 | "
			"2x1x3x4 4x2 #10 | "
			"3x2 3x2 #11 | 2x3 4x5 #12 | 2x3 2x4 #13 | 3x3x2 2x4 #14 | 3x2x3x2 2 #15 | "
			"2x3x2x2 2x2x3x2 #16 | 2x3 #17 | 2x3 #18 | 3x3 #19 | 3x3 #20 | 2x3 #21 | "
			"2x3x4 #22 | 2x2x3x3 #23 | 2x3x4 #24 | 2x3 #25 | - #26 | - - #27 | "
			"2x3x4x2 2x5x4 #28 | 3x3x3 #29 | 0x3 3x4 #0 | 2x0 0x4 #0 | 0x0 #19 | "
			"1x3 3x1 #0 | 2x1 3x4 #0 | 2x3 1x4 #0 | 1 5 #4 | 0x3 0x3 #5 | 1x1x3x1 "
			"1x1x1x1 #1 | 0x2 0x4 #12 | 3x0 4x5 #12",
		.refused = "2x3 4x5 #0 | 2x3 3 #0 | 2x3 i5:3x4 #0 | 2 #17 | 2x3 #19",
		.property = properties},
	{.name = NULL},
};
